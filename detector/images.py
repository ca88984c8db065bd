"""The one place where images are read: colour order, EXIF orientation, corrupt bytes, decompression bombs."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from detector.errors import DetectorError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")

_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", 0xDA, b"\xff\xd9"


class ImageError(ValueError):
    """An image file that cannot be read.

    Attributes:
        path (str): The file.
        reason (str): What is wrong with it, in words.
    """

    # A loader's process passes an error on as its text alone.
    def __init__(self, path: str | os.PathLike[str], reason: str = "") -> None:
        super().__init__(os.fspath(path), reason)
        self.path = os.fspath(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.reason else self.path


def read_image(path: str | os.PathLike[str] | np.ndarray) -> np.ndarray:
    """Read an image file upright, in RGB.

    Args:
        path: File of any format that OpenCV decodes, whatever its name ends with; or the pixels themselves,
            (H, W, 3) uint8 RGB, upright, which are given back.

    Returns:
        (H, W, 3) uint8 RGB, after the EXIF orientation was applied. Grey, palette and CMYK images are
        converted; of 16 bits the upper eight are kept; transparency is dropped, not blended.

    Raises:
        ImageError: The file is missing, empty, truncated, no image, or has more pixels than Pillow lets pass
            (``PIL.Image.MAX_IMAGE_PIXELS``, 89 million): they are not decoded.
    """
    if isinstance(path, np.ndarray):
        return _checked_pixels(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(path, error.strerror or str(error)) from error
    if not data:
        raise ImageError(path, "the file is empty")
    if _is_cut_off(data):
        raise ImageError(path, "the file is cut off: the JPEG has no end")
    if _is_cut_png(data):
        raise ImageError(path, "the file is cut off or damaged: the PNG has no end")
    _refuse_bomb(path, data)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageError(path, f"cannot be decoded ({error.err})") from error
    if image is None:
        raise ImageError(path, "is not an image, or is damaged")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _checked_pixels(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ImageError(
            f"an array of {pixels.dtype} {pixels.shape}",
            "pixels are (height, width, 3) of uint8, in the order red, green, blue",
        )
    return pixels


def _refuse_bomb(path: str | os.PathLike[str], data: bytes) -> None:
    """Refuse what a few bytes would blow up to gigabytes, by its header."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            Image.open(io.BytesIO(data)).close()
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            limit = Image.MAX_IMAGE_PIXELS / 1e6
            raise ImageError(path, f"has more than {limit:.0f} million pixels") from None
        except Exception:  # of many kinds; what Pillow cannot read, OpenCV may, or says so
            return


def _is_cut_off(data: bytes) -> bool:
    """Whether a JPEG stops before its end marker: decoders fill the missing rows with grey."""
    if not data.startswith(_JPEG_START):
        return False
    position = len(_JPEG_START)
    # The end marker cannot occur inside compressed data, but a thumbnail before it has its own.
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == _JPEG_SCAN:
            return data.find(_JPEG_END, position) < 0
        if marker == 0xFF:
            position += 1
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return True


def _is_cut_png(data: bytes) -> bool:
    """Whether a PNG's chunks reach beyond the file: OpenCV would make room for up to 4 GB of each."""
    if not data.startswith(_PNG_START):
        return False
    position = len(_PNG_START)
    while position + 12 <= len(data):
        is_last = data[position + 4 : position + 8] == b"IEND"
        position += 12 + int.from_bytes(data[position : position + 4], "big")
        if is_last:
            return position > len(data)
    return True


def list_images(folder: str | os.PathLike[str]) -> list[str]:
    """All images in a folder and its subfolders: sorted paths relative to it.

    Raises:
        DetectorError: There is no such folder, or no image in it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DetectorError(f"{root}: no such folder")
    images = [
        file.relative_to(root).as_posix()
        for file in root.rglob("*")
        if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
    ]
    if not images:
        raise DetectorError(f"{root} has no images ({' '.join(IMAGE_SUFFIXES)})")
    return sorted(images)
