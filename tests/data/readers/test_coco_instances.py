import json
import os

import numpy as np
import pytest
from pycocotools import mask as coco

from mdpseg.data.readers import COCOInstances
from mdpseg.data.readers.complaints import gather
from mdpseg.errors import BadFileError, UserError

from .files import write_image

HEIGHT, WIDTH = 8, 10
CATEGORIES = [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 3, "name": "car"}]


def box(left, top, right, bottom):
    return [[left, top, right, top, right, bottom, left, bottom]]


def run_lengths(rows, columns, compressed=True):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[rows, columns] = 1
    if compressed:
        counts = coco.encode(np.asfortranarray(mask))["counts"].decode()
    else:
        flat = mask.T.flatten()
        ends = np.flatnonzero(np.diff(flat)) + 1
        counts = np.diff([0, *ends, len(flat)]).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": counts}


def annotation(number, image, category, segmentation, crowd=0):
    return {"id": number, "image_id": image, "category_id": category, "segmentation": segmentation, "iscrowd": crowd}


ANNOTATIONS = [
    annotation(1, 7, 3, box(2, 2, 4, 4)),  # small, first: still on top of the next
    annotation(2, 7, 1, box(0, 0, 8, 6)),
    annotation(3, 7, 90, run_lengths(slice(5, 8), slice(6, 10), compressed=False), crowd=1),
    annotation(4, 8, 90, run_lengths(slice(1, 3), slice(2, 5))),
]


def content(annotations=ANNOTATIONS, **more):
    images = [
        {"id": number, "file_name": f"{number:012d}.jpg", "height": HEIGHT, "width": WIDTH} for number in (7, 8, 9)
    ]
    return {"images": images, "annotations": annotations, "categories": CATEGORIES, **more}


def build(root, images="train2017", what=None):
    for number in (7, 8, 9):
        write_image(root / images / f"{number:012d}.jpg", HEIGHT, WIDTH, seed=number)
    (root / "annotations").mkdir(exist_ok=True)
    text = what if isinstance(what, str) else json.dumps(what or content())
    (root / "annotations" / "instances_train2017.json").write_text(text)
    return root


@pytest.mark.parametrize("images", ["train2017", "images/train2017"])
@pytest.mark.parametrize("split", ["train2017", "train"])
def test_masks_are_read_back(tmp_path, images, split):
    data = COCOInstances(build(tmp_path, images), split)
    assert data.classes == ["background", "person", "car", "toothbrush"]
    assert data.catch_all == "background"
    assert [sample.id for sample in data] == ["000000000007", "000000000008", "000000000009"]
    expected = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    expected[0, 5:, 6:] = 255  # the crowd
    expected[0, :6, :8] = 1  # lies on it
    expected[0, 2:4, 2:4] = 2
    expected[1, 1:3, 2:5] = 3
    for sample, mask in zip(data, expected, strict=True):  # the third has no annotation: all of it is background
        np.testing.assert_array_equal(sample.mask.numpy(), mask)
    assert data.paths(0) == (tmp_path / images / "000000000007.jpg",)


def test_of_equal_outlines_the_later_is_on_top_and_order_does_not_matter_otherwise(tmp_path):
    both = [annotation(1, 7, 1, box(0, 0, 2, 2)), annotation(2, 7, 3, box(0, 0, 2, 2))]
    assert COCOInstances(build(tmp_path, what=content(both)), "train")[0].mask[0, 0] == 2
    turned = content(list(reversed(ANNOTATIONS)))
    a = COCOInstances(build(tmp_path), "train")[0].mask
    assert COCOInstances(build(tmp_path, what=turned), "train")[0].mask.tolist() == a.tolist()


def test_a_category_called_background_takes_the_rest(tmp_path):
    categories = [{"id": 4, "name": "car"}, {"id": 5, "name": "background"}]
    what = content([annotation(1, 7, 4, box(0, 0, 2, 2))], categories=categories)
    data = COCOInstances(build(tmp_path, what=what), "train")
    assert (data.classes, data.catch_all) == (["car", "background"], "background")
    assert data[0].mask[0, 0] == 0
    assert data[0].mask[7, 9] == 1


