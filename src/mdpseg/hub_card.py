"""The model card of a run: data sets, classes, licences, settings, results, each from the run's own files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdpseg import weights, yaml_text
from mdpseg.errors import UserError, printable

_NOT_STATED = "not stated"


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
    stated = dict(_licence(line) for line in licences)
    datasets = recipe.get("datasets") or [recipe[key] for key in ("train", "val") if recipe.get(key)]
    unknown = [name for name in stated if name not in {dataset["name"] for dataset in datasets}]
    if unknown:
        raise UserError(f"There is no dataset {unknown[0]!r} in {run / 'recipe.yaml'}, whose licence is given.")
    network, space = stored.network, stored.label_space
    root = Path(str(recipe.get("data_root") or "."))
    rows = "\n".join(
        f"| {d['name']} | {d['reader']} | {d.get('split', '')} | {stated.get(d['name']) or _source(root, d)} |"
        for d in datasets
    )
    kind = "pretraining" if "datasets" in recipe else "fine-tuning"
    classes = "\n".join(f"- {printable(name)}: {', '.join(space.class_names(name))}" for name in space.datasets)
    return f"""# {network.encoder} + {network.decoder}, a {kind} by mdpseg

    from mdpseg.hub import HubNetwork

    network = HubNetwork.from_pretrained("WHERE").network  # a torch module; uint8 images [B, 3, H, W] in

## Data

| data set | reader | split | licence |
|---|---|---|---|
{rows}

The weights were learned from these; whether that licence reaches them is for their user to judge.

## Label space

{space.num_classes} classes:

{classes}

## Results

{_results(run)}

## Settings

```yaml
{_without_paths(recipe)}```
"""


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
    return name.strip(), printable(licence.strip().replace("|", "/"))


def _source(root: Path, dataset: dict[str, Any]) -> str:
    """The lines of a dataset's SOURCE.md that speak of a licence or of terms."""
    if dataset["reader"] == "toy":
        return "made by mdpseg (Apache-2.0)"
    path = dataset.get("path")
    file = root / str(path) / "SOURCE.md" if path else None
    if file is None or not file.is_file() or file.stat().st_size > 2**16:
        return _NOT_STATED
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line.strip(" -*#|") for line in lines if "licen" in line.lower() or "terms" in line.lower()]
    return printable(" ".join(told[:3]).replace("|", "/"))[:400] or _NOT_STATED


def _results(run: Path) -> str:
    rows = []
    for file in sorted(run.glob("scores-*.json"), key=lambda file: len(file.name)):
        scores = json.loads(file.read_text(encoding="utf-8"))
        iteration = file.stem.removeprefix("scores-")
        rows.append(
            f"| {iteration} | {100 * scores['mean_iou']:.2f} | {100 * scores['pixel_accuracy']:.2f} "
            f"| {scores['images']} |"
        )
    if not rows:
        return "Not evaluated."
    return "| iteration | mIoU % | pixel accuracy % | images |\n|---|---|---|---|\n" + "\n".join(rows)


def _without_paths(recipe: dict[str, Any]) -> str:
    """The recipe without what says where its maker keeps things."""
    import yaml

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            hidden = ("out", "data_root", "path", "images", "masks", "list", "resume")
            return {key: bare(inner) for key, inner in value.items() if key not in hidden and inner is not None}
        if isinstance(value, list):
            return [bare(inner) for inner in value]
        return Path(value).name if isinstance(value, str) and value.startswith(("/", "~", "..")) else value

    return str(yaml.safe_dump(bare(recipe), sort_keys=False, allow_unicode=True))
