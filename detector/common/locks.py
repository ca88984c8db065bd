"""File locks between processes.

Locks need the module ``fcntl``, which Windows does not have. It is imported when a lock is taken, so that
programs that only read run there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive_lock(
    folder: str | os.PathLike[str],
    error_type: type[Exception],
    name: str = ".lock",
    inherited: bool = True,
) -> Iterator[int]:
    """Hold the lock of a folder, without waiting for it.

    Args:
        folder: The folder; it is created if it does not exist.
        error_type: Exception to raise if the lock cannot be taken.
        name: Name of the lock file, which stays in the folder.
        inherited: Whether child processes that are started meanwhile hold the lock as well, even after this
            process was killed. Otherwise the lock ends with this process, however it ends.

    Yields:
        The file descriptor of the lock file.

    Raises:
        Exception: An ``error_type``: another process holds the lock, the folder cannot be written to, or the
            system or its file system has no locks.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, exclusive_lock(folder, ValueError):
    ...     os.listdir(folder)
    ['.lock']
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        file = (Path(folder) / name).open("a")
    except OSError as error:
        raise error_type(
            f"{folder}: cannot be written to ({error.strerror}): fix that, or give another folder"
        ) from None
    with file:
        try:
            taken = _lock_file(file.fileno()) if inherited else lock_bytes(file.fileno(), 0, 0)
        except OSError as error:
            raise error_type(
                f"{folder}: cannot be locked ({error.strerror}): give a folder on a file system with locks"
            ) from None
        if not taken:
            raise error_type(
                f"{folder}: another process is using it: wait until it ends, or end it"
            )
        yield file.fileno()


def lock_bytes(file: int, start: int, length: int, wait: bool = False) -> bool:
    """Lock a range of bytes of an open file for this process.

    The lock ends with the process or when the process closes any descriptor of the file. Child processes do
    not inherit it.

    Args:
        file: Descriptor of the file, open for writing.
        start: First byte of the range; it may lie beyond the end of the file.
        length: Number of bytes; 0 for all bytes from ``start``.
        wait: Wait until the range is free.

    Returns:
        Whether the range is locked now; False if another process holds a part of it.

    Raises:
        OSError: The system or the file system has no locks.
    """
    try:
        import fcntl
    except ImportError:
        raise _no_locks() from None
    operation = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
    try:
        fcntl.lockf(file, operation, length, start)
    except (BlockingIOError, PermissionError):  # POSIX allows either for a lock that is held
        return False
    return True


def _lock_file(file: int) -> bool:
    """Lock a whole file for this process and its children; False if another process holds the lock."""
    try:
        import fcntl
    except ImportError:
        raise _no_locks() from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _no_locks() -> OSError:
    return OSError(errno.ENOSYS, "Python has no fcntl on this system: use Linux or macOS")
