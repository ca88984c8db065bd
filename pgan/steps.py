"""Running a chain of commands with progress, so that it can be interrupted and goes on where it was."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

# mmengine's lines that say how far a run has come; the rest goes to the step's log.
_PROGRESS = re.compile(r"Epoch\((train|val|test)\)|: \d+ images of")
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
    """

    steps: Sequence[Step]
    log_dir: Path
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Run what is not done yet.

        Raises:
            StepError: A step's command failed.
        """
        self.log_dir.mkdir(parents=True, exist_ok=True)
        for number, step in enumerate(self.steps, start=1):
            left = sum(s.estimate for s in self.steps[number - 1 :] if not s.done.exists())
            head = f"[{number}/{len(self.steps)}] {step.title}"
            if step.done.exists():
                print(f"{head}: done before ({step.done})", flush=True)
                continue
            print(f"\n{head}  (about {left / 60:.0f} min to go)\n  $ {step.shell_line}", flush=True)
            start = time.monotonic()
            self._run_step(number, step)
            self.seconds[step.title] = time.monotonic() - start
            print(f"  {self.seconds[step.title]:.0f} s", flush=True)

    def _run_step(self, number: int, step: Step) -> None:
        log = self.log_dir / f"{number:02d}.log"
        command = [sys.executable, *step.command]
        # Progress bars go to the terminal through stderr; mmengine's log goes to stdout.
        with (
            log.open("a") as file,
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        ):
            for line in process.stdout or ():
                file.write(line)
                if _PROGRESS.search(line):
                    print("  " + _PREFIX.sub("", line.rstrip()), flush=True)
        if process.returncode == 130:
            raise KeyboardInterrupt
        if process.returncode or not step.done.exists():
            raise StepError(f"step {number} ({step.title}) failed: its output is in {log}")
