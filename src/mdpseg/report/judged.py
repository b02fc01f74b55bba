"""A fine-tuned network over its validation images: confusion, and the best and the worst of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from rich.progress import track
from torch import Tensor

from mdpseg.config import FinetuneConfig
from mdpseg.data.draws import generator
from mdpseg.data.open import open_dataset
from mdpseg.engine.evaluate import load_classifier, refuse_other_classes
from mdpseg.engine.inference import class_ids
from mdpseg.errors import printable
from mdpseg.metrics import ConfusionMatrix
from mdpseg.pages.picture import data_uri, fit
from mdpseg.palette import colour_mask
from mdpseg.report.read import Run

SHOWN = 3
_SIDE = 240


@dataclass(frozen=True)
class Judged:
    """One image.

    Attributes:
        image: its name.
        iou: mean over the classes in its truth.
        pictures: the image, its truth, the prediction.
    """

    image: str
    iou: float
    pictures: tuple[str, str, str]


@dataclass(frozen=True)
class Judgement:
    """What the network does.

    Attributes:
        classes: their names.
        counts: int64 [K, K] pixels, rows are the truth.
        best, worst: up to three images each, by their own mean IoU.
        images: how many were looked at, of how many.
        of: all validation images.
    """

    classes: list[str]
    counts: Tensor
    best: list[Judged]
    worst: list[Judged]
    images: int
    of: int


@torch.no_grad()
def judge(run: Run, images: int) -> Judgement | None:
    """Runs a finished fine-tuning's network over up to ``images`` validation images, the same for each run.

    Returns:
        None for a pretraining, an unfinished run, or one without validation images.

    Raises:
        UserError: weights or data are not as they should be.
    """
    weights = run.folder / "weights.safetensors"
    if not isinstance(run.config, FinetuneConfig) or run.config.val is None or not weights.is_file():
        return None
    network, classes = load_classifier(weights)
    reader = open_dataset(run.config.val, run.config.data_root)
    refuse_other_classes(reader, weights, classes)
    confusion = ConfusionMatrix(len(classes))
    # equal for runs of other seeds, so that their images can be compared
    order = torch.randperm(len(reader), generator=generator(0, 0, "report"))[:images].tolist()
    ranked: list[tuple[float, int]] = []
    predictions: dict[int, Tensor] = {}
    for index in track(order, f"report: {run.name}", transient=True):
        sample = reader[index]
        prediction = class_ids(network, sample.image, run.config.eval)
        own = ConfusionMatrix(len(classes)).update(prediction, sample.mask)
        confusion.counts += own.counts
        if not math.isnan(own.mean_iou()):
            ranked.append((own.mean_iou(), index))
            predictions[index] = prediction.to(torch.uint8)
            for _, dropped in sorted(ranked)[SHOWN:-SHOWN]:
                predictions.pop(dropped, None)
    ranked.sort()
    shown = min(SHOWN, (len(ranked) + 1) // 2)

    def picture(iou: float, index: int) -> Judged:
        sample = reader[index]
        pictures = sample.image, colour_mask(sample.mask), colour_mask(predictions[index])
        image, truth, predicted = (data_uri(fit(p, _SIDE)) for p in pictures)
        return Judged(printable(sample.id), iou, (image, truth, predicted))

    worst = [picture(*entry) for entry in ranked[:shown]]
    best = [picture(*entry) for entry in ranked[::-1][: min(shown, len(ranked) - len(worst))]]
    return Judgement(classes, confusion.counts, best, worst, len(order), len(reader))
