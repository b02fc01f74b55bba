import pytest

from mdpseg.data.sources import is_folder, sources_in
from mdpseg.errors import UserError
from tests import tiny


def test_the_splits_of_a_folder(tmp_path):
    for split, count in (("train", 3), ("val", 2)):
        tiny.image_folder(tmp_path / "mine", split=split, count=count)
    train, val = sources_in(tmp_path / "mine")
    assert (train.title, train.name, train.trained_on) == ("mine (train)", "mine", None)
    assert (val.title, val.name, val.trained_on) == ("mine (val)", "mine", "mine (train)")
    assert (len(train.open()), len(val.open())) == (3, 2)


def test_a_folder_takes_no_settings(tmp_path):
    tiny.image_folder(tmp_path / "mine")
    with pytest.raises(UserError, match=r"is a folder, and crop=3 is a setting of a recipe"):
        sources_in(tmp_path / "mine", ["crop=3"])


def test_what_a_folder_is(tmp_path):
    assert is_folder(tmp_path)
    assert not is_folder(tmp_path / "nowhere")
    assert not is_folder("{name: " + "x" * 5000 + "}")
