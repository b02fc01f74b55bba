"""The model card of a run: data sets, classes, licences, settings, results, each from the run's own files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mdpseg import weights, yaml_text
from mdpseg.engine.history import history_of, own_stage, stage_data
from mdpseg.engine.scores import read_scores
from mdpseg.errors import UserError, printable
from mdpseg.history import History, StageData

_NOT_STATED = "not stated"

# Left out of the settings: where their maker keeps things. Of an address, too: it may hold a password.
_PLACES = ("out", "data_root", "path", "images", "masks", "list", "resume", "url", "cache")
# Files, which may lie anywhere; their names stay.
_FILES = ("init", "merge", "classes")
# Settings of a dataset that have a meaning for these readers alone; config/data.py says so too.
READERS_OF = {
    "world": ("toy",),
    "size": ("toy",),
    "count": ("toy",),
    "url": ("shards",),
    "cache": ("shards",),
    "cache_gb": ("shards",),
    "tiff": ("folder", "list"),
    "hf": ("huggingface",),
}


def card_text(run: Path, licences: Sequence[str] = ()) -> str:
    """The card in Markdown, without its header.

    Args:
        run: folder of a finished run.
        licences: ``name: licence`` of datasets.

    Raises:
        UserError: the folder holds no recipe or weights, or a licence is no ``name: licence``.
    """
    stored = weights.load(run / "weights.safetensors")
    recipe = _recipe(run)
    network, space = stored.network, stored.label_space
    history = _with_newer_notes(stored.history or history_of(recipe, network.encoder), recipe)
    judged = stage_data(recipe, recipe["val"]) if recipe.get("val") else None
    stated = dict(_licence(line) for line in licences)
    known = {dataset.name for stage in history.stages for dataset in stage.datasets} | (
        {judged.name} if judged else set()
    )
    unknown = [name for name in stated if name not in known]
    if unknown:
        raise UserError(
            f"There is no dataset {unknown[0]!r} in {run / 'recipe.yaml'}, or in what it started from, whose licence "
            "is given."
        )
    classes = "\n".join(f"- {printable(name)}: {', '.join(space.class_names(name))}" for name in space.datasets)
    return f"""# {network.encoder} + {network.decoder}, a {history.stages[-1].kind} by mdpseg

    from mdpseg.hub import HubNetwork

    network = HubNetwork.from_pretrained("WHERE").network  # a torch module; uint8 images [B, 3, H, W] in

## Data

{data_text(history, stated)}{_judged_text(recipe, judged, history, stated)}
## Label space

{space.num_classes} classes:

{classes}

## Results

{_results(run)}

## Settings

```yaml
{yaml.safe_dump(_without_places(recipe), sort_keys=False, allow_unicode=True)}```
"""


def data_text(history: History, stated: Mapping[str, str]) -> str:
    """What weights started from, and the table of what they were learned from.

    Args:
        history: of the weights.
        stated: dataset -> licence, which goes before what its history says.
    """
    rows = "\n".join(
        f"| {number}. {stage.kind} {_row(dataset, stated)}"
        for number, stage in enumerate(history.stages, 1)
        for dataset in stage.datasets
    )
    return f"""The network started from {_cell(history.start)}. The weights were then learned from:

| stage | data set | reader | split | licence |
|---|---|---|---|---|
{rows}

Whether those licences reach the weights is for their user to judge.
"""


def _judged_text(
    recipe: Mapping[str, Any], judged: StageData | None, history: History, stated: Mapping[str, str]
) -> str:
    if judged is None:
        return ""
    learned = [dataset for stage in history.stages for dataset in stage.datasets]
    same = any((d.name, d.reader, d.split) == (judged.name, judged.reader, judged.split) for d in learned)
    same = same or _place(recipe["val"]) == _place(recipe.get("train") or {})
    what = "The results are on this split, which was learned from as well" if same else "Judged on, not learned from"
    return f"""
{what}:

| data set | reader | split | licence |
|---|---|---|---|
{_row(judged, stated)}
"""


def _place(dataset: Mapping[str, Any]) -> tuple[Any, ...]:
    """By whatever name, datasets with an equal one are the same files."""
    return tuple(dataset.get(key) for key in ("reader", "path", "url", "hf", "world", "images", "split"))


def _row(dataset: StageData, stated: Mapping[str, str]) -> str:
    split = f"{dataset.split} (images alone)" if dataset.unlabelled else dataset.split
    licence = stated.get(dataset.name) or dataset.licence or _NOT_STATED
    return f"| {' | '.join(_cell(text) for text in (dataset.name, dataset.reader, split, licence))} |"


def _cell(text: str) -> str:
    """A text that may come from somebody else's file, for a table."""
    return printable(text).replace("|", "/").replace("<", "&lt;")


def _with_newer_notes(history: History, recipe: Mapping[str, Any]) -> History:
    """The history with the run's own stage as its recipe has it; notes on licences may have come since."""
    *before, recorded = history.stages
    noted = {(d.name, d.reader, d.split): d.licence for d in recorded.datasets}
    own = own_stage(recipe)
    for dataset in own.datasets:
        dataset.licence = dataset.licence or noted.get((dataset.name, dataset.reader, dataset.split), "")
    return History(start=history.start, stages=[*before, own])


def _recipe(run: Path) -> dict[str, Any]:
    path = run / "recipe.yaml"
    if not path.is_file():
        raise UserError(f"{run} holds no recipe.yaml; expected the folder of a finished run.")
    content = yaml_text.read(path, f"recipe {path}")
    if not isinstance(content, dict):
        raise UserError(f"{path} is no recipe; expected the folder of a finished run.")
    return content


def _licence(line: str) -> tuple[str, str]:
    name, separator, licence = line.partition(":")
    if not separator or not licence.strip():
        raise UserError(f"Licence {line!r} names no dataset; expected `name: licence`.")
    return name.strip(), licence.strip()


def _results(run: Path) -> str:
    rows = [
        f"| {step} | {100 * scores.mean_iou:.2f} | {100 * scores.pixel_accuracy:.2f} | {scores.images} |"
        for step, scores in read_scores(run).items()
    ]
    if not rows:
        return "Not evaluated."
    return "| iteration | mIoU % | pixel accuracy % | images |\n|---|---|---|---|\n" + "\n".join(rows)


def _without_places(settings: Any) -> Any:
    """Settings without what says where their maker keeps things, and what their readers have no use for."""
    if isinstance(settings, list):
        return [_without_places(inner) for inner in settings]
    if not isinstance(settings, dict):
        return Path(settings).name if isinstance(settings, str) and settings.startswith(("/", "~", "..")) else settings
    kept = {}
    for key, value in settings.items():
        without_use = "reader" in settings and settings["reader"] not in READERS_OF.get(key, (settings["reader"],))
        if value is not None and key not in _PLACES and not without_use:
            kept[key] = Path(value).name if key in _FILES and isinstance(value, str) else _without_places(value)
    return kept
