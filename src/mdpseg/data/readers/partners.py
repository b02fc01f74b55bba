"""Images and masks that are not where they are expected, and what to do about them."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path


class Listing:
    """What lies in the folders of some files, by one listing a folder instead of a question a file.

    Attributes:
        absent: the files that are not there.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        folders = {file.parent for file in files}
        self._present = {folder: set(os.listdir(folder)) if folder.is_dir() else set() for folder in folders}
        self.absent = {file for file in files if file.name not in self._present[file.parent]}

    @cached_property
    def _shown(self) -> dict[Path, list[str]]:
        """The names in order, without hidden ones; made only where something is absent."""
        return {folder: sorted(n for n in names if not n.startswith(".")) for folder, names in self._present.items()}

    def instead(self, file: Path) -> str | None:
        """A name in the folder of an absent file: the first that begins like it, or else the first of all."""
        names = self._shown[file.parent]
        place = bisect_left(names, file.stem)
        begun = place < len(names) and names[place].startswith(file.stem)
        return names[place] if begun else next(iter(names), None)


def todo_for_mask(expected: Path, instead: str) -> str:
    """What to do where no image has its mask, and the masks' folder holds other names.

    Args:
        expected: the mask of an image.
        instead: what lies in its folder.
    """
    found = f"That folder holds {instead}"
    if Path(instead).suffix.lower() in (".jpg", ".jpeg"):
        return f"{found}: save masks as PNG, because JPEG changes the ids"
    return f"{found}: name the masks like the images, or say which belong together by a list of pairs (docs/data.md)"
