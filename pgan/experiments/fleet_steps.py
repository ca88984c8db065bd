"""The steps from nothing to a part cache: render a fleet, train and test a detector, cache its boxes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pgan.apis import load_config
from pgan.experiments.steps import Step


def fleet_steps(
    fleet: Path, spec: Mapping[str, Any], detector: str, reid: str, folder: Path, cache: Path
) -> list[Step]:
    """The commands, in order.

    Args:
        fleet: Folder of the fleet.
        spec: Options of ``tools/make_fleet.py``, as ``images_per_vehicle=12``.
        detector: Config of the detector.
        reid: Config of a re-identification model, whose images are extracted.
        folder: Where the detector is trained.
        cache: Folder of the part cache.
    """
    weights = folder / f"epoch_{load_config(detector).train_cfg.max_epochs}.pth"
    render = [
        word for name, value in spec.items() for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    data = ["--work-dir", str(folder), "--cfg-options", f"data_root={fleet / 'parts_voc'}"]
    extract = ["--dataset", reid, "--data-root", str(fleet), "--out", str(cache)]
    return [
        Step(
            "Render a fleet of vehicles",
            ["tools/make_fleet.py", str(fleet), *render],
            fleet / "fleet.json",
            25,
        ),
        Step(
            "Train a detector of 16 parts",
            ["tools/train.py", detector, "--resume", *data],
            weights,
            65,
        ),
        Step(
            "Test the detector",
            ["tools/test.py", detector, str(weights), *data],
            folder / "results.json",
            20,
        ),
        Step(
            "Cache the detector's boxes in every image",
            ["tools/extract_parts.py", detector, str(weights), *extract],
            cache / "manifest.json",
            25,
        ),
    ]
