"""Write files atomically, and compute their checksums."""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO


def write_atomically(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> Path:
    """Write a temporary file in the same folder, then move it to its place.

    A process that is killed meanwhile leaves the old file as it was.

    Args:
        path: The file; missing folders are created.
        write: Function that writes the content to an open binary file.

    Returns:
        The path.

    Raises:
        OSError: The system refuses to write; ``filename`` is the path, or the folder above it that cannot be
            created.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = write_atomically(f"{folder}/new/a.bin", lambda file: file.write(b"abc"))
    ...     file.read_bytes(), os.listdir(file.parent)
    (b'abc', ['a.bin'])
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _errors_name(path):
        _write_and_move(path, write)
    _sync_folder(path.parent)
    return path


class _TemporaryFile(io.BufferedWriter):
    """A file that keeps the system's error of a write, which numpy and torch replace by their own."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            raise

    def fileno(self) -> int:
        # numpy would write to the descriptor, and `write` would not see the error.
        raise io.UnsupportedOperation("fileno")


@contextmanager
def _errors_name(path: Path) -> Iterator[None]:
    """Let system errors name the file instead of its temporary file, or of nothing if a disk is full."""
    try:
        yield
    except OSError as error:
        ours = Path(error.filename or f".{path.name}.").name.startswith(f".{path.name}.")
        if error.errno and ours:  # an OSError without a number was not raised by the system
            error.filename, error.filename2 = os.fspath(path), None
        raise


def _write_and_move(path: Path, write: Callable[[BinaryIO], object]) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    file = _TemporaryFile(io.FileIO(handle, "wb"))
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(handle)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp lets only the owner read
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):  # the first error is the one to report
            os.unlink(temporary)
        if isinstance(error, Exception) and file.error:
            raise file.error from None
        raise


def _sync_folder(folder: Path) -> None:
    """Flush the entries of a folder, so that a renamed file survives a power cut."""
    with suppress(OSError):  # Windows and some network file systems cannot
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def temporary_files(folder: str | os.PathLike[str], name: str = r".+") -> list[Path]:
    """Temporary files of `write_atomically` in a folder, of killed processes and of running ones.

    Args:
        folder: The folder, which need not exist; subfolders are not searched.
        name: Regular expression for the names of the files that were to be written.
    """
    pattern = re.compile(rf"\.(?:{name})\.[a-z0-9_]{{8}}")
    return [file for file in Path(folder).glob(".*") if pattern.fullmatch(file.name)]


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write bytes atomically, see `write_atomically`."""
    return write_atomically(path, lambda file: file.write(data))


def write_json(path: str | os.PathLike[str], value: object) -> Path:
    """Write a value as indented JSON atomically, see `write_atomically`."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    return write_bytes(path, text.encode("utf-8"))


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of the bytes of a file, in hexadecimal.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file_sha256(write_bytes(f"{folder}/a.bin", b"abc"))[:16]
    'ba7816bf8f01cfea'
    """
    digest = sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
