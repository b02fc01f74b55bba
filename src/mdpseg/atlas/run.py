"""Opens the run of a pretraining: its network, prototypes, classes and data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mdpseg import weights
from mdpseg.config import PretrainConfig
from mdpseg.data.loader import Reader
from mdpseg.data.open import label_space_of, open_dataset
from mdpseg.errors import UserError
from mdpseg.label_space import LabelSpace
from mdpseg.network import SegmentationNetwork
from mdpseg.recipe import load


@dataclass(frozen=True)
class PretrainedRun:
    """What the atlas looks at.

    Attributes:
        config: the run's recipe.
        network: in evaluation mode, with its projection.
        label_space: the K classes.
        prototypes: float32 [K, D] unit vectors.
        present: bool [K], which of them are real.
        readers: the labelled datasets, in the order of the label space.
    """

    config: PretrainConfig
    network: SegmentationNetwork
    label_space: LabelSpace
    prototypes: Tensor
    present: Tensor
    readers: list[Reader]


def open_pretrained(folder: Path, overrides: Sequence[str] = ()) -> PretrainedRun:
    """Opens a pretraining's folder.

    Args:
        folder: holds weights.safetensors and recipe.yaml.
        overrides: ``key=value`` for the recipe, such as ``data_root=data`` where the data has moved.

    Raises:
        UserError: it is no finished pretraining with prototypes of several datasets, or its data is not what it was.
    """
    for name in ("recipe.yaml", "weights.safetensors"):
        if not (folder / name).is_file():
            raise UserError(f"{folder} holds no {name}; give the folder of a finished pretraining.")
    stored = weights.load(folder / "weights.safetensors")
    if stored.prototypes is None or stored.present is None:
        raise UserError(
            f"{folder} has no prototypes: it is a fine-tuning or a supervised pretraining. The atlas needs a "
            "pretraining with objective mdp."
        )
    space = stored.label_space
    if len(space.datasets) < 2:
        raise UserError(
            f"{folder} knows one label set ({space.datasets[0]}); the atlas compares those of several datasets."
        )
    config = load(folder / "recipe.yaml", PretrainConfig, overrides)
    readers = [open_dataset(dataset, config.data_root) for dataset in config.datasets if not dataset.unlabelled]
    found = label_space_of(readers, space.catch_all_as)
    if found.names != space.names:
        differs = next((f"{a} became {b}" for a, b in zip(space.names, found.names, strict=False) if a != b), "")
        raise UserError(
            f"{folder} was pretrained on {space}, its data now has {found}{f' ({differs})' if differs else ''}; "
            "point data_root= at the data that it was pretrained on."
        )
    return PretrainedRun(config, stored.build(), space, stored.prototypes.float(), stored.present, readers)
