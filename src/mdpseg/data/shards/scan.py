"""The index of shards that somebody else wrote, from the headers in them."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from mdpseg.data.readers.decode import LARGEST_FILE
from mdpseg.data.shards.index import Index, Member, Row, Shard, is_safe
from mdpseg.data.shards.keys import id_of
from mdpseg.errors import UserError

# A member's name is KEY.ENDING, where the key ends at the first dot behind the last slash.
# "png" is the last of both: beside an image of any other ending it is the mask.
_PHOTOGRAPHS = ("jpg", "jpeg", "webp")
IMAGES = (*_PHOTOGRAPHS, *(f"{word}.{kind}" for word in ("image", "img") for kind in (*_PHOTOGRAPHS, "png")), "png")
MASKS = ("mask.png", "seg.png", "segmentation.png", "label.png", "labels.png", "annotation.png", "png")
RULE = 2  # the first took any PNG for the image; an index that it has made is made anew
_OUR_SHARD = re.compile(r"shard-\d{6}\.tar")
LARGEST_HEADER = 2**20  # bytes of a member's long name or extended header


def scan(shards: Sequence[Path], name: str) -> Index:
    """Finds the images and masks of shards by their members' endings.

    The image is the first of :data:`IMAGES` that a key has, the mask the first of :data:`MASKS` beside it. Links,
    devices, names that are absolute or hold ``..``, and whatever has other endings are left out. Keys are the ids, but
    for shards that lost the index that ``mdpseg data pack`` wrote: there the ids are what was packed.

    Args:
        shards: local .tar files.
        name: the dataset's name, for messages.

    Raises:
        UserError: a shard is no plain .tar or breaks off, a key is there twice, or there is no image.
    """
    rows: dict[str, Row] = {}
    for place, shard in enumerate(shards):
        found: dict[str, dict[str, Member]] = {}
        for key, ending, member in _members(shard, name):
            if ending in found.setdefault(key, {}):
                raise UserError(
                    f"{name}: shard {shard} holds {key}.{ending} twice; pack it again with keys that differ."
                )
            found[key][ending] = member
        for key, endings in found.items():
            image = next((ending for ending in IMAGES if ending in endings), None)
            if image is None:
                continue
            if key in rows:
                raise UserError(
                    f"{name}: shards {shards[rows[key].shard]} and {shard} both hold the key {key!r:.60}, by which "
                    "images are told apart; pack them again with keys that differ, or read one of them alone."
                )
            mask = next((ending for ending in MASKS if ending in endings and ending != image), None)
            rows[key] = Row(key, place, endings[image], endings[mask] if mask else None)
    if not rows:
        raise UserError(
            f"{name}: no image in the shards of {shards[0].parent}; expected members such as 0001.jpg beside "
            f"0001.mask.png (images: {', '.join(IMAGES)}; masks: {', '.join(MASKS)})."
        )
    return Index([Shard(shard.name, shard.stat().st_size, None) for shard in shards], list(rows.values()), rule=RULE)


class _Headers(io.FileIO):
    """A shard whose headers alone are read: tarfile would read a long name of any length that it claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= LARGEST_HEADER:
            raise tarfile.ReadError("a header claims more than a megabyte")
        return super().read(size)


def _is_ours(shard: Path, info: tarfile.TarInfo) -> bool:
    """Whether ``mdpseg data pack`` wrote it, which escapes ids: others' members have a time or an owner."""
    return bool(_OUR_SHARD.fullmatch(shard.name)) and not (info.mtime or info.uname or info.gname)


def _members(shard: Path, name: str) -> Iterator[tuple[str, str, Member]]:
    """Key, ending and place of each regular file."""
    size, end = shard.stat().st_size, 0
    try:
        with _Headers(shard) as file, tarfile.open(fileobj=file, mode="r:", ignore_zeros=False) as tar:
            for info in tar:
                end = info.offset_data + info.size
                if end > size or info.size < 0:
                    raise tarfile.ReadError(f"{info.name!r:.60} goes on behind the file's end")
                path = PurePosixPath(info.name)
                key, _, ending = path.name.partition(".")
                if not info.isreg() or info.issparse() or not is_safe(info.name) or not key or not ending:
                    continue
                if 0 < info.size <= LARGEST_FILE:
                    key = str(path.with_name(key))
                    key = id_of(key) if _is_ours(shard, info) else key
                    yield key, ending.lower(), Member(info.offset_data, info.size, None)
            file.seek(-(-end // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes a damaged header for the end
                raise tarfile.ReadError("a header is damaged")
    except (tarfile.TarError, OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{name}: shard {shard} cannot be read ({error}); expected a plain .tar, not compressed. Unpack or copy it "
            "again."
        ) from error
