"""Torch files: written whole; of those that may come from anywhere only tensors, numbers and names are read."""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path
from typing import IO, Any

import torch

from mdpseg.files import write_whole

ZIP = b"PK\3\4"  # how what torch.save writes begins; in its old format it does not


def write(path: Path, content: Any, keep: Path | None = None) -> None:
    """As ``torch.save``, but whole or not at all; ``keep``: where the file goes that was there before.

    Raises:
        UserError: the disk is full, or ``path`` cannot be written.
    """

    def save(temporary: Path) -> None:
        with temporary.open("wb") as file:  # through Python, whose errors say what is wrong with the disk
            torch.save(content, file)

    write_whole(path, save, keep)


def read(path: Path) -> Any:
    """What ``torch.save`` wrote to ``path``, on the CPU.

    Raises:
        ValueError: the file is damaged or of another kind; says in a few words what is wrong.
        OSError, MemoryError: as they are, where it cannot be opened or takes too much.
    """
    with path.open("rb") as file:  # a path's ending would make newer torch choose another reader
        try:
            fault = _fault_of_archive(file)
            if not fault:
                file.seek(0)
                with torch.serialization.safe_globals([argparse.Namespace]):  # plain names and values, as DINO's have
                    return torch.load(file, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except Exception as error:  # whatever a damaged archive makes of its readers
            raise ValueError(type(error).__name__) from error
    raise ValueError(fault)


def _fault_of_archive(file: IO[bytes]) -> str:
    """What keeps a zip file from being read, in a few words; empty where nothing does."""
    if file.read(len(ZIP)) != ZIP:  # zipfile finds one behind other bytes, too, and torch would read these
        raise zipfile.BadZipFile
    with zipfile.ZipFile(file) as archive:
        # torch.save stores plainly; what is packed could grow a thousandfold.
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            return "compressed"
        wrong = archive.testzip()  # torch does not look at the checksums
        return "" if wrong is None else f"wrong checksum of {wrong}"
