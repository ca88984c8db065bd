"""Set up the project's virtual environment: pinned packages, and mmcv compiled once per machine.

Standard library only, since it runs before anything is installed. ``make demo`` and ``make test`` call
it when ``.venv`` is missing or older than the lock file.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "lock.txt"
MMCV_PIN = ROOT / "requirements" / "mmcv.txt"
UV_PIN = "uv==0.13.8"
SUPPORTED = ((3, 10), (3, 12))


class SetupError(Exception):
    """The set-up failed; the message says what is wrong and how to fix it."""


def say(message: str) -> None:
    """Print one step of the set-up at once."""
    print(f"[setup] {message}", flush=True)


def check_python() -> None:
    """Refuse a Python for which the pinned packages have no builds."""
    low, high = SUPPORTED
    if not low <= sys.version_info[:2] <= high:
        raise SetupError(
            f"Python {platform.python_version()} does not fit: the pinned torch and mmcv need Python "
            f"{low[0]}.{low[1]} to {high[0]}.{high[1]}. Name one, e.g. `make demo PYTHON=python3.11`."
        )


def check_compiler() -> None:
    """Refuse a machine that cannot compile mmcv's operators."""
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler) is None:
        raise SetupError(
            f"no C++ compiler: `{compiler}` is not on the PATH and mmcv must be compiled. Install one, "
            "e.g. `apt-get install g++` or `dnf install gcc-c++`, or set CXX."
        )
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.is_file():
        raise SetupError(
            f"Python's headers are missing ({header}), and mmcv must be compiled. Install them, "
            "e.g. `apt-get install python3-dev`."
        )


def run(command: list[str | Path], failure: str, env: dict[str, str] | None = None) -> None:
    """Run a command with its output shown; raise ``SetupError(failure)`` if it fails."""
    if subprocess.run([str(word) for word in command], env=env, cwd=ROOT).returncode:
        raise SetupError(failure)


def create_venv(venv: Path) -> Path:
    """Create the virtual environment with uv in it and return its interpreter."""
    python = venv / "bin" / "python"
    if not python.exists():
        say(f"creating {venv} with Python {platform.python_version()}")
        run(
            [sys.executable, "-m", "venv", venv],
            "`python -m venv` failed: install the venv module, e.g. `apt-get install python3-venv`.",
        )
    run(
        [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", UV_PIN],
        f"pip could not install {UV_PIN}: check the network or PIP_INDEX_URL, then run make again.",
    )
    return python


def install_lock(python: Path) -> None:
    """Install the pinned packages, each checked against its hash."""
    say("installing the pinned packages (torch's default build is a 5 GB download on Linux)")
    run(
        [python, "-m", "uv", "pip", "install", "--python", python, "--require-hashes", "-r", LOCK],
        "uv could not install requirements/lock.txt: see its message above, then run make again.",
    )


def wheel_cache(python: Path) -> Path:
    """Return the user's cache folder for the mmcv wheel of this Python, torch and machine."""
    query = (
        "import sys, torch; print('cp%d%d-torch%s' % (*sys.version_info[:2], torch.__version__))"
    )
    key = subprocess.run(
        [str(python), "-c", query], capture_output=True, text=True, check=True
    ).stdout
    pin = hashlib.sha256(MMCV_PIN.read_bytes()).hexdigest()[:8]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "pgan" / "wheels" / f"{key.strip()}-{platform.machine()}-{pin}"


def build_mmcv(python: Path, folder: Path) -> None:
    """Compile mmcv's CPU operators into a wheel and move it into ``folder`` in one step."""
    check_compiler()
    say("compiling mmcv, once for this machine (5 to 6 minutes on 2 cores)")
    # Hidden GPU: mmcv's build would ask for nvcc. -O1 -g0: 5.5 min and 1.3 MB instead of 10 min, 32 MB.
    env = dict(os.environ, CUDA_VISIBLE_DEVICES="", MMCV_WITH_OPS="1", CFLAGS="-O1 -g0")
    env["PATH"] = f"{python.parent}{os.pathsep}{env['PATH']}"  # finds the ninja installed there
    env.setdefault("MAX_JOBS", str(os.cpu_count() or 1))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        log = python.parent.parent / "mmcv-build.log"
        command = [str(python), "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation"]
        command += ["--no-cache-dir", "--require-hashes", "-r", str(MMCV_PIN), "-w", scratch]
        if not _run_with_progress(command, env, log):
            raise SetupError(f"mmcv did not compile: the compiler's message is in {log}.")
        log.unlink()
        folder.mkdir(exist_ok=True)
        for wheel in Path(scratch).glob("*.whl"):
            os.replace(wheel, folder / wheel.name)


def _run_with_progress(command: list[str], env: dict[str, str], log: Path) -> bool:
    """Run a build, turning ninja's ``[12/80]`` lines into a line of progress; output goes to ``log``."""
    start, shown = time.monotonic(), -1
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, env=env, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
    ):
        for line in process.stdout or ():
            file.write(line)
            step = re.match(r"\s*\[(\d+)/(\d+)\]", line)
            tenth = int(step[1]) * 10 // int(step[2]) if step else shown
            if step and tenth > shown:
                shown = tenth
                say(f"  {step[1]} of {step[2]} files, {time.monotonic() - start:.0f} s")
    return process.returncode == 0


def _uv_install(python: Path) -> list[str | Path]:
    return [python, "-m", "uv", "pip", "install", "--python", python, "--no-deps"]


def install_mmcv(python: Path) -> None:
    """Install mmcv from the cached wheel, building it first if this machine has none."""
    folder = wheel_cache(python)
    if not list(folder.glob("*.whl")):
        build_mmcv(python, folder)
    (wheel,) = folder.glob("*.whl")
    say(f"installing mmcv from {wheel}")
    run(
        [*_uv_install(python), "--reinstall", wheel],
        f"uv could not install {wheel}: delete that file and run make again.",
    )


def install_project(python: Path) -> None:
    """Install this checkout in editable mode."""
    run(
        [*_uv_install(python), "--no-build-isolation", "-q", "-e", ROOT],
        "the project itself could not be installed: see the message above.",
    )


def main() -> int:
    """Set up the environment; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    venv = parser.parse_args().venv
    start = time.monotonic()
    try:
        check_python()
        python = create_venv(venv)
        install_lock(python)
        install_mmcv(python)
        install_project(python)
        run(
            [python, ROOT / "tools" / "doctor.py"],
            "the environment has faults: see the lines above.",
        )
    except SetupError as error:
        print(f"[setup] error: {error}", file=sys.stderr)
        return 1
    (venv / ".ready").touch()
    say(f"ready in {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
