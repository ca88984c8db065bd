"""Extracting a part cache from images: boxes, unreadable images, resuming, refusals, the command."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from detector.cache import CacheError, PartCache
from detector.cache.drawing import draw_sheet
from detector.cache.layout import FILES
from detector.common.errors import DetectorError
from detector.common.images import list_images
from detector.extraction import extractor
from detector.extraction.extractor import extract
from detector.extraction.loading import load_detector
from detector.extraction.part_detector import PartDetector
from pgan.apis import load_config
from pgan.tools.extract_parts import main
from tests.detector.common.test_bad_images import bad_images, unusual_images
from tests.detector.parts_samples import paint

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
SIZES = [(64, 64), (50, 90), (33, 20)]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Eleven images of three sizes in two folders, two of them unreadable."""
    folder = tmp_path / "my images"
    for index in range(11):
        file = folder / f"camera {index % 2}" / f"{index:02d}.PNG"
        file.parent.mkdir(parents=True, exist_ok=True)
        height, width = SIZES[index % 3]
        cv2.imwrite(str(file), cv2.resize(paint(index)[0], (width, height)))
    (folder / "camera 0/02.PNG").write_bytes(b"")
    (folder / "camera 1/05.PNG").write_bytes(b"no image")
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture
def detector(tiny_config: Config, checkpoint: Path) -> PartDetector:
    return load_detector(tiny_config, checkpoint, max_parts=6, device="cpu")


def run(detector: PartDetector, images: Path, out: Path, **kwargs: object) -> PartCache:
    settings = {"batch_size": 2, "workers": 0, "shard_size": 4, "progress": False} | kwargs
    return extract(detector, images, list_images(images), out, **settings).cache


def contents(path: Path) -> dict[str, bytes]:
    return {name: (path / name).read_bytes() for name in (*FILES, "manifest.json")}


def test_list_images_finds_images_at_any_depth_in_order(images: Path, tmp_path: Path) -> None:
    names = list_images(images)
    assert len(names) == 11
    assert names == sorted(names)
    assert names[0] == "camera 0/00.PNG"
    with pytest.raises(DetectorError, match="no such folder"):
        list_images(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DetectorError, match="has no images"):
        list_images(tmp_path / "empty")


def test_extract_writes_boxes_in_pixels_of_the_stored_image(
    detector: PartDetector, images: Path, tmp_path: Path
) -> None:
    cache = run(detector, images, tmp_path / "cache")
    assert cache.classes == ("wheel", "plate")
    assert cache.max_parts == 6
    for index in (0, 1, 3, 4):
        name = f"camera {index % 2}/{index:02d}.PNG"
        parts = cache.parts(name)
        height, width = SIZES[index % 3]
        assert parts.image_size == (height, width)
        assert len(parts) == 6
        assert (np.diff(parts.scores) <= 0).all()
        assert (parts.boxes[:, :2] >= 0).all()
        assert (parts.boxes[:, 2:] <= (width, height)).all()
    # The network sees 64 x 64 pixels for every image: scale its boxes by hand.
    item = detector_input(images / "camera 1/01.PNG")
    raw = detector.model.predict(
        detector.model.data_preprocessor(item)["inputs"], item["data_samples"], rescale=False
    )[0].pred_instances
    scaled = raw.bboxes.numpy() * np.array([90, 50, 90, 50], np.float32) / 64
    np.testing.assert_allclose(cache.parts("camera 1/01.PNG").boxes, scaled, atol=1e-3)


def detector_input(file: Path) -> dict:
    from mmdet.structures import DetDataSample

    image = cv2.resize(cv2.imread(str(file))[..., ::-1], (64, 64))
    meta = {"img_shape": (64, 64), "ori_shape": (64, 64), "scale_factor": (1.0, 1.0)}
    tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return {"inputs": [tensor], "data_samples": [DetDataSample(metainfo=meta)]}


