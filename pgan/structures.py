"""One sample of vehicle re-identification."""

from __future__ import annotations

from mmengine.structures import BaseDataElement


class ReIDSample(BaseDataElement):
    """What is known of one image, before and after the model has seen it.

    What the loader's workers make is NumPy's: a small tensor takes longer to pass between processes than to
    make. A model takes tensors in its place.

    Set by the data set:
        img_path (str): Path relative to the data root, the key of the part cache.
        role (str): ``'train'``, ``'query'``, ``'gallery'``, or ``'pool'``: a test image that the protocol
            itself makes query or gallery.
        vehicle_id (int): Identity; only equality matters.
        camera_id (int): Camera, or -1 where the data set has none.
        vehicle_label (int): Class index 0..N-1 of the identity; training samples only.
        part_boxes (ndarray): (D, 4) float32, ``x1 y1 x2 y2`` in pixels of the network's input, right and
            bottom exclusive. An empty slot is all zeros.
        part_masks (ndarray): (D, h, w) bool, in place of the boxes where the part cache was made of masks
            alone. An empty slot is all False.

    Set by the model's ``predict``:
        feature (Tensor): (C,) float32, L2-normalised.
        part_weights (Tensor): (D,) float32 attention weight of each part (PGAN only).
    """
