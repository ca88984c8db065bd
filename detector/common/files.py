"""Files that are whole or not there, and folders with one writer."""

from __future__ import annotations

import fcntl
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
    """Write a file beside its place, then move it there: killed in between, the old one stays.

    Args:
        path: Where to; missing folders are made.
        write: Is given the open binary file.

    Returns:
        The path.

    Raises:
        OSError: The system refuses it; ``filename`` is the path, or a folder above it that cannot be made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _about(path):
        _write_beside(path, write)
    _sync_folder(path.parent)
    return path


class _Draft(io.BufferedWriter):
    """A file that remembers why the system refused a write: numpy and torch keep that to themselves."""

    refusal: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.refusal = error
            raise

    def fileno(self) -> int:
        raise io.UnsupportedOperation("they would write past us")


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Have an error of the system name the file, not its draft, or, of a full disk, nothing."""
    try:
        yield
    except OSError as error:
        ours = Path(error.filename or f".{path.name}.").name.startswith(f".{path.name}.")
        if error.errno and ours:  # one that is not the system's has a text alone
            error.filename, error.filename2 = os.fspath(path), None
        raise


def _write_beside(path: Path, write: Callable[[BinaryIO], object]) -> None:
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    file = _Draft(io.FileIO(handle, "wb"))
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(handle)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(draft, 0o666 & ~umask)  # mkstemp's file is for its owner alone
        os.replace(draft, path)
    except BaseException as error:
        with suppress(OSError):  # what went wrong before is what matters
            os.unlink(draft)
        if isinstance(error, Exception) and file.refusal:
            raise file.refusal from None
        raise


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Have the folder's entries on disk, too: after a power cut, a name that was moved is there."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # some network file systems cannot
        pass
    finally:
        os.close(handle)


def drafts(folder: str | os.PathLike[str], name: str = r".+") -> list[Path]:
    """What killed writers of :func:`write_atomically` left in a folder, or living ones have there.

    Args:
        folder: Its subfolders are not looked into; it need not be there.
        name: Pattern of the names of the files that were to be written.
    """
    pattern = re.compile(rf"\.(?:{name})\.[a-z0-9_]{{8}}")
    return [file for file in Path(folder).glob(".*") if pattern.fullmatch(file.name)]


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write bytes atomically, see `write_atomically`."""
    return write_atomically(path, lambda file: file.write(data))


def write_json(path: str | os.PathLike[str], value: object) -> Path:
    """Write plain values as JSON, indented, in one step."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    return write_atomically(path, lambda file: file.write(text.encode("utf-8")))


@contextmanager
def alone_in(
    folder: str | os.PathLike[str],
    refusal: type[Exception],
    name: str = ".lock",
    inherited: bool = True,
) -> Iterator[int]:
    """Hold a folder's lock.

    Args:
        folder: Made if it is not there.
        refusal: Raised when another process holds it, or it cannot be written to.
        name: The lock's file, which stays.
        inherited: Whether commands and workers that are started meanwhile hold it, too, even when this
            process is killed outright; otherwise it ends with this process, however that ends.
    """
    lock = fcntl.flock if inherited else fcntl.lockf
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        file = (Path(folder) / name).open("a")
    except OSError as error:
        raise refusal(
            f"{folder}: cannot be written to ({error.strerror}): mend that, or give another folder"
        ) from None
    with file:
        try:
            lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # which of them is the system's choice
            raise refusal(
                f"{folder}: another process is at work there: wait for it, or end it"
            ) from None
        except OSError as error:
            raise refusal(
                f"{folder}: its file system does not lock ({error.strerror}): give a folder elsewhere"
            ) from None
        yield file.fileno()
