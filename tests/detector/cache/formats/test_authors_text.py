"""Text files of the authors' kind: what becomes of each line, there and back, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.cache import CacheError, Parts
from detector.cache.formats.authors_text import export_text, import_text
from detector.cache.writer import PartCacheWriter
from detector.common.attributes import ATTRIBUTES
from tests.detector.conftest import IMAGES


def write_texts(folder: Path, *texts: str) -> Path:
    for image, text in zip(IMAGES, texts):
        file = (folder / image).with_suffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, newline="")
    return folder


def test_text_files_become_boxes(root: Path, tmp_path: Path) -> None:
    texts = (
        "wheel 0.25 1 2 11 12\r\n\r\nPaperbox 0.75 -3 20 50 29.5\r\n",
        "",
        "\ufeffwheel 0.5 0 0 40 30\nwheel 1e-3 41 0 50 9\n",
    )
    folder = write_texts(tmp_path / "boxes", *texts)
    cache, found = import_text(folder, root, tmp_path / "cache", progress=False)
    assert cache.classes == ATTRIBUTES
    parts = cache.parts(IMAGES[0])
    np.testing.assert_array_equal(parts.boxes, [[0, 20, 40, 29.5], [1, 2, 11, 12]])
    np.testing.assert_array_equal(parts.scores, np.float32([0.75, 0.25]))
    assert [cache.classes[i] for i in parts.labels] == ["tissuebox", "wheel"]
    assert parts.image_size == (30, 40)
    assert len(cache.parts(IMAGES[1])) == 0
    assert len(cache.parts(IMAGES[2])) == 1
    assert found[0] == "4 boxes in 3 files, at most 2 in one"
    assert "boxes with nothing inside their image, dropped: 1" in found


def test_labels_that_are_no_attributes_are_classes_as_they_stand(
    root: Path, tmp_path: Path
) -> None:
    folder = write_texts(tmp_path / "boxes", "10 0.5 0 0 9 9\n2 0.4 0 0 9 9\n")
    cache, _ = import_text(folder, root, tmp_path / "cache", max_parts=1, progress=False)
    assert cache.classes == ("2", "10")
    assert [cache.classes[i] for i in cache.parts(IMAGES[0]).labels] == ["10"]
    assert list(cache.images()) == [IMAGES[0]]


def test_an_image_that_cannot_be_read_is_kept_with_the_reason(root: Path, tmp_path: Path) -> None:
    (root / IMAGES[0]).write_bytes(b"")
    folder = write_texts(tmp_path / "boxes", "wheel 0.5 0 0 9 9\n", "wheel 0.5 0 0 9 9\n")
    cache, found = import_text(folder, root, tmp_path / "cache", progress=False)
    assert cache.failed == {IMAGES[0]: "the file is empty"}
    assert len(cache.parts(IMAGES[1])) == 1
    assert not any("dropped" in line for line in found)
    assert any("cannot be read: 1" in line for line in found)


@pytest.mark.parametrize(
    "line",
    [
        *("wheel 0.5 1 2 3", "0.5 1 2 3 4", "wheel high 1 2 3 4", "wheel nan 1 2 3 4", "wheel"),
        *(
            "wheel 1e39 1 2 3 4",
            "wheel 0.5 1 2 3 1_0",
            "wh\0eel 0.5 1 2 3 4",
            "wh\ufffd 0.5 1 2 3 4",
        ),
    ],
)
def test_a_bad_line_is_named(root: Path, tmp_path: Path, line: str) -> None:
    folder = write_texts(tmp_path / "boxes", f"wheel 0.5 1 2 3 4\n{line}\n")
    with pytest.raises(CacheError, match=r"0001_c001.txt:2: .* is not 'label score xmin"):
        import_text(folder, root, tmp_path / "cache", progress=False)
    assert not (tmp_path / "cache").exists()


def test_more_parts_than_a_record_counts_are_refused(root: Path, tmp_path: Path) -> None:
    folder = write_texts(tmp_path / "boxes", "wheel 0.5 1 2 3 4\n" * 32768)
    with pytest.raises(CacheError, match="32768 parts of one image are more than 32767"):
        import_text(folder, root, tmp_path / "cache", progress=False)
    cache, _ = import_text(folder, root, tmp_path / "cache", max_parts=2, progress=False)
    assert len(cache.parts(IMAGES[0])) == 2


def test_more_labels_than_a_record_tells_apart_are_refused(root: Path, tmp_path: Path) -> None:
    text = "".join(f"{label} 0.5 1 2 3 4\n" for label in range(32768))
    folder = write_texts(tmp_path / "boxes", text)
    with pytest.raises(CacheError, match="has 32768 labels, more than 32767"):
        import_text(folder, root, tmp_path / "cache", max_parts=1, progress=False)
    assert not (tmp_path / "cache").exists()


def test_boxes_and_a_cache_of_them_are_the_same_there_and_back(root: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    corners = np.sort(rng.random((16, 2, 2)), 1) * (40, 30)
    scores = np.append(rng.random(14), [0.5, 0.5])
    labels = rng.integers(0, 16, 16)
    parts = Parts(corners.reshape(-1, 4).astype("f4"), scores.astype("f4"), labels, (30, 40))
    identity = {"classes": list(ATTRIBUTES), "max_parts": 16}
    writer = PartCacheWriter(tmp_path / "cache", IMAGES, identity)
    writer.write(0, [parts, parts.first(0), "is damaged"])
    cache = writer.finish()
    assert export_text(cache, tmp_path / "text", progress=False) == {16: 1, 0: 1}
    again, _ = import_text(tmp_path / "text", root, tmp_path / "again", progress=False)
    assert again.classes == cache.classes
    assert list(again.images()) == sorted(set(IMAGES) - set(cache.failed))
    for image in again.images():
        for field in ("boxes", "scores", "labels"):
            one, other = (getattr(c.parts(image), field) for c in (cache, again))
            np.testing.assert_array_equal(one, other)
    assert export_text(cache, tmp_path / "two", 2, progress=False) == {2: 1, 0: 1}
    with pytest.raises(CacheError, match="is there already"):
        export_text(cache, tmp_path / "two", progress=False)


@pytest.mark.parametrize("name", ["", " wheel", "a\nb"])
def test_a_class_that_cannot_be_a_label_is_not_exported(tmp_path: Path, name: str) -> None:
    writer = PartCacheWriter(tmp_path / "cache", ["a.jpg"], {"classes": [name], "max_parts": 1})
    writer.write(0, ["is damaged"])
    with pytest.raises(CacheError, match="cannot stand in a text file"):
        export_text(writer.finish(), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
