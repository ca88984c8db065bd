"""Writing a part cache: shard by shard, by one process or many, so that a killed extraction can go on.

While an extraction runs, the folder is a `detector.cache.shards.ShardFolder`. At the end the shards become
the files of `detector.cache.reader`, then the manifest is written, then they go.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from detector.cache.layout import (
    FILES,
    MANIFEST,
    MANIFEST_SHAPE,
    PLAN,
    SCHEMA,
    CacheError,
    encode_name,
    is_plain_path,
    name_slots,
    read_json,
)
from detector.cache.parts import Parts
from detector.cache.reader import PartCache
from detector.cache.records import FAILED, record_dtype, write_parts
from detector.cache.shards import (
    ShardFolder,
    beginning,
    is_fresh,
    read_names,
    write_array,
    write_file,
    write_json,
    write_names,
)
from detector.common.files import file_sha256
from detector.common.schema import SchemaError, check

SHARD_SIZES = range(1, 2**31)
_PLAN = {key: MANIFEST_SHAPE[key] for key in ("identity", "images_sha256", "num_images")}
_PLAN |= {"facts": dict, "shard_size": SHARD_SIZES}


class PartCacheWriter:
    """Write a part cache shard by shard; it can be killed at any moment and created again to resume.

    A finished cache is never changed: the same request has nothing left to do, any other is refused.

    Args:
        path: Folder; created if it does not exist.
        images: Paths relative to the data root, with forward slashes; stored sorted.
        identity: Everything the parts depend on, as JSON values, with ``classes`` and ``max_parts``; for a
            cache of masks also ``mask_size``.
        facts: Further entries of the manifest that are not compared, such as the detector's resolved config.
        shard_size: Images per shard. A resumed extraction keeps its first shard size.

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
        self.facts = dict(facts or {})
        self.classes = tuple(identity["classes"])
        self.dtype = record_dtype(int(identity["max_parts"]), identity.get("mask_size"))
        digest = hashlib.sha256(b"\0".join(encode_name(image) for image in self.images)).hexdigest()
        plan = {
            "schema": SCHEMA,
            "identity": self.identity,
            "num_images": len(self.images),
            "images_sha256": digest,
            "shard_size": shard_size,
            "facts": self.facts,
        }
        self.plan = self._begin(plan)
        self.shards = ShardFolder(self.path, self.plan)

    @classmethod
    def reopen(cls, path: str | os.PathLike[str]) -> PartCacheWriter:
        """Resume from the plan in a folder, without the detector and the images.

        Raises:
            CacheError: The folder has no unfinished extraction, or its plan is damaged.
        """
        folder = Path(path)
        if not (folder / PLAN).is_file():
            PartCache.open(folder)  # raises if there is no cache
            raise CacheError(f"{folder} is finished: there is nothing to resume")
        plan = _read_plan(folder / PLAN, _PLAN)
        settings = plan["identity"], plan["facts"], plan["shard_size"]
        return cls(folder, read_names(folder), *settings)

    @property
    def finished(self) -> bool:
        """Whether the manifest is written."""
        return (self.path / MANIFEST).is_file()

    def _begin(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Start in the folder, or find the plan of an earlier start."""
        # A user's folder is left as it is, even without our lock: but what is there may be others' beginning.
        unknown = self.path.exists() and not is_fresh(self.path)
        begun = self._begun(plan)
        if unknown and not begun:
            raise CacheError(f"{self.path} exists and is not a part cache: give another folder")
        if not begun or not self._knows_images():
            with beginning(self.path):
                begun = self._begun(plan)
                if not begun:
                    write_json(self.path / PLAN, plan)
                if not self._knows_images():
                    write_names(self.path, self.images)  # for `reopen`
        return begun or plan

    def _begun(self, plan: dict[str, Any]) -> dict[str, Any] | None:
        """The plan as it was begun, None if nothing was; once there was one, it is found, ended or not."""
        for name in (MANIFEST, PLAN, MANIFEST):  # which is there before the plan goes
            try:
                found = _read_plan(self.path / name, MANIFEST_SHAPE if name == MANIFEST else _PLAN)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                continue
            self._refuse_other(found, plan)
            return plan | {"shard_size": found.get("shard_size", plan["shard_size"])}
        return None

    def _knows_images(self) -> bool:
        """Whether the folder says which images it is of; the file is the second of two."""
        return self.finished or (self.path / "offsets.npy").is_file()

    def _refuse_other(self, found: dict[str, Any], plan: dict[str, Any]) -> None:
        if found_differences := differences(found["identity"], plan["identity"]):
            named = "; ".join(
                f"{what} is {shown(old)} there, {shown(new)} now"
                for what, old, new in found_differences[:4]
            )
            raise CacheError(
                f"{self.path} is of another detector or setting: {named}"
                f"{'; ...' if len(found_differences) > 4 else ''}. Give another folder with --out"
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
        return [index for index in range(len(self.shards)) if self.lacks(index)]

    def lacks(self, index: int) -> bool:
        """Whether a shard is still to be extracted."""
        return self.shards.read(index) is None and not self.finished  # shards go after the end

    def take(self, shards: range | None = None) -> bool:
        """Lock shards (all) for this process until `finish` or its end; False if another has one of them.

        Who has all may also remove what killed writers left half-written.

        Raises:
            CacheError: The folder cannot be written to.
        """
        whole = range(len(self.shards))
        if self.finished:
            return True
        taken = self.shards.take(whole if shards is None else shards)
        if taken and shards in (None, whole):
            self.shards.sweep()
        return taken

    def take_all(self) -> None:
        """`take` all shards.

        Raises:
            CacheError: Another process has one of them.
        """
        if not self.take():
            raise CacheError(
                f"{self.path}: another process is writing to it: wait for it, or end it; to share the work, "
                "start each with --split i/N, or all by torchrun"
            )

    def fill(self, read: Callable[[str], Parts | np.ndarray | str], progress: bool) -> PartCache:
        """Write all that is pending, image by image, and finish.

        Args:
            read: From an image's path to what `write` takes of it.
            progress: Show a bar.
        """
        self.take_all()
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
        self.shards.write(index, records, failed)

    def _fill(self, record: np.void, image: str, parts: Parts) -> None:
        order = np.argsort(-parts.scores, kind="stable")[: len(record["scores"])]
        boxes, labels = parts.boxes[order], parts.labels[order]
        height, width = parts.image_size
        inside = (boxes >= 0) & (boxes <= (width, height, width, height))
        if not inside.all() or not (boxes[:, :2] < boxes[:, 2:]).all():
            raise ValueError(f"{image}: a box is empty or outside the image of {width}x{height}")
        if not ((labels >= 0) & (labels < len(self.classes))).all():
            raise ValueError(f"{image}: a label is not one of the {len(self.classes)} classes")
        write_parts(record, parts[order])

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
            CacheError: A shard is missing, or another process is writing.
        """
        if not self.finished:
            self.take_all()
            if pending := self.pending():
                raise CacheError(f"{self.path}: {len(pending)} shards are not extracted yet")
            failed = self._join_shards()
            self._write_index()
            write_json(self.path / MANIFEST, self._manifest(failed))
        self.shards.remove()
        return PartCache.open(self.path)

    def _join_shards(self) -> dict[str, str]:
        failed: dict[str, str] = {}
        header = io.BytesIO()
        layout = {"descr": self.dtype.descr, "fortran_order": False, "shape": (len(self.images),)}
        np.lib.format.write_array_header_1_0(header, layout)

        def write(file: BinaryIO) -> None:
            file.write(header.getvalue())
            for index in range(len(self.shards)):
                shard = self.shards.read(index)
                if shard is None:
                    raise CacheError(f"{self.shards.file(index, 'npy')} has gone: run it again")
                file.write(shard[0].tobytes())
                failed.update(shard[1])

        write_file(self.path / "parts.npy", write)
        return failed

    def _write_index(self) -> None:
        write_names(self.path, self.images)
        table = [-1] * (2 * len(self.images))
        for index, image in enumerate(self.images):
            slots = name_slots(encode_name(image), len(table))
            table[next(slot for slot in slots if table[slot] < 0)] = index
        write_array(self.path / "table.npy", np.array(table, "<i8"))

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


def _read_plan(path: Path, shape: dict[str, Any]) -> dict[str, Any]:
    """What a manifest or a plan says; raises CacheError if that makes no sense."""
    plan = read_json(path)
    try:
        check(plan, shape)
    except SchemaError as error:
        raise CacheError(
            f"{path} is damaged ({error}): delete its folder and extract again"
        ) from None
    return plan


def _checked_images(images: Sequence[str]) -> list[str]:
    if not images:
        raise CacheError("there are no images to extract parts from")
    for image in images:
        if not is_plain_path(image):
            raise CacheError(f"{image!r} is not a plain path relative to the data root")
    if len(set(images)) != len(images):
        raise CacheError("an image is named twice")
    return sorted(images)


def shown(value: Any) -> str:
    """A setting as a sentence can have it: a checksum whole, a whole model not."""
    return shorten(str(value), 72, placeholder=" ...")


def differences(old: Any, new: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """Where two JSON values differ: dotted key, value in the one, value in the other."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        pairs = [(f"{key}.{k}" if key else k, old.get(k), new.get(k)) for k in keys]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(f"{key}[{i}]", a, b) for i, (a, b) in enumerate(zip(old, new))]
    else:
        return [] if old == new else [(key, old, new)]
    return [difference for name, a, b in pairs for difference in differences(a, b, name)]
