"""What the rows of a preset would take: images, memory and GPU hours, from a short probe of each distinct step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mdpseg.config import FinetuneConfig, PretrainConfig
from mdpseg.tables.cells import cells_of, pretraining_of
from mdpseg.tables.classes import known_label_space
from mdpseg.tables.grid import Row
from mdpseg.tables.preset import Preset
from mdpseg.tables.probe import StepCost, step_cost

# What an A100 sustains in bfloat16, where no GPU is here to be measured. NVIDIA trains ResNet-50 at 2,470 images of 224
# pixels a second on one (DeepLearningExamples, mixed precision), times 24.6 GFLOP an image: 61 of at most 312 TFLOP/s.
A100_FLOPS = 60e12

# Settings of the method that change nothing in what a step computes, or nothing but its size by a hair.
_NO_WORK = {"scheme", "temperature", "sparse_weight", "mixing_probability", "pseudo_label_threshold", "catch_all_as"}


def estimates(rows: Sequence[Row], preset: Preset, data_root: Path = Path("data")) -> str:
    """A Markdown table of what each row takes, and what it rests on.

    Args:
        rows: which.
        preset: at which size.
        data_root: where paths start, for datasets whose class list is a file.

    Raises:
        UserError: the preset lacks what a row needs.
    """
    prices = _Prices(data_root)
    lines = [
        "| row | pretraining | fine-tuning | iterations | images (million) | memory (GiB) | GPU hours |",
        "|---|---|---|---|---|---|---|",
    ]
    everything: dict[str, _Bill] = {}
    for row in rows:
        last, cells = pretraining_of(row, preset, 0), list(cells_of([row], preset, [0]))
        stages = {stage.key: prices.bill(stage.config) for stage in (last.chain if last else [])}
        targets = {cell.key: prices.bill(cell.config) for cell in cells}
        columns = ", ".join(cell.column for cell in cells)
        parts = [list(bills.values()) for bills in (stages, targets) if bills]
        lines.append(f"| {row.id} | {row.data} | {columns} | {_figures(parts)} |")
        everything |= stages | targets
    hours = sum(bill.hours for bill in everything.values())
    total = f"These rows together, shared runs once: {len(everything)} runs, {hours:,.0f} GPU hours for one seed."
    return "\n".join([*lines, "", total, *_explanation()])


def step_kind(config: PretrainConfig | FinetuneConfig) -> str:
    """A key of what a step computes, whatever its sizes: equal for recipes that differ in data, length or rates."""
    if isinstance(config, FinetuneConfig):
        return "finetune"
    method = config.method.model_dump(mode="json", exclude=_NO_WORK)
    blends = method.pop("mixing") in ("pixel", "both")
    if method["objective"] != "mdp":
        return json.dumps([method["objective"], blends, bool(method["auxiliary_weight"])])
    switches = {name: bool(method.pop(name)) for name in ("momentum", "supervised_share", "auxiliary_weight")}
    mines = any(dataset.unlabelled for dataset in config.datasets)
    return json.dumps([method, switches, blends, mines], sort_keys=True)


@dataclass(frozen=True)
class _Bill:
    """What a whole run takes."""

    iterations: int
    images: int
    memory: float
    hours: float


class _Prices:
    """Probes each distinct step once."""

    def __init__(self, data_root: Path) -> None:
        self.data_root = data_root
        self._steps: dict[str, StepCost] = {}

    def bill(self, config: PretrainConfig | FinetuneConfig) -> _Bill:
        label_space = known_label_space(config, self.data_root)
        sizes = [label_space.to_json(), config.augment.crop, config.batch_size, config.optim.optimiser]
        network = config.network.model_dump_json() if config.network else None
        key = json.dumps([step_kind(config), network, sizes])
        if key not in self._steps:
            self._steps[key] = step_cost(config, label_space)
        step = self._steps[key]
        seconds = step.seconds if step.seconds is not None else step.flops / A100_FLOPS
        iterations = config.iterations
        return _Bill(iterations, iterations * config.batch_size, step.memory, iterations * seconds / 3600)


def _figures(parts: Sequence[Sequence[_Bill]]) -> str:
    """The cells from iterations to GPU hours, each ``pretraining + fine-tuning`` (memory: the peaks of both)."""
    return " | ".join(
        [
            " + ".join(f"{sum(bill.iterations for bill in part):,}" for part in parts),
            " + ".join(f"{sum(bill.images for bill in part) / 1e6:.2f}" for part in parts),
            " / ".join(f"{max(bill.memory for bill in part) / 2**30:.1f}" for part in parts),
            " + ".join(f"{sum(bill.hours for bill in part):.1f}" for part in parts),
        ]
    )


def _explanation() -> list[str]:
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_name()
        basis = [
            f"GPU hours and memory were measured on this {gpu} in bfloat16, at batches of 2 and 4, and continued in a",
            "line to the preset's batch size: too many hours, if small batches left the GPU idle.",
        ]
    else:
        rate = f"{A100_FLOPS / 1e12:.0f} TFLOP/s"
        basis = [
            f"GPU hours are an assumption: the FLOPs counted here, at {rate}, which an A100 sustains in bfloat16 on",
            "ResNet-50. Where there is a GPU the time is measured instead.",
            "Memory is counted, not measured: weights, gradients, the optimiser's state, the momentum copy, what the",
            "backward pass needs of encoder and decoder (bfloat16), head and loss at their peak. Small batches were",
            "counted, encoder and decoder on a small crop, and scaled. Leave a fifth of the GPU for work space,",
            "allocator and driver.",
        ]
    return [
        "Iterations, images and hours: pretraining + fine-tuning. Memory: the peak of pretraining / of fine-tuning.",
        *basis,
        "Hours leave out evaluating, and waiting for images.",
    ]
