import pytest

from mdpseg.data.sources import is_folder, sources_in
from mdpseg.errors import UserError
from tests import tiny
from tests.data.readers.files import write_image, write_lines


def test_the_splits_of_a_folder(tmp_path):
    for split, count in (("train", 3), ("val", 2)):
        tiny.image_folder(tmp_path / "mine", split=split, count=count)
    (train, val), remarks = sources_in(tmp_path / "mine")
    assert remarks == [f"mine: Read as two folders in {tmp_path / 'mine'}."]
    assert (train.title, train.name, train.trained_on) == ("mine (train)", "mine", None)
    assert (val.title, val.name, val.trained_on) == ("mine (val)", "mine", "mine (train)")
    assert (len(train.open()), len(val.open())) == (3, 2)


def test_a_folder_takes_no_settings(tmp_path):
    tiny.image_folder(tmp_path / "mine")
    with pytest.raises(UserError, match=r"is a folder, and crop=3 is a setting of a recipe"):
        sources_in(tmp_path / "mine", ["crop=3"])


def test_what_is_passed_over_is_told(tmp_path):
    tiny.image_folder(tmp_path / "all" / "mine")
    write_image(tmp_path / "all" / "mine" / "images" / "val" / "0.jpg")
    write_image(tmp_path / "all" / "odd\n" / "pics" / "0.jpg")
    write_lines(tmp_path / "all" / "coco" / "annotations" / "instances_val2017.json", ["{}"])
    sources, remarks = sources_in(tmp_path / "all")
    assert [source.title for source in sources] == ["mine (train)"]
    coco, odd, mine = sorted(remarks, key=lambda remark: (remark.startswith("mine: "), remark))
    assert f"{tmp_path / 'all' / 'coco'}: passed over, Left out: val2017; no images are in " in coco
    assert odd == rf"{tmp_path / 'all'}/odd\n: passed over, folders pics, and 0 files"
    assert f"Left out: {tmp_path / 'all/mine/images/val'}; there is no {tmp_path / 'all/mine/masks/val'}." in mine


def test_what_a_folder_is(tmp_path):
    assert is_folder(tmp_path)
    assert not is_folder(tmp_path / "nowhere")
    assert not is_folder("{name: " + "x" * 5000 + "}")
