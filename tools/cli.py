"""What every tool shares: a user's mistake ends in one sentence, not in a traceback."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

_OURS = ("pgan.", "detector.", "fleet.", "tools.")


def report_errors(main: Callable[[], int]) -> Callable[[], int]:
    """Wrap a tool's ``main``: print our own errors as ``error: sentence`` and return 1.

    Errors of our own classes say what is wrong and how to mend it. Any other error is a defect, ours or
    a library's, and keeps its traceback. Interrupting a tool returns 130, as shells expect.
    """

    @functools.wraps(main)
    def wrapped() -> int:
        try:
            return main()
        except KeyboardInterrupt:
            print("interrupted: the same command goes on from here", file=sys.stderr)
            return 130
        except Exception as error:
            if not f"{type(error).__module__}.".startswith(_OURS):
                raise
            print(f"error: {sentence(error)}", file=sys.stderr)
            return 1

    return wrapped


def sentence(error: Exception) -> str:
    """Return an error's message; of one that a loader worker passed on, the last line of it."""
    message = str(error).strip()
    if "Original Traceback" in message:
        return message.splitlines()[-1].split(": ", 1)[-1]
    return message
