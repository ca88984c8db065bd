"""The part detector's head, data set, metric and preprocessing for MMDetection.

Importing the package registers them with mmdet, so a config needs only ``custom_imports`` of this package.
"""

from detector.model.dataset import VehiclePartsDataset
from detector.model.image_loading import LoadVehicleImage
from detector.model.metric import PartsMetric
from detector.model.part_head import PartSSDHead

__all__ = ["LoadVehicleImage", "PartSSDHead", "PartsMetric", "VehiclePartsDataset"]
