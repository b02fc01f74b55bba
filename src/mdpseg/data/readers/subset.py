"""Subsets of a dataset: by a list of ids, by a share, by a count."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mdpseg.errors import UserError
from mdpseg.text_file import read_text

LARGEST_LIST = 2**24  # bytes, a million ids


class HasId(Protocol):
    """What subsets are made of: images, with masks or without."""

    @property
    def id(self) -> str:
        """The image's name inside its dataset."""


Item = TypeVar("Item", bound=HasId)


@dataclass(frozen=True)
class Subset:
    """Which part of a dataset is read.

    Attributes:
        list: text file with one id a line; applied first.
        fraction: share of the images, above 0 and up to 1; at least one image is kept.
        count: number of images; not together with ``fraction``.
        seed: which random choice ``fraction`` and ``count`` make.
        rest: the images that ``fraction`` or ``count`` leaves out, in place of those that it takes.
    """

    list: str | Path | None = None
    fraction: float | None = None
    count: int | None = None
    seed: int = 0
    rest: bool = False

    @classmethod
    def of(cls, value: Subset | Mapping[str, Any] | None) -> Subset:
        """Takes a subset as a recipe writes it, ``{count: 100, seed: 1}``; None is everything."""
        if value is None:
            return cls()
        if isinstance(value, Subset):
            return value
        known = [field.name for field in fields(cls)]
        if not isinstance(value, Mapping):
            raise UserError(f"subset is {value!r}; expected keys and values, such as count: 100.")
        unknown = [key for key in value if key not in known]
        if unknown:
            raise UserError(f"subset has no key {unknown[0]!r}; it takes {', '.join(known)}.")
        return cls(**value)


def choose(name: str, pairs: Sequence[Item], subset: Subset | Mapping[str, Any] | None) -> list[Item]:
    """The part of a dataset that a reader reads, see :func:`select`.

    Args:
        name: the dataset's name, for messages.
        pairs: all of it.
        subset: which part to read, a :class:`Subset` or its keys as a mapping.

    Raises:
        UserError: the subset is wrong, or nothing is left.
    """
    part = Subset.of(subset)
    try:
        chosen = select(
            pairs, list_file=part.list, fraction=part.fraction, count=part.count, seed=part.seed, rest=part.rest
        )
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    if not chosen:
        raise UserError(f"{name}: there are no images to read.")
    return chosen


def select(
    pairs: Sequence[Item],
    *,
    list_file: str | Path | None = None,
    fraction: float | None = None,
    count: int | None = None,
    seed: int = 0,
    rest: bool = False,
) -> list[Item]:
    """Chooses pairs, the same ones on every machine.

    Each id has a rank that depends on the seed and on the id alone, and the lowest ranks are taken. So a
    smaller choice is part of every larger one with the same seed, and images added to the dataset do not
    reshuffle the others.

    Args:
        pairs: all pairs (or images).
        list_file: text file with one id a line (blank lines and ``#`` comments are left out); applied first.
        fraction: share to keep, above 0 and up to 1; at least one is kept.
        count: number to keep.
        seed: which random choice.
        rest: return the pairs that ``fraction`` or ``count`` leaves out, so that two entries share a dataset out.

    Returns:
        The chosen pairs in the order of their ids.

    Raises:
        UserError: a list that is missing, empty, or names an id that is not there or twice; a share or count
            out of range, or both; or ``rest`` of nothing, or where nothing is left.
    """
    chosen = _listed(pairs, Path(list_file)) if list_file is not None else list(pairs)
    if fraction is not None and count is not None:
        raise UserError(f"subset has both fraction {fraction} and count {count}; give one of them.")
    if fraction is not None:
        if not _is_number(fraction) or not 0 < fraction <= 1:
            raise UserError(f"subset fraction is {fraction!r}; expected a number above 0 and up to 1.")
        count = max(1, round(fraction * len(chosen)))
    if count is not None:
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise UserError(f"subset count is {count!r}; expected a whole number from 1.")
        if count > len(chosen):
            raise UserError(f"subset count is {count}, but only {len(chosen)} images are there; lower the count.")
        ranked = sorted(chosen, key=lambda pair: _rank(pair.id, seed))
        chosen = ranked[count:] if rest else ranked[:count]
        if rest and not chosen:
            raise UserError(f"subset has the rest of {count} images, and there are no others; lower the number.")
    elif rest:
        raise UserError("subset has the rest, but neither fraction nor count; give the part that is left out.")
    return sorted(chosen, key=lambda pair: pair.id)


def _listed(pairs: Sequence[Item], list_file: Path) -> list[Item]:
    by_id = {pair.id: pair for pair in pairs}
    chosen: dict[str, Item] = {}
    for name in read_lines(list_file, f"subset list {list_file}"):
        if name not in by_id:
            example = f" ids look like {next(iter(by_id))!r}." if by_id else ""
            raise UserError(
                f"subset list {list_file}: no image has the id {name!r:.60}; one id a line is expected.{example}"
            )
        if name in chosen:
            raise UserError(f"subset list {list_file}: the id {name!r:.60} stands there twice; remove one.")
        chosen[name] = by_id[name]
    if not chosen:
        raise UserError(f"subset list {list_file} names no id; one id a line is expected.")
    return list(chosen.values())


def read_lines(path: Path, where: str) -> list[str]:
    """The lines of a text file, stripped, without blank ones and ``#`` comments."""
    return lines_of(read_text(path, where, LARGEST_LIST))


def lines_of(text: str) -> list[str]:
    """The lines of a text, as :func:`read_lines` has them."""
    # A newline alone ends a line; str.splitlines would also break at control characters.
    stripped = (line.strip(" \t") for line in text.split("\n"))
    return [line for line in stripped if line and not line.startswith("#")]


def _rank(name: str, seed: int) -> bytes:
    return hashlib.sha1(f"{seed}:{name}".encode(), usedforsecurity=False).digest()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
