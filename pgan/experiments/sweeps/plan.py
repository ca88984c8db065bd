"""Commands of a sweep and their folders; each training run has a folder, which also holds its tests.

WORK_DIR/
├── num_parts=8/seed_0/
│   ├── run.json        config, options and seed, and a checksum of what they come to
│   ├── train.log, epoch_24.pth ...
│   ├── test.log
│   └── results.json    the run is finished
├── sweep.md, sweep.csv, sweep.json
└── sweep.png, sweep.svg
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detector.common.files import write_json
from pgan.errors import ConfigError
from pgan.experiments.sweeps.points import SEED, Point, Sweep, lookup, option_words

if TYPE_CHECKING:
    from mmengine.config import Config

_LONGEST_NAME = 100


class SweepError(ValueError):
    """A sweep cannot continue; the message names the run, and the log or the fix."""


@dataclass(frozen=True)
class RunFolder:
    """A folder, and what alone may be run in it.

    Attributes:
        path: The folder.
        config: Config file.
        options: All config keys that are changed, the seed among them.
        sha256: Of the config with these options.
    """

    path: Path
    config: str
    options: Mapping[str, Any]
    sha256: str

    @classmethod
    def of(cls, path: Path, config: str, options: Mapping[str, Any], cfg: Config) -> RunFolder:
        """A folder for a config ``cfg``, which is the file with the options.

        Raises:
            SweepError: Something else was run there.
        """
        text = json.dumps(cfg.to_dict(), sort_keys=True, default=str)
        folder = cls(path, config, options, hashlib.sha256(text.encode()).hexdigest())
        if (path / "run.json").is_file():
            kept = json.loads((path / "run.json").read_text(encoding="utf-8"))
            if kept["sha256"] != folder.sha256:
                raise SweepError(
                    f"{path} holds a run of {kept['config']} as it was then, with {_shown(kept['options'])}, "
                    f"and not this one of {config} with {_shown(options)}: give another --work-dir, or "
                    "delete that folder"
                )
        return folder

    def claim(self) -> None:
        """Write down what is run here."""
        write_json(
            self.path / "run.json",
            {"config": self.config, "options": dict(self.options), "sha256": self.sha256},
        )


@dataclass(frozen=True)
class Run:
    """One point with one seed, tested.

    Attributes:
        point: The point.
        seed: The seed.
        folder: Where its results go.
    """

    point: Point
    seed: int
    folder: RunFolder

    @property
    def title(self) -> str:
        """Name for people."""
        return f"{self.point.name}, seed {self.seed}"

    @property
    def features(self) -> Path:
        """Where its features are, if the sweep keeps them."""
        return self.folder.path / "features.npz"

    def results(self) -> dict[str, Any] | None:
        """What ``tools/test.py`` left here, None if it is not finished."""
        file = self.folder.path / "results.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


@dataclass(frozen=True)
class Job:
    """One training and the tests of its last checkpoint.

    The last, and not the best: to choose by the test set would be to learn from it.

    Attributes:
        folder: Where its log and checkpoints go.
        checkpoint: What it leaves.
        max_epochs: When it ends; None if it counts iterations.
        runs: At least one.
        keep_features: Whether the tests keep their features.
        tested: Whether the runs are tested, or finished once they are trained.
    """

    folder: RunFolder
    checkpoint: Path
    max_epochs: int | None
    runs: list[Run] = field(default_factory=list)
    keep_features: bool = False
    tested: bool = True

    @property
    def title(self) -> str:
        """Name for people: of the test that changes nothing, where there is one."""
        unchanged = [run for run in self.runs if run.folder is self.folder]
        return (unchanged or self.runs)[0].title

    def pending(self) -> list[Run]:
        """Runs that are not finished."""
        if not self.tested:
            return [] if self.checkpoint.is_file() else self.runs
        return [run for run in self.runs if run.results() is None]

    def commands(self) -> list[list[str]]:
        """All that is run, as arguments of Python."""
        tests = map(self.test_command, self.runs) if self.tested else ()
        return [self.train_command(), *tests]

    def train_command(self, gpus: int = 1) -> list[str]:
        """Arguments of Python to train, from the newest checkpoint where there is one."""
        words = [self.folder.config, "--work-dir", str(self.folder.path), "--resume"]
        options = ["--cfg-options", *option_words(self.folder.options)]
        if gpus == 1:
            return [_tool("train"), *words, *options]
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={gpus}"]
        return [*launch, _tool("train"), *words, "--launcher", "pytorch", *options]

    def test_command(self, run: Run) -> list[str]:
        """Arguments of Python for one of the tests."""
        words = [run.folder.config, str(self.checkpoint), "--work-dir", str(run.folder.path)]
        if self.keep_features:
            words += ["--dump", str(run.features)]
        return [_tool("test"), *words, "--cfg-options", *option_words(run.folder.options)]


def plan(sweep: Sweep, work_dir: str | os.PathLike[str]) -> list[Job]:
    """Return the training runs of a sweep with their tests, seed by seed.

    Raises:
        ConfigError: See `Sweep.check`.
        SweepError: A folder holds another run.
    """
    from pgan.apis import load_config

    sweep.check()
    configs = {point.config for point in sweep.points}
    cfgs = {config: load_config(config, dict(sweep.options)) for config in configs}
    jobs: dict[Path, Job] = {}
    for seed in sweep.seeds:
        for point in sweep.points:
            changed = _changes(cfgs[point.config], point.options)
            options = {**sweep.options, SEED: seed, **changed}
            name = _slug(option_words(changed)) or "as_it_is"
            path = Path(work_dir) / Path(point.config).stem / name / f"seed_{seed}"
            if path not in jobs:
                jobs[path] = _job(path, point.config, options, sweep)
            job = jobs[path]
            tested = _changes(cfgs[point.config], point.test_options)
            folder = _test_folder(job, tested) if tested else job.folder
            taken = [run.folder.path for run in job.runs]
            same = (job.folder.config, job.folder.options) == (point.config, options)
            if folder.path in taken or not same:
                raise ConfigError(f"two points of the sweep would share the folder {folder.path}")
            job.runs.append(Run(point, seed, folder))
    return list(jobs.values())


def _changes(cfg: Config, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that the config has not anyway."""
    return {key: value for key, value in options.items() if lookup(cfg, key) != value}


