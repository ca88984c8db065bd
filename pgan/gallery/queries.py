"""Turning images into queries of a gallery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pgan.gallery.embedding import Embedder
from pgan.gallery.errors import GalleryError
from pgan.gallery.part_source import PartSource
from pgan.gallery.search import Query
from pgan.gallery.store import MODEL, Entry, Gallery
from pgan.gallery.times import Time
from pgan.gallery.transaction import refuse_other_model

# Gives the model, and where the parts come from that it looks at.
Seer = Callable[[], tuple[Embedder, PartSource]]


def gallery_model(
    gallery: Gallery,
    named: Sequence[str] | None = None,
    detector: Sequence[str] | None = None,
    device: str | None = None,
) -> Embedder:
    """The model that a gallery was built with.

    Args:
        gallery: Any.
        named: Config and checkpoint; None for those that the gallery remembers.
        detector: Config and checkpoint of the part detector; None for the one that the gallery remembers.
        device: ``'cpu'``, ``'cuda'`` …; None for a GPU where there is one.

    Raises:
        GalleryError: It is another model, or the weights are not where they were.
    """
    checkpoint = gallery.model["checkpoint"]
    if not named and not Path(checkpoint).is_file():
        raise GalleryError(
            f"{gallery.path}: the weights of its model, {checkpoint}, are not there any more: say where they "
            "are with --model CONFIG CHECKPOINT"
        )
    config, checkpoint = named or (str(gallery.path / MODEL), checkpoint)
    embedder = Embedder(config, checkpoint, detector or gallery.detector, device=device)
    refuse_other_model(gallery, embedder.description)
    if not named:
        embedder.description["config"] = gallery.model["config"]
    return embedder


def make_queries(
    gallery: Gallery, files: Sequence[str], seer: Seer, progress: bool = False
) -> tuple[list[Query], dict[str, str]]:
    """Turn images into queries; what is in the gallery is taken from there, and needs no model.

    Args:
        gallery: To be searched.
        files: Absolute paths.
        seer: Is called if a file is not in the gallery.
        progress: Show a bar.

    Returns:
        The queries in the files' order, and path of each image that cannot be read -> why.

    Raises:
        GalleryError: See :meth:`Embedder.embed`.
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
        embedder, parts = seer()
        for file, found in embedder.embed(new, parts, progress):
            if isinstance(found, str):
                failed[file] = found
                continue
            labels = [] if found.parts is None else [found.classes[i] for i in found.parts.labels]
            known = Entry(file, "", "", Time(), found.parts, found.weights, labels)
            queries[file] = Query(found.feature, known)
    return [queries[file] for file in files if file in queries], failed
