"""The labels of part annotations: sixteen attributes, and vehicle styles, which are not used.

Source: Zhang et al., "Part-Guided Attention Learning for Vehicle Instance Retrieval", IEEE T-ITS
2020 (arXiv 1909.06023), Table I. The published annotations (VOC21_S) carry 21 labels: 16 parts and
5 styles.
"""

from __future__ import annotations

ATTRIBUTES: tuple[str, ...] = (
    "annusigns",
    "backmirror",
    "carlight",
    "carrier",
    "cartopwindow",
    "entrylicense",
    "hungs",
    "layon",
    "lightcover",
    "logo",
    "newersign",
    "tissuebox",
    "plate",
    "safebelt",
    "wheel",
    "windglass",
)
VEHICLE_STYLES: tuple[str, ...] = ("car", "trunk", "tricycle", "train", "bus")

# Other spellings in the releases of the annotations.
_ALIASES = {
    "anusign": "annusigns",
    "anusigns": "annusigns",
    "annual_sign": "annusigns",
    "paperbox": "tissuebox",
    "tissue_box": "tissuebox",
    "entrylisence": "entrylicense",
    "hanging": "hungs",
    "truck": "trunk",
    "tricar": "tricycle",
}
_CANONICAL = {name: name for name in ATTRIBUTES + VEHICLE_STYLES} | _ALIASES


def canonical_label(name: str) -> str | None:
    """Map the label of an annotation to its name in this library.

    Args:
        name: Label as written in an annotation; case and surrounding whitespace do not matter.

    Returns:
        A member of `ATTRIBUTES` or `VEHICLE_STYLES`, or None for an unknown label.

    >>> canonical_label("paperbox"), canonical_label("Truck"), canonical_label("door")
    ('tissuebox', 'trunk', None)
    """
    return _CANONICAL.get(name.strip().lower())
