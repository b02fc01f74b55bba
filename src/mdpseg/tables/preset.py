"""A preset: which datasets play the published roles, at which size: ``small``, ``paper``, or one's own YAML file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator

from mdpseg.config import (
    AugmentConfig,
    DatasetConfig,
    EvalConfig,
    FinetuneOptimConfig,
    NetworkConfig,
)
from mdpseg.config.base import Positive, Settings
from mdpseg.errors import UserError
from mdpseg.recipe import load

SHIPPED = ("small", "paper")


class Role(Settings):
    """The datasets that stand for one of the published ones."""

    datasets: list[DatasetConfig] = Field(min_length=1)
    images: Positive = Field(description="How many images they have together; epochs are turned into iterations by it.")


class Target(Settings):
    """One column: what is fine-tuned and judged."""

    train: DatasetConfig
    val: DatasetConfig
    always: bool = Field(True, description="For every row; else only where a published figure stands.")
    iterations: Positive | None = Field(None, description="Of fine-tuning; default: the preset's.")
    evaluate_at: tuple[float, float] | None = Field(None, description="Early and late; default: the preset's.")
    augment: AugmentConfig | None = Field(None, description="Of fine-tuning; default: the preset's.")


class Pretraining(Settings):
    """What all pretrainings share."""

    batch_size: int = 16
    augment: AugmentConfig = AugmentConfig()
    sampling: str = "size"
    checkpoint_every: Positive = 200
    workers: int = 2


class Finetuning(Settings):
    """What all fine-tunings share."""

    iterations: Positive
    batch_size: int = 16
    workers: int = 2
    classifier: Literal["prototypes", "random"] = "prototypes"
    augment: AugmentConfig = AugmentConfig()
    optim: FinetuneOptimConfig = FinetuneOptimConfig()
    evaluate_at: tuple[float, float] = Field((0.1, 1.0), description="Early and late.")
    eval: EvalConfig = EvalConfig()


class Tuned(Settings):
    """What a method's pretrainings have beside what all share; checked whole where a recipe is made of it."""

    method: dict[str, Any] = Field(default_factory=dict)
    optim: dict[str, Any] = Field(default_factory=dict)
    network: dict[str, Any] = Field(default_factory=dict)

    @field_validator("method", mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        return {"scheme": given} if isinstance(given, str) else given  # as in a recipe


class Preset(Settings):
    """Everything that the rows leave open."""

    _source: str = ""

    name: str
    about: str = Field(description="Which dataset plays which role, and why.")
    roles: dict[str, Role]
    targets: dict[str, Target]
    network: NetworkConfig
    epoch_scale: Annotated[float, Field(gt=0)] = Field(1.0, description="Our epochs for one published epoch.")
    pretraining: Pretraining = Pretraining()
    finetuning: Finetuning
    methods: dict[str, Tuned] = Field(
        description="Method name -> its settings, as tuned for this preset; "
        "NAME-on-imagenet, where there is one, takes NAME's place in rows that start from ImageNet weights."
    )
    start_by_hand: bool = Field(False, description="Too large to start unasked: `tables run` wants --start.")
    merge: str | None = Field(None, description="Mapping file of the rows with merged label sets; shipped, or a path.")

    @property
    def source(self) -> str:
        """What ``--preset`` was given: the name of a shipped one, or the path of the file."""
        return self._source or self.name

    def merge_file(self) -> Path:
        """Where the mapping file lies.

        Raises:
            UserError: the preset names none, or one that is not there.
        """
        if self.merge is None:
            raise UserError(f"Preset {self.name} has no `merge` file, which rows with merged label sets need.")
        shipped, own = Path(str(files("mdpseg.tables").joinpath(self.merge))), Path(self.merge)
        if not shipped.is_file() and not own.is_file():
            raise UserError(f"Preset {self.name}: there is no mapping file {own}, which `merge` names.")
        return shipped if shipped.is_file() else own


def load_preset(name: str) -> Preset:
    """Reads a preset by its name (``small``, ``paper``) or by its path.

    Raises:
        UserError: there is no such preset, or its settings are wrong.
    """
    if name in SHIPPED:
        text = files("mdpseg.tables").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
        content: dict[str, Any] = yaml.safe_load(text)
        return load(content, Preset)
    if not Path(name).is_file():
        raise UserError(f"No preset {name!r}; give {' or '.join(SHIPPED)}, or the path of a YAML file.")
    preset = load(Path(name), Preset)
    preset._source = name
    return preset
