"""Read images; every part of the library reads them here.

OpenCV decodes the pixels. Pillow reads the headers, so that images with too many pixels (decompression bombs)
are refused before they are decoded.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from detector.common.errors import DetectorError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")

# Formats that OpenCV decodes and whose size Pillow reads. A file may be valid in two formats; without this
# list the two libraries might read different ones.
_FORMATS = ("JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF", "SUN", "JPEG2000", "AVIF")
_NO_IMAGE = "is not an image, or is damaged"
_AN_IMAGE = "a file's path, or (height, width, 3) pixels of uint8"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", 0xDA, b"\xff\xd9"
_ORIENTATION = 0x0112  # EXIF tag: 1 is upright, 5 to 8 swap width and height
_FILTERS = threading.Lock()
# A worker process that is forked while the lock is held would wait for it forever. Windows does not fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_FILTERS.acquire, after_in_parent=_FILTERS.release, after_in_child=_FILTERS.release
    )


class ImageError(ValueError):
    """An image that cannot be read.

    Attributes:
        path (str): The file, or a description of the object that was given instead.
        reason (str): Why it cannot be read.
    """

    # Worker processes of a data loader create the error again from its text alone.
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
        reduction: The denominator n: 1, 2, 4 or 8.
        stored_size: Height H and width W of the stored image, upright.
    """

    pixels: np.ndarray
    reduction: int
    stored_size: tuple[int, int]


def read_image(path: str | os.PathLike[str] | np.ndarray) -> np.ndarray:
    """Read an image file upright, in RGB.

    The format is detected from the content, not from the name. JPEG, PNG, BMP, TIFF, WebP, PBM, PGM, PPM, GIF
    (its first frame), Sun raster, JPEG 2000 and AVIF are read if this build of OpenCV decodes them.

    Args:
        path: The file; or (H, W, 3) uint8 RGB pixels, upright, which are returned as a contiguous array.

    Returns:
        (H, W, 3) uint8 RGB, with the EXIF orientation applied. Grey, palette and CMYK images are converted to
        RGB, 16-bit images to their upper eight bits. An alpha channel is dropped, not blended.

    Raises:
        ImageError: The file is missing, empty, truncated or not an image, or has more pixels than Pillow
            allows (``PIL.Image.MAX_IMAGE_PIXELS``, 89 million); ``path`` is neither a path nor such pixels.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Image.new("RGB", (6, 4), (9, 8, 7)).save(f"{folder}/a.png")
    ...     image = read_image(f"{folder}/a.png")
    >>> image.shape, image.dtype.name, image[0, 0].tolist()
    ((4, 6, 3), 'uint8', [9, 8, 7])
    """
    return read_reduced(path, None).pixels


def read_reduced(
    path: str | os.PathLike[str] | np.ndarray, size: tuple[int, int] | None
) -> ReducedImage:
    """Read an image as `read_image` does, but a JPEG at the smallest scale that is large enough.

    libjpeg decodes a half, a quarter or an eighth of each side from a part of the coefficients, which makes
    decoding and the resize that follows faster. The pixels are close to the means of the areas they cover,
    but not equal to the result of resizing the whole image. Other formats are decoded in full, and pixels
    are returned as they are. A JPEG with an EXIF rotation is reduced only if its sides are divisible by n:
    otherwise the incomplete pixels would come first and shift the coordinates.

    Args:
        path: As for `read_image`.
        size: Height and width to which the image is resized next; no side becomes shorter. None for the whole
            image.

    Raises:
        ImageError: As `read_image`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Image.new("RGB", (60, 40)).save(f"{folder}/a.jpg")
    ...     image = read_reduced(f"{folder}/a.jpg", (10, 10))
    >>> image.pixels.shape, image.reduction, image.stored_size
    ((10, 15, 3), 4, (40, 60))
    """
    if isinstance(path, np.ndarray):
        pixels = _checked_pixels(path)
        return ReducedImage(pixels, 1, _size(pixels))
    data = _read_bytes(path)
    header = _open_header(path, data)
    if size is not None and header is not None and header.format in ("JPEG", "MPO"):
        reduction, stored_size = _reduction(header, size)
        if reduction > 1:
            pixels = _decode(path, data, reduction)
            # OpenCV may interpret a damaged header differently from Pillow.
            if _size(pixels) == _divided(stored_size, reduction):
                return ReducedImage(pixels, reduction, stored_size)
    pixels = _decode(path, data, 1)
    return ReducedImage(pixels, 1, _size(pixels))


