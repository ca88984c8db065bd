"""What every tool shares: a user's mistake ends in one sentence, not in a traceback."""

from __future__ import annotations

import errno
import functools
import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_OURS = ("pgan.", "detector.", "fleet.", "tools.")
_NO_SPACE = "free some space, or give a place elsewhere"
_NO_ACCESS = "allow it, or give a place where you may read and write"
_WRONG_KIND = "a file is where a folder is needed, or a folder where a file is: give another path"
# What the system refuses -> the mend.
_MENDS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _NO_SPACE),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), _NO_ACCESS),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST, errno.EISDIR), _WRONG_KIND),
}
_WORKER_DIED = "DataLoader worker (pid"  # as torch begins


def report_errors(main: Callable[[], int]) -> Callable[[], int]:
    """Wrap a tool's ``main``: print our own errors as ``error: sentence`` and return 1.

    Errors of our own classes say what is wrong and how to mend it; what the system refuses, a full disk or
    a folder that may not be written to, and the death of a loader's process are put in words here. Any other
    error is a defect, ours or a library's, and keeps its traceback. Interrupting a tool returns 130, and one
    whose output nobody reads on returns 141, as shells expect.
    """

    @functools.wraps(main)
    def wrapped() -> int:
        try:
            with _one_voice():
                code = main()
                print(end="", flush=True)  # at exit, a broken pipe could not be caught
                return code
        except KeyboardInterrupt:
            print("interrupted: the same command goes on from here", file=sys.stderr)
            return 130
        except BrokenPipeError:
            if not _nobody_reads():
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE
        except Exception as error:
            if (text := _told(error)) is None:
                raise
            print(f"error: {text}", file=sys.stderr)
            return 1

    return wrapped


def _nobody_reads() -> bool:
    """Whether the program that this one's output went to has ended, such as ``| head``."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in output.poll(0))


@contextmanager
def _one_voice() -> Iterator[None]:
    """Have logs and threads be as brief: on a full disk, each would give a traceback of its own."""
    hook, loud = threading.excepthook, logging.raiseExceptions

    def brief(thread: threading.ExceptHookArgs) -> None:
        if (text := _told(thread.exc_value)) is None:
            hook(thread)
        else:
            print(f"error: {text}", file=sys.stderr)

    threading.excepthook, logging.raiseExceptions = brief, False
    try:
        yield
    finally:
        threading.excepthook, logging.raiseExceptions = hook, loud


def sentence(error: BaseException) -> str:
    """Return an error's message; of one that a loader worker passed on, the last line of it."""
    message = str(error).strip()
    if "Original Traceback" in message:
        return message.splitlines()[-1].split(": ", 1)[-1]
    return message


def _told(error: BaseException | None) -> str | None:
    """What to tell a user of an error, None of a defect."""
    if f"{type(error).__module__}.".startswith(_OURS):
        return sentence(error)
    if isinstance(error, OSError) and error.errno in _MENDS:
        return _refused(error)
    if isinstance(error, RuntimeError) and str(error).startswith(_WORKER_DIED):
        return (
            f"a process that reads images has died ({str(error).rstrip('. ')}): most likely memory ran out; "
            "use fewer of them (--workers, or --cfg-options train_dataloader.num_workers=1), then the same "
            "command, of a training with --resume, goes on"
        )
    return None


def _refused(error: OSError) -> str | None:
    """A sentence on what the system has refused; None without a file that it is about."""
    mend = _MENDS[error.errno]
    if (file := error.filename2 or error.filename) is None:
        return f"cannot write ({error.strerror}): {mend}" if mend is _NO_SPACE else None
    return f"cannot read or write {file} ({error.strerror}): {mend}"
