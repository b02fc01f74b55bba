"""A cell of the grid: one row, one target, one seed. It is known by the hash of all that decides it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from mdpseg.config import WITHOUT_EFFECT, FinetuneConfig, PretrainConfig
from mdpseg.errors import UserError
from mdpseg.recipe import load
from mdpseg.tables.grid import Row, Stage
from mdpseg.tables.preset import Preset
from mdpseg.tables.published import published

# What does not make a cell another one; the start's key stands for `init`, the mapping's text for `merge`.
_NOT_HASHED = WITHOUT_EFFECT | {"init", "merge", "compile", "on_bad_file"}

# Losses that have changed since cells with them were measured; that such a cell has this mark makes it another one.
# Until 12d2a66 the pull of sparse coding moved prototypes that learn, too.
_PULL = "the pull leaves prototypes alone"

# The settings of the method that also count where nothing is contrasted.
_WITHOUT_CONTRAST = ("objective", "mixing", "mixing_probability", "catch_all_as", "auxiliary_weight")


@dataclass(frozen=True)
class PretrainingCell:
    """One pretraining of the grid; rows that need the same one share it.

    Attributes:
        config: its recipe; ``out``, and ``init`` where it has a parent, are set when it runs.
        parent: the stage before it.
        key: the hash of recipe, mapping file and parent.
    """

    config: PretrainConfig
    parent: PretrainingCell | None
    key: str

    @property
    def chain(self) -> list[PretrainingCell]:
        """All its stages, first to last."""
        return [*(self.parent.chain if self.parent else []), self]


@dataclass(frozen=True)
class Cell:
    """One fine-tuning of the grid.

    Attributes:
        row: the row that asks for it; others may ask for the same.
        column: its target.
        seed: of pretraining, labelled subset and fine-tuning.
        config: its recipe; ``out``, and ``init`` where there is a pretraining, are set when it runs.
        start: its pretraining, if there is one.
        key: the hash of recipe and pretraining.
    """

    row: str
    column: str
    seed: int
    config: FinetuneConfig
    start: PretrainingCell | None
    key: str


def cells_of(rows: Sequence[Row], preset: Preset, seeds: Sequence[int]) -> Iterator[Cell]:
    """All cells of some rows, seed by seed.

    Raises:
        UserError: a row needs a role, method or mapping file that the preset does not have, or gives a bad recipe; or
            a target is evaluated at one step only.
    """
    for seed in seeds:
        for row in rows:
            start = pretraining_of(row, preset, seed)
            for column in columns_of(row, preset):
                yield _cell(row, column, preset, seed, start)


def columns_of(row: Row, preset: Preset) -> list[str]:
    """The targets that a row is fine-tuned on."""
    asked = {figure.column for figure in published() if figure.row == row.id}
    return [name for name, target in preset.targets.items() if target.always or name in asked]


def shared_columns(row: Row, other: Row, preset: Preset) -> tuple[str, ...]:
    """The targets that both rows are fine-tuned on."""
    of_other = columns_of(other, preset)
    return tuple(column for column in columns_of(row, preset) if column in of_other)


def lacking(row: Row, preset: Preset) -> str:
    """What a preset lacks for a row, in words; empty where it has everything."""
    for stage in row.stages:
        for role in (name for name, _ in _roles(stage)):
            if role not in preset.roles:
                return f"no role {role!r} (it has {', '.join(preset.roles)})"
        if stage.method not in preset.methods:
            return f"no method {stage.method!r} (it has {', '.join(preset.methods)})"
        if stage.merged and preset.merge is None:
            return "no `merge` file"
    return ""


def pretraining_of(row: Row, preset: Preset, seed: int) -> PretrainingCell | None:
    """The last of a row's pretrainings, or None.

    Raises:
        UserError: the preset lacks what it needs.
    """
    if lack := lacking(row, preset):
        raise UserError(f"Row {row.id} cannot be played: preset {preset.name} has {lack}.")
    last: PretrainingCell | None = None
    for stage in row.stages:
        content = stage_recipe(stage, preset, seed, row.first)
        content["init"] = row.first if last is None else "the stage before"
        try:
            config = load(content, PretrainConfig)
        except UserError as error:
            name = _tuned(stage, preset, row.first)
            raise UserError(f"Preset {preset.source}, methods.{name} (row {row.id}): {error}") from error
        mapping = config.merge.read_text(encoding="utf-8") if config.merge else None
        last = PretrainingCell(config, last, _hash(config, last.key if last else row.first, mapping))
    return last


def _roles(stage: Stage) -> list[tuple[str, bool]]:
    """The roles of a stage's data, and whether they come without labels."""
    labelled, unlabelled = (names.split("+") if names else [] for names in (stage.data, stage.unlabelled))
    return [*((name, False) for name in labelled), *((name, True) for name in unlabelled)]


