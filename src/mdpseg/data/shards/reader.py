"""Datasets in .tar shards, read by number through an index; on a disk, or on an http(s) server."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mdpseg.data.readers.classes import read_classes
from mdpseg.data.readers.decode import decode_ids, decode_photograph
from mdpseg.data.readers.pairs import IGNORED, Pair, PairReader, Sample, id_table
from mdpseg.data.readers.subset import Subset
from mdpseg.data.shards.index import Member, Shard
from mdpseg.data.shards.store import LocalShards, Store
from mdpseg.errors import BadFileError, UserError

_NEAR = 2**14  # bytes between an image and its mask that are read along


class Shards(PairReader):
    """Images and masks inside .tar files of WebDataset's convention.

    Layout::

        shard-000000.tar    holds 0001.jpg, 0001.mask.png, town/0002.png, town/0002.mask.png, ...
        index.json          where each of them begins, written by ``mdpseg data pack`` or on the first reading
        classes.txt         for shards whose index does not name the classes

    Ids are the keys: ``0001``, ``town/0002``; images come in the order of their ids, whatever shard they lie in.
    Masks hold ids 0 to K-1 and 255 (ignored). Samples are uint8 [3, H, W] images and uint8 [H, W] masks.

    Args:
        store: the folder of the shards, or a :class:`~mdpseg.data.shards.store.RemoteShards`.
        classes: names, or a file of them, where the index does not name them.
        subset: which part to read, a :class:`Subset` or its keys as a mapping.
        name: the dataset's name, for messages.
        catch_all: the class that collects whatever has no class here; default: as the index says.
        labelled: whether masks and classes are needed.

    Raises:
        UserError: no shards, a wrong index, a shard of another size than the index says, no class list, or images
            without masks.
    """

    def __init__(
        self,
        store: str | Path | Store,
        classes: str | Path | Sequence[Any] | None = None,
        *,
        subset: Subset | Mapping[str, Any] | None = None,
        name: str = "shards",
        catch_all: str | None = None,
        labelled: bool = True,
    ) -> None:
        self.store = LocalShards(Path(store), name) if isinstance(store, str | Path) else store
        index, place = self.store.index, self.store.location
        names = _names(self.store, classes, name) if labelled else []
        pairs = []
        self._ahead: dict[Path, bytes] = {}
        self._images: dict[Path, tuple[Shard, Member]] = {}
        self._masks: dict[Path, tuple[Shard, Member]] = {}
        for row in index.rows:
            if labelled and row.mask is None:
                bare = sum(row.mask is None for row in index.rows)
                raise UserError(
                    f"{name}: image {row.id!r:.60} in {place} has no mask ({bare} of {len(index.rows)} lack one); "
                    "expected a member such as 0001.mask.png beside 0001.jpg. For images alone say unlabelled: true."
                )
            shard = index.shards[row.shard]
            pair = Pair(row.id, place / shard.name / row.id, place / shard.name / f"{row.id}.mask.png")
            pairs.append(pair)
            self._images[pair.image] = shard, row.image
            if row.mask is not None:
                self._masks[pair.mask] = shard, row.mask
        table = id_table({i: i for i in range(len(names))} | {255: IGNORED})
        default = index.catch_all if index.catch_all in names else None
        super().__init__(pairs, names, table, name=name, catch_all=catch_all or default, subset=subset)

    def __getitem__(self, index: int) -> Sample:
        """Reads one image with its mask, see :class:`PairReader`; in one go where they lie side by side."""
        self._ahead = self._read_both(self.pairs[index])
        try:
            return super().__getitem__(index)
        finally:
            self._ahead = {}

    def image(self, index: int) -> Tensor:
        """Reads the image alone, uint8 [3, H, W]."""
        path = self.pairs[index].image
        return decode_photograph(self._content(path, *self._images[path]), path, self.name)

    def read_raw_ids(self, path: Path) -> Tensor:
        """Reads a mask as it is, uint8 [H, W]."""
        return decode_ids(self._content(path, *self._masks[path]), path, self.name)

    def paths(self, index: int) -> tuple[Path, ...]:
        """None: they are no files of their own."""
        return ()

    def check_files(self) -> None:
        """The index says where they are, and the shards have the size that it says."""

    def _read_both(self, pair: Pair) -> dict[Path, bytes]:
        """The contents of an image and its mask; none where they do not lie side by side, or are damaged."""
        (shard, image), (_, mask) = self._images[pair.image], self._masks.get(pair.mask, (None, None))
        if mask is None or not 0 <= mask.offset - image.offset - image.length <= _NEAR:
            return {}
        both = Member(image.offset, mask.offset + mask.length - image.offset, None)
        for _ in range(2):  # what was kept of them may be damaged
            content = self.store.read(shard, both)
            parts = {pair.image: content[: image.length], pair.mask: content[mask.offset - image.offset :]}
            if _whole(parts[pair.image], image) and _whole(parts[pair.mask], mask):
                return parts
            self.store.forget(shard, both)
        return {}

    def _content(self, path: Path, shard: Shard, member: Member) -> bytes:
        if path in self._ahead:
            return self._ahead[path]
        for _ in range(2):  # what was kept of it may be damaged
            content = self.store.read(shard, member)
            if _whole(content, member):
                return content
            self.store.forget(shard, member)
        raise BadFileError(
            self.name, path, "damaged", f"{path} is damaged, its checksum is not the index's", "copy its shard again"
        )


def _whole(content: bytes, member: Member) -> bool:
    return len(content) == member.length and member.crc in (None, zlib.crc32(content))


def _names(store: Store, given: str | Path | Sequence[Any] | None, dataset: str) -> list[str]:
    """The class names, from the index or else from the list."""
    known = store.index.classes
    if given is None:
        return read_classes(store.class_list() if known is None else known, dataset).names
    listed = read_classes(given, dataset).names
    if known is not None and listed != known:
        raise UserError(
            f"{dataset}: the class list of the recipe has {len(listed)} names and is not the one of {len(known)} that "
            f"the shards of {store.location} were packed with; leave `classes` out."
        )
    return listed
