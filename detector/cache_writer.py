"""Writing a part cache: shard by shard, atomically, so that a killed extraction can go on.

While an extraction runs, the folder holds ``extraction.json`` (what is being extracted) and for
every finished shard of images ``shard-00000.npy`` with its checksum in ``shard-00000.json``. At the
end the shards become the files of `detector.cache`, then the manifest is written, then they go.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from detector.cache import (
    FAILED,
    FILES,
    MANIFEST,
    PLAN,
    SCHEMA,
    CacheError,
    PartCache,
    Parts,
    encode_name,
    file_sha256,
    name_slots,
    read_json,
    record_dtype,
)


class PartCacheWriter:
    """Fills a folder with a part cache; may be killed at any moment and made again.

    A finished cache is never changed: the same request finds nothing left to do, any other is
    refused.

    Args:
        path: Folder; made if it does not exist.
        images: Paths relative to the data root, with forward slashes; stored sorted.
        identity: What the parts depend on, as JSON values; has ``classes`` and ``max_parts``, and for a
            cache of masks alone ``mask_size``.
        facts: Further entries of the manifest, not compared (the detector's resolved config).
        shard_size: Images per shard. A resumed extraction keeps the one it was begun with.

    Raises:
        CacheError: The folder holds something else, or a cache of another identity or other images.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        images: Sequence[str],
        identity: dict[str, Any],
        facts: dict[str, Any] | None = None,
        shard_size: int = 1024,
    ) -> None:
        self.path = Path(path)
        self.images = _checked_images(images)
        self.identity = json.loads(json.dumps(identity))
        self.facts = facts or {}
        self.classes = tuple(identity["classes"])
        self.dtype = record_dtype(int(identity["max_parts"]), identity.get("mask_size"))
        digest = hashlib.sha256(b"\0".join(encode_name(image) for image in self.images)).hexdigest()
        plan = {
            "schema": SCHEMA,
            "identity": self.identity,
            "num_images": len(self.images),
            "images_sha256": digest,
            "shard_size": shard_size,
        }
        self.plan = self._begin(plan)

    @property
    def finished(self) -> bool:
        """Whether the manifest is written."""
        return (self.path / MANIFEST).is_file()

    def _begin(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Make the folder ours, or find that it already is."""
        for name in (MANIFEST, PLAN):
            if (self.path / name).is_file():
                found = read_json(self.path / name)
                self._refuse_other(found, plan)
                return plan | {"shard_size": found.get("shard_size", plan["shard_size"])}
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise CacheError(f"{self.path} exists and is not a part cache: give another folder")
        self.path.mkdir(parents=True, exist_ok=True)
        _write_json(self.path / PLAN, plan)
        return plan

    def _refuse_other(self, found: dict[str, Any], plan: dict[str, Any]) -> None:
        if differences := _differences(found["identity"], plan["identity"]):
            named = "; ".join(
                f"{what} is {old} there, {new} now" for what, old, new in differences[:4]
            )
            raise CacheError(
                f"{self.path} is of another detector or setting: {named}"
                f"{'; ...' if len(differences) > 4 else ''}. Give another folder with --out"
            )
        if found["images_sha256"] != plan["images_sha256"]:
            raise CacheError(
                f"{self.path} is of other images: {found['num_images']} there, "
                f"{plan['num_images']} now, or other names. A cache is never changed: give another "
                "folder with --out"
            )

    def shard(self, index: int) -> list[str]:
        """The images of a shard."""
        size = self.plan["shard_size"]
        return self.images[index * size : (index + 1) * size]

    def pending(self) -> list[int]:
        """The shards that are not finished, in order."""
        if self.finished:
            return []
        number = -(-len(self.images) // self.plan["shard_size"])
        return [index for index in range(number) if self._read_shard(index) is None]

    def fill(self, read: Callable[[str], Parts | np.ndarray | str], progress: bool) -> PartCache:
        """Write all that is pending, image by image, and finish.

        Args:
            read: From an image's path to what `write` takes of it.
            progress: Show a bar.
        """
        pending = self.pending()
        done = len(self.images) - sum(len(self.shard(index)) for index in pending)
        with tqdm(
            total=len(self.images), initial=done, unit="image", desc="parts", disable=not progress
        ) as bar:
            for index in pending:
                results = []
                for image in self.shard(index):
                    results.append(read(image))
                    bar.update()
                self.write(index, results)
        return self.finish()

    def write(self, index: int, results: Sequence[Parts | np.ndarray | str]) -> None:
        """Store the results of a shard.

        Args:
            index: Number of the shard.
            results: For each of its images the parts found - for a cache of masks alone (n, h, w) bool, most
                confident first - or why it could not be read.

        Raises:
            ValueError: The results do not fit the shard, or a box is not a box inside its image.
        """
        images = self.shard(index)
        if len(results) != len(images):
            raise ValueError(f"shard {index} has {len(images)} images, not {len(results)}")
        records = np.zeros(len(images), self.dtype)
        failed = {}
        for image, record, result in zip(images, records, results):
            if isinstance(result, str):
                record["count"] = FAILED
                failed[image] = result
            elif isinstance(result, Parts):
                self._fill(record, image, result)
            else:
                self._fill_masks(record, image, result)
        buffer = io.BytesIO()
        np.save(buffer, records, allow_pickle=False)
        data = buffer.getvalue()
        _write_atomically(self._shard_file(index, "npy"), lambda file: file.write(data))
        _write_json(
            self._shard_file(index, "json"),
            {"schema": SCHEMA, "sha256": hashlib.sha256(data).hexdigest(), "failed": failed},
        )

    def _fill(self, record: np.void, image: str, parts: Parts) -> None:
        order = np.argsort(-parts.scores, kind="stable")[: len(record["scores"])]
        boxes, labels = parts.boxes[order], parts.labels[order]
        height, width = parts.image_size
        inside = (boxes >= 0) & (boxes <= (width, height, width, height))
        if not inside.all() or not (boxes[:, :2] < boxes[:, 2:]).all():
            raise ValueError(f"{image}: a box is empty or outside the image of {width}x{height}")
        if not ((labels >= 0) & (labels < len(self.classes))).all():
            raise ValueError(f"{image}: a label is not one of the {len(self.classes)} classes")
        record["boxes"][: len(order)] = boxes
        record["scores"][: len(order)] = parts.scores[order]
        record["labels"][: len(order)] = labels
        record["count"] = len(order)
        record["size"] = parts.image_size

    def _fill_masks(self, record: np.void, image: str, masks: np.ndarray) -> None:
        size = tuple(self.identity["mask_size"])
        if masks.shape[1:] != size or masks.dtype != bool:
            raise ValueError(f"{image}: its masks are not {size} of bool, but {masks.shape}")
        masks = masks[: len(record["masks"])]
        cells = masks.reshape(len(masks), size[0] * size[1])
        record["masks"][: len(masks)] = np.packbits(cells, axis=1)
        record["count"] = len(masks)

    def finish(self) -> PartCache:
        """Join the shards and write the manifest, last.

        Raises:
            CacheError: A shard is not there yet.
        """
        if not self.finished:
            if pending := self.pending():
                raise CacheError(f"{self.path}: {len(pending)} shards are not extracted yet")
            failed = self._join_shards()
            self._write_index()
            _write_json(self.path / MANIFEST, self._manifest(failed))
        self._remove_shards()
        return PartCache.open(self.path)

    def _join_shards(self) -> dict[str, str]:
        failed: dict[str, str] = {}
        header = io.BytesIO()
        layout = {"descr": self.dtype.descr, "fortran_order": False, "shape": (len(self.images),)}
        np.lib.format.write_array_header_1_0(header, layout)

        def write(file: BinaryIO) -> None:
            file.write(header.getvalue())
            for index in range(-(-len(self.images) // self.plan["shard_size"])):
                shard = self._read_shard(index)
                if shard is None:
                    raise CacheError(f"{self._shard_file(index, 'npy')} has gone: run it again")
                file.write(shard[0].tobytes())
                failed.update(shard[1])

        _write_atomically(self.path / "parts.npy", write)
        return failed

    def _write_index(self) -> None:
        names = [encode_name(image) for image in self.images]
        offsets = np.cumsum([0, *map(len, names)], dtype="<i8")
        table = [-1] * (2 * len(names))
        for index, name in enumerate(names):
            table[next(slot for slot in name_slots(name, len(table)) if table[slot] < 0)] = index
        arrays = {
            "names.npy": np.frombuffer(b"".join(names), np.uint8),
            "offsets.npy": offsets,
            "table.npy": np.array(table, "<i8"),
        }
        for name, array in arrays.items():
            _write_atomically(self.path / name, _saver(array))

    def _manifest(self, failed: dict[str, str]) -> dict[str, Any]:
        counts = np.load(self.path / "parts.npy", mmap_mode="r", allow_pickle=False)["count"]
        files = {
            name: {
                "bytes": (self.path / name).stat().st_size,
                "sha256": file_sha256(self.path / name),
            }
            for name in FILES
        }
        return {
            "schema": SCHEMA,
            "num_images": len(self.images),
            "num_failed": len(failed),
            "num_without_parts": int((counts == 0).sum()),
            "num_parts": int(counts[counts > 0].sum()),
            "images_sha256": self.plan["images_sha256"],
            "identity": self.identity,
            **self.facts,
            "files": files,
            "failed": failed,
        }

    def _shard_file(self, index: int, suffix: str) -> Path:
        return self.path / f"shard-{index:05d}.{suffix}"

    def _read_shard(self, index: int) -> tuple[np.ndarray, dict[str, str]] | None:
        """A finished shard's records and failures; None if it is not there, or damaged."""
        data_file, fact_file = (self._shard_file(index, suffix) for suffix in ("npy", "json"))
        if not data_file.is_file() or not fact_file.is_file():
            return None
        facts = read_json(fact_file)
        data = data_file.read_bytes()
        if hashlib.sha256(data).hexdigest() != facts["sha256"]:
            return None
        return np.load(io.BytesIO(data), allow_pickle=False), facts["failed"]

    def _remove_shards(self) -> None:
        for file in [*self.path.glob("shard-*"), self.path / PLAN]:
            file.unlink(missing_ok=True)


def _checked_images(images: Sequence[str]) -> list[str]:
    if not images:
        raise CacheError("there are no images to extract parts from")
    for image in images:
        pure = PurePosixPath(image)
        if pure.is_absolute() or ".." in pure.parts or str(pure) != image:
            raise CacheError(f"{image!r} is not a plain path relative to the data root")
    if len(set(images)) != len(images):
        raise CacheError("an image is named twice")
    return sorted(images)


def _differences(old: Any, new: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """Where two JSON values differ: dotted key, value in the one, value in the other."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        pairs = [(f"{key}.{k}" if key else k, old.get(k), new.get(k)) for k in keys]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(f"{key}[{i}]", a, b) for i, (a, b) in enumerate(zip(old, new))]
    else:
        return [] if old == new else [(key, old, new)]
    return [difference for name, a, b in pairs for difference in _differences(a, b, name)]


def _saver(array: np.ndarray) -> Callable[[BinaryIO], None]:
    return lambda file: np.save(file, array, allow_pickle=False)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=1, sort_keys=False)
    _write_atomically(path, lambda file: file.write(text.encode("ascii")))


def _write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file beside its place and move it there, so that it is whole or absent."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(draft, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
