"""Run a chain of commands with progress; an interrupted chain resumes where it left off."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detector.common.memory import keep_freed_memory_variables

# mmengine's lines that say how far a run has come; the rest goes to the step's log.
_PROGRESS = re.compile(r"(Epoch|Iter)\((train|val|test)\)|: \d+ images of")
_PREFIX = re.compile(r"^\S+ \S+ - mmengine - INFO - ")


class StepError(ValueError):
    """A step failed; the message says which, and where its log is."""


@dataclass(frozen=True)
class Step:
    """One command of a chain.

    Attributes:
        title: What it does, for people.
        command: Arguments after the Python interpreter.
        done: File that exists once the step has finished.
        estimate: Expected seconds on two cores.
    """

    title: str
    command: Sequence[str]
    done: Path
    estimate: int

    @property
    def shell_line(self) -> str:
        """The command as a user would type it."""
        return f"python {shlex.join(self.command)}"


@dataclass
class Chain:
    """Steps that are run in order, each once.

    Args:
        steps: In order; each may use what those before it left.
        log_dir: Where each step's whole output is kept.
        rest: Expected seconds of what follows the last of them.
        goal: What the steps lead to, named with the time left.
    """

    steps: Sequence[Step]
    log_dir: Path
    rest: float = 0.0
    goal: str = "to go"
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Run what is not done yet.

        Raises:
            StepError: A step's command failed.
        """
        self.log_dir.mkdir(parents=True, exist_ok=True)
        for number, step in enumerate(self.steps, start=1):
            pending = [s for s in self.steps[number - 1 :] if not s.done.exists()]
            left = self.rest + sum(s.estimate for s in pending)
            head = f"[{number}/{len(self.steps)}] {step.title}"
            if step.done.exists():
                print(f"{head}: done before ({step.done})", flush=True)
                continue
            print(
                f"\n{head}  (about {left / 60:.0f} min {self.goal})\n  $ {step.shell_line}",
                flush=True,
            )
            start = time.monotonic()
            self._run_step(number, step)
            self.seconds[step.title] = time.monotonic() - start
            print(f"  {self.seconds[step.title]:.0f} s", flush=True)

    def _run_step(self, number: int, step: Step) -> None:
        log = self.log_dir / f"{number:02d}.log"
        code = run_command(step.command, log, lambda line: print(f"  {line}", flush=True))
        if code == 130:
            raise KeyboardInterrupt
        if code or not step.done.exists():
            raise StepError(f"step {number} ({step.title}) failed: its output is in {log}")


def run_command(
    command: Sequence[str],
    log: Path,
    show: Callable[[str], None],
    started: Callable[[subprocess.Popen], None] = lambda process: None,
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> int:
    """Run Python with these arguments, and return its exit status.

    Args:
        command: Arguments after the interpreter.
        log: File that its output is added to; errors, and progress bars, go where ours go.
        show: Is given each line that says how far it has come.
        started: Is given the process.
        env: Variables of its environment beside ours.
        options: Of `subprocess.Popen`.
    """
    with (
        log.open("a", buffering=1) as file,
        subprocess.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            text=True,
            env={**keep_freed_memory_variables(), **os.environ, **(env or {})},
            **options,
        ) as process,
    ):
        started(process)
        for line in process.stdout or ():
            file.write(line)
            if _PROGRESS.search(line):
                show(_PREFIX.sub("", line.rstrip()))
    return process.returncode
