"""What a model attends to: weights of an image's parts, heat maps, and the weights of each attribute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from detector.cache import PartCache
from pgan.datasets.image_list import ImageList
from pgan.evaluation import FeatureSet
from pgan.visualization.errors import VisualizationError
from pgan.visualization.image_reader import ImageReader
from pgan.visualization.panels import AnnotatedImage

if TYPE_CHECKING:
    from pgan.models import ReIDModel

GUIDED, GLOBAL, CELLS = "$|F_p|$", "$|F_g|$", "cell weights"

_BATCH = 32


# Paths relative to the data root -> each image as the model sees it.
Viewer = Callable[[Sequence[str]], list[AnnotatedImage]]


def from_features(features: FeatureSet, reader: ImageReader) -> Viewer:
    """Return a viewer of tested images: with the weights in the features, without heat maps."""
    rows = {str(path): row for row, path in enumerate(features.img_paths)}
    weights = features.part_weights

    def view(path: str) -> AnnotatedImage:
        known = None if weights is None else weights[rows[path]]
        return reader.read(path, known, with_parts=known is not None)

    return lambda paths: list(map(view, paths))


def from_model(model: ReIDModel, reader: ImageReader, settings: Mapping[str, Any]) -> Viewer:
    """Return a viewer of any images that runs a model on them.

    The heat map is the mean over channels of the absolute part-guided map, |F_p| (PGAN, Eq. 3; Figures 8 to
    10 have heat maps of F_p, and the paper does not say how they were made). For a model without parts it is
    that of F_g. With attention on the grid, the weights of the cells are a map of their own.

    Args:
        model: A trained model.
        reader: Reads the images and, if boxes are to be drawn, their parts.
        settings: ``part_cache``, ``num_parts`` and ``pipeline`` of the config's test set.

    Returns:
        The viewer. It raises DatasetError, CacheError or ImageError if an image cannot be read or has no
        parts in the cache.
    """
    known = {key: settings.get(key) for key in ("part_cache", "pipeline")}
    known["num_parts"] = settings.get("num_parts") or 0

    def views(paths: Sequence[str]) -> list[AnnotatedImage]:
        dataset = ImageList(paths, data_root=str(reader.root), **known)
        found: dict[str, AnnotatedImage] = {}
        for start in range(0, len(dataset), _BATCH):
            rows = range(start, min(start + _BATCH, len(dataset)))
            found |= _attend(model, [dataset[row] for row in rows], reader)
        return [found[path] for path in paths]

    return views


def _attend(
    model: ReIDModel, packed: list[dict[str, Any]], reader: ImageReader
) -> dict[str, AnnotatedImage]:
    import torch

    from pgan.datasets import collate_reid

    model.eval()
    with torch.inference_mode():
        batch = model.data_preprocessor(collate_reid(packed))
        extracted = model.attend(**batch)
    if extracted.guided is None:
        raise VisualizationError("the model returned no feature map to show")
    heat = extracted.guided.float().abs().mean(1).cpu().numpy()
    weights = None if extracted.part_weights is None else extracted.part_weights.cpu().numpy()
    if weights is None:
        maps: list[dict[str, np.ndarray]] = [{GLOBAL: image} for image in heat]
    elif model.needs_parts():
        maps = [{GUIDED: image} for image in heat]
    else:
        cells = weights.reshape(heat.shape)
        maps = [{CELLS: cell, GUIDED: image} for cell, image in zip(cells, heat)]
        weights = None
    views = {}
    for row, sample in enumerate(batch["data_samples"]):
        own = None if weights is None else weights[row]
        image = reader.read(sample.img_path, own, with_parts=own is not None)
        views[sample.img_path] = replace(image, maps=maps[row])
    return views


@dataclass(frozen=True, eq=False)
class AttributeWeights:
    """How a test set's images use an attribute (PGAN, Figure 11).

    Attributes:
        name: Name of the attribute.
        selected: Fraction of the images that have such a box among their D parts.
        strongest: Fraction of the images in which such a box has the largest weight; of equal weights,
            each counts.
        weights: (n,) attention weight of every such box.
    """

    name: str
    selected: float
    strongest: float
    weights: np.ndarray


def attribute_weights(features: FeatureSet, cache: PartCache) -> list[AttributeWeights]:
    """Count how often each of the cache's classes is selected, and collect its weights.

    Args:
        features: Features of a model that uses parts, with (N, D) part weights.
        cache: The part cache that the model used.

    Raises:
        CacheError: The cache lacks an image, or holds fewer than D parts per image.
        VisualizationError: There are no weights, or they belong to another cache.
    """
    if features.part_weights is None:
        raise VisualizationError("the features have no part weights: the model uses no parts")
    selected, strongest = np.zeros((2, len(cache.classes)))
    labels: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    for path, row in zip(map(str, features.img_paths), features.part_weights):
        found = cache.parts(path, len(row)).labels
        if row[len(found) :].any():
            raise VisualizationError(
                f"{path}: the features weigh more parts than the {len(found)} in {cache.path}: they were "
                "computed with another part cache; name it with --cfg-options part_cache=FOLDER"
            )
        own = row[: len(found)]
        selected[np.unique(found)] += 1
        strongest[np.unique(found[own == own.max(initial=0)])] += 1
        labels.append(found)
        weights.append(own)
    label, weight = np.concatenate(labels), np.concatenate(weights)
    return [
        AttributeWeights(
            name,
            float(selected[i] / len(features)),
            float(strongest[i] / len(features)),
            weight[label == i],
        )
        for i, name in enumerate(cache.classes)
    ]
