"""Reading the label files of data sets, whatever their encoding and line ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from pgan.datasets.reid_dataset import DatasetError


def read_text(path: Path, encoding: str = "utf-8-sig") -> str:
    """Read a text file; line ends become ``\\n`` and a byte order mark is dropped.

    Raises:
        DatasetError: The file is missing, or is not in that encoding.
    """
    try:
        return path.read_bytes().decode(encoding).replace("\r\n", "\n")
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}: check data_root") from error
    except (UnicodeDecodeError, LookupError) as error:
        raise DatasetError(f"{path}: is not {encoding} text ({error})") from error


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (``file:line``, stripped line) for each line that is not empty."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", line.strip()


def read_xml(path: Path) -> Element:
    """Parse an XML file safely, in any encoding that Python knows.

    Releases of VeRi-776 declare ``gb2312``, which Python's own parser refuses; so the text is decoded
    here and the declaration dropped. Entities are never expanded.

    Raises:
        DatasetError: The file is missing, is not XML, or declares entities.
    """
    try:
        head = path.read_bytes()[:200]
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}: check data_root") from error
    declared = re.search(rb"encoding\s*=\s*[\"']([\w.-]+)[\"']", head)
    encoding = declared[1].decode("ascii").lower() if declared else "utf-8-sig"
    # gb18030 is a superset of gb2312 and decodes the files that claim the latter wrongly.
    encoding = {"gb2312": "gb18030", "gbk": "gb18030", "utf-8": "utf-8-sig"}.get(encoding, encoding)
    text = re.sub(r"^\s*<\?xml.*?\?>", "", read_text(path, encoding), count=1, flags=re.DOTALL)
    try:
        return ElementTree.fromstring(text.strip())
    except (ParseError, DefusedXmlException) as error:
        raise DatasetError(f"{path}: is not safe, well-formed XML ({error})") from error