def test_extract_lists_unreadable_images_with_their_reason(
    detector: PartDetector, images: Path, tmp_path: Path
) -> None:
    cache = run(detector, images, tmp_path / "cache")
    assert cache.failed == {
        "camera 0/02.PNG": "the file is empty",
        "camera 1/05.PNG": "is not an image, or is damaged",
    }
    assert cache.manifest["num_failed"] == 2
    with pytest.raises(CacheError, match="could not be read"):
        cache.check(list_images(images), 6)
    cache.check(set(list_images(images)) - cache.failed.keys(), 6)


def test_extract_stops_at_more_unreadable_images_than_max_bad(
    detector: PartDetector, images: Path, tmp_path: Path
) -> None:
    run(detector, images, tmp_path / "any")
    with pytest.raises(
        DetectorError, match=r"2 images could not be read.*05\.PNG: is not an image"
    ):
        run(detector, images, tmp_path / "some", max_bad=1)
    with pytest.raises(DetectorError, match="--max-bad -1 must be 0 or more"):
        run(detector, images, tmp_path / "none", max_bad=-1)
    assert not (tmp_path / "none").exists()
    # A resumed run also counts the unreadable images of finished shards.
    with pytest.raises(DetectorError, match=r"2 images .* --max-bad 1"):
        run(detector, images, tmp_path / "some", max_bad=1)
    assert run(detector, images, tmp_path / "some", max_bad=2).manifest["num_failed"] == 2
    assert contents(tmp_path / "any") == contents(tmp_path / "some")


@pytest.mark.parametrize("odd", [False, True])
def test_extract_reads_every_odd_image_and_lists_every_bad_one(
    detector: PartDetector, tmp_path: Path, odd: bool
) -> None:
    files = unusual_images() if odd else bad_images()
    for name, (data, _) in files.items():
        (tmp_path / name).write_bytes(data)
    cv2.imwrite(str(tmp_path / "dot.png"), np.zeros((1, 1, 3), np.uint8))
    cache = run(detector, tmp_path, tmp_path / "cache")
    assert set(cache.failed) == (set() if odd else set(files))
    for name, reason in cache.failed.items():
        assert files[name][1] in reason
    for name in cache.images():
        assert name in cache.failed or len(cache.parts(name)) > 0
    assert all((tmp_path / name).read_bytes() == data for name, (data, _) in files.items())


def test_extract_does_not_count_an_image_without_parts_as_failed(
    tiny_config: Config, checkpoint: Path, images: Path, tmp_path: Path
) -> None:
    strict = load_detector(tiny_config, checkpoint, 6, score_threshold=0.999, device="cpu")
    cache = run(strict, images, tmp_path / "cache")
    assert cache.manifest["num_without_parts"] == 9
    assert len(cache.parts("camera 0/00.PNG")) == 0
    assert not cache.masks("camera 0/00.PNG", 6, (4, 4)).any()
    cache.check(["camera 0/00.PNG"], 6)


def test_smaller_max_parts_keeps_the_most_confident_parts(
    tiny_config: Config, checkpoint: Path, detector: PartDetector, images: Path, tmp_path: Path
) -> None:
    many = run(detector, images, tmp_path / "many")
    few = run(load_detector(tiny_config, checkpoint, 2, device="cpu"), images, tmp_path / "few")
    for name in set(list_images(images)) - many.failed.keys():
        np.testing.assert_array_equal(many.parts(name, 2).boxes, few.parts(name).boxes)


def test_workers_do_not_change_the_cache(
    detector: PartDetector, images: Path, tmp_path: Path
) -> None:
    run(detector, images, tmp_path / "here")
    run(detector, images, tmp_path / "workers", workers=2)
    assert contents(tmp_path / "here") == contents(tmp_path / "workers")


