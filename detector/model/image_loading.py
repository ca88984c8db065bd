"""Load images for the part detector, as a transform of mmdet's pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mmcv
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS

from detector.common.errors import DetectorError
from detector.common.images import checked_size, read_reduced


@TRANSFORMS.register_module()
class LoadVehicleImage(BaseTransform):
    """Load ``img`` as (H, W, 3) uint8 RGB, upright, with the image reader of all stages.

    The model's data preprocessor needs ``bgr_to_rgb=False``.

    Args:
        size: Height and width to resize to, which replaces a subsequent
            ``Resize(scale=(width, height), keep_ratio=False)``. A JPEG is then decoded at 1/2, 1/4 or 1/8 of
            its size if the result is large enough, see `detector.common.images.read_reduced`. Predicted boxes
            remain in pixels of the stored image, but annotated boxes are not rescaled: use it for testing and
            extraction only. Predicted boxes move slightly; the identity of a part cache contains the pipeline
            and with it this size. None decodes the whole image.

    Raises:
        DetectorError: ``size`` is not a height and a width.
    """

    def __init__(self, size: Sequence[int] | None = None) -> None:
        self.size = None if size is None else checked_size(size)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``img``, ``img_shape`` and ``ori_shape``, and ``scale_factor`` if the image is resized.

        Raises:
            ImageError: The file cannot be read.
        """
        image, reduction, results["ori_shape"] = read_reduced(results["img_path"], self.size)
        if self.size is not None:
            image, *scales = mmcv.imresize(image, self.size[::-1], return_scale=True)
            results["scale_factor"] = tuple(scale / reduction for scale in scales)
        results["img"] = image
        results["img_shape"] = image.shape[:2]
        return results


def reduced_pipeline(pipeline: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge `LoadVehicleImage` and ``Resize`` of a test pipeline, to decode large JPEGs at reduced size.

    Raises:
        DetectorError: These two are not the first transforms, or ``Resize`` keeps the aspect ratio.

    >>> load, resize = {"type": "LoadVehicleImage"}, {"type": "Resize", "scale": (300, 200)}
    >>> reduced_pipeline([load, resize, {"type": "PackDetInputs"}])
    [{'type': 'LoadVehicleImage', 'size': (200, 300)}, {'type': 'PackDetInputs'}]
    """
    load, resize = [*pipeline[:2], {}, {}][:2]
    known = {"type", "scale", "keep_ratio"}
    kinds = (load.get("type"), resize.get("type"))
    if kinds != ("LoadVehicleImage", "Resize") or resize.get("keep_ratio") or set(resize) - known:
        raise DetectorError(
            "to decode at a reduced scale, the test pipeline must begin with LoadVehicleImage and "
            "Resize(scale=..., keep_ratio=False)"
        )
    return [{**load, "size": tuple(resize["scale"][::-1])}, *pipeline[2:]]
