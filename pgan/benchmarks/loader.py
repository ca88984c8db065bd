"""Does a training wait for its data? Its loader against its model, each alone and both together."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from detector.cache import Parts
from detector.cache.writer import PartCacheWriter
from pgan.apis import load_reid_config
from pgan.benchmarks.noise_images import draw_jpegs
from pgan.benchmarks.timing import paired_medians
from pgan.registry import MODELS

_ROOT = Path(__file__).resolve().parents[2]
_CONFIGS = {
    "r50": "configs/pgan/pgan_r50_1xb64-130e_veri776-224x224.py",
    "r18_cpu": "configs/pgan/pgan_r18-cpu_1xb64-24e_fleet-96x96.py",
}
_VEHICLES = 16  # as many as a batch of the configs has
_SIDES = {"crops": (200, 500), "large": (800, 1000)}  # pixels: from, up to


def loader_benchmark(
    configs: dict[str, str] = _CONFIGS,
    images: int = 12,
    identities: int = 4,
    batches: int = 12,
    steps: int = 4,
    repeats: int = 3,
) -> dict[str, float]:
    """How many images a second the loader of a training gives, and how many its model takes.

    The loader is the config's, of one process: it reads and decodes JPEGs of random pictures, ``crops`` of
    200 to 500 pixels a side and ``large`` ones of 800 to 1000, takes part boxes from a cache, resizes,
    augments and makes batches; ``reduced`` is with `LoadReIDImage`'s ``size``. The model, of random weights
    and in float32, does whole steps of training, forward, backward and update, on a GPU where there is one.

    Args:
        configs: Name -> config, relative to the repository.
        images: Images of each of 16 vehicles.
        identities: P on a CPU, which takes as long for an image of a small batch as of a large one; a batch
            has 4 images of each. On a GPU it is the config's.
        batches: Of the loader alone, in a round.
        steps: Of loader and model together, after those whose batches were ready at once.
        repeats: Timed rounds of either alone; medians are taken.

    Returns:
        For each name: ``model``, images a second; ``KIND_DECODING``, those of the loader alone, and
        ``…_over_model``, above 1 where the model never waits; ``workers_needed`` for crops decoded in full to
        keep up with the model, if each had a core of its own; and, of steps with both together,
        ``waiting_percent`` of the time in which the model waited for a batch, crops decoded in full.
    """
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="pgan_loader_") as folder:
        for kind, sides in _SIDES.items():
            _draw(Path(folder, kind), images, sides)
        for name, config in configs.items():
            settings = {"identities": identities, "batches": batches}
            measured = _measure(_ROOT / config, Path(folder), settings, steps, repeats)
            found |= {f"{name}_{key}": value for key, value in measured.items()}
    return found


def _measure(
    config: Path, folder: Path, settings: dict[str, int], steps: int, repeats: int
) -> dict[str, float]:
    loaders = {
        f"{kind}_{decoding}": _loader(config, folder / kind, decoding == "reduced", **settings)
        for kind, decoding in itertools.product(_SIDES, ("full", "reduced"))
    }
    step = _training_step(load_reid_config(str(config)), loaders["crops_full"])
    batch = next(iter(loaders["crops_full"]))

    # A deque of no length takes all batches and keeps none.
    runs: dict[str, Callable[[], object]] = {
        name: partial(deque, loader, maxlen=0) for name, loader in loaders.items()
    }
    seconds = paired_medians({"model": partial(step, batch), **runs}, repeats)
    size = int(loaders["crops_full"].batch_size or 1)
    model = size / seconds["model"]
    rates = {name: settings["batches"] * size / seconds[name] for name in loaders}
    waiting = _waiting_share(loaders["crops_full"], step, steps)
    return {
        "model": model,
        **rates,
        **{f"{name}_over_model": rate / model for name, rate in rates.items()},
        "workers_needed": model / rates["crops_full"],
        "waiting_percent": 100 * waiting,
    }


def _loader(
    config: Path, root: Path, reduced: bool, identities: int, batches: int
) -> DataLoader[Any]:
    """The training loader of a config, with the images of `_draw`."""
    cfg = load_reid_config(str(config), {"data_root": str(root), "part_cache": str(root / "parts")})
    settings = cfg.train_dataloader
    if not torch.cuda.is_available():
        settings.sampler.identities = identities
        settings.batch_size = identities * settings.sampler.images
    settings.update(num_workers=1, persistent_workers=True)
    settings.dataset.type = "CSVDataset"
    if reduced:
        settings.dataset.pipeline[0].size = cfg.image_size
    init_default_scope("pgan")
    loader = Runner.build_dataloader(settings, seed=0)
    _set_batches(loader, batches)
    return loader


def _set_batches(loader: DataLoader[Any], batches: int) -> None:
    """Set the length of an epoch; the PK sampler draws images again where there are too few."""
    sampler: Any = loader.sampler
    sampler.num_batches = batches


def _training_step(cfg: Config, loader: DataLoader) -> Callable[[dict[str, Any]], None]:
    """A step of training, of a model of random weights for the vehicles of that loader."""
    cfg.model.backbone.weights = None
    torch.manual_seed(0)
    dataset: Any = loader.dataset
    model = MODELS.build({**cfg.model, "num_vehicles": dataset.num_vehicles})
    model.to("cuda" if torch.cuda.is_available() else "cpu").train()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)

    def step(batch: dict[str, Any]) -> None:
        model.train_step(batch, optimizer)

    return step


def _waiting_share(loader: DataLoader, step: Callable[[dict[str, Any]], None], steps: int) -> float:
    """Share of the time in which steps wait for their batches."""
    prefetched = loader.prefetch_factor or 0
    at_once = 1 + prefetched
    _set_batches(loader, at_once + steps + prefetched)
    batches = iter(loader)
    for _ in range(at_once):
        step(next(batches))
    waited, begin = 0.0, time.perf_counter()
    for _ in range(steps):
        start = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - start
        step(batch)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return waited / (time.perf_counter() - begin)


def _draw(root: Path, images: int, sides: tuple[int, int]) -> None:
    """A data set of JPEGs and a part cache of it; seed 0."""
    rng = np.random.default_rng(0)
    root.mkdir()
    rows, found = ["path,vehicle_id,split"], {}
    sizes = draw_jpegs(root, _VEHICLES * images, sides)
    for index, (name, (height, width)) in enumerate(sizes.items()):
        rows.append(f"{name},{index % _VEHICLES},train")
        corners = np.sort(rng.random((16, 2, 2)), 1) * (width, height)
        boxes = corners.reshape(16, 4).astype(np.float32)
        scores = np.linspace(1, 0, 16, dtype=np.float32)
        found[name] = Parts(boxes, scores, np.zeros(16, np.int64), (height, width))
    (root / "index.csv").write_text("\n".join(rows))
    identity = {"classes": ["part"], "max_parts": 16}
    PartCacheWriter(root / "parts", list(found), identity).fill(found.__getitem__, progress=False)