@pytest.mark.parametrize("workers", [0, 1])
def test_worker_threads_do_not_change_the_cache(
    detector: PartDetector,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
) -> None:
    for threads in (1, 3):
        monkeypatch.setattr(extractor, "count_worker_threads", lambda _, n=threads: n)
        run(detector, images, tmp_path / f"{threads}", workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


@pytest.mark.parametrize("batches", [0, 1, 2, 4])
def test_a_stopped_extraction_resumes_to_the_same_cache(
    detector: PartDetector,
    images: Path,
    tmp_path: Path,
    batches: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(detector, images, tmp_path / "whole")
    detect, calls = PartDetector.detect, []

    def stopped(self: PartDetector, batch: list) -> list:
        if len(calls) == batches:
            raise KeyboardInterrupt
        calls.append(batch)
        return detect(self, batch)

    monkeypatch.setattr(PartDetector, "detect", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(detector, images, tmp_path / "stopped")
    monkeypatch.undo()
    with pytest.raises(CacheError, match="has not finished"):
        PartCache.open(tmp_path / "stopped")
    settings = {"batch_size": 2, "workers": 0, "progress": False}
    done = extract(detector, images, list_images(images), tmp_path / "stopped", **settings)
    assert done.processed == 11 - batches // 2 * 4
    assert contents(tmp_path / "whole") == contents(tmp_path / "stopped")


def test_extract_skips_a_finished_cache(
    detector: PartDetector, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(detector, images, tmp_path / "cache")
    monkeypatch.setattr(PartDetector, "detect", lambda *_: pytest.fail("the detector ran again"))
    run(detector, images, tmp_path / "cache")


def test_extract_refuses_a_cache_of_other_weights_or_settings(
    tiny_config: Config, checkpoint: Path, detector: PartDetector, images: Path, tmp_path: Path
) -> None:
    run(detector, images, tmp_path / "cache")
    other = load_detector(tiny_config, checkpoint, 5, 0.1, device="cpu")
    with pytest.raises(CacheError, match=r"max_parts is 6 there, 5 now.*score_threshold is 0.0"):
        run(other, images, tmp_path / "cache")
    state = torch.load(checkpoint, weights_only=True)
    state["state_dict"]["backbone.conv1.weight"] += 1
    torch.save(state, checkpoint)
    other = load_detector(tiny_config, checkpoint, 6, device="cpu")
    with pytest.raises(CacheError, match="weights_sha256 is"):
        run(other, images, tmp_path / "cache")


def test_load_detector_and_extract_refuse_values_out_of_range(
    tiny_config: Config,
    checkpoint: Path,
    detector: PartDetector,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(extractor.torch.cuda, "is_available", lambda: False)
    for settings, words in [
        ({"checkpoint": tmp_path / "none.pth"}, "no such checkpoint"),
        ({"max_parts": 0}, "at least 1 and at most 32767, not 0"),
        ({"max_parts": 2**15}, "at least 1 and at most 32767, not 32768"),
        ({"score_threshold": math.nan}, "score_threshold must be a number such as 0.5, not nan"),
        ({"score_threshold": math.inf}, "score_threshold must be a number such as 0.5, not inf"),
        ({"device": "cuda"}, "there is no GPU"),
        ({"device": "nonsense"}, "device 'nonsense' cannot be used .*: use 'cpu'"),
        ({"device": "meta"}, "device 'meta' cannot be used .*: use 'cpu'"),
        ({"amp": True}, "half precision needs a GPU"),
    ]:
        arguments = {"checkpoint": checkpoint, "max_parts": 6, "device": "cpu"} | settings
        with pytest.raises(DetectorError, match=words):
            load_detector(tiny_config, **arguments)
    for name, value in [("batch", -1), ("batch", 0), ("shard", 0), ("shard", 2**31)]:
        with pytest.raises(DetectorError, match=f"--{name}-size {value} "):
            extract(detector, tmp_path, ["a.png"], tmp_path / "cache", **{f"{name}_size": value})


def test_draw_sheet_shows_the_parts(detector: PartDetector, images: Path, tmp_path: Path) -> None:
    cache = run(detector, images, tmp_path / "cache")
    names = ["camera 0/00.PNG", "camera 1/01.PNG", "camera 1/03.PNG"]
    file = draw_sheet(images, cache, names, tmp_path / "sheet.png", columns=2)
    sheet = cv2.imread(str(file))
    assert sheet.shape == (640, 640, 3)
    colourful = np.ptp(sheet.astype(int), axis=2) > 100
    assert colourful[:320, :320].any()


# --- the command -----------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the tool in this process: a new process would import torch and mmdet for seconds."""
    monkeypatch.setattr(extractor.torch.cuda, "is_available", lambda: False)

    def run_tool(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["extract_parts.py", *map(str, arguments)])
        return main()

    return run_tool


def test_command_extracts_a_folder_of_images(
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tiny_config: Config,
    checkpoint: Path,
    images: Path,
    tmp_path: Path,
) -> None:
    config, out = tmp_path / "tiny.py", images / "cache"  # its figure is not one of the images
    tiny_config.dump(config)
    arguments = [config, checkpoint, "--images", images, "--out", out, "--max-parts", 3]
    assert command(*arguments, "--draw", 2) == 0
    printed = capsys.readouterr().out
    assert "11 images, 3.0 parts per image on average" in printed
    assert "without parts: 0, unreadable: 2" in printed
    assert "camera 0/02.PNG: the file is empty" in printed
    assert (out / "parts.jpg").is_file()
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["config"] == load_config(str(config)).pretty_text
    assert manifest["identity"]["weights_sha256"] == sha256(checkpoint.read_bytes()).hexdigest()
    assert command(*arguments) == 0
    assert "all images were already extracted" in capsys.readouterr().out
    (images / "cache of mine.PNG").touch()
    assert command(*arguments) == 1
    assert "of other images: 11 there, 12 now" in capsys.readouterr().err


def test_command_extracts_train_query_and_gallery_of_a_reid_config(
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tiny_config: Config,
    checkpoint: Path,
    images: Path,
    tmp_path: Path,
) -> None:
    config, reid, out = tmp_path / "tiny.py", tmp_path / "reid.py", tmp_path / "cache"
    tiny_config.dump(config)
    splits = {0: "train", 1: "train", 3: "query", 4: "gallery"}
    rows = [f"camera {i % 2}/{i:02d}.PNG,v{i % 3},{i},{split}" for i, split in splits.items()]
    header = "path,vehicle_id,camera_id,split"
    (images / "index.csv").write_text("\n".join([header, *rows]))
    dataset = {"type": "CSVDataset", "index": "index.csv"}
    loaders = {
        f"{split}_dataloader": {"dataset": dataset | {"split": split}}
        for split in ("train", "test")
    }
    Config(
        {
            "default_scope": "pgan",
            "custom_imports": {"imports": ["pgan.datasets"], "allow_failed_imports": False},
            "data_root": "not here",
            **loaders,
        }
    ).dump(reid)
    arguments = [config, checkpoint, "--dataset", reid, "--out", out]
    assert command(*arguments) == 1
    assert "data_root='not here' is not a folder" in capsys.readouterr().err
    assert command(*arguments, "--data-root", images) == 0
    assert f"next: python tools/train.py {reid}" in capsys.readouterr().out
    cache = PartCache.open(out)
    assert list(cache.images()) == sorted(row.split(",")[0] for row in rows)
    cache.check(cache.images(), 16)


def test_command_reports_a_mistake_in_one_sentence(
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    checkpoint: Path,
    images: Path,
    tmp_path: Path,
) -> None:
    ssdlite = ROOT / "configs/detector/ssdlite_mobilenetv2_parts.py"
    reid = tmp_path / "reid.py"
    reid.write_text("model = dict(type='PGAN')")
    folder = ["--images", images, "--out", tmp_path / "cache"]
    for arguments, words in [
        ([ssdlite, checkpoint, *folder], f"{checkpoint} belongs to another model"),
        ([reid, checkpoint, *folder], "is not a detector config"),
        (
            [ssdlite, checkpoint, "--dataset", ssdlite, *folder[2:]],
            "not a re-identification config",
        ),
        ([tmp_path / "x.py", checkpoint, *folder], "x.py: no such config"),
        ([ssdlite, checkpoint, *folder, "--split", "4"], "--split 4: give i/N"),
        ([ssdlite, checkpoint, *folder, "--shard", "1/4"], "give --split 1/4"),
    ]:
        assert command(*arguments) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: ")
        assert words in error
    assert not (tmp_path / "cache").exists()
