"""Where the bytes of shards come from: a folder, or an http(s) server with a cache before it."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from mdpseg import web
from mdpseg.data.readers.subset import lines_of
from mdpseg.data.shards.index import LARGEST_INDEX, NAME, Index, Member, Shard, parse
from mdpseg.data.shards.scan import scan
from mdpseg.errors import UserError
from mdpseg.files import disk_faults_are_told
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
        own = index is not None and index.fingerprint is not None
        if index is None or (not own and [(s.name, s.stat().st_size) for s in shards] != [s[:2] for s in index.shards]):
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
        kinds = sorted({shard.stem.rstrip("0123456789").rstrip("-_.") for shard in shards})
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


def _read_index(path: Path) -> bytes:
    if path.stat().st_size > LARGEST_INDEX:
        raise UserError(f"{path} has more than {LARGEST_INDEX} bytes, which no index needs; it is not read.")
    return path.read_bytes()


def _check_size(path: Path, shard: Shard, name: str) -> None:
    size = path.stat().st_size if path.is_file() else None
    if size != shard.bytes:
        found = "is not there" if size is None else f"has {size} bytes"
        raise UserError(f"{name}: shard {path} {found}, its index says {shard.bytes} bytes; copy it again, whole.")


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
            raise UserError(
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


class Cache:
    """A folder of files that were read last; the oldest go once they take more than the limit.

    Several processes may share it; each looks at the whole folder after it has written a 32nd of the limit, so that
    much more a process may lie there for a while.

    Args:
        folder: is made if it is not there.
        most: bytes.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self.most = folder, most
        self._written = most  # the first file that is put looks
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cache {folder} cannot be made ({error.strerror}); choose another folder.") from error

    def get(self, key: str) -> bytes | None:
        """What was put under the key, if it is still there."""
        path = self._path(key)
        try:
            content = path.read_bytes()
            os.utime(path)  # was used now
        except OSError:
            return None
        return content

    def put(self, key: str, content: bytes) -> None:
        """Keeps content.

        Raises:
            UserError: the disk is full.
        """
        path = self._path(key)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        with disk_faults_are_told(path):
            path.parent.mkdir(exist_ok=True)
            temporary.write_bytes(content)  # unlike a run's files it may be lost: no flush
            temporary.replace(path)
        self._written += len(content)
        if self._written > self.most // 32:
            self._written = 0
            self._make_room()

    def drop(self, key: str) -> None:
        """Removes what was put under the key."""
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest}.part"

    def _make_room(self) -> None:
        files = []
        for path in self.folder.glob("??/*"):
            try:
                status = path.stat()
            except OSError:  # another process removed it
                continue
            files.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self.most:
                return
            path.unlink(missing_ok=True)
            total -= size
