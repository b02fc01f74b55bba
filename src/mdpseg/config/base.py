"""What all settings share."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


def _is_a_device(device: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", device):
        raise ValueError(f"device is {device!r:.60}; expected auto, cpu, cuda, cuda:N (such as cuda:1) or mps")
    return device


# Whether it is there is only known where it is used.
Device = Annotated[
    str,
    AfterValidator(_is_a_device),
    Field(description="auto (CUDA, else MPS, else CPU), cpu, mps, cuda, or cuda:N for the one of that number."),
]

PrecisionName = Literal["auto", "fp32", "bf16"]
Precision = Annotated[PrecisionName, Field(description="auto: bf16 on CUDA from Ampere on, else fp32.")]


class Settings(BaseModel):
    """Base of all settings: unknown keys and numbers without end (inf, nan) are refused."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)
