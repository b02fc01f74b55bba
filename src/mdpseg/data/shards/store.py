"""Where the bytes of shards come from: a folder, or an http(s) server with a cache before it."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from mdpseg import web
from mdpseg.data.readers.subset import lines_of
from mdpseg.data.shards.cache import Cache
from mdpseg.data.shards.index import LARGEST_INDEX, NAME, Index, Member, Shard, parse
from mdpseg.data.shards.scan import RULE, scan
from mdpseg.errors import UserError
from mdpseg.text_file import LARGEST_TEXT, decoded

CLASSES = "classes.txt"


class Store(Protocol):
    """A place with shards.

    Attributes:
        location: where they lie, for messages.
        index: what they hold.
    """

    location: Path
    index: Index

    def class_list(self) -> Path | list[str]:
        """The file ``classes.txt`` beside the shards, or what stands in it; a UserError if a server has none."""

    def read(self, shard: Shard, member: Member) -> bytes:
        """The content of a member.

        Raises:
            UserError: the shard is gone, or the server cannot be reached.
        """

    def forget(self, shard: Shard, member: Member) -> None:
        """Drops what was kept of a member whose content turned out to be damaged."""


class LocalShards:
    """Shards in a folder. Those without an index are looked through once, and the index is stored beside them.

    Shards of others are looked through again once one of them is of another size or newer than that index, or there is
    another; ``mdpseg data pack`` has written an index of its own, which must fit.

    Args:
        folder: with .tar files.
        name: the dataset's name, for messages.

    Raises:
        UserError: no shards, a shard of another size than the index says, or a wrong index.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.location = folder
        shards = sorted(path for path in folder.glob("*.tar") if not path.name.startswith("."))
        path = folder / NAME
        index = parse(_read_index(path), str(path)) if path.is_file() else None
        if index is None or (index.fingerprint is None and _is_stale(index, path, shards)):
            index = self._scan(shards, name)
        self.index = index
        for shard in index.shards:
            _check_size(folder / shard.name, shard, name)

    def _scan(self, shards: list[Path], name: str) -> Index:
        if (self.location / "packing.json").exists():
            raise UserError(f"{name}: the packing of {self.location} is not finished; run its `data pack` again.")
        if not shards:
            raise UserError(
                f"{name}: no .tar files in {self.location}; expected shards, as `mdpseg data pack` writes them."
            )
        kinds = sorted({_kind(shard) for shard in shards})
        if len(kinds) > 1:
            raise UserError(
                f"{name}: {self.location} holds shards of several kinds ({', '.join(kinds[:5])}), such as splits; put "
                "each kind into a folder of its own and name one of them."
            )
        index = scan(shards, name)
        with suppress(OSError, UserError):  # in others' folders it stays in memory
            index.write(self.location / NAME)
        return index

    def class_list(self) -> Path | list[str]:
        """See :class:`Store`."""
        return self.location / CLASSES

    def read(self, shard: Shard, member: Member) -> bytes:
        """See :class:`Store`."""
        path = self.location / shard.name
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(member.offset)
                return file.read(member.length)
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); look at the disk.") from error

    def forget(self, shard: Shard, member: Member) -> None:
        """See :class:`Store`."""


def _kind(shard: Path) -> str:
    """A shard's name without its number: ``train`` of train-000001 and of train-00001-of-00064."""
    return re.sub(r"-\d+-of-\d+$", "", shard.stem).rstrip("0123456789").rstrip("-_.")


def _is_stale(index: Index, path: Path, shards: list[Path]) -> bool:
    """Whether the index at a path, which a scan has made, may say something else than a scan now would."""
    found = [(shard.name, shard.stat()) for shard in shards]
    same = [(name, status.st_size) for name, status in found] == [shard[:2] for shard in index.shards]
    if not same or index.rule != RULE:
        return True
    # tar fills up to 10,240 bytes, so that other content often has the same size
    made = path.stat().st_mtime_ns
    return any(status.st_mtime_ns > made for _, status in found)


def _read_index(path: Path) -> bytes:
    if path.stat().st_size > LARGEST_INDEX:
        raise UserError(f"{path} has more than {LARGEST_INDEX} bytes, which no index needs; it is not read.")
    return path.read_bytes()


def _check_size(path: Path, shard: Shard, name: str) -> None:
    size = path.stat().st_size if path.is_file() else None
    if size != shard.bytes:
        found = "is not there" if size is None else f"has {size} bytes"
        raise UserError(f"{name}: shard {path} {found}, its index says {shard.bytes} bytes; copy it again, whole.")


class NoIndexError(UserError):
    """A server has no index at an address; it may lie in a folder below it."""


class RemoteShards:
    """Shards on a server that answers range requests. Only the members that are asked for are moved.

    Args:
        url: of the folder with index and shards.
        name: the dataset's name, for messages.
        cache: keeps what was read last, if given.

    Raises:
        UserError: the server has no index there, or cannot be reached.
    """

    def __init__(self, url: str, name: str, cache: Cache | None = None) -> None:
        self.url, self.cache = url.rstrip("/"), cache
        self.location = Path(self.url.partition("://")[2])
        address = f"{self.url}/{NAME}"
        content = web.read_small(address, LARGEST_INDEX)
        if content is None:
            raise NoIndexError(
                f"{name}: {address} is not there; expected shards with their index. `mdpseg data pack` writes one, and "
                "reading others' shards from a disk once makes one, which can be copied to the server."
            )
        self.index = parse(content, address)
        self._name = name

    def class_list(self) -> Path | list[str]:
        """See :class:`Store`."""
        address = f"{self.url}/{CLASSES}"
        content = web.read_small(address, LARGEST_TEXT)
        if content is None:
            raise UserError(
                f"{self._name}: {address} is not there, nor does the index name classes; put a list there, one name a "
                "line, or give `classes`."
            )
        return lines_of(decoded(content, f"{self._name}: {address}"))

    def read(self, shard: Shard, member: Member) -> bytes:
        """See :class:`Store`."""
        content = self.cache.get(self._key(shard, member)) if self.cache else None
        if content is None:
            url = f"{self.url}/{shard.name}"
            content, size = web.read_range(url, member.offset, member.length)
            if size is not None and size != shard.bytes:
                raise UserError(f"{url} has {size} bytes, its index says {shard.bytes}; copy both there again.")
            if self.cache:
                self.cache.put(self._key(shard, member), content)
        return content

    def forget(self, shard: Shard, member: Member) -> None:
        """See :class:`Store`."""
        if self.cache:
            self.cache.drop(self._key(shard, member))

    def _key(self, shard: Shard, member: Member) -> str:
        return f"{self.url}/{shard.name} {shard.sha256} {shard.bytes} {member}"
