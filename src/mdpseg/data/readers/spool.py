"""A stream's first samples as files, so that each has a number and can be read in any order, again and again.

Sample n of the stream is file n of the folder. What was written before a kill stays and is not asked for again; several
processes that open the same folder wait for the one that fills it. A folder that has all that is wanted is only read:
it may lie where nothing can be written, and be read where there is no network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdpseg.data.readers.json_file import read_json
from mdpseg.data.readers.pairs import Pair
from mdpseg.errors import UserError
from mdpseg.files import remove_temporaries, write_text, write_whole
from mdpseg.text_file import LARGEST_TEXT

_RECORD = "spool.json"
_SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"RI": ".webp", b"II": ".tif", b"MM": ".tif"}


@dataclass(frozen=True)
class Kept:
    """The samples of a stream that are all there.

    Attributes:
        pairs: the samples.
        names: column -> the class names that the stream said it has; empty where they were not noted.
    """

    pairs: list[Pair]
    names: dict[str, list[Any]]


def kept(folder: Path, count: int, source: Mapping[str, str], name: str) -> Kept | None:
    """What :func:`spool` has written, if nothing is missing; for the arguments see there. Writes nothing.

    Raises:
        UserError: the folder holds another stream, or cannot be read.
    """
    try:
        if not (folder / _RECORD).is_file():
            return None
        known = _known(folder, source, name)
        pairs = _there(folder)
    except FileNotFoundError:  # one of its folders is not there yet
        return None
    except OSError as error:
        raise UserError(f"{name}: cache folder {folder} cannot be read ({error.strerror}); choose another.") from error
    if not _is_complete(pairs, count, known):
        return None
    return Kept(pairs[:count], _names(known))


def spool(
    samples: Callable[[int], Iterable[tuple[bytes, bytes]]],
    folder: Path,
    count: int,
    source: Mapping[str, str],
    name: str,
    names: Mapping[str, list[str]],
) -> list[Pair]:
    """Writes what is missing of the first samples, and returns all of them.

    Args:
        samples: gives the content of image and mask files from the n-th sample on, in the stream's order.
        folder: where the files go: ``images/00000000.jpg``, ``masks/00000000.png`` and ``spool.json``.
        count: how many samples; a stream that ends sooner has fewer.
        source: what the stream is; a folder that holds another one is refused.
        name: the dataset's name, for messages.
        names: column -> its class names, for :func:`kept`.

    Raises:
        UserError: the folder holds another stream, or cannot be written.
    """
    from filelock import FileLock  # comes with `datasets`

    try:
        for part in ("images", "masks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            known = _known(folder, source, name)
            return _filled(samples, folder, count, {**known, "names": {**_names(known), **names}})
    except OSError as error:
        raise UserError(
            f"{name}: cache folder {folder} cannot be written ({error.strerror}); choose another."
        ) from error


def _known(folder: Path, source: Mapping[str, str], name: str) -> dict[str, Any]:
    """What is noted of the stream; complains if it is another one."""
    record = folder / _RECORD
    known = read_json(record, f"{name}: {record}", LARGEST_TEXT) if record.exists() else {"source": dict(source)}
    if known.get("source") != source:
        raise UserError(
            f"{name}: {folder} holds samples of {json.dumps(known.get('source'))[:200]}, not of "
            f"{json.dumps(dict(source))}; name another folder as hf.cache, or remove it."
        )
    return known


def _names(known: Mapping[str, Any]) -> dict[str, list[Any]]:
    names = known.get("names")
    if not isinstance(names, dict):  # an earlier version noted none
        return {}
    return {column: listed for column, listed in names.items() if isinstance(listed, list)}


def _is_complete(pairs: list[Pair], count: int, known: Mapping[str, Any]) -> bool:
    return len(pairs) >= count or known.get("ended") is True


def _filled(
    samples: Callable[[int], Iterable[tuple[bytes, bytes]]], folder: Path, count: int, known: dict[str, Any]
) -> list[Pair]:
    record = folder / _RECORD
    write_text(record, json.dumps(known) + "\n")
    for part in ("images", "masks"):
        remove_temporaries(folder / part)
    pairs = _there(folder)
    if not _is_complete(pairs, count, known):
        for number, (image, mask) in enumerate(samples(len(pairs)), len(pairs)):
            _write(folder / "masks", number, mask)
            _write(folder / "images", number, image)  # last: whose image is there, is whole
            if number + 1 == count:
                break
        else:
            write_text(record, json.dumps({**known, "ended": True}) + "\n")
        pairs = _there(folder)
    return pairs[:count]


def _write(folder: Path, number: int, content: bytes) -> None:
    path = folder / f"{number:08d}{_SUFFIXES.get(content[:2], '.bin')}"
    write_whole(path, lambda temporary: temporary.write_bytes(content))


def _there(folder: Path) -> list[Pair]:
    """The samples that are whole, from the first one to the first gap."""
    images, masks = ({path.stem: path for path in (folder / part).iterdir()} for part in ("images", "masks"))
    pairs: list[Pair] = []
    while (key := f"{len(pairs):08d}") in images and key in masks:
        pairs.append(Pair(key, images[key], masks[key]))
    return pairs
