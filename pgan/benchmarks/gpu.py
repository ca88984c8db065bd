"""What the library does on one GPU, measured in a few minutes; ``tools/benchmark.py --suite gpu`` prints it.

Every item runs on any device and at toy size, so the suite is tested without a GPU.
"""

from __future__ import annotations

import itertools
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from pgan.benchmarks.attention_reference import literal_part_guidance
from pgan.benchmarks.models import random_part_boxes
from pgan.benchmarks.noise_images import draw_jpegs
from pgan.benchmarks.timing import paired_medians
from pgan.evaluation import FeatureSet, evaluate
from pgan.models.part_attention import PartAttention, guide_features
from pgan.models.part_masks import part_masks
from pgan.registry import MODELS
from pgan.structures import ReIDSample

Figures = dict[str, float | str]
BUDGET = 420.0  # seconds after which no further item starts; the longest takes less than a minute
_ROOT = Path(__file__).resolve().parents[2]
_EXACT = ("mAP", "Rank-1", "Rank-5", "mINP")


class GPUError(ValueError):
    """The suite cannot run on this device."""


@dataclass(frozen=True)
class Sizes:
    """How much work each item does.

    Attributes:
        repeats: Timed rounds; medians are reported.
        attention: B, D, C and side of the feature map.
        backbone: Config keys of the ResNet under PGAN and its baseline.
        images: Batch size of inference and training steps.
        side: Height and width of their input in pixels.
        queries, gallery, dimensions: Of the evaluation.
        detectors: Name -> config, of the extraction.
        jpegs: Images extracted by each detector.
        compiler: Backend of ``torch.compile``.
    """

    repeats: int = 5
    attention: tuple[int, int, int, int] = (64, 8, 2048, 14)
    backbone: Mapping[str, Any] = field(default_factory=lambda: {"name": "resnet50"})
    images: int = 64
    side: int = 224
    queries: int = 1678
    gallery: int = 11579
    dimensions: int = 512
    detectors: tuple[tuple[str, str], ...] = (
        ("ssdlite", "configs/detector/ssdlite_mobilenetv2_parts.py"),
        ("ssd512", "configs/detector/ssd512_vgg16_parts.py"),
    )
    jpegs: int = 2048
    compiler: str = "inductor"


TOY = Sizes(
    repeats=1,
    attention=(2, 3, 16, 6),
    backbone={"name": "resnet18", "out": "layer1", "last_stride": 2},
    images=4,
    side=32,
    queries=12,
    gallery=40,
    dimensions=8,
    detectors=(("ssdlite", "configs/detector/ssdlite_resnet_parts.py"),),
    jpegs=6,
    compiler="eager",
)


def run_suite(
    device: str = "cuda",
    sizes: Sizes = Sizes(),
    budget: float = BUDGET,
    report: Callable[[dict[str, Any]], None] = lambda results: None,
) -> dict[str, Any]:
    """Measure all items in order, each within the time that is left.

    An item that fails is reported with its message, one that the time does not allow as skipped; both leave
    the others alone.

    Args:
        device: Where to measure.
        sizes: How much work each item does.
        budget: Seconds after which no further item starts.
        report: Called with all results so far after each item, so that a killed run loses nothing.

    Returns:
        ``machine``, and under ``items`` a dict of figures for each item: medians in seconds (``_s``) or
        milliseconds (``_ms``), ratios and rates; or ``error``, or ``skipped``.

    Raises:
        GPUError: ``device`` is a GPU, and torch sees none.
    """
    target = torch.device(device)
    if target.type == "cuda" and not torch.cuda.is_available():
        raise GPUError(
            "--suite gpu: torch sees no GPU, so nothing was measured; --toy tries it on the CPU"
        )
    start = time.monotonic()
    results: dict[str, Any] = {"machine": _machine(target, sizes), "items": {}}
    for name, measure in _items(target, sizes):
        left = budget - (time.monotonic() - start)
        if left <= 0:
            results["items"][name] = {"skipped": f"the budget of {budget:.0f} s is spent"}
        else:
            began = time.monotonic()
            try:
                figures: dict[str, Any] = dict(measure())
            except Exception as error:  # one item must not cost the others
                figures = {"error": f"{type(error).__name__}: {error}".partition("\n")[0]}
            results["items"][name] = figures | {"took_s": time.monotonic() - began}
        report(results)
    return results


