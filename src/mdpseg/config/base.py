"""What all settings share."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[int, Field(ge=1, le=2**31 - 1)]
Side = Annotated[int, Field(ge=1, le=2**15)]  # in pixels
AboveZero = Annotated[float, Field(gt=0, le=1e9)]
Temperature = Annotated[float, Field(ge=1e-4, le=100)]


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

    @model_validator(mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, given: Any) -> Any:
        """Else ``flip: true`` would mean: always, and ``batch_size: yes``: one image."""
        for name, value in given.items() if isinstance(given, dict) else ():
            annotation = cls.model_fields[name].annotation if name in cls.model_fields else None
            many = isinstance(value, list | tuple)
            kinds = _kinds(annotation, of_items=many)
            for one in value if many else (value,):
                if isinstance(one, bool) and kinds & {int, float} and bool not in kinds:
                    expected = "numbers" if many else f"a number{' or null' if type(None) in kinds else ''}"
                    raise ValueError(f"{name} {'holds' if many else 'is'} {str(one).lower()}; expected {expected}")
        return given


def _kinds(annotation: Any, of_items: bool) -> set[type]:
    """The types that an annotation is made of: those of a list's items, or those outside of lists."""
    if get_origin(annotation) in (list, tuple):
        return {kind for part in get_args(annotation) for kind in _kinds(part, False)} if of_items else set()
    parts = get_args(annotation)
    if not parts:
        return {annotation} if isinstance(annotation, type) and not of_items else set()
    return {kind for part in parts for kind in _kinds(part, of_items)}
