"""What a run's folder tells, whichever command made it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdpseg.config import RUN_RECIPES, WITHOUT_EFFECT, FinetuneConfig, PretrainConfig
from mdpseg.engine.run_folder import read_records
from mdpseg.engine.scores import Scores, read_scores
from mdpseg.errors import UserError, printable
from mdpseg.recipe import flat, load_any


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        name: the folder's.
        folder: where it lies.
        config: its recipe.
        records: the lines of metrics.jsonl.
        scores: step -> those of the evaluation after it.
    """

    name: str
    folder: Path
    config: PretrainConfig | FinetuneConfig
    records: list[dict[str, Any]]
    scores: dict[int, Scores]

    @property
    def kind(self) -> str:
        """``pretraining`` or ``fine-tuning``."""
        return "pretraining" if isinstance(self.config, PretrainConfig) else "fine-tuning"

    @property
    def last_scores(self) -> Scores | None:
        """Those of the last evaluation."""
        return self.scores[max(self.scores)] if self.scores else None

    @property
    def speed(self) -> float | None:
        """Median of the images a second."""
        values = self.values("images_per_second")
        return statistics.median(value for _, value in values) if values else None

    def values(self, name: str) -> list[tuple[float, float]]:
        """(step, value) of a number in metrics.jsonl."""
        pairs = ((record.get("step"), record.get(name)) for record in self.records)
        return [(step, v) for step, v in pairs if isinstance(step, int | float) and isinstance(v, int | float)]

    def settings(self) -> dict[str, str]:
        """Every setting by its dotted name."""
        return {name: "" if value is None else str(value) for name, value in flat(self.config).items()}

    def all_but_seed(self) -> tuple[tuple[str, str], ...]:
        """What runs share that are repetitions of each other: all settings but seeds and those without effect."""
        shared = (
            (name, value)
            for name, value in self.settings().items()
            if name.split(".")[-1] != "seed" and name.split(".")[0] not in WITHOUT_EFFECT
        )
        return tuple(sorted(shared))


def read_run(folder: Path, overrides: Sequence[str] = ()) -> Run:
    """Reads a run's folder; a run that is still going on will do.

    Raises:
        UserError: it holds no recipe, or what it holds is damaged.
    """
    recipe = folder / "recipe.yaml"
    if not recipe.is_file():
        raise UserError(f"{folder} holds no recipe.yaml; give the folder of a pretraining or a fine-tuning.")
    config = load_any(recipe, RUN_RECIPES, overrides)
    assert isinstance(config, PretrainConfig | FinetuneConfig)
    return Run(
        printable(folder.resolve().name),
        folder,
        config,
        read_records(folder / "metrics.jsonl"),
        read_scores(folder),
    )
