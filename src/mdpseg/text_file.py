"""Texts that somebody else may have written: read up to a bound, from regular files alone."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from mdpseg.errors import UserError

LARGEST_TEXT = 2**20  # bytes, a hundred times any recipe or class list


def read_text(path: Path, where: str, most: int = LARGEST_TEXT) -> str:
    """Reads a text file.

    Args:
        path: the file.
        where: what and which it is, for messages, such as ``merge file m.yaml``.
        most: bytes that are read at most.

    Returns:
        The text; lines end in a newline alone.

    Raises:
        UserError: it cannot be read, is no regular file, is larger than ``most`` bytes, or is not UTF-8.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) and not path.is_dir():
            raise OSError(errno.EINVAL, "no regular file")  # a pipe would be waited for, /dev/zero never ends
        with path.open("rb") as file:
            content = file.read(min(most, status.st_size) + 1)  # Python makes room for as much as it is asked for
    except OSError as error:
        raise UserError(f"{where} cannot be read ({error.strerror}); correct its path.") from error
    if len(content) > most:
        raise UserError(f"{where} has more than {most} bytes, which no such text needs; it is not read.")
    return decoded(content, where)


def decoded(content: bytes, where: str) -> str:
    """The text of a file, or of a server's answer; lines end in a newline alone.

    Raises:
        UserError: it is not UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8 text; save it as UTF-8.") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
