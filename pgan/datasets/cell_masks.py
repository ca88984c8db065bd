"""Part masks without boxes, as a type that torchvision's transforms flip with the image or refuse."""

from __future__ import annotations

from torchvision import tv_tensors
from torchvision.transforms.v2.functional import register_kernel

from pgan.datasets.errors import DatasetError

# Transforms that can move the image by a fraction of a cell.
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

    A flip of the image flips them; a resize leaves them unchanged. A crop or a rotation moves the image by
    fractions of a cell, which masks cannot represent, so it raises DatasetError.
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
            "out of the pipeline, or use a part cache with boxes"
        )


for _name in _MOVES:
    _refuse(_name)
