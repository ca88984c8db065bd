"""Features of a validation split, by a gallery's own model, to calibrate its distances on."""

from __future__ import annotations

import os
from dataclasses import replace

from mmengine.config import Config

from pgan.evaluation import FeatureSet, load_features
from pgan.gallery.embedding import Embedder
from pgan.gallery.errors import GalleryError
from pgan.gallery.images import without_parts
from pgan.gallery.part_source import PartSource
from pgan.gallery.store import Gallery

_MEND = "calibrate on features of the gallery's own model"


def features_of_file(gallery: Gallery, path: str) -> FeatureSet:
    """Features that ``tools/test.py --dump`` wrote.

    Raises:
        FeatureSetError: The file cannot be read.
        GalleryError: They are of another model than the gallery's, as far as the file tells, or projected.
    """
    features = load_features(path)
    sizes = features.features.shape[1], gallery.dimensions
    if sizes[0] != sizes[1] or features.projection:
        words = f", projected by {features.projection}" * bool(features.projection)
        raise GalleryError(
            f"{path} has features of {sizes[0]} dimensions{words} and {gallery.path} of {sizes[1]}: {_MEND}"
        )
    if features.model not in ("", gallery.model["facts"]["its weights"]):
        raise GalleryError(f"{path} has features by another model than {gallery.path}: {_MEND}")
    return features


def features_of_config(
    embedder: Embedder, config: Config, parts: PartSource, progress: bool = False
) -> FeatureSet:
    """Features of the test set that a re-identification config names, all roles, as its test gives them.

    Args:
        embedder: The gallery's model.
        config: Of a re-identification model; only its test set matters.
        parts: Where part boxes come from.
        progress: Show a bar.

    Raises:
        DatasetError: See there.
        GalleryError: An image cannot be read or its parts are nowhere.
    """
    dataset = without_parts(config.test_dataloader.dataset)
    records = [dict(dataset.get_data_info(row)) for row in range(len(dataset))]
    files = {os.path.abspath(record["image_file"]): None for record in records}
    features = {}
    for file, found in embedder.embed(list(files), parts, progress):
        if isinstance(found, str):
            raise GalleryError(
                f"{file}: {found}: a distance is calibrated on all images of a split"
            )
        features[file] = found.feature
    for record in records:
        record["feature"] = features[os.path.abspath(record["image_file"])]
        record["part_weights"] = None
    known = {name: str(dataset.metainfo.get(name, "")) for name in ("protocol", "dataset")}
    return replace(FeatureSet.from_records(records), **known)
