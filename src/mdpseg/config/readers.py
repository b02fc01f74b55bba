"""Settings of single readers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from mdpseg.config.base import Positive, Settings


class TiffConfig(Settings):
    """How TIFFs become red, green and blue of 8 bits."""

    bands: tuple[Positive, Positive, Positive] | None = Field(
        None, description="The bands that are red, green and blue, from 1; default: the first three, or the only one."
    )
    range: tuple[float, float] | None = Field(
        None, description="The values that become 0 and 255, others are clipped; needed unless the file has 8 bits."
    )

    @field_validator("range")
    @classmethod
    def _rising(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not (math.isfinite(value[0]) and math.isfinite(value[1]) and value[0] < value[1]):
            raise ValueError(f"range is {list(value)}; expected [low, high] with low < high")
        return value


class HuggingFaceConfig(Settings):
    """Which columns of a Hugging Face dataset are read, and from where if not from `path`."""

    hub: str | None = Field(
        None, pattern=r"^\w[\w.-]*(/\w[\w.-]*)?$", description="Name on the hub, such as owner/name."
    )
    image: str = Field("image", description="Column of the images.")
    mask: str = Field("mask", description="Column of the masks.")
    names: str | None = Field(None, description="Column whose ClassLabel has the class names, if not the masks' own.")
    stream: Positive | None = Field(None, description="Read only so many samples, the first; kept as files in `cache`.")
    cache: Path | None = Field(
        None, description="Folder of streamed samples, or of what `datasets` makes of parquet; relative to `data_root`."
    )

    @model_validator(mode="after")
    def _streams_into_a_folder(self) -> Self:
        if self.stream is not None and self.cache is None:
            raise ValueError("hf has `stream` and no `cache`; name a folder for the streamed samples")
        return self
