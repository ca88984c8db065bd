"""When an image was taken: a date, or a number such as a video's frame; the two do not compare."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import NamedTuple

from pgan.gallery.errors import GalleryError


class Time(NamedTuple):
    """A point in time.

    Attributes:
        kind: ``'date'``, or ``'number'``, or ``''`` where it is unknown.
        value: Seconds since 1970 of a date without a time zone or in UTC; the number; NaN where unknown.
    """

    kind: str = ""
    value: float = math.nan

    @classmethod
    def parse(cls, text: str) -> Time:
        """Read a number, or a date as ISO 8601 has it; nothing is an unknown time.

        Raises:
            GalleryError: It is neither.
        """
        if not text:
            return cls()
        try:
            return cls._finite(float(text))
        except ValueError:
            pass
        try:
            date = datetime.fromisoformat(text)
        except ValueError:
            raise GalleryError(
                f"{text!r} is no time: write a date such as 2018-03-11T09:12:01, or a number"
            ) from None
        return cls("date", date.replace(tzinfo=date.tzinfo or timezone.utc).timestamp())

    @classmethod
    def _finite(cls, value: float) -> Time:
        if not math.isfinite(value):
            raise GalleryError(f"{value} is no time: write a date, or a number")
        return cls("number", value)

    def __str__(self) -> str:
        if self.kind == "date":
            text = datetime.fromtimestamp(self.value, timezone.utc).isoformat()
            return text.removesuffix("+00:00")
        return f"{self.value:.10g}" if self.kind else ""
