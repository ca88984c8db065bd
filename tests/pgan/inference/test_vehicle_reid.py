"""Images in, parts, features and attention out: the same as the tools make, one after the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import pgan
from detector.cache import PartCache
from detector.cache.masks import overlap_masks
from detector.common.images import ImageError, read_image
from pgan.apis import CheckpointError, ConfigError
from pgan.evaluation import load_features
from pgan.inference.vehicle_reid import VehicleReID
from pgan.tools import extract_parts
from pgan.tools import test as test_tool
from tests.pgan.tiny_models import CLASSES, Files, tiny_detector, tiny_reid

pytestmark = pytest.mark.slow


def call(tool: object, *words: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["tool", *map(str, words)])
        assert tool.main() == 0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with five images in VeRi-776's layout, as one query and four of the gallery."""
    place = tmp_path_factory.mktemp("reid")
    rng = np.random.default_rng(0)
    rows = ["path,vehicle_id,camera_id,split"]
    for index, split in enumerate(("query", *["gallery"] * 4)):
        size = ((40, 60), (64, 50))[index % 2]
        coarse = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(place / f"{index}.png"), cv2.resize(coarse, size))
        rows.append(f"{index}.png,{index % 2},{index},{split}")
    (place / "index.csv").write_text("\n".join(rows))
    return place


@pytest.fixture(scope="module")
def detector(place: Path) -> Files:
    return tiny_detector(place / "models")


@pytest.fixture(scope="module")
def model(place: Path) -> Files:
    csv = {"test_dataloader.dataset.type": "CSVDataset"}
    return tiny_reid(place / "models", **csv, data_root=str(place))


@pytest.fixture(scope="module")
def reid(model: Files, detector: Files) -> VehicleReID:
    return VehicleReID(*model, detector=detector, device="cpu")


@pytest.fixture(scope="module")
def images(place: Path) -> list[Path]:
    return [place / f"{index}.png" for index in range(5)]


def test_vehicle_reid_equals_extraction_and_test(
    place: Path, model: Files, detector: Files, reid: VehicleReID, images: list[Path]
) -> None:
    words = ["--images", place, "--out", place / "parts", "--workers", 0, "--device", "cpu"]
    call(extract_parts, *detector, *words)
    cache = PartCache.open(place / "parts")
    dump = ["--work-dir", place / "test", "--dump", place / "features.npz"]
    options = [f"part_cache={place / 'parts'}", "model.num_vehicles=2"]
    call(test_tool, *model, *dump, "--cfg-options", *options)
    features = load_features(place / "features.npz")
    found = dict(zip((image.name for image in images), reid(images, batch_size=2)))
    assert list(features.img_paths) == list(found)
    for row, name in enumerate(found):
        seen, parts = found[name], cache.parts(name, 4)
        np.testing.assert_allclose(seen.parts.boxes, parts.boxes, atol=1e-3)
        np.testing.assert_array_equal(seen.parts.labels, parts.labels)
        np.testing.assert_allclose(seen.parts.scores, parts.scores, atol=1e-5)
        np.testing.assert_allclose(seen.feature, features.features[row], atol=1e-5)
        np.testing.assert_allclose(seen.weights, features.part_weights[row], atol=1e-5)
        assert seen.classes == CLASSES


def test_pixels_equal_files_for_any_batch_size(reid: VehicleReID, images: list[Path]) -> None:
    files = reid(images, batch_size=5)
    pixels = reid([read_image(image) for image in images], batch_size=1)
    for a, b in zip(files, pixels):
        np.testing.assert_allclose(a.feature, b.feature, atol=1e-5)
        np.testing.assert_allclose(a.parts.boxes, b.parts.boxes, atol=1e-3)
    assert reid([]) == []


def test_attention_is_the_weighted_sum_of_masks(reid: VehicleReID, images: list[Path]) -> None:
    seen = reid(images[:1])[0]
    expected = np.zeros((5, 7))
    for box, weight in zip(seen.parts.boxes, seen.weights):
        mask = overlap_masks(box[None], seen.parts.image_size, np.arange(5), np.arange(7))[0]
        expected += weight * mask
    np.testing.assert_allclose(seen.attention((5, 7)), expected, atol=1e-6)
    assert seen.weights.sum() == pytest.approx(1, abs=1e-5)


