"""Error reporting of the command-line tools: a user's mistake ends in one sentence, not in a traceback."""

from __future__ import annotations

import errno
import functools
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_OUR_PACKAGES = ("pgan.", "detector.", "fleet.", "tools.")
_NO_SPACE = "free some space, or write to another disk"
_NO_ACCESS = "change its permissions, or use a path where you may read and write"
_WRONG_KIND = (
    "a file stands where a folder is needed, or a folder where a file is: use another path"
)
# errno of an operating system error -> how to fix it.
_FIXES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _NO_SPACE),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), _NO_ACCESS),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST, errno.EISDIR), _WRONG_KIND),
}
_WORKER_DIED = "DataLoader worker (pid"  # the start of torch's message
_INTERRUPTED = 130  # exit status of a process that is ended by Ctrl-C


def report_errors(main: Callable[[], int]) -> Callable[[], int]:
    """Wrap a tool's ``main``: print errors of this project as ``error: sentence`` and return 1.

    The project's error classes state what is wrong and how to fix it. Operating system errors (a full disk, a
    folder without write permission) and the death of a data loader worker get a sentence here. Any other
    error is a defect and keeps its traceback. Ctrl-C returns 130. A closed output pipe returns 141, as shells
    expect.

    >>> @report_errors
    ... def main() -> int:
    ...     print("done")
    ...     return 0
    >>> main()
    done
    0
    """

    @functools.wraps(main)
    def wrapped() -> int:
        try:
            with _short_errors_of_threads_and_logs():
                code = main()
                print(end="", flush=True)  # a broken pipe could not be caught at exit
                return code
        except KeyboardInterrupt:
            print("interrupted: run the same command to resume", file=sys.stderr)
            return _INTERRUPTED
        except BrokenPipeError:
            if not _output_is_closed():
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE
        except Exception as error:
            if (message := _user_message(error)) is None:
                raise
            print(f"error: {message}", file=sys.stderr)
            return 1

    return wrapped


def _output_is_closed() -> bool:
    """Whether the program that reads this one's output has ended, such as ``| head``."""
    import select  # has no `poll` on Windows

    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in output.poll(0))


@contextmanager
def _short_errors_of_threads_and_logs() -> Iterator[None]:
    """Print one line for an error in a thread or in logging, where a full disk would give tracebacks."""
    hook, raise_exceptions = threading.excepthook, logging.raiseExceptions

    def print_message(thread: threading.ExceptHookArgs) -> None:
        if (message := _user_message(thread.exc_value)) is None:
            hook(thread)
        else:
            print(f"error: {message}", file=sys.stderr)

    threading.excepthook, logging.raiseExceptions = print_message, False
    try:
        yield
    finally:
        threading.excepthook, logging.raiseExceptions = hook, raise_exceptions


def error_sentence(error: BaseException) -> str:
    """Return an error's message, or its last line if a data loader worker passed it on with a traceback.

    >>> error_sentence(ValueError("a.jpg: is damaged"))
    'a.jpg: is damaged'
    """
    message = str(error).strip()
    if "Original Traceback" in message:
        return message.splitlines()[-1].split(": ", 1)[-1]
    return message


def _user_message(error: BaseException | None) -> str | None:
    """Return what to print for an error, or None if it is a defect."""
    if f"{type(error).__module__}.".startswith(_OUR_PACKAGES) and error is not None:
        return error_sentence(error)
    if isinstance(error, OSError) and error.errno in _FIXES:
        return _system_message(error, _FIXES[error.errno])
    if isinstance(error, RuntimeError) and str(error).startswith(_WORKER_DIED):
        return (
            f"a data loader worker died ({str(error).rstrip('. ')}), most likely because memory ran out: use "
            "fewer workers (--workers, or --cfg-options train_dataloader.num_workers=1) and run the same "
            "command again, a training run with --resume"
        )
    return None


def _system_message(error: OSError, fix: str) -> str | None:
    """Describe an operating system error, or return None if it names no file."""
    if (file := error.filename2 or error.filename) is None:
        return f"cannot write ({error.strerror}): {fix}" if fix is _NO_SPACE else None
    return f"cannot read or write {file} ({error.strerror}): {fix}"
