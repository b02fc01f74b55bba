"""Finding files: links are followed, and end."""

import os

import pytest

from mdpseg.data.readers import Folder
from mdpseg.data.readers.layout import files_below
from mdpseg.errors import UserError
from tests.data.readers.files import write_image, write_lines, write_mask


def below(folder):
    return [path.relative_to(folder).as_posix() for path in files_below(folder, [".jpg"])]


def test_hidden_files_and_folders_are_left_out(tmp_path):
    for name in ("b.JPG", "a/c.jpg", ".d.jpg", ".e/f.jpg", "g.png"):
        write_lines(tmp_path / name, [""])
    assert below(tmp_path) == ["a/c.jpg", "b.JPG"]


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert files_below(tmp_path / "nowhere" / "deeper", [".jpg"]) == []


@pytest.mark.parametrize("linked", [False, True])
def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch, linked):
    """By a stand-in for the system: for root every folder can be listed."""
    for name in ("in/a/0.jpg", "locked/1.jpg"):
        write_lines(tmp_path / name, [""])
    locked = tmp_path / "in" / "locked"
    (tmp_path / "locked").rename(tmp_path / "elsewhere" if linked else locked)
    if linked:
        os.symlink(tmp_path / "elsewhere", locked)
    scandir = os.scandir

    def refusing(path):
        if path == str(locked):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    message = rf"folder {locked} cannot be listed \(Permission denied\).*make it readable"
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refusing)
        with pytest.raises(UserError, match=message):
            files_below(tmp_path / "in", [".jpg"])


def test_linked_folders_are_followed(tmp_path):
    for name in ("in/a/0.jpg", "elsewhere/1.jpg", "elsewhere/deep/2.jpg"):
        write_lines(tmp_path / name, [""])
    os.symlink(tmp_path / "elsewhere", tmp_path / "in" / "b")
    os.symlink(tmp_path / "nowhere", tmp_path / "in" / "c")
    os.symlink(tmp_path / "elsewhere" / "1.jpg", tmp_path / "in" / "3.jpg")
    assert below(tmp_path / "in") == ["3.jpg", "a/0.jpg", "b/1.jpg", "b/deep/2.jpg"]
    os.symlink(tmp_path / "in", tmp_path / "all")  # the folder itself may be a link
    assert below(tmp_path / "all") == below(tmp_path / "in")


def test_links_in_a_circle_end(tmp_path):
    for name in ("0.jpg", "a/1.jpg", "z/2.jpg"):
        write_lines(tmp_path / "in" / name, [""])
    os.symlink(tmp_path / "in" / "a", tmp_path / "in" / "a" / "self")
    os.symlink(tmp_path / "in" / "z", tmp_path / "in" / "a" / "z")  # what lies there itself keeps its own path
    os.symlink(tmp_path / "in" / "a", tmp_path / "in" / "z" / "a")
    os.symlink(tmp_path / "in", tmp_path / "in" / "top")
    os.symlink(tmp_path, tmp_path / "in" / "above")
    os.symlink("loop", tmp_path / "in" / "loop")
    assert below(tmp_path / "in") == ["0.jpg", "a/1.jpg", "z/2.jpg"]


def test_a_linked_folder_of_images_goes_with_one_of_masks(tmp_path):
    for place, key in (("mine/{}/a", "0"), ("store/{}", "1")):
        write_image(tmp_path / place.format("images") / f"{key}.jpg")
        write_mask(tmp_path / place.format("masks") / f"{key}.png", [0, 1])
    for kind in ("images", "masks"):
        os.symlink(tmp_path / "store" / kind, tmp_path / "mine" / kind / "b")
    data = Folder(tmp_path / "mine/images", tmp_path / "mine/masks", ["x", "y"])
    assert [sample.id for sample in data] == ["a/0", "b/1"]
