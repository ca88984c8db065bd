"""The base class of all models: neck, classifier, losses and the three forward modes."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn

from pgan.models.errors import ModelError
from pgan.models.heads import BNNeck, Classifier
from pgan.registry import MODELS
from pgan.structures import ReIDSample


@dataclass
class Extracted:
    """The features of a batch of B images.

    Attributes:
        feature: (B, C) float32 feature before the neck; several branches are concatenated.
        branches: Name of a metric loss -> its (B, C) float32 feature, for the requested losses.
        part_weights: (B, D) float32 attention weights, None for a model without parts.
        guided: (B, C, h, w) part-guided map F_p (PGAN, Eq. 3); for a model without parts, the map F_g.
    """

    feature: Tensor
    branches: dict[str, Tensor] = field(default_factory=dict)
    part_weights: Tensor | None = None
    guided: Tensor | None = None


class ReIDModel(BaseModel):
    """Base class of the re-identification models, which compute one feature per image.

    The loss is the sum of ``loss_weights[name] * loss``. A loss of weight 0 is off, and layers that only it
    would train are not built. If the classifier of a checkpoint has another number of vehicles, everything
    else is loaded with a warning: testing needs no classifier, and fine-tuning starts with a new one.

    Args:
        backbone: Config of a registered module with an attribute ``out_channels``, whose forward returns a
            (B, C, H, W) map or a sequence that ends with one.
        feature_dim: Dimension of the test feature, 2C' in PGAN's paper; or the dimensions of its branches,
            each with its own classifier; or a function that computes these from the backbone's
            ``out_channels``.
        num_vehicles: Number of training vehicles; None builds a model for testing only.
        loss_weights: Weights by name that override ``default_loss_weights``.
        metric_losses: Configs of the metric losses, `BatchHardTripletLoss` or `MetricLearningLoss`, which are
            summed on each branch. A loss of weight 0 is off; if all are off, so are the losses on branches.
        label_smoothing: Share of each label that the cross-entropy spreads over all vehicles.
        channels_last: Run in channels-last memory format, nearly twice as fast on a CPU.
        data_preprocessor: Config of the data preprocessor, `ReIDDataPreprocessor` by default.

    Raises:
        ModelError: A loss has an unknown name or a negative weight.
    """

    default_loss_weights: ClassVar[dict[str, float]]

    def __init__(
        self,
        backbone: dict,
        feature_dim: int | Sequence[int] | Callable[[int], Sequence[int]] = 512,
        num_vehicles: int | None = None,
        loss_weights: dict[str, float] | None = None,
        metric_losses: Sequence[dict] = ({"type": "BatchHardTripletLoss", "margin": 0.3},),
        label_smoothing: float = 0.0,
        channels_last: bool = False,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or {"type": "ReIDDataPreprocessor"}))
        self.loss_weights = self._checked({**self.default_loss_weights, **(loss_weights or {})})
        self.metric_losses = nn.ModuleList(
            MODELS.build(loss) for loss in metric_losses if loss.get("weight", 1) > 0
        )
        self.label_smoothing = label_smoothing
        self.channels_last = channels_last
        self.backbone = MODELS.build(backbone)
        if callable(feature_dim):
            feature_dim = feature_dim(self.backbone.out_channels)
        dims = [feature_dim] if isinstance(feature_dim, int) else list(feature_dim)
        self.neck = BNNeck(
            sum(dims)
        )  # normalises each channel on its own, so one neck serves all branches
        self.classifier: Classifier | None = None
        if not self.is_on("loss_id"):
            # The neck still updates its statistics, but nothing trains its scale.
            self.neck.weight.requires_grad_(False)
        elif num_vehicles is not None:
            self.classifier = Classifier(dims, num_vehicles)

    def _checked(self, weights: dict[str, float]) -> dict[str, float]:
        for name, weight in weights.items():
            if name not in self.default_loss_weights:
                known = ", ".join(self.default_loss_weights)
                raise ModelError(
                    f"model.loss_weights has no {name!r} in {type(self).__name__}: use {known}."
                )
            if weight < 0:
                raise ModelError(f"model.loss_weights.{name}={weight}: a weight must be 0 or more.")
        return weights

    def is_on(self, loss: str) -> bool:
        """Whether the loss of this name is on."""
        return self.loss_weights[loss] > 0 and (loss == "loss_id" or len(self.metric_losses) > 0)

    def use_memory_format(self) -> None:
        """Convert the weights to the memory format of ``channels_last``; called last in each constructor."""
        if self.channels_last:
            self.to(memory_format=torch.channels_last)

    @abstractmethod
    def forward_head(
        self, features: Tensor, image_size: tuple[int, int], parts: Tensor | None, train: bool
    ) -> Extracted:
        """Compute the features of a batch from the backbone's feature map.

        Args:
            features: (B, C, H, W) feature map of the backbone.
            image_size: Height and width of the network's input in pixels.
            parts: (B, D, 4) float32 boxes in those pixels, or (B, D, h, w) bool masks; None for a model
                without parts.
            train: Whether to run the branches that only the losses use.
        """

    def needs_parts(self) -> bool:
        """Return whether the model uses part boxes."""
        return False

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[ReIDSample] | None = None,
        mode: str = "tensor",
    ) -> dict[str, Tensor] | list[ReIDSample] | Tensor:
        """Run the model.

        Args:
            inputs: (B, 3, H, W) float32 normalised images.
            data_samples: B samples, with ``vehicle_label`` if losses are computed, and with ``part_boxes`` or
                ``part_masks`` if the model uses parts.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            ``'loss'``: weighted losses by name, and ``acc``, the accuracy in percent of the summed logits of
            all classifiers.
            ``'predict'``: the samples with ``feature`` and, with parts, ``part_weights``: float32, CPU.
            ``'tensor'``: (B, C) float32 L2-normalised features.

        Raises:
            ModelError: Unknown mode, or samples that lack what the mode needs.
        """
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples)
        if mode == "tensor":
            return self._embed(self.attend(inputs, data_samples))
        raise ModelError(f"mode={mode!r}: use 'loss', 'predict' or 'tensor'.")

    def loss(self, inputs: Tensor, data_samples: Sequence[ReIDSample] | None) -> dict[str, Tensor]:
        """Compute the weighted terms of the loss, such as PGAN's Eq. 5; see ``forward``."""
        labels = self._labels(data_samples).to(inputs.device)
        extracted = self.extract_feat(inputs, self._parts_on(inputs, data_samples), train=True)
        neck = self.neck(extracted.feature)
        losses = {
            name: self.loss_weights[name]
            * sum(loss(feature, labels) for loss in self.metric_losses)
            for name, feature in extracted.branches.items()
        }
        if self.classifier is not None:
            logits = self.classifier(neck)
            smoothed = partial(F.cross_entropy, label_smoothing=self.label_smoothing)
            losses["loss_id"] = self.loss_weights["loss_id"] * sum(
                smoothed(x, labels) for x in logits
            )
            losses["acc"] = 100 * (sum(logits).argmax(1) == labels).float().mean()
        return losses

    def predict(
        self, inputs: Tensor, data_samples: Sequence[ReIDSample] | None
    ) -> list[ReIDSample]:
        """Store the feature of each image in its sample; see ``forward``."""
        extracted = self.attend(inputs, data_samples)
        samples = data_samples or [ReIDSample() for _ in inputs]
        # Clone, since sending a row to another process would send the whole batch with it.
        for sample, feature in zip(samples, self._embed(extracted).cpu()):
            sample.feature = feature.clone()
        if extracted.part_weights is not None:
            for sample, weights in zip(samples, extracted.part_weights.cpu()):
                sample.part_weights = weights.clone()
        return list(samples)

    def attend(self, inputs: Tensor, data_samples: Sequence[ReIDSample] | None) -> Extracted:
        """Compute the features and attention of a batch, for inspection; arguments as in ``forward``."""
        return self.extract_feat(inputs, self._parts_on(inputs, data_samples))

    def infer(self, inputs: Tensor, parts: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Compute features from tensors alone, for applications and export.

        Args:
            inputs: (B, 3, H, W) float32 normalised images.
            parts: See `forward_head`.

        Returns:
            (B, C) float32 L2-normalised features, and (B, D) float32 part weights or None.
        """
        extracted = self.extract_feat(inputs, parts)
        return self._embed(extracted), extracted.part_weights

    def _parts_on(self, inputs: Tensor, data_samples: Sequence[ReIDSample] | None) -> Tensor | None:
        return self._parts(data_samples).to(inputs.device) if self.needs_parts() else None

    def extract_feat(
        self, inputs: Tensor, parts: Tensor | None = None, train: bool = False
    ) -> Extracted:
        """Run backbone and head on images.

        Args:
            inputs: (B, 3, H, W) float32 normalised images.
            parts: See `forward_head`.
            train: See `forward_head`.
        """
        if self.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        features = self.backbone(inputs)
        features = features if isinstance(features, Tensor) else features[-1]
        height, width = inputs.shape[2:]
        return self.forward_head(features, (height, width), parts, train)

    def _embed(self, extracted: Extracted) -> Tensor:
        return F.normalize(self.neck(extracted.feature).float())

    def _labels(self, data_samples: Sequence[ReIDSample] | None) -> Tensor:
        if self.is_on("loss_id") and self.classifier is None:
            raise ModelError(
                "Training needs model.num_vehicles, the number of vehicles in the training split."
            )
        if not data_samples or any("vehicle_label" not in sample for sample in data_samples):
            raise ModelError("Training needs a vehicle_label in every sample.")
        labels = [int(sample.vehicle_label) for sample in data_samples]
        if self.classifier is not None and max(labels) >= self.classifier.out_features:
            raise ModelError(
                f"vehicle_label {max(labels)} does not fit model.num_vehicles="
                f"{self.classifier.out_features}: set it to the number of training vehicles."
            )
        return torch.tensor(labels)

    def _parts(self, data_samples: Sequence[ReIDSample] | None) -> Tensor:
        samples = data_samples or []
        # The caches of a union may hold boxes in one and masks in another; a batch cannot mix them.
        masked = any("part_masks" in sample for sample in samples)
        name = "part_masks" if masked else "part_boxes"
        if not samples or any(name not in sample for sample in samples):
            raise ModelError(
                "The part caches of a batch hold boxes and masks: use one kind for all data sets."
                if masked
                else f"{type(self).__name__} needs part_boxes in every sample: "
                "set part_cache of the data set."
            )
        parts = [sample.get(name) for sample in samples]
        counts = sorted({len(part) for part in parts})
        if len(counts) > 1:
            raise ModelError(
                f"The samples of a batch have {counts[0]} and {counts[1]} part slots: pad them to one number."
            )
        return torch.stack([torch.as_tensor(part) for part in parts])

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *args: object, **kwargs: object
    ) -> None:
        key = f"{prefix}classifier.weight"
        if key in state_dict and self.classifier is None:
            del state_dict[key]
        elif (
            self.classifier
            and key in state_dict
            and state_dict[key].shape != self.classifier.weight.shape
        ):
            warnings.warn(
                f"The checkpoint's classifier has {len(state_dict[key])} vehicles, the model "
                f"{self.classifier.out_features}: the model keeps its own.",
                stacklevel=2,
            )
            state_dict[key] = self.classifier.weight.detach()
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
