"""The class list that ``mdpseg init`` writes: what is in it, and what is done where one lies in its place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdpseg.data.readers.classes import ClassList, Colour, read_classes
from mdpseg.errors import UserError

REST = ("background", "_background_", "__background__", "bg", "other", "others", "unlabelled", "unlabeled", "void",
        "misc", "clutter", "null", "none", "rest")  # fmt: skip
HOW_TO_IGNORE = (
    "# A colour that means nothing: take its line out, and write above the others\n"
    "#   ignore_color: [0, 0, 0]\n#   classes:\n"
)


def catch_all_of(names: Sequence[str]) -> dict[str, Any]:
    """The key that names the catch-all class, if one of the names is that of such a class."""
    found = next((name for name in names if name.lower() in REST), None)
    return {} if found is None else {"catch_all": found}


def to_write(
    path: Path, names: Sequence[str], colours: Sequence[Colour] | None, text: str
) -> tuple[tuple[Path, str] | None, ClassList | None]:
    """The class list to write, unless an equal one is there; or the one there of other names, if it fits the masks."""
    try:
        there = read_classes(path, path.stem) if path.is_file() else None
    except UserError:
        there = None
    if there is None:
        return (path, text), None
    if (there.names, there.colours, there.ignore) == (list(names), colours, None):
        return None, None
    fits = there.colours is None and len(there.names) >= len(names)
    if colours is not None:
        fits = set(colours) <= {*(there.colours or []), there.ignore}
    return (None, there) if fits else ((path, text), None)
