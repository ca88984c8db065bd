"""What a model sees: an image's parts with their weights, heat maps, and the weights of each attribute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from detector.cache import PartCache
from pgan.datasets import collate_reid
from pgan.datasets.image_list import ImageList
from pgan.evaluation import FeatureSet
from pgan.models import ReIDModel
from pgan.visualization.panels import Picture
from pgan.visualization.retrieval import Pictures, VisualizationError

GUIDED, GLOBAL, CELLS = "$|F_p|$", "$|F_g|$", "cell weights"

_BATCH = 32


@dataclass(frozen=True, eq=False)
class View:
    """An image as a model sees it.

    Attributes:
        picture: The image; of a model that looks at parts, with its named boxes and their weights.
        maps: Name -> (h, w) float32 over the cells of the whole image, row 0 on top.
    """

    picture: Picture
    maps: Mapping[str, np.ndarray] = field(default_factory=dict)


# Paths relative to the data root -> how each of them is seen.
Viewer = Callable[[Sequence[str]], list[View]]


def from_features(features: FeatureSet, pictures: Pictures) -> Viewer:
    """Views of tested images, with the weights that the test left, and without maps."""
    rows = {str(path): row for row, path in enumerate(features.img_paths)}
    weights = features.part_weights

    def view(path: str) -> View:
        known = None if weights is None else weights[rows[path]]
        return View(pictures.read(path, known, known is not None, named=True))

    return lambda paths: list(map(view, paths))


def from_model(model: ReIDModel, pictures: Pictures, settings: Mapping[str, Any]) -> Viewer:
    """Views of any images, by running a model on them.

    The heat map is the mean over channels of the absolute part-guided map, |F_p| (PGAN, Eq. 3; Figures 8 to
    10 have heat maps of F_p, and the paper does not say how they were made); of a model without parts it is
    that of F_g. On the grid, the weight of each cell is a map of its own.

    Args:
        model: A trained one.
        pictures: Where images and, if boxes are to be drawn, parts come from.
        settings: ``part_cache``, ``num_parts`` and ``pipeline`` of the config's test set.

    Raises:
        DatasetError, CacheError, ImageError: An image cannot be read, or has no parts in the cache.
    """
    known = {key: settings.get(key) for key in ("part_cache", "pipeline")}
    known["num_parts"] = settings.get("num_parts") or 0

    def views(paths: Sequence[str]) -> list[View]:
        dataset = ImageList(paths, data_root=str(pictures.root), **known)
        found: dict[str, View] = {}
        for start in range(0, len(dataset), _BATCH):
            rows = range(start, min(start + _BATCH, len(dataset)))
            found |= _attend(model, [dataset[row] for row in rows], pictures)
        return [found[path] for path in paths]

    return views


@torch.inference_mode()
def _attend(model: ReIDModel, packed: list[dict[str, Any]], pictures: Pictures) -> dict[str, View]:
    model.eval()
    batch = model.data_preprocessor(collate_reid(packed))
    extracted = model.attend(**batch)
    heat = extracted.guided.float().abs().mean(1).cpu().numpy()
    weights = extracted.part_weights
    if weights is None:
        maps = [{GLOBAL: image} for image in heat]
    elif model.needs_parts():
        maps = [{GUIDED: image} for image in heat]
    else:
        cells = weights.cpu().numpy().reshape(heat.shape)
        maps = [{CELLS: cell, GUIDED: image} for cell, image in zip(cells, heat)]
        weights = None
    views = {}
    for row, sample in enumerate(batch["data_samples"]):
        own = None if weights is None else weights[row].cpu().numpy()
        picture = pictures.read(sample.img_path, own, own is not None, named=True)
        views[sample.img_path] = View(picture, maps[row])
    return views


@dataclass(frozen=True, eq=False)
class AttributeWeights:
    """How a test set's images use an attribute (PGAN, Figure 11).

    Attributes:
        name: Of the attribute.
        selected: Share of the images that have such a box among their D.
        strongest: Share of the images in which such a box has the largest weight; equals count for each.
        weights: (n,) attention weight of every such box.
    """

    name: str
    selected: float
    strongest: float
    weights: np.ndarray


def attribute_weights(features: FeatureSet, cache: PartCache) -> list[AttributeWeights]:
    """How often each of the cache's classes is selected, and how it is weighed.

    Args:
        features: Of a model that looks at parts: with (N, D) part weights.
        cache: What it looked at.

    Raises:
        CacheError: The cache lacks an image, or holds less than D parts per image.
        VisualizationError: The weights are of another cache.
    """
    selected, strongest = np.zeros((2, len(cache.classes)))
    labels, weights = [], []
    for path, row in zip(map(str, features.img_paths), features.part_weights):
        found = cache.parts(path, len(row)).labels
        if row[len(found) :].any():
            raise VisualizationError(
                f"{path}: the features weigh more parts than the {len(found)} in {cache.path}: they are of "
                "another part cache; name theirs, --cfg-options part_cache=FOLDER"
            )
        own = row[: len(found)]
        selected[np.unique(found)] += 1
        strongest[np.unique(found[own == own.max(initial=0)])] += 1
        labels.append(found)
        weights.append(own)
    label, weight = np.concatenate(labels), np.concatenate(weights)
    return [
        AttributeWeights(
            name, selected[i] / len(features), strongest[i] / len(features), weight[label == i]
        )
        for i, name in enumerate(cache.classes)
    ]
