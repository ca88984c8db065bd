"""The one place where images are read: colour order, EXIF orientation, corrupt bytes, decompression bombs."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from detector.common.errors import DetectorError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")

# Those that OpenCV decodes and that tell Pillow their size: of a file that is of two at once, the same.
_FORMATS = ("JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF", "SUN", "JPEG2000", "AVIF")
_NO_IMAGE = "is not an image, or is damaged"
_AN_IMAGE = "a file's path, or (height, width, 3) pixels of uint8"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", 0xDA, b"\xff\xd9"
_FILTERS = threading.Lock()
# A worker process that is forked while the lock is held would wait for it forever. Windows does not fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_FILTERS.acquire, after_in_parent=_FILTERS.release, after_in_child=_FILTERS.release
    )
_ORIENTATION = 0x0112  # EXIF's tag: 1 is upright, from 5 on width and height change places


class ImageError(ValueError):
    """An image that cannot be read.

    Attributes:
        path (str): The file, or in words what was given in its place.
        reason (str): What is wrong with it, in words.
    """

    # A loader's process passes an error on as its text alone.
    def __init__(self, path: str | os.PathLike[str], reason: str = "") -> None:
        super().__init__(os.fspath(path), reason)
        self.path = os.fspath(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.reason else self.path


class ReducedImage(NamedTuple):
    """An image, decoded at a scale of 1/n.

    Attributes:
        pixels: (ceil(H / n), ceil(W / n), 3) uint8 RGB. Pixel (r, c) covers those of the stored image from
            (n r, n c) to (n r + n, n c + n): coordinates are those of the stored image divided by n.
        reduction: n, 1, 2, 4 or 8.
        stored_size: Height H and width W of the stored image, upright.
    """

    pixels: np.ndarray
    reduction: int
    stored_size: tuple[int, int]


def read_image(path: str | os.PathLike[str] | np.ndarray) -> np.ndarray:
    """Read an image file upright, in RGB.

    Args:
        path: File of JPEG, PNG, BMP, TIFF, WebP, PBM to PPM, GIF (its first picture), Sun raster, JPEG 2000
            or AVIF, as far as OpenCV decodes it, whatever its name ends with; or the pixels themselves,
            (H, W, 3) uint8 RGB, upright, which are given back, contiguous.

    Returns:
        (H, W, 3) uint8 RGB, after the EXIF orientation was applied. Grey, palette and CMYK images are
        converted; of 16 bits the upper eight are kept; transparency is dropped, not blended.

    Raises:
        ImageError: The file is missing, empty, truncated, no image, or has more pixels than Pillow lets pass
            (``PIL.Image.MAX_IMAGE_PIXELS``, 89 million): they are not decoded; or it is neither a path nor
            such pixels.
    """
    return read_reduced(path, None).pixels


def read_reduced(
    path: str | os.PathLike[str] | np.ndarray, size: tuple[int, int] | None
) -> ReducedImage:
    """Read an image file as `read_image` does, a JPEG at the smallest scale that leaves enough of it.

    libjpeg makes a half, a quarter or an eighth of each side from as many of the coefficients: less to
    compute here and in the resize that follows. The pixels are nearly the means of their areas, so not quite
    what a resize makes of the whole image. Other formats are decoded in full, and pixels given as such are
    taken as they are. An image that EXIF turns is reduced only where its sides can be divided, since a
    remainder would come first in it.

    Args:
        path: As for `read_image`.
        size: Height and width that the image is resized to next: neither of its sides becomes shorter. None
            for the whole image.

    Raises:
        ImageError: As `read_image`.
    """
    if isinstance(path, np.ndarray):
        return ReducedImage(_checked_pixels(path), 1, path.shape[:2])
    data = _read_bytes(path)
    header = _open_header(path, data)
    reduction, stored = 1, None
    if size is not None and header is not None and header.format in ("JPEG", "MPO"):
        reduction, stored = _reduction(header, size)
    pixels = _decode(path, data, reduction)
    if reduction > 1 and pixels.shape[:2] != _divided(stored, reduction):
        # OpenCV has understood the header in another way than Pillow.
        reduction, pixels = 1, _decode(path, data, 1)
    return ReducedImage(pixels, reduction, stored if reduction > 1 else pixels.shape[:2])


def checked_size(size: Sequence[int], key: str = "size") -> tuple[int, int]:
    """Height and width in pixels, as a key of a config states them.

    Raises:
        DetectorError: They are no two whole numbers of 1 or more.
    """
    numbers = tuple(size) if isinstance(size, Sequence) else ()
    if len(numbers) != 2 or not all(type(n) is int and n > 0 for n in numbers):
        raise DetectorError(f"{key}={size!r} is no size: give height and width, such as (128,256)")
    return numbers


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(path, error.strerror or str(error)) from error
    except TypeError:
        kind = type(path).__name__
        raise ImageError(f"an object of {kind}", f"an image is {_AN_IMAGE}") from None
    except ValueError as error:  # a NUL in it, or what no file system encodes
        reason = f"no file has such a path ({error}): an image is {_AN_IMAGE}"
        raise ImageError(repr(str(path)), reason) from None
    if not data:
        raise ImageError(path, "the file is empty")
    if _is_cut_off(data):
        raise ImageError(path, "the file is cut off: the JPEG has no end")
    if _is_cut_png(data):
        raise ImageError(path, "the file is cut off or damaged: the PNG has no end")
    return data


def _decode(path: str | os.PathLike[str], data: bytes, reduction: int) -> np.ndarray:
    import cv2  # reading pixels needs it; listing images and reading a part cache do not

    flags = {
        1: cv2.IMREAD_COLOR,
        2: cv2.IMREAD_REDUCED_COLOR_2,
        4: cv2.IMREAD_REDUCED_COLOR_4,
        8: cv2.IMREAD_REDUCED_COLOR_8,
    }
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags[reduction])
    except cv2.error as error:
        raise ImageError(path, f"cannot be decoded ({error.err})") from error
    if image is None:
        raise ImageError(path, _NO_IMAGE)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _reduction(header: Image.Image, size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """The greatest scale denominator that leaves a JPEG at least of that size, and its upright size."""
    width, height = header.size
    try:
        with _warnings("ignore", UserWarning):
            orientation = header.getexif().get(_ORIENTATION, 1) if "exif" in header.info else 1
    except Exception:  # of many kinds, for EXIF that is damaged
        return 1, (height, width)
    stored = (width, height) if orientation in (5, 6, 7, 8) else (height, width)
    for n in (8, 4, 2):
        enough = all(side >= least for side, least in zip(_divided(stored, n), size))
        if enough and (orientation == 1 or not (width % n or height % n)):
            return n, stored
    return 1, stored


def _divided(size: tuple[int, int], n: int) -> tuple[int, int]:
    return -(-size[0] // n), -(-size[1] // n)


def _checked_pixels(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ImageError(
            f"an array of {pixels.dtype} {pixels.shape}",
            "pixels are (height, width, 3) of uint8, in the order red, green, blue",
        )
    # Those turned by [..., ::-1] have negative strides, which torch refuses.
    return np.ascontiguousarray(pixels)


def _open_header(path: str | os.PathLike[str], data: bytes) -> Image.Image | None:
    """The header as Pillow reads it, None of a PNG.

    What a few bytes would blow up to gigabytes is refused, and so is what does not tell its size beforehand.
    """
    limit = Image.MAX_IMAGE_PIXELS
    too_many = f"has more than {(limit or 0) / 1e6:.0f} million pixels"
    if data.startswith(_PNG_START):
        # Pillow would refuse a small picture with long texts in it.
        width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
        if data[12:16] != b"IHDR":
            raise ImageError(path, _NO_IMAGE)
        if limit and width * height > limit:
            raise ImageError(path, too_many)
        return None
    try:
        with _warnings("error", Image.DecompressionBombWarning):
            return Image.open(io.BytesIO(data), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(path, too_many) from None
    except Exception:  # of many kinds
        raise ImageError(path, _NO_IMAGE) from None


@contextmanager
def _warnings(action: str, category: type[Warning]) -> Iterator[None]:
    """Treat warnings in that way, one thread at a time: the filters are the process's."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter(action, category)
        yield


def _is_cut_off(data: bytes) -> bool:
    """Whether a JPEG stops before its end marker: decoders fill the missing rows with grey."""
    if not data.startswith(_JPEG_START):
        return False
    position = len(_JPEG_START)
    # The end marker cannot occur inside compressed data, but a thumbnail before it has its own.
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == _JPEG_SCAN:
            return data.rfind(_JPEG_END, position) < 0  # from the end, where it mostly is
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
