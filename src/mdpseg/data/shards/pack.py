"""Packs a dataset into shards: whole ones only, each in its place once it is written, so that a rerun goes on."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor

from mdpseg.data.loader import Reader
from mdpseg.data.readers.decode import decode_photograph
from mdpseg.data.readers.pairs import PairReader
from mdpseg.data.readers.unlabelled import Images, Unlabelled
from mdpseg.data.shards import fingerprint
from mdpseg.data.shards.folder import begin, finished, part_path, shard_name, tidy
from mdpseg.data.shards.index import NAME, Index, Member, Row, Shard
from mdpseg.data.shards.keys import is_id, key_of
from mdpseg.data.workers import in_order
from mdpseg.errors import UserError, printable
from mdpseg.files import write_whole

_ENDINGS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}


@dataclass(frozen=True)
class Packed:
    """One image on its way into a shard.

    Attributes:
        id: its name inside its dataset.
        ending: jpg, png or webp, by the content.
        image: the file's bytes.
        mask: an 8-bit PNG of local ids, or None.
        source: what they follow from, see :func:`mdpseg.data.shards.fingerprint.source`.
    """

    id: str
    ending: str
    image: bytes
    mask: bytes | None
    source: str


def pack(reader: Reader, out: Path, *, shard_bytes: int = 256 * 10**6, workers: int = 2) -> Index:
    """Writes a dataset as shards with an index.

    Images keep their files' bytes; an image that is no JPEG, PNG or WebP file becomes a PNG of the same pixels. Masks
    are 8-bit PNGs of local ids, 255 where ignored. Each image is read once and compared before it is packed.

    Args:
        reader: the dataset.
        out: folder for the shards; may hold what an interrupted packing of the same dataset has left.
        shard_bytes: a shard ends before the image that would make it larger.
        workers: processes that read.

    Returns:
        The index, as it is written.

    Raises:
        UserError: an image or mask is bad, ``out`` holds something else, or the disk is full.
    """
    _check_ids(reader)
    mark = fingerprint.beginning(reader, shard_bytes)
    done = begin(out, reader, mark, workers)
    if done is not None:
        return done
    parts = finished(out, reader, mark, workers)
    start = sum(len(part.rows) for part in parts)
    mark = (parts[-1].fingerprint if parts else None) or mark
    for number, content in enumerate(_shards(_read(reader, start, workers), shard_bytes), len(parts)):
        for packed in content:
            mark = fingerprint.following(mark, packed.source)
        parts.append(_write_shard(out, number, content, mark))
    index = Index(
        [part.shards[0] for part in parts],
        [row._replace(shard=number) for number, part in enumerate(parts) for row in part.rows],
        dataset=reader.name,
        classes=reader.classes if reader.label_set else None,
        catch_all=reader.catch_all,
        fingerprint=mark,
    )
    index.write(out / NAME)
    tidy(out, index)
    return index


def _check_ids(reader: Reader) -> None:
    """Refuses an id that no index may hold, before hours are spent on it."""
    named = reader.source if isinstance(reader, Unlabelled) else reader
    if not isinstance(named, PairReader | Images):
        return  # made on the fly, and named by us
    for name in map(named.id, range(len(named))):
        if not is_id(name):
            raise UserError(
                f"{reader.name}: image {name!r:.100} would lead out of the folder of its shards; give its path without "
                "`..`."
            )


def _pack_one(reader: Reader, index: int) -> Packed:
    sample = reader[index]
    mask = _png(sample.mask) if reader.label_set else None
    file = fingerprint.packable(reader, index)
    source = fingerprint.source(sample.id, file[1] if file else sample.image, sample.mask if reader.label_set else None)
    # what the reader made of it may be more than the file: then the pixels are packed
    if file and torch.equal(decode_photograph(file[1], file[0], reader.name), sample.image):
        return Packed(sample.id, _ENDINGS[file[2]], file[1], mask, source)
    return Packed(sample.id, "png", _png(sample.image.permute(1, 2, 0)), mask, source)


def _png(pixels: Tensor) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.contiguous().numpy()).save(file, "PNG")
    return file.getvalue()


def _read(reader: Reader, start: int, workers: int) -> Iterator[Packed]:
    """The images from number ``start`` on, in their order, with progress on stderr."""
    console = Console(stderr=True)
    left = range(start, len(reader))
    images = in_order(partial(_pack_one, reader), left, workers)
    yield from track(images, printable(reader.name), len(left), console=console, disable=not console.is_terminal)


def _shards(images: Iterator[Packed], most: int) -> Iterator[list[Packed]]:
    """Images in groups of up to ``most`` bytes with their tar headers, at least one a group."""
    group: list[Packed] = []
    size = 0
    for packed in images:
        more = sum(1024 + len(content) for content in (packed.image, packed.mask or b""))
        if group and size + more > most:
            yield group
            group, size = [], 0
        group.append(packed)
        size += more
    if group:
        yield group


def _write_shard(out: Path, number: int, images: Sequence[Packed], mark: str) -> Index:
    rows: list[Row] = []
    path = out / shard_name(number)

    def write(temporary: Path) -> None:
        with tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as tar:
            for packed in images:
                key = key_of(packed.id)
                image = _add(tar, f"{key}.{packed.ending}", packed.image)
                mask = None if packed.mask is None else _add(tar, f"{key}.mask.png", packed.mask)
                rows.append(Row(packed.id, 0, image, mask))

    write_whole(path, write)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    index = Index([Shard(path.name, path.stat().st_size, digest)], rows, fingerprint=mark)
    index.write(part_path(out, number))  # the shard counts from now on
    return index


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> Member:
    info = tarfile.TarInfo(name)  # no time, no owner: the same dataset gives the same bytes
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
    padded = -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return Member(tar.offset - padded, len(content), zlib.crc32(content))
