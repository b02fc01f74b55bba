"""Whole images judged at their labels' resolution: ours beside a plain loop with torchmetrics, the same network.

    python benchmarks/evaluation.py

The network is fine-tuned for some steps on the made photographs, so that its logits are those of a trained one. The
plain loop is what the documentation of both libraries shows: one image after the other through the model, bilinear
logits at the label's size, `MulticlassJaccardIndex.update(logits, mask)`. Both read from memory, each in a process of
its own, ours with the large pages that the command line asks torch for.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import measure
import torch
from loader import absent_row
from photographs import CLASSES, make
from torch import Tensor

from mdpseg.config import AugmentConfig, EvalConfig, NetworkConfig
from mdpseg.data.draws import Draws
from mdpseg.data.loader import batches
from mdpseg.data.open import label_space_of
from mdpseg.data.readers import Folder
from mdpseg.data.readers.pairs import Sample
from mdpseg.engine.evaluate import score_network
from mdpseg.engine.runtime import make_fabric
from mdpseg.network import SegmentationNetwork
from mdpseg.objectives.finetune import Finetune

# encoder, decoder, width, height
CASES = [("tf_efficientnet_lite0", "fpn", 341, 256), ("resnet50", "deeplabv3plus", 683, 512)]


class InMemory:
    """A reader's samples, read once."""

    def __init__(self, reader: Folder) -> None:
        self.name, self.label_set, self.classes, self.catch_all = reader.name, reader.name, reader.classes, None
        self.samples = list(reader)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


def main() -> None:
    given = measure.arguments(__doc__, rounds=5)
    rows = [_row(case, given.quick, given.rounds) for case in (CASES[:1] if given.quick else CASES)]
    measure.finish("evaluation", rows, given.quick)


def _row(case: tuple[str, str, int, int], quick: bool, rounds: int) -> measure.Row:
    encoder, decoder, width, height = case
    what = f"whole-image evaluation, {encoder} {decoder}, {width}x{height}, {CLASSES} classes"
    if find_spec("torchmetrics") is None:
        return absent_row(what, "torchmetrics")
    figures: dict[str, object] = {}

    def noted(name: str, side: Callable[[], object]) -> Callable[[], None]:
        return lambda: figures.update({name: side()})

    sides = {"theirs": noted("theirs", measure.apart(partial(_theirs, case, quick)))}
    os.environ["THP_MEM_ALLOC_ENABLE"] = "1"  # as the command line sets it
    sides["ours"] = noted("ours", measure.apart(partial(_ours, case, quick)))
    del os.environ["THP_MEM_ALLOC_ENABLE"]
    seconds = measure.compare(sides, rounds)
    ours, theirs = (float(figures[name]) for name in ("ours", "theirs"))
    against = f"torchmetrics; mIoU {theirs:.6f}, difference {abs(ours - theirs):.1e}"
    return measure.ratio_row(what, against, seconds["ours"], seconds["theirs"], "at least 1.5")


def _ours(case: tuple[str, str, int, int], quick: bool) -> Callable[[], float]:
    network, reader = _prepared(case, quick)
    network = network.to(memory_format=torch.channels_last)  # as `mdpseg evaluate` does
    fabric = make_fabric("cpu", "fp32")
    return lambda: score_network(network, reader, EvalConfig(), fabric).mean_iou


def _theirs(case: tuple[str, str, int, int], quick: bool) -> Callable[[], float]:
    from torchmetrics.classification import MulticlassJaccardIndex

    network, reader = _prepared(case, quick)
    network.eval()

    @torch.no_grad()
    def run() -> float:
        metric = MulticlassJaccardIndex(CLASSES, average="none", ignore_index=255)
        occurs = torch.zeros(CLASSES, dtype=torch.bool)
        for sample in reader.samples:
            mask: Tensor = sample.mask.long()
            metric.update(network.logits(sample.image[None]), mask[None])
            occurs[mask[mask != 255]] = True
        return float(metric.compute()[occurs].mean())

    return run


def _prepared(case: tuple[str, str, int, int], quick: bool) -> tuple[SegmentationNetwork, InMemory]:
    """The same in each process: it follows from seeds."""
    torch.set_num_threads(1)
    encoder, decoder, width, height = case
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), 2 if quick else 6, width, height)
        reader = InMemory(Folder(f"{folder}/images", f"{folder}/masks", f"{folder}/classes.txt"))
    return _trained(reader, encoder, decoder, 2 if quick else 20), reader


def _trained(reader: InMemory, encoder: str, decoder: str, steps: int) -> SegmentationNetwork:
    torch.manual_seed(0)
    space = label_space_of([reader])
    objective = Finetune(SegmentationNetwork(NetworkConfig(encoder=encoder, decoder=decoder)), space)
    optimizer = torch.optim.AdamW(objective.parameters(), 1e-3)
    crops = AugmentConfig(crop=128)
    for batch in batches([reader], space, Draws([len(reader)], 0), crops, start=0, end=steps, batch_size=4):
        optimizer.zero_grad()
        objective(batch)["loss"].backward()
        optimizer.step()
    return objective.network


if __name__ == "__main__":
    main()
