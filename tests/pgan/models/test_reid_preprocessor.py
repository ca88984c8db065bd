import pytest
import torch

from pgan.models import ModelError
from pgan.registry import MODELS
from pgan.structures import ReIDSample


def test_preprocessor_stacks_images_and_keeps_samples():
    preprocessor = MODELS.build({"type": "ReIDDataPreprocessor"})
    images = [torch.rand(3, 8, 6) for _ in range(3)]
    samples = [ReIDSample(part_boxes=torch.rand(2, 4), img_path="a.jpg") for _ in images]
    batch = preprocessor({"inputs": images, "data_samples": samples})
    assert torch.equal(batch["inputs"], torch.stack(images))
    assert [s.img_path for s in batch["data_samples"]] == ["a.jpg"] * 3
    assert preprocessor({"inputs": torch.stack(images)})["data_samples"] is None


def test_preprocessor_moves_part_boxes_with_images():
    preprocessor = MODELS.build({"type": "ReIDDataPreprocessor"}).to("meta")
    samples = [ReIDSample(part_boxes=torch.rand(2, 4))]
    batch = preprocessor({"inputs": [torch.rand(3, 8, 6)], "data_samples": samples})
    assert batch["inputs"].device.type == "meta"
    assert batch["data_samples"][0].part_boxes.device.type == "meta"


def test_preprocessor_refuses_images_of_two_sizes():
    preprocessor = MODELS.build({"type": "ReIDDataPreprocessor"})
    with pytest.raises(ModelError, match=r"\(3, 8, 6\) and \(3, 8, 7\).*resize"):
        preprocessor({"inputs": [torch.rand(3, 8, 7), torch.rand(3, 8, 6)]})
