"""The few calls a program needs: read a config, train, test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings
from torch import nn
from tqdm import tqdm

from detector.common.checkpoint import weights_of
from detector.common.errors import DetectorError
from detector.common.images import checked_size
from pgan.engine import FingerprintHook
from pgan.engine.checkpoint import CheckpointError, latest_checkpoint, load_plain
from pgan.engine.launchers import LAUNCHERS
from pgan.engine.runner import CheckedRunner
from pgan.errors import ConfigError
from pgan.registry import DATASETS

_LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
# Written once at the top of a config, and handed to each of its data sets; image_size: to their transforms.
_SHARED = ("data_root", "part_cache", "num_parts", "test_size")
# What a test needs none of: so the training images need not be there.
_TRAINING = (
    *("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler"),
    *("val_dataloader", "val_cfg", "val_evaluator"),
)

# Modules that the configs of earlier versions import, which runs keep in their work_dir.
_RENAMED = dict.fromkeys(
    ("detector.vehicle_parts", "detector.part_head", "detector.parts_metric"), "detector.model"
)


def load_config(path: str, options: dict[str, Any] | None = None) -> Config:
    """Read a config of either stage, override keys, and complete it.

    The keys ``data_root``, ``part_cache``, ``num_parts`` and ``test_size`` at the top of a
    re-identification config are handed to each of its data sets, so that ``--cfg-options num_parts=4``
    changes D everywhere. ``image_size``, height and width in pixels, goes to each of their transforms whose
    ``size`` is None; one that states its own keeps it.

    Args:
        path: Config file.
        options: Dotted keys and their values, as ``--cfg-options`` gives them.

    Raises:
        ConfigError: The file is missing or is not a config; ``image_size`` is no size, or is overridden where
            all transforms state their own; ``num_parts`` is no whole number of 0 or more.
    """
    if not Path(path).is_file():
        raise ConfigError(f"{path}: no such config file: see configs/ for those there are")
    try:
        cfg = Config.fromfile(path, import_custom_modules=False)
        cfg.merge_from_dict(options or {})
        _import_custom_modules(cfg)
    except (SyntaxError, KeyError, TypeError, OSError, AttributeError) as error:
        raise ConfigError(f"{path}: cannot be read as a config: {error}") from error
    loaders = list(filter(None, map(cfg.get, _LOADERS)))
    if loaders and "num_parts" in cfg:  # those of a study, which has no loaders, are many
        cfg.num_parts = _checked_num_parts(cfg.num_parts, path)
    for loader in loaders:
        for key in _SHARED:
            if key in cfg:
                loader.dataset[key] = cfg[key]
    if "image_size" in cfg:
        _size_transforms(cfg, path, overridden="image_size" in (options or {}))
    return cfg


def _import_custom_modules(cfg: Config) -> None:
    """Import what ``custom_imports`` names, under today's name where a run of an older version names it."""
    if custom_imports := cfg.get("custom_imports"):
        custom_imports.imports = [_RENAMED.get(name, name) for name in custom_imports.imports]
        import_modules_from_strings(**custom_imports)


def _checked_num_parts(number: Any, path: str) -> int:
    if number is not None and (type(number) is not int or number < 0):
        raise ConfigError(f"{path}: num_parts={number!r} is no number of parts: give 0 or more")
    return number or 0


def _size_transforms(cfg: Config, path: str, overridden: bool) -> None:
    """Give ``image_size`` to the transforms whose ``size`` is None."""
    loaders = filter(None, map(cfg.get, _LOADERS))
    steps = [step for loader in loaders for step in loader.dataset.get("pipeline", ())]
    unsized = [step for step in steps if step.get("size", ()) is None]
    if overridden and not unsized:
        raise ConfigError(
            f"{path}: image_size changes nothing here, where each transform states its own size: change "
            "theirs, such as test_dataloader.dataset.pipeline.1.size"
        )
    for step in unsized:
        try:
            step.size = checked_size(cfg.image_size, "image_size")
        except DetectorError as error:
            raise ConfigError(f"{path}: {error}") from None


def load_detector_config(path: str, options: dict[str, Any] | None = None) -> Config:
    """A part detector's config, loaded by `load_config`.

    Raises:
        ConfigError: The file is missing, or is not a detector config.

    >>> load_detector_config("configs/detector/ssdlite_resnet_parts.py").model.bbox_head.type
    'PartSSDHead'
    """
    cfg = load_config(path, options)
    if "data_preprocessor" not in cfg.get("model", {}) or "test_dataloader" not in cfg:
        raise ConfigError(f"{path} is not a detector config: see configs/detector")
    return cfg


def load_reid_config(path: str, options: dict[str, Any] | None = None) -> Config:
    """:func:`load_config` of a re-identification model.

    Raises:
        ConfigError: It is missing, or is a config of something else.
    """
    cfg = load_config(path, options)
    if "ReIDMetric" not in str(cfg.get("test_evaluator")):
        raise ConfigError(f"{path}: is not a re-identification config: see configs/pgan")
    return cfg


