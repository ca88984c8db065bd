"""Part annotations of vehicles as an mmdet data set, and how its images are loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mmcv
from mmcv.transforms import BaseTransform
from mmdet.datasets import BaseDetDataset
from mmdet.registry import DATASETS, TRANSFORMS
from mmengine.logging import print_log

from detector.common.attributes import ATTRIBUTES, VEHICLE_STYLES, canonical_label
from detector.common.errors import DetectorError
from detector.common.images import (
    IMAGE_SUFFIXES,
    ImageError,
    checked_size,
    read_image,
    read_reduced,
)
from detector.model.voc_xml import AnnotationError, LabelledBox, VOCAnnotation, read_annotation


@TRANSFORMS.register_module()
class LoadVehicleImage(BaseTransform):
    """Load ``img`` as (H, W, 3) uint8 RGB, upright, by the reader that every stage uses.

    The model's data preprocessor needs ``bgr_to_rgb=False``.

    Args:
        size: Height and width to resize to, in place of ``Resize(scale=(width, height), keep_ratio=False)``
            after this: a JPEG is then decoded at a half, a quarter or an eighth of its size where that leaves
            enough, see `detector.common.images.read_reduced`. Boxes that are found stay in pixels of the stored
            image; those to train on would not follow, so it is for tests and extraction alone. None, the
            default, decodes and keeps the whole image: with a size, boxes move a little, and a part cache
            knows by its pipeline which of the two it was made with.

    Raises:
        DetectorError: ``size`` is no size.
    """

    def __init__(self, size: Sequence[int] | None = None) -> None:
        self.size = None if size is None else checked_size(size)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``img``, ``img_shape`` and ``ori_shape`` for ``img_path``, and with a size ``scale_factor``.

        Raises:
            ImageError: The file cannot be read.
        """
        image, reduction, results["ori_shape"] = read_reduced(results["img_path"], self.size)
        if self.size is not None:
            image, *scales = mmcv.imresize(image, self.size[::-1], return_scale=True)
            results["scale_factor"] = tuple(scale / reduction for scale in scales)
        results["img"] = image
        results["img_shape"] = image.shape[:2]
        return results


