"""Gets a public dataset: room, terms, archives, checksums, unpacking; each step whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path, PurePosixPath

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from mdpseg.data.download.fetch import check, fetch
from mdpseg.data.download.sbd import add_to_voc, need_voc
from mdpseg.data.download.sources import Archive, Source
from mdpseg.data.download.unpack import BadArchiveError, unpack
from mdpseg.errors import UserError
from mdpseg.files import disk_faults_are_told, lock, make_folder, write_text, write_whole

MIRROR = "MDPSEG_MIRROR"  # environment variable: address of a folder with the archives under their own names
LICENCE = "LICENCE.txt"
RECORD = "downloads.json"
_UNPACKING = ".unpacking-"
_LOCK = ".getting"


def get(source: Source, out: Path, tell: Callable[[str], None]) -> None:
    """Gets a dataset's archives, checks and unpacks them.

    Args:
        source: which dataset.
        out: its folder; what is there already is not got again.
        tell: is called with each message for the user, the terms first.

    Raises:
        UserError: see :func:`mdpseg.data.download.fetch.fetch` and :func:`mdpseg.data.download.unpack.unpack`; or
            there is no room, or another process gets something into that folder.
    """
    tell(f"Terms of use: {source.licence}")
    if source.name == "sbd":
        need_voc(out)
    make_folder(out)
    with _alone(out, tell):
        _get(source, out, tell)


@contextmanager
def _alone(out: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Nobody else gets anything into the folder: they would remove what is being unpacked, and take half for whole."""
    path = out / _LOCK
    with disk_faults_are_told(path):
        file = path.open("w")
    with file:
        try:
            locked = lock(file, wait=False)
            # where one has just ended, the file that was opened may be gone, and another's stand there
            if locked and not os.path.samestat(path.stat(), os.fstat(file.fileno())):
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError):
            raise UserError(
                f"Another `mdpseg data get` is getting something into {out}; wait for it, or choose another folder by "
                "--out."
            ) from None
        if not locked:
            tell("This file system has no locks: see to it that no other `mdpseg data get` writes here.")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _get(source: Source, out: Path, tell: Callable[[str], None]) -> None:
    for leftover in out.glob(f"{_UNPACKING}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    missing = [archive for archive in source.archives if not (out / archive.makes).exists()]
    _need_room(out, missing)
    for archive in missing:
        _get_archive(archive, out, tell)
    _note_licence(out, source)
    if source.name == "sbd":
        tell(add_to_voc(out))
    tell(f"{out} is ready: {{name: {source.name}, reader: {source.reader}, path: {out}, split: {source.split}}}")


def _need_room(out: Path, archives: list[Archive]) -> None:
    """One archive lies beside what comes out of it, and is then removed."""
    unpacked = sum(archive.unpacked for archive in archives)
    needed = unpacked + max((archive.bytes for archive in archives), default=0)
    here = sum(path.stat().st_size for path in out.glob("*.part"))
    free = shutil.disk_usage(out).free + here
    if needed > free:
        raise UserError(
            f"{out} has room for {free / 1e9:.1f} GB, and about {needed / 1e9:.1f} GB are needed; make room there, or "
            "choose another folder by --out."
        )


def _get_archive(archive: Archive, out: Path, tell: Callable[[str], None]) -> None:
    name = PurePosixPath(archive.url).name
    path = out / name
    url = f"{os.environ[MIRROR].rstrip('/')}/{name}" if os.environ.get(MIRROR) else archive.url
    if path.is_file():
        check(str(path), path, archive.checksum)
    else:
        tell(f"Getting {url} (about {archive.bytes / 1e9:.1f} GB)")
        with _progress(name) as progress:
            digest = fetch(url, path, most=2 * archive.bytes, checksum=archive.checksum, progress=progress)
        _record(out, url, path.stat().st_size, digest, archive.checksum)
        checked = (
            f"{archive.checksum.partition(':')[0]} is as published" if archive.checksum else "no checksum is published"
        )
        tell(f"Got {name}: sha256 {digest}, {checked}")
    folder = out / f"{_UNPACKING}{name}"
    tell(f"Unpacking {name}")
    try:
        with _progress(f"unpacking {name}") as progress:
            unpack(path, folder / archive.into, 2 * archive.unpacked, lambda done: progress(done, archive.unpacked))
        made = folder / archive.makes
        if not made.exists():
            raise BadArchiveError(f"{path} holds no {archive.makes}; it is not what was expected, and is removed.")
        with disk_faults_are_told(made):
            (out / archive.makes).parent.mkdir(parents=True, exist_ok=True)
            made.rename(out / archive.makes)
    except BadArchiveError:
        path.unlink()
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    path.unlink()


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on a terminal's stderr."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _record(out: Path, url: str, size: int, sha256: str, checksum: str | None) -> None:
    """Adds what was got to downloads.json."""
    path = out / RECORD
    try:
        known = json.loads(path.read_bytes()) if path.is_file() else []
    except (ValueError, RecursionError):
        known = None
    if not isinstance(known, list):  # damaged: a record of what came is no reason to get it again
        known = []
    entry = {"url": url, "date": str(date.today()), "bytes": size, "sha256": sha256, "checked_against": checksum}
    write_text(path, json.dumps([*known, entry], indent=1) + "\n")


def _note_licence(out: Path, source: Source) -> None:
    path = out / LICENCE
    known = path.read_bytes() if path.is_file() else b""  # whatever its encoding is
    ours = source.licence.encode()
    if ours not in known:
        write_whole(path, lambda temporary: temporary.write_bytes(known + ours + b"\n"))
