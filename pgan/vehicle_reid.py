"""Images in; parts, features and attention out."""

from __future__ import annotations

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from pgan.apis import refuse_foreign_weights
from pgan.engine import load_plain
from pgan.models import ReIDModel
from pgan.registry import MODELS


def load_reid_model(cfg: Config, checkpoint: str, device: str | None = None) -> ReIDModel:
    """The trained model of a config, in evaluation mode.

    Args:
        cfg: Of `pgan.apis.load_reid_config`.
        checkpoint: Its weights.
        device: ``'cpu'``, ``'cuda'`` …; None for a GPU where there is one.

    Raises:
        CheckpointError: The weights are of another model, or cannot be read.
    """
    init_default_scope(cfg.get("default_scope", "pgan"))
    model: ReIDModel = MODELS.build({**cfg.model, "num_vehicles": None})
    refuse_foreign_weights(model, checkpoint)
    state = load_plain(checkpoint)
    model.load_state_dict(state.get("state_dict", state), strict=False)
    return model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
