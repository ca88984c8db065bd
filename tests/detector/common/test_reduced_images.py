"""Decoding JPEGs at a reduced scale: equal content, equal errors, exact coordinates."""

from __future__ import annotations

import io
import math
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from PIL import Image

import detector.model.dataset  # noqa: F401  (registers the transform)
from detector.common.errors import DetectorError
from detector.common.images import ImageError, ReducedImage, checked_size, read_image, read_reduced
from detector.model.image_loading import reduced_pipeline
from tests.detector.common.test_bad_images import bad_images, unusual_images

TURNS = {  # EXIF orientation -> how an upright image is stored
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def smooth(height: int, width: int) -> np.ndarray:
    """An image without fine detail, whose corners all differ."""
    rows, cols = np.mgrid[:height, :width]
    return np.stack(
        [250 * rows / height, 250 * cols / width, 250 - 250 * rows * cols / (height * width)], 2
    ).astype(np.uint8)


def save(file: Path, pixels: np.ndarray, orientation: int = 1, **options: object) -> Path:
    image = Image.fromarray(pixels)
    if TURNS[orientation] is not None:
        image = image.transpose(TURNS[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(file, "JPEG", quality=95, exif=exif, **options)
    return file


@pytest.mark.parametrize(
    ("stored", "size", "reduction"),
    [
        ((240, 320), (120, 160), 2),
        ((240, 320), (121, 100), 1),  # half would be too low
        ((240, 320), (60, 80), 4),
        ((240, 320), (60, 81), 2),
        ((240, 320), (30, 40), 8),
        ((240, 320), (1, 1), 8),  # an eighth is the least
        ((239, 319), (120, 160), 2),  # odd sides are rounded up
        ((239, 318), (120, 160), 1),
        ((7, 5), (7, 5), 1),
        ((1, 1), (8, 8), 1),
    ],
)
def test_read_reduced_uses_the_smallest_scale_that_is_large_enough(
    tmp_path: Path, stored: tuple[int, int], size: tuple[int, int], reduction: int
) -> None:
    found = read_reduced(save(tmp_path / "a.jpg", smooth(*stored)), size)
    assert found.reduction == reduction
    assert found.stored_size == stored
    assert found.pixels.shape == (*(math.ceil(side / reduction) for side in stored), 3)
    whole = read_reduced(tmp_path / "a.jpg", None)
    assert (whole.reduction, whole.stored_size) == (1, stored)
    np.testing.assert_array_equal(whole.pixels, read_image(tmp_path / "a.jpg"))


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("stored", [(96, 160), (93, 157)])
def test_read_reduced_applies_the_exif_orientation_and_keeps_coordinates(
    tmp_path: Path, orientation: int, stored: tuple[int, int]
) -> None:
    image = smooth(*stored)
    file = save(tmp_path / "a.jpg", image, orientation, subsampling=0)
    pixels, n, size = read_reduced(file, (20, 30))
    assert size == stored
    # An incomplete pixel would be the first of a rotated image, and shift all coordinates.
    assert n == (4 if orientation == 1 or stored == (96, 160) else 1)
    rows, cols = (np.arange(length) * n for length in pixels.shape[:2])
    means = np.array(
        [[image[r : r + n, c : c + n].mean((0, 1)) for c in cols] for r in rows], np.float32
    )
    assert np.abs(pixels - means).mean() < 1.5


def test_read_reduced_divides_coordinates_by_the_reduction(tmp_path: Path) -> None:
    pixels = np.zeros((203, 301, 3), np.uint8)
    pixels[40:120, 100:180] = 255
    reduced = read_reduced(save(tmp_path / "a.jpg", pixels, subsampling=0), (50, 70))
    assert reduced.reduction == 4
    rows, cols = np.nonzero(reduced.pixels[..., 0] > 127)
    assert (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1) == (25, 10, 45, 30)


@pytest.mark.parametrize("name", bad_images())
def test_read_reduced_raises_the_errors_of_read_image(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bad_images()[name][0])
    reasons = []
    for size in (None, (8, 8)):
        with pytest.raises(ImageError) as caught:
            read_reduced(tmp_path / name, size)
        reasons.append(str(caught.value))
    assert reasons[0] == reasons[1]


def test_read_reduced_counts_the_pixels_of_the_stored_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "a.jpg", smooth(64, 64))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="million pixels"):
        read_reduced(tmp_path / "a.jpg", (8, 8))


@pytest.mark.parametrize("name", unusual_images())
def test_read_reduced_reads_unusual_images(tmp_path: Path, name: str) -> None:
    data, _ = unusual_images()[name]
    (tmp_path / name).write_bytes(data)
    found = read_reduced(tmp_path / name, (15, 20))
    is_jpeg = data.startswith(b"\xff\xd8")
    assert found.reduction == (4 if is_jpeg else 1)
    assert found.stored_size == (60, 80)
    whole = cv2.resize(read_image(tmp_path / name), (20, 15), interpolation=cv2.INTER_AREA)
    ours = cv2.resize(found.pixels, (20, 15), interpolation=cv2.INTER_AREA)
    assert np.abs(ours.astype(int) - whole).mean() < 2


def test_read_reduced_reduces_grey_and_progressive_jpegs(tmp_path: Path) -> None:
    Image.fromarray(smooth(40, 60)[..., 0]).save(tmp_path / "grey.jpg", quality=95)
    grey = read_reduced(tmp_path / "grey.jpg", (20, 30))
    assert grey.pixels.shape == (20, 30, 3)
    assert (grey.pixels == grey.pixels[..., :1]).all()
    save(tmp_path / "p.jpg", smooth(40, 60), progressive=True)
    assert read_reduced(tmp_path / "p.jpg", (20, 30)).reduction == 2


def test_read_reduced_in_threads_restores_the_warning_filters(tmp_path: Path) -> None:
    file = save(tmp_path / "a.jpg", smooth(40, 60), 6)
    before, interval = list(warnings.filters), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: read_reduced(file, (8, 8)), range(1000)))
        assert warnings.filters == before
    finally:
        sys.setswitchinterval(interval)
        warnings.filters[:] = before


