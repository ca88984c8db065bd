"""Part annotations of vehicles as an mmdet data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mmdet.datasets import BaseDetDataset
from mmdet.registry import DATASETS
from mmengine.logging import print_log

from detector.common.attributes import ATTRIBUTES, VEHICLE_STYLES, canonical_label
from detector.common.images import IMAGE_SUFFIXES, ImageError, read_image
from detector.model.voc_xml import AnnotationError, LabelledBox, VOCAnnotation, read_annotation


@DATASETS.register_module()
class VehiclePartsDataset(BaseDetDataset):
    """Pascal VOC part annotations with the sixteen attributes of Table I (Zhang et al., arXiv 1909.06023).

        data_root
        ├── JPEGImages/NAME.jpg          any image suffix
        ├── Annotations/NAME.xml
        └── ImageSets/Main/train.txt     one NAME per line

    Rules:
        - The image of ``NAME.xml`` is ``NAME`` with any image suffix, whatever ``<filename>`` states. If
          there is no such image, it is the file that ``<filename>`` names.
        - The size of the image is that of the decoded file after EXIF orientation, not ``<size>``.
        - Boxes in the files are 1-based with both ends inclusive, as VOC defines. They are converted to
          0-based float pixels, right and bottom exclusive, and clipped to the image.
        - A box with xmax <= xmin or ymax <= ymin or completely outside the image would make SSD's loss NaN
          or is meaningless. It is an error, or is skipped and counted with ``bad_boxes='drop'``.
        - The five vehicle styles are skipped and counted, and so are attributes not in ``classes``. Any other
          label is an error: map it with ``label_map``.
        - Images without parts are skipped in training, since SSD's hard negative mining takes nothing from
          them, and kept in testing. A data set without any image or box is an error.

    Args:
        ann_file: List of names, relative to ``data_root``; ``''`` for all files in ``Annotations``.
        data_prefix: Folders of images and annotations, relative to ``data_root``.
        label_map: Additional spellings of labels, such as ``{'license-plate': 'plate'}``.
        bad_boxes: ``'refuse'`` or ``'drop'``.
        **kwargs: Arguments of mmdet's ``BaseDetDataset``; ``metainfo=dict(classes=...)`` selects attributes.

    Raises:
        AnnotationError: An annotation or an image is invalid; the message names the file.
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
            raise AnnotationError(f"bad_boxes must be 'refuse' or 'drop', not {bad_boxes!r}")
        for spelling, label in (label_map or {}).items():
            if canonical_label(label) is None:
                raise AnnotationError(
                    f"label_map: {spelling!r} is mapped to {label!r}, an unknown label"
                )
        self.label_map = dict(label_map or {})
        self.bad_boxes = bad_boxes
        prefix = {"img": "JPEGImages", "ann": "Annotations"} | dict(data_prefix or {})
        super().__init__(ann_file=ann_file, data_prefix=prefix, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read and check every annotation and image, and log a summary."""
        unknown = set(self.metainfo["classes"]) - set(ATTRIBUTES)
        if unknown:
            raise AnnotationError(f"classes {sorted(unknown)} are not among {ATTRIBUTES}")
        self._events: Counter[str] = Counter()
        self._first_file: dict[str, str] = {}
        folder = Path(self.data_prefix["ann"])
        files = [folder / f"{name}.xml" for name in self._names(folder)]
        annotations = [read_annotation(file) for file in files]
        self._images_by_stem = self._list_images()
        paths = [self._image_of(file, annotation) for file, annotation in zip(files, annotations)]
        with ThreadPoolExecutor() as pool:
            # Decode every image now, so that a damaged one is reported here and not in the tenth epoch.
            sizes = list(pool.map(_size_or_error, paths))
        data = []
        for index, (file, annotation, path, size) in enumerate(
            zip(files, annotations, paths, sizes)
        ):
            if isinstance(size, ImageError):
                raise AnnotationError(f"{file}: its image cannot be read: {size}")
            data.append(self._record(index, file, annotation, path, size))
        self._report(data)
        return data

    def filter_data(self) -> list[dict[str, Any]]:
        """Skip images without parts in training, unless ``filter_cfg`` states otherwise."""
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
            repeated = [name for name, count in Counter(names).items() if count > 1]
            if repeated:
                raise AnnotationError(f"{source} names {repeated[0]} twice")
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

    def _image_of(self, file: Path, annotation: VOCAnnotation) -> Path:
        name = file.relative_to(self.data_prefix["ann"]).with_suffix("").as_posix()
        found = self._images_by_stem.get(name)
        stated = Path(self.data_prefix["img"]) / Path(annotation.filename or "").name
        if found is None and annotation.filename and stated.is_file():
            found = stated
        if found is None:
            raise AnnotationError(f"{file}: no image {name}.* in {self.data_prefix['img']}")
        if annotation.filename and Path(annotation.filename).name != found.name:
            self._count("annotations with a <filename> other than their image's", file)
        return found

    def _record(
        self, index: int, file: Path, annotation: VOCAnnotation, path: Path, size: tuple[int, int]
    ) -> dict[str, Any]:
        if annotation.size is not None and annotation.size != size:
            self._count("annotations with a <size> other than their image's, which is used", file)
        instances = []
        for item in annotation.objects:
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
            self._count(f"{label} skipped", file)
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
                f"{file}: the box {item.box} of the {item.name} {fault}. Fix it, or skip such "
                "boxes with bad_boxes='drop'"
            )
        self._count("bad boxes skipped", file)
        return None

    def _count(self, event: str, file: Path) -> None:
        """Count an event for the log, and keep the first file where it occurred."""
        self._events[event] += 1
        self._first_file.setdefault(event, file.name)

    def _report(self, data: list[dict[str, Any]]) -> None:
        """Log a summary; refuse a data set without boxes."""
        boxes = Counter(item["bbox_label"] for record in data for item in record["instances"])
        source = self.ann_file or self.data_prefix["ann"]
        if not boxes:
            raise AnnotationError(
                f"{source}: {len(data)} annotations, but no part of {self.metainfo['classes']}"
            )
        classes = self.metainfo["classes"]
        absent = [name for i, name in enumerate(classes) if not boxes[i]]
        empty = sum(not record["instances"] for record in data)
        lines = [
            f"{source}: {len(data)} images, {boxes.total()} parts of {len(boxes)} attributes"
            + (f", no {', '.join(absent)}" if absent else "")
            + (f"; {empty} images without parts" if empty else "")
        ]
        lines += [
            f"  {count} {event} (first: {self._first_file[event]})"
            for event, count in self._events.items()
        ]
        print_log("\n".join(lines), logger="current")


def _size_or_error(path: Path) -> tuple[int, int] | ImageError:
    try:
        return read_image(path).shape[:2]
    except ImageError as error:
        return error
