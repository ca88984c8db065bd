"""Reading one Pascal VOC annotation file as it is met in the wild.

Met: files that declare gb2312, which Python's own parsers refuse; ``<item>`` elements instead of
``<object>`` (Colabeler); windows line ends; coordinates outside the image; floats for integers.
"""

from __future__ import annotations

import codecs
import math
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

_DECLARED = re.compile(rb"""<\?xml[^>]*encoding\s*=\s*["']([\w.:-]+)["']""")
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_ROOTS = ("annotation", "doc")
_SIDES = ("xmin", "ymin", "xmax", "ymax")


class AnnotationError(ValueError):
    """An annotation, or a set of them, that cannot be used; names the file and the fault."""


@dataclass(frozen=True)
class LabelledBox:
    """One ``<object>`` as written.

    Attributes:
        name: Label as spelt in the file.
        box: ``xmin ymin xmax ymax`` as written: pixels counted from 1, both ends inclusive.
        difficult: The VOC flag of objects that evaluation leaves out.
    """

    name: str
    box: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class Annotation:
    """One file: what it says of its image, and its boxes.

    Attributes:
        filename: Content of ``<filename>``, or None; often not the name of the file on disk.
        size: Height and width as stated, or None; often wrong.
        objects: The boxes, in file order.
    """

    filename: str | None
    size: tuple[int, int] | None
    objects: list[LabelledBox]


def read_annotation(path: Path) -> Annotation:
    """Read a Pascal VOC XML file.

    Raises:
        AnnotationError: The file is missing, no XML, no annotation, expands entities, or an object
            has no name or no four finite numbers.
    """
    root = _parse(path)
    objects = [
        _labelled_box(path, element)
        for element in root.iter()
        # Colabeler wraps its <item> elements in one <object>, which is no box itself.
        if element.tag in ("object", "item") and element.find("item") is None and len(element)
    ]
    return Annotation(_text(root, "filename"), _size(root), objects)


def _parse(path: Path) -> Element:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{path}: {error.strerror}") from None
    encoding = next((name for bom, name in _BOMS.items() if data.startswith(bom)), None)
    if encoding is None:
        declared = _DECLARED.match(data)
        encoding = declared[1].decode("ascii").lower() if declared else "utf-8"
        # gb18030 holds gb2312 and gbk, which such files use whatever they declare.
        encoding = "gb18030" if encoding in ("gb2312", "gbk") else encoding
    try:
        # expat knows few encodings; given text it ignores the declared one.
        root = fromstring(data.decode(encoding))
    except (LookupError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path} is not {encoding} text: {error}") from None
    except DefusedXmlException:
        raise AnnotationError(f"{path} defines XML entities, which are refused") from None
    except ParseError as error:
        raise AnnotationError(f"{path} is not well-formed XML: {error}") from None
    if root.tag not in _ROOTS:
        raise AnnotationError(f"{path} is not a Pascal VOC annotation: its root is <{root.tag}>")
    return root


def _labelled_box(path: Path, element: Element) -> LabelledBox:
    name = _text(element, "name")
    if not name:
        raise AnnotationError(f"{path}: an <{element.tag}> has no <name>")
    bounds = element.find("bndbox")
    if bounds is None:
        raise AnnotationError(f"{path}: the {name} has no <bndbox>")
    try:
        values = tuple(float(_text(bounds, side) or "") for side in _SIDES)
    except ValueError:
        raise AnnotationError(f"{path}: the box of the {name} lacks one of {_SIDES}") from None
    if not all(map(math.isfinite, values)):
        raise AnnotationError(f"{path}: the box of the {name} is {values}")
    return LabelledBox(name, values, _text(element, "difficult") == "1")  # type: ignore[arg-type]


def _size(root: Element) -> tuple[int, int] | None:
    size = root.find("size")
    height, width = (None, None) if size is None else (_text(size, "height"), _text(size, "width"))
    if not height or not width or not (height.isdecimal() and width.isdecimal()):
        return None
    return int(height), int(width)


def _text(element: Element, tag: str) -> str | None:
    text = element.findtext(tag)
    return text.strip() if text else None
