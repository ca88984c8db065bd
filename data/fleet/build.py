"""Make a fleet on disk: all of it or nothing."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

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
_MARK = ".fleet-in-the-making"


@dataclass(frozen=True)
class Made:
    """What `make_fleet` wrote: the number of images of each split; `kept` if the fleet was there already."""

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
) -> Made:
    """Render a fleet into a folder.

    The fleet is made in a hidden folder beside `out` and renamed at the end, so `out` is never half
    written. The same fleet, once there, is kept as it is.

    Args:
        out: Folder to make; may exist if it is empty.
        spec: The fleet's parameters. The same spec gives the same bytes, whatever the number of workers.
        workers: Processes that render.
        overwrite: Whether a fleet of other parameters in `out` may be replaced.
        on_images: Called with the number of images finished since the last call.

    Returns:
        Numbers of images.

    Raises:
        FleetError: If `out` holds something else, or `workers` is below 1.
    """
    out = Path(out)
    if workers < 1:
        raise FleetError(f"workers = {workers}: must be 1 or more")
    vehicles = draw_fleet(spec)
    frames = plan(spec, vehicles)
    made = _count(spec, vehicles, frames)
    if _is_there(out, spec, overwrite):
        return dataclasses.replace(made, kept=True)
    draft = out.parent / f".{out.name}.making"
    _start_over(draft)
    try:
        parts = _render(draft, spec, vehicles, frames, workers, on_images or (lambda count: None))
        _write_all(draft, spec, vehicles, frames, parts)
    except OSError as error:
        raise FleetError(
            f"{draft}: cannot write ({error.strerror or error}); choose another folder"
        ) from None
    (draft / _MARK).unlink()
    if out.is_dir():
        shutil.rmtree(out)  # empty, or a fleet that may be replaced
    draft.rename(out)
    return made


def read_fleet(out: Path | str) -> dict:
    """The contents of a fleet's ``fleet.json``.

    Raises:
        FleetError: If the folder is not a fleet.
    """
    path = Path(out) / "fleet.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise FleetError(
            f"{out}: not a fleet, it has no fleet.json of format {FORMAT}; name a fleet's folder"
        )
    return found


def _is_there(out: Path, spec: FleetSpec, overwrite: bool) -> bool:
    """Whether `out` is this very fleet. Raises FleetError if it is something that must not be touched."""
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
            f"{out}: holds files that are not a fleet; choose a new or an empty folder"
        ) from None
    changed = [
        f"{key} {found.get(key)}, not {value}"
        for key, value in spec.to_dict().items()
        if found.get(key) != value
    ]
    if changed and not overwrite:
        raise FleetError(
            f"{out}: holds another fleet ({', '.join(changed)}); choose another folder, or pass --overwrite"
        )
    return not changed and not overwrite


def _start_over(draft: Path) -> None:
    if draft.exists() and not (draft / _MARK).is_file():
        raise FleetError(f"{draft}: is in the way and was not left by an earlier run; move it")
    try:
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(parents=True)
        (draft / _MARK).touch()
    except OSError as error:
        raise FleetError(
            f"{draft}: cannot write ({error.strerror}); choose a folder you can write to"
        ) from None


def _folder(split: str) -> str:
    return FOLDERS.get(split, IMAGES)


def _render_vehicle(
    task: tuple[Vehicle, Sequence[Frame]], draft: Path, spec: FleetSpec
) -> dict[str, list[Part]]:
    """Render and write one vehicle's pictures; runs in a worker."""
    cv2.setNumThreads(0)
    vehicle, frames = task
    scene, parts = Scene(vehicle, spec.detail_size), {}
    folder = draft / _folder(vehicle.split)
    for frame in frames:
        picture = scene.render(frame.shot, spec.size)
        bgr = cv2.cvtColor(picture.image, cv2.COLOR_RGB2BGR)
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
        (folder / frame.name).write_bytes(data.tobytes())
        parts[frame.name] = [
            (label, tuple(box)) for label, box in zip(picture.labels, picture.boxes.tolist())
        ]
    return parts


def _render(
    draft: Path,
    spec: FleetSpec,
    vehicles: list[Vehicle],
    frames: dict[int, list[Frame]],
    workers: int,
    on_images: Callable[[int], None],
) -> dict[str, list[Part]]:
    for folder in {_folder(vehicle.split) for vehicle in vehicles} | set(FOLDERS.values()):
        (draft / folder).mkdir(parents=True)
    tasks = [(vehicle, frames[vehicle.number]) for vehicle in vehicles]
    parts: dict[str, list[Part]] = {}
    for done in _mapped(partial(_render_vehicle, draft=draft, spec=spec), tasks, workers):
        parts |= done
        on_images(len(done))
    return parts


def _mapped(
    function: Callable[..., dict], tasks: list, workers: int
) -> Iterator[dict[str, list[Part]]]:
    if workers == 1:
        threads = cv2.getNumThreads()
        yield from map(function, tasks)
        cv2.setNumThreads(threads)
        return
    # spawned, not forked: the caller may have threads
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(function, tasks, chunksize=2)


def _write_all(
    draft: Path,
    spec: FleetSpec,
    vehicles: list[Vehicle],
    frames: dict[int, list[Frame]],
    parts: dict[str, list[Part]],
) -> None:
    cameras = draw_cameras(spec)
    write_indices(draft, spec, vehicles, frames, cameras)
    if spec.detector_images:
        write_annotations(draft, spec.size, vehicles, frames, parts)
    true_parts = {
        f"{_folder(v.split)}/{frame.name}": [
            [ATTRIBUTES.index(label), *(round(c, 2) for c in box)]
            for label, box in parts[frame.name]
        ]
        for v in vehicles
        for frame in frames[v.number]
    }
    _write_json(
        draft / "true_parts.json", {"labels": ATTRIBUTES, "size": spec.size, "images": true_parts}
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
    _write_json(draft / "fleet.json", contents)


def _write_json(path: Path, contents: dict) -> None:
    path.write_text(json.dumps(contents, separators=(",", ":")) + "\n", encoding="utf-8")


def _count(spec: FleetSpec, vehicles: Sequence[Vehicle], frames: dict[int, list[Frame]]) -> Made:
    by_split = {
        split: [f for v in vehicles if v.split == split for f in frames[v.number]]
        for split in ("train", "test", "detector")
    }
    queries = first_of_each_track(by_split["test"])
    return Made(
        len(by_split["train"]), len(queries), len(by_split["test"]), len(by_split["detector"])
    )