def test_read_reduced_reads_images_with_damaged_exif(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(smooth(40, 60)).save(
        buffer, "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff"
    )
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    found = read_reduced(tmp_path / "a.jpg", (20, 30))
    assert found.stored_size == (40, 60)
    assert found.pixels.shape[0] == 40 // found.reduction


def test_read_reduced_and_read_image_agree_on_corrupted_headers(tmp_path: Path) -> None:
    """Size, orientation and errors agree, whether OpenCV or Pillow reads the header."""
    rng = np.random.default_rng(0)
    sources = [
        save(tmp_path / "a.jpg", smooth(61, 83), orientation).read_bytes() for orientation in (1, 6)
    ]
    reductions = set()
    for number in range(400):
        data = bytearray(sources[number % 2])
        for place in rng.integers(0, 300, 2):
            data[place] = rng.integers(256)
        (tmp_path / "a.jpg").write_bytes(data)
        whole, reduced = (outcome(tmp_path / "a.jpg", size) for size in (None, (15, 20)))
        assert isinstance(whole, str) == isinstance(reduced, str)
        if not isinstance(whole, str):
            assert reduced.stored_size == whole.stored_size
            sides = (math.ceil(side / reduced.reduction) for side in reduced.stored_size)
            assert reduced.pixels.shape == (*sides, 3)
            reductions.add(reduced.reduction)
    assert {1, 4} <= reductions


def outcome(file: Path, size: tuple[int, int] | None) -> ReducedImage | str:
    try:
        return read_reduced(file, size)
    except ImageError as error:
        return error.reason


def test_read_reduced_returns_pixels_as_they_are() -> None:
    pixels = smooth(40, 60)
    found = read_reduced(pixels, (20, 30))
    assert found.reduction == 1
    assert found.pixels is pixels


@pytest.mark.parametrize("size", [224, (224,), (0, 5), (2.5, 4), "ab", (1, 2, 3)])
def test_checked_size_raises_for_other_values(size: object) -> None:
    with pytest.raises(DetectorError, match="is not a size"):
        checked_size(size)


# --- loading images for the detector ------------------------------------------------------------

LOAD, RESIZE = (
    {"type": "LoadVehicleImage"},
    {"type": "Resize", "scale": (64, 48), "keep_ratio": False},
)
PACK = {"type": "PackDetInputs", "meta_keys": ("ori_shape", "img_shape", "scale_factor")}


def prepared(file: Path, pipeline: list[dict]) -> dict:
    init_default_scope("mmdet")
    return Compose(pipeline)({"img_path": str(file), "img_id": 0})


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("stored", [(192, 256), (193, 255), (60, 70)])
def test_reduced_pipeline_keeps_boxes_in_pixels_of_the_stored_image(
    tmp_path: Path, orientation: int, stored: tuple[int, int]
) -> None:
    pixels = np.zeros((*stored, 3), np.uint8)
    box = (20, 8, 52, 40)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    file = save(tmp_path / "a.jpg", pixels, orientation, subsampling=0)
    item = prepared(file, reduced_pipeline([LOAD, RESIZE, PACK]))
    assert item["inputs"].shape == (3, 48, 64)
    meta = item["data_samples"].metainfo
    assert (meta["ori_shape"], meta["img_shape"]) == (stored, (48, 64))
    rows, cols = np.nonzero(item["inputs"][0].numpy() > 127)
    extent = np.array([cols.min(), rows.min(), cols.max() + 1, rows.max() + 1])
    found = extent / np.tile(meta["scale_factor"], 2)
    cell = max(1 / scale for scale in meta["scale_factor"])
    np.testing.assert_allclose(found, box, atol=0.75 * cell)


def test_reduced_pipeline_loads_small_images_as_load_and_resize(tmp_path: Path) -> None:
    file = save(tmp_path / "a.jpg", smooth(60, 70))
    ours = prepared(file, reduced_pipeline([LOAD, RESIZE, PACK]))
    theirs = prepared(file, [LOAD, RESIZE, PACK])
    assert (ours["inputs"] == theirs["inputs"]).all()
    assert ours["data_samples"].metainfo == theirs["data_samples"].metainfo


@pytest.mark.parametrize(
    "pipeline", [[], [LOAD], [LOAD, PACK], [RESIZE, LOAD], [LOAD, {**RESIZE, "keep_ratio": True}]]
)
def test_reduced_pipeline_raises_for_other_pipelines(pipeline: list[dict]) -> None:
    with pytest.raises(DetectorError, match="must begin with LoadVehicleImage"):
        reduced_pipeline(pipeline)
