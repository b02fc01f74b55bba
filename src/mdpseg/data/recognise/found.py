"""A recognised dataset, and which of its splits are for what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TRAIN = ("train", "training", "train2017", "trainval", "trn", "tr")
VAL = ("val", "validation", "val2017", "valid", "dev", "test", "testing", "test2017")
USUAL = TRAIN + VAL


@dataclass(frozen=True)
class Found:
    """A recognised dataset.

    Attributes:
        reader: which reader reads it.
        title: what it is, in words.
        root: its folder.
        splits: name of each split, in their order -> the keys of its entry that differ from split to split. None at
            all: it lacks what its reader needs, as the remarks say.
        keys: further keys of each entry.
        remarks: what the user should know of it.
        own: whether it is somebody's own, which is called like its folder and not like its layout.
        nameless: whether it does not name its classes itself, so that a list is to be found or made.
        shared: a class list in a folder above it, for want of one of its own.
    """

    reader: str
    title: str
    root: Path
    splits: dict[str, dict[str, Any]]
    keys: dict[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    own: bool = False
    nameless: bool = False
    shared: Path | None = None

    def role(self, names: Sequence[str], besides: str | None = None) -> str | None:
        """The first of the names that is one of the splits, or else begins one: ``train_pairs``, ``train2014``."""
        splits = [split for split in self.splits if split != besides]
        exact = (split for name in names for split in splits if split.lower() == name)
        begun = (split for name in names for split in splits if re.match(rf"{name}[^a-z]", split.lower()))
        return next(exact, None) or next(begun, None)


def rank(split: str) -> int:
    """Place of a split among the usual names; others come last."""
    return USUAL.index(split.lower()) if split.lower() in USUAL else len(USUAL)
