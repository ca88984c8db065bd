"""The authors' checkpoint fits by renaming alone. Its names and shapes are facts of their release."""

import torch
import torchvision

from pgan.registry import MODELS

RENAMED = {
    "base.": "backbone.",
    "bottleneck.0.": "neck.",
    "classifier.0.": "classifier.",
    "attention.0.": "attention.",
    "refine_concat.0.0.": "refine_fusion.se.",
    "refine_concat.0.1.": "refine_fusion.bottleneck.",
    "refine_prop.0.0.": "refine_part.se.",
    "refine_prop.0.1.": "refine_part.bottleneck.",
    "refine_base.0.0.": "refine_global.se.",
    "refine_base.0.1.": "refine_global.bottleneck.",
}


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


def test_every_entry_has_its_place_by_renaming():
    model = MODELS.build(
        {"type": "PGAN", "backbone": {"type": "TorchvisionBackbone"}, "num_vehicles": 576}
    )
    theirs = {}
    for name, shape in authors_shapes().items():
        prefix = next(p for p in RENAMED if name.startswith(p))
        theirs[RENAMED[prefix] + name.removeprefix(prefix)] = shape
    assert theirs == {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == 36.46
    assert model.backbone(torch.zeros(1, 3, 224, 224)).shape == (1, 2048, 14, 14)