def _machine(device: torch.device, sizes: Sizes) -> dict[str, str]:
    on_gpu = device.type == "cuda"
    return {
        "card": torch.cuda.get_device_name(device) if on_gpu else f"CPU, {platform.machine()}",
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "none" if on_gpu else "not used",
        "python": platform.python_version(),
        "date": date.today().isoformat(),
        "seed": "0",
        "sizes": "toy" if sizes == TOY else "full",
    }


def _items(device: torch.device, sizes: Sizes) -> Iterator[tuple[str, Callable[[], Figures]]]:
    """The items, those first that say most in a short time."""
    yield "part_attention", partial(part_attention, device, sizes)
    for amp in (False, True):
        precision = "amp" if amp else "fp32"
        yield f"inference_{precision}", partial(inference, device, sizes, amp)
        yield f"training_{precision}", partial(training, device, sizes, amp)
    yield "evaluation", partial(evaluation, device, sizes)
    for name, config in sizes.detectors:
        yield f"extraction_{name}", partial(extraction, device, sizes, config)
    yield "end_to_end", partial(end_to_end, device, sizes)
    for name, config in sizes.detectors:
        yield f"compiled_{name}", partial(compiled, device, sizes, config)


def part_attention(device: torch.device, sizes: Sizes) -> Figures:
    """Part attention by matrix products against PGAN's Eqs. 2 and 3 as written, forward and backward."""
    batch, parts, channels, side = sizes.attention
    torch.manual_seed(0)
    features = torch.randn(batch, channels, side, side, device=device).relu_().requires_grad_()
    masks = part_masks(random_part_boxes(batch, parts, side * 16), (side * 16,) * 2, (side,) * 2)
    masks = masks.to(device)
    attention = PartAttention(channels).to(device)
    upstream = torch.randn(batch, channels, side, side, device=device)

    def ours() -> Tensor:
        return guide_features(features, masks, attention(features, masks))

    def literal() -> Tensor:
        return literal_part_guidance(features, masks, attention)[1]

    def step(forward: Callable[[], Tensor]) -> Callable[[], None]:
        def run() -> None:
            features.grad = None
            attention.zero_grad()
            forward().backward(upstream)

        return run

    with torch.no_grad():
        error = (ours() - literal()).abs().max().item()
    steps = {"ours": step(ours), "literal": step(literal)}
    seconds = paired_medians(steps, sizes.repeats)
    peaks = {f"{name}_peak_bytes": _peak_bytes(device, run) for name, run in steps.items()}
    return {
        "speedup": seconds["literal"] / seconds["ours"],
        "ours_ms": 1000 * seconds["ours"],
        "literal_ms": 1000 * seconds["literal"],
        "max_error": error,
        **peaks,
    }


def _peak_bytes(device: torch.device, run: Callable[[], object]) -> float:
    """Bytes that a call allocates on a GPU at its peak, beside those held before; NaN on a CPU."""
    if device.type != "cuda":
        return float("nan")
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    return float(torch.cuda.max_memory_allocated(device) - before)


