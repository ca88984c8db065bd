"""How fast one query is answered among many features, and what an index costs."""

from __future__ import annotations

import math

import numpy as np

_DIM, _CAMERAS = 512, 20
_IMAGES = (10, 20)  # of a vehicle, at least and at most
_QUERIES = 1000
_BLOCK = 2048  # vehicles made at a time
# Variances of PGAN's features on the synthetic fleet's test set (256 dimensions, 90 vehicles, seed 0):
# squared distances average 1.96 between vehicles, 0.72 within one, 0.13 within one and a camera.
_VEHICLE, _VIEW, _NOISE = 0.64, 0.30, 0.06


def fleet_features(
    images: int, queries: int = _QUERIES, dims: int = _DIM, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Features that lie as those of vehicles do, in shuffled order.

    Each vehicle has a centre and 10 to 20 images, each by one of 20 cameras. The feature of an image is
    its vehicle's centre, plus a view that its images by one camera share, plus noise of its own, all
    Gaussian, scaled to length 1. Their variances are 0.64, 0.30 and 0.06: squared distances are then, as
    between PGAN's features of the synthetic fleet, near 2 between two vehicles, 0.7 within one and 0.1
    within one by one camera. The variance of dimension i falls as 1/i, so that 28 dimensions of 512 count
    (their sum squared over the sum of squares); of the fleet's features 16 of 256 do.

    Args:
        images: To search.
        queries: New images, each of a vehicle drawn from those, by a camera drawn likewise.
        dims: Of a feature.
        seed: Of all that is drawn.

    Returns:
        (images, dims) and (queries, dims) float32.
    """
    rng = np.random.default_rng(seed)
    vehicles = np.repeat(np.arange(images), rng.integers(_IMAGES[0], _IMAGES[1] + 1, images))[
        :images
    ]
    count = vehicles[-1] + 1
    asked = np.sort(rng.integers(0, count, queries))
    owners = np.concatenate([vehicles, asked])
    cameras = rng.integers(0, _CAMERAS, len(owners))
    places = np.concatenate([rng.permutation(images), images + np.arange(queries)])
    features = np.empty((images + queries, dims), np.float32)
    spectrum = 1 / np.arange(1, dims + 1)
    deviation = np.sqrt(spectrum / spectrum.sum()).astype(np.float32)
    for first in range(0, count, _BLOCK):
        rows = np.flatnonzero((owners >= first) & (owners < first + _BLOCK))
        vehicle = owners[rows] - first
        shape = (_BLOCK, dims)
        block = math.sqrt(_VEHICLE) * rng.standard_normal(shape, np.float32)[vehicle]
        seen, view = np.unique(vehicle * _CAMERAS + cameras[rows], return_inverse=True)
        block += math.sqrt(_VIEW) * rng.standard_normal((len(seen), dims), np.float32)[view]
        block += math.sqrt(_NOISE) * rng.standard_normal(block.shape, np.float32)
        block *= deviation
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        features[places[rows]] = block
    return features[:images], features[images:]
