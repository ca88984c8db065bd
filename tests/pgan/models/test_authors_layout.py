"""The authors' checkpoints: names, shapes, bytes and features. Names and shapes are those of the release."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import Tensor

import pgan.datasets  # noqa: F401  (registers the transforms)
from pgan.apis import load_matching_weights
from pgan.engine.checkpoint import CheckpointError
from pgan.models.authors import RELEASED_MODEL, authors_name, convert_checkpoint, convert_state
from pgan.models.pgan import PGAN
from pgan.models.reid_model import ReIDModel
from pgan.registry import MODELS, TRANSFORMS
from pgan.structures import ReIDSample

SMALL = {
    "type": "PGAN",
    "backbone": {"type": "TorchvisionBackbone", "name": "resnet18", "out": "layer2"},
    "feature_dim": 64,
    "attention_channels": 48,
}
RESNET18 = {**SMALL, "backbone": {"type": "TorchvisionBackbone", "name": "resnet18"}}


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    shapes = {
        f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")
    }
    return {**shapes, f"{name}.num_batches_tracked": ()}


def refine(name: str, inside: int, out: int) -> dict[str, tuple[int, ...]]:
    block, width = f"{name}.0.1", out // 4
    return {
        f"{name}.0.0.fc.0.weight": (inside // 8, inside),
        f"{name}.0.0.fc.2.weight": (inside, inside // 8),
        **norm(f"{block}.bn1", inside),
        f"{block}.conv1.weight": (width, inside, 1, 1),
        **norm(f"{block}.bn2", width),
        f"{block}.conv2.weight": (width, width, 3, 3),
        **norm(f"{block}.bn3", width),
        f"{block}.conv3.weight": (out, width, 1, 1),
        f"{block}.conv4.weight": (out, inside, 1, 1),
    }


def authors_shapes() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        resnet = torchvision.models.resnet50().state_dict()
    return {
        **{f"base.{k}": tuple(v.shape) for k, v in resnet.items() if not k.startswith("fc.")},
        **norm("bottleneck.0", 512),
        "classifier.0.weight": (576, 512),
        **refine("refine_concat", 4096, 512),
        **refine("refine_prop", 2048, 256),
        **refine("refine_base", 2048, 256),
        "attention.0.linear1.weight_g": (),
        "attention.0.linear1.weight_v": (512, 2048),
        "attention.0.ln1.weight": (512,),
        "attention.0.ln1.bias": (512,),
        "attention.0.linear2.weight_g": (),
        "attention.0.linear2.weight_v": (2048, 512),
    }


@pytest.fixture(scope="module")
def released() -> PGAN:
    return MODELS.build({**RELEASED_MODEL, "num_vehicles": 576})


def test_authors_name_covers_every_tensor_of_the_release(released: PGAN) -> None:
    ours = {authors_name(name): tuple(v.shape) for name, v in released.state_dict().items()}
    assert ours == authors_shapes()
    assert len(ours) == 393
    assert round(sum(p.numel() for p in released.parameters()) / 1e6, 2) == 36.46
    assert released.backbone(torch.zeros(1, 3, 224, 224)).shape == (1, 2048, 14, 14)


def test_convert_state_round_trips_released_layout(released: PGAN) -> None:
    # Expanded scalars suffice as tensors, since renaming copies nothing.
    state = {name: torch.zeros(()).expand(shape) for name, shape in authors_shapes().items()}
    ours = convert_state(state, released, "ours")
    assert list(ours) == list(released.state_dict())
    back = convert_state(ours, released, "authors")
    assert back.keys() == state.keys()
    assert all(back[name] is state[name] for name in state)


# --- files -----------------------------------------------------------------------------------


def random_state(vehicles: int = 5) -> dict[str, Tensor]:
    """A small checkpoint in the authors' layout, in which all tensors differ."""
    model = MODELS.build({**SMALL, "num_vehicles": vehicles})
    generator = torch.Generator().manual_seed(1)
    return {
        authors_name(name): torch.randn(value.shape, generator=generator)
        if value.is_floating_point()
        else torch.randint(9999, value.shape, generator=generator)
        for name, value in model.state_dict().items()
    }


def same_bytes(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype
        and a[k].shape == b[k].shape
        and a[k].numpy().tobytes() == b[k].numpy().tobytes()
        for k in a
    )


@pytest.mark.parametrize("wrapped", ["plain", "state_dict", "module"])
def test_convert_checkpoint_round_trip_keeps_bytes(tmp_path: Path, wrapped: str) -> None:
    state = random_state()
    named = {f"module.{k}": v for k, v in state.items()} if wrapped == "module" else state
    content = named if wrapped == "plain" else {"state_dict": named, "epoch": 120}
    torch.save(content, tmp_path / "model_best.pth")
    done = convert_checkpoint(tmp_path / "model_best.pth", tmp_path / "ours.pth", model=SMALL)
    assert done.num_vehicles == 5
    assert done.tensors == len(state)
    assert done.left_out == (() if wrapped == "plain" else ("epoch",))
    convert_checkpoint(tmp_path / "ours.pth", tmp_path / "back.pth", "authors", SMALL)
    assert same_bytes(torch.load(tmp_path / "back.pth", weights_only=True), state)
    # PyTorch 1.0, which the authors used, cannot read zip files.
    assert (tmp_path / "back.pth").read_bytes()[:2] != b"PK"