def inference(device: torch.device, sizes: Sizes, amp: bool) -> Figures:
    """Inference of PGAN over its baseline, with both memory formats."""
    runs = {}
    for channels_last in (False, True):
        for name in ("Baseline", "PGAN"):
            model = _model(name, device, sizes, channels_last).eval()
            inputs, samples = _batch(device, sizes)
            key = f"{name.lower()}_{'channels_last' if channels_last else 'contiguous'}"
            runs[key] = _forward(model, inputs, samples, amp)
    seconds = paired_medians(runs, sizes.repeats)
    return {
        "pgan_over_baseline": seconds["pgan_channels_last"] / seconds["baseline_channels_last"],
        "pgan_over_baseline_contiguous": seconds["pgan_contiguous"]
        / seconds["baseline_contiguous"],
        "pgan_images_per_s": sizes.images / seconds["pgan_channels_last"],
        **{f"{name}_ms": 1000 * value for name, value in seconds.items()},
    }


def training(device: torch.device, sizes: Sizes, amp: bool) -> Figures:
    """A training step of PGAN over one of its baseline: forward, backward and the optimizer's step."""
    runs, losses = {}, {}
    for name in ("Baseline", "PGAN"):
        model = _model(name, device, sizes, channels_last=True).train()
        runs[name.lower()], losses[name.lower()] = _training_step(model, device, sizes, amp)
    seconds = paired_medians(runs, sizes.repeats)
    last = {f"{name}_loss": values[-1].item() for name, values in losses.items()}
    return {
        "pgan_over_baseline": seconds["pgan"] / seconds["baseline"],
        "pgan_images_per_s": sizes.images / seconds["pgan"],
        **{f"{name}_ms": 1000 * value for name, value in seconds.items()},
        **last,
        "finite": str(all(np.isfinite(loss) for loss in last.values())),
    }


def _training_step(
    model: nn.Module, device: torch.device, sizes: Sizes, amp: bool
) -> tuple[Callable[[], None], list[Tensor]]:
    inputs, samples = _batch(device, sizes)
    optimizer = torch.optim.Adam(model.parameters(), 3.5e-4)
    scaler = torch.amp.GradScaler(device.type, enabled=amp and device.type == "cuda")
    losses: list[Tensor] = []

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with _autocast(device, amp):
            parts = model(inputs, samples, mode="loss")
            loss = sum((v for k, v in parts.items() if "loss" in k), torch.zeros((), device=device))
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.detach())

    return step, losses


