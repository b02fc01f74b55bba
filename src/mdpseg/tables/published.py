"""What the authors report (arXiv 2106.04121 and their answers to reviewers): stands beside what is measured here."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Published:
    """One published figure.

    Attributes:
        table: A to E, or ``detection``.
        row: the row's id, such as ``A2``.
        column: the target.
        when: ``early`` (after 4k iterations of fine-tuning) or ``late`` (40k; ADE20K 80k).
        value: mIoU in % (box or mask AP for detection).
    """

    table: str
    row: str
    column: str
    when: str
    value: float


@cache
def published() -> tuple[Published, ...]:
    """All published figures, in the order of the tables."""
    text = files("mdpseg.tables").joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(
        Published(line["table"], line["row"], line["column"], line["when"], float(line["value"]))
        for line in csv.DictReader(text.splitlines())
    )