def test_non_finite_weight_is_not_converted(tmp_path: Path) -> None:
    state = random_state()
    state["bottleneck.0.weight"][3] = math.nan
    torch.save(state, tmp_path / "theirs.pth")
    with pytest.raises(CheckpointError, match=r"theirs.pth: 'neck.weight' holds NaN or infinity"):
        convert_checkpoint(tmp_path / "theirs.pth", tmp_path / "ours.pth", model=SMALL)
    assert not (tmp_path / "ours.pth").exists()


def test_convert_checkpoint_writes_loadable_checkpoint(tmp_path: Path) -> None:
    torch.save(random_state(), tmp_path / "theirs.pth")
    convert_checkpoint(tmp_path / "theirs.pth", tmp_path / "ours.pth", model=SMALL)
    model = MODELS.build(SMALL)
    load_matching_weights(model, str(tmp_path / "ours.pth"))
    content = torch.load(tmp_path / "ours.pth", weights_only=True)
    assert content["meta"] == {"converted_from": "theirs.pth", "num_vehicles": 5}
    model.load_state_dict(content["state_dict"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"attention.0.ln1.bias": None}, "lacks 1 of .* the first is 'attention.0.ln1.bias'"),
        ({"classifier.0.weight": None}, "lacks 1 of .* the first is 'classifier.0.weight'"),
        ({"refine_extra.0.weight": torch.ones(2)}, "1 tensors too many.*'refine_extra.0.weight'"),
        (
            {"bottleneck.0.weight": torch.ones(65)},
            r"'bottleneck.0.weight' with \(65,\) where the model has \(64,\)",
        ),
        ({"module.classifier.0.weight": torch.ones(2)}, "'classifier.0.weight' twice"),
    ],
)
def test_convert_checkpoint_names_missing_unexpected_or_misshapen_tensor(
    tmp_path: Path, change: dict, words: str
) -> None:
    state = {k: v for k, v in {**random_state(), **change}.items() if v is not None}
    torch.save(state, tmp_path / "theirs.pth")
    with pytest.raises(CheckpointError, match=rf"theirs.pth: .*{words}"):
        convert_checkpoint(tmp_path / "theirs.pth", tmp_path / "ours.pth", model=SMALL)
    assert [file.name for file in tmp_path.iterdir()] == ["theirs.pth"]


def test_other_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save(random_state(), tmp_path / "theirs.pth")
    with pytest.raises(CheckpointError, match="layout of 'authors' already: convert it to 'ours'"):
        convert_checkpoint(tmp_path / "theirs.pth", tmp_path / "a.pth", "authors", SMALL)
    with pytest.raises(CheckpointError, match="is there already"):
        convert_checkpoint(tmp_path / "theirs.pth", tmp_path / "theirs.pth", model=SMALL)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        convert_checkpoint(tmp_path / "nowhere.pth", tmp_path / "a.pth", model=SMALL)
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(CheckpointError, match="holds no state dict of tensors"):
        convert_checkpoint(tmp_path / "empty.pth", tmp_path / "a.pth", model=SMALL)
    torch.save({"x": Path("code")}, tmp_path / "code.pth")
    with pytest.raises(CheckpointError, match="not a checkpoint of tensors"):
        convert_checkpoint(tmp_path / "code.pth", tmp_path / "a.pth", model=SMALL)


# --- features --------------------------------------------------------------------------------


def literal_feature(state: dict[str, Tensor], images: Tensor, masks: Tensor) -> Tensor:
    """The release's test feature on a ResNet-18, step by step from its description, in plain torch.

    Args:
        state: In the authors' layout.
        images: (B, 3, H, W).
        masks: (B, D, h, w) float, none of them empty.

    Returns:
        (B, C) L2-normalised.
    """
    resnet = torchvision.models.resnet18()
    resnet.layer4[0].conv1.stride = resnet.layer4[0].downsample[0].stride = (1, 1)
    base = {k.removeprefix("base."): v for k, v in state.items() if k.startswith("base.")}
    resnet.load_state_dict(base, strict=False)
    resnet.eval()
    x = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(images))))
    f_g = resnet.layer4(resnet.layer3(resnet.layer2(resnet.layer1(x))))

    def weight_normed(name: str) -> Tensor:
        v = state[f"attention.0.{name}.weight_v"]
        return state[f"attention.0.{name}.weight_g"] * v / v.norm()

    # Mask-guided average pooling of every part, with the tensor of masked maps.
    parts = masks[:, :, None] * f_g[:, None]
    pooled = parts.sum((3, 4)) / masks.sum((2, 3))[:, :, None]
    hidden = F.layer_norm(
        pooled @ weight_normed("linear1").T,
        (len(weight_normed("linear1")),),
        state["attention.0.ln1.weight"],
        state["attention.0.ln1.bias"],
    )
    logits = (F.relu(hidden) @ weight_normed("linear2").T).mean(-1)
    weights = (10 * logits).softmax(1)
    f_p = (weights[:, :, None, None] * masks).sum(1, keepdim=True) * f_g + f_g
    feature = literal_refine(state, "refine_concat.0", torch.cat([f_g, f_p], 1)).mean((2, 3))
    return F.normalize(literal_norm(state, "bottleneck.0", feature))


