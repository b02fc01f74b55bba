"""From a recognised dataset to the entries of a recipe: its name, its splits, its classes."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mdpseg.config import DatasetConfig
from mdpseg.data.list_to_write import HOW_TO_IGNORE, catch_all_of, to_write
from mdpseg.data.loader import Reader
from mdpseg.data.masks_seen import Seen, look_at
from mdpseg.data.open import open_dataset
from mdpseg.data.raw_ids import ANY, RawIds
from mdpseg.data.readers.classes import read_classes
from mdpseg.data.readers.pairs import PairReader
from mdpseg.data.recognise.folders import find_list
from mdpseg.data.recognise.found import TRAIN, VAL, Found
from mdpseg.data.shards.store import LocalShards
from mdpseg.data.tiff_seen import look_at_bands
from mdpseg.errors import BadFileError, UserError
from mdpseg.recipe import load

HELD_OUT = 0.2  # of a dataset without a split to validate on
FEWEST = 10  # images of which some can be held out


@dataclass(frozen=True)
class Dataset:
    """A dataset on its way into a recipe.

    Attributes:
        splits: the splits for training and, if there is one, for validation, in this order -> their entries.
        root: its folder.
        seen: what it was read as, and what of it is in neither split.
        guessed: what the entries say of its pixels and nobody wrote down.
        classes: a class list to write, and its content; None where there is one.
        kept: a class list of other names that is used, because it is where one would have been written.
    """

    root: Path
    splits: dict[str, dict[str, Any]]
    seen: list[str]
    guessed: list[str]
    classes: tuple[Path, str] | None
    kept: Path | None = None

    @property
    def remarks(self) -> list[str]:
        """What a reader of the recipe should know."""
        return self.seen + self.guessed

    @property
    def train(self) -> dict[str, Any]:
        """The entry to train on."""
        return next(iter(self.splits.values()))

    @property
    def val(self) -> dict[str, Any] | None:
        """The entry to validate on."""
        return list(self.splits.values())[1] if len(self.splits) > 1 else None

    def holding_out(self) -> Dataset:
        """Itself with a part to validate on, drawn from what there is to train on."""
        entry, drawn = self.train, self.train.get("subset", {}) | {"fraction": HELD_OUT}
        splits = {"train": entry | {"subset": drawn | {"rest": True}}, "val": entry | {"subset": drawn}}
        told = (
            f"So {HELD_OUT:.0%} of the images, drawn by chance, are held out. Where both parts have images of one "
            "scene or video, the score flatters: name the parts by lists of ids then (`subset: {list: train.txt}`)."
        )
        return replace(self, splits=splits, seen=[*self.seen, told])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.train["name"])

    def open(self, split: str) -> Reader:
        """Opens a split, also while the class list is not written."""
        entry = self.splits[split]
        if self.classes is None:
            with _advice(self.root):
                return open_dataset(load(entry, DatasetConfig))
        path, content = self.classes
        with tempfile.TemporaryDirectory() as folder, _advice(self.root):
            written = Path(folder) / path.name
            written.write_text(content, encoding="utf-8")
            return open_dataset(load(entry | {"classes": str(written)}, DatasetConfig))


@contextmanager
def _advice(folder: Path) -> Iterator[None]:
    """Where a partner is missing: one fault is told, and the commands that take folders have no subset."""
    try:
        yield
    except BadFileError as fault:
        if fault.kind != "missing":
            raise
        raise UserError(f"{fault} `mdpseg data check {shlex.quote(str(folder))}` lists all that is wrong.") from fault


def describe(found: Found, folder: Path, taken: Sequence[str], trusting: bool = False) -> Dataset:
    """Entries of a recognised dataset.

    Args:
        found: the dataset.
        folder: where a class list is to be written.
        taken: names that others have.
        trusting: whether a class list stays where masks hold more ids than it has names: the masks are wrong then.

    Raises:
        UserError: its masks, or its TIFFs, cannot be read.
    """
    name = _name(found, taken)
    train = found.role(TRAIN) or found.role(VAL) or next(iter(found.splits))
    val = found.role(VAL, besides=train)
    seen = [f"Read as {found.title} in {found.root}.", *found.remarks]
    others = [split for split in found.splits if split not in (train, val)]
    if others:
        seen.append(f"Other splits: {', '.join(others)}.")
    if val is None:
        seen.append("No split to validate on was found.")
    if found.role(TRAIN) is None and found.role(VAL) is not None:
        seen.append(f"No split to train on was found: {train} is taken for it.")
    keys: dict[str, Any] = {"name": name, "reader": found.reader}
    keys |= {} if found.reader == "folder" else {"path": found.root}
    keys |= found.keys
    guessed: list[str] = []
    written = kept = None
    with _advice(found.root):
        if found.reader in ("folder", "list"):
            keys |= _tiff(keys | found.splits[train], guessed)
        if found.nameless:
            more, written, kept = _classes(found, keys | found.splits[train], folder, trusting, guessed)
            keys |= more
    entries = {split: _short(found.root, split, keys | found.splits[split]) for split in (train, val) if split}
    return Dataset(found.root, entries, seen, guessed, written, kept)


def _short(root: Path, split: str, keys: dict[str, Any]) -> dict[str, Any]:
    """The entry; folders where reader ``folder`` looks for them by itself are left out."""
    usual = {"images": root / "images" / split, "masks": root / "masks" / split, "classes": root / "classes.txt"}
    if usual.items() <= keys.items():
        rest = {key: value for key, value in keys.items() if key not in usual}
        first = {key: rest.pop(key) for key in ("name", "reader")}
        keys = first | {"path": root, "split": split} | rest
    return _plain(keys)


def _name(found: Found, taken: Sequence[str]) -> str:
    """The folder's name, or the layout's own, as a recipe takes it."""
    base = found.root.resolve().name if found.own else found.reader
    base = cleaned(base) or "mine"
    return next(name for i in range(1, 1000) if (name := base if i == 1 else f"{base}-{i}") not in taken)


def cleaned(name: str) -> str:
    """A folder's name as a recipe takes it."""
    return "".join(c if c.isalpha() or c.isdecimal() or c in "_.+-" else "-" for c in name)


