"""Read XML files safely, in any encoding that Python knows."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*encoding\s*=\s*["']([\w.:-]+)["']""")
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# gb18030 is a superset of gb2312 and gbk; files that declare one of those contain its characters.
_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030"}


class XMLError(ValueError):
    """A file that is not text in its encoding, is not well-formed XML, or defines entities."""


def read_xml(path: Path) -> Element:
    """Parse an XML file and return its root element.

    Releases of VeRi-776 and Pascal VOC annotations declare ``gb2312``, which Python's own parser refuses. The
    text is therefore decoded here, by its byte order mark or its declaration, else as UTF-8. Entities are
    never expanded.

    Raises:
        OSError: The file cannot be read.
        XMLError: The file cannot be decoded or is not safe, well-formed XML. The message begins with a verb
            and does not name the file.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "a.xml")
    ...     _ = file.write_bytes('<?xml version="1.0" encoding="gb2312"?><a>车</a>'.encode("gb2312"))
    ...     read_xml(file).text
    '车'
    """
    data = path.read_bytes()
    encoding = _encoding(data)
    try:
        # Given a string, expat ignores the declared encoding, of which it knows few.
        return fromstring(data.decode(encoding).strip())
    except (LookupError, UnicodeError) as error:
        raise XMLError(f"is not {encoding} text: {error}") from None
    except DefusedXmlException:
        raise XMLError("defines XML entities, which are refused") from None
    except ParseError as error:
        raise XMLError(f"is not well-formed XML: {error}") from None


def _encoding(data: bytes) -> str:
    """The encoding by the byte order mark, else the declared one, else UTF-8."""
    for bom, name in _BOMS.items():
        if data.startswith(bom):
            return name
    declared = _ENCODING.match(data[:200])
    name = declared[1].decode("ascii").lower() if declared else "utf-8"
    return _SUPERSETS.get(name, name)
