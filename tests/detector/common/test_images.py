"""Reading images: colours, orientation, and what is not an image."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from detector.common.images import ImageError, read_image


def encode(image: np.ndarray, suffix: str) -> bytes:
    return cv2.imencode(suffix, image[..., ::-1])[1].tobytes()


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Insert an EXIF segment that holds one tag, the orientation."""
    tiff = b"MM\x00*\x00\x00\x00\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@pytest.fixture
def pixels() -> np.ndarray:
    """Red above, blue below, green at the right: every rotation of it looks different."""
    image = np.zeros((48, 96, 3), np.uint8)
    image[:24, :, 0], image[24:, :, 2], image[:, 64:, :] = 255, 255, (0, 255, 0)
    return image


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg"])
def test_read_image_returns_rgb(tmp_path: Path, pixels: np.ndarray, suffix: str) -> None:
    file = tmp_path / f"ü b{suffix}"
    file.write_bytes(encode(pixels, suffix))
    image = read_image(file)
    assert image.shape == pixels.shape
    assert image.dtype == np.uint8
    assert image[5, 5].argmax() == 0
    assert image[40, 5].argmax() == 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_read_image_applies_the_exif_orientation(
    tmp_path: Path, pixels: np.ndarray, orientation: int
) -> None:
    # How an upright image is stored for each orientation, per EXIF 2.3.
    store = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x),
        7: lambda x: np.rot90(x.transpose(1, 0, 2), 2),
        8: lambda x: np.rot90(x, -1),
    }[orientation]
    jpeg = encode(np.ascontiguousarray(store(pixels)), ".jpg")
    (tmp_path / "a.jpg").write_bytes(with_orientation(jpeg, orientation))
    image = read_image(tmp_path / "a.jpg")
    assert image.shape == pixels.shape
    assert np.abs(image.astype(int) - pixels).mean() < 12


@pytest.mark.parametrize("channels", [1, 4])
def test_read_image_converts_grey_and_transparent_images_to_rgb(
    tmp_path: Path, channels: int
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((5, 7, channels), 90, np.uint8))
    assert read_image(tmp_path / "a.png").shape == (5, 7, 3)


def test_read_image_raises_with_a_reason_for_files_that_are_not_images(
    tmp_path: Path, pixels: np.ndarray
) -> None:
    jpeg = with_orientation(encode(pixels, ".jpg"), 1)
    # A thumbnail inside the header has an end marker of its own.
    thumbnail = jpeg[:2] + b"\xff\xe2\x00\x08\xff\xd8\xff\xd9xx" + jpeg[2:]
    cases = {
        "empty.jpg": (b"", "is empty"),
        "text.jpg": (b"not an image at all", "not an image"),
        "cut.jpg": (thumbnail[: len(thumbnail) * 2 // 3], "cut off"),
        "header.jpg": (jpeg[:10], "cut off"),
        "cut.png": (encode(pixels, ".png")[:60], "cut off"),
    }
    for name, (data, reason) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match=reason) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value)
    (tmp_path / "whole.jpg").write_bytes(thumbnail)
    assert read_image(tmp_path / "whole.jpg").shape == pixels.shape
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "missing.jpg")
    with pytest.raises(ImageError, match="directory"):
        read_image(tmp_path)


@pytest.mark.parametrize(
    "image",
    [None, 3, b"a.jpg", ["a.jpg"], Image.new("RGB", (4, 4)), torch.zeros(4, 4, 3).byte()],
)
def test_read_image_raises_for_objects_that_are_neither_path_nor_pixels(image: object) -> None:
    kind = type(image).__name__
    with pytest.raises(ImageError, match=f"^an object of {kind}: an image is a file's path, or"):
        read_image(image)


@pytest.mark.parametrize("path", ["a\0.jpg", Path("a\0.jpg"), "a\ud800.jpg"])
def test_read_image_raises_for_an_impossible_path(path: str | Path) -> None:
    with pytest.raises(ImageError, match=r"^'a\\(x00|ud800)\.jpg': no file has such a path"):
        read_image(path)


def test_read_image_returns_contiguous_pixels_for_views(pixels: np.ndarray) -> None:
    for view in (pixels[:, :, ::-1], pixels[::-1], pixels[:, 1:]):
        image = read_image(view)
        assert image.flags.c_contiguous
        np.testing.assert_array_equal(image, view)
    assert read_image(pixels) is pixels


def test_image_error_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(ImageError("a.jpg", "is damaged")))
    assert (error.path, error.reason, str(error)) == ("a.jpg", "is damaged", "a.jpg: is damaged")
