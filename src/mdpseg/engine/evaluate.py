"""Judges a network on a labelled dataset, at the labels' original resolution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from mdpseg import ranks, weights
from mdpseg.config import RUN_RECIPES, EvalConfig, EvaluateConfig, FinetuneConfig
from mdpseg.data.loader import Reader
from mdpseg.data.open import open_dataset
from mdpseg.data.workers import in_order, leave_signals_to_the_run
from mdpseg.engine.inference import class_ids
from mdpseg.engine.quick_inference import quick_inference
from mdpseg.engine.runtime import make_fabric
from mdpseg.engine.scores import Scores, write_scores
from mdpseg.errors import UserError
from mdpseg.files import make_folder
from mdpseg.metrics import ConfusionMatrix
from mdpseg.network import SegmentationNetwork
from mdpseg.recipe import load, load_any


@torch.no_grad()
def score_network(
    network: SegmentationNetwork, reader: Reader, config: EvalConfig, fabric: Fabric, workers: int = 0
) -> Scores:
    """Predicts every image of ``reader`` and compares with its mask; the network is left in evaluation mode.

    The processes of a run share the images; each gets the scores of all.

    Raises:
        UserError: an image or mask cannot be read.
    """
    network.eval()
    confusion = ConfusionMatrix(len(reader.classes), fabric.device)
    own = range(ranks.rank(), len(reader), ranks.count())
    with quick_inference(network):
        for sample in in_order(reader.__getitem__, own, workers, leave_signals_to_the_run):
            with fabric.autocast():
                prediction = class_ids(network, sample.image.to(fabric.device), config)
            confusion.update(prediction, sample.mask.to(fabric.device))
    confusion.counts = ranks.summed(confusion.counts)
    if not int(confusion.counts.sum()):
        raise UserError(
            f"{reader.name}: none of its {len(reader)} images has a labelled pixel; there is nothing to judge by."
        )
    iou = [None if math.isnan(value) else value for value in confusion.iou().tolist()]
    names = dict(zip(reader.classes, iou, strict=True))
    return Scores(confusion.mean_iou(), confusion.pixel_accuracy(), names, len(reader))


def evaluate(config: EvaluateConfig | Mapping[str, Any] | str | Path, overrides: Sequence[str] = ()) -> Scores:
    """Judges fine-tuned weights on a dataset.

    Args:
        config: a configuration, a dict, the path of a YAML recipe, or the folder of a fine-tuning, which is judged on
            its own ``val``.
        overrides: ``key=value``, as on the command line.

    Raises:
        UserError: recipe, data or weights are not as they should be, or the classes of both differ.
    """
    if isinstance(config, str | Path) and Path(config).is_dir():
        config = _of_run(Path(config))
    config = load(config, EvaluateConfig, overrides)
    fabric = make_fabric(config.device, config.precision)
    if config.out is not None and config.out.is_dir():
        raise UserError(f"out={config.out} is a folder; name a file for the scores, such as {config.out}/scores.json.")
    network, names = load_classifier(config.weights)
    reader = open_dataset(config.dataset, config.data_root)
    refuse_other_classes(reader, config.weights, names)
    network = network.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    scores = score_network(network, reader, config.eval, fabric, config.workers)
    if config.out is not None:
        make_folder(config.out.parent)
        write_scores(config.out, scores)
    return scores


def _of_run(run: Path) -> dict[str, Any]:
    """The evaluation that a fine-tuning itself had."""
    recipe = load_any(run / "recipe.yaml", RUN_RECIPES)
    if not isinstance(recipe, FinetuneConfig):
        raise UserError(f"{run} is a pretraining; fine-tune it first (mdpseg finetune ... init={run}).")
    if recipe.val is None:
        raise UserError(f"{run} was fine-tuned without `val`; give a recipe with `weights` and `dataset` instead.")
    shared = recipe.model_dump(mode="json", include={"data_root", "eval", "device", "precision", "workers"})
    return {**shared, "weights": run, "dataset": recipe.val.model_dump(mode="json", exclude_unset=True)}


def refuse_other_classes(reader: Reader, file: Path, names: Sequence[str]) -> None:
    """Raises UserError where the dataset's classes are not those that the weights tell apart, in the same order."""
    if reader.classes != names:
        raise UserError(
            f"{file} tells {len(names)} classes apart ({', '.join(names[:3])} ...), dataset {reader.name!r} has "
            f"{len(reader.classes)} ({', '.join(reader.classes[:3])} ...); they must be equal, in the same order."
        )


def load_classifier(path: Path) -> tuple[SegmentationNetwork, list[str]]:
    """A fine-tuned network and its class names.

    Raises:
        UserError: no weights there, or weights of a pretraining, which have no classifier of one dataset.
    """
    stored = weights.load(path)
    if stored.head != "classifier" or len(stored.label_space.datasets) != 1:
        raise UserError(f"{path} holds a pretrained network; fine-tune it first (mdpseg finetune ... init={path}).")
    return stored.build(), stored.label_space.class_names(stored.label_space.datasets[0])