def checked_size(size: Sequence[int], key: str = "size") -> tuple[int, int]:
    """Check the height and width, in pixels, of a key of a config.

    Raises:
        DetectorError: ``size`` is not two positive integers.

    >>> checked_size([128, 256])
    (128, 256)
    """
    numbers = tuple(size) if isinstance(size, Sequence) else ()
    if len(numbers) != 2 or not all(type(n) is int and n > 0 for n in numbers):
        raise DetectorError(
            f"{key}={size!r} is not a size: give height and width, such as (128,256)"
        )
    height, width = numbers
    return height, width


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(path, error.strerror or str(error)) from error
    except TypeError:
        kind = type(path).__name__
        raise ImageError(f"an object of {kind}", f"an image is {_AN_IMAGE}") from None
    except ValueError as error:  # a NUL character, or one that the file system cannot encode
        reason = f"no file has such a path ({error}): an image is {_AN_IMAGE}"
        raise ImageError(repr(str(path)), reason) from None
    if not data:
        raise ImageError(path, "the file is empty")
    if _is_truncated_jpeg(data):
        raise ImageError(path, "the file is cut off: the JPEG has no end")
    if _is_truncated_png(data):
        raise ImageError(path, "the file is cut off or damaged: the PNG has no end")
    return data


def _decode(path: str | os.PathLike[str], data: bytes, reduction: int) -> np.ndarray:
    import cv2  # only reading pixels needs it; listing images and reading a part cache do not

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
    """The largest denominator that leaves a JPEG at least ``size``, and the JPEG's upright size."""
    width, height = header.size
    try:
        with _warnings("ignore", UserWarning):
            orientation = header.getexif().get(_ORIENTATION, 1) if "exif" in header.info else 1
    except Exception:  # Pillow raises many types for damaged EXIF data
        return 1, (height, width)
    stored = (width, height) if orientation in (5, 6, 7, 8) else (height, width)
    for n in (8, 4, 2):
        enough = all(side >= least for side, least in zip(_divided(stored, n), size))
        if enough and (orientation == 1 or not (width % n or height % n)):
            return n, stored
    return 1, stored


def _divided(size: tuple[int, int], n: int) -> tuple[int, int]:
    return -(-size[0] // n), -(-size[1] // n)


def _size(pixels: np.ndarray) -> tuple[int, int]:
    height, width = pixels.shape[:2]
    return height, width


def _checked_pixels(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ImageError(
            f"an array of {pixels.dtype} {pixels.shape}",
            "pixels are (height, width, 3) of uint8, in the order red, green, blue",
        )
    # A reversed view, such as [..., ::-1], has negative strides, which torch refuses.
    return np.ascontiguousarray(pixels)


def _open_header(path: str | os.PathLike[str], data: bytes) -> Image.Image | None:
    """Check the number of pixels, and return the header as Pillow reads it, or None for a PNG."""
    limit = Image.MAX_IMAGE_PIXELS
    too_many = f"has more than {(limit or 0) / 1e6:.0f} million pixels"
    if data.startswith(_PNG_START):
        # Not read by Pillow, which refuses a small image with long texts before its pixels.
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
    except Exception:  # Pillow raises many types for a broken header
        raise ImageError(path, _NO_IMAGE) from None


@contextmanager
def _warnings(action: Literal["error", "ignore"], category: type[Warning]) -> Iterator[None]:
    """Raise or ignore warnings, in one thread at a time: the filters belong to the process."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter(action, category)
        yield


def _is_truncated_jpeg(data: bytes) -> bool:
    """Whether a JPEG has no end marker after its pixels.

    OpenCV fills the missing rows with grey. Pillow notices them, but only when it decodes the image as well.
    """
    if not data.startswith(_JPEG_START):
        return False
    position = len(_JPEG_START)
    # The end marker cannot occur in the compressed data, but a thumbnail in the header has its own.
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == _JPEG_SCAN:
            return data.rfind(_JPEG_END, position) < 0  # searched from the end, where it usually is
        if marker == 0xFF:
            position += 1
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return True


def _is_truncated_png(data: bytes) -> bool:
    """Whether the chunks of a PNG reach beyond the file.

    OpenCV would allocate up to 4 GB for each. Pillow's `verify` notices it, but refuses long texts.
    """
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
    """List the images in a folder and its subfolders, as sorted paths relative to the folder.

    Raises:
        DetectorError: The folder does not exist, or has no images.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "b").mkdir()
    ...     for name in ("b/2.JPG", "1.png", "notes.txt"):
    ...         Path(folder, name).touch()
    ...     list_images(folder)
    ['1.png', 'b/2.JPG']
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
