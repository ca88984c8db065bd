"""Body styles, trims and paints, as data. Lengths in metres, in the frame of `fleet.geometry`."""

from __future__ import annotations

from dataclasses import dataclass

from .geometry import Loft

Range = tuple[float, float]

# Cross-sections of a body: rows (height fraction, inset of the ends in metres, fraction of the half width).
CAR_BULGE = (
    (0.0, 0.10, 0.90),
    (0.10, 0.03, 0.965),
    (0.30, 0.0, 0.99),
    (0.55, 0.01, 1.0),
    (0.78, 0.03, 0.985),
    (0.92, 0.09, 0.955),
    (1.0, 0.20, 0.90),
)
BOX_BULGE = (
    (0.0, 0.03, 0.98),
    (0.1, 0.0, 1.0),
    (0.5, 0.0, 1.0),
    (0.96, 0.02, 0.99),
    (1.0, 0.06, 0.96),
)


def _body(
    rear: float,
    front: float,
    half_width: float,
    floor: float,
    deck: tuple[Range, ...],
    bulge: tuple[tuple[float, float, float], ...] = CAR_BULGE,
    roundness: float = 5.0,
    crown: float = 0.035,
) -> Loft:
    rows = tuple((t, rear + inset, front - inset, half_width * share) for t, inset, share in bulge)
    return Loft(rows, floor, deck, roundness, crown)


def _cabin(
    base: Range,
    roof: Range,
    widths: Range,
    floor: float,
    height: float,
    arch: float = 0.05,
) -> Loft:
    """A cabin that tapers from its base to its roof (each an x range), with a rounded roof edge."""

    def row(t: float, s: float, inset: float) -> tuple[float, float, float, float]:
        ends = [base[i] + s * (roof[i] - base[i]) for i in (0, 1)]
        half_width = widths[0] + s * (widths[1] - widths[0])
        return (t, ends[0] + inset, ends[1] - inset, half_width - inset * 0.6)

    rows = (
        row(0, 0, 0),
        row(0.3, 0.33, 0),
        row(0.6, 0.65, 0),
        row(0.9, 0.95, 0.01),
        row(1, 1.02, 0.08),
    )
    middle = (roof[0] + roof[1]) / 2
    deck: tuple[Range, ...] = (
        (base[0], height - arch),
        (roof[0], height - arch * 0.7),
        (middle, height),
    )
    deck = (*deck, (roof[1], height - arch * 0.6), (base[1], height - arch))
    return Loft(rows, floor, deck, roundness=9.0)


@dataclass(frozen=True)
class Glass:
    """A window across an end of a solid, with half width u (fraction) and height range t."""

    solid: str
    u: float
    t: Range


@dataclass(frozen=True)
class Style:
    """One body style.

    Attributes:
        name: Name as in the list of types of VeRi-776.
        type_id: The typeID of VeRi-776.
        solids: Lofts by name; ``'body'`` is drawn first, the others over it.
        wheels: x of each axle.
        radius: Wheel radius.
        windscreen: The front glass.
        rear_glass: The rear glass, or None.
        side_windows: Solid, runs of a (0 rear to 1 front), and t range.
        face: Solid with headlamps, grille, logo and plate at the front.
        lamps: (u range, t range) of a headlamp on the face.
        tail_lamps: (u range, t range) of a tail lamp, always on ``'body'``.
        grille: (half width u, t range).
        front_plate: t of the centre of the front plate.
        front_logo: t of the centre of the front logo.
        rear_plate: t of the centre of the rear plate.
        rear_logo: t of the centre of the rear logo.
        rear_details: Solid with the logo at the rear.
        fog: (u, t) of the centre of a front light cover.
        rear_fog: (u, t) of the centre of a rear light cover.
        doors: x of the gaps between doors.
        handle: t of the door handles.
        mirror: (x, half width, z) of the centres of the mirrors.
        roof: Solid with the sunroof and the carrier.
        split: x of the plane between the two solids above the body, if there are two.
        bed: x range of the bed of a pickup, or None.
        weight: Relative frequency of the style in the fleet.
    """

    name: str
    type_id: int
    solids: dict[str, Loft]
    wheels: tuple[float, ...]
    radius: float
    windscreen: Glass
    rear_glass: Glass | None
    side_windows: tuple[str, tuple[Range, ...], Range]
    mirror: tuple[float, float, float]
    face: str = "body"
    lamps: tuple[Range, Range] = ((0.52, 0.93), (0.60, 0.86))
    tail_lamps: tuple[Range, Range] = ((0.55, 0.95), (0.58, 0.86))
    grille: tuple[float, Range] = (0.45, (0.52, 0.80))
    front_plate: float = 0.27
    front_logo: float = 0.80
    rear_plate: float = 0.46
    rear_logo: float = 0.83
    rear_details: str = "body"
    fog: tuple[float, float] = (0.70, 0.26)
    rear_fog: tuple[float, float] = (0.72, 0.24)
    doors: tuple[float, ...] = ()
    handle: float = 0.78
    roof: str = "cabin"
    split: float | None = None
    bed: Range | None = None
    weight: float = 1.0


