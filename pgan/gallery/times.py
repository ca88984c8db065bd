"""The time of an image: a date, or a number such as a video frame; the two cannot be compared."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import NamedTuple

from pgan.gallery.errors import GalleryError


class Time(NamedTuple):
    """A point in time.

    Attributes:
        kind: ``'date'``, ``'number'``, or ``''`` if the time is unknown.
        value: Seconds since 1970-01-01 UTC of a date (one without a time zone counts as UTC), or the number;
            NaN if the time is unknown.
    """

    kind: str = ""
    value: float = math.nan

    @classmethod
    def parse(cls, text: str) -> Time:
        """Parse a number or an ISO 8601 date; an empty text is an unknown time.

        Raises:
            GalleryError: The text is neither.

        Example:
            >>> Time.parse("2018-03-11T09:12:01").kind, Time.parse("250").kind
            ('date', 'number')
            >>> Time.parse("1970-01-01T00:01:00+00:00")
            Time(kind='date', value=60.0)
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
                f"{text!r} is not a time: write a date such as 2018-03-11T09:12:01, or a number"
            ) from None
        return cls("date", date.replace(tzinfo=date.tzinfo or timezone.utc).timestamp())

    @classmethod
    def _finite(cls, value: float) -> Time:
        if not math.isfinite(value):
            raise GalleryError(f"{value} is not a time: write a date, or a number")
        return cls("number", value)

    def __str__(self) -> str:
        if self.kind == "date":
            text = datetime.fromtimestamp(self.value, timezone.utc).isoformat()
            return text.removesuffix("+00:00")
        return f"{self.value:.10g}" if self.kind else ""
