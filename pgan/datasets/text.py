"""Read the text files of data sets and parse their lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

from detector.common import xml_files
from detector.common.images import IMAGE_SUFFIXES
from pgan.datasets.errors import DatasetError

# Most paths match this and need no further checks.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*(?:\.[A-Za-z]+)?")
_NUMBER = re.compile(r"[0-9]{1,18}")


def read_text(path: Path, encoding: str = "utf-8-sig", errors: str = "strict") -> str:
    """Read a text file; line ends become ``\\n`` and a byte order mark is dropped.

    Raises:
        DatasetError: The file is missing or not in that encoding.
    """
    try:
        return path.read_bytes().decode(encoding, errors).replace("\r\n", "\n")
    except OSError as error:
        message = f"{path}: {error.strerror}: check data_root"
        raise DatasetError(message, "unreadable file") from error
    except (UnicodeDecodeError, LookupError) as error:
        raise DatasetError(
            f"{path}: is not {encoding} text ({error})", "unreadable file"
        ) from error


def read_lines(path: Path, errors: str = "strict") -> Iterator[tuple[int, str]]:
    """Yield (number, stripped line) for each line that is not empty; the first is number 1."""
    for number, line in enumerate(read_text(path, errors=errors).split("\n"), start=1):
        if stripped := line.strip():
            yield number, stripped


def read_xml(path: Path) -> Element:
    """Parse an XML file safely; see `detector.common.xml_files.read_xml`.

    Raises:
        DatasetError: The file is missing, is not XML, or defines entities.
    """
    try:
        return xml_files.read_xml(path)
    except OSError as error:
        message = f"{path}: {error.strerror}: check data_root"
        raise DatasetError(message, "unreadable file") from error
    except xml_files.XMLError as error:
        raise DatasetError(f"{path}: {error}", "unreadable file") from error


def split_fields(line: str, names: Sequence[str], more: bool = False) -> list[str]:
    """Split a line at white space into the named fields.

    Args:
        line: The line.
        names: Names of the fields, for the message.
        more: Accept further fields after the named ones.

    Raises:
        DatasetError: There are too few or too many fields.

    >>> split_fields("0279029 23781", ("image", "vehicle"))
    ['0279029', '23781']
    """
    fields = line.split()
    if len(fields) < len(names) or (len(fields) > len(names) and not more):
        raise DatasetError(f"{line!r} must read '{' '.join(names)}'")
    return fields


@lru_cache(maxsize=1 << 14)  # an id occurs in many lines, mostly close together
def as_number(text: str, name: str) -> int:
    """Parse an id, with or without leading zeros.

    Args:
        text: The id.
        name: Name of the field, for the message.

    Raises:
        DatasetError: The text is not a non-negative integer, or has more digits than an int64 holds.

    >>> as_number("0012", "vehicle")
    12
    """
    if not _NUMBER.fullmatch(text):
        raise DatasetError(f"{name} {text!r} is not a number")
    return int(text)


def number_names(names: Iterable[str]) -> dict[str, int]:
    """Number the distinct names from 0 in sorted order.

    >>> number_names(["taxi", "bus", "taxi"])
    {'bus': 0, 'taxi': 1}
    """
    return {name: number for number, name in enumerate(sorted(set(names)))}


def relative_path(name: str) -> str:
    """Normalise the path of an image as a list spells it.

    Raises:
        DatasetError: The path is empty, absolute, or outside the data set's folder.
    """
    if _PLAIN_PATH.fullmatch(name):
        return name
    path = PurePosixPath(name.strip().replace("\\", "/"))
    inside = path.parts and not path.is_absolute() and ".." not in path.parts
    if not inside or ":" in path.parts[0] or "\0" in name:
        raise DatasetError(f"{name!r} must be a path inside the data set's folder")
    return str(path)


def image_path(folder: str, name: str) -> str:
    """The path of an image in a folder of the data set; a missing ``.jpg`` is appended.

    Raises:
        DatasetError: See `relative_path`.

    >>> image_path("image", "0279029")
    'image/0279029.jpg'
    """
    path = f"{folder}/{relative_path(name)}"
    return path if path.lower().endswith(IMAGE_SUFFIXES) else f"{path}.jpg"
