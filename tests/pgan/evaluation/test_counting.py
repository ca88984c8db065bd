import numpy as np
import pytest
import torch

from pgan.evaluation import counting
from pgan.evaluation.counting import count_by_cells, count_by_sorting, count_within

TINY = float(np.finfo(np.float32).smallest_subnormal)
HUGE = float(np.finfo(np.float32).max / 4)


def random_case(seed):
    rng = np.random.default_rng(seed)
    rows, columns, bounds = rng.integers(1, 7), rng.integers(1, 400), rng.integers(1, 30)
    dtype = [np.float32, np.float64][seed % 2]
    values = [
        lambda: rng.random((rows, columns)),
        lambda: rng.integers(0, 4, (rows, columns)),
        lambda: rng.lognormal(0, 9, (rows, columns)) * rng.choice([-1, 1], (rows, columns)),
        lambda: 1 + rng.integers(0, 9, (rows, columns)) * 2.0**-23,
        lambda: rng.choice([0, TINY, 3 * TINY, 1e-30, 1, HUGE, -HUGE], (rows, columns)),
    ][seed % 5]().astype(dtype)
    # Most bounds are among the values, as the distances of matches are.
    limits = np.take_along_axis(values, rng.integers(0, columns, (rows, bounds)), axis=1)
    strange = rng.random(limits.shape) < 0.2
    limits[strange] = np.nextafter(limits[strange], dtype(HUGE))
    return values, np.sort(limits, axis=1)


@pytest.mark.parametrize("seed", range(200))
def test_count_by_cells_and_by_sorting_equal_comparison(seed):
    values, bounds = random_case(seed)
    expected = (values[:, None] <= bounds[:, :, None]).sum(2)
    np.testing.assert_array_equal(count_by_cells(values, bounds), expected)
    sorted_way = count_by_sorting(torch.from_numpy(values), torch.from_numpy(bounds))
    np.testing.assert_array_equal(sorted_way, expected)


@pytest.mark.parametrize("block", [1, 500, 10**6])
def test_count_within_is_independent_of_the_block_size(monkeypatch, block):
    rng = np.random.default_rng(0)
    values = rng.random((2100, 30), dtype=np.float32)  # more rows than a block may have
    bounds = np.sort(values[:, :3], axis=1)
    monkeypatch.setattr(counting, "_BLOCK_VALUES", block)
    counts = count_within(torch.from_numpy(values), torch.from_numpy(bounds))
    np.testing.assert_array_equal(counts, (values[:, None] <= bounds[:, :, None]).sum(2))


def test_count_by_cells_with_bounds_that_are_not_values():
    values, bounds = np.array([[1.0, 2, 3], [7, 8, 9]]), np.array([[0.5, 2.5], [9.5, 9.6]])
    assert count_by_cells(values, bounds).tolist() == [[0, 2], [3, 3]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_count_within_on_a_gpu_equals_the_cpu():
    values, bounds = (torch.from_numpy(array) for array in random_case(0))
    np.testing.assert_array_equal(count_within(values.cuda(), bounds), count_within(values, bounds))
