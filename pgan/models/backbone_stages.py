"""torchvision's classification models as chains of stages, from the image to a feature map."""

from __future__ import annotations

from collections import OrderedDict
from itertools import takewhile

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import ResNet, SwinTransformer, VisionTransformer

from pgan.models.errors import ModelError
from pgan.models.ibn import SUFFIX, insert_ibn
from pgan.models.vision_transformer import MapEncoder

Stages = OrderedDict[str, nn.Module]

# Half as wide again as high, so that a map with its channels last is told from one with them first.
_PROBE_SIZE = (128, 192)


def build_model(name: str) -> nn.Module:
    """A model of torchvision by name, or with ``_ibn_a`` behind it a ResNet as IBN-Net-a; random weights.

    Raises:
        ModelError: No such model.
    """
    plain = name.removesuffix(SUFFIX)
    known = plain in torchvision.models.list_models(module=torchvision.models)
    model = torchvision.models.get_model(plain, weights=None) if known else None
    if model is None or (plain != name and not isinstance(model, ResNet)):
        raise ModelError(
            f"backbone.name={name!r} is no classification model of torchvision "
            f"{torchvision.__version__}, nor one of its ResNets with {SUFFIX!r} behind; see "
            "torchvision.models.list_models()."
        )
    if plain != name:
        insert_ibn(model)
    return model


def cut_into_stages(model: nn.Module, name: str, out: str | None) -> Stages:
    """The model's stages in order up to ``out``, pooling and classifier left off.

    Raises:
        ModelError: No such stage, or a model that is no chain of stages.
    """
    if isinstance(model, VisionTransformer):
        return _until(out, name, {"conv_proj": model.conv_proj, "encoder": MapEncoder(model)})
    if isinstance(model, SwinTransformer):
        # Its maps have the channels last.
        stages = _until(out, name, {**dict(model.features.named_children()), "norm": model.norm})
        return OrderedDict(stages, permute=model.permute)
    heads = ("avgpool", "global_pool", "fc", "classifier", "dropout")
    children = getattr(model, "features", model).named_children()
    stages = _until(out, name, dict(takewhile(lambda item: item[0] not in heads, children)))
    _refuse_unless_chain(model, name, stages)
    return stages


def remove_last_stride(stages: nn.Sequential, name: str) -> None:
    """Give stride 1 to the last block that downsamples, shortcut included.

    Raises:
        ModelError: It downsamples by something else than convolutions of stride 2.
    """
    block: nn.Module = stages
    while isinstance(block, nn.Sequential):
        block = next((child for child in reversed(block) if _strided(child)), nn.Identity())
    layers = _strided(block)
    if not layers or any(not isinstance(m, nn.Conv2d) or m.stride != (2, 2) for m in layers):
        raise ModelError(
            f"{name} downsamples last by pooling or patches, not by a convolution of stride 2: set "
            "backbone.last_stride=2."
        )
    for layer in layers:
        setattr(layer, "stride", (1, 1))  # noqa: B010 - typed as a tensor or a module


@torch.no_grad()
def probe(module: nn.Module) -> Tensor:
    """What a module makes of an image that is wider than high."""
    height, width = _PROBE_SIZE
    image = torch.linspace(-1, 1, 3 * height * width).view(1, 3, height, width)
    training = module.training
    try:
        return module.eval()(image)
    finally:
        module.train(training)


def _until(out: str | None, name: str, stages: dict[str, nn.Module]) -> Stages:
    names = list(stages)
    if out is not None and out not in stages:
        raise ModelError(f"backbone.out={out!r} is no stage of {name}: {', '.join(names)}.")
    last = names.index(out) if out is not None else len(names) - 1
    return OrderedDict((key, stages[key]) for key in names[: last + 1])


def _refuse_unless_chain(model: nn.Module, name: str, stages: Stages) -> None:
    """Make certain that the stages in a row do what the model does, and that a map comes out."""
    seen: list[Tensor] = []
    last = list(stages.values())[-1]
    handle = last.register_forward_hook(lambda *hook: seen.append(hook[2].clone()))
    try:
        probe(model)
        ours = probe(nn.Sequential(stages))
    except (RuntimeError, TypeError, AssertionError) as error:
        raise _no_chain(name) from error
    finally:
        handle.remove()
    if not (isinstance(ours, Tensor) and seen and torch.equal(seen[0], ours)):
        raise _no_chain(name)
    # Convolutions without padding take a cell or two off the proportion.
    height, width = _PROBE_SIZE
    if ours.ndim != 4 or abs(ours.shape[3] - ours.shape[2] * width / height) > 2:
        raise _no_chain(name)


def _no_chain(name: str) -> ModelError:
    return ModelError(
        f"backbone.name={name!r} is not a chain of stages that gives a (B, C, H, W) map; take a ResNet, VGG, "
        "DenseNet, MobileNet, EfficientNet, RegNet, ConvNeXt, Swin or ViT."
    )


def _strided(module: nn.Module) -> list[nn.Module]:
    """The convolutions and poolings in a module that downsample."""
    layers = [m for m in module.modules() if hasattr(m, "kernel_size")]
    return [layer for layer in layers if layer.stride not in (1, (1, 1))]
