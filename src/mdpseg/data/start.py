"""``mdpseg init``: folders in, a commented recipe that runs out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mdpseg.data.describe import FEWEST, Dataset, cleaned, describe
from mdpseg.data.layouts import recognise, titles
from mdpseg.data.recipe_texts import finetuning, pretraining
from mdpseg.data.recognise.folders import find_list, inner, loose_images, seen
from mdpseg.data.recognise.found import Found
from mdpseg.data.recognise.pair_lists import SUFFIXES
from mdpseg.errors import UserError
from mdpseg.files import make_folder, write_text


def start(paths: Sequence[Path], out: Path, target: str | None = None) -> list[str]:
    """Writes a recipe for pretraining, and one for fine-tuning on a single dataset or on ``target``.

    Nothing is overwritten but the pretraining's recipe as this wrote it, where a target comes to it, and holds out a
    part: a recipe of the same content is kept, and a class list that fits the masks is kept and used.

    Args:
        paths: folders of datasets, or of several datasets side by side.
        out: the pretraining's recipe; the fine-tuning's is called ``NAME-finetune.yaml``, class lists
            ``DATASET-classes.txt``; all lie beside each other.
        target: name of the dataset to fine-tune on, or of its folder.

    Returns:
        Messages for the user.

    Raises:
        UserError: no dataset was recognised, one cannot be read, a file is there already with other content, there is
            nothing left to write, or ``out`` is no name.
    """
    if not out.name or out.is_dir():
        raise UserError(f"--out {out} is a folder; expected the recipe's name, such as {out / 'recipe.yaml'}.")
    finetune = out.with_name(f"{out.stem}-finetune.yaml")
    datasets, said = look(paths, out.parent)
    if target is None and len(datasets) == 1:
        target = datasets[0].name
    names_of_target = () if target is None else (target, cleaned(target))
    chosen = next((dataset for dataset in datasets if dataset.name in names_of_target), None)
    if target is not None and chosen is None:
        names = ", ".join(dataset.name for dataset in datasets)
        raise UserError(f"--target {target}: no such dataset was found; there are {names}.")
    before = pretraining(datasets, out)
    if chosen is not None and chosen.val is None and len(chosen.open(next(iter(chosen.splits)))) >= FEWEST:
        held_out = chosen.holding_out()  # in the pretraining, too, or it would have learned what it is judged by
        datasets = [held_out if dataset is chosen else dataset for dataset in datasets]
        chosen = held_out
    said += [_opened(dataset) for dataset in datasets]  # what is written can be read
    recipes = {out: pretraining(datasets, out)}
    if chosen is not None:
        recipes[finetune] = finetuning(chosen, finetune)
    there = out.exists()
    texts = _not_there(recipes, before) | _lists_to_write(datasets)
    if not texts:
        raise UserError(f"{out} is there already, and all else; remove it, or choose another name by --out.")
    said += [f"Kept {path}, which is there already and says the same." for path in recipes if path not in texts]
    make_folder(out.parent)
    for path, text in texts.items():
        write_text(path, text)
    if chosen is None:
        said.append("With --target NAME it also writes a recipe to fine-tune on that one of them.")
    if out in texts and there:
        said.append(
            f"{out} is another now: it holds out a part of {target}. What was pretrained by it before has seen that."
        )
    steps = [f"mdpseg data check {shlex.quote(str(path))}" for path in recipes]
    steps.append(f"mdpseg pretrain {shlex.quote(str(out))}")
    if chosen is not None:
        init = shlex.quote(f"init=runs/{out.stem}/weights.safetensors")
        steps.append(f"mdpseg finetune {shlex.quote(str(finetune))} {init}")
    return [*said, f"Wrote {', '.join(map(str, texts))}. Next: {'; '.join(steps)}"]


def _not_there(recipes: dict[Path, str], before: str) -> dict[Path, str]:
    """The recipes to write: not those that are there and say the same.

    One of other content may hold somebody's work; not so the pretraining's as it was written ``before`` there was a
    target, whose part to validate on it still has.
    """
    missing: dict[Path, str] = {}
    for path, text in recipes.items():
        there = path.read_bytes() if path.is_file() else None
        if there == text.encode():
            continue
        if path.exists() and there != before.encode():
            raise UserError(f"{path} is there already, with other content; remove it, or choose another name by --out.")
        missing[path] = text
    return missing


def _lists_to_write(datasets: Sequence[Dataset]) -> dict[Path, str]:
    """The class lists that are not there yet, as they are after another recipe for the same data."""
    texts = dict(dataset.classes for dataset in datasets if dataset.classes)
    for path in texts:
        if path.exists():
            raise UserError(
                f"{path} is there already, with other content; remove it, or choose another folder by --out."
            )
    return texts


def _opened(dataset: Dataset) -> str:
    """What is in it, once it was opened."""
    readers = {split: dataset.open(split) for split in dataset.splits}
    sizes = ", ".join(f"{len(reader)} in {split}" for split, reader in readers.items())
    classes = len(next(iter(readers.values())).classes)
    kept = f" Kept {dataset.kept}, which is there already: its names are used." if dataset.kept else ""
    return f"{dataset.name}: images {sizes}; {classes} classes. {' '.join(dataset.remarks)}{kept}"


def look(paths: Sequence[Path], beside: Path, trusting: bool = False) -> tuple[list[Dataset], list[str]]:
    """The datasets in folders, and a message for each folder beside them that is none.

    Args:
        paths: folders of datasets, or of several datasets side by side.
        beside: where class lists are to be written.
        trusting: as for :func:`mdpseg.data.describe.describe`.

    Raises:
        UserError: no dataset was recognised in one of them, or one cannot be read.
    """
    datasets: list[Dataset] = []
    passed: list[str] = []
    for path in paths:
        found, others = _find(path)
        passed += others
        for one in found:
            datasets.append(describe(one, beside, [dataset.name for dataset in datasets], trusting))
    return datasets, passed


def _find(path: Path) -> tuple[list[Found], list[str]]:
    """The dataset in a folder, or those in its folders; and a message for each folder that is none."""
    if not path.is_dir():
        if path.suffix.lower() in SUFFIXES and path.is_file():
            raise UserError(f"{path} is no folder; if it is a list of pairs, give the folder it lies in: {path.parent}")
        raise UserError(f"{path} is no folder; give the folders of your datasets.")
    found = recognise(path)
    if found is not None:
        if not found.splits:
            raise UserError(f"{path} looks like {found.title}, but cannot be read: {' '.join(found.remarks)}")
        return [replace(found, shared=find_list(path))], []  # the dataset may lie in a folder inside this one
    several = {path / name: recognise(path / name) for name in inner(path)}
    usable = [one for one in several.values() if one and one.splits]
    if not usable:
        lacking = [f"{folder}: {' '.join(one.remarks)}" for folder, one in several.items() if one]
        if lacking:
            raise UserError(f"{path} holds no dataset that can be read: {' '.join(lacking)}")
        hint = ""
        if not several and loose_images(path):
            hint = (
                f"images and masks in one folder take a list of pairs, {path / 'train.csv'} with lines such as "
                "cat.jpg,cat_mask.png (docs/data.md); otherwise "
            )
        raise UserError(f"{path} is no dataset that is known: {seen(path)}; {hint}{_expected()}.")
    passed = [
        f"{folder}: passed over, {' '.join(one.remarks) if one else seen(folder)}"
        for folder, one in several.items()
        if not (one and one.splits)
    ]
    usable, said = _sharing(path, usable)
    return usable, passed + said


def _sharing(path: Path, several: list[Found]) -> tuple[list[Found], list[str]]:
    """Datasets of one layout, such as a folder a scene, with the class list that lies beside them; and what is said."""
    listed = find_list(path)
    bare = [one for one in several if one.nameless and find_list(one.root) is None]
    if listed is None or not bare:
        return several, []
    if len(bare) < 2 or len({one.title for one in bare}) > 1:
        return several, [f"{listed} is not used; a class list lies inside the folder of its dataset."]
    said = (
        f"{listed} is taken for the classes of {len(bare)} datasets in {path}. If they are one dataset, put their "
        "files into one folder, as images/NAME/ and masks/NAME/."
    )
    return [replace(one, shared=listed) if one in bare else one for one in several], [said]


def _expected() -> str:
    return (
        "expected images and masks in two folders (images/train and masks/train, train/images and train/masks, or "
        "images and masks; names such as JPEGImages, imgs, labels, annotations, gt will do; masks are PNGs or TIFFs "
        f"called like images), or one of: {titles()}"
    )
