"""The datasets of a folder that no recipe names, for the commands that look at data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mdpseg.data.loader import Reader
from mdpseg.data.start import look
from mdpseg.errors import UserError, printable


@dataclass(frozen=True)
class Source:
    """A dataset that can be opened.

    Attributes:
        title: the dataset's name, with its split or role where there are several: ``voc (val)``.
        name: the dataset's name, as messages begin.
        open: opens it.
        trained_on: the title of the split to train on, whose images it must not have; None for that itself.
        small: whether it is a part that may lack classes: to validate on, or a subset.
    """

    title: str
    name: str
    open: Callable[[], Reader]
    trained_on: str | None = None
    small: bool = False


def is_folder(text: str | Path) -> bool:
    """Whether it is a folder; an entry, ``{name: ...}``, may be longer than any path."""
    return not str(text).lstrip().startswith("{") and Path(text).is_dir()


def sources_in(folder: Path, overrides: Sequence[str] = (), trusting: bool = False) -> tuple[list[Source], list[str]]:
    """The splits that ``mdpseg init`` would write into recipes, and remarks on what is in none of them.

    Args:
        folder: the folder of a dataset, or of several side by side.
        overrides: what was said in addition; there must be nothing, as it has no place to go.
        trusting: as for :func:`mdpseg.data.describe.describe`.

    Raises:
        UserError: no dataset was recognised, one cannot be read, or there are overrides.
    """
    if overrides:
        raise UserError(f"{folder} is a folder, and {overrides[0]} is a setting of a recipe; leave it out.")
    datasets, passed = look([folder], Path(), trusting)
    remarks = [*passed, *(f"{dataset.name}: {' '.join(dataset.seen)}" for dataset in datasets)]
    remarks += [f"{dataset.name}: Classes from {dataset.kept}." for dataset in datasets if dataset.kept]
    found = []
    for dataset in datasets:
        titles = [f"{dataset.name} ({split})" for split in dataset.splits]
        for split, title in zip(dataset.splits, titles, strict=True):
            first = None if title == titles[0] else titles[0]
            found.append(Source(title, dataset.name, _opener(dataset.open, split), first, small=first is not None))
    return found, [printable(remark) for remark in remarks]


def _opener(open_split: Callable[[str], Reader], split: str) -> Callable[[], Reader]:
    return lambda: open_split(split)
