"""Data sets, samplers and transforms of the re-identification stage."""

from pgan.datasets.collate import collate_reid
from pgan.datasets.csv_dataset import CSVDataset
from pgan.datasets.errors import DatasetError
from pgan.datasets.folder_dataset import FolderDataset
from pgan.datasets.records import ReIDImage
from pgan.datasets.reid_dataset import ReIDDataset
from pgan.datasets.reid_union import ReIDUnion
from pgan.datasets.samplers import PKSampler
from pgan.datasets.transforms import LoadReIDImage, PackReID, ToFloat
from pgan.datasets.vehicle1m import Vehicle1M
from pgan.datasets.vehicleid import VehicleID
from pgan.datasets.veri776 import VeRi776
from pgan.datasets.veriwild import VERIWild
from pgan.datasets.vric import VRIC

__all__ = [
    "CSVDataset",
    "DatasetError",
    "FolderDataset",
    "LoadReIDImage",
    "PKSampler",
    "PackReID",
    "ReIDDataset",
    "ReIDImage",
    "ReIDUnion",
    "ToFloat",
    "VERIWild",
    "VRIC",
    "VeRi776",
    "Vehicle1M",
    "VehicleID",
    "collate_reid",
]
