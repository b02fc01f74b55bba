"""From files to batches: readers, draws, augmentation, loader, checks, and the embedded worlds."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["readers"]


def __getattr__(name: str) -> Any:
    """Imports the readers at first use: `mdpseg --help`, which knows `data check`, must not wait for torch."""
    if name == "readers":
        return importlib.import_module("mdpseg.data.readers")
    raise AttributeError(f"module 'mdpseg.data' has no attribute {name!r}")
