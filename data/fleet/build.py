"""Render a fleet to disk, completely or not at all."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from detector.common.attributes import ATTRIBUTES

from .camera import draw_cameras
from .render import Scene
from .schedule import Frame, plan
from .spec import FleetError, FleetSpec
from .vehicle import Vehicle, draw_fleet
from .veri_layout import FOLDERS, first_of_each_track, write_indices
from .voc_layout import IMAGES, Part, write_annotations

FORMAT = "pgan-fleet/1"
JPEG_QUALITY = 93
_MARK = ".fleet-in-the-making"  # a file in an unfinished fleet

Task = tuple[Vehicle, Sequence[Frame]]


@dataclass(frozen=True)
class FleetSummary:
    """Number of images of each split.

    Attributes:
        train: Training images.
        query: Query images, which are also in the gallery.
        gallery: Gallery images.
        detector: Images of the detector split.
        kept: Whether the fleet already existed.
    """

    train: int
    query: int
    gallery: int
    detector: int
    kept: bool = False


def make_fleet(
    out: Path | str,
    spec: FleetSpec,
    workers: int = 1,
    overwrite: bool = False,
    on_images: Callable[[int], None] | None = None,
) -> FleetSummary:
    """Render a fleet into a folder.

    The fleet is written to a hidden folder beside ``out`` and renamed at the end, so ``out`` is never
    incomplete. If ``out`` already contains the same fleet, it is kept.

    Args:
        out: Folder to create; an empty folder is accepted.
        spec: Parameters of the fleet. The same spec gives the same bytes for any number of workers.
        workers: Processes that render.
        overwrite: Whether a fleet with other parameters in ``out`` may be replaced.
        on_images: Called with the number of images finished since the last call.

    Raises:
        FleetError: ``out`` contains something else or is not writable, or ``workers`` is below 1.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     make_fleet(f"{folder}/fleet", FleetSpec(vehicles=4, images_per_vehicle=2, size=48))
    FleetSummary(train=4, query=4, gallery=4, detector=0, kept=False)
    """
    out = Path(out)
    if workers < 1:
        raise FleetError(f"workers = {workers}: must be 1 or more")
    vehicles = draw_fleet(spec)
    frames = plan(spec, vehicles)
    summary = _count(vehicles, frames)
    if _already_exists(out, spec, overwrite):
        return dataclasses.replace(summary, kept=True)
    temporary = out.parent / f".{out.name}.making"
    _create_empty(temporary)
    try:
        parts = _render(
            temporary, spec, vehicles, frames, workers, on_images or (lambda count: None)
        )
        _write_all(temporary, spec, vehicles, frames, parts)
    except OSError as error:
        raise FleetError(
            f"{temporary}: cannot write ({error.strerror or error}); choose another folder"
        ) from None
    (temporary / _MARK).unlink()
    if out.is_dir():
        shutil.rmtree(out)  # it is empty, or a fleet that may be replaced
    temporary.rename(out)
    return summary


def read_fleet(out: Path | str) -> dict[str, Any]:
    """Read ``fleet.json`` of a fleet: its spec, cameras and vehicles.

    Raises:
        FleetError: The folder is not a fleet.
    """
    path = Path(out) / "fleet.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise FleetError(
            f"{out}: not a fleet, since it has no fleet.json of format {FORMAT}; give the folder of a fleet"
        )
    return found


def _already_exists(out: Path, spec: FleetSpec, overwrite: bool) -> bool:
    """Whether ``out`` contains this fleet.

    Raises:
        FleetError: ``out`` contains something that must not be replaced.
    """
    if not out.exists():
        return False
    if not out.is_dir():
        raise FleetError(f"{out}: is a file, not a folder; choose another name")
    if not any(out.iterdir()):
        return False
    try:
        found = read_fleet(out)["spec"]
    except FleetError:
        raise FleetError(
            f"{out}: contains files that are not a fleet; choose a new or an empty folder"
        ) from None
    changed = [
        f"{key} {found.get(key)}, not {value}"
        for key, value in spec.to_dict().items()
        if found.get(key) != value
    ]
    if changed and not overwrite:
        raise FleetError(
            f"{out}: contains another fleet ({', '.join(changed)}); choose another folder, or pass "
            "--overwrite"
        )
    return not changed and not overwrite


def _create_empty(temporary: Path) -> None:
    if temporary.exists() and not (temporary / _MARK).is_file():
        raise FleetError(f"{temporary}: is in the way and was not left by an earlier run; move it")
    try:
        if temporary.exists():
            shutil.rmtree(temporary)
        temporary.mkdir(parents=True)
        (temporary / _MARK).touch()
    except OSError as error:
        raise FleetError(
            f"{temporary}: cannot write ({error.strerror}); choose a writable folder"
        ) from None


def _folder(split: str) -> str:
    return FOLDERS.get(split, IMAGES)


def _render_vehicle(task: Task, temporary: Path, spec: FleetSpec) -> dict[str, list[Part]]:
    """Render and write the images of one vehicle, in a worker process."""
    cv2.setNumThreads(0)
    vehicle, frames = task
    scene = Scene(vehicle, spec.detail_size)
    parts: dict[str, list[Part]] = {}
    folder = temporary / _folder(vehicle.split)
    for frame in frames:
        rendered = scene.render(frame.shot, spec.size)
        bgr = cv2.cvtColor(rendered.image, cv2.COLOR_RGB2BGR)
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
        (folder / frame.name).write_bytes(data.tobytes())
        parts[frame.name] = [
            (label, tuple(box)) for label, box in zip(rendered.labels, rendered.boxes.tolist())
        ]
    return parts


def _render(
    temporary: Path,
    spec: FleetSpec,
    vehicles: list[Vehicle],
    frames: dict[int, list[Frame]],
    workers: int,
    on_images: Callable[[int], None],
) -> dict[str, list[Part]]:
    for folder in {_folder(vehicle.split) for vehicle in vehicles} | set(FOLDERS.values()):
        (temporary / folder).mkdir(parents=True)
    tasks: list[Task] = [(vehicle, frames[vehicle.number]) for vehicle in vehicles]
    parts: dict[str, list[Part]] = {}
    for done in _mapped(partial(_render_vehicle, temporary=temporary, spec=spec), tasks, workers):
        parts |= done
        on_images(len(done))
    return parts


def _mapped(
    function: Callable[[Task], dict[str, list[Part]]], tasks: list[Task], workers: int
) -> Iterator[dict[str, list[Part]]]:
    if workers == 1:
        threads = cv2.getNumThreads()
        yield from map(function, tasks)
        cv2.setNumThreads(threads)
        return
    # Spawn, not fork: the caller may have threads.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(function, tasks, chunksize=2)


def _write_all(
    temporary: Path,
    spec: FleetSpec,
    vehicles: list[Vehicle],
    frames: dict[int, list[Frame]],
    parts: dict[str, list[Part]],
) -> None:
    cameras = draw_cameras(spec)
    write_indices(temporary, spec, vehicles, frames, cameras)
    if spec.detector_images:
        write_annotations(temporary, spec.size, vehicles, frames, parts)
    true_parts = {
        f"{_folder(v.split)}/{frame.name}": [
            [ATTRIBUTES.index(label), *(round(c, 2) for c in box)]
            for label, box in parts[frame.name]
        ]
        for v in vehicles
        for frame in frames[v.number]
    }
    _write_json(
        temporary / "true_parts.json",
        {"labels": ATTRIBUTES, "size": spec.size, "images": true_parts},
    )
    twins = {
        v.number: [w.number for w in vehicles if w.group == v.group and w is not v]
        for v in vehicles
    }
    described = [
        {
            "id": v.number,
            "split": v.split,
            "style": v.body_style.name,
            "trim": v.body_trim.name,
            "colour": v.paint,
            "twins": twins[v.number],
            "details": v.details,
        }
        for v in vehicles
    ]
    contents = {
        "format": FORMAT,
        "spec": spec.to_dict(),
        "cameras": [dataclasses.asdict(camera) for camera in cameras],
        "vehicles": described,
    }
    _write_json(temporary / "fleet.json", contents)


def _write_json(path: Path, contents: dict[str, Any]) -> None:
    path.write_text(json.dumps(contents, separators=(",", ":")) + "\n", encoding="utf-8")


def _count(vehicles: Sequence[Vehicle], frames: dict[int, list[Frame]]) -> FleetSummary:
    by_split = {
        split: [f for v in vehicles if v.split == split for f in frames[v.number]]
        for split in ("train", "test", "detector")
    }
    queries = first_of_each_track(by_split["test"])
    return FleetSummary(
        len(by_split["train"]), len(queries), len(by_split["test"]), len(by_split["detector"])
    )
