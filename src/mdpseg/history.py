"""What weights were learned from. It stands in their file's header, since the runs before may not outlive them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mdpseg.config.base import Settings


class StageData(Settings):
    """One dataset of a training. It has no path: the header is published with the weights."""

    name: str = Field(description="As in the recipe.")
    reader: str = Field(description="Layout of its files.")
    split: str = Field(description="Which part.")
    unlabelled: bool = Field(False, description="Whether only its images were used.")
    licence: str = Field("", description="What a note beside the data said; empty: nothing.")


class Stage(Settings):
    """One training."""

    kind: Literal["pretraining", "fine-tuning"] = Field(description="By which command.")
    datasets: list[StageData] = Field(description="What it learned from; not what it was judged on.")


class History(Settings):
    """All trainings that weights went through."""

    start: str = Field(description="What the first training started from, in words.")
    stages: list[Stage] = Field(description="The trainings, the first one first.")