def _open_nameless(keys: dict[str, Any]) -> PairReader:
    reader = open_dataset(load(_plain(keys) | {"classes": ANY}, DatasetConfig))
    assert isinstance(reader, PairReader)  # it has labels, and is no toy
    return reader


def _tiff(keys: dict[str, Any], remarks: list[str]) -> dict[str, Any]:
    """The key that says which bands and values of TIFFs are taken, where that is needed."""
    seen = look_at_bands([pair.image for pair in _open_nameless(keys).pairs], keys["name"])
    if seen is None:
        return {}
    remarks.append(seen[1])
    return {"tiff": seen[0]}


def _classes(
    found: Found, keys: dict[str, Any], folder: Path, trusting: bool, remarks: list[str]
) -> tuple[dict[str, Any], tuple[Path, str] | None, Path | None]:
    """Keys that say the classes and the catch-all; a class list to write, where none fits; or one that is kept."""
    name = keys["name"]
    if found.reader == "shards" and LocalShards(found.root / keys.get("split", ""), name).index.classes is not None:
        return {}, None, None  # the index says it all
    listed = _listed(found, keys)
    if listed is not None and (content := read_classes(listed, name)).colours is not None:
        return {"classes": listed} | catch_all_of(content.names), None, None
    sample = look_at(RawIds(_open_nameless(keys)))
    if listed is not None:
        names = content.names
        if names[0] == "__ignore__" and sample.colours is None and len(names) > len(sample.names):
            # labelme's list begins with what its masks do not hold
            path = folder / f"{name}-classes.txt"
            written, kept = to_write(path, names[1:], None, "".join(f"{name}\n" for name in names[1:]))
            named = catch_all_of(names[1:] if kept is None else kept.names)
            return {"classes": path} | named, written, None if kept is None else path
        if sample.colours is None and (trusting or len(names) >= len(sample.names)):
            remarks.append(f"Classes from {listed}.")
            return {"classes": listed} | catch_all_of(names), None, None
        wrong = f"has {len(names)} names, the masks hold {len(sample.names)}"
        if sample.colours is not None:
            wrong = "has names without colours, the masks hold colours"
        remarks.append(f"{listed} {wrong}: it is not used.")
    return _by_masks(sample, folder, name, remarks)


def _by_masks(
    sample: Seen, folder: Path, name: str, remarks: list[str]
) -> tuple[dict[str, Any], tuple[Path, str] | None, Path | None]:
    """As :func:`_classes`, where nothing but the masks says what the classes are."""
    path = folder / f"{name}-classes.{'txt' if sample.colours is None else 'yaml'}"
    text = sample.text() if sample.colours is None else HOW_TO_IGNORE + sample.text()
    written, kept = to_write(path, sample.names, sample.colours, text)
    # The same words with a kept list: the recipe that was written with it is then recognised as equal.
    remarks.append(f"No class list fits, so {path} names what {sample.masks} masks hold; edit it.")
    if kept is not None:
        return {"classes": path} | catch_all_of(kept.names), None, path
    if sample.likely_rest is None:
        return {"classes": path}, written, None
    remarks.append(f"Guessed that {sample.likely_rest}, which has most pixels, is the catch-all class.")
    return {"classes": path, "catch_all": sample.likely_rest}, written, None


def _listed(found: Found, keys: dict[str, Any]) -> Path | None:
    """A class list beside the folders, or the one shared with others."""
    places = [found.root, *([keys["images"].parent] if "images" in keys else []), found.root / keys.get("split", "")]
    return next((path for place in places if (path := find_list(place))), found.shared)


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """Paths as text, also in the subset."""
    return {
        key: _plain(value) if isinstance(value, dict) else (str(value) if isinstance(value, Path) else value)
        for key, value in entry.items()
    }
