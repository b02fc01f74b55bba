"""Files that are whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from mdpseg.errors import UserError

_TEMPORARY = ".tmp-"


def write_whole(path: Path, write: Callable[[Path], object], keep: Path | None = None) -> None:
    """Calls ``write`` with a temporary path beside ``path``, flushes it to the disk and renames it to ``path``.

    Whatever ``write`` raises passes through, and then ``path`` is as it was.

    Args:
        path: the file.
        write: takes the path to write to.
        keep: where the file goes that stood at ``path`` before; default: it is gone.

    Raises:
        UserError: the disk is full, or ``path`` cannot be written.
    """
    temporary = _temporary(path)
    try:
        with disk_faults_are_told(path):
            write(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            if keep is not None and path.exists():
                _move_aside(path, keep)
            temporary.replace(path)
            _flush_folder(path.parent)
    finally:
        with suppress(NotADirectoryError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def lock(file: IO[str], wait: bool = True) -> bool:
    """Locks an open file for this process until it is closed; where the file system has no locks, says False.

    Raises:
        BlockingIOError: another process has it, and ``wait`` is false.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # such as Lustre's, or NFS without its lock service
        return False
    return True


def is_open_at(file: IO[str], path: Path) -> bool:
    """Whether an open file is the one that has that name, which may have been removed, or be another's, by now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def make_folder(folder: Path) -> None:
    """Makes a folder, and those above it, unless it is there.

    Raises:
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}); choose another folder.") from error


@contextmanager
def disk_faults_are_told(path: Path) -> Iterator[None]:
    """Turns what a full disk raises, in Python or below it, or a path that cannot be written, into a message.

    Raises:
        UserError: the disk is full, or ``path`` cannot be written.
    """
    try:
        yield
    except Exception as error:
        if _is_full_disk(error):
            raise UserError(
                f"{path} cannot be written, the disk is full; make room there. What was written before is whole."
            ) from error
        if isinstance(error, OSError) and (_is_beside(error.filename, path) or _is_beside(error.filename2, path)):
            raise UserError(f"{path} cannot be written ({error.strerror}); choose another place.") from error
        raise


def remove_temporaries(folder: Path) -> None:
    """Removes what killed processes were writing; call it where no other process writes to ``folder``."""
    for leftover in folder.glob(f"{_TEMPORARY}*"):
        leftover.unlink(missing_ok=True)


def is_temporary(path: Path) -> bool:
    """Whether a file is one that was being written."""
    return path.name.startswith(_TEMPORARY)


def _temporary(path: Path) -> Path:
    return path.with_name(f"{_TEMPORARY}{os.getpid()}-{path.name}")


def _move_aside(path: Path, keep: Path) -> None:
    """Gives ``path`` the name ``keep`` too, so that it is there at every moment, under one of both."""
    link = _temporary(keep)
    try:
        os.link(path, link)
        link.replace(keep)
    except OSError:  # a file system without hard links
        path.replace(keep)
    finally:
        link.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Makes a renaming last through a power failure."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError:  # not every file system can
        pass
    finally:
        os.close(number)


def _is_beside(file: object, path: Path) -> bool:
    """Whether an error is about ``path``, or its temporary: not about something that was read for it."""
    return isinstance(file, str | os.PathLike) and Path(file).parent == path.parent


def _is_full_disk(error: BaseException | None) -> bool:
    """Whether it, or what it came from, says so: torch and safetensors have errors of their own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if f"(os error {errno.ENOSPC})" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
