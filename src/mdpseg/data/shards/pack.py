"""Packs a dataset into shards: whole ones only, each in its place once it is written, so that a rerun goes on."""

from __future__ import annotations

import hashlib
import io
import json
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
from mdpseg.data.readers.decode import decode_photograph, read_bytes
from mdpseg.data.readers.header import kind_of
from mdpseg.data.readers.pairs import PairReader
from mdpseg.data.readers.unlabelled import Unlabelled
from mdpseg.data.shards.index import NAME, Index, Member, Row, Shard, parse
from mdpseg.data.workers import in_order
from mdpseg.errors import UserError, printable
from mdpseg.files import make_folder, remove_temporaries, write_text, write_whole

_ENDINGS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
STATE = "packing.json"  # in a folder whose packing is not finished: whose it is


@dataclass(frozen=True)
class Packed:
    """One image on its way into a shard.

    Attributes:
        id: its name inside its dataset.
        ending: jpg, png or webp, by the content.
        image: the file's bytes.
        mask: an 8-bit PNG of local ids, or None.
    """

    id: str
    ending: str
    image: bytes
    mask: bytes | None


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
    fingerprints = _fingerprints(reader, shard_bytes)
    done = _begin(out, fingerprints, reader.name)
    if done is not None:
        return done
    parts = _finished(out, fingerprints)
    start = sum(len(part.rows) for part in parts)
    shards = _shards(_read(reader, start, workers), shard_bytes)
    for number, content in enumerate(shards, len(parts)):
        start += len(content)
        parts.append(_write_shard(out, number, content, fingerprints[start]))
    index = Index(
        [part.shards[0] for part in parts],
        [row._replace(shard=number) for number, part in enumerate(parts) for row in part.rows],
        dataset=reader.name,
        classes=reader.classes if reader.label_set else None,
        catch_all=reader.catch_all,
        fingerprint=fingerprints[-1],
    )
    index.write(out / NAME)
    _tidy(out, index)
    return index


def _fingerprints(reader: Reader, shard_bytes: int) -> list[str]:
    """One for each number of images from none to all: of what the shards of so many first images follow from.

    That is as far as it shows without reading the images: names, classes, sizes of files.
    """
    digest = hashlib.sha256(json.dumps([reader.name, reader.classes, reader.catch_all, shard_bytes]).encode())
    found = [digest.hexdigest()]
    for index in range(len(reader)):
        files = reader.paths(index) if isinstance(reader, PairReader | Unlabelled) else ()
        sizes = [file.stat().st_size if file.is_file() else -1 for file in files]
        digest.update(json.dumps([_id(reader, index), sizes]).encode())
        found.append(digest.hexdigest())
    return found


def _id(reader: Reader, index: int) -> str:
    if isinstance(reader, Unlabelled):
        return reader.source.id(index)
    return reader.id(index) if isinstance(reader, PairReader) else reader[index].id


def _begin(out: Path, fingerprints: Sequence[str], name: str) -> Index | None:
    """Makes the folder ready; the index if all is there already."""
    make_folder(out)
    index, state = out / NAME, out / STATE
    if index.is_file():
        done = parse(index.read_bytes(), str(index))
        same = done.fingerprint == fingerprints[-1]
        if same and all(
            (out / shard.name).is_file() and (out / shard.name).stat().st_size == shard.bytes for shard in done.shards
        ):
            _tidy(out, done)
            return done
        raise UserError(
            f"{out} holds shards of {'which some are gone' if same else 'another dataset, or of one that has changed'} "
            f"({printable(str(done.dataset))}); {name} needs a folder of its own, or remove them."
        )
    if state.is_file():
        if state.read_text() != _state(fingerprints, name):
            raise UserError(
                f"{out} holds the unfinished packing of another dataset, or with other settings; choose another "
                "folder, or remove it."
            )
    elif any(out.glob("*.tar")):
        raise UserError(f"{out} holds shards that are not of this packing; choose another folder, or remove them.")
    remove_temporaries(out)
    write_text(state, _state(fingerprints, name))
    return None


def _tidy(out: Path, index: Index) -> None:
    """Removes what was only needed until the index was there."""
    for path in [out / STATE, *out.glob("shard-*.tar.json"), *out.glob("shard-*.tar")]:
        if path.name not in {shard.name for shard in index.shards}:
            path.unlink(missing_ok=True)


def _state(fingerprints: Sequence[str], name: str) -> str:
    return json.dumps({"dataset": name, "fingerprint": fingerprints[0]}) + "\n"


def _finished(out: Path, fingerprints: Sequence[str]) -> list[Index]:
    """The shards that an interrupted packing has finished and that still hold, each as an index of its own."""
    parts: list[Index] = []
    count = 0
    while (path := _part_path(out, len(parts))).is_file():
        part = parse(path.read_bytes(), str(path))
        shard = out / part.shards[0].name
        count += len(part.rows)
        if (
            part.fingerprint not in fingerprints[count : count + 1]
            or not shard.is_file()
            or shard.stat().st_size != part.shards[0].bytes
        ):
            break
        parts.append(part)
    return parts


def _part_path(out: Path, number: int) -> Path:
    return out / f"{_shard_name(number)}.json"


def _shard_name(number: int) -> str:
    return f"shard-{number:06}.tar"


def _pack_one(reader: Reader, index: int) -> Packed:
    sample = reader[index]
    mask = _png(sample.mask) if reader.label_set else None
    files = reader.paths(index) if isinstance(reader, PairReader | Unlabelled) else ()
    if files:
        content = read_bytes(files[0], reader.name)
        ending = _ENDINGS.get(kind_of(content) or "")
        # what the reader made of it may be more than the file: then the pixels are packed
        if ending and torch.equal(decode_photograph(content, files[0], reader.name), sample.image):
            return Packed(sample.id, ending, content, mask)
    return Packed(sample.id, "png", _png(sample.image.permute(1, 2, 0)), mask)


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


def _write_shard(out: Path, number: int, images: Sequence[Packed], fingerprint: str) -> Index:
    rows: list[Row] = []
    path = out / _shard_name(number)

    def write(temporary: Path) -> None:
        with tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as tar:
            for packed in images:
                key = _key(packed.id)
                image = _add(tar, f"{key}.{packed.ending}", packed.image)
                mask = None if packed.mask is None else _add(tar, f"{key}.mask.png", packed.mask)
                rows.append(Row(packed.id, 0, image, mask))

    write_whole(path, write)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    index = Index([Shard(path.name, path.stat().st_size, digest)], rows, fingerprint=fingerprint)
    index.write(_part_path(out, number))  # the shard counts from now on
    return index


def _key(name: str) -> str:
    """An id as a key: WebDataset ends a key at its first dot."""
    return name.replace("%", "%25").replace(".", "%2E")


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> Member:
    info = tarfile.TarInfo(name)  # no time, no owner: the same dataset gives the same bytes
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))
    padded = -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return Member(tar.offset - padded, len(content), zlib.crc32(content))
