"""Collate samples into a batch."""

import torch

from pgan.datasets import collate_reid
from pgan.structures import ReIDSample


def packed(*shape: int) -> dict:
    return {"inputs": torch.rand(3, *shape), "data_samples": ReIDSample(img_path="a.jpg")}


def test_collate_reid_stacks_images_of_one_size() -> None:
    samples = [packed(4, 6), packed(4, 6)]
    batch = collate_reid(samples)
    assert torch.equal(batch["inputs"], torch.stack([s["inputs"] for s in samples]))
    assert batch["data_samples"] == [s["data_samples"] for s in samples]


def test_collate_reid_keeps_images_of_different_sizes_as_list() -> None:
    batch = collate_reid([packed(4, 6), packed(6, 4)])
    assert [tuple(image.shape) for image in batch["inputs"]] == [(3, 4, 6), (3, 6, 4)]
