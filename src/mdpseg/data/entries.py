"""The datasets that a command is given: by a recipe, by an entry, or by a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from mdpseg import yaml_text
from mdpseg.config import RUN_RECIPES, DatasetConfig, EvaluateConfig, FinetuneConfig, PretrainConfig
from mdpseg.data.readers.layout import inside
from mdpseg.errors import UserError
from mdpseg.recipe import load, load_any

RECIPES: dict[str, type[BaseModel]] = {**RUN_RECIPES, "dataset": EvaluateConfig}


@dataclass(frozen=True)
class Entry:
    """One dataset.

    Attributes:
        config: how it is read.
        data_root: where its relative paths start.
        folder: where what is made of it goes, below the command's out folder; unique in a recipe.
    """

    config: DatasetConfig
    data_root: Path
    folder: Path


def entries(text: str, overrides: Sequence[str] = ()) -> list[Entry]:
    """The datasets of a recipe's file, or the one of an entry.

    Args:
        text: path of a recipe, or of a YAML file that holds a dataset's entry alone, or the entry itself:
            ``{name: voc, reader: voc2012, path: data/VOCdevkit}``.
        overrides: ``key=value``.

    Raises:
        UserError: it is neither, a split's name leads out of the folder, or as :func:`mdpseg.recipe.load`.
    """
    alone = single(text, overrides)
    if alone is not None:
        return [alone]
    recipe = load_any(Path(text), RECIPES, overrides)
    match recipe:
        case PretrainConfig():
            return [Entry(c, recipe.data_root, _folder(c, c.split)) for c in recipe.datasets]
        case EvaluateConfig():
            return [Entry(recipe.dataset, recipe.data_root, _folder(recipe.dataset, recipe.dataset.split))]
        case FinetuneConfig():
            roles = {"train": recipe.train} | ({"val": recipe.val} if recipe.val else {})
            return [Entry(c, recipe.data_root, _folder(c, role)) for role, c in roles.items()]
    raise AssertionError(recipe)


def _folder(dataset: DatasetConfig, part: str) -> Path:
    """NAME/PART; a stranger's recipe may say anything there."""
    return inside(Path(), f"{dataset.name}/{part}", f"{dataset.name}: the folder of its split")


def single(text: str, overrides: Sequence[str] = ()) -> Entry | None:
    """The dataset of an entry, or of a YAML file that holds one alone; None for the path of anything else.

    Raises:
        UserError: it is a wrong entry.
    """
    if text.lstrip().startswith("{"):
        return _single(_parsed(text), overrides)
    path = Path(text)
    if path.is_file():
        content = yaml_text.read(path, text)
        if isinstance(content, Mapping) and "reader" in content:
            return _single(content, overrides)
    return None


def _parsed(text: str) -> object:
    try:
        return yaml_text.parse(text)
    except yaml_text.BadYamlError as error:
        raise UserError(f"{text[:80]!r} is no entry of a dataset: {error}.") from None


def _single(content: object, overrides: Sequence[str]) -> Entry:
    if not isinstance(content, Mapping):
        raise UserError("A dataset's entry is expected, such as {name: voc, reader: voc2012, path: data/VOCdevkit}.")
    return Entry(load(content, DatasetConfig, overrides), Path(), Path())
