"""Build a part detector from its config and load its checkpoint."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from torch import Tensor

from detector.cache.records import record_dtype
from detector.common.attributes import ATTRIBUTES
from detector.common.checkpoint import describe_mismatches, mismatches, read_checkpoint, weights_of
from detector.common.device import usable_device
from detector.common.errors import DetectorError
from detector.common.files import file_sha256
from detector.common.schema import fits
from detector.extraction.part_detector import PartDetector
from detector.model.batch_norm_folding import fold_norms
from detector.model.preprocessing import with_fewer_copies

if TYPE_CHECKING:
    from mmdet.models.detectors import BaseDetector

_ANNOTATION_STEPS = ("LoadAnnotations", "mmdet.LoadAnnotations")
_MAX_PARTS = int(np.iinfo(record_dtype(1)["count"]).max)


def load_detector(
    config: Config,
    checkpoint: str | os.PathLike[str],
    max_parts: int,
    score_threshold: float = 0.0,
    device: str | None = None,
    amp: bool | None = None,
) -> PartDetector:
    """Build a part detector and load its weights.

    Args:
        config: Config of a detector, as `pgan.apis.load_detector_config` returns it.
        checkpoint: File of tensors and built-in types.
        max_parts: Number D of boxes kept per image: the most confident ones, whatever their labels.
        score_threshold: Boxes are dropped unless their score is above the threshold; 0 keeps all, as in the
            paper.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``; None for the GPU if there is one, else the CPU.
        amp: Whether to run in half precision; None for yes on a GPU.

    Raises:
        DetectorError: The checkpoint cannot be read, is damaged, belongs to another model or contains NaN;
            the device cannot be used; or ``max_parts`` or ``score_threshold`` is out of range.
    """
    _check_limits(max_parts, score_threshold)
    target, half = _device_and_precision(device, amp)
    config_text = config.pretty_text
    init_default_scope(config.get("default_scope", "mmdet"))
    pipeline = _inference_pipeline(config)
    model = _build_model(config, max_parts, score_threshold)
    content = read_checkpoint(checkpoint, DetectorError)
    _load_weights(model, weights_of(content), checkpoint)
    classes = _class_names(config, content, model, checkpoint)
    steps = [with_fewer_copies(step) for step in pipeline]
    model = fold_norms(model.to(target).eval(), steps).to(memory_format=torch.channels_last)
    identity = {
        "weights_sha256": file_sha256(checkpoint),
        "classes": list(classes),
        "max_parts": max_parts,
        "score_threshold": score_threshold,
        "precision": "half" if half else "single",
        "pipeline": pipeline,
        "model": config.model.to_dict(),
    }
    return PartDetector(model, steps, classes, identity, config_text, target, half)


def _check_limits(max_parts: int, score_threshold: float) -> None:
    if max_parts not in range(1, _MAX_PARTS + 1):
        raise DetectorError(
            f"max_parts must be at least 1 and at most {_MAX_PARTS}, not {max_parts}"
        )
    if not math.isfinite(score_threshold):
        raise DetectorError(f"score_threshold must be a number such as 0.5, not {score_threshold}")


def _device_and_precision(device: str | None, amp: bool | None) -> tuple[torch.device, bool]:
    """The device and whether to run in half precision."""
    target = usable_device(device, DetectorError)
    if amp and target.type == "cpu":
        raise DetectorError("half precision needs a GPU: omit --amp")
    return target, target.type == "cuda" if amp is None else amp


def _inference_pipeline(config: Config) -> list[dict[str, Any]]:
    """The test pipeline without the steps that load annotations."""
    pipeline = config.test_dataloader.dataset.to_dict()["pipeline"]
    return [step for step in pipeline if step["type"] not in _ANNOTATION_STEPS]


def _build_model(config: Config, max_parts: int, score_threshold: float) -> BaseDetector:
    settings = config.model.to_dict()
    test_cfg = settings.get("test_cfg") or {}
    settings["test_cfg"] = test_cfg | {"score_thr": score_threshold, "max_per_img": max_parts}
    settings["data_preprocessor"] = with_fewer_copies(settings["data_preprocessor"])
    return MODELS.build(ConfigDict(settings))


def _load_weights(
    model: BaseDetector, weights: dict[str, Tensor], path: str | os.PathLike[str]
) -> None:
    if faults := mismatches(model.state_dict(), weights):
        raise DetectorError(
            f"{path} belongs to another model than the config: {describe_mismatches(faults)}. Use the "
            "config that it was trained with"
        )
    if broken := [name for name, value in weights.items() if not value.isfinite().all()]:
        raise DetectorError(
            f"{path}: {len(broken)} tensors hold NaN or infinity (first: {broken[0]}): the training "
            "run diverged; use another checkpoint"
        )
    model.load_state_dict(weights)


def _class_names(
    config: Config, content: dict[str, Any], model: BaseDetector, path: str | os.PathLike[str]
) -> tuple[str, ...]:
    """Names of the labels: those of the checkpoint, else of the config, else of Table I of the paper."""
    stated = (content.get("meta") or {}).get("dataset_meta", {})
    names = stated.get("classes") or () if isinstance(stated, dict) else None
    if not isinstance(names, list | tuple) or not fits([*names], [str]):
        raise DetectorError(
            f"{path}: meta.dataset_meta.classes are not names: save the state_dict alone to use the "
            "classes of the config"
        )
    metainfo = config.test_dataloader.dataset.get("metainfo") or {}
    classes = tuple(names or metainfo.get("classes") or ATTRIBUTES)
    num_classes = getattr(getattr(model, "bbox_head", None), "num_classes", len(classes))
    if num_classes != len(classes):
        raise DetectorError(
            f"the model predicts {num_classes} classes, the data set has {len(classes)}: set "
            "model.bbox_head.num_classes to that number and train again"
        )
    return classes