def test_subsets_and_other_places(tmp_path):
    build(tmp_path, "photos")
    (tmp_path / "list.txt").write_text("000000000008\n")
    elsewhere = {"images": tmp_path / "photos", "annotations": tmp_path / "annotations/instances_train2017.json"}
    for subset, ids in (({"list": tmp_path / "list.txt"}, [8]), ({"count": 3}, [7, 8, 9])):
        data = COCOInstances(tmp_path, "any", **elsewhere, subset=subset)
        assert [int(sample.id) for sample in data] == ids
    assert len(COCOInstances(tmp_path, "any", **elsewhere, subset={"fraction": 0.4})) == 1
    listed = COCOInstances(tmp_path, "any", **elsewhere, subset={"list": tmp_path / "list.txt"})
    assert listed[0].mask[1, 2] == 3


@pytest.mark.parametrize(
    "what, said",
    [
        ("{", "instances_train2017.json is not valid JSON"),
        ({"images": []}, "no list 'categories'"),
        (content(categories=[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]), "two categories of one id"),
        (content(categories=[{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]), "class 'a' more than once"),
        (content(categories=[{"id": i, "name": f"c{i}"} for i in range(255)]), "256 classes with background"),
        (content(categories=[{"id": 1, "name": "\x1b[2J"}]), "control character"),
        (content(images=[]), "lists no images"),
        (content(images=[{"id": 7, "file_name": "../../etc/passwd"}]), "'../../etc/passwd', which is not inside"),
        (content(images=[{"id": 7, "file_name": "/etc/passwd"}]), "'/etc/passwd', which is not inside"),
        (content(images=content()["images"] + content()["images"][:1]), "twice, or another of that name"),
        (content(images=[{"id": 7, "file_name": "000000000007.jpg"}]), "height None"),
        (
            content(images=[{"id": 7, "file_name": "000000000007.jpg", "height": 10**6, "width": 10**6}]),
            "1e.06x1e.06 pixels; expected 1 to 89478485",
        ),
        (content(images=[{"id": 1, "file_name": "1.jpg", "height": 1, "width": 1}]), "has no image"),
        (content([annotation(1, 70, 1, box(0, 0, 2, 2))]), "annotation 1 has image_id 70"),
        (content([annotation(1, 7, 2, box(0, 0, 2, 2))]), "annotation 1 has category_id 2"),
        (content([{"id": 1}]), r"annotations\[0\] has image_id None"),
    ],
)
def test_wrong_files(tmp_path, what, said):
    with pytest.raises(UserError, match=said):
        COCOInstances(build(tmp_path, what=what), "train")


def test_missing_parts(tmp_path):
    with pytest.raises(UserError, match=r"no folder .*annotations"):
        COCOInstances(tmp_path, "train")
    build(tmp_path)
    with pytest.raises(UserError, match=r"no split 'val': no file .*instances_val.json; found: train2017"):
        COCOInstances(tmp_path, "val")
    os.rename(tmp_path / "train2017", tmp_path / "other")
    with pytest.raises(UserError, match=r"no folder .*train2017"):
        COCOInstances(tmp_path, "train")


def test_wrong_outlines_name_annotation_and_image(tmp_path):
    build(tmp_path, what=content([annotation(5, 8, 1, [[1, 1, 5, 1]]), annotation(6, 7, 1, None)]))
    data = COCOInstances(tmp_path, "train")
    for index, said in ((0, "annotation 6 of .*07.jpg .* no polygon"), (1, "annotation 5 of .*08.jpg .* of 4 numbers")):
        with pytest.raises(BadFileError, match=said) as caught:
            data[index]
        assert caught.value.file == data.pairs[index].image
    write_image(tmp_path / "train2017" / "000000000009.jpg", HEIGHT + 1, WIDTH)
    with pytest.raises(BadFileError, match=r"10x9 .* is 10x8"):
        data[2]


def test_data_check_goes_on_past_wrong_annotations(tmp_path):
    build(tmp_path, what=content([*ANNOTATIONS, annotation(9, 70, 1, []), annotation(10, 7, 70, [])]))
    with gather() as faults:
        data = COCOInstances(tmp_path, "train")
    assert [fault.kind for fault in faults] == ["id", "id"]
    assert len(data) == 3
    assert set(data[0].mask.unique().tolist()) == {0, 1, 2, 255}
