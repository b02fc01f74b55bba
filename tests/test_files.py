import errno
import os

import pytest

from mdpseg.errors import UserError
from mdpseg.files import make_folder, write_text, write_whole


def test_a_file_is_written(tmp_path):
    write_text(tmp_path / "a.txt", "äöü\n")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "äöü\n"
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_write_leaves_what_was_there(error, tmp_path):
    (tmp_path / "a.txt").write_text("old")

    def half(path):
        path.write_text("ha")
        raise error

    with pytest.raises(error):
        write_whole(tmp_path / "a.txt", half)
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_temporary_file_is_beside_it_with_its_suffix(tmp_path):
    seen = []
    write_whole(tmp_path / "b.png", lambda path: (seen.append(path), path.write_bytes(b"1")))
    assert seen[0].parent == tmp_path
    assert seen[0].suffix == ".png"
    assert seen[0].name != "b.png"


def test_a_place_that_cannot_be_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(UserError, match=rf"{folder} cannot be written \("):
            make_folder(folder)
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_that_may_not_be_written_to(tmp_path):
    def forbidden(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))  # root may write anywhere

    with pytest.raises(UserError, match=rf"{tmp_path / 'a.txt'} cannot be written \(Permission denied\)"):
        write_whole(tmp_path / "a.txt", forbidden)

    def elsewhere(_):
        raise PermissionError(errno.EACCES, "Permission denied", "/what/was/read")

    with pytest.raises(PermissionError):
        write_whole(tmp_path / "a.txt", elsewhere)
