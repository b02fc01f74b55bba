"""How a trained network is used: evaluation and prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from mdpseg.config.base import Device, Precision, Settings, Side
from mdpseg.config.data import LabelledDataset
from mdpseg.config.readers import TiffConfig


class EvalConfig(Settings):
    """How a network is judged: always at the labels' original resolution."""

    window: Side | None = Field(
        None, description="Side of the sliding window in pixels; default: whole image (over 8.4 megapixels: blocks)."
    )
    stride: Side | None = Field(None, description="Step of the window; default: 2/3 of it.")
    flip: bool = Field(False, description="Average with the mirrored image.")
    scales: list[Annotated[float, Field(gt=0, le=8)]] = Field(
        [1.0], min_length=1, description="Average over these scales."
    )

    @model_validator(mode="after")
    def _windows_touch(self) -> Self:
        if self.window is None and self.stride is not None:
            raise ValueError(
                f"eval.stride is {self.stride}, and there is no window whose step it is; set eval.window too"
            )
        if self.window is not None and self.stride is not None and self.stride > self.window:
            raise ValueError(
                f"eval.stride is {self.stride}; expected at most window={self.window}, or gaps would be left"
            )
        return self


class EvaluateConfig(Settings):
    """`mdpseg evaluate`: a fine-tuned network on a labelled dataset."""

    weights: Path = Field(description="weights.safetensors of a fine-tuning.")
    dataset: LabelledDataset = Field(description="What it is judged on.")
    data_root: Path = Field(Path(), description="Where relative dataset paths start; default: the current folder.")
    out: Path | None = Field(None, description="JSON file for the results; default: none is written.")
    eval: EvalConfig = Field(EvalConfig(), description="How images are predicted.")
    device: Device = "auto"
    precision: Precision = "auto"
    workers: Annotated[int, Field(ge=0)] = Field(2, description="Processes that read images.")


class PredictConfig(Settings):
    """`mdpseg predict`: masks for images without labels."""

    weights: Path = Field(description="Folder of a run, or a weights file.")
    prototypes: bool = Field(
        False, description="Segment by the class prototypes of a pretraining, without fine-tuning."
    )
    taxonomy: str | None = Field(
        None, description="With `prototypes`: classes of which dataset, several joined by +; default: all."
    )
    images: list[str] = Field(min_length=1, description="Image files, folders or globs; or one of them.")
    out: Path = Field(description="Folder for NAME.png (palette mask) and NAME_overlay.jpg.")
    tiff: TiffConfig | None = Field(
        None, description="Bands and values of TIFFs; default: as the run's recipe has them, if only in one way."
    )
    opacity: Annotated[float, Field(ge=0, le=1)] = Field(0.5, description="Of the classes' colours in the overlay.")
    eval: EvalConfig = Field(EvalConfig(), description="How images are predicted.")
    device: Device = "auto"
    precision: Precision = "auto"

    @field_validator("images", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return [str(given)] if isinstance(given, str | Path) else given