def build_runner(
    cfg: Config,
    work_dir: str,
    checkpoint: str | None = None,
    resume: bool = False,
    amp: bool = False,
    launcher: str = "none",
) -> Runner:
    """Build mmengine's runner for training or testing.

    The number of training vehicles is read off the data set where the config leaves it out.

    Args:
        cfg: Of :func:`load_config`.
        work_dir: Where logs and checkpoints go.
        checkpoint: Weights to start from, or to test.
        resume: Go on from the newest whole checkpoint in ``work_dir``; without one, start anew. A config's
            ``resume=True`` without ``load_from`` means the same.
        amp: Train with automatic mixed precision (``AmpOptimWrapper``).
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``; without a GPU the processes of ``pytorch`` talk
            through gloo.

    Raises:
        ConfigError: ``amp`` without a GPU, or another launcher than ``pytorch``; a launcher that has not
            started this process.
        DatasetError, CacheError, CheckpointError: See there; raised before training starts.
    """
    cfg.work_dir, cfg.launcher = work_dir, launcher
    cfg.load_from = checkpoint or cfg.get("load_from")
    if resume or (cfg.get("resume") and not cfg.load_from):
        newest = latest_checkpoint(work_dir)
        cfg.load_from, cfg.resume = str(newest) if newest else cfg.load_from, newest is not None
    if launcher != "none":
        _refuse_without_launcher(launcher)
        if not torch.cuda.is_available():
            _join_processes_on_cpu(cfg)
    if amp:
        if not torch.cuda.is_available():
            raise ConfigError(
                "--amp: mixed precision trains on a GPU, and torch sees none; leave it out"
            )
        cfg.optim_wrapper.type = "AmpOptimWrapper"
        cfg.optim_wrapper.setdefault("loss_scale", "dynamic")
    init_default_scope(cfg.get("default_scope", "pgan"))
    if "num_vehicles" in cfg.model and cfg.model.num_vehicles is None:
        cfg.model.num_vehicles = count_training_vehicles(cfg)
    runner = CheckedRunner.from_cfg(cfg)
    runner.register_hook(FingerprintHook())
    return runner


def _refuse_without_launcher(launcher: str) -> None:
    """Refuse a launcher that cannot be used, or has not started this process."""
    if launcher != "pytorch" and not torch.cuda.is_available():
        raise ConfigError(
            f"--launcher {launcher}: torch sees no GPU: on CPUs it is --launcher pytorch"
        )
    rank, command, further = LAUNCHERS[launcher]
    unset = [variable for variable in (rank, *further) if variable not in os.environ]
    if unset and not torch.distributed.is_initialized():
        raise ConfigError(
            f"--launcher {launcher}: {unset[0]} is not set: start by `{command}` in place of `python`, or "
            "leave --launcher out for one process"
        )


def _join_processes_on_cpu(cfg: Config) -> None:
    """Do for processes without GPUs what mmengine does for those with."""
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    cfg.setdefault("model_wrapper_cfg", {"type": "MMDistributedDataParallel"})
    unused = cfg.get("find_unused_parameters", False)
    for key, value in {"broadcast_buffers": False, "find_unused_parameters": unused}.items():
        cfg.model_wrapper_cfg.setdefault(key, value)
    cfg.model_wrapper_cfg.device_ids = None


def build_tester(cfg: Config, work_dir: str, checkpoint: str) -> Runner:
    """Build a runner that tests and does nothing else: quiet, with a bar on a terminal.

    It needs no training images, and refuses a checkpoint of another model.

    Args:
        cfg: Of :func:`load_config`.
        work_dir: Where its log goes.
        checkpoint: Weights to test.

    Raises:
        CheckpointError: See `load_matching_weights`.
    """
    for key in _TRAINING:
        cfg[key] = None
    cfg.log_level = "WARNING"
    cfg.visualizer = {"type": "Visualizer"}  # there are no curves to keep
    runner = build_runner(cfg, work_dir)
    load_weights_for_test(runner, checkpoint)
    runner.register_hook(_ProgressBar())
    return runner


class _ProgressBar(Hook):
    """Shows on a terminal how far a test has come."""

    def before_test(self, runner: Runner) -> None:
        self.bar = tqdm(total=len(runner.test_dataloader), unit="batch", leave=False, disable=None)

    def after_test_iter(self, *args: Any, **kwargs: Any) -> None:
        self.bar.update()

    def after_test(self, runner: Runner) -> None:
        self.bar.close()


def load_matching_weights(model: nn.Module, checkpoint: str) -> None:
    """Read a checkpoint once, check that it is one of this model, and load it.

    mmengine would load the entries that fit and test random weights for the others. The classifier is not
    compared: a test does not use it.

    Raises:
        CheckpointError: The file cannot be read, or an entry of the model is missing or of another shape.
    """
    weights = weights_of(load_plain(checkpoint))
    state = model.state_dict()
    fitting = {k: v for k, v in weights.items() if k in state and state[k].shape == v.shape}
    wanted = [name for name in state if not name.startswith("classifier.")]
    if missing := [name for name in wanted if name not in fitting]:
        raise CheckpointError(
            f"{checkpoint}: is not a checkpoint of this config's {type(model).__name__}: {len(missing)} of its "
            f"{len(wanted)} entries are missing or have another shape, the first is {missing[0]!r}; test it "
            "with the config it was trained with"
        )
    model.load_state_dict(fitting, strict=False)


def load_weights_for_test(runner: Runner, checkpoint: str) -> None:
    """Load the weights that a runner tests, so that mmengine does not read the file again.

    Raises:
        CheckpointError: See `load_matching_weights`.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    load_matching_weights(model, checkpoint)
    runner._has_loaded = True


def count_training_vehicles(cfg: Config) -> int | None:
    """Count the identities of the training split, or return None if the config trains on nothing."""
    if not cfg.get("train_dataloader"):
        return None
    dataset = ConfigDict(cfg.train_dataloader.dataset, part_cache=None, num_parts=0, pipeline=[])
    return DATASETS.build(dataset).num_vehicles
