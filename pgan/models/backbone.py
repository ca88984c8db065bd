"""torchvision's classification models as backbones."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from itertools import takewhile
from pathlib import Path

import torch
import torchvision
from mmengine.model import Sequential
from torch import Tensor, nn

from pgan.models.errors import ModelError
from pgan.registry import MODELS

# Half as wide again as high, so that a map with its channels last is told from one with them first.
_PROBE_SIZE = (128, 192)


@MODELS.register_module()
class TorchvisionBackbone(Sequential):
    """A torchvision classification model up to one of its feature maps.

    The model is cut into its stages, named as torchvision names them: the children of the model itself
    (ResNet and its kin: ``layer1`` ... ``layer4``) or of its ``features`` (VGG, MobileNet, EfficientNet,
    ConvNeXt, DenseNet ...: ``'0'``, ``'1'`` ...). Weights are read by ``init_weights``, which mmengine
    calls before training and not before testing.

    Args:
        name: Model, such as ``'resnet50'``; see ``torchvision.models.list_models()``.
        last_stride: 1 or 2, stride of the last stage kept. 1 doubles the map's height and width over 2
            and changes no weight.
        out: Last stage kept; None for the last one before pooling.
        weights: None for random ones; a name such as ``'DEFAULT'`` or ``'IMAGENET1K_V2'`` for torchvision's
            download; otherwise a local file with a state dict of the model, classifier or not.

    Attributes:
        out_channels (int): Channels of the feature map.

    Raises:
        ModelError: Unknown model or stage, a model that is no chain of stages, or no stride to change.
    """

    def __init__(
        self,
        name: str = "resnet50",
        last_stride: int = 1,
        out: str | None = None,
        weights: str | None = None,
    ) -> None:
        if name not in torchvision.models.list_models(module=torchvision.models):
            raise ModelError(
                f"backbone.name={name!r} is no classification model of torchvision "
                f"{torchvision.__version__}; see torchvision.models.list_models()."
            )
        model = torchvision.models.get_model(name, weights=None)
        stages = _stages(model, name, out)
        super().__init__(stages)
        self.model_name, self.weights = name, weights
        self._model_keys = set(model.state_dict())
        self._prefix = "features." if hasattr(model, "features") else ""
        self.out_channels = self._probe(model)
        if last_stride == 1:
            _remove_last_stride(self, name)
        elif last_stride != 2:
            raise ModelError(f"backbone.last_stride={last_stride!r}: it is 1 or 2.")

    @torch.no_grad()
    def _probe(self, model: nn.Module) -> int:
        """Channels of the map, once it is certain that the stages in a row do what the model does."""
        height, width = _PROBE_SIZE
        image = torch.linspace(-1, 1, 3 * height * width).view(1, 3, height, width)
        seen: list[Tensor] = []
        last = list(self)[-1]
        handle = last.register_forward_hook(lambda *hook: seen.append(hook[2].clone()))
        training = model.training
        try:
            model.eval()(image)
            ours = self.eval()(image)
        except (RuntimeError, TypeError, AssertionError) as error:
            raise self._no_chain() from error
        finally:
            handle.remove()
            self.train(training)
        if not (isinstance(ours, Tensor) and seen and torch.equal(seen[0], ours)):
            raise self._no_chain()
        # Convolutions without padding take a cell or two off the proportion.
        if ours.ndim != 4 or abs(ours.shape[3] - ours.shape[2] * width / height) > 2:
            raise self._no_chain()
        return ours.shape[1]

    def _no_chain(self) -> ModelError:
        return ModelError(
            f"backbone.name={self.model_name!r} is not a chain of stages that gives a (B, C, H, W) map; "
            "take a ResNet, VGG, DenseNet, MobileNet, EfficientNet, RegNet or ConvNeXt."
        )

    def init_weights(self) -> None:
        """Load the weights that the config names.

        Raises:
            ModelError: No such weights, no network to download them, or a file that does not fit.
        """
        if self.weights is None:
            return
        known = torchvision.models.get_model_weights(self.model_name).__members__
        if self.weights == "DEFAULT" or self.weights in known:
            state = self._download()
        elif Path(self.weights).is_file():
            state = self._read(Path(self.weights))
        else:
            raise ModelError(
                f"backbone.weights={self.weights!r} is neither a file nor one of torchvision's weights of "
                f"{self.model_name}: {', '.join(known)}, DEFAULT."
            )
        self._load(state)

    def _download(self) -> dict[str, Tensor]:
        weights = torchvision.models.get_model_weights(self.model_name)[self.weights]
        try:
            return weights.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f"Cannot download {weights.url} ({error}). Without a network, copy that file here and set "
                "model.backbone.weights to its path, or to None for random weights."
            ) from error

    def _read(self, path: Path) -> dict[str, Tensor]:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise ModelError(
                f"backbone.weights={str(path)!r} cannot be read as plain tensors: save it anew with "
                "torch.save(model.state_dict(), path)."
            ) from error
        state = state.get("state_dict", state) if isinstance(state, dict) else {}
        if not state or not all(isinstance(value, Tensor) for value in state.values()):
            raise ModelError(f"backbone.weights={str(path)!r} holds no state dict of tensors.")
        return state

    def _load(self, state: dict[str, Tensor]) -> None:
        """Load what belongs to our stages; the model's later stages and classifier may be there or not."""
        own = {self._prefix + key: value for key, value in self.state_dict().items()}
        # Files older than torch 0.4.1 lack the counters.
        missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
        unknown = [key for key in state if key not in self._model_keys]
        reshaped = [k for k in own if k in state and state[k].shape != own[k].shape]
        for fault, keys in (("lacks", missing), ("has unknown", unknown), ("misshapes", reshaped)):
            if keys:
                raise ModelError(
                    f"backbone.weights={self.weights!r} does not fit {self.model_name}: it {fault} "
                    f"{len(keys)} entries, the first is {keys[0]!r}."
                )
        used = {key.removeprefix(self._prefix): state[key] for key in own if key in state}
        self.load_state_dict(used, strict=False)


def _stages(model: nn.Module, name: str, out: str | None) -> OrderedDict[str, nn.Module]:
    """The model's stages in order up to ``out``, pooling and classifier left off."""
    heads = ("avgpool", "global_pool", "fc", "classifier", "dropout")
    children = getattr(model, "features", model).named_children()
    stages = OrderedDict(takewhile(lambda item: item[0] not in heads, children))
    if out is None:
        return stages
    if out not in stages:
        raise ModelError(f"backbone.out={out!r} is no stage of {name}: {', '.join(stages)}.")
    names = list(stages)
    return OrderedDict((key, stages[key]) for key in names[: names.index(out) + 1])


def _remove_last_stride(stages: nn.Sequential, name: str) -> None:
    """Give stride 1 to the last block that downsamples, shortcut included."""
    block: nn.Module = stages
    while isinstance(block, nn.Sequential):
        block = next((child for child in reversed(block) if _strided(child)), nn.Identity())
    layers = _strided(block)
    if not layers or not all(isinstance(layer, nn.Conv2d) for layer in layers):
        raise ModelError(
            f"{name} downsamples last by pooling, not by a convolution: set backbone.last_stride=2."
        )
    for layer in layers:
        layer.stride = (1, 1)


def _strided(module: nn.Module) -> list[nn.Module]:
    """The convolutions and poolings in a module that downsample."""
    layers = [m for m in module.modules() if hasattr(m, "kernel_size")]
    return [layer for layer in layers if layer.stride not in (1, (1, 1))]
