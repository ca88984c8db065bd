"""Learning rates that fall from the head to the first layer of a pretrained backbone."""

from __future__ import annotations

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from pgan.errors import ConfigError
from pgan.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(DefaultOptimWrapperConstructor):
    """Multiply the rate of each layer of a `TimmBackbone` by a power of a factor.

    What stands behind the backbone keeps its rate; the last layer of the backbone has ``layer_decay`` times
    that, the one before ``layer_decay ** 2`` times, and so on down to the patches (Clark et al., "ELECTRA",
    ICLR 2020; Bao et al., "BEiT", ICLR 2022). Layers are those that timm groups the model's parameters into.

    ``paramwise_cfg`` takes ``layer_decay``, above 0 and at most 1, beside mmengine's keys:

    ``optim_wrapper=dict(constructor='pgan.LayerDecayConstructor', paramwise_cfg=dict(layer_decay=0.75))``

    Raises:
        ConfigError: ``layer_decay`` is missing or out of range, or the backbone is not one of timm's.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimiser of a model."""
        from timm.models import group_parameters

        decay = self.paramwise_cfg.get("layer_decay")
        if not isinstance(decay, int | float) or not 0 < decay <= 1:
            raise ConfigError(
                f"optim_wrapper.paramwise_cfg.layer_decay={decay!r}: it is above 0 and at most 1."
            )
        model = getattr(model, "module", model)
        backbone: Any = getattr(getattr(model, "backbone", None), "model", None)
        if not hasattr(backbone, "group_matcher"):
            raise ConfigError(
                "LayerDecayConstructor needs a TimmBackbone, whose layers timm numbers: remove "
                "optim_wrapper.constructor, or change model.backbone."
            )
        layers = group_parameters(backbone, backbone.group_matcher(coarse=False), reverse=True)
        depth = max(layers.values()) + 1
        parameters = dict(backbone.named_parameters())
        scales = {id(parameters[k]): decay ** (depth - n) for k, n in layers.items()}
        wrapper = super().__call__(model)
        for group in wrapper.optimizer.param_groups:  # one for each parameter
            group["lr"] *= scales.get(id(group["params"][0]), 1.0)
        return wrapper
