"""Torch files that may come from anywhere: tensors, numbers and names are read from them, and nothing is run."""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path
from typing import Any

import torch


def read(path: Path) -> Any:
    """What ``torch.save`` wrote to ``path``, on the CPU.

    Raises:
        ValueError: the file is damaged or no such file; says in a few words what is wrong.
        PermissionError, MemoryError: as they are.
    """
    fault = ""
    try:
        fault = _fault_of_archive(path)
        if fault:
            raise ValueError(fault)
        with (
            path.open("rb") as file,  # a path's ending would make newer torch choose another reader
            torch.serialization.safe_globals([argparse.Namespace]),  # plain names and values, as DINO's have
        ):
            return torch.load(file, map_location="cpu", weights_only=True)
    except (PermissionError, MemoryError):
        raise
    except Exception as error:  # whatever a damaged archive makes of its readers
        raise ValueError(fault or type(error).__name__) from error


def _fault_of_archive(path: Path) -> str:
    """What keeps a zip file from being read, in a few words; empty where nothing does."""
    with zipfile.ZipFile(path) as archive:
        # torch.save stores plainly; what is packed could grow a thousandfold.
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            return "compressed"
        wrong = archive.testzip()  # torch does not look at the checksums
        return "" if wrong is None else f"wrong checksum of {wrong}"
