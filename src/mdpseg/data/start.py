"""``mdpseg init``: folders in, a commented recipe that runs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mdpseg.config import DatasetConfig
from mdpseg.data.layouts import TRAIN, VAL, Found, find_list, recognise, seen
from mdpseg.data.loader import Reader
from mdpseg.data.masks_seen import look_at
from mdpseg.data.open import open_dataset
from mdpseg.data.readers.classes import read_classes
from mdpseg.data.readers.folder import Folder
from mdpseg.data.readers.pairs import PairReader
from mdpseg.data.shards.reader import Shards
from mdpseg.data.shards.store import LocalShards
from mdpseg.errors import UserError
from mdpseg.files import write_text
from mdpseg.recipe import load

REST = ("background", "_background_", "__background__", "bg", "other", "others", "unlabelled", "unlabeled", "void",
        "misc", "clutter", "null", "none", "rest")  # fmt: skip
_ANY = [f"class_{i}" for i in range(255)]
EXPECTED = (
    "expected images and masks in two folders (images/train and masks/train, train/images and train/masks, or images "
    "and masks; names such as JPEGImages, imgs, labels, annotations, gt will do; masks are PNGs called like images), "
    "shards, or a public layout as it is distributed: VOC 2012, ADE20K, COCO-Stuff, Cityscapes"
)


@dataclass(frozen=True)
class Dataset:
    """A dataset on its way into a recipe.

    Attributes:
        train: its entry.
        val: the entry of its validation split, if it has one.
        remarks: what a reader of the recipe should know.
        classes: a class list to write, and its content; None where there is one.
        readers: of these entries, by their splits' names.
    """

    train: dict[str, Any]
    val: dict[str, Any] | None
    remarks: list[str]
    classes: tuple[Path, str] | None
    readers: dict[str, Reader]


def start(paths: Sequence[Path], out: Path, target: str | None = None) -> list[str]:
    """Writes a recipe for pretraining, and one for fine-tuning on a single dataset or on ``target``.

    Args:
        paths: folders of datasets, or of several datasets side by side.
        out: the pretraining's recipe; the fine-tuning's is called ``NAME-finetune.yaml``, class lists
            ``DATASET-classes.txt``; all lie beside each other.
        target: name of the dataset to fine-tune on.

    Returns:
        Messages for the user.

    Raises:
        UserError: no dataset was recognised, one cannot be read, or a file is there already.
    """
    finetune = out.with_name(f"{out.stem}-finetune.yaml")
    datasets, passed = look(paths, out.parent)
    said = [f"{folder}: passed over, {seen(folder)}" for folder in passed]
    if target is None and len(datasets) == 1:
        target = datasets[0].train["name"]
    chosen = next((dataset for dataset in datasets if dataset.train["name"] == target), None)
    if target is not None and chosen is None:
        names = ", ".join(dataset.train["name"] for dataset in datasets)
        raise UserError(f"--target {target}: no such dataset was found; there are {names}.")
    texts = {out: _pretraining(datasets, out)}
    if chosen is not None:
        texts[finetune] = _finetuning(chosen, finetune)
    texts |= dict(dataset.classes for dataset in datasets if dataset.classes)
    there = [path for path in texts if path.exists()]
    if there:
        raise UserError(f"{there[0]} is there already; remove it, or choose another name by --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        write_text(path, text)
    for dataset in datasets:
        sizes = ", ".join(f"{len(reader)} in {split}" for split, reader in dataset.readers.items())
        classes = len(next(iter(dataset.readers.values())).classes)
        said.append(f"{dataset.train['name']}: images {sizes}; {classes} classes. {' '.join(dataset.remarks)}")
    if chosen is None:
        said.append("With --target NAME it also writes a recipe to fine-tune on that one of them.")
    return [*said, f"Wrote {', '.join(map(str, texts))}. Next: mdpseg data check {out}, mdpseg pretrain {out}"]


def look(paths: Sequence[Path], beside: Path) -> tuple[list[Dataset], list[Path]]:
    """The datasets in folders, and the folders beside them that are none.

    Args:
        paths: folders of datasets, or of several datasets side by side.
        beside: where class lists are to be written.

    Raises:
        UserError: no dataset was recognised in one of them, or one cannot be read.
    """
    datasets: list[Dataset] = []
    others: list[Path] = []
    for path in paths:
        found, passed = _find(path)
        others += passed
        for one in found:
            datasets.append(_describe(one, beside, [dataset.train["name"] for dataset in datasets]))
    return datasets, others


def _find(path: Path) -> tuple[list[Found], list[Path]]:
    """The dataset in a folder, or those in its folders; and the folders that are none."""
    if not path.is_dir():
        raise UserError(f"{path} is no folder; give the folders of your datasets.")
    found = recognise(path)
    if found is not None:
        return [found], []
    inner = sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    several = {folder: recognise(folder) for folder in inner}
    if not any(several.values()):
        raise UserError(f"{path} is no dataset that is known: {seen(path)}; {EXPECTED}.")
    return [one for one in several.values() if one], [folder for folder, one in several.items() if not one]


def _describe(found: Found, folder: Path, taken: Sequence[str]) -> Dataset:
    """Entries of a recognised dataset; it is opened, so that what is written can be read."""
    name = _name(found, taken)
    train = found.role(TRAIN) or next(iter(found.splits))
    val = found.role([name for name in VAL if name != train.lower()])
    remarks = [f"Read as {found.title} in {found.root}."]
    others = [split for split in found.splits if split not in (train, val)]
    if others:
        remarks.append(f"Other splits: {', '.join(others)}.")
    if val is None:
        remarks.append("No split to validate on was found.")
    if train.lower() in VAL:
        remarks.append(f"No split to train on was found: {train} is taken for it.")
    keys: dict[str, Any] = {"name": name, "reader": found.reader}
    keys |= {} if found.reader == "folder" else {"path": found.root}
    written = None
    if found.reader in ("folder", "shards"):
        more, written = _classes(found, name, train, folder, remarks)
        keys |= more
    entries = {split: _short(found.root, split, keys | found.splits[split]) for split in (train, val) if split}
    readers = {split: _open(entry, written) for split, entry in entries.items()}
    return Dataset(entries[train], entries[val] if val else None, remarks, written, readers)


def _short(root: Path, split: str, keys: dict[str, Any]) -> dict[str, Any]:
    """The entry; folders where reader ``folder`` looks for them by itself are left out."""
    usual = {"images": root / "images" / split, "masks": root / "masks" / split, "classes": root / "classes.txt"}
    if usual.items() <= keys.items():
        rest = {key: value for key, value in keys.items() if key not in (*usual, "catch_all")}
        keys = rest | {"path": root, "split": split} | {key: keys[key] for key in keys if key == "catch_all"}
    return _plain(keys)


def _name(found: Found, taken: Sequence[str]) -> str:
    """The folder's name, or the layout's own, as a recipe takes it."""
    base = found.root.resolve().name if found.reader in ("folder", "shards") else found.reader
    base = "".join(c if c.isalnum() or c in "_.+-" else "-" for c in base) or "mine"
    return next(name for i in range(1, 1000) if (name := base if i == 1 else f"{base}-{i}") not in taken)


def _classes(
    found: Found, name: str, train: str, folder: Path, remarks: list[str]
) -> tuple[dict[str, Any], tuple[Path, str] | None]:
    """Keys that say the classes and the catch-all; and a class list to write, where there is none that fits."""
    keys = found.splits[train]
    reader: PairReader
    if found.reader == "shards":
        store = LocalShards(found.root / keys.get("split", ""), name)
        if store.index.classes is not None:
            return {}, None  # the index says it all
        reader = Shards(store, _ANY, name=name)
    else:
        reader = Folder(keys["images"], keys["masks"], _ANY, name=name, subset=keys.get("subset"))
    listed = _listed(found, keys)
    if listed is not None and (content := read_classes(listed, name)).colours is not None:
        return {"classes": listed} | _rest(content.names), None
    sample = look_at(reader)
    if listed is not None:
        names = content.names
        if names[0] == "__ignore__" and sample.colours is None and len(names) > len(sample.names):
            # labelme's list begins with what its masks do not hold
            path = folder / f"{name}-classes.txt"
            return {"classes": path} | _rest(names[1:]), (path, "".join(f"{name}\n" for name in names[1:]))
        if sample.colours is None and len(names) >= len(sample.names):
            remarks.append(f"Classes from {listed}.")
            return {"classes": listed} | _rest(names), None
        remarks.append(f"{listed} has {len(names)} names, the masks hold {len(sample.names)}: it is not used.")
    path = folder / f"{name}-classes.{'txt' if sample.colours is None else 'yaml'}"
    remarks.append(f"No class list fits, so {path} names what {sample.masks} masks hold; edit it.")
    if sample.likely_rest is None:
        return {"classes": path}, (path, sample.text())
    remarks.append(f"Guessed that {sample.likely_rest}, which has most pixels, is the catch-all class.")
    return {"classes": path, "catch_all": sample.likely_rest}, (path, sample.text())


def _listed(found: Found, keys: dict[str, Any]) -> Path | None:
    """A class list beside the folders."""
    places = [found.root, *([keys["images"].parent] if "images" in keys else []), found.root / keys.get("split", "")]
    return next((path for place in places if (path := find_list(place))), None)


def _rest(names: Sequence[str]) -> dict[str, Any]:
    rest = next((name for name in names if name.lower() in REST), None)
    return {} if rest is None else {"catch_all": rest}


def _open(entry: dict[str, Any], written: tuple[Path, str] | None) -> Reader:
    """Opens it, with the class list that is not written yet."""
    if written is None:
        return open_dataset(load(entry, DatasetConfig))
    content = yaml.safe_load(written[1]) if written[0].suffix == ".yaml" else written[1].splitlines()
    if entry["reader"] == "folder":
        return Folder(entry["images"], entry["masks"], content, name=entry["name"], subset=entry.get("subset"))
    return open_dataset(load(entry | {"classes": content}, DatasetConfig))


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """Paths as text, also in the subset."""
    return {
        key: _plain(value) if isinstance(value, dict) else (str(value) if isinstance(value, Path) else value)
        for key, value in entry.items()
    }


def _pretraining(datasets: Sequence[Dataset], path: Path) -> str:
    return "\n".join(
        [
            f"# mdpseg pretrain {path}",
            "# Relative paths start at the folder in which the command is given (or at data_root).",
            f"out: runs/{path.stem}",
            "datasets:",
            *(line for dataset in datasets for line in _entry(dataset)),
            "iterations: 2000     # steps; the more images, the more of them pay",
            "batch_size: 16       # images a step",
            "augment: {crop: 128} # side of the crops in pixels, a multiple of 32",
            "# init: imagenet     # start from ImageNet weights of the encoder",
            "",
        ]
    )


def _entry(dataset: Dataset) -> list[str]:
    return [f"  # {remark}" for remark in dataset.remarks] + [f"  - {_flow(dataset.train)}"]


def _finetuning(dataset: Dataset, path: Path) -> str:
    val = "# val: no split to validate on was found; without one no score is computed"
    if dataset.val:
        val = f"val: {_flow(dataset.val)}"
    return "\n".join(
        [
            f"# mdpseg finetune {path}",
            f"out: runs/{path.stem}",
            f"# init: runs/{path.stem.removesuffix('-finetune')}/weights.safetensors  # once that pretraining is done",
            f"train: {_flow(dataset.train)}",
            val,
            "iterations: 1000",
            "batch_size: 16",
            "augment: {crop: 128}",
            "",
        ]
    )


def _flow(entry: dict[str, Any]) -> str:
    text = yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return text.strip()
