"""Pictures are written whole, in the right colours, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.cache.drawing import write_picture
from detector.common.images import read_image


def test_a_picture_is_read_back_as_it_was(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (6, 9, 3), dtype=np.uint8)
    file = write_picture(tmp_path / "new" / "a.png", image)
    np.testing.assert_array_equal(read_image(file), image)


def test_what_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(IsADirectoryError):
        write_picture(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
