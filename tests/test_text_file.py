import os
from pathlib import Path

import pytest

from mdpseg.errors import UserError
from mdpseg.text_file import read_text


def test_lines_end_in_a_newline_alone_and_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "a").write_bytes("\ufeffä\r\nb\rc\n\x0bd".encode())
    assert read_text(tmp_path / "a", "it") == "ä\nb\nc\n\x0bd"


def test_size_is_bounded(tmp_path):
    (tmp_path / "a").write_text("x" * 100)
    assert read_text(tmp_path / "a", "it", 100) == "x" * 100
    with pytest.raises(UserError, match=r"^it has more than 99 bytes"):
        read_text(tmp_path / "a", "it", 99)


def test_what_is_no_text_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes("ä".encode("latin1"))
    for path, reason in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "pipe", "no regular file"),
        (Path("/dev/zero"), "no regular file"),
        (tmp_path / "latin", "not UTF-8"),
    ):
        with pytest.raises(UserError, match=f"^it .*{reason}"):
            read_text(path, "it")
