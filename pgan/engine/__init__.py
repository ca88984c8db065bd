"""What our training runs add to mmengine's runner: safe checkpoints, exact resume, one global batch."""

from pgan.engine.checkpoint import (
    AtomicCheckpointHook,
    CheckpointError,
    latest_checkpoint,
    load_plain,
)
from pgan.engine.exact_resume import ExactResumeHook
from pgan.engine.finite_loss import BrokenTrainingError, FiniteLossHook
from pgan.engine.global_batch import GlobalBatchHook
from pgan.engine.layer_decay import LayerDecayConstructor
from pgan.engine.memory_format import ChannelsLastHook
from pgan.engine.reid_metric import FingerprintHook, ReIDMetric
from pgan.engine.runner import CheckedRunner
from pgan.engine.seeding import seed_worker
from pgan.engine.training_lock import TrainingLockError, training_alone

__all__ = [
    "AtomicCheckpointHook",
    "BrokenTrainingError",
    "ChannelsLastHook",
    "CheckedRunner",
    "CheckpointError",
    "ExactResumeHook",
    "FingerprintHook",
    "FiniteLossHook",
    "GlobalBatchHook",
    "LayerDecayConstructor",
    "ReIDMetric",
    "TrainingLockError",
    "latest_checkpoint",
    "load_plain",
    "seed_worker",
    "training_alone",
]
