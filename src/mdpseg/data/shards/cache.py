"""What was read from a server last, on the disk."""

from __future__ import annotations

import hashlib
import os
import uuid
from contextlib import suppress
from pathlib import Path

from mdpseg.errors import UserError
from mdpseg.files import disk_faults_are_told


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
        temporary = path.with_suffix(f".{uuid.uuid4().hex}.tmp")  # process ids repeat on the machines that share it
        with disk_faults_are_told(path):
            path.parent.mkdir(exist_ok=True)
            try:
                temporary.write_bytes(content)  # unlike a run's files it may be lost: no flush
                temporary.replace(path)
            except OSError:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
                if not path.is_file():  # else another process was faster
                    raise
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
