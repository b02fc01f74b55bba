import numpy as np
import pytest

from mdpseg.data.readers import PairList, pair_list
from mdpseg.errors import UserError

from .files import write_image, write_mask

CLASSES = ["a", "b", "c"]


def build(root, lines, name="train.csv"):
    for number, file in enumerate(("one", "two, three", 'q"uote', "four five")):
        write_image(root / f"photos/{file}.jpg", seed=number)
        write_mask(root / f"labels/{number}.png", [0, 1, number % 3, 255])
    (root / name).write_text("\n".join(lines) + "\n")
    return root / name


LISTS = {
    "train.csv": [
        "image,mask",
        "photos/one.jpg,labels/0.png",
        '"photos/two, three.jpg",labels/1.png',
        '"photos/q""uote.jpg","labels/2.png"',
        "",
        "photos/four five.jpg , labels/3.png",
    ],
    "train.tsv": [
        "Mask\tweather\tImage",
        "labels/0.png\tsun\tphotos/one.jpg",
        "labels/1.png\train\tphotos/two, three.jpg",
        'labels/2.png\t\t"photos/q""uote.jpg"',
        "labels/3.png\tsun\tphotos/four five.jpg",
    ],
    "train.txt": [
        "# a comment",
        "photos/one.jpg labels/0.png",
        '"photos/two, three.jpg"  labels/1.png ',
        '"photos/q""uote.jpg" labels/2.png',
        '"photos/four five.jpg" labels/3.png',
    ],
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_with_quotes_and_headers(tmp_path, name):
    path = build(tmp_path, LISTS[name], name)
    for given in (path, tmp_path):
        data = PairList(given, "train", CLASSES)
        assert [pair.id for pair in data.pairs] == sorted(
            ["photos/one", "photos/two, three", 'photos/q"uote', "photos/four five"]
        )
        by_id = {sample.id: sample for sample in data}
        np.testing.assert_array_equal(by_id['photos/q"uote'].mask.flatten()[:4], [0, 1, 2, 255])
    assert len(PairList(path, "train", CLASSES, subset={"count": 3})) == 3
    (tmp_path / "part.txt").write_text("photos/two, three\n")
    assert len(PairList(path, "train", CLASSES, subset={"list": tmp_path / "part.txt"})) == 1


def test_absolute_paths_and_other_starts(tmp_path):
    build(tmp_path / "data", [])
    list_file = tmp_path / "lists" / "x.csv"
    list_file.parent.mkdir()
    list_file.write_text(f"{tmp_path}/data/photos/one.jpg,{tmp_path}/lists/../data/labels/0.png\n")
    data = PairList(list_file, "train", CLASSES)
    assert data[0].id == f"{tmp_path}/data/photos/one".lstrip("/")
    list_file.write_text("one.jpg,0.png\n")
    data = PairList(list_file, "x", CLASSES, images=tmp_path / "data/photos", masks=tmp_path / "data/labels")
    assert data[0].id == "one"


@pytest.mark.parametrize(
    "lines, said",
    [
        ([], "names no image"),
        (["image,mask"], "names no image"),
        (["photo,label", "a.jpg,b.png"], "first line names 'photo, label'"),
        (["photos/one.jpg"], "line 1 has 1 columns"),
        (["photos/one.jpg,labels/0.png,x"], "line 1 has 3 columns"),
        (["image,mask", "photos/one.jpg,"], "line 2 has 2 columns or an empty one"),
        (['"photos/one.jpg,labels/0.png'], "line 2: .*check its quotes"),
        (["../photos/one.jpg,labels/0.png"], "leads out of"),
        (["photos/one.jpg,labels/0.png"] * 2, "line 2: image 'photos/one.jpg' stands there twice"),
        (["photos/none.jpg,labels/0.png"], "id 'photos/none' has no image"),
        (["photos/one.jpg,labels/none.png"], "one.jpg has no mask"),
        (["photos/one.jpg,labels/\0.png"], "leads out of"),
        ([".,two/labels/0.png"], "line 1: '.' names no file"),
        (["photos/one.jpg,/.png", "photos/one.jpg,/"], "line 2: '/' names no file"),
    ],
)
def test_wrong_lists(tmp_path, lines, said):
    with pytest.raises(UserError, match=said):
        PairList(build(tmp_path, lines), "train", CLASSES)


def test_a_list_may_be_larger_than_one_of_ids(tmp_path, monkeypatch):
    """Absolute paths of COCO's train2017 take 19 MiB; here comments take their room."""
    path = build(tmp_path, [*["# " + "x" * 10**5] * 200, "photos/one.jpg,labels/0.png"])
    assert path.stat().st_size > 19 * 2**20
    assert len(PairList(path, "train", CLASSES)) == 1
    monkeypatch.setattr(pair_list, "LARGEST_PAIR_LIST", 2**20)
    with pytest.raises(UserError, match="more than 1048576 bytes"):
        PairList(path, "train", CLASSES)


def test_missing_lists(tmp_path):
    build(tmp_path, [])
    with pytest.raises(UserError, match=r"no list val.csv .*; found: train.csv"):
        PairList(tmp_path, "val", CLASSES)
    with pytest.raises(UserError, match=r"none.csv cannot be read"):
        PairList(tmp_path / "none.csv", "val", CLASSES)
    with pytest.raises(UserError, match="is no list"):
        PairList(tmp_path / "none.xls", "val", CLASSES)
    build(tmp_path, LISTS["train.csv"])
    with pytest.raises(UserError, match="catch_all 'z' is not one of the classes"):
        PairList(tmp_path, "train", CLASSES, catch_all="z")
