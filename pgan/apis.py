"""The few calls a program needs: read a config, train, test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
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
from pgan.engine.wrappers import bare_model
from pgan.errors import ConfigError
from pgan.registry import DATASETS

_LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
# Top-level keys that are copied to each data set.
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
    """Load a config of the detector or of re-identification, and override keys.

    The top-level keys ``data_root``, ``part_cache``, ``num_parts`` and ``test_size`` of a re-identification
    config are copied to each of its data sets, so that ``--cfg-options num_parts=4`` changes D everywhere.
    ``image_size``, height and width in pixels, is copied to each transform whose ``size`` is None; a
    transform with a size of its own keeps it.

    Args:
        path: Config file.
        options: Dotted keys and their values, as ``--cfg-options`` gives them.

    Raises:
        ConfigError: The file is missing or is not a config; ``image_size`` is not a size, or is overridden
            where all transforms have their own; ``num_parts`` is not an integer of at least 0.
    """
    if not Path(path).is_file():
        raise ConfigError(f"{path}: no such config file: see configs/")
    try:
        cfg = Config.fromfile(path, import_custom_modules=False)
        cfg.merge_from_dict(options or {})
        _import_custom_modules(cfg)
    except (SyntaxError, KeyError, TypeError, OSError, AttributeError) as error:
        raise ConfigError(f"{path}: cannot be read as a config: {error}") from error
    loaders = list(filter(None, map(cfg.get, _LOADERS)))
    if loaders and "num_parts" in cfg:  # a study has no loaders, and a list of num_parts
        cfg.num_parts = _checked_num_parts(cfg.num_parts, path)
    for loader in loaders:
        for key in _SHARED:
            if key in cfg:
                loader.dataset[key] = cfg[key]
    if "image_size" in cfg:
        _size_transforms(cfg, path, overridden="image_size" in (options or {}))
    return cfg


def _import_custom_modules(cfg: Config) -> None:
    """Import the modules of ``custom_imports``; names of earlier versions are replaced by today's."""
    if custom_imports := cfg.get("custom_imports"):
        custom_imports.imports = [_RENAMED.get(name, name) for name in custom_imports.imports]
        import_modules_from_strings(**custom_imports)


def _checked_num_parts(number: Any, path: str) -> int:
    if number is not None and (type(number) is not int or number < 0):
        raise ConfigError(f"{path}: num_parts={number!r} must be an integer of at least 0")
    return number or 0


def _size_transforms(cfg: Config, path: str, overridden: bool) -> None:
    """Copy ``image_size`` to the transforms whose ``size`` is None."""
    loaders = filter(None, map(cfg.get, _LOADERS))
    steps = [step for loader in loaders for step in loader.dataset.get("pipeline", ())]
    unsized = [step for step in steps if step.get("size", ()) is None]
    if overridden and not unsized:
        raise ConfigError(
            f"{path}: image_size has no effect, since each transform has its own size: change "
            "those instead, such as test_dataloader.dataset.pipeline.1.size"
        )
    for step in unsized:
        try:
            step.size = checked_size(cfg.image_size, "image_size")
        except DetectorError as error:
            raise ConfigError(f"{path}: {error}") from None


def load_detector_config(path: str, options: dict[str, Any] | None = None) -> Config:
    """Load the config of a part detector; see `load_config`.

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
    """Load the config of a re-identification model; see `load_config`.

    Raises:
        ConfigError: The file is missing, or is not a re-identification config.

    >>> load_reid_config("configs/pgan/pgan_r18-cpu_1xb64-24e_fleet-96x96.py", {"num_parts": 4}).model.type
    'PGAN'
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

    If the config states no number of training vehicles, they are counted in the data set.

    Args:
        cfg: A config loaded by `load_config`.
        work_dir: Folder for logs and checkpoints.
        checkpoint: Weights to start from.
        resume: Resume from the newest intact checkpoint in ``work_dir``, or start from the beginning if there
            is none. A config's ``resume=True`` without ``load_from`` has the same effect.
        amp: Train with automatic mixed precision (``AmpOptimWrapper``).
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``; without a GPU, ``pytorch`` uses the gloo
            backend.

    Raises:
        ConfigError: ``amp``, or a launcher other than ``pytorch``, without a GPU; or the launcher has not
            started this process.
        DatasetError: The data set cannot be read; raised before training starts.
        CacheError: The part cache lacks an image, or is damaged; raised before training starts.
        CheckpointError: The checkpoint cannot be used.
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
            raise ConfigError("--amp: mixed precision needs a GPU, and torch sees none; omit --amp")
        cfg.optim_wrapper.type = "AmpOptimWrapper"
        cfg.optim_wrapper.setdefault("loss_scale", "dynamic")
    init_default_scope(cfg.get("default_scope", "pgan"))
    if "num_vehicles" in cfg.model and cfg.model.num_vehicles is None:
        cfg.model.num_vehicles = count_training_vehicles(cfg)
    runner = CheckedRunner.from_cfg(cfg)
    runner.register_hook(FingerprintHook())
    return runner


def _refuse_without_launcher(launcher: str) -> None:
    """Raise ConfigError if the launcher cannot be used or has not started this process."""
    if launcher != "pytorch" and not torch.cuda.is_available():
        raise ConfigError(
            f"--launcher {launcher}: torch sees no GPU: use --launcher pytorch on CPUs"
        )
    rank, command, further = LAUNCHERS[launcher]
    unset = [variable for variable in (rank, *further) if variable not in os.environ]
    if unset and not torch.distributed.is_initialized():
        raise ConfigError(
            f"--launcher {launcher}: {unset[0]} is not set: start with `{command}` in place of `python`, or "
            "omit --launcher to run one process"
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
        cfg: A config loaded by `pgan.apis.load_config`.
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
            f"{checkpoint}: is not a checkpoint of this config's {type(model).__name__}: "
            f"{len(missing)} of its {len(wanted)} entries are missing or have another shape, the first is "
            f"{missing[0]!r}; test it with the config it was trained with"
        )
    model.load_state_dict(fitting, strict=False)


def load_weights_for_test(runner: Runner, checkpoint: str) -> None:
    """Load the weights that a runner tests, so that mmengine does not read the file again.

    Raises:
        CheckpointError: See `load_matching_weights`.
    """
    load_matching_weights(bare_model(runner.model), checkpoint)
    runner._has_loaded = True


def count_training_vehicles(cfg: Config) -> int | None:
    """Count the identities of the training split, or return None if the config trains on nothing."""
    if not cfg.get("train_dataloader"):
        return None
    dataset = ConfigDict(cfg.train_dataloader.dataset, part_cache=None, num_parts=0, pipeline=[])
    return DATASETS.build(dataset).num_vehicles
