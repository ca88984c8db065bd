"""Read Pascal VOC annotation files as annotation tools write them.

Such files declare gb2312, use ``<item>`` elements instead of ``<object>`` (Colabeler), end lines as on
Windows, state coordinates outside the image, or contain floats instead of integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from detector.common.xml_files import XMLError, read_xml

_ROOTS = ("annotation", "doc")
_SIDES = ("xmin", "ymin", "xmax", "ymax")


class AnnotationError(ValueError):
    """An annotation file or a data set of annotations is invalid; the message names the file."""


@dataclass(frozen=True)
class LabelledBox:
    """One ``<object>`` element.

    Attributes:
        name: Label as spelt in the file.
        box: ``xmin ymin xmax ymax`` as in the file: pixels counted from 1, both ends inclusive.
        difficult: VOC's flag for objects that evaluation ignores.
    """

    name: str
    box: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class VOCAnnotation:
    """The content of one annotation file.

    Attributes:
        filename: Content of ``<filename>``, or None; often not the name of the image on disk.
        size: Height and width of the image as stated in the file, or None; often wrong.
        objects: The boxes, in file order.
    """

    filename: str | None
    size: tuple[int, int] | None
    objects: list[LabelledBox]


def read_annotation(path: Path) -> VOCAnnotation:
    """Read a Pascal VOC XML file.

    Raises:
        AnnotationError: The file is missing, is not XML, is not an annotation or defines entities; or an
            object has no name or not four finite coordinates.

    >>> from tempfile import TemporaryDirectory
    >>> box = "<xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax>"
    >>> text = f"<annotation><object><name>wheel</name><bndbox>{box}</bndbox></object></annotation>"
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "a.xml")
    ...     _ = file.write_text(text)
    ...     read_annotation(file).objects
    [LabelledBox(name='wheel', box=(1.0, 2.0, 30.0, 40.0), difficult=False)]
    """
    root = _parse(path)
    objects = [
        _labelled_box(path, element)
        for element in root.iter()
        # Colabeler wraps its <item> elements in one <object>, which is not a box itself.
        if element.tag in ("object", "item") and element.find("item") is None and len(element)
    ]
    return VOCAnnotation(_text(root, "filename"), _size(root), objects)


def _parse(path: Path) -> Element:
    try:
        root = read_xml(path)
    except OSError as error:
        raise AnnotationError(f"{path}: {error.strerror}") from None
    except XMLError as error:
        raise AnnotationError(f"{path} {error}") from None
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
        xmin, ymin, xmax, ymax = (float(_text(bounds, side) or "") for side in _SIDES)
    except ValueError:
        raise AnnotationError(f"{path}: the box of the {name} lacks one of {_SIDES}") from None
    box = (xmin, ymin, xmax, ymax)
    if not all(map(math.isfinite, box)):
        raise AnnotationError(f"{path}: the box of the {name} is {box}")
    return LabelledBox(name, box, _text(element, "difficult") == "1")


def _size(root: Element) -> tuple[int, int] | None:
    size = root.find("size")
    height, width = (None, None) if size is None else (_text(size, "height"), _text(size, "width"))
    if not height or not width or not (height.isdecimal() and width.isdecimal()):
        return None
    return int(height), int(width)


def _text(element: Element, tag: str) -> str | None:
    text = element.findtext(tag)
    return text.strip() if text else None
