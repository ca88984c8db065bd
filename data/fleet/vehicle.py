"""Vehicle identities: a model (style, trim and paint) and the individual details of its parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .spec import MODEL, SPLIT, FleetSpec
from .styles import PAINTS, STYLES, TRIMS, Style, Trim

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (228, 30, 36),
    "orange": (250, 130, 20),
    "yellow": (250, 222, 40),
    "green": (24, 172, 70),
    "cyan": (40, 205, 220),
    "blue": (28, 80, 225),
    "violet": (142, 52, 200),
    "pink": (250, 110, 175),
    "white": (244, 244, 244),
    "black": (24, 24, 26),
    "silver": (188, 192, 198),
    "gold": (206, 160, 52),
    "smoke": (70, 66, 70),
    "clear": (232, 240, 248),
    "body": (0, 0, 0),
}
_VIVID = ("red", "orange", "yellow", "green", "cyan", "blue", "violet", "pink", "white")

# For each attribute: the probability that a vehicle has it, and the options of its details. 'body' stands for
# the vehicle's own paint.
DETAILS: dict[str, tuple[float, dict[str, tuple]]] = {
    "annusigns": (
        0.85,
        {
            "count": (1, 2, 3, 4),
            "layout": ("row", "column", "block"),
            "first": _VIVID,
            "second": _VIVID,
        },
    ),
    "backmirror": (
        1.0,
        {"cap": ("body", "body", "black", "silver", "red", "yellow", "blue", "white")},
    ),
    "carlight": (1.0, {"tint": ("clear", "clear", "yellow", "cyan", "smoke", "violet")}),
    "carrier": (
        0.25,
        {
            "kind": ("rails", "bars", "basket", "box"),
            "colour": ("black", "silver", "red", "yellow", "blue", "green"),
        },
    ),
    "cartopwindow": (
        0.35,
        {"kind": ("single", "panorama", "double"), "tint": ("black", "blue", "cyan")},
    ),
    "entrylicense": (0.4, {"colour": _VIVID, "stripe": _VIVID}),
    "hungs": (0.35, {"shape": ("disc", "diamond", "tassel", "beads"), "colour": _VIVID}),
    "layon": (
        0.35,
        {"kind": ("trio", "mat", "ball", "toy"), "colour": _VIVID, "slot": (-0.62, -0.34)},
    ),
    "lightcover": (
        0.5,
        {"shape": ("bar", "ring", "wedge"), "colour": ("red", "yellow", "blue", "silver", "green")},
    ),
    "logo": (
        0.96,
        {
            "shape": ("ring", "diamond", "bar", "shield", "star"),
            "colour": ("silver", "gold", "red", "blue"),
        },
    ),
    "newersign": (
        0.2,
        {
            "shape": ("round", "diamond", "square"),
            "colour": ("yellow", "pink", "green"),
            "side": (-1, 1),
        },
    ),
    "plate": (
        0.97,
        {
            "colour": ("blue", "blue", "yellow", "green", "white", "black"),
            "frame": ("black", "silver", "red", "gold"),
        },
    ),
    "safebelt": (0.6, {"seat": _VIVID, "belt": ("black", "white", "yellow", "red")}),
    "tissuebox": (0.25, {"colour": _VIVID, "band": _VIVID, "slot": (-0.08, 0.14)}),
    "wheel": (
        1.0,
        {
            "design": ("five", "twin", "ten", "dish", "star", "cross"),
            "colour": ("silver", "white", "black", "gold", "red", "blue", "yellow"),
        },
    ),
    "windglass": (1.0, {"strip": ("none", "none", "none", "blue", "green", "violet")}),
}

_MIN_DIFFERENCES = 5  # minimum number of details in which two twins differ
_REAR_DETAILS = ("carlight", "plate", "logo", "lightcover", "windglass", "carrier")
Detail = dict[str, Any]
Details = dict[str, Detail | None]


@dataclass(frozen=True)
class Vehicle:
    """One vehicle of the fleet.

    Attributes:
        number: Vehicle id, from 1.
        group: Number of the twin group; a vehicle without twins is alone in its group.
        style: Index into `STYLES`.
        trim: Index into `TRIMS`.
        paint: Key of `PAINTS`.
        tone: Brightness of the paint, one per group.
        split: 'train', 'test' or 'detector'.
        details: The details of each attribute; None for an attribute that the vehicle lacks.
    """

    number: int
    group: int
    style: int
    trim: int
    paint: str
    tone: float
    split: str
    details: Details = field(default_factory=dict)

    @property
    def body_style(self) -> Style:
        """The body style."""
        return STYLES[self.style]

    @property
    def body_trim(self) -> Trim:
        """The trim."""
        return TRIMS[self.trim]

    def detail(self, name: str) -> Detail:
        """The details of an attribute that the vehicle has.

        Raises:
            KeyError: The vehicle lacks the attribute.
        """
        detail = self.details[name]
        if detail is None:
            raise KeyError(name)
        return detail

    @property
    def colour_id(self) -> int:
        """The colorID of VeRi-776."""
        return PAINTS[self.paint][0]

    @property
    def rgb(self) -> tuple[float, float, float]:
        """The colour of the paint, 0 to 255."""
        red, green, blue = (min(255.0, channel * self.tone) for channel in PAINTS[self.paint][1])
        return red, green, blue


def draw_detail(name: str, rng: np.random.Generator) -> Detail | None:
    """Draw the details of an attribute; the number of draws does not depend on the outcome."""
    share, fields = DETAILS[name]
    present = rng.random() < share
    detail = {key: options[int(rng.random() * len(options))] for key, options in fields.items()}
    for key, other in (
        ("second", "first"),
        ("stripe", "colour"),
        ("band", "colour"),
        ("belt", "seat"),
    ):
        if key in detail and detail[key] == detail.get(other):
            detail[key] = "black" if detail[other] != "black" else "white"
    return detail if present else None


def _draw_details(
    rng: np.random.Generator, base: Details | None, change: float, style: Style
) -> Details:
    details: Details = {}
    for name in DETAILS:
        own, keep = draw_detail(name, rng), rng.random() >= change
        details[name] = base[name] if base is not None and keep else own
    if style.name == "bus":
        details["carrier"] = None
    if style.name == "truck":
        details["carrier"] = details["cartopwindow"] = None
    if details["carrier"] and details["carrier"]["kind"] in ("box", "basket"):
        details["cartopwindow"] = None  # the carrier would cover it
    return details


def _differences(one: Details, other: Details) -> list[str]:
    return [name for name in DETAILS if one[name] != other[name]]


def _distinct_enough(details: Details, others: list[Details]) -> bool:
    for other in others:
        changed = _differences(details, other)
        rear = sum(name in changed for name in _REAR_DETAILS)
        if len(changed) < _MIN_DIFFERENCES or rear < 2 or "wheel" not in changed:
            return False
    return True


def _draw_group(spec: FleetSpec, group: int, numbers: list[int], split: str) -> list[Vehicle]:
    rng = spec.rng(MODEL, group)
    weights = np.cumsum([style.weight for style in STYLES])
    style = int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))
    trim, paint = int(rng.random() * len(TRIMS)), list(PAINTS)[int(rng.random() * len(PAINTS))]
    tone = 0.9 + 0.2 * rng.random()
    base = _draw_details(rng, None, 1.0, STYLES[style])
    members: list[Details] = []
    for _ in numbers:
        change = spec.detail_change
        details = _draw_details(rng, base, change, STYLES[style])
        while not _distinct_enough(details, members):
            change = min(1.0, change + 0.01)  # so that the loop ends even for a small detail_change
            details = _draw_details(rng, base, change, STYLES[style])
        members.append(details)
    return [Vehicle(n, group, style, trim, paint, tone, split, d) for n, d in zip(numbers, members)]


def _group_sizes(spec: FleetSpec, count: int) -> list[int]:
    groups = round(count * spec.twin_share / spec.twins)
    if groups == 0 and spec.twin_share > 0 and count >= 2:
        return [min(count, spec.twins)] + [1] * (count - spec.twins)
    groups = min(groups, count // spec.twins)
    return [spec.twins] * groups + [1] * (count - groups * spec.twins)


def draw_fleet(spec: FleetSpec) -> list[Vehicle]:
    """Draw all vehicles of a fleet.

    Twins share style, trim, paint and split, but their numbers are not consecutive. The vehicles of the
    detector split have the highest numbers.

    Returns:
        The vehicles by ascending number, which starts at 1.
    """
    test = min(spec.vehicles - 2, max(2, round(spec.vehicles * spec.test_share)))
    order = spec.rng(SPLIT).permutation(spec.vehicles) + 1
    rest = np.arange(spec.vehicles, spec.vehicles + spec.detector_vehicles) + 1
    vehicles, group = [], 0
    for split, drawn in (("train", order[test:]), ("test", order[:test]), ("detector", rest)):
        numbers = [int(number) for number in drawn]
        for size in _group_sizes(spec, len(numbers)):
            own, numbers = sorted(numbers[:size]), numbers[size:]
            vehicles += _draw_group(spec, group, own, split)
            group += 1
    return sorted(vehicles, key=lambda vehicle: vehicle.number)
