"""PK sampling."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pgan.datasets import DatasetError, PKSampler


def make(counts: list[int], **kwargs) -> PKSampler:
    labels = np.repeat(np.arange(len(counts)), counts)
    return PKSampler(SimpleNamespace(vehicle_labels=labels, data_root="here"), **kwargs), labels


def test_pk_sampler_draws_p_identities_with_k_images() -> None:
    sampler, labels = make([3, 9, 4, 5, 12, 7, 1], identities=3, images=4, seed=1)
    indices = list(sampler)
    assert len(indices) == len(sampler) == 41 // 12 * 12
    for batch in np.array(indices).reshape(-1, 12):
        found, counts = np.unique(labels[batch], return_counts=True)
        assert (len(found), set(counts)) == (3, {4})


def test_pk_sampler_repeats_images_only_of_small_identities() -> None:
    sampler, labels = make([4, 4, 2], identities=3, images=4, seed=0)
    batch = list(sampler)
    for label, distinct in ((0, 4), (1, 4), (2, 2)):
        assert len({i for i in batch if labels[i] == label}) == distinct


def test_every_identity_is_sampled_before_any_is_repeated() -> None:
    sampler, labels = make([8] * 6, identities=2, images=4, seed=3)
    order = labels[list(sampler)].reshape(-1, 4)[:, 0]
    assert sorted(order[:6]) == list(range(6))
    assert sorted(order[6:12]) == list(range(6))


def test_pk_sampler_depends_only_on_seed_and_epoch() -> None:
    first, _ = make([5] * 8, identities=4, images=2, seed=7)
    again, _ = make([5] * 8, identities=4, images=2, seed=7)
    start = list(first)
    assert start == list(again) == list(first)
    first.set_epoch(1)
    assert list(first) != start


def test_pk_sampler_splits_batches_between_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = [6, 3, 5, 9, 1, 6, 7, 4]
    whole = np.array(list(make(counts, identities=4, images=2, seed=5)[0])).reshape(-1, 8)
    halves = []
    for rank in range(2):
        monkeypatch.setattr("pgan.datasets.samplers.get_dist_info", lambda rank=rank: (rank, 2))
        sampler, labels = make(counts, identities=2, images=2, seed=5)
        halves.append(np.array(list(sampler)).reshape(-1, 4))
        assert all(len(set(labels[batch])) == 2 for batch in halves[-1])
    assert np.array_equal(np.concatenate(halves, axis=1), whole)


def test_pk_sampler_refuses_too_few_identities_for_all_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pgan.datasets.samplers.get_dist_info", lambda: (0, 2))
    with pytest.raises(DatasetError, match=r"3 training vehicles .* in each of 2 processes"):
        make([5, 5, 5], identities=2)


def test_pk_sampler_refuses_too_few_identities() -> None:
    with pytest.raises(DatasetError, match=r"3 training vehicles are too few .*identities lower"):
        make([5, 5, 5], identities=4)
