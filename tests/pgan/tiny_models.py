"""A detector and re-identification models too small to be good, as files: config, checkpoint, options."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.registry import DefaultScope

from pgan.apis import load_config

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("wheel", "plate")


class Files(NamedTuple):
    """What a tool or a program is given of a model."""

    config: str
    checkpoint: str


def tiny_reid(folder: Path, name: str = "pgan", seed: int = 0, **options: Any) -> Files:
    """PGAN, its baseline or SSR-Net with random weights on 32 x 32 pixels, D = 4."""
    from pgan.registry import MODELS

    config = (
        ROOT
        / f"configs/{'ssrnet' if name == 'ssrnet' else 'pgan'}/{name}_r18-cpu_1xb64-24e_fleet-96x96.py"
    )
    loaders = ("train_dataloader", "val_dataloader", "test_dataloader")
    small = {"image_size": (32, 32), **{f"{loader}.num_workers": 0 for loader in loaders}}
    small |= {"num_parts": 4} if name == "pgan" else {}
    small |= {"model.feature_dim": 16} if name != "ssrnet" else {}
    small |= {"test_dataloader.batch_size": 2, **options}
    cfg = load_config(str(config), small)
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope("pgan"):
        model = MODELS.build({**cfg.model, "num_vehicles": None})
    return _write(folder, f"{name}_{seed}", cfg, {"state_dict": model.state_dict()})


def tiny_detector(folder: Path) -> Files:
    """An SSDLite of two classes on 64 x 64 pixels, initialised as for training."""
    from mmdet.registry import MODELS

    config = ROOT / "configs/detector/ssdlite_resnet_fleet.py"
    small = {
        "model.backbone.base_channels": 8,
        "model.backbone.stem_channels": 8,
        "model.neck.in_channels": [16, 32, 64],
        "model.neck.out_channels": 16,
        "model.bbox_head.in_channels": [16, 16, 16],
        "model.bbox_head.num_classes": len(CLASSES),
        "test_dataloader.dataset.metainfo": {"classes": list(CLASSES)},
        "test_dataloader.dataset.pipeline.1.scale": (64, 64),
    }
    cfg = load_config(str(config), small)
    torch.manual_seed(1)
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(cfg.model)
        model.init_weights()
    meta = {"dataset_meta": {"classes": CLASSES}}
    return _write(folder, "detector", cfg, {"state_dict": model.state_dict(), "meta": meta})


def _write(folder: Path, name: str, cfg: Any, checkpoint: dict) -> Files:
    folder.mkdir(parents=True, exist_ok=True)
    cfg.dump(str(folder / f"{name}.py"))
    torch.save(checkpoint, folder / f"{name}.pth")
    return Files(str(folder / f"{name}.py"), str(folder / f"{name}.pth"))
