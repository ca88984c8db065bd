"""The images from which parts are extracted."""

from __future__ import annotations

from pathlib import Path

from pgan.apis import load_config
from pgan.datasets.listing import images_of_config
from tests.pgan.datasets.layouts import draw, make_vehicleid, make_veri, write

CONFIGS = Path(__file__).resolve().parents[3] / "configs/pgan"


def test_images_of_config_covers_existing_test_lists(tmp_path: Path) -> None:
    root = make_vehicleid(tmp_path)
    write(root / "train_test_split" / "test_list_2400.txt", ["0000009 5", "0000042 6"])
    draw(root, ["image/0000042.jpg"])
    config = CONFIGS / "pgan_r50_1xb64-130e_vehicleid-224x224.py"
    found, images = images_of_config(load_config(str(config), {"data_root": str(root)}))
    assert found == str(root)
    assert images == [f"image/{number:07}.jpg" for number in (*range(1, 10), 42)]


def test_images_of_config_lists_each_image_once(tmp_path: Path) -> None:
    root = make_veri(tmp_path)
    config = CONFIGS / "pgan_r50_1xb64-130e_veri776-224x224.py"
    _, images = images_of_config(load_config(str(config), {"data_root": str(root)}))
    assert sorted(images) == sorted(p.relative_to(root).as_posix() for p in root.rglob("*.jpg"))