def _model(name: str, device: torch.device, sizes: Sizes, channels_last: bool) -> nn.Module:
    torch.manual_seed(0)
    backbone = {"type": "TorchvisionBackbone", **sizes.backbone}
    config = {"type": name, "backbone": backbone, "num_vehicles": max(2, sizes.images // 4)}
    with DefaultScope.overwrite_default_scope("pgan"):
        return MODELS.build({**config, "channels_last": channels_last}).to(device)


def _batch(device: torch.device, sizes: Sizes) -> tuple[Tensor, list[ReIDSample]]:
    """Random images with eight part boxes each; four images of each vehicle, as a PK sampler gives."""
    torch.manual_seed(0)
    inputs = torch.randn(sizes.images, 3, sizes.side, sizes.side).to(device)
    boxes = random_part_boxes(sizes.images, 8, sizes.side)
    vehicles = max(2, sizes.images // 4)
    return inputs, [
        ReIDSample(part_boxes=b, vehicle_label=index % vehicles) for index, b in enumerate(boxes)
    ]


def _forward(
    model: nn.Module, inputs: Tensor, samples: list[ReIDSample], amp: bool
) -> Callable[[], object]:
    def run() -> object:
        with torch.inference_mode(), _autocast(inputs.device, amp):
            return model(inputs, samples, mode="tensor")

    return run


def _autocast(device: torch.device, amp: bool) -> Any:
    """Half precision on a GPU, bfloat16 on a CPU, which has no float16 kernels for all layers."""
    dtype = torch.float16 if device.type == "cuda" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype) if amp else nullcontext()


def evaluation(device: torch.device, sizes: Sizes) -> Figures:
    """Exact ranking on the device against the CPU: time, and the largest difference of a metric."""
    rng = np.random.default_rng(0)
    count = sizes.queries + sizes.gallery
    features = rng.standard_normal((count, sizes.dimensions)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    vehicles = rng.integers(0, max(2, sizes.gallery // 20), count)
    roles = np.array(["query"] * sizes.queries + ["gallery"] * sizes.gallery)
    names = np.array([f"{row}.jpg" for row in range(count)])
    cameras = rng.integers(0, 20, count)
    test = FeatureSet(features, vehicles, cameras, roles, names, protocol="cross-camera")

    def run(where: str) -> dict[str, float]:
        metrics = evaluate(test, device=where).metrics()
        return {name.rpartition("/")[2]: value for name, value in metrics.items()}

    runs = {"device": lambda: run(str(device)), "cpu": lambda: run("cpu")}
    seconds = paired_medians(runs, min(sizes.repeats, 3))
    found, expected = run(str(device)), run("cpu")
    return {
        "speedup": seconds["cpu"] / seconds["device"],
        "device_ms": 1000 * seconds["device"],
        "cpu_ms": 1000 * seconds["cpu"],
        "max_difference": max(abs(found[name] - expected[name]) for name in _EXACT),
        "mAP": found["mAP"],
    }


def extraction(device: torch.device, sizes: Sizes, config: str) -> Figures:
    """Images per second of an extraction, JPEG files in and part cache out, and of its network alone.

    Half and single precision, both memory formats, and one against several decoding workers; against
    ``mmdet.apis.DetInferencer``, which returns boxes without a cache.
    """
    from mmengine.config import Config

    from pgan.benchmarks.extraction import inferencer, random_detector_weights

    with tempfile.TemporaryDirectory(prefix="gpu_suite_") as folder:
        root = Path(folder)
        names = list(draw_jpegs(root, sizes.jpegs))
        cfg = Config.fromfile(_ROOT / config)
        weights = random_detector_weights(cfg, root / "weights.pth")
        rate: dict[str, float] = {}
        on_gpu = device.type == "cuda"
        batch = 64 if on_gpu else 2
        for name, amp, channels_last, workers in (
            ("fp32", False, True, None),
            ("fp32_contiguous", False, False, None),
            ("amp", True, True, None),
            ("amp_no_workers", True, True, 0),
        ):
            if not amp or on_gpu:
                seconds = _extract(cfg, weights, root, names, device, amp, channels_last, workers)
                rate[f"{name}_images_per_s"] = len(names) / seconds
        for name, amp in (("network_fp32", False), ("network_amp", True)):
            if not amp or on_gpu:
                seconds = _network_seconds(cfg, weights, device, amp, batch, sizes)
                rate[f"{name}_images_per_s"] = batch / seconds
        few = [str(root / name) for name in names[:256]]
        mmdet = inferencer(cfg, weights, str(device), few, batch, "SSDHead")
        rate["det_inferencer_images_per_s"] = len(few) / paired_medians({"": mmdet}, 1)[""]
    return {
        **rate,
        "speedup_fp32": rate["fp32_images_per_s"] / rate["det_inferencer_images_per_s"],
        "batch": batch,
    }


def _detector(cfg: Any, weights: str, device: torch.device, amp: bool) -> Any:
    from detector.extraction.loading import load_detector

    return load_detector(cfg, weights, 16, device=str(device), amp=amp)


def _extract(
    cfg: Any,
    weights: str,
    root: Path,
    names: list[str],
    device: torch.device,
    amp: bool,
    channels_last: bool,
    workers: int | None,
) -> float:
    """Seconds of a whole extraction, after a warm-up on a few images."""
    from detector.extraction.extractor import extract

    detector = _detector(cfg, weights, device, amp)
    if not channels_last:
        model = detector.model.to(memory_format=torch.contiguous_format)
        detector = replace(detector, model=model)
    runs = itertools.count()
    key = f"{device.type}_{amp}_{channels_last}_{workers}"

    def run(images: list[str]) -> float:
        out = root / f"cache_{key}_{next(runs)}"
        return extract(detector, root, images, out, workers=workers, progress=False).seconds

    run(names[:64])
    return run(names)


def _network_seconds(
    cfg: Any,
    weights: str,
    device: torch.device,
    amp: bool,
    batch: int,
    sizes: Sizes,
    compiler: str | None = None,
) -> float:
    """Median seconds of a batch through the detector's network alone, without post-processing."""
    detector = _detector(cfg, weights, device, amp)
    side = cfg.test_dataloader.dataset.pipeline[1].scale[0]
    inputs = torch.randn(batch, 3, side, side).to(device, memory_format=torch.channels_last)
    model = detector.model

    def network(images: Tensor) -> Any:
        return model.bbox_head(model.extract_feat(images))

    forward = torch.compile(network, backend=compiler) if compiler else network

    def run() -> None:
        with torch.inference_mode(), _autocast(device, amp):
            forward(inputs)

    return paired_medians({"": run}, max(sizes.repeats, 3), warmup=3 if compiler else 1)[""]


def compiled(device: torch.device, sizes: Sizes, config: str) -> Figures:
    """The detector's network with ``torch.compile`` against the same without, and the seconds to compile."""
    from mmengine.config import Config

    from pgan.benchmarks.extraction import random_detector_weights

    amp, batch = device.type == "cuda", 64 if device.type == "cuda" else 2
    with tempfile.TemporaryDirectory(prefix="gpu_suite_") as folder:
        cfg = Config.fromfile(_ROOT / config)
        weights = random_detector_weights(cfg, Path(folder) / "weights.pth")
        eager = _network_seconds(cfg, weights, device, amp, batch, sizes)
        start = time.monotonic()
        fast = _network_seconds(cfg, weights, device, amp, batch, sizes, sizes.compiler)
        both = time.monotonic() - start
    return {
        "speedup": eager / fast,
        "eager_images_per_s": batch / eager,
        "compiled_images_per_s": batch / fast,
        "with_compiling_s": both,
        "precision": "amp" if amp else "fp32",
    }


def end_to_end(device: torch.device, sizes: Sizes) -> Figures:
    """Images per second from JPEG files to features: decoding, part detection, PGAN."""
    from mmengine.config import Config

    from pgan.apis import load_config
    from pgan.benchmarks.extraction import random_detector_weights
    from pgan.inference.feature_extractor import FeatureExtractor
    from pgan.inference.part_finder import PartFinder
    from pgan.inference.vehicle_reid import embed_images

    with tempfile.TemporaryDirectory(prefix="gpu_suite_") as folder:
        root = Path(folder)
        count = max(sizes.jpegs // 4, 4)
        files = [str(root / name) for name in draw_jpegs(root, count)]
        config = str(_ROOT / sizes.detectors[0][1])
        weights = random_detector_weights(Config.fromfile(config), root / "detector.pth")
        model = _model("PGAN", torch.device("cpu"), sizes, channels_last=True)
        torch.save({"state_dict": model.state_dict(), "meta": {}}, root / "pgan.pth")
        size = f"({sizes.side},{sizes.side})"
        cfg = load_config(
            str(_ROOT / "configs/pgan/pgan_r50_1xb64-130e_veri776-224x224.py"),
            {"image_size": (sizes.side, sizes.side), "model.channels_last": True}
            | {"model.backbone.weights": None}
            | {f"model.backbone.{key}": value for key, value in sizes.backbone.items()},
        )
        extractor = FeatureExtractor(cfg, str(root / "pgan.pth"), str(device))
        finder = PartFinder((config, weights), extractor.num_parts, str(device))

        def run() -> None:
            for _ in embed_images(extractor, finder, files, batch_size=min(64, count)):
                pass

        seconds = paired_medians({"": run}, 1)[""]
    return {"images_per_s": count / seconds, "images": count, "input": size}
