"""Unusual and damaged images: each is read in one documented way, or refused with a reason."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from detector.common.images import ImageError, read_image


def _pixels() -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (80, 60), interpolation=cv2.INTER_CUBIC)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def bomb_png(width: int, height: int, further: bytes = b"") -> bytes:
    """A PNG whose header promises that many grey pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(width + 1) * 8)  # a few rows; decoding would allocate all of them
    chunks = _chunk(b"IHDR", header), further, _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def long_text() -> bytes:
    """A PNG's chunk of two million characters, more than Pillow accepts."""
    return _chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * (2 << 20)))


def radiance(width: int, height: int) -> bytes:
    """A black Radiance image with run-length coded rows; OpenCV decodes the format, Pillow does not."""
    runs, rest = divmod(width, 127)
    row = (bytes([255, 0]) * runs + (bytes([128 + rest, 0]) if rest else b"")) * 4
    head = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (height, width)
    return head + (bytes([2, 2, width >> 8, width & 255]) + row) * height


def two_at_once(width: int, height: int) -> bytes:
    """A PAM that Pillow would take for an XV thumbnail of 80 x 60."""
    size = b"WIDTH %d\nHEIGHT %d\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" % (width, height)
    return b"P7 332\n#END_OF_COMMENTS\n80 60 255\n" + size + bytes(3 * 80 * 60)


def bad_images() -> dict[str, tuple[bytes, str]]:
    """Name -> bytes, and a part of the reason why the file cannot be read."""
    image = Image.fromarray(_pixels())
    jpeg, png = _saved(image, "JPEG"), _saved(image, "PNG")
    return {
        "empty.jpg": (b"", "is empty"),
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "cut off"),
        "truncated.png": (png[: len(png) // 2], "cut off"),
        # A chunk that claims four gigabytes, all of which OpenCV would allocate.
        "long_chunk.png": (png[:33] + b"\xfb" + png[34:], "cut off or damaged"),
        "text.jpg": (b"<html>404</html>", "not an image"),
        "bomb.png": (bomb_png(20_000, 20_000), "more than 89 million pixels"),
        "bomb_with_text.png": (
            bomb_png(20_000, 20_000, long_text()),
            "more than 89 million pixels",
        ),
        "no_header.png": (bomb_png(80, 60)[:8] + bomb_png(80, 60)[33:], "not an image"),
        "radiance.jpg": (radiance(400, 300), "not an image"),
        "pam.jpg": (two_at_once(20_000, 20_000), "not an image"),
    }


def unusual_images() -> dict[str, tuple[bytes, float]]:
    """Name -> bytes of one image in an unusual form, and its largest mean distance in grey levels."""
    pixels = _pixels()
    image = Image.fromarray(pixels)
    turned = image.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # upright after a rotation by 90 degrees clockwise
    clear = image.copy()
    clear.putalpha(0)
    png = _saved(image, "PNG")
    deep = cv2.imencode(".png", pixels[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    deep_tif = cv2.imencode(".tif", pixels[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    return {
        "png_named.jpg": (_saved(image, "PNG"), 0),
        "jpeg_named.png": (_saved(image, "JPEG", quality=98), 3),
        "cmyk.jpg": (_saved(image.convert("CMYK"), "JPEG", quality=98), 3),
        "sixteen_bits.png": (deep, 0),
        "sixteen_bits.tif": (deep_tif, 0),
        "long_text.png": (png[:33] + long_text() + png[33:], 0),
        "jp2_named.jpg": (_saved(image, "JPEG2000"), 0),
        "transparent.png": (_saved(clear, "PNG"), 0),
        "turned.jpg": (_saved(turned, "JPEG", quality=98, exif=exif), 3),
    }


@pytest.mark.parametrize("name", bad_images())
def test_read_image_raises_for_bad_images_with_file_and_reason(tmp_path: Path, name: str) -> None:
    data, reason = bad_images()[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(tmp_path / name)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "bomb", [bomb_png(20_000, 20_000, long_text()), radiance(400, 300), two_at_once(20_000, 20_000)]
)
def test_read_image_does_not_decode_images_that_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bomb: bytes
) -> None:
    (tmp_path / "a.jpg").write_bytes(bomb)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("is decoded"))
    with pytest.raises(ImageError):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", unusual_images())
def test_read_image_reads_unusual_images(tmp_path: Path, name: str) -> None:
    data, distance = unusual_images()[name]
    (tmp_path / name).write_bytes(data)
    image = read_image(tmp_path / name)
    assert image.shape == (60, 80, 3)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - _pixels()).mean() <= distance
    assert hashlib.sha256((tmp_path / name).read_bytes()).digest() == hashlib.sha256(data).digest()


def test_read_image_reads_grey_images_and_a_single_pixel(tmp_path: Path) -> None:
    grey = Image.fromarray(_pixels()).convert("L")
    (tmp_path / "grey.png").write_bytes(_saved(grey, "PNG"))
    assert (read_image(tmp_path / "grey.png") == np.asarray(grey)[..., None]).all()
    (tmp_path / "dot.png").write_bytes(_saved(Image.new("RGB", (1, 1), (9, 8, 7)), "PNG"))
    assert read_image(tmp_path / "dot.png").tolist() == [[[9, 8, 7]]]


def test_read_image_returns_pixels_as_they_are_and_checks_them() -> None:
    assert (read_image(_pixels()) == _pixels()).all()
    for pixels in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ImageError, match="pixels are"):
            read_image(pixels)
