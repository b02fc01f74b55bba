"""Gets one large file: goes on where it was interrupted, gives up with one message, leaves a whole file or none."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdpseg import web
from mdpseg.errors import UserError
from mdpseg.files import disk_faults_are_told, write_text

if TYPE_CHECKING:
    import requests

CHUNK = 2**16  # bytes; of a connection that breaks off, so many at most are lost


class _OtherFileError(web.InterruptedTransferError):
    """The server has another file now than the one whose part is here."""


def fetch(
    url: str, path: Path, *, most: int, checksum: str | None = None, progress: Callable[[int, int | None], None]
) -> str:
    """Gets a file.

    What has come so far lies in ``NAME.part``, what the server said of it in ``NAME.part.json``; a second call goes on
    from there if the server still has the same file, and otherwise starts anew.

    Args:
        url: its address.
        path: where it goes.
        most: bytes; a larger file is refused.
        checksum: ``md5:...`` or ``sha1:...`` that it must have.
        progress: is told the bytes that are here, and of how many, where the server says so.

    Returns:
        The file's sha256, in hexadecimal.

    Raises:
        UserError: the server cannot be reached, answers with an error, or sends too much; the checksum is another one;
            the disk is full.
    """
    part = path.with_name(f"{path.name}.part")
    failures = 0
    while True:
        before = _size(part)
        try:
            with disk_faults_are_told(path):
                _go_on(url, part, most, checksum is not None, progress)
            break
        except web.InterruptedTransferError as error:
            if isinstance(error, _OtherFileError):
                part.unlink(missing_ok=True)
            failures = 0 if _size(part) > before else failures + 1
            if failures > len(web.WAITS):
                raise UserError(
                    f"{url} cannot be got after {failures} attempts ({error}); {_size(part)} bytes are here, the same "
                    "command goes on from there."
                ) from error
            time.sleep(web.WAITS[max(0, failures - 1)])
    digest = check(url, part, checksum)
    part.replace(path)
    _told(part).unlink(missing_ok=True)
    return digest


def _go_on(url: str, part: Path, most: int, checked: bool, progress: Callable[[int, int | None], None]) -> None:
    """One attempt at the bytes that are missing."""
    start, told = _size(part), _read_told(part)
    headers = {}
    # without checksum or validator nothing would tell that the rest is another file's
    if start and told.get("url") == url and (checked or told.get("validator")):
        headers["Range"] = f"bytes={start}-"
        if told.get("validator"):  # of another file the server sends all, not the rest
            headers["If-Range"] = told["validator"]
    with web.opened(url, headers) as response:
        if not _continues(response, start, told):
            start = 0
        if response.status_code == 416:
            if start and start == told.get("total"):
                return
            raise _OtherFileError("the server has no such part of it")
        total = _total(response)
        if max(total or 0, start) > most:
            raise UserError(f"{url} has {total} bytes, and at most {most} are expected; it is not got.")
        _need_room(part.parent, (total or start) - start)
        validator = _validator(response)
        write_text(_told(part), json.dumps({"url": url, "total": total, "validator": validator}) + "\n")
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            have = start
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress(have, total)
                if have > most:
                    raise UserError(f"{url} sends more than the {most} bytes that are expected; it is not got.")
    if total is not None and have < total:
        raise web.InterruptedTransferError(f"it broke off at {have} of {total} bytes")


def _continues(response: requests.Response, start: int, told: dict[str, Any]) -> bool:
    """Whether the response is the rest of what is here, rather than the file from its beginning."""
    if response.status_code == 416:
        return start > 0
    if response.status_code != 206:
        return False
    first, total = web.content_range(response.headers.get("Content-Range", ""))
    if first != start or told.get("total") not in (None, total):
        raise _OtherFileError("it has changed, or the server sends other parts than it is asked for")
    return True


def _total(response: requests.Response) -> int | None:
    if response.status_code == 206:
        return web.content_range(response.headers.get("Content-Range", ""))[1]
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None


def _validator(response: requests.Response) -> str | None:
    """What If-Range takes: a strong ETag, or the date of the last change."""
    tag = str(response.headers.get("ETag", ""))
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _need_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder} has room for {free / 1e9:.2f} GB, and {needed / 1e9:.2f} GB are needed; make room there, or "
            "choose another folder."
        )


def check(url: str, part: Path, checksum: str | None) -> str:
    """Compares a file that came from ``url`` with its checksum; one that differs is removed.

    Returns:
        Its sha256, in hexadecimal.

    Raises:
        UserError: it differs.
    """
    kind, _, wanted = (checksum or "").partition(":")
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in {"sha256", kind or "sha256"}}
    with part.open("rb") as file:
        while chunk := file.read(CHUNK):
            for digest in digests.values():
                digest.update(chunk)
    if checksum and digests[kind].hexdigest() != wanted:
        size = _size(part)
        part.unlink()
        _told(part).unlink(missing_ok=True)
        raise UserError(
            f"What came from {url} ({size} bytes) has {kind} {digests[kind].hexdigest()}, and {wanted} is published; "
            "it is removed. Try again; if it stays so, the file or the way to it was changed."
        )
    return digests["sha256"].hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _told(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_told(part: Path) -> dict[str, Any]:
    """What the server said of the part; nothing if that cannot be read, and then the part is not gone on with."""
    try:
        told = json.loads(_told(part).read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