def test_stream_yields_error_of_unreadable_image_in_place(
    reid: VehicleReID, images: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "cut.jpg").write_bytes(b"")
    batch = [images[0], tmp_path / "cut.jpg", tmp_path / "none.jpg", np.zeros((3, 3)), images[1]]
    found = list(reid.stream(iter(batch), batch_size=3))
    assert [isinstance(seen, ImageError) for seen in found] == [False, True, True, True, False]
    np.testing.assert_allclose(found[4].feature, reid(images[1:2])[0].feature, atol=1e-5)
    with pytest.raises(ImageError, match=r"cut\.jpg: the file is empty"):
        reid(batch)


def test_stream_yields_error_of_invalid_argument_in_place(
    reid: VehicleReID, images: list[Path]
) -> None:
    batch = [images[0], "a\0.png", None, 3, b"a.png", images[1]]
    found = list(reid.stream(batch, batch_size=4))
    assert [isinstance(seen, ImageError) for seen in found] == [False, *[True] * 4, False]
    np.testing.assert_allclose(found[5].feature, reid(images[1:2])[0].feature, atol=1e-5)


def test_pixels_may_have_negative_strides(reid: VehicleReID, images: list[Path]) -> None:
    turned, file = reid([cv2.imread(str(images[0]))[:, :, ::-1], images[0]])
    np.testing.assert_allclose(turned.feature, file.feature, atol=1e-5)
    np.testing.assert_allclose(turned.parts.boxes, file.parts.boxes, atol=1e-3)


def test_model_without_part_boxes_needs_no_detector(place: Path, images: list[Path]) -> None:
    seen = VehicleReID(*tiny_reid(place / "models", "baseline"), device="cpu")(images[:2])
    assert [s.feature.shape for s in seen] == [(16,), (16,)]
    assert seen[0].parts is None
    assert not seen[0].attention((3, 3)).any()


def test_vehicle_reid_raises_for_wrong_models(
    model: Files, detector: Files, images: list[Path]
) -> None:
    with pytest.raises(ConfigError, match="detector="):
        VehicleReID(*model, device="cpu")(images)
    none = VehicleReID(*model, options={"num_parts": 0}, device="cpu")(images[:1])[0]
    assert none.feature.shape == (16,)
    with pytest.raises(CheckpointError, match="is not a checkpoint of"):
        VehicleReID(model.config, detector.checkpoint, device="cpu")
    with pytest.raises(ConfigError, match="not a re-identification config"):
        VehicleReID(*detector, device="cpu")
    with pytest.raises(ConfigError, match=r"num_parts=-1 must be an integer of at least 0"):
        VehicleReID(*model, options={"num_parts": -1}, device="cpu")


def test_vehicle_reid_raises_for_invalid_detector(model: Files, detector: Files) -> None:
    for files in (detector.config, Path(detector.config), detector[:1], (*detector, "more")):
        with pytest.raises(ConfigError, match=r"give two files, detector=\(CONFIG, CHECKPOINT\)"):
            VehicleReID(*model, detector=files, device="cpu")
    with pytest.raises(ConfigError, match=r"pgan_0\.py is not a detector config: see configs/"):
        VehicleReID(*model, detector=model, device="cpu")


def test_call_raises_for_single_image_or_invalid_batch_size(
    reid: VehicleReID, images: list[Path]
) -> None:
    for single in (images[0], str(images[0]), read_image(images[0])):
        with pytest.raises(ConfigError, match=r"write \[image\] for a single one"):
            reid(single)
    for size in (0, -1, 1.5, None, "4"):
        with pytest.raises(ConfigError, match=f"batch_size={size!r} must be a positive integer"):
            reid(images, batch_size=size)
    with pytest.raises(ConfigError, match="batch_size=0"):
        next(reid.stream(images, 0))
    stacked = np.stack([read_image(images[0])] * 2)
    assert [seen.feature.shape for seen in reid(stacked)] == [(16,), (16,)]


@pytest.mark.parametrize("device", ["nonsense", "meta", "cuda:77"])
def test_vehicle_reid_raises_for_unusable_device(model: Files, device: str) -> None:
    with pytest.raises(ConfigError, match=rf"^device '{device}' cannot be used .*: use 'cpu'$"):
        VehicleReID(*model, device=device)


def test_import_pgan_does_not_load_torch() -> None:
    code = "import sys, pgan; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert pgan.VehicleReID is VehicleReID
    with pytest.raises(AttributeError):
        _ = pgan.NoSuchThing
