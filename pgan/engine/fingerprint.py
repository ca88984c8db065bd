"""Which model it was: a digest of the weights that its test feature depends on."""

from __future__ import annotations

import hashlib

import numpy as np
from torch import nn

from pgan.engine.wrappers import bare_model


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of a re-identification model's weights and their names, in hexadecimal.

    The classifier is left out: testing needs none. Device, memory format and wrappers for several processes
    make no difference.
    """
    model = bare_model(model)
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not name.startswith("classifier."):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(tensor.cpu().numpy()).data)
    return digest.hexdigest()
