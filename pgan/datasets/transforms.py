"""Transforms from an image file to the network's input that keep the part boxes in place.

The geometry is torchvision's (``transforms.v2``), which transforms image and boxes together. Its classes are
registered as ``torchvision/Resize``, ``torchvision/RandomHorizontalFlip`` and so on.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from detector.common.images import checked_size, read_reduced
from pgan.datasets.cell_masks import CellMasks
from pgan.registry import TRANSFORMS
from pgan.structures import ReIDSample

for _name in (
    "ColorJitter",
    "Normalize",
    "Pad",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "Resize",
):
    TRANSFORMS.register_module(name=f"torchvision/{_name}", module=getattr(v2, _name))

# RandomErasing warns that it does not change boxes, which is intended.
warnings.filterwarnings(
    "ignore", message=r".*passing through inputs of type tv_tensors.BoundingBoxes"
)


@TRANSFORMS.register_module()
class LoadReIDImage:
    """Read the image, and convert it and its parts to torchvision's types.

    Adds ``image``, (3, H, W) uint8 RGB; turns ``part_boxes`` (D, 4) into bounding boxes of that image, and
    ``part_masks`` (D, h, w) into `CellMasks`.

    Args:
        size: Height and width to which the next transform resizes the image. A large JPEG is then decoded at
            1/2, 1/4 or 1/8 of its size, which changes pixels slightly; see
            `detector.common.images.read_reduced`. If omitted, images are decoded at full size, as required to
            reproduce the paper and to use the authors' weights. In a config, ``size=None`` stands for its
            ``image_size``.

    Raises:
        DetectorError: ``size`` is not a height and a width.
    """

    def __init__(self, size: Sequence[int] | None = None) -> None:
        self.size = None if size is None else checked_size(size)

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read ``results['image_file']``.

        Raises:
            ImageError: The image cannot be read.
        """
        loaded, reduction, _ = read_reduced(results["image_file"], self.size)
        pixels = torch.from_numpy(loaded).permute(2, 0, 1)
        results["image"] = tv_tensors.Image(pixels)
        if "part_boxes" in results:
            results["part_boxes"] = tv_tensors.BoundingBoxes(
                torch.from_numpy(results["part_boxes"]) / reduction,
                format="XYXY",
                canvas_size=tuple(pixels.shape[-2:]),
            )
        if "part_masks" in results:
            results["part_masks"] = CellMasks(torch.from_numpy(results["part_masks"]))
        return results


@TRANSFORMS.register_module()
class PillowResize:
    """Like ``torchvision/Resize``, but with the pixels of Pillow, which the PGAN authors' program uses.

    torchvision takes a quarter of the time, and some of its pixels differ by one grey level (a fifth of them
    when resizing 300x260 to 224x224). The arguments are those of ``torchvision/Resize``.

    >>> resize = PillowResize(size=(8, 16), antialias=True)
    >>> resize({"image": tv_tensors.Image(torch.zeros(3, 20, 30, dtype=torch.uint8))})["image"].shape
    torch.Size([3, 8, 16])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.resize = v2.Resize(*args, **kwargs)

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize ``results['image']``, and its boxes with it."""
        results["image"] = v2.functional.to_pil_image(results["image"])
        results = self.resize(results)
        results["image"] = v2.functional.to_image(results["image"])
        return results


@TRANSFORMS.register_module()
class ToFloat:
    """Scale a uint8 image to float32 in [0, 1].

    >>> ToFloat()({"image": tv_tensors.Image(torch.full((3, 1, 1), 51, dtype=torch.uint8))})["image"].max()
    tensor(0.2000)
    """

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Convert ``results['image']``."""
        results["image"] = v2.functional.to_dtype(results["image"], torch.float32, scale=True)
        return results


@TRANSFORMS.register_module()
class PackReID:
    """Clip the boxes to the image and pack the inputs of the model.

    Returns ``inputs`` (3, H, W) float32 and ``data_samples``, a `ReIDSample`. A box that is entirely outside
    the image becomes an empty slot.

    >>> packed = PackReID()({"image": tv_tensors.Image(torch.zeros(3, 4, 6)), "vehicle_id": 7})
    >>> packed["inputs"].shape, packed["data_samples"].vehicle_id
    (torch.Size([3, 4, 6]), 7)
    """

    _FIELDS = ("img_path", "role", "vehicle_id", "camera_id", "vehicle_label")

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack one sample."""
        fields = {name: results[name] for name in self._FIELDS if name in results}
        if "part_boxes" in results:
            boxes = v2.functional.clamp_bounding_boxes(results["part_boxes"]).as_subclass(
                torch.Tensor
            )
            empty = (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
            fields["part_boxes"] = boxes.masked_fill(empty[:, None], 0).numpy()
        if "part_masks" in results:
            fields["part_masks"] = results["part_masks"].as_subclass(torch.Tensor).numpy()
        sample = ReIDSample()
        for name, value in fields.items():
            sample.set_field(value, name)
        return {"inputs": results["image"].as_subclass(torch.Tensor), "data_samples": sample}