def _job(path: Path, config: str, options: Mapping[str, Any], sweep: Sweep) -> Job:
    from pgan.apis import load_config

    cfg = load_config(config, dict(options))
    epochs = cfg.train_cfg.get("max_epochs")
    last = f"epoch_{epochs}.pth" if epochs else f"iter_{cfg.train_cfg.max_iters}.pth"
    folder = RunFolder.of(path, config, options, cfg)
    return Job(folder, path / last, epochs, [], sweep.keep_features, sweep.tested)


def _test_folder(job: Job, changed: Mapping[str, Any]) -> RunFolder:
    from pgan.apis import load_config

    config, options = job.folder.config, {**job.folder.options, **changed}
    path = job.folder.path / _slug(option_words(changed))
    return RunFolder.of(path, config, options, load_config(config, dict(options)))


def _slug(words: Sequence[str]) -> str:
    """Words as the name of a folder."""
    short = [re.sub(r"^model\.(loss_weights\.)?", "", word) for word in words]
    name = re.sub(r"[^\w.,=+-]+", "-", ",".join(short))
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(",".join(words).encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9]}-{digest}"


def _shown(options: Mapping[str, Any]) -> str:
    return " ".join(option_words(options))


def _tool(name: str) -> str:
    """Path of a tool's script, as short as it can be typed here."""
    spec = find_spec("pgan.tools")
    if spec is None or not spec.submodule_search_locations:
        raise SweepError("pgan.tools is not installed: run `pip install -e .`")
    path = Path(spec.submodule_search_locations[0]).resolve() / f"{name}.py"
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
