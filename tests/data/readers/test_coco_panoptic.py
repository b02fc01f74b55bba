import json

import numpy as np
import pytest
from PIL import Image

from mdpseg.data.readers import COCOPanoptic
from mdpseg.errors import UserError

from .files import write_image

CATEGORIES = [{"id": 200, "name": "rug-merged"}, {"id": 1, "name": "person"}, {"id": 184, "name": "tree-merged"}]
SEGMENTS = [  # number, category
    [(5, 1), (300, 200), (70000, 1)],
    [(2**24 - 1, 184)],
]


def build(root, images="train2017", **more):
    annotations = []
    for number, segments in enumerate(SEGMENTS):
        write_image(root / images / f"{number:012d}.jpg")
        ids = np.resize([0, *(segment for segment, _ in segments)], (8, 10)).astype(np.int64)
        pixels = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)
        path = root / "annotations/panoptic_train2017" / f"{number:012d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        infos = [{"id": segment, "category_id": category, "iscrowd": 0} for segment, category in segments]
        annotations.append({"image_id": number, "file_name": path.name, "segments_info": infos})
    content = {
        "images": [{"id": number, "file_name": f"{number:012d}.jpg"} for number in range(2)],
        "annotations": annotations,
        "categories": CATEGORIES,
        **more,
    }
    (root / "annotations/panoptic_train2017.json").write_text(json.dumps(content))
    return root


@pytest.mark.parametrize("images", ["train2017", "images/train2017"])
def test_masks_are_read_back(tmp_path, images):
    data = COCOPanoptic(build(tmp_path, images), "train")
    assert data.classes == ["person", "tree-merged", "rug-merged"]
    assert data.catch_all is None
    expected = [np.resize([255, 0, 2, 0], (8, 10)), np.resize([255, 1], (8, 10))]
    for sample, mask in zip(data, expected, strict=True):
        np.testing.assert_array_equal(sample.mask.numpy(), mask)


def test_subset_keeps_segments_with_their_image(tmp_path):
    (tmp_path / "list.txt").write_text("000000000001\n")
    data = COCOPanoptic(build(tmp_path), "train2017", subset={"list": tmp_path / "list.txt"})
    assert data[0].mask.unique().tolist() == [1, 255]
    assert len(COCOPanoptic(tmp_path, "train2017", subset={"count": 1})) == 1
    assert len(COCOPanoptic(tmp_path, "train2017", subset={"fraction": 0.5})) == 1


def one(**entry):
    return [{"image_id": 0, "file_name": "000000000000.png", "segments_info": [], **entry}]


@pytest.mark.parametrize(
    "more, said",
    [
        ({"annotations": one(image_id=9)}, "has image_id 9"),
        ({"annotations": one() + one()}, "is there twice"),
        ({"annotations": one(file_name="../x.png")}, "'../x.png', which is not inside"),
        ({"annotations": one(file_name="none.png")}, "has no mask"),
        ({"annotations": one(segments_info=[{"id": 5, "category_id": 2}])}, "segment 5 .* category_id 2"),
        ({"annotations": one(segments_info=[{"id": 0, "category_id": 1}])}, "segment 0 "),
        ({"annotations": one(segments_info=3)}, "no list 'segments_info'"),
        ({"annotations": []}, "no images to read"),
    ],
)
def test_wrong_files(tmp_path, more, said):
    with pytest.raises(UserError, match=said):
        COCOPanoptic(build(tmp_path, **more), "train")


def test_wrong_masks(tmp_path):
    data = COCOPanoptic(build(tmp_path, annotations=one()), "train")
    with pytest.raises(UserError, match=r"has segment 5, 300, 70000, which its segments_info"):
        data[0]
    Image.fromarray(np.zeros((8, 10), np.uint8)).save(data.pairs[0].mask)
    with pytest.raises(UserError, match="8-bit grey, but panoptic masks number their segments by colors"):
        data[0]
