"""Whole images judged at their labels' resolution: ours beside a plain loop with torchmetrics, the same network.

    python benchmarks/evaluation.py

The network is fine-tuned for some steps on the made photographs, so that its logits are those of a trained one. The
plain loop is what the documentation of both libraries shows: one image after the other through the model, bilinear
logits at the label's size, `MulticlassJaccardIndex.update(logits, mask)`. Both read from memory.
"""

from __future__ import annotations

import tempfile
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
    torch.set_num_threads(1)
    rows = []
    for encoder, decoder, width, height in CASES[:1] if given.quick else CASES:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), 2 if given.quick else 6, width, height)
            reader = InMemory(Folder(f"{folder}/images", f"{folder}/masks", f"{folder}/classes.txt"))
        network = _trained(reader, encoder, decoder, 2 if given.quick else 20)
        rows += _rows(network, reader, f"{encoder} {decoder}, {width}x{height}, {CLASSES} classes", given.rounds)
    measure.finish("evaluation", rows, given.quick)


def _rows(network: SegmentationNetwork, reader: InMemory, what: str, rounds: int) -> list[measure.Row]:
    what = f"whole-image evaluation, {what}"
    try:
        from torchmetrics.classification import MulticlassJaccardIndex
    except ImportError:
        return [absent_row(what, "torchmetrics")]
    fabric = make_fabric("cpu", "fp32")
    figures = {}
    fast = SegmentationNetwork(network.config)
    fast.set_classifier(CLASSES)
    fast.load_state_dict(network.state_dict())
    fast = fast.to(memory_format=torch.channels_last)  # as `mdpseg evaluate` does

    def ours() -> None:
        figures["ours"] = score_network(fast, reader, EvalConfig(), fabric).mean_iou

    @torch.no_grad()
    def theirs() -> None:
        network.eval()
        metric = MulticlassJaccardIndex(CLASSES, average="none", ignore_index=255)
        occurs = torch.zeros(CLASSES, dtype=torch.bool)
        for sample in reader.samples:
            mask: Tensor = sample.mask.long()
            metric.update(network.logits(sample.image[None]), mask[None])
            occurs[mask[mask != 255]] = True
        figures["theirs"] = float(metric.compute()[occurs].mean())

    seconds = measure.compare({"ours": ours, "theirs": theirs}, rounds)
    difference = abs(figures["ours"] - figures["theirs"])
    against = f"torchmetrics; mIoU {figures['theirs']:.6f}, difference {difference:.1e}"
    return [
        measure.ratio_row(what, against, seconds["ours"], seconds["theirs"], "at least 1.5"),
        measure.memory_row(what, "torchmetrics", measure.peak_memory(ours), measure.peak_memory(theirs)),
    ]


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
