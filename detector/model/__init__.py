"""The part detector's network, data set, metric and preprocessing, on MMDetection.

Importing the package registers them with mmdet: a config needs ``custom_imports`` of it alone.
"""

from detector.model.dataset import LoadVehicleImage, VehiclePartsDataset
from detector.model.metric import PartsMetric
from detector.model.part_head import PartSSDHead

__all__ = ["LoadVehicleImage", "PartSSDHead", "PartsMetric", "VehiclePartsDataset"]
