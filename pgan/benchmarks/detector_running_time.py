"""The detector's share of a running time: the network and its post-processing, images being read."""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope

from detector.extraction.part_detector import PartDetector


def detection(
    config: Config, batch_size: int, device: str, max_parts: int = 8
) -> Callable[[], object]:
    """A call that finds the parts of a batch of random images of the config's size, in float32.

    Weights are random: how many boxes there are to suppress depends on them little, since all scores count.

    Args:
        config: Of a detector.
        batch_size: Images at once.
        device: 'cpu' or 'cuda'.
        max_parts: D, boxes kept of an image.
    """
    init_default_scope(config.get("default_scope", "mmdet"))
    settings = config.model.to_dict()
    test_cfg = settings.get("test_cfg") or {}
    settings["test_cfg"] = test_cfg | {"score_thr": 0.0, "max_per_img": max_parts}
    torch.manual_seed(0)
    model = MODELS.build(settings).to(device, memory_format=torch.channels_last).eval()
    pipeline = config.test_dataloader.dataset.pipeline
    width, height = next(step.scale for step in pipeline if step.type == "Resize")
    sample = {
        "img_shape": (height, width),
        "ori_shape": (height, width),
        "scale_factor": (1.0, 1.0),
    }
    batch = [
        {
            "inputs": torch.randint(0, 256, (3, height, width), dtype=torch.uint8),
            "data_samples": DetDataSample(metainfo=sample),
        }
        for _ in range(batch_size)
    ]
    detector = PartDetector(model, [], (), {}, "", torch.device(device), amp=False)
    return lambda: detector.detect(batch)
