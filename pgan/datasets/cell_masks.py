"""Part masks without boxes, kept true through torchvision's transforms or refused by them."""

from __future__ import annotations

from torchvision import tv_tensors
from torchvision.transforms.v2.functional import register_kernel

from pgan.datasets.errors import DatasetError

# What would move the image's content to other cells.
_MOVES = (
    "affine",
    "center_crop",
    "crop",
    "elastic",
    "five_crop",
    "pad",
    "perspective",
    "resized_crop",
    "rotate",
    "ten_crop",
)


class CellMasks(tv_tensors.TVTensor):
    """(D, h, w) bool masks over h x w cells of the whole image, whatever its size in pixels.

    They are flipped with the image, and the same after a resize. A crop or a turn would move the image by
    parts of a cell, which only boxes can follow: it raises DatasetError.
    """


@register_kernel("resize", CellMasks)
def _resize(masks: CellMasks, size: object, **kwargs: object) -> CellMasks:
    return masks


@register_kernel("horizontal_flip", CellMasks)
def _horizontal_flip(masks: CellMasks) -> CellMasks:
    return masks.flip(-1).as_subclass(CellMasks)


@register_kernel("vertical_flip", CellMasks)
def _vertical_flip(masks: CellMasks) -> CellMasks:
    return masks.flip(-2).as_subclass(CellMasks)


def _refuse(name: str) -> None:
    @register_kernel(name, CellMasks)
    def refused(masks: CellMasks, *args: object, **kwargs: object) -> None:
        raise DatasetError(
            f"the part cache has masks and no boxes, and masks cannot follow '{name}': leave that transform "
            "out of the pipeline, or take a part cache with boxes"
        )


for _name in _MOVES:
    _refuse(_name)
