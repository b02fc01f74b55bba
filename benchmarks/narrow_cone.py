"""Why the contrast against a bank of regions does not learn in the replica: row C2's first steps, and changes to it.

    python benchmarks/narrow_cone.py [VARIANT...] [--lr 0.1] [--steps 400]      # a line each, to narrow-cone.csv

VOC alone, crops of 96, the schedule of row C2's 1,314 steps, seed 100, which no reported row uses. Every 100 steps:
the loss (mean of ten steps), the cosine of two pixels of different classes and of one class (mean over 512 pixels of a
batch; 1 and 1 where all embeddings lie in one narrow cone), and the chance: the loss where all logits are alike.
"""

import argparse
import csv
import datetime
import shutil
import statistics
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

HERE = Path(__file__).parent
RESULTS, RUNS, DATA = HERE / "narrow-cone.csv", HERE.parent / "runs/narrow-cone", HERE.parent.parent / "shared/data"
FIELDS = ["variant", "lr", "step", "loss", "chance", "different", "same", "date"]
# What differs from row C2; `centred`: see centred_projections.
VARIANTS: dict[str, dict[str, Any]] = {
    "as published": {},
    "bank of 512": {"bank_size": 512},
    "momentum 0": {"momentum": 0.0},
    "momentum 0, bank of 512": {"momentum": 0.0, "bank_size": 512},
    "centred": {},
    "class bank": {"bank": "class"},
    "class bank, centred": {"bank": "class"},
    "pixel-to-pixel": {"bank": "none"},
}


@contextmanager
def centred_projections() -> Generator[None, None, None]:
    """While it lasts, a batch norm without weights stands behind each projection, before the length becomes 1."""
    from mdpseg.network import Projection

    build = Projection.__init__

    def centred(self: Projection, channels: int, dim: int, kind: str) -> None:
        build(self, channels, dim, kind)
        self.layers.append(nn.BatchNorm2d(dim, affine=False))

    Projection.__init__ = centred  # type: ignore[method-assign]
    try:
        yield
    finally:
        Projection.__init__ = build  # type: ignore[method-assign]


def run(variant: str, lr: float, steps: int) -> list[dict[str, object]]:
    from mdpseg import pretrain
    from mdpseg.engine import loop
    from mdpseg.objectives.mdp import MDP

    whole, contrast = loop.batches, MDP._contrast
    rows: list[dict[str, object]] = []
    losses: list[float] = []

    def watched(self: MDP, batch: Any, embeddings: Tensor, keys: Tensor) -> dict[str, Tensor]:
        made = contrast(self, batch, embeddings, keys)
        losses.append(float(made["loss"]))
        if len(losses) % 100 == 0 or len(losses) == 10:
            labels = batch.targets.flatten()
            vectors = embeddings.detach().permute(0, 2, 3, 1).flatten(0, 2)[labels >= 0]
            labels = labels[labels >= 0]
            some = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:512]
            cosines = vectors[some] @ vectors[some].T
            alike = labels[some][:, None] == labels[some]
            row = [variant, lr, len(losses), statistics.fmean(losses[-10:]), _chance(self, labels)]
            row += [float(cosines[~alike].mean()), float(cosines[alike].mean()), datetime.date.today().isoformat()]
            rows.append({name: f"{v:.3f}" if isinstance(v, float) else v for name, v in zip(FIELDS, row, strict=True)})
            print(*rows[-1].values(), sep=" | ", flush=True)
        return made

    loop.batches = lambda *args, **more: whole(*args, **{**more, "end": steps})
    MDP._contrast = watched  # type: ignore[method-assign]
    out = RUNS / variant.replace(", ", "-").replace(" ", "-")
    shutil.rmtree(out, ignore_errors=True)
    try:
        pretrain(
            {
                "data_root": str(DATA),
                "out": str(out),
                "datasets": [{"name": "voc", "reader": "folder", "path": "voc2012", "catch_all": "background"}],
                "iterations": 1314,
                "network": {
                    "encoder": "tf_efficientnet_lite0",
                    "decoder": "fpn",
                    "decoder_channels": 64,
                    "embedding_dim": 128,
                    "projection": "mlp",
                },
                "augment": {"crop": 96},
                "workers": 0,
                "seed": 100,
                "method": {
                    "scheme": "mdp-paper",
                    "bank": "region",
                    "momentum": 0.99,
                    "mixing": "off",
                    "sparse_coding": "off",
                    **VARIANTS[variant],
                },
                "optim": {"lr": lr, "clip": 5},
            }
        )
    finally:
        loop.batches, MDP._contrast = whole, contrast  # type: ignore[method-assign]
    return rows


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
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--steps", type=int, default=400)
    given = parser.parse_args()
    if unknown := set(given.variants) - set(VARIANTS):
        parser.error(f"no variant {unknown.pop()!r}; there are {'; '.join(VARIANTS)}")
    for variant in given.variants or VARIANTS:
        with centred_projections() if "centred" in variant else nullcontext():
            rows = run(variant, given.lr, given.steps)
        new = not RESULTS.exists()
        with RESULTS.open("a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