def _tuned(stage: Stage, preset: Preset, first: str) -> str:
    """The name of the preset's method that a stage takes."""
    special = f"{stage.method}-on-{first}"
    return special if special in preset.methods else stage.method


def stage_recipe(stage: Stage, preset: Preset, seed: int, first: str = "scratch") -> dict[str, Any]:
    """A pretraining's recipe, without ``init`` and with a placeholder for ``out``; ``first``: see :class:`Row`."""
    datasets: list[dict[str, Any]] = []
    for name, unlabelled in _roles(stage):
        for dataset in preset.roles[name].datasets:
            entry = dataset.model_dump(mode="json", exclude_unset=True)
            datasets.append({**entry, "unlabelled": True} if unlabelled else entry)
    images = sum(preset.roles[name].images for name, _ in _roles(stage))
    common = preset.pretraining.model_dump(mode="json", exclude_unset=True)
    tuned = preset.methods[_tuned(stage, preset, first)]
    batch_size = preset.pretraining.batch_size
    return {
        "out": "unset",
        "seed": seed,
        "datasets": datasets,
        "iterations": max(1, round(images * stage.epochs * preset.epoch_scale / batch_size)),
        "sampling": preset.pretraining.sampling,
        **common,
        "method": {**tuned.method, **stage.changes},
        "optim": tuned.optim,
        "network": {**preset.network.model_dump(mode="json", exclude_unset=True), **tuned.network},
        **({"merge": str(preset.merge_file())} if stage.merged else {}),
    }


def _cell(row: Row, column: str, preset: Preset, seed: int, start: PretrainingCell | None) -> Cell:
    target, common = preset.targets[column], preset.finetuning
    content = {
        "out": "unset",
        "seed": seed,
        "init": "its pretraining" if start else row.first,
        **common.model_dump(mode="json", exclude_unset=True),
        "train": target.train.model_dump(mode="json", exclude_unset=True),
        "val": target.val.model_dump(mode="json", exclude_unset=True),
        "network": preset.network.model_dump(mode="json", exclude_unset=True),
    }
    if "subset" in content["train"] and not target.train.subset.rest:  # the rest is that of one draw, which is `val`
        content["train"]["subset"]["seed"] = seed
    for setting in ("iterations", "evaluate_at", "augment"):
        if getattr(target, setting) is not None:
            content[setting] = getattr(target, setting)
    config = load(content, FinetuneConfig)
    if len(set(config.evaluation_steps())) != 2:
        at = " and ".join(f"{share:g}" for share in config.evaluate_at)
        raise UserError(
            f"Preset {preset.name}: evaluate_at {at} of {config.iterations} iterations of {column} is one step; give "
            "two, early and late."
        )
    return Cell(row.id, column, seed, config, start, _hash(config, start.key if start else row.first))


def _hash(config: BaseModel, start: str, mapping: str | None = None) -> str:
    """The hash of a recipe and of what it starts from.

    Settings that are off (None, False, 0, empty) are left out: a setting that a later version adds, off by default,
    does not make a finished cell another one. Nor do those settings of the method that an objective does not look at.
    """
    recipe = _used(config.model_dump(mode="json", exclude=set(_NOT_HASHED)))
    method = recipe.get("method", {})
    if "network" in recipe:  # what is the default now was a word when cells were measured first
        recipe["network"].setdefault("projection", "mlp" if method.get("scheme") == "mdp-paper" else "linear")
    if method.get("objective", "mdp") != "mdp":
        recipe["method"] = {name: method[name] for name in _WITHOUT_CONTRAST if name in method}
    content = {"recipe": recipe, "start": start, "merge": mapping}
    if method.get("prototypes", "bank") != "bank" and method.get("sparse_coding") == "pull":
        content["revision"] = _PULL
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _used(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: used for key, item in value.items() if (used := _used(item)) not in (None, False, {}, [])}
    if isinstance(value, list):
        return [_used(item) for item in value]
    return value
