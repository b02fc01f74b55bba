"""The recipes that ``mdpseg init`` writes, as commented YAML."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mdpseg.data.describe import FEWEST, Dataset
from mdpseg.errors import printable


def pretraining(datasets: Sequence[Dataset], path: Path) -> str:
    """A pretraining's recipe, to be written to ``path``."""
    return "\n".join(
        [
            printable(f"# mdpseg pretrain {shlex.quote(str(path))}"),
            "# Relative paths start at the folder in which the command is given (or at data_root).",
            _setting("out", f"runs/{path.stem}"),
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
    # A folder's or a column's name may hold a line break, which must not begin a setting.
    return [f"  # {printable(remark)}" for remark in dataset.remarks] + [f"  - {_flow(dataset.train)}"]


def finetuning(dataset: Dataset, path: Path) -> str:
    """A fine-tuning's recipe, to be written to ``path``."""
    val = (
        f"val: {_flow(dataset.val)}"
        if dataset.val
        else f"# val: fewer than {FEWEST} images, too few to hold some out; without a val no score is computed"
    )
    weights = _setting("init", f"runs/{path.stem.removesuffix('-finetune')}/weights.safetensors")
    return "\n".join(
        [
            printable(f"# mdpseg finetune {shlex.quote(str(path))}"),
            _setting("out", f"runs/{path.stem}"),
            printable(f"# {weights}  # once that pretraining is done"),
            f"train: {_flow(dataset.train)}",
            val,
            "iterations: 1000",
            "batch_size: 16",
            "augment: {crop: 128}",
            "",
        ]
    )


def _setting(key: str, value: str) -> str:
    """A line of its own, in quotes where the value would be taken for something else."""
    return yaml.safe_dump({key: value}, allow_unicode=True, width=10**6).strip()


def _flow(entry: dict[str, Any]) -> str:
    text = yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return text.strip()
