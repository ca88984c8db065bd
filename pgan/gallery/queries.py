"""Turn images into queries of a gallery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pgan.gallery.errors import GalleryError
from pgan.gallery.search import Query
from pgan.gallery.store import MODEL, Entry, Gallery
from pgan.gallery.times import Time
from pgan.gallery.transaction import refuse_other_model

if TYPE_CHECKING:  # a query that is in the gallery needs no model
    from pgan.gallery.embedding import Embedder
    from pgan.gallery.part_source import PartSource

# Loads the model, and the part caches that it reads.
LoadEmbedder = Callable[[], "tuple[Embedder, PartSource]"]


def gallery_model(
    gallery: Gallery,
    files: Sequence[str] | None = None,
    detector: Sequence[str] | None = None,
    device: str | None = None,
) -> Embedder:
    """Load the model that a gallery was built with.

    Args:
        gallery: The gallery.
        files: Config and checkpoint; None for those that the gallery remembers.
        detector: Config and checkpoint of the part detector; None for those that the gallery remembers.
        device: ``'cpu'``, ``'cuda'``, …; None for a GPU if there is one.

    Raises:
        GalleryError: It is another model, or the gallery's checkpoint was moved.
    """
    from mmengine.logging import MMLogger

    from pgan.gallery.embedding import Embedder

    checkpoint = gallery.model["checkpoint"]
    if not files and not Path(checkpoint).is_file():
        raise GalleryError(
            f"{gallery.path}: the weights of its model, {checkpoint}, no longer exist: give their new place "
            "with --model CONFIG CHECKPOINT"
        )
    MMLogger.get_current_instance().setLevel("WARNING")
    config, checkpoint = files or (str(gallery.path / MODEL), checkpoint)
    embedder = Embedder(config, checkpoint, detector or gallery.detector, device=device)
    refuse_other_model(gallery, embedder.description)
    if not files:
        embedder.description["config"] = gallery.model["config"]
    return embedder


def make_queries(
    gallery: Gallery, files: Sequence[str], load_embedder: LoadEmbedder, progress: bool = False
) -> tuple[list[Query], dict[str, str]]:
    """Turn images into queries; the feature of an image in the gallery is read from there.

    Args:
        gallery: The gallery to be searched.
        files: Absolute paths.
        load_embedder: Called if a file is not in the gallery.
        progress: Show a progress bar.

    Returns:
        The queries in the files' order, and path -> reason of each image that cannot be read.

    Raises:
        GalleryError: See `Embedder.embed`.
    """
    rows = {file: gallery.find(file) for file in files}
    present = [row for row in rows.values() if row is not None]
    features = gallery.features(present)
    queries = {
        entry.path: Query(feature, entry, row)
        for row, feature, entry in zip(present, features, gallery.entries(present))
    }
    failed: dict[str, str] = {}
    if new := [file for file in rows if rows[file] is None]:
        embedder, parts = load_embedder()
        for file, result in embedder.embed(new, parts, progress):
            if isinstance(result, str):
                failed[file] = result
                continue
            labels = (
                [] if result.parts is None else [result.classes[i] for i in result.parts.labels]
            )
            entry = Entry(file, "", "", Time(), result.parts, result.weights, labels)
            queries[file] = Query(result.feature, entry)
    return [queries[file] for file in files if file in queries], failed
