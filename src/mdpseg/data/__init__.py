"""From files to batches: readers, draws, augmentation, loader, and the embedded worlds."""

from mdpseg.data import readers

__all__ = ["readers"]