_NOSE = ((1.05, 0.98), (1.45, 0.94), (1.9, 0.86), (2.15, 0.77), (2.3, 0.66))
_HIGH_NOSE = ((1.1, 1.10), (1.6, 1.08), (2.0, 1.02), (2.2, 0.93), (2.35, 0.80))
_WINDSCREEN = Glass("cabin", 0.88, (0.07, 0.86))
_REAR = Glass("cabin", 0.84, (0.12, 0.84))

STYLES: tuple[Style, ...] = (
    Style(
        "sedan", 1,
        {"body": _body(-2.3, 2.3, 0.90, 0.20,
                       ((-2.3, 0.80), (-2.15, 0.93), (-1.7, 0.98), (-1.0, 0.98), *_NOSE)),
         "cabin": _cabin((-1.85, 1.25), (-1.0, 0.15), (0.81, 0.60), 0.94, 1.46)},
        wheels=(-1.32, 1.42), radius=0.335, windscreen=_WINDSCREEN, rear_glass=_REAR,
        side_windows=("cabin", ((0.13, 0.485), (0.515, 0.86)), (0.12, 0.82)),
        mirror=(0.80, 0.93, 1.02), doors=(-0.85, -0.02, 0.98), weight=1.6,
    ),
    Style(
        "suv", 2,
        {"body": _body(-2.3, 2.35, 0.95, 0.30, ((-2.3, 1.0), (-2.1, 1.10), (-1.0, 1.10), *_HIGH_NOSE)),
         "cabin": _cabin((-2.2, 1.3), (-1.85, 0.35), (0.86, 0.68), 1.06, 1.74, arch=0.07)},
        wheels=(-1.4, 1.42), radius=0.40, windscreen=_WINDSCREEN, rear_glass=_REAR,
        side_windows=("cabin", ((0.06, 0.24), (0.27, 0.55), (0.58, 0.88)), (0.12, 0.84)),
        mirror=(0.90, 0.99, 1.15), doors=(-1.0, -0.05, 0.95), weight=1.4,
    ),
    Style(
        "van", 3,
        {"body": _body(-2.4, 2.4, 0.92, 0.28,
                       ((-2.4, 1.15), (1.5, 1.15), (1.95, 1.10), (2.2, 1.0), (2.4, 0.85))),
         "cabin": _cabin((-2.34, 2.08), (-2.25, 1.30), (0.86, 0.76), 1.10, 2.0)},
        wheels=(-1.5, 1.5), radius=0.34, windscreen=Glass("cabin", 0.88, (0.06, 0.84)),
        rear_glass=Glass("cabin", 0.8, (0.18, 0.8)),
        side_windows=("cabin", ((0.05, 0.30), (0.33, 0.62), (0.66, 0.90)), (0.14, 0.78)),
        mirror=(1.74, 0.98, 1.24), doors=(-0.45, 0.75, 1.65), lamps=((0.56, 0.93), (0.58, 0.82)),
        tail_lamps=((0.78, 0.96), (0.45, 0.92)), rear_plate=0.45, rear_logo=0.80, weight=1.0,
    ),
    Style(
        "hatchback", 4,
        {"body": _body(-1.95, 2.0, 0.87, 0.20,
                       ((-1.95, 0.93), (-1.8, 1.0), (-1.0, 1.0), (0.85, 1.0), (1.3, 0.96), (1.65, 0.88),
                             (1.85, 0.79), (2.0, 0.68))),
         "cabin": _cabin((-1.88, 1.12), (-1.45, 0.15), (0.79, 0.61), 0.97, 1.52)},
        wheels=(-1.22, 1.25), radius=0.32, windscreen=_WINDSCREEN, rear_glass=_REAR,
        side_windows=("cabin", ((0.10, 0.44), (0.47, 0.86)), (0.12, 0.82)),
        mirror=(0.70, 0.91, 1.05), doors=(-0.75, -0.05, 0.85), weight=1.4,
    ),
    Style(
        "mpv", 5,
        {"body": _body(-2.25, 2.25, 0.91, 0.22,
                       ((-2.25, 0.98), (-2.1, 1.05), (1.0, 1.05), (1.6, 1.0), (1.95, 0.9), (2.12, 0.8),
                             (2.25, 0.7))),
         "cabin": _cabin((-2.16, 1.62), (-1.9, 0.50), (0.83, 0.66), 1.01, 1.68, arch=0.07)},
        wheels=(-1.38, 1.42), radius=0.335, windscreen=_WINDSCREEN, rear_glass=_REAR,
        side_windows=("cabin", ((0.06, 0.28), (0.31, 0.57), (0.60, 0.88)), (0.12, 0.82)),
        mirror=(1.12, 0.95, 1.10), doors=(-0.95, 0.0, 1.05), weight=1.0,
    ),
    Style(
        "pickup", 6,
        {"body": _body(-2.6, 2.5, 0.94, 0.34,
                       ((-2.6, 1.12), (-2.45, 1.14), (1.1, 1.12), (1.7, 1.09), (2.1, 1.04), (2.35, 0.96),
                             (2.5, 0.84))),
         "cabin": _cabin((-0.72, 1.38), (-0.52, 0.48), (0.85, 0.68), 1.08, 1.76)},
        wheels=(-1.55, 1.55), radius=0.40, windscreen=_WINDSCREEN,
        rear_glass=Glass("cabin", 0.8, (0.2, 0.8)),
        side_windows=("cabin", ((0.08, 0.42), (0.46, 0.86)), (0.12, 0.82)),
        mirror=(1.0, 0.99, 1.18), doors=(-0.72, 0.12, 1.05), bed=(-2.42, -0.78),
        tail_lamps=((0.80, 0.96), (0.42, 0.88)), weight=0.8,
    ),
    Style(
        "bus", 7,
        {"body": _body(-3.4, 3.4, 1.16, 0.32, ((-3.4, 2.86), (0.0, 2.92), (3.4, 2.82)),
                       BOX_BULGE, 11.0)},
        wheels=(-2.0, 2.05), radius=0.46, windscreen=Glass("body", 0.9, (0.40, 0.84)),
        rear_glass=Glass("body", 0.82, (0.50, 0.82)),
        side_windows=("body", ((0.04, 0.19), (0.2, 0.35), (0.36, 0.51), (0.52, 0.67), (0.68, 0.83)),
                      (0.42, 0.8)),
        mirror=(3.3, 1.30, 1.95), doors=(2.55, 3.05), handle=0.3, roof="body",
        lamps=((0.62, 0.92), (0.16, 0.26)), tail_lamps=((0.76, 0.94), (0.20, 0.36)),
        grille=(0.5, (0.15, 0.24)), front_plate=0.07, front_logo=0.32, rear_plate=0.13, rear_logo=0.42,
        fog=(0.76, 0.085), rear_fog=(0.80, 0.10), weight=0.7,
    ),
    Style(
        "truck", 8,
        {"body": _body(-3.0, 2.9, 0.92, 0.42, ((-3.0, 0.86), (2.9, 0.86)), BOX_BULGE, 9.0),
         "box": _body(-3.05, 1.05, 1.02, 0.88, ((-3.05, 2.72), (1.05, 2.72)), BOX_BULGE, 14.0, 0.02),
         "cabin": _body(1.25, 3.0, 0.96, 0.46,
                        ((1.25, 2.16), (1.9, 2.2), (2.45, 2.16), (3.0, 2.05)),
                        ((0, 0.06, 0.95), (0.08, 0.0, 0.99), (0.5, 0.0, 1.0), (0.62, 0.06, 0.98),
                         (0.92, 0.26, 0.86), (1.0, 0.38, 0.78)), 8.0)},
        wheels=(-1.9, 2.0), radius=0.42, windscreen=Glass("cabin", 0.88, (0.53, 0.89)), rear_glass=None,
        side_windows=("cabin", ((0.22, 0.80),), (0.54, 0.88)), mirror=(2.9, 1.12, 1.52),
        face="cabin", lamps=((0.58, 0.93), (0.20, 0.33)), tail_lamps=((0.66, 0.95), (0.35, 0.85)),
        grille=(0.5, (0.20, 0.38)), front_plate=0.075, front_logo=0.43, rear_plate=0.5, rear_logo=0.62,
        rear_details="box", fog=(0.74, 0.085), rear_fog=(0.45, 0.6), doors=(), split=1.15, weight=0.8,
    ),
    Style(
        "estate", 9,
        {"body": _body(-2.35, 2.3, 0.89, 0.20, ((-2.35, 0.90), (-2.2, 0.98), (-1.0, 0.98), *_NOSE)),
         "cabin": _cabin((-2.27, 1.25), (-1.8, 0.15), (0.80, 0.61), 0.94, 1.47)},
        wheels=(-1.35, 1.42), radius=0.335, windscreen=_WINDSCREEN, rear_glass=_REAR,
        side_windows=("cabin", ((0.08, 0.29), (0.32, 0.57), (0.60, 0.88)), (0.12, 0.82)),
        mirror=(0.80, 0.92, 1.02), doors=(-0.95, -0.02, 0.98), weight=1.0,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Trim:
    """Equipment that distinguishes models of one style; twins share it."""

    name: str
    grille: str
    lamp: str
    cladding: bool
    chrome: bool
    dark_roof: bool


TRIMS: tuple[Trim, ...] = (
    Trim("base", "bars", "block", False, False, False),
    Trim("sport", "mesh", "swept", False, False, True),
    Trim("cross", "bars", "round", True, False, False),
    Trim("luxury", "upright", "swept", False, True, False),
)

# The colour ids of VeRi-776 (list_color.txt) and a typical RGB paint for each.
PAINTS: dict[str, tuple[int, tuple[int, int, int]]] = {
    "yellow": (1, (226, 178, 28)),
    "orange": (2, (217, 98, 28)),
    "green": (3, (44, 112, 70)),
    "gray": (4, (128, 132, 136)),
    "red": (5, (168, 26, 30)),
    "blue": (6, (34, 74, 150)),
    "white": (7, (226, 228, 230)),
    "golden": (8, (178, 152, 104)),
    "brown": (9, (98, 66, 46)),
    "black": (10, (38, 40, 44)),
}
