"""The folder that is packed into: what it holds already, what of that still holds, and what is left over."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path

from mdpseg.data.loader import Reader
from mdpseg.data.shards import fingerprint
from mdpseg.data.shards.index import NAME, Index, parse
from mdpseg.errors import UserError, printable
from mdpseg.files import make_folder, remove_temporaries, write_text

STATE = "packing.json"  # in a folder whose packing is not finished: whose it is
_OURS = re.compile(r"shard-\d{6}\.tar(\.json)?")


def begin(out: Path, reader: Reader, beginning: str, workers: int) -> Index | None:
    """Makes the folder ready; the index if all is there already.

    Args:
        out: the folder.
        reader: the dataset.
        beginning: its fingerprint of no images.
        workers: processes that compare.

    Raises:
        UserError: it holds something else, or shards of a dataset that has changed since.
    """
    make_folder(out)
    index, state = out / NAME, out / STATE
    if index.is_file():
        done = parse(index.read_bytes(), str(index))
        _check_same(out, done, reader, beginning, workers)
        if state.is_file():  # it was interrupted as it tidied
            tidy(out, done)
        return done
    if state.is_file():
        if state.read_text() != _state(reader, beginning):
            raise UserError(
                f"{out} holds the unfinished packing of another dataset, or with other settings or by an earlier "
                "version; choose another folder, or remove it."
            )
    elif any(out.glob("*.tar")):
        raise UserError(f"{out} holds shards that are not of this packing; choose another folder, or remove them.")
    remove_temporaries(out)
    write_text(state, _state(reader, beginning))
    return None


def _check_same(out: Path, done: Index, reader: Reader, beginning: str, workers: int) -> None:
    """Complains unless the finished shards are all there and of this dataset, as it is now."""
    if done.fingerprint and not done.fingerprint.startswith(fingerprint.FORM):
        raise UserError(
            f"{out} holds shards of an earlier version, which did not note enough to tell whether the dataset has "
            f"changed since. They are read as ever; to pack {reader.name} again name another folder, or remove them."
        )
    same = done.dataset == reader.name and len(done.rows) == len(reader)
    if same:  # only then it is worth reading
        *_, last = beginning, *fingerprint.of_first(reader, beginning, len(reader), workers)
        same = done.fingerprint == last
    files = {out / shard.name: shard.bytes for shard in done.shards}
    if not same or any(not file.is_file() or file.stat().st_size != size for file, size in files.items()):
        raise UserError(
            f"{out} holds shards of {'which some are gone' if same else 'another dataset, or of one that has changed'} "
            f"({printable(str(done.dataset))}); {reader.name} needs a folder of its own, or remove them."
        )


def tidy(out: Path, index: Index) -> None:
    """Removes what was only needed until the index was there; files of other names are not ours."""
    kept = {shard.name for shard in index.shards}
    for path in [path for path in out.iterdir() if _OURS.fullmatch(path.name)]:
        if path.name not in kept:
            path.unlink(missing_ok=True)
    (out / STATE).unlink(missing_ok=True)  # last: while it is there, there is something to tidy


def _state(reader: Reader, beginning: str) -> str:
    return json.dumps({"dataset": reader.name, "fingerprint": beginning}) + "\n"


def finished(out: Path, reader: Reader, beginning: str, workers: int) -> list[Index]:
    """The shards that an interrupted packing has finished and that still hold, each as an index of its own."""
    parts: list[Index] = []
    while (part := _part(out, len(parts))) is not None:
        parts.append(part)
    marks = fingerprint.of_first(reader, beginning, min(len(reader), sum(len(part.rows) for part in parts)), workers)
    for number, part in enumerate(parts):
        *_, last = None, *islice(marks, len(part.rows))
        if part.fingerprint != last:
            return parts[:number]
    return parts


def _part(out: Path, number: int) -> Index | None:
    """What is noted of a finished shard, if both are whole."""
    path, shard = part_path(out, number), out / shard_name(number)
    try:
        part = parse(path.read_bytes(), str(path))
        (noted,) = part.shards
        return part if part.rows and (noted.name, noted.bytes) == (shard.name, shard.stat().st_size) else None
    except (OSError, UserError, ValueError):  # it is packed again
        return None


def part_path(out: Path, number: int) -> Path:
    """The index of one shard, which is there once the shard is whole."""
    return out / f"{shard_name(number)}.json"


def shard_name(number: int) -> str:
    """The file name of the shard of this number."""
    return f"shard-{number:06}.tar"
