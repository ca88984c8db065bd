"""From image files to features: as a test of the model gives them, and by which model."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from detector.cache import Parts
from detector.cache.writer import PartCacheWriter
from pgan.gallery.embedding import Embedder
from pgan.gallery.errors import GalleryError
from pgan.gallery.part_source import PartSource
from pgan.inference.vehicle_reid import Embedded
from tests.pgan.datasets.layouts import draw
from tests.pgan.tiny_models import CLASSES, Files, tiny_reid

NAMES = ["a/0.png", "a/1.png", "b/2.png", "b/3.png", "b/4.png"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, one of them broken, and a part cache of those in ``a``."""
    folder = tmp_path_factory.mktemp("place")
    draw(folder, NAMES)
    (folder / "b/4.png").write_bytes(b"no image")
    found = Parts(
        np.array([[1, 2, 12, 14], [15, 3, 29, 19]], np.float32),
        np.array([0.8, 0.3], np.float32),
        np.array([0, 1]),
        (20, 30),
    )
    writer = PartCacheWriter(
        folder / "parts", ["0.png", "1.png"], {"classes": list(CLASSES), "max_parts": 4}
    )
    writer.fill(lambda image: found, progress=False)
    return folder


@pytest.fixture(scope="module")
def pgan(place: Path) -> Files:
    return tiny_reid(place / "models")


def files(place: Path, *rows: int) -> list[str]:
    return [str(place / NAMES[row]) for row in rows]


def test_embed_uses_parts_of_the_cache(place: Path, pgan: Files, monkeypatch) -> None:
    monkeypatch.chdir(place)  # a cache may be named by a relative path
    source = PartSource.open([("a", "parts")])
    embedder = Embedder(*pgan)
    seen = dict(embedder.embed(files(place, 0, 1), source))
    assert list(seen) == files(place, 0, 1)
    for path, image in seen.items():
        assert image.feature.shape == (16,)
        assert np.linalg.norm(image.feature) == pytest.approx(1, abs=1e-5)
        assert image.parts.boxes.tolist() == [[1, 2, 12, 14], [15, 3, 29, 19]]
        assert image.weights.sum() == pytest.approx(1, abs=1e-5)
        assert image.classes == CLASSES
        alone = dict(embedder.embed([path], source))[path]
        assert np.allclose(alone.feature, image.feature, atol=1e-6)
    without = Embedder(*pgan, options={"num_parts": 0})
    for path, image in without.embed(files(place, 0, 1), PartSource()):
        assert image.parts is None
        assert not np.allclose(image.feature, seen[path].feature, atol=1e-3)


def test_embed_raises_for_images_in_no_cache(place: Path, pgan: Files) -> None:
    source = PartSource.open([(str(place / "a"), str(place / "parts"))])
    found = Embedder(*pgan).embed(files(place, 0, 2, 3), source)
    message = r"2.png: this model needs its parts.*\(2 of 3 images, looked up in .*parts, for images below"
    with pytest.raises(GalleryError, match=message):
        next(found)


def test_embed_reports_unreadable_images_in_place(place: Path) -> None:
    embedder = Embedder(*tiny_reid(place / "models", "baseline"))
    gone = str(place / "b/gone.png")
    seen = dict(embedder.embed([*files(place, 2, 4), gone, *files(place, 3)], PartSource()))
    assert "damaged" in seen[files(place, 4)[0]]
    assert seen[gone] == "no such file"
    assert [isinstance(seen[path], Embedded) for path in files(place, 2, 3)] == [True] * 2


def test_fingerprint_depends_on_what_determines_the_feature(place: Path, pgan: Files) -> None:
    known = Embedder(*pgan).description["fingerprint"]

    def again(model: Files = pgan, **options: object) -> str:
        options = {key.replace("__", "."): value for key, value in options.items()}
        return Embedder(*model, options=options).description["fingerprint"]

    moved = Files(pgan.config, str(place / "moved.pth"))
    state = torch.load(pgan.checkpoint, weights_only=True)
    torch.save(state["state_dict"], moved.checkpoint)  # the weights alone, elsewhere
    assert again(moved) == known
    assert again(data_root="elsewhere", model__label_smoothing=0.1) == known
    assert again(test_dataloader__batch_size=7) == known
    others = [
        again(tiny_reid(place / "models", seed=5)),
        again(num_parts=2),
        again(model__temperature=3.0),
        again(test_dataloader__dataset__pipeline__1__size=(48, 48)),
    ]
    assert len({known, *others}) == 5
    assert os.path.isabs(Embedder(*pgan).description["checkpoint"])
