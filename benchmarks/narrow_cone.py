"""Why the contrast against a bank of regions does not learn in the replica: row C2's first steps, and changes to it.

    python benchmarks/narrow_cone.py [VARIANT...] [--steps 400]      # lines go to narrow-cone.csv

VOC alone, crops of 96, the schedule of row C2's 1,314 steps, rate 0.1, the seed of the trials. Every 100 steps: the
loss (mean of ten steps), the cosine of two pixels of different classes and of one class (mean over 512 pixels of a
batch; 1 and 1 where all embeddings lie in one narrow cone), and the chance: the loss where all logits are alike.
"""

import argparse
import datetime
import shutil
import statistics
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from trial_changes import centred_projections
from trials import PAPER, append, dataset, first_steps, pretraining

HERE = Path(__file__).parent
RESULTS, RUNS = HERE / "narrow-cone.csv", HERE.parent / "runs/narrow-cone"
FIELDS = ["variant", "step", "loss", "chance", "different", "same", "date"]
REGION = [*PAPER, "optim.lr=0.1", "method.bank=region", "method.mixing=off", "method.sparse_coding=off"]
# What differs from row C2; `centred`: see centred_projections.
VARIANTS = {
    "as published": [],
    "momentum 0, bank of 512": ["method.momentum=0", "method.bank_size=512"],
    "centred": [],
    "pixel-to-pixel": ["method.bank=none"],
    "class bank, centred": ["method.bank=class"],
    "class bank": ["method.bank=class"],
    "learned prototypes": ["method.bank=class", "method.prototypes=learned"],
}


def run(variant: str, steps: int) -> list[dict[str, object]]:
    from mdpseg import pretrain
    from mdpseg.objectives.mdp import MDP

    contrast = MDP._contrast
    rows: list[dict[str, object]] = []
    losses: list[float] = []

    def watched(self: MDP, batch: Any, embeddings: Tensor, keys: Tensor) -> dict[str, Tensor]:
        made = contrast(self, batch, embeddings, keys)
        losses.append(float(made["loss"]))
        if len(losses) % 100 == 0 or len(losses) == 10:
            labels = batch.targets.flatten()
            labelled = labels >= 0
            vectors, labels = embeddings.detach().permute(0, 2, 3, 1).flatten(0, 2)[labelled], labels[labelled]
            figures = statistics.fmean(losses[-10:]), _chance(self, labels), *_cosines(vectors, labels)
            row = variant, len(losses), *(f"{figure:.3f}" for figure in figures), datetime.date.today().isoformat()
            rows.append(dict(zip(FIELDS, row, strict=True)))
            print(*row, sep=" | ", flush=True)
        return made

    out = RUNS / variant.replace(", ", "-").replace(" ", "-")
    shutil.rmtree(out, ignore_errors=True)
    voc = dataset("voc2012", "train", catch_all="background")
    with first_steps(steps), patch.object(MDP, "_contrast", watched):
        pretrain(pretraining(out, [voc], 1314), [*REGION, *VARIANTS[variant]])
    return rows


def _cosines(vectors: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean cosine of two pixels of different classes, and of one class."""
    some = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:512]
    cosines = vectors[some] @ vectors[some].T
    alike = labels[some][:, None] == labels[some]
    return float(cosines[~alike].mean()), float(cosines[alike].mean())


def _chance(objective: Any, labels: Tensor) -> float:
    """Mean over the pixels of log(1 + negatives); of pixel-to-pixel nothing, its negatives differ by image."""
    if objective.config.bank == "none":
        return float("nan")
    if objective.config.bank == "class":
        return float(objective.prototypes()[1].sum().log())
    held = objective.bank.entries()[1]
    counts = torch.bincount(held, minlength=objective.label_space.num_classes)
    return float((1 + len(held) - counts[labels]).log().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="; ".join(VARIANTS))
    parser.add_argument("--steps", type=int, default=400)
    given = parser.parse_args()
    if unknown := set(given.variants) - set(VARIANTS):
        parser.error(f"no variant {unknown.pop()!r}; there are {'; '.join(VARIANTS)}")
    for variant in given.variants or VARIANTS:
        with centred_projections() if "centred" in variant else nullcontext():
            append(RESULTS, FIELDS, run(variant, given.steps))


if __name__ == "__main__":
    main()
