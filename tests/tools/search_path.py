"""Count the files and rooms that a command of the project passes through; run as a script by the test.

Imports do not count, only calls: ``python search_path.py ROOT tools/gallery.py ARGUMENTS`` prints the entered
files, the number of changes of room and the imported modules as JSON on its last line.
"""

from __future__ import annotations

import inspect
import json
import runpy
import sys
from pathlib import Path
from types import FrameType


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
        self._imports = 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """Count a call, unless it is made by an import."""
        code = frame.f_code
        if code.co_name == "_find_and_load" and "importlib" in code.co_filename:
            self._imports += {"call": 1, "return": -1}.get(event, 0)
        if event != "call" or self._imports or not code.co_flags & inspect.CO_OPTIMIZED:
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
    sys.setprofile(counter)
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as error:
        status = error.code
    sys.setprofile(None)
    print(json.dumps([status, sorted(counter.files), counter.changes, sorted(sys.modules)]))
