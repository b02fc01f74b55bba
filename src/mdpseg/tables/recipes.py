"""Writes the runs of a preset's rows as recipes, to be started by hand, on whatever machine is large enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from mdpseg.config import FinetuneConfig, PretrainConfig
from mdpseg.files import make_folder, write_text
from mdpseg.recipe import load
from mdpseg.tables.cells import cells_of, pretraining_of
from mdpseg.tables.grid import Row
from mdpseg.tables.preset import Preset
from mdpseg.tables.published import published


@dataclass
class _Run:
    """A pretraining or fine-tuning.

    Attributes:
        config: its recipe.
        parent: the pretraining that it starts from.
        kind: what follows the rows in its name.
        column: the target; empty for a pretraining.
        rows: those that need it.
    """

    config: PretrainConfig | FinetuneConfig
    parent: _Run | None
    kind: str
    column: str = ""
    rows: list[Row] = field(default_factory=list)

    @property
    def name(self) -> str:
        return "+".join(row.id for row in self.rows) + f"-{self.kind}"


def write_recipes(rows: Sequence[Row], preset: Preset, out: Path, data_root: Path = Path("data")) -> int:
    """Writes the recipe of every pretraining and fine-tuning of some rows, for seed 0, and loads each again.

    Rows that need the same run share its recipe, whose name has them all: ``A2+D3-pretrain.yaml``. The mapping file of
    merged label sets is copied beside the recipes.

    Args:
        rows: which.
        preset: at which size.
        out: the folder.
        data_root: where the recipes' dataset paths start.

    Returns:
        How many recipes were written.

    Raises:
        UserError: the preset lacks what a row needs.
    """
    runs = _runs(rows, preset)
    make_folder(out)
    for run in runs:
        content = run.config.model_dump(mode="json", exclude_unset=True)
        content |= {"out": str(_place(run, preset)), "data_root": str(data_root)}
        if run.parent:
            content["init"] = str(_place(run.parent, preset) / "weights.safetensors")
        if "merge" in content:
            mapping = preset.merge_file()
            write_text(out / mapping.name, mapping.read_text(encoding="utf-8"))
            content["merge"] = str(out / mapping.name)
        path = out / f"{run.name}.yaml"
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
        write_text(path, _head(run, path) + text)
        load(path, type(run.config))
    return len(runs)


def _runs(rows: Sequence[Row], preset: Preset) -> list[_Run]:
    """All runs of the rows, each once, a pretraining before what starts from it."""
    runs: dict[str, _Run] = {}
    for row in rows:
        last = pretraining_of(row, preset, 0)
        for number, stage in enumerate(last.chain if last else [], 1):
            kind = "pretrain" if number == 1 else f"pretrain-{number}"
            parent = runs[stage.parent.key] if stage.parent else None
            runs.setdefault(stage.key, _Run(stage.config, parent, kind)).rows.append(row)
        for cell in cells_of([row], preset, [0]):
            parent = runs[cell.start.key] if cell.start else None
            run = _Run(cell.config, parent, f"finetune-{cell.column}", cell.column)
            runs.setdefault(cell.key, run).rows.append(row)
    return list(runs.values())


def _place(run: _Run, preset: Preset) -> Path:
    return Path("runs") / preset.name / run.name


def _head(run: _Run, path: Path) -> str:
    """The comment that a recipe opens with: what it is, its command, what is published."""
    lines = [f"{row.id}: {row.about}; pretraining: {row.data}." for row in run.rows]
    lines += ["", f"  mdpseg {run.kind.split('-')[0]} {path}", ""]
    if run.parent:
        lines.append(f"Wants the weights of {run.parent.name}.yaml. Another seed: override seed, out and init.")
    else:
        lines.append("Another seed: override seed and out.")
    ids = [row.id for row in run.rows]
    figures = [figure for figure in published() if figure.row in ids and figure.column == run.column]
    lines += [f"Published ({figure.row}, {figure.when}): {figure.value:.2f} mIoU %." for figure in figures]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)
