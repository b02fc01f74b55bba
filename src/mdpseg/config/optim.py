"""Optimiser and schedule."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mdpseg.config.base import AboveZero, Settings


class OptimConfig(Settings):
    """Optimiser and schedule."""

    optimiser: Literal["sgd", "adamw"] = Field("sgd", description="SGD with momentum, or AdamW (at far smaller rates).")
    lr: AboveZero = Field(0.02, description="Highest learning rate.")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        1e-4, description="Of all weights but biases, norms, positions and prototypes."
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="SGD's momentum.")
    schedule: Literal["poly", "cosine", "constant"] = Field("poly", description="How the rate falls to 0, or does not.")
    power: AboveZero = Field(0.9, description="Exponent of the poly schedule.")
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="Share of the iterations with rising rate.")
    clip: AboveZero | None = Field(None, description="Largest norm of the gradient.")
    head_lr: AboveZero = Field(
        1.0, description="Factor on the rate of the head: in pretraining the projection, or a baseline's classifier."
    )


class PretrainOptimConfig(OptimConfig):
    """Optimiser and schedule of a pretraining: the same settings, other defaults."""

    lr: AboveZero = Field(0.13, description="Highest learning rate.")
    schedule: Literal["poly", "cosine", "constant"] = Field(
        "cosine", description="How the rate falls to 0, or does not."
    )
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(0.05, description="Share of the iterations with rising rate.")
    clip: AboveZero | None = Field(4.0, description="Largest norm of the gradient.")


class FinetuneOptimConfig(OptimConfig):
    """Optimiser and schedule of a fine-tuning: the same settings, other defaults."""

    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.3, description="Share of the iterations with rising rate; large steps at once would undo what was pretrained."
    )
    head_lr: AboveZero = Field(
        1.0, description="Factor on the rate of the classifier; one that starts at random wants 10."
    )
