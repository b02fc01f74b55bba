import errno
import os

import pytest

from mdpseg import files
from mdpseg.errors import UserError
from mdpseg.files import lock, make_folder, remove_temporaries, write_text, write_whole


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


def test_a_place_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=rf"{tmp_path}/file/x cannot be written \(Not a directory\)"):
        write_text(tmp_path / "file" / "x", "")


@pytest.mark.parametrize("links", [True, False])
def test_what_stood_there_is_kept_under_another_name(links, tmp_path, monkeypatch):
    def without_links(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", without_links)
    for text in ("1", "2", "3"):
        write_whole(tmp_path / "a", lambda path, text=text: path.write_text(text), keep=tmp_path / "before")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "3", "before": "2"}


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
        caused(RuntimeError("unexpected pos 64 vs 0"), OSError(errno.ENOSPC, "No space left on device")),
    ],
    ids=["python", "quota", "rust", "cause"],
)
def test_a_full_disk_is_told_whoever_says_so(error, tmp_path):
    def full(path):
        raise error

    with pytest.raises(UserError, match=rf"{tmp_path / 'a.txt'} cannot be written, the disk is full"):
        write_whole(tmp_path / "a.txt", full)


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    for name in ("a.txt", ".tmp-7-a.txt", ".hidden"):
        (tmp_path / name).write_text("")
    remove_temporaries(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hidden", "a.txt"]


def test_a_lock_is_one_s(tmp_path):
    with (tmp_path / "lock").open("w") as one, (tmp_path / "lock").open("w") as other:
        assert lock(one)
        with pytest.raises(BlockingIOError):
            lock(other, wait=False)
    with (tmp_path / "lock").open("w") as free:
        assert lock(free, wait=False)


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    with (tmp_path / "lock").open("w") as file:
        assert not lock(file)
