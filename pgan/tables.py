"""Tables as text."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence


def with_deviation(mean: float, std: float | None, digits: int = 1) -> str:
    """``mean ± std`` as a cell, or the mean alone where there is no standard deviation."""
    return f"{mean:.{digits}f}" + (f" ± {std:.{digits}f}" if std is not None else "")


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table that is also readable as it stands.

    Args:
        columns: Headings.
        rows: A text for each column.
        left: Columns aligned left; the others hold numbers and are aligned right.
    """
    lines = [list(columns), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    rule = ["-" * w if i < left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    padded = [
        [
            text.ljust(w) if i < left else text.rjust(w)
            for i, (text, w) in enumerate(zip(row, widths))
        ]
        for row in [lines[0], rule, *lines[1:]]
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)


def csv_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as CSV with all digits; a column stands where the first row that has it puts it."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
