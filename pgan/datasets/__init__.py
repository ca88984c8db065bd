"""Data sets, samplers and transforms of the re-identification stage."""

from pgan.datasets.csv_dataset import CSVDataset
from pgan.datasets.errors import DatasetError
from pgan.datasets.reid_dataset import ReIDDataset, ReIDImage
from pgan.datasets.samplers import PKSampler
from pgan.datasets.transforms import LoadReIDImage, PackReID, ToFloat
from pgan.datasets.veri776 import VeRi776

__all__ = [
    "CSVDataset",
    "DatasetError",
    "LoadReIDImage",
    "PKSampler",
    "PackReID",
    "ReIDDataset",
    "ReIDImage",
    "ToFloat",
    "VeRi776",
]