def reduced_pipeline(pipeline: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A test pipeline in which `LoadVehicleImage` and the ``Resize`` after it are one, with reduced decoding.

    Raises:
        DetectorError: These two are not its first, or ``Resize`` keeps the ratio of the sides.
    """
    load, resize = [*pipeline[:2], {}, {}][:2]
    known = {"type", "scale", "keep_ratio"}
    kinds = (load.get("type"), resize.get("type"))
    if kinds != ("LoadVehicleImage", "Resize") or resize.get("keep_ratio") or set(resize) - known:
        raise DetectorError(
            "to decode at a reduced scale, the test pipeline has to begin with LoadVehicleImage and "
            "Resize(scale=..., keep_ratio=False)"
        )
    return [{**load, "size": tuple(resize["scale"][::-1])}, *pipeline[2:]]


@DATASETS.register_module()
class VehiclePartsDataset(BaseDetDataset):
    """Pascal VOC part annotations with the sixteen attributes of Table I.

    ::

        data_root
        ├── JPEGImages/NAME.jpg          any image suffix
        ├── Annotations/NAME.xml
        └── ImageSets/Main/train.txt     one NAME a line

    Rules:
        - The image of ``NAME.xml`` is ``NAME`` with any image suffix, whatever ``<filename>`` says;
          only where there is none, it is the file that ``<filename>`` names.
        - The image's own size counts, after EXIF orientation, not ``<size>``.
        - Boxes are 1-based with both ends inclusive, as VOC defines; they become float pixels from
          0, right and bottom exclusive, clipped to the image.
        - A box with xmax <= xmin or ymax <= ymin, or wholly outside the image, makes SSD's loss
          NaN or means nothing: it is refused, or with ``bad_boxes='drop'`` left out and counted.
        - The five vehicle styles are left out and counted; so are attributes not in ``classes``.
          Any other label is refused: spell it in ``label_map``.
        - Images without a part are left out of training, where SSD's mining draws nothing from
          them, and kept in testing. A data set without a single image or box is refused.

    Args:
        ann_file: List of names, relative to ``data_root``; '' for every file in Annotations.
        data_prefix: Folders of images and annotations, relative to ``data_root``.
        label_map: Further spellings, e.g. ``{'license-plate': 'plate'}``.
        bad_boxes: 'refuse' or 'drop'.
        kwargs: As `mmdet.datasets.BaseDetDataset`; ``metainfo=dict(classes=...)`` selects
            attributes.

    Raises:
        AnnotationError: Naming the file and the fault.
    """

    METAINFO = {"classes": ATTRIBUTES, "dataset_type": "VehicleParts"}

    def __init__(
        self,
        *,
        ann_file: str = "",
        data_prefix: Mapping[str, str] | None = None,
        label_map: Mapping[str, str] | None = None,
        bad_boxes: str = "refuse",
        **kwargs: Any,
    ) -> None:
        if bad_boxes not in ("refuse", "drop"):
            raise AnnotationError(f"bad_boxes is 'refuse' or 'drop', not {bad_boxes!r}")
        for spelling, label in (label_map or {}).items():
            if canonical_label(label) is None:
                raise AnnotationError(f"label_map: {spelling!r} is mapped to {label!r}, unknown")
        self.label_map = dict(label_map or {})
        self.bad_boxes = bad_boxes
        prefix = {"img": "JPEGImages", "ann": "Annotations"} | dict(data_prefix or {})
        super().__init__(ann_file=ann_file, data_prefix=prefix, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read and check every annotation and image; one line of the log says what was found."""
        unknown = set(self.metainfo["classes"]) - set(ATTRIBUTES)
        if unknown:
            raise AnnotationError(f"classes {sorted(unknown)} are none of {ATTRIBUTES}")
        self._notes: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        folder = Path(self.data_prefix["ann"])
        files = [folder / f"{name}.xml" for name in self._names(folder)]
        annotations = [read_annotation(file) for file in files]
        self._images_by_stem = self._list_images()
        paths = [self._image_of(file, note) for file, note in zip(files, annotations)]
        with ThreadPoolExecutor() as pool:
            # The whole image is decoded: a damaged one is met here and not in the tenth epoch.
            sizes = list(pool.map(_size_or_error, paths))
        data = []
        for index, (file, note, path, size) in enumerate(zip(files, annotations, paths, sizes)):
            if isinstance(size, ImageError):
                raise AnnotationError(f"{file}: its image cannot be read: {size}")
            data.append(self._record(index, file, note, path, size))
        self._report(data)
        return data

    def filter_data(self) -> list[dict[str, Any]]:
        """Leave images without a part out of training, unless ``filter_cfg`` says otherwise."""
        filter_empty = (self.filter_cfg or {}).get("filter_empty_gt", True)
        if self.test_mode or not filter_empty:
            return self.data_list
        return [record for record in self.data_list if record["instances"]]

    def _names(self, folder: Path) -> list[str]:
        if not self.ann_file:
            names = sorted(file.stem for file in folder.glob("*.xml"))
            source = folder
        else:
            source = Path(self.ann_file)
            try:
                lines = source.read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise AnnotationError(f"{source}: {getattr(error, 'strerror', error)}") from None
            names = [line.strip() for line in lines if line.strip()]
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise AnnotationError(f"{source} names {twice[0]} twice")
        for name in names:
            if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
                raise AnnotationError(f"{source}: {name!r} must be a name inside {folder}")
        if not names:
            raise AnnotationError(f"{source} has no annotations: the data set would be empty")
        return names

    def _list_images(self) -> dict[str, Path]:
        folder = Path(self.data_prefix["img"])
        if not folder.is_dir():
            raise AnnotationError(f"{folder}: no such folder of images")
        files = sorted(folder.rglob("*"), reverse=True)
        return {
            file.relative_to(folder).with_suffix("").as_posix(): file
            for file in files
            if file.suffix.lower() in IMAGE_SUFFIXES
        }

    def _image_of(self, file: Path, note: VOCAnnotation) -> Path:
        name = file.relative_to(self.data_prefix["ann"]).with_suffix("").as_posix()
        found = self._images_by_stem.get(name)
        stated = Path(self.data_prefix["img"]) / Path(note.filename or "").name
        if found is None and note.filename and stated.is_file():
            found = stated
        if found is None:
            raise AnnotationError(f"{file}: no image {name}.* in {self.data_prefix['img']}")
        if note.filename and Path(note.filename).name != found.name:
            self._count("with another <filename> than their image's", file)
        return found

    def _record(
        self, index: int, file: Path, note: VOCAnnotation, path: Path, size: tuple[int, int]
    ) -> dict[str, Any]:
        if note.size is not None and note.size != size:
            self._count("with another <size> than their image's, which counts", file)
        instances = []
        for item in note.objects:
            label = self._label(file, item)
            box = None if label is None else self._box(file, item, size)
            if box is not None:
                flag = int(item.difficult)
                instances.append({"bbox": box, "bbox_label": label, "ignore_flag": flag})
        height, width = size
        return {
            "img_id": index,
            "img_path": str(path),
            "xml_path": str(file),
            "height": height,
            "width": width,
            "instances": instances,
        }

    def _label(self, file: Path, item: LabelledBox) -> int | None:
        label = canonical_label(self.label_map.get(item.name, item.name))
        if label is None:
            raise AnnotationError(
                f"{file}: unknown label {item.name!r}. Map it to one of the attributes with "
                f"label_map=dict({{{item.name!r}: ...}}), or remove it. Known: "
                f"{', '.join(ATTRIBUTES + VEHICLE_STYLES)}"
            )
        if label not in self.metainfo["classes"]:
            self._count(f"{label} left out", file)
            return None
        return self.metainfo["classes"].index(label)

    def _box(self, file: Path, item: LabelledBox, size: tuple[int, int]) -> list[float] | None:
        height, width = size
        xmin, ymin, xmax, ymax = item.box
        box = [max(xmin - 1, 0.0), max(ymin - 1, 0.0), min(xmax, width), min(ymax, height)]
        fault = None
        if xmin >= xmax or ymin >= ymax:
            fault = "is degenerate"
        elif box[0] >= box[2] or box[1] >= box[3]:
            fault = f"lies outside its image of {width}x{height}"
        if fault is None:
            if box != [xmin - 1, ymin - 1, xmax, ymax]:
                self._count("boxes clipped to their image", file)
            return [float(value) for value in box]
        if self.bad_boxes == "refuse":
            raise AnnotationError(
                f"{file}: the box {item.box} of the {item.name} {fault}. Mend it, or leave such "
                "boxes out with bad_boxes='drop'"
            )
        self._count("bad boxes left out", file)
        return None

    def _count(self, what: str, file: Path) -> None:
        self._notes[what] += 1
        self._first.setdefault(what, file.name)

    def _report(self, data: list[dict[str, Any]]) -> None:
        """Log what was found; refuse a data set without boxes."""
        boxes = Counter(item["bbox_label"] for record in data for item in record["instances"])
        source = self.ann_file or self.data_prefix["ann"]
        if not boxes:
            raise AnnotationError(
                f"{source}: {len(data)} annotations, not one part of {self.metainfo['classes']}"
            )
        classes = self.metainfo["classes"]
        absent = [name for i, name in enumerate(classes) if not boxes[i]]
        empty = sum(not record["instances"] for record in data)
        lines = [
            f"{source}: {len(data)} images, {boxes.total()} parts of {len(boxes)} attributes"
            + (f", no {', '.join(absent)}" if absent else "")
            + (f"; {empty} images without a part" if empty else "")
        ]
        lines += [f"  {n} {what} (first: {self._first[what]})" for what, n in self._notes.items()]
        print_log("\n".join(lines), logger="current")


def _size_or_error(path: Path) -> tuple[int, int] | ImageError:
    try:
        return read_image(path).shape[:2]
    except ImageError as error:
        return error
