"""What all settings share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Base of all settings: unknown keys and numbers without end (inf, nan) are refused."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)
