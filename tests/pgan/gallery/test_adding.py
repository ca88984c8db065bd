"""Adding images to a gallery and removing them, in transactions."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from detector.common.files import write_json
from detector.common.locks import exclusive_lock
from pgan.datasets.records import Annotation
from pgan.gallery import transaction as draft
from pgan.gallery.adding import Addition, add, remove
from pgan.gallery.checksummed_json import read_checksummed_json, write_checksummed_json
from pgan.gallery.errors import GalleryError
from pgan.gallery.part_source import PartSource
from pgan.gallery.search import Searcher
from pgan.gallery.store import Gallery
from tests.pgan.gallery.conftest import CLASSES, DIMS, FakeEmbedder, annotations, embedded

NOWHERE = PartSource()


def paths_of(gallery: Gallery) -> list[str]:
    return [path.decode() for path in gallery.paths.tolist()]


def state_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def test_add_keeps_feature_labels_and_parts(tmp_path: Path) -> None:
    images = annotations()
    images[3] = Annotation("/data/3-un known.png", "", "", "")
    done = add(tmp_path / "g", FakeEmbedder(), images, NOWHERE)
    assert done == Addition(added=24)
    gallery = Gallery.open(tmp_path / "g")
    assert len(gallery) == 24
    rows = [gallery.find(image.path) for image in images]
    for row, entry, image in zip(rows, gallery.entries(rows), images):
        expected = embedded(image.path)
        assert np.array_equal(gallery.features(np.array([row]))[0], expected.feature)
        known = (entry.path, entry.vehicle, entry.camera, str(entry.time))
        assert known == (image.path, image.vehicle, image.camera, image.time)
        assert np.array_equal(entry.parts.boxes, expected.parts.boxes)
        assert np.array_equal(entry.parts.scores, expected.parts.scores)
        assert entry.parts.image_size == (24, 32)
        assert np.array_equal(entry.weights, expected.weights)
        assert entry.labels == [CLASSES[label] for label in expected.parts.labels]
    assert gallery.find("/data/none.png") is None


def test_add_embeds_only_new_images(tmp_path: Path) -> None:
    images = annotations()
    assert add(tmp_path / "g", FakeEmbedder(), images[:10], NOWHERE).added == 10
    model = FakeEmbedder()
    assert add(tmp_path / "g", model, images, NOWHERE) == Addition(added=14, skipped=10)
    assert model.seen == [image.path for image in images[10:]]
    again = FakeEmbedder()
    assert add(tmp_path / "g", again, images, NOWHERE) == Addition(skipped=24)
    assert again.seen == []
    assert sorted(paths_of(Gallery.open(tmp_path / "g"))) == [image.path for image in images]


def stopped(folder: Path, images: list[Annotation], after: int, stop: str = "Ctrl-C") -> None:
    """Start an addition that is stopped after some images."""
    if stop == "Ctrl-C":
        with pytest.raises(KeyboardInterrupt):
            add(folder, FakeEmbedder(stop_after=after), images, NOWHERE)
        return
    child = os.fork()
    if not child:
        add(folder, FakeEmbedder(stop_after=after, stop=stop), images, NOWHERE)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize(("stop", "kept"), [("Ctrl-C", 13), ("kill -9", 10)])
def test_stopped_addition_leaves_gallery_unchanged_and_is_resumed(
    tmp_path: Path, stop: str, kept: int
) -> None:
    folder, images = tmp_path / "g", annotations()
    add(folder, FakeEmbedder(), images[:4], NOWHERE)
    before = state_of(folder)
    stopped(folder, images, 13, stop)
    assert paths_of(Gallery.open(folder)) == [image.path for image in images[:4]]
    assert before.items() <= state_of(folder).items()
    model = FakeEmbedder()
    # If killed, it had finished two shards of five; after Ctrl-C, also the three images after them.
    assert add(folder, model, images, NOWHERE) == Addition(20, resumed=kept, skipped=4)
    assert model.seen == [image.path for image in images[4 + kept :]]
    gallery = Gallery.open(folder)
    assert sorted(paths_of(gallery)) == [image.path for image in images]
    expected = [embedded(path).feature for path in paths_of(gallery)]
    assert np.array_equal(gallery.features(), expected)
    named = {file.name for shard in gallery.shards for file in shard.files}
    assert set(state_of(folder)) == named | {".lock", "gallery.json", "model.json"}


@pytest.mark.usefixtures("small_shards")
def test_open_raises_after_stopped_first_addition(tmp_path: Path) -> None:
    stopped(tmp_path / "g", annotations(), 7)
    with pytest.raises(GalleryError, match="has not finished: run the same command again"):
        Gallery.open(tmp_path / "g")
    assert add(tmp_path / "g", FakeEmbedder(), annotations(), NOWHERE) == Addition(24, resumed=7)


@pytest.mark.usefixtures("small_shards")
def test_add_does_not_resume_with_another_model(tmp_path: Path) -> None:
    images = annotations()
    stopped(tmp_path / "g", images, 12)
    add(tmp_path / "g", FakeEmbedder("other"), images[:3], NOWHERE)
    assert paths_of(Gallery.open(tmp_path / "g")) == [image.path for image in images[:3]]
    assert len(list((tmp_path / "g").glob("shard-*"))) == 2


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("name", ["gallery.json", "model.json", ".npy", ".npz"])
def test_failed_write_leaves_gallery_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / "g"
    add(folder, FakeEmbedder(), annotations(2), NOWHERE)
    before = paths_of(Gallery.open(folder))
    for module in ("write_checksummed_json", "write_json", "write_bytes"):
        real = getattr(draft, module)

        def full(path: Path, content: object, real=real) -> Path:
            if str(path).endswith(name):
                raise OSError("no space left on device")
            return real(path, content)

        monkeypatch.setattr(draft, module, full)
    for change in (
        lambda: add(folder, FakeEmbedder(), annotations(), NOWHERE),
        lambda: remove(folder, vehicles=["v0"]),
    ):
        if name == "model.json" and change.__code__.co_names[0] == "remove":
            continue  # a removal writes no config
        with pytest.raises(OSError, match="no space"):
            change()
        gallery = Gallery.open(folder)  # every shard in the manifest exists and is complete
        assert paths_of(gallery) == before
        assert gallery.features().shape == (len(before), 16)
    monkeypatch.undo()
    assert add(folder, FakeEmbedder(), annotations(), NOWHERE).added == 24 - len(before)


def test_add_skips_and_reports_unreadable_images(tmp_path: Path) -> None:
    images = [*annotations(2), Annotation("/data/broken.png", "")]
    done = add(tmp_path / "g", FakeEmbedder(), images, NOWHERE)
    assert (done.added, done.failed) == (8, {"/data/broken.png": "broken"})
    with pytest.raises(
        GalleryError, match=r"none of 1 images could be read: /data/broken.png: bro"
    ):
        add(tmp_path / "h", FakeEmbedder(), images[-1:], NOWHERE)
    with pytest.raises(GalleryError, match="is not a gallery: create one"):
        Gallery.open(tmp_path / "h")


def test_add_raises_for_invalid_time(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match=r"^/a.png: 'noon' is not a time: write a date"):
        add(tmp_path / "g", FakeEmbedder(), [Annotation("/a.png", "v", "", "noon")], NOWHERE)
    assert not (tmp_path / "g").exists()


def test_add_raises_for_another_model(gallery: Gallery) -> None:
    message = "was built with another model, pgan of /pgan.pth: its weights differ from those of"
    with pytest.raises(GalleryError, match=message):
        add(gallery.path, FakeEmbedder("other"), annotations(), NOWHERE)


def test_add_and_remove_raise_for_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for attempt in (
        lambda: add(tmp_path, FakeEmbedder(), annotations(), NOWHERE),
        lambda: remove(tmp_path, ["a.png"]),
    ):
        with pytest.raises(GalleryError, match="is not a gallery"):
            attempt()
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_add_raises_while_another_process_writes(gallery: Gallery) -> None:
    with exclusive_lock(gallery.path, GalleryError):
        with pytest.raises(GalleryError, match="another process is using it"):
            add(gallery.path, FakeEmbedder(), annotations(7), NOWHERE)
        assert len(Gallery.open(gallery.path)) == 24  # reading is possible


@pytest.mark.usefixtures("small_shards")
def test_remove_keeps_other_images(tmp_path: Path) -> None:
    images = annotations()
    add(tmp_path / "g", FakeEmbedder(), images, NOWHERE)
    before = Gallery.open(tmp_path / "g")
    paths = paths_of(before)
    assert remove(tmp_path / "g", ["/data/0-1.png", "/data/5-*"], ["v2"]) == 9
    gone = {"/data/0-1.png", *(f"/data/{v}-{i}.png" for v in (2, 5) for i in range(4))}
    after = Gallery.open(tmp_path / "g")
    assert paths_of(after) == [path for path in paths if path not in gone]
    assert np.array_equal(after.features(), [embedded(path).feature for path in paths_of(after)])
    assert {file.stem for file in after.path.glob("shard-*")} == {s.name for s in after.shards}
    # Shards without a removed image are not written again.
    assert {s.name for s in after.shards} & {s.name for s in before.shards}
    with pytest.raises(GalleryError, match="removed meanwhile: open the gallery again"):
        before.features()
    assert add(tmp_path / "g", FakeEmbedder(), images, NOWHERE) == Addition(9, skipped=15)


def test_remove_folder_removes_all_images_below(tmp_path: Path) -> None:
    near, far = annotations(2, folder="/data/a"), annotations(2, folder="/data/ab")
    add(tmp_path / "g", FakeEmbedder(), near + far, NOWHERE)
    assert remove(tmp_path / "g", ["/data/a/"]) == 8
    assert all(path.startswith("/data/ab/") for path in paths_of(Gallery.open(tmp_path / "g")))
    assert remove(tmp_path / "g", ["/data"]) == 8
    empty = Gallery.open(tmp_path / "g")
    assert (len(empty), empty.dimensions) == (0, 0)
    assert add(tmp_path / "g", FakeEmbedder(), near, NOWHERE).added == 8


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"images": ["/data/0-0.png", "/data/9*"]}, r"/data/9\* matches no image"),
        ({"vehicles": ["v1", "v9"]}, "has no vehicle 'v9'"),
    ],
)
def test_remove_without_match_raises_and_removes_nothing(gallery, what, message) -> None:
    before = state_of(gallery.path)
    with pytest.raises(GalleryError, match=f"{message}.*: nothing was removed"):
        remove(gallery.path, **what)
    assert state_of(gallery.path) == before


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("{", r"is damaged \(gallery.json: "),
        ("[]", r"is damaged \(gallery.json: is not a JSON object\)"),
        ('{"schema": 1}', r"is damaged \(gallery.json: model: missing, expected an object"),
        ('{"schema": 99}', "has schema 99, this version reads 1"),
    ],
)
def test_open_raises_for_damaged_manifest(gallery: Gallery, manifest: str, message: str) -> None:
    (gallery.path / "gallery.json").write_text(manifest)
    with pytest.raises(GalleryError, match=message):
        Gallery.open(gallery.path)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("damage", ["missing", "short", "garbled"])
def test_damaged_shard_is_reported(gallery: Gallery, suffix: str, damage: str) -> None:
    (file,) = gallery.path.glob(f"shard-*{suffix}")
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-7] if damage == "short" else bytes(len(content)))

    def read() -> None:
        opened = Gallery.open(gallery.path)
        assert len(opened.features()) == len(opened.paths)

    with pytest.raises(GalleryError, match=f"{file.stem}.*add the images again"):
        read()
    with pytest.raises(GalleryError):
        remove(gallery.path, ["/data/0-0.png"])


def test_changed_number_in_manifest_is_reported(gallery: Gallery) -> None:
    """In the manifest when it is opened; in the features when all are read, or on request."""
    shard = gallery.shards[0].files[0]
    features = bytearray(shard.read_bytes())
    features[-2] ^= 1
    shard.write_bytes(features)
    for look in (gallery.verify, lambda: Searcher(gallery).nearest(np.ones((1, DIMS), "f4"), 1)):
        with pytest.raises(GalleryError, match=f"{shard.stem}: has changed since it was written"):
            look()
    manifest = gallery.path / "gallery.json"
    manifest.write_text(manifest.read_text().replace('"pgan"', '"nagp"', 1))
    with pytest.raises(GalleryError, match="gallery.json: has changed since it was written"):
        Gallery.open(gallery.path)


def test_open_reads_older_manifest_without_checksum(gallery: Gallery) -> None:
    file = gallery.path / "gallery.json"
    write_json(file, read_checksummed_json(file, {}))
    assert len(Gallery.open(gallery.path)) == 24


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("suffix", [".json", ".npy", ".npz"])
def test_add_embeds_images_of_damaged_unfinished_shard_again(tmp_path: Path, suffix: str) -> None:
    folder, model = tmp_path / "g", FakeEmbedder(stop_after=11)
    with pytest.raises(KeyboardInterrupt):
        add(folder, model, annotations(), NOWHERE)
    file = next(iter(folder.glob(f"shard-*{suffix}")))
    rows = json.loads(file.with_suffix(".json").read_text())["rows"]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    done = add(folder, FakeEmbedder(), annotations(), NOWHERE)
    assert (done.added, done.resumed) == (24, 11 - rows)
    Gallery.open(folder).verify()


def test_wrong_shard_description_in_manifest_is_reported(gallery: Gallery) -> None:
    file = gallery.path / "gallery.json"
    manifest = read_checksummed_json(file, {})
    manifest["shards"][0]["rows"] = 23
    write_checksummed_json(file, manifest)
    with pytest.raises(GalleryError, match="24 rows instead of 23"):
        Gallery.open(gallery.path).paths  # noqa: B018
