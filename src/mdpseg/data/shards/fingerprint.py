"""Whether shards are of this dataset, as it is now: a fingerprint of what they follow from.

There is one for each number of images from none to all, so that what an interrupted packing has left can be compared.
It covers the contents, not their places or times: a dataset that was copied is the same one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track
from torch import Tensor

from mdpseg.data.loader import Reader
from mdpseg.data.readers.decode import read_bytes
from mdpseg.data.readers.header import kind_of
from mdpseg.data.readers.pairs import PairReader
from mdpseg.data.readers.unlabelled import Unlabelled
from mdpseg.data.workers import in_order
from mdpseg.errors import printable

FORM = "2:"  # earlier fingerprints have none: they knew no more than names, classes and sizes of files


def beginning(reader: Reader, shard_bytes: int) -> str:
    """The fingerprint of no images."""
    said = [reader.name, reader.label_set is None, reader.classes, reader.catch_all, shard_bytes]
    return FORM + hashlib.sha256(json.dumps(said).encode()).hexdigest()


def following(fingerprint: str, source: str) -> str:
    """The fingerprint of one image more, from that of those before it and the image's :func:`source`."""
    return FORM + hashlib.sha256(f"{fingerprint} {source}".encode()).hexdigest()


def source(name: str, image: bytes | Tensor, mask: Tensor | None) -> str:
    """What one image's files in a shard follow from.

    Masks count by their local ids, whatever these are made from: files, colours of a class list, outlines, rows.

    Args:
        name: its id.
        image: the file, where :func:`packable` gives it; else its pixels, uint8 [3, H, W].
        mask: local ids, uint8 [H, W], or None.
    """
    digest = hashlib.sha256(json.dumps(name).encode())
    for part in (image, mask):
        shape = None if part is None or isinstance(part, bytes) else list(part.shape)
        digest.update(f" {shape} ".encode())
        if part is not None:
            digest.update(hashlib.sha256(part if isinstance(part, bytes) else part.contiguous().numpy().data).digest())
    return digest.hexdigest()


def packable(reader: Reader, index: int) -> tuple[Path, bytes, str] | None:
    """An image's file with its content and kind, if it has one of a kind that is packed as it is."""
    files = reader.paths(index) if isinstance(reader, PairReader | Unlabelled) else ()
    if not files:
        return None
    content = read_bytes(files[0], reader.name)
    kind = kind_of(content)
    return (files[0], content, kind) if kind else None


def of_first(reader: Reader, beginning: str, count: int, workers: int) -> Iterator[str]:
    """The fingerprints of one image, two, ... up to ``count``, with progress on stderr.

    Photographs are not decoded, which makes this several times as fast as packing.
    """
    console = Console(stderr=True)
    sources = in_order(partial(_source_of, reader), range(count), workers)
    title = f"comparing {printable(reader.name)}"
    fingerprint = beginning
    for found in track(sources, title, count, console=console, disable=not console.is_terminal):
        fingerprint = following(fingerprint, found)
        yield fingerprint


def _source_of(reader: Reader, index: int) -> str:
    file = packable(reader, index)
    if file is None:
        sample = reader[index]
        return source(sample.id, sample.image, sample.mask if reader.label_set else None)
    if isinstance(reader, Unlabelled):
        return source(reader.source.id(index), file[1], None)
    assert isinstance(reader, PairReader)  # no other has files
    return source(reader.id(index), file[1], reader.mask(index))
