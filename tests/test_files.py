import os

import pytest

from mdpseg.files import write_text, write_whole


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
