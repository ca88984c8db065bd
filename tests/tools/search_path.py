"""Count the files and rooms that a command of the project passes through; run as a script by the test.

Imports do not count, only calls: ``python search_path.py ROOT tools/gallery.py ARGUMENTS`` prints the entered
files, the number of changes of room and the imported modules as JSON on its last line.
"""

from __future__ import annotations

import inspect
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

# Both import statements and import_module call its _find_and_load.
_bootstrap: Any = sys.modules["_frozen_importlib"]


class PathCounter:
    """A profile function that records which of the project's files are entered by calls.

    Args:
        root: The checkout.

    Attributes:
        files: Files entered, relative to the root.
        changes: How often a call led from one room (a folder) into another.
    """

    def __init__(self, root: Path) -> None:
        self.root = f"{root}/"
        self.files: set[str] = set()
        self.changes = 0
        self._room = ""
        self._load: Callable[..., ModuleType] = _bootstrap._find_and_load

    def start(self) -> None:
        """Count calls from now on, except those that imports make."""
        _bootstrap._find_and_load = self._load_uncounted
        sys.setprofile(self)

    def stop(self) -> None:
        """Count no more calls."""
        sys.setprofile(None)
        _bootstrap._find_and_load = self._load

    def _load_uncounted(self, *args: Any, **kwargs: Any) -> ModuleType:
        # Counting slows down the import of torch to many times its duration.
        counting = sys.getprofile() is self
        sys.setprofile(None)
        try:
            return self._load(*args, **kwargs)
        finally:
            if counting:
                sys.setprofile(self)

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """Count a call."""
        code = frame.f_code
        if event != "call" or not code.co_flags & inspect.CO_OPTIMIZED:
            return
        file = code.co_filename.removeprefix(self.root)
        if not file.startswith(("detector/", "pgan/", "tools/")):
            return
        self.files.add(file)
        room = file.rpartition("/")[0]
        self.changes += self._room not in ("", room)
        self._room = room


if __name__ == "__main__":
    counter = PathCounter(Path(sys.argv[1]))
    sys.argv = sys.argv[2:]
    counter.start()
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as error:
        status = error.code
    counter.stop()
    print(json.dumps([status, sorted(counter.files), counter.changes, sorted(sys.modules)]))