def literal_norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    mean, var, weight, bias = (
        state[f"{name}.{part}"].view(1, -1, *[1] * (x.ndim - 2))
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def literal_refine(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    squeezed = F.relu(x.mean((2, 3)) @ state[f"{name}.0.fc.0.weight"].T)
    x = x * (squeezed @ state[f"{name}.0.fc.2.weight"].T).sigmoid()[:, :, None, None]
    block = f"{name}.1"
    first = F.relu(literal_norm(state, f"{block}.bn1", x))
    y = F.conv2d(first, state[f"{block}.conv1.weight"])
    y = F.relu(literal_norm(state, f"{block}.bn2", y))
    y = F.conv2d(y, state[f"{block}.conv2.weight"], padding=1)
    y = F.relu(literal_norm(state, f"{block}.bn3", y))
    y = F.conv2d(y, state[f"{block}.conv3.weight"])
    return y + F.conv2d(first, state[f"{block}.conv4.weight"])


def plausible_state(model: ReIDModel) -> dict[str, Tensor]:
    """The initial weights of the model, with statistics and scales other than 0 and 1."""
    generator = torch.Generator().manual_seed(2)
    state = {}
    for name, value in model.state_dict().items():
        noise = torch.rand(value.shape, generator=generator)
        if name.endswith(("running_var", "weight_g")) or (
            name.endswith("weight") and value.ndim == 1
        ):
            value = value * (0.5 + noise)
        elif name.endswith(("running_mean", "bias")):
            value = 0.2 * (noise - 0.5)
        state[authors_name(name)] = value
    return state


@pytest.fixture(scope="module")
def literal_model() -> tuple[ReIDModel, dict[str, Tensor]]:
    """A PGAN on a ResNet-18, and its state in the authors' layout."""
    model = MODELS.build({**RESNET18, "num_vehicles": 5}).eval()
    state = plausible_state(model)
    model.load_state_dict(convert_state(state, model, "ours"))
    return model, state


@pytest.mark.parametrize("channels_last", [False, True])
def test_converted_weights_reproduce_features_of_the_release(
    literal_model: tuple, channels_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, state = literal_model
    monkeypatch.setattr(model, "channels_last", channels_last)
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    masks = torch.rand(3, 6, 4, 4, generator=torch.Generator().manual_seed(4)) < 0.4
    masks[:, :, 0, 0] = True
    samples = [ReIDSample(part_masks=mask) for mask in masks]
    with torch.no_grad():
        ours = model(images, samples, mode="tensor")
        theirs = literal_feature(state, images, masks.float())
    assert ours.shape == (3, 64)
    # The features of different images differ, so equality is meaningful.
    assert (theirs[0] - theirs[1]).abs().max() > 1e-2
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert math.isclose(ours.norm(dim=1).mean(), 1, abs_tol=1e-5)


def test_pipeline_reproduces_features_of_the_release(literal_model: tuple, tmp_path: Path) -> None:
    model, state = literal_model
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    cv2.imwrite(
        str(tmp_path / "a.jpg"), cv2.resize(pixels, (101, 118), interpolation=cv2.INTER_CUBIC)
    )
    masks = torch.rand(6, 4, 4, generator=torch.Generator().manual_seed(4)) < 0.4
    masks[:, 0, 0] = True
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    steps = [
        {"type": "LoadReIDImage"},
        {"type": "PillowResize", "size": (64, 64), "antialias": True},
        {"type": "ToFloat"},
        {"type": "torchvision/Normalize", "mean": mean, "std": std},
        {"type": "PackReID"},
    ]
    record = {"image_file": str(tmp_path / "a.jpg"), "part_masks": masks.numpy()}
    for step in steps:
        record = TRANSFORMS.build(step)(record)
    image = Image.open(tmp_path / "a.jpg").convert("RGB").resize((64, 64), Image.BILINEAR)
    scaled = np.asarray(image, np.float32) / 255
    normalised = (scaled - np.float32(mean)) / np.float32(std)
    with torch.no_grad():
        ours = model(record["inputs"][None], [record["data_samples"]], mode="tensor")
        inputs = torch.from_numpy(normalised).permute(2, 0, 1)[None]
        theirs = literal_feature(state, inputs, masks[None].float())
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
