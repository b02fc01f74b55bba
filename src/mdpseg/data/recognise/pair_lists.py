"""Lists of pairs: text files whose lines name an image and a mask."""

from __future__ import annotations

from pathlib import Path

from mdpseg.data.readers.complaints import gather
from mdpseg.data.readers.pair_list import PairList
from mdpseg.data.recognise.found import Found, rank
from mdpseg.errors import UserError

SUFFIXES = (".csv", ".tsv", ".txt")  # in the order in which the reader looks for them
_MOST = 100  # files that are looked into: somebody's labels may be a text file an image


def pair_lists(folder: Path) -> Found | None:
    """The lists in a folder, whatever they are called, whose lines name an image and a mask that exist."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    files.sort(key=lambda path: (rank(path.stem), SUFFIXES.index(path.suffix.lower())))
    splits = {}
    for path in files[:_MOST]:
        if path.stem not in splits and _names_pairs(path):
            usual = next((file for end in SUFFIXES if (file := folder / f"{path.stem}{end}").is_file()), None)
            splits[path.stem] = {"path": folder if usual == path else path, "split": path.stem}
    return Found("list", "lists of pairs", folder, splits, own=True, nameless=True) if splits else None


def _names_pairs(path: Path) -> bool:
    """Whether the reader finds a pair in it; further ones may lack a file, which the reader complains about later."""
    try:
        with gather():
            return len(PairList(path, "", ["any"], name=path.stem)) > 0
    except (UserError, OSError):  # a line that is no path may be too long for one
        return False
