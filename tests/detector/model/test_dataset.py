"""The data set of part annotations, and reading annotation files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.registry import init_default_scope

from detector.common.attributes import ATTRIBUTES, VEHICLE_STYLES, canonical_label
from detector.model.dataset import VehiclePartsDataset
from detector.model.voc_xml import AnnotationError, read_annotation
from tests.detector.parts_samples import object_xml

WHEEL = object_xml("wheel", (11, 21, 30, 40))
Voc = Callable[..., Path]


def load(root: Path, **kwargs: object) -> VehiclePartsDataset:
    settings = {"ann_file": "ImageSets/Main/train.txt", "pipeline": []} | kwargs
    return VehiclePartsDataset(data_root=str(root), **settings)


def boxes(dataset: VehiclePartsDataset, index: int = 0) -> list[list[float]]:
    return [item["bbox"] for item in dataset.get_data_info(index)["instances"]]


def labels(dataset: VehiclePartsDataset, index: int = 0) -> list[str]:
    items = dataset.get_data_info(index)["instances"]
    return [dataset.metainfo["classes"][item["bbox_label"]] for item in items]


def test_boxes_become_zero_based_and_end_exclusive(voc: Voc) -> None:
    dataset = load(voc(a=WHEEL, b=WHEEL))
    assert len(dataset) == 2
    assert boxes(dataset) == [[10, 20, 30, 40]]
    assert labels(dataset) == ["wheel"]
    assert dataset.metainfo["classes"] == ATTRIBUTES


def test_dataset_builds_from_the_registry_and_loads_resized_images(voc: Voc) -> None:
    init_default_scope("mmdet")
    pipeline = [
        {"type": "LoadVehicleImage"},
        {"type": "Resize", "scale": (128, 96)},
        {"type": "LoadAnnotations", "with_bbox": True},
        {"type": "PackDetInputs"},
    ]
    settings = {"type": "VehiclePartsDataset", "data_root": str(voc(a=WHEEL))}
    item = DATASETS.build(settings | {"pipeline": pipeline})[0]
    assert item["inputs"].shape == (3, 96, 128)
    sample = item["data_samples"]
    assert sample.gt_instances.bboxes.tensor.tolist() == [[10, 20, 30, 40]]
    assert (sample.ori_shape, sample.img_shape) == ((48, 64), (96, 128))


def test_canonical_label_maps_every_spelling() -> None:
    for name in ATTRIBUTES + VEHICLE_STYLES:
        assert canonical_label(name) == name
    for spelling, name in [
        ("anusign", "annusigns"),
        ("anusigns", "annusigns"),
        ("annual_sign", "annusigns"),
        ("paperbox", "tissuebox"),
        ("tissue_box", "tissuebox"),
        ("entrylisence", "entrylicense"),
        ("hanging", "hungs"),
        ("truck", "trunk"),
        ("tricar", "tricycle"),
        (" Wheel ", "wheel"),
    ]:
        assert canonical_label(spelling) == name
    assert canonical_label("licence") is None


def test_vehicle_styles_are_skipped_and_counted(voc: Voc, capture_log: Callable[[], str]) -> None:
    car = object_xml("car", (1, 1, 60, 40))
    dataset = load(voc(a=car + WHEEL, b=WHEEL + object_xml("Truck", (1, 1, 9, 9)) + car))
    assert labels(dataset, 0) == labels(dataset, 1) == ["wheel"]
    text = capture_log()
    assert "2 images, 2 parts of 1 attributes, no annusigns" in text
    assert "2 car skipped" in text
    assert "1 trunk skipped" in text


def test_metainfo_selects_classes(voc: Voc) -> None:
    root = voc(a=WHEEL + object_xml("logo", (1, 1, 9, 9)))
    dataset = load(root, metainfo={"classes": ("plate", "logo")})
    assert labels(dataset) == ["logo"]
    with pytest.raises(AnnotationError, match="'door'"):
        load(root, metainfo={"classes": ("door",)})


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ((-5, -7, 10, 10), [0, 0, 10, 10]),
        ((60, 40, 99, 99), [59, 39, 64, 48]),
        ((0, 0, 64, 48), [0, 0, 64, 48]),
        ((1.5, 2.5, 7.25, 8), [0.5, 1.5, 7.25, 8]),
    ],
)
def test_boxes_are_clipped_to_the_image(voc: Voc, box: tuple, clipped: list) -> None:
    assert boxes(load(voc(a=object_xml("wheel", box)))) == [clipped]


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((5, 5, 5, 9), "degenerate"),
        ((5, 9, 8, 9), "degenerate"),
        ((9, 5, 5, 9), "degenerate"),
        ((65, 1, 80, 9), "outside its image of 64x48"),
        ((-9, 1, -3, 9), "outside"),
        ((-9, 1, 0, 9), "outside"),
    ],
)
def test_bad_boxes_are_refused_or_dropped(
    voc: Voc, box: tuple, words: str, capture_log: Callable[[], str]
) -> None:
    root = voc(good=WHEEL, bad=WHEEL + object_xml("logo", box))
    with pytest.raises(AnnotationError, match=f"bad.xml: .* logo .*{words}"):
        load(root)
    dataset = load(root, bad_boxes="drop")
    assert labels(dataset, 1) == ["wheel"]
    assert "1 bad boxes skipped (first: bad.xml)" in capture_log()
    with pytest.raises(AnnotationError, match="'refuse' or 'drop'"):
        load(root, bad_boxes="ignore")


def test_an_unknown_label_is_refused_unless_it_is_mapped(voc: Voc) -> None:
    root = voc(a=object_xml("license-plate", (2, 3, 9, 9)))
    with pytest.raises(AnnotationError, match=r"a.xml: unknown label 'license-plate'.*label_map"):
        load(root)
    assert labels(load(root, label_map={"license-plate": "plate"})) == ["plate"]
    with pytest.raises(AnnotationError, match="'door', an unknown label"):
        load(root, label_map={"license-plate": "door"})


def test_name_and_size_of_the_image_override_those_in_the_annotation(
    voc: Voc, capture_log: Callable[[], str]
) -> None:
    root = voc(a=WHEEL, b=WHEEL, c=WHEEL)
    for name in ("b", "c"):
        file = root / "Annotations" / f"{name}.xml"
        text = file.read_text().replace(f"{name}.png", "IMG_77.jpg").replace("64", "640")
        file.write_text(text)
    dataset = load(root)
    assert dataset.get_data_info(1)["img_path"].endswith("b.png")
    assert dataset.get_data_info(1)["width"] == 64
    text = capture_log()
    assert text.count("2 annotations with a <filename> other") == 1
    assert text.count("2 annotations with a <size> other") == 1


def test_an_image_is_found_by_filename_if_none_has_the_name_of_the_annotation(voc: Voc) -> None:
    root = voc(a=WHEEL)
    (root / "JPEGImages/a.png").rename(root / "JPEGImages/other.png")
    file = root / "Annotations/a.xml"
    file.write_text(file.read_text().replace("a.png", "C:/photos/other.png"))
    assert load(root).get_data_info(0)["img_path"].endswith("JPEGImages/other.png")
    (root / "JPEGImages/other.png").unlink()
    with pytest.raises(AnnotationError, match=r"a.xml: no image a\.\*"):
        load(root)


def test_an_unreadable_image_is_refused_when_annotations_are_read(voc: Voc) -> None:
    root = voc(a=WHEEL)
    (root / "JPEGImages/a.png").write_bytes(b"damaged")
    with pytest.raises(AnnotationError, match=r"a.xml: its image cannot be read: .*a.png"):
        load(root)


def test_images_without_parts_are_skipped_in_training_only(voc: Voc) -> None:
    root = voc(a=WHEEL, b="", c=object_xml("bus", (1, 1, 9, 9)))
    assert len(load(root)) == 1
    assert len(load(root, test_mode=True)) == 3
    assert len(load(root, filter_cfg={"filter_empty_gt": False})) == 3


@pytest.mark.parametrize("ann_file", ["", "ImageSets/Main/train.txt"])
def test_an_empty_data_set_is_refused(voc: Voc, ann_file: str) -> None:
    with pytest.raises(AnnotationError, match="has no annotations|would be empty"):
        load(voc(), ann_file=ann_file)
    root = voc(a="", b=object_xml("car", (1, 1, 9, 9)))
    with pytest.raises(AnnotationError, match="2 annotations, but no part"):
        load(root, ann_file=ann_file)


def test_broken_lists_of_names_are_refused(voc: Voc) -> None:
    root = voc(a=WHEEL)
    with pytest.raises(AnnotationError, match=r"val.txt: No such file"):
        load(root, ann_file="ImageSets/Main/val.txt")
    (root / "ImageSets/Main/train.txt").write_text("a\nb\na\n")
    with pytest.raises(AnnotationError, match=r"train.txt names a twice"):
        load(root)
    (root / "ImageSets/Main/train.txt").write_text("a\nb\n")
    with pytest.raises(AnnotationError, match=r"b.xml: No such file"):
        load(root)
    with pytest.raises(AnnotationError, match="no such folder of images"):
        load(voc(a=WHEEL), data_prefix={"img": "Images"})


# --- one file --------------------------------------------------------------------------------

COLABELER = """<?xml version="1.0" ?><doc><path>C:\\a.jpg</path><outputs><object>
<item><name>wheel</name><bndbox><xmin>-3</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>
</item><item><name>hanging</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax>
</bndbox></item></object></outputs><labeled>true</labeled></doc>"""


def test_read_annotation_reads_colabeler_items(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(COLABELER)
    annotation = read_annotation(tmp_path / "a.xml")
    assert [item.name for item in annotation.objects] == ["wheel", "hanging"]
    assert annotation.objects[0].box == (-3, 2, 9, 8)
    assert (annotation.size, annotation.filename) == (None, None)


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ("gb2312", "gb2312"),
        ("GBK", "gbk"),
        ("utf-8", "utf-8-sig"),
        ("latin-1", "latin-1"),
        ("utf-16", "utf-16"),
    ],
)
def test_read_annotation_decodes_encodings_and_windows_line_ends(
    tmp_path: Path, declared: str, encoding: str
) -> None:
    name = "é" if declared == "latin-1" else "车"
    text = f'<?xml version="1.0" encoding="{declared}"?>\r\n<annotation><filename>{name}.jpg'
    text += "</filename>\r\n" + WHEEL.replace("\n", "\r\n") + "</annotation>\r\n"
    (tmp_path / "a.xml").write_bytes(text.encode(encoding))
    annotation = read_annotation(tmp_path / "a.xml")
    assert annotation.filename == f"{name}.jpg"
    assert annotation.objects[0].box == (11, 21, 30, 40)


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]>
<annotation><filename>&c;</filename></annotation>"""
NO_NUMBER = object_xml("wheel", ("one", 2, 3, 4))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not well-formed"),
        ("<annotation><object>", "not well-formed"),
        (BOMB, "entities"),
        ("<TrainingImages><Items/></TrainingImages>", "its root is <TrainingImages>"),
        ("<annotation><object><name>wheel</name></object></annotation>", "no <bndbox>"),
        ("<annotation><object><bndbox/></object></annotation>", "no <name>"),
        (f"<annotation>{NO_NUMBER}</annotation>", "lacks one of"),
        (f"<annotation>{object_xml('logo', (1, 2, 'nan', 4))}</annotation>", "is .*nan"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "is not klingon text"),
    ],
)
def test_read_annotation_names_a_broken_file(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "broken.xml").write_text(text)
    with pytest.raises(AnnotationError, match=f"broken.xml.*{words}"):
        read_annotation(tmp_path / "broken.xml")


def test_read_annotation_refuses_bytes_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(b"<annotation><filename>\xff\xfe</filename></annotation>")
    with pytest.raises(AnnotationError, match=r"a.xml is not utf-8 text"):
        read_annotation(tmp_path / "a.xml")


def test_difficult_boxes_are_flagged(voc: Voc) -> None:
    dataset = load(voc(a=WHEEL + object_xml("logo", (2, 2, 9, 9), difficult=1)))
    flags = [item["ignore_flag"] for item in dataset.get_data_info(0)["instances"]]
    assert np.array_equal(flags, [0, 1])
