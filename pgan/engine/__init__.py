"""What our training runs add to mmengine's runner: safe checkpoints and reproducible epochs."""

from pgan.engine.checkpoint import (
    AtomicCheckpointHook,
    CheckpointError,
    latest_checkpoint,
    load_plain,
)
from pgan.engine.exact_resume import ExactResumeHook
from pgan.engine.memory_format import ChannelsLastHook
from pgan.engine.seeding import seed_worker

__all__ = [
    "AtomicCheckpointHook",
    "ChannelsLastHook",
    "CheckpointError",
    "ExactResumeHook",
    "latest_checkpoint",
    "load_plain",
    "seed_worker",
]
