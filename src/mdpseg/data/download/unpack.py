"""Unpacks archives that came over the network: regular files alone, inside their folder, within a bound."""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from mdpseg.data.shards.index import is_safe
from mdpseg.errors import UserError
from mdpseg.files import disk_faults_are_told

MOST_FILES = 1_000_000
CHUNK = 2**20
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    OSError,
    ValueError,
    RuntimeError,  # an encrypted zip, or a compression that zipfile does not know
)


class BadArchiveError(UserError):
    """The archive itself is damaged or hostile: there is no use in keeping it."""


def unpack(archive: Path, folder: Path, most: int, progress: Callable[[int], None]) -> None:
    """Writes an archive's files below a folder.

    Nothing is written for a name that is absolute or holds ``..``, for a link, or for a device: the archive is refused
    as a whole then, since no dataset has any.

    Args:
        archive: a .zip, .tar, or compressed .tar, by its content.
        folder: is made; the caller removes it if this raises.
        most: bytes that come out at most.
        progress: is told the bytes that came out.

    Raises:
        BadArchiveError: the archive is damaged, hostile, or holds more.
        UserError: the disk is full.
    """
    done = 0
    try:
        for count, (name, content) in enumerate(_files(archive)):
            if count >= MOST_FILES:
                raise BadArchiveError(f"{archive} holds more than {MOST_FILES} files; it is not unpacked.")
            if not is_safe(name):
                raise BadArchiveError(
                    f"{archive} holds {name!r:.80}, which leads out of its folder; it is not unpacked."
                )
            target = folder / PurePosixPath(name)
            with disk_faults_are_told(target), content:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    while chunk := content.read(CHUNK):
                        done += len(chunk)
                        if done > most:
                            raise BadArchiveError(f"{archive} holds more than {most} bytes; it is not unpacked.")
                        file.write(chunk)
            progress(done)
    except UserError:
        raise
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadArchiveError(
            f"{archive} is damaged or no archive ({reason:.200}); it is removed, get it again."
        ) from error


def _files(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Names and contents of the regular files.

    Raises:
        BadArchiveError: there is anything else but folders.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for entry in file.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if entry.is_dir() and is_safe(entry.filename):
                    continue
                if kind not in (0, stat.S_IFREG):
                    raise _special(archive, entry.filename)
                yield entry.filename, file.open(entry)
        return
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            if member.isdir() and is_safe(member.name):
                continue
            content = tar.extractfile(member) if member.isreg() and not member.issparse() else None
            if content is None:
                raise _special(archive, member.name)
            yield member.name, content


def _special(archive: Path, name: str) -> BadArchiveError:
    return BadArchiveError(f"{archive} holds {name!r:.80}, a link or device; it is not unpacked.")
