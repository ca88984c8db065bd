"""A model that is quick, and galleries that it fills."""

from __future__ import annotations

import os
import signal
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from detector.cache import Parts
from pgan.datasets.records import Annotation
from pgan.gallery.adding import add
from pgan.gallery.embedding import Embedded
from pgan.gallery.part_source import PartSource
from pgan.gallery.store import Gallery

DIMS, PARTS = 16, 3
CLASSES = ("wheel", "plate")


class FakeEmbedder:
    """Stands in for a model: an image's feature and parts depend on its path, and on the model's name.

    Args:
        name: Another name is another model.
        stop_after: Images after which it is stopped.
        stop: What stops it: Ctrl-C, or ``kill -9``.
    """

    num_parts = PARTS

    def __init__(
        self, name: str = "pgan", stop_after: int | None = None, stop: str = "Ctrl-C"
    ) -> None:
        self.whole_config = {"model": {"type": name}}
        self.description = {
            "type": name,
            "config": f"/configs/{name}.py",
            "checkpoint": f"/{name}.pth",
            "fingerprint": name * 4,
            "facts": {"its weights": name, "model": {}},
        }
        self.stop_after, self.stop = stop_after, stop
        self.seen: list[str] = []

    def embed(
        self, files: Sequence[str], parts: PartSource, progress: bool = False
    ) -> Iterator[tuple[str, Embedded | str]]:
        """Every file but those with 'broken' in their names."""
        for file in files:
            if len(self.seen) == self.stop_after:
                if self.stop == "Ctrl-C":
                    raise KeyboardInterrupt
                os.kill(os.getpid(), signal.SIGKILL)
            self.seen.append(file)
            yield file, "broken" if "broken" in file else embedded(file)


def embedded(file: str) -> Embedded:
    """Near others of its vehicle, ``vehicle-…``; one to three parts."""
    name = Path(file).name
    feature = draw(name.split("-")[0]) + 0.3 * draw(name)
    feature /= np.linalg.norm(feature)
    count = 1 + len(name) % PARTS
    boxes = np.array([[i, i, i + 8, i + 9] for i in range(count)], np.float32)
    scores = np.linspace(0.9, 0.5, count, dtype=np.float32)
    found = Parts(boxes, scores, np.arange(count) % 2, (24, 32))
    return Embedded(feature, found, np.full(count, 1 / count, np.float32), CLASSES)


def draw(name: str) -> np.ndarray:
    """(DIMS,) float32, the same for the same name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return rng.standard_normal(DIMS).astype(np.float32)


def annotations(vehicles: int = 6, images: int = 4, folder: str = "/data") -> list[Annotation]:
    """Images of some vehicles by two cameras, a minute apart."""
    return [
        Annotation(
            f"{folder}/{v}-{i}.png",
            f"v{v}",
            f"c{i % 2}",
            f"2020-01-01T{v // 60:02}:{v % 60:02}:{i:02}",
        )
        for v in range(vehicles)
        for i in range(images)
    ]


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Twenty-four images of six vehicles by two cameras."""
    add(tmp_path / "gallery", FakeEmbedder(), annotations(), PartSource())
    return Gallery.open(tmp_path / "gallery")


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Shards of five images."""
    monkeypatch.setattr("pgan.gallery.adding.SHARD_ROWS", 5)
