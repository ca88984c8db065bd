"""torchvision's classification models as backbones."""

from __future__ import annotations

from pathlib import Path

from mmengine.model import Sequential
from torch import Tensor
from torchvision.models import get_model_weights

from detector.common.checkpoint import read_checkpoint, weights_of
from pgan.models.backbone_stages import build_model, cut_into_stages, probe, remove_last_stride
from pgan.models.errors import ModelError
from pgan.models.ibn import SUFFIX
from pgan.registry import MODELS


@MODELS.register_module()
class TorchvisionBackbone(Sequential):
    """A classification model of torchvision, cut after one of its stages.

    Stages have torchvision's names: the children of the model (ResNets: ``layer1`` ... ``layer4``) or of its
    ``features`` (VGG, MobileNet, EfficientNet, ConvNeXt, DenseNet, Swin: ``'0'``, ``'1'`` ...). The map of a
    Swin is converted to channels first after its ``norm``; that of a ViT holds its tokens without the class
    token (`MapEncoder`). Weights are loaded by ``init_weights``, which mmengine calls before training, not
    before testing.

    Args:
        name: Model, such as ``'resnet50'``; see ``torchvision.models.list_models()``. ``'_ibn_a'`` after the
            name of a ResNet selects IBN-Net-a (`IBN`), whose weights are read from a local file.
        last_stride: Stride of the last stage, 1 or 2. Stride 1 doubles the height and width of the map and
            changes no weight.
        out: Last stage that is kept, as text or number; None for the last one before pooling.
        weights: None for random weights; a name such as ``'DEFAULT'`` or ``'IMAGENET1K_V2'`` for a download
            by torchvision; otherwise a local file with a state dict of the model, with or without classifier.

    Attributes:
        out_channels (int): Channels of the feature map.

    Raises:
        ModelError: The model or stage is unknown, the model is not a chain of stages, or it has no stride to
            change.
    """

    def __init__(
        self,
        name: str = "resnet50",
        last_stride: int = 1,
        out: str | int | None = None,
        weights: str | None = None,
    ) -> None:
        model = build_model(name)
        super().__init__(cut_into_stages(model, name, None if out is None else str(out)))
        self.model_name, self.weights = name, weights
        tensors = model.state_dict(keep_vars=True)
        self._model_keys = set(tensors)
        names = {id(tensor): key for key, tensor in tensors.items()}
        own = self.state_dict(keep_vars=True)
        self._names_in_file = {key: names[id(tensor)] for key, tensor in own.items()}
        self.out_channels = probe(self).shape[1]
        if last_stride == 1:
            remove_last_stride(self, name)
        elif last_stride != 2:
            raise ModelError(f"backbone.last_stride={last_stride!r}: use 1 or 2.")

    def init_weights(self) -> None:
        """Load the weights given in the config.

        Raises:
            ModelError: There are no such weights, they cannot be downloaded, or the file does not fit.
        """
        if self.weights is None:
            return
        ours = self.model_name.endswith(SUFFIX)
        known = {} if ours else get_model_weights(self.model_name).__members__
        if known and self.weights in ("DEFAULT", *known):
            state = self._download()
        elif Path(self.weights).is_file():
            state = self._read(Path(self.weights))
        else:
            raise ModelError(
                f"backbone.weights={self.weights!r} is neither a file nor one of torchvision's weights of "
                f"{self.model_name}: {', '.join([*known, 'DEFAULT'] if known else ['it has none'])}."
            )
        self._load(state)

    def _download(self) -> dict[str, Tensor]:
        weights = get_model_weights(self.model_name)[self.weights]
        try:
            return weights.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f"Cannot download {weights.url} ({error}). Without a network, copy that file here and set "
                "model.backbone.weights to its path, or to None for random weights."
            ) from error

    def _read(self, path: Path) -> dict[str, Tensor]:
        try:
            return weights_of(read_checkpoint(path, ModelError))
        except ModelError as error:
            raise ModelError(f"backbone.weights: {error}") from error

    def _load(self, state: dict[str, Tensor]) -> None:
        """Load the weights of our stages; the file may also hold later stages and the classifier."""
        own = {self._names_in_file[key]: value for key, value in self.state_dict().items()}
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
        used = {key: state[name] for key, name in self._names_in_file.items() if name in state}
        self.load_state_dict(used, strict=False)
