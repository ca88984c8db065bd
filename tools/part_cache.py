"""Import, export, check, merge and compare part caches.

Import the PGAN authors' masks (``.npy``, ascending confidence), and export them::

    python tools/part_cache.py import-masks masks/VeRi --data-root data/VeRi --out data/VeRi_parts
    python tools/part_cache.py export-masks data/VeRi_parts --out masks/VeRi --num-parts 8

Import and export text files, one for each image, ``label score xmin ymin xmax ymax`` on each line::

    python tools/part_cache.py import-text boxes/VeRi --data-root data/VeRi --out data/VeRi_parts
    python tools/part_cache.py export-text data/VeRi_parts --out boxes/VeRi

Write the boxes of a perfect detector, and of worse ones, and compare them with the ground truth::

    python tools/part_cache.py import-fleet data/my_fleet --out data/my_fleet_true
    python tools/part_cache.py perturb data/my_fleet_parts --noise 0.25 --out data/my_fleet_noisy
    python tools/part_cache.py perturb data/my_fleet_parts --anywhere --out data/my_fleet_random
    python tools/part_cache.py compare data/my_fleet_parts data/my_fleet_noisy --truth data/my_fleet_true

Check and describe a cache, or find the differences between two::

    python tools/part_cache.py verify data/VeRi_parts
    python tools/part_cache.py stats data/VeRi_parts --plot parts.png
    python tools/part_cache.py diff data/VeRi_parts data/VeRi_parts_of_another_machine

Merge the splits of an extraction (``extract_parts.py --split``), or caches of different images::

    python tools/part_cache.py merge parts_1 parts_2 parts_3 --out parts
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from detector.cache import CacheError, PartCache
from detector.cache.check import compare, open_sound, statistics
from detector.cache.formats.authors_masks import MASK_SIZE, export_masks, import_masks
from detector.cache.formats.authors_text import export_text, import_text
from detector.cache.merge import diff, merge
from detector.cache.perturb import import_fleet, perturb
from detector.cache.writer import shown
from detector.common.files import write_atomically
from pgan.cli import ArgumentParser, report_errors
from pgan.tables import markdown_table


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for kind in ("masks", "text"):
        command = commands.add_parser(f"import-{kind}", help=f"import {kind} files")
        command.set_defaults(run=run_import)
        command.add_argument("folder", help="folder of the files: FOLDER/IMAGE_FOLDER/IMAGE")
        command.add_argument("--data-root", required=True, help="folder of the images")
        command.add_argument("--out", required=True, metavar="CACHE", help="folder of the cache")
        command.add_argument("--max-parts", type=int, help="parts kept per image (all)")
        command.add_argument(
            "--allow-missing", action="store_true", help="an image without a file has no parts"
        )
    for kind in ("masks", "text"):
        command = commands.add_parser(f"export-{kind}", help=f"export a cache as {kind} files")
        command.set_defaults(run=run_export)
        command.add_argument("cache")
        command.add_argument("--out", required=True, metavar="FOLDER", help="a new folder")
        command.add_argument("--num-parts", type=int, help="parts per image at most (all)")
        if kind == "masks":
            command.add_argument(
                "--size", type=int, nargs=2, default=MASK_SIZE, metavar=("ROWS", "COLUMNS")
            )
    command = commands.add_parser("import-fleet", help="import the ground truth of a fleet")
    command.set_defaults(run=run_import_fleet)
    command.add_argument("fleet", help="folder written by tools/make_fleet.py")
    command.add_argument("--out", required=True, metavar="CACHE", help="folder of the cache")
    command = commands.add_parser("perturb", help="copy a cache with perturbed boxes")
    command.set_defaults(run=run_perturb)
    command.add_argument("cache")
    command.add_argument("--out", required=True, metavar="CACHE", help="folder of the new cache")
    how = command.add_mutually_exclusive_group(required=True)
    how.add_argument("--noise", type=float, help="of position and size, in sides of a box")
    how.add_argument("--anywhere", action="store_true", help="boxes at random positions")
    command.add_argument("--seed", type=int, default=0, help="seed of the random numbers (0)")
    command = commands.add_parser("compare", help="print recall and precision against true boxes")
    command.set_defaults(run=run_compare)
    command.add_argument("caches", nargs="+", metavar="CACHE")
    command.add_argument("--truth", required=True, metavar="CACHE", help="a cache of true boxes")
    command.add_argument("--num-parts", type=int, default=8, help="D, boxes that count (8)")
    command.add_argument("--out", metavar="FILE", help="also write the table to this file")
    for name, run, text in (
        ("verify", run_verify, "compare the checksums and check every record"),
        ("stats", run_stats, "count parts, images and classes"),
    ):
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=run)
        command.add_argument("cache")
    command.add_argument("--plot", metavar="FILE", help="also draw a plot, .png or .svg")
    command = commands.add_parser("merge", help="merge splits of an extraction, or caches")
    command.set_defaults(run=run_merge)
    command.add_argument("folders", nargs="+", metavar="FOLDER")
    command.add_argument("--out", required=True, metavar="CACHE", help="folder of the new cache")
    command = commands.add_parser("diff", help="list the differences of two caches; 1 if any")
    command.set_defaults(run=run_diff)
    command.add_argument("caches", nargs=2, metavar="CACHE")
    if sys.argv[1:2] == ["disturb"]:
        parser.error("`disturb` has been renamed: use `perturb`")
    return parser.parse_args()


def run_import(args: argparse.Namespace) -> None:
    """Import files; print what was found and what to do next."""
    run = import_masks if args.command == "import-masks" else import_text
    cache, found = run(args.folder, args.data_root, args.out, args.max_parts, args.allow_missing)
    print(f"{args.out}: {len(cache)} images, {cache.manifest['num_parts']} parts")
    print(*(f"  {line}" for line in found), sep="\n")
    if cache.mask_size:
        size = "x".join(map(str, cache.mask_size))
        print(f"  no boxes: the cache serves feature maps of {size} cells, and no crops or pads")
    print(
        f"next: python tools/train.py CONFIG --cfg-options part_cache={args.out} num_parts=8 "
        f"data_root={args.data_root}"
    )


def run_import_fleet(args: argparse.Namespace) -> None:
    """Import the ground truth of a fleet."""
    _print_counts(import_fleet(args.fleet, args.out))


def run_perturb(args: argparse.Namespace) -> None:
    """Copy a cache with perturbed boxes."""
    _print_counts(perturb(open_sound(args.cache), args.out, args.noise, args.seed))


def _print_counts(cache: PartCache) -> None:
    print(f"{cache.path}: {len(cache)} images, {cache.manifest['num_parts']} parts")


def run_compare(args: argparse.Namespace) -> None:
    """Print recall and precision of each cache."""
    truth = open_sound(args.truth)
    rows = []
    for path in args.caches:
        found = compare(open_sound(path), truth, args.num_parts)
        rows.append([Path(path).name, *(f"{100 * share:.1f}" for share in found)])
    table = markdown_table(["boxes", "recall, %", "precision, %"], rows)
    note = f"At an IoU of 0.5 with the true boxes, whatever their label; D = {args.num_parts}."
    print(f"{table}\n\n{note}")
    if args.out:
        write_atomically(args.out, lambda file: file.write(f"{table}\n\n{note}\n".encode()))


def run_export(args: argparse.Namespace) -> None:
    """Export a cache; print how many parts the files have."""
    cache = open_sound(args.cache)
    if args.command == "export-text":
        counts = export_text(cache, args.out, args.num_parts)
    else:
        counts = export_masks(cache, args.out, args.num_parts, tuple(args.size))
    print(f"{args.out}: {counts.total()} files; {len(cache.failed)} images could not be read")
    print("  parts in a file: " + ", ".join(f"{n} in {m} files" for n, m in sorted(counts.items())))
    if args.command == "export-masks":
        print("  the authors' program needs D masks of every image, none of them without a cell")


def run_verify(args: argparse.Namespace) -> None:
    """Verify a cache; damage is an error."""
    cache = open_sound(args.cache)
    print(f"{args.cache}: sound, {len(cache)} images, {cache.manifest['num_parts']} parts")


def run_stats(args: argparse.Namespace) -> None:
    """Print the statistics, and plot them."""
    cache = open_sound(args.cache)
    print(*statistics(cache), sep="\n")
    if args.plot:
        from pgan.visualization.cache_plot import plot_cache  # loads Matplotlib

        kind = Path(args.plot).suffix.lower().lstrip(".")
        if kind not in ("png", "svg"):
            raise CacheError(f"--plot {args.plot}: give a file that ends in .png or .svg")
        plot = plot_cache(cache, kind)
        print(f"plot: {write_atomically(args.plot, lambda file: file.write(plot))}")


def run_merge(args: argparse.Namespace) -> None:
    """Merge folders into one cache."""
    _print_counts(merge(args.folders, args.out))


def run_diff(args: argparse.Namespace) -> int:
    """Print each setting and some images that differ; return 1 if parts differ."""
    found = diff(*map(open_sound, args.caches))
    for key, old, new in found.settings:
        print(f"setting {key}: {shown(old)}, {shown(new)}")
    for what, images in (
        (f"only in {args.caches[0]}", found.only_first),
        (f"only in {args.caches[1]}", found.only_second),
        ("different parts", found.changed),
    ):
        print(f"{what}: {len(images)} images")
        for image in [*images[:5], *["..."] * (len(images) > 5)]:
            print(f"  {image}")
    print(
        f"in both: {found.common} images, {found.common - len(found.changed)} of them with equal parts"
    )
    print(
        f"largest shift of a box: {found.box_shift:.3g} pixels, of a score: {found.score_shift:.3g}"
    )
    return 0 if found.same_parts else 1


@report_errors
def main() -> int:
    """Run the command."""
    args = parse_args()
    return args.run(args) or 0


if __name__ == "__main__":
    sys.exit(main())
