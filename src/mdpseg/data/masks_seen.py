"""What a sample of masks holds, where nobody wrote down the classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdpseg.data.raw_ids import RawIds
from mdpseg.data.readers.complaints import complain
from mdpseg.data.readers.decode import ColorMaskError, read_colours
from mdpseg.data.readers.pairs import IGNORED
from mdpseg.errors import BadFileError, UserError

MOST = 100  # masks that are looked at


@dataclass(frozen=True)
class Seen:
    """Classes that masks turned out to have.

    Attributes:
        names: ``class_0``, ``class_1``, ... up to the largest id, or one a colour.
        colours: one a name, where the masks hold colours.
        likely_rest: the name with the most pixels, if it is that of id 0 (or of black).
        masks: how many were looked at.
    """

    names: list[str]
    colours: list[tuple[int, int, int]] | None
    likely_rest: str | None
    masks: int

    def text(self) -> str:
        """The content of a class list: text, or YAML where there are colours."""
        if self.colours is None:
            return "".join(f"{name}\n" for name in self.names)
        return "".join(
            f"- {{name: {name}, color: [{red}, {green}, {blue}]}}\n"
            for name, (red, green, blue) in zip(self.names, self.colours, strict=True)
        )


def look_at(reader: RawIds) -> Seen:
    """Counts the ids, or the colours, in up to :data:`MOST` masks from all over a dataset.

    Args:
        reader: the dataset's masks.

    Raises:
        UserError: a mask cannot be read, or the masks hold something else than classes.
    """
    places = np.unique(np.linspace(0, len(reader) - 1, min(MOST, len(reader))).astype(int))
    try:
        counts: Counter[int] = Counter()
        for place in places:
            _count(counts, reader.read_raw_ids(reader.pairs[place].mask).numpy())
    except ColorMaskError:
        return _colours([reader.pairs[place].mask for place in places], reader.name)
    if set(counts) <= {0, IGNORED} and len(counts) == 2:
        raise UserError(
            f"{reader.name}: the masks hold 0 and 255 alone, as black-and-white masks do, but 255 means ignored here; "
            "save them with the ids 0 and 1."
        )
    ids = [i for i in counts if i != IGNORED]
    if not ids and reader.unreadable:
        first = reader.unreadable[0]
        raise UserError(
            f"{reader.name}: {len(reader.unreadable)} of {len(places)} masks cannot be read, and no class is seen in "
            f"the others: {first.wrong}; {first.todo}."
        )
    if not ids:
        raise UserError(f"{reader.name}: {len(places)} masks hold nothing but 255 (ignored); are they the right ones?")
    names = [f"class_{i}" for i in range(max(ids) + 1)]
    rest = names[0] if counts[0] == max(counts[i] for i in ids) else None
    return Seen(names, None, rest, len(places))


def _count(counts: Counter[int], values: NDArray[Any]) -> None:
    found, pixels = np.unique(values, return_counts=True)
    counts.update(dict(zip(found.tolist(), pixels.tolist(), strict=True)))


def _colours(masks: Sequence[Path], name: str) -> Seen:
    counts: Counter[int] = Counter()
    unreadable: list[BadFileError] = []
    for path in masks:
        try:
            red, green, blue = read_colours(path, name, "masks before it hold colors").numpy().astype(np.int32)
        except BadFileError as fault:
            complain(fault)
            unreadable.append(fault)
            continue
        _count(counts, red << 16 | green << 8 | blue)
        if len(counts) > 255:
            raise UserError(
                f"{name}: the masks hold more than 255 colors ({path}), so they are not one a class: saved with losses "
                "or smoothed edges? Save them as PNG without smoothing."
            )
    if not counts:
        first = unreadable[0]
        raise UserError(f"{name}: none of {len(masks)} masks can be read: {first.wrong}; {first.todo}.")
    codes = sorted(counts)
    names = [f"class_{place}" for place in range(len(codes))]
    rest = names[0] if codes[0] == 0 and counts[0] == max(counts.values()) else None
    return Seen(names, [(code >> 16, code >> 8 & 255, code & 255) for code in codes], rest, len(masks))
