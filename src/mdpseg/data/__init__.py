"""From files to batches: readers, draws, augmentation, loader, and the embedded worlds."""
