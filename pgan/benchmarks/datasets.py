"""How fast a data set of VERI-Wild's size is read and checked."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pgan.benchmarks.timing import paired_medians
from pgan.datasets.check import check_config
from pgan.datasets.disk import missing_images
from pgan.datasets.veriwild import VERIWild


def reading_benchmark(
    images: int = 417_000, vehicles: int = 40_671, repeats: int = 3
) -> dict[str, float | int]:
    """Read the lists of a made-up data set in VERI-Wild's layout, and check it without decoding.

    The files are empty and lie in a temporary folder; three quarters of the vehicles are to train on.

    Args:
        images: Files, and lines of the lists.
        vehicles: Folders.
        repeats: Timed rounds; medians are taken.

    Returns:
        ``list_seconds`` to read all lists, ``check_seconds`` for what ``tools/check_dataset.py`` does,
        ``speedup`` of looking for the files over asking for each of them, ``images`` and ``vehicles``.
    """
    with tempfile.TemporaryDirectory(prefix="pgan_reading_") as folder:
        names = _make(Path(folder), images, vehicles)
        paths = [f"images/{name}.jpg" for name in names]
        splits = [
            VERIWild(folder, split=split, test_size=10000, lazy_init=True)
            for split in ("train", "test")
        ]
        loaders = {
            f"{split}_dataloader": {
                "dataset": {
                    "type": "VERIWild",
                    "data_root": folder,
                    "split": split,
                    "test_size": 10000,
                }
            }
            for split in ("train", "test")
        }
        seconds = paired_medians(
            {
                "lists": lambda: [d.read_split(role) for d in splits for role in d.roles()],
                "check": lambda: check_config(loaders),
                "ours": lambda: missing_images(folder, paths),
                "literal": lambda: [path for path in paths if not (Path(folder) / path).is_file()],
            },
            repeats=repeats,
        )
    return {
        "list_seconds": seconds["lists"],
        "check_seconds": seconds["check"],
        "speedup": seconds["literal"] / seconds["ours"],
        "images": images,
        "vehicles": vehicles,
    }


def _make(root: Path, images: int, vehicles: int) -> list[str]:
    """Write lists and empty files; returns vehicle/image of each."""
    names = [f"{number % vehicles:05d}/{number:06d}" for number in range(images)]
    tested = vehicles * 3 // 4
    lists: dict[str, list[str]] = {"train_list": [], "test_10000_query": [], "test_10000": []}
    for number, name in enumerate(names):
        if number % vehicles < tested:
            lists["train_list"].append(name)
        else:
            lists["test_10000_query" if number < vehicles else "test_10000"].append(name)
    lists["vehicle_info"] = ["id/image;Camera ID;Time;Model;Type;Color"]
    lists["vehicle_info"] += [
        f"{name};{number % 174};2018-03-11 09:12:01;Volkswagen;sedan;white"
        for number, name in enumerate(names)
    ]
    (root / "train_test_split").mkdir()
    for name, lines in lists.items():
        (root / "train_test_split" / f"{name}.txt").write_text("\n".join(lines))
    for number in range(vehicles):
        (root / "images" / f"{number:05d}").mkdir(parents=True)
    for name in names:
        (root / "images" / f"{name}.jpg").touch()
    return names
