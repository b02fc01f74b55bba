"""Recognises, by what lies on the disk, datasets that are no public layout as it is distributed."""
