"""An extraction against mmdet's DetInferencer, against its own network alone, and stage by stage."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmdet.apis import DetInferencer
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from detector.cache.writer import PartCacheWriter
from detector.common.images import read_image
from detector.common.memory import keep_freed_memory
from detector.extraction.extractor import extract
from detector.extraction.loading import load_detector
from detector.extraction.part_detector import PartDetector
from detector.extraction.worker_threads import count_worker_threads, map_in_threads
from pgan.benchmarks.noise_images import draw_jpegs
from pgan.benchmarks.timing import paired_medians

_ROOT = Path(__file__).resolve().parents[2]
_FEW = 128


def extraction_benchmark(
    config: str = "configs/detector/ssdlite_mobilenetv2_parts.py",
    images: int = 1024,
    batch_size: int = 4,
    workers: int | None = None,
    repeats: int = 5,
) -> dict[str, float]:
    """Extract the parts of JPEGs of 200 to 500 pixels a side with a detector of random weights, in float32.

    DetInferencer runs the same network, weights and sizes with mmdet's own SSD head, and returns boxes
    without drawings; ours also writes the cache. A GPU is used if there is one.

    The time of an extraction includes opening and assembling the cache, which weighs more with fewer images.
    The network alone processes as many images, everything else the first 128.

    Args:
        config: Config of a detector with `detector.model.part_head.PartSSDHead`.
        images: Images that our extraction processes.
        batch_size: Images per batch, for both.
        workers: Decoding workers of our extraction; DetInferencer has none.
        repeats: Timed rounds; medians are taken.

    Returns:
        ``speedup`` over DetInferencer; ``speedup_with_our_head`` over DetInferencer with our post-processing;
        ``over_network``, time per image over that of the network alone, with folded batch norms, on all of
        torch's threads; ``over_network_in_threads``, over that of the network alone in worker threads, as an
        extraction runs it; each stage's share of the sum of all in percent, run one after the other by one
        thread; and ``images_per_second`` of our extraction.
    """
    keep_freed_memory()  # as tools/extract_parts.py does
    with tempfile.TemporaryDirectory(prefix="extraction_") as folder:
        root = Path(folder)
        names = list(draw_jpegs(root, images))
        cfg = Config.fromfile(_ROOT / config)
        weights = random_detector_weights(cfg, root / "weights.pth")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        ours = load_detector(cfg, weights, 16, device=device, amp=False)
        few = names[:_FEW]
        stages, tensors = _stages(ours, root, few, batch_size)
        runs = itertools.count()

        def extraction() -> None:
            out = root / f"cache_{next(runs)}"
            extract(ours, root, names, out, batch_size, workers, progress=False)

        paths = [str(root / name) for name in few]
        # For as long as the extraction, and beside it: a slow spell of the machine hits both alike.
        passes = max(1, images // len(few))
        functions = {
            "ours": extraction,
            "alone": lambda: _run(ours, tensors * passes, 1),
            "in_threads": lambda: _run(ours, tensors * passes, count_worker_threads(ours.device)),
            "mmdet": inferencer(cfg, weights, device, paths, batch_size, "SSDHead"),
            "our_head": inferencer(cfg, weights, device, paths, batch_size, "PartSSDHead"),
            **{name: _by_one_thread(stage) for name, stage in stages.items()},
        }
        seconds = paired_medians(functions, repeats)
    long = {"ours": images} | dict.fromkeys(("alone", "in_threads"), passes * len(few))
    each = {name: seconds[name] / long.get(name, len(few)) for name in seconds}
    total = sum(each[stage] for stage in stages)
    return {
        "speedup": each["mmdet"] / each["ours"],
        "speedup_with_our_head": each["our_head"] / each["ours"],
        "over_network": each["ours"] / each["alone"],
        "over_network_in_threads": each["ours"] / each["in_threads"],
        **{f"{stage}_percent": 100 * each[stage] / total for stage in stages},
        "images_per_second": 1 / each["ours"],
    }


def random_detector_weights(cfg: Config, path: Path) -> str:
    """Write a checkpoint of random weights, seed 0, whose batch norms have statistics; return its path."""
    if "init_cfg" in cfg.model.backbone:
        cfg.model.backbone.init_cfg = None  # no download
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(cfg.model)
    model.init_weights()
    # Without statistics activations fade layer by layer, and all boxes have one score.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    side = cfg.test_dataloader.dataset.pipeline[1].scale[0]
    with torch.no_grad():
        model.bbox_head(model.train().extract_feat(torch.randn(8, 3, side, side)))
    torch.save({"state_dict": model.state_dict(), "meta": {}}, path)
    return str(path)


def inferencer(
    cfg: Config, weights: str, device: str, paths: list[str], batch_size: int, head: str
) -> Callable[[], object]:
    """Return a call of ``mmdet.apis.DetInferencer`` on image files, with one of two heads."""
    cfg = cfg.copy()
    cfg.model.bbox_head.type = head
    cfg.model.test_cfg.max_per_img = 16
    cfg.model.data_preprocessor.bgr_to_rgb = True  # its reader gives BGR
    for step in cfg.test_dataloader.dataset.pipeline:
        if step.type == "LoadVehicleImage":
            step.type = "LoadImageFromFile"
    inferencer = DetInferencer(cfg, weights, device=device, show_progress=False)
    inferencer.model.bbox_head.loss_cls = None  # which mmdet 3.3 reads and never sets
    return lambda: inferencer(paths, batch_size=batch_size)


def _network(detector: PartDetector, batch: torch.Tensor) -> tuple[list[torch.Tensor], ...]:
    with torch.inference_mode():
        return detector.model.bbox_head(detector.model.extract_feat(batch))


def _run(detector: PartDetector, tensors: list[torch.Tensor], lanes: int) -> None:
    for _ in map_in_threads(partial(_network, detector), tensors, lanes):
        pass


def _by_one_thread(stage: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        stage()
        torch.set_num_threads(threads)

    return run


def _stages(
    detector: PartDetector, root: Path, names: list[str], batch_size: int
) -> tuple[dict[str, Callable[[], object]], list[torch.Tensor]]:
    """Each stage on what the one before has made, and the network's inputs."""
    model = detector.model
    pictures = [read_image(root / name) for name in names]
    prepare = Compose(detector.pipeline[1:])

    def resize() -> list[dict[str, Any]]:
        facts = [
            {"img_shape": p.shape[:2], "ori_shape": p.shape[:2], "img_id": 0} for p in pictures
        ]
        return [prepare({"img": p, "img_path": "", **f}) for p, f in zip(pictures, facts)]

    items = resize()
    batches = [items[i : i + batch_size] for i in range(0, len(items), batch_size)]

    def normalise() -> list[dict[str, Any]]:
        keys = ("inputs", "data_samples")
        with torch.inference_mode():
            return [model.data_preprocessor({k: [i[k] for i in b] for k in keys}) for b in batches]

    ready = normalise()
    tensors = [batch["inputs"] for batch in ready]
    raw = [_network(detector, batch) for batch in tensors]

    def post() -> None:
        with torch.inference_mode():
            for maps, batch in zip(raw, ready):
                metas = [sample.metainfo for sample in batch["data_samples"]]
                model.bbox_head.predict_by_feat(*maps, batch_img_metas=metas, rescale=True)

    found = [parts for batch in batches for parts in detector.detect(batch)]
    runs = itertools.count()

    def write() -> None:
        writer = PartCacheWriter(root / f"written_{next(runs)}", names, detector.identity)
        results = dict(zip(names, found))
        writer.fill(results.__getitem__, progress=False)

    stages: dict[str, Callable[[], object]] = {
        "decode": lambda: [read_image(root / name) for name in names],
        "resize": resize,
        "normalise": normalise,
        "network": lambda: _run(detector, tensors, 1),
        "post_processing": post,
        "writing": write,
    }
    return stages, tensors
