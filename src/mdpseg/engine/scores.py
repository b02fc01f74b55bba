"""The scores of an evaluation, and their files in a run's folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter
from rich.markup import escape
from rich.table import Table

from mdpseg.errors import UserError
from mdpseg.files import write_text

_Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Scores:
    """Result of an evaluation; all figures from 0 to 1.

    Attributes:
        mean_iou: over the classes that occur in the targets.
        pixel_accuracy: share of labelled pixels predicted right.
        class_iou: class name -> IoU, None for a class that does not occur.
        images: how many images were judged.
    """

    mean_iou: _Share
    pixel_accuracy: _Share
    class_iou: dict[str, _Share | None]
    images: int

    def table(self) -> Table:
        """Per-class IoU and the means, in per cent."""
        table = Table("class", "IoU %")
        for name, iou in self.class_iou.items():
            table.add_row(escape(name), "absent" if iou is None else f"{iou:.1%}".rstrip("%"))
        table.add_section()
        table.add_row("mIoU", f"{100 * self.mean_iou:.2f}", style="bold")
        table.add_row("pixel accuracy", f"{100 * self.pixel_accuracy:.2f}")
        return table


def write_scores(path: Path, scores: Scores) -> None:
    """Writes scores as JSON, whole or not at all."""
    write_text(path, json.dumps(asdict(scores), indent=1) + "\n")


def read_scores(run: Path) -> dict[int, Scores]:
    """The scores of a run's own evaluations: step -> content of scores-STEP.json, in the order of the steps.

    Raises:
        UserError: one of the files does not hold scores.
    """
    found = {}
    for file in run.glob("scores-*.json"):
        step = file.stem.removeprefix("scores-")
        if step.isdecimal():
            try:
                found[int(step)] = TypeAdapter(Scores).validate_json(file.read_bytes())
            except (OSError, ValueError):
                raise UserError(f"{file} does not hold the scores of an evaluation; remove it, or repair it.") from None
    return dict(sorted(found.items()))
