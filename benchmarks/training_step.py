"""A whole training step, loading included: ours beside a plain loop over segmentation-models-pytorch.

    python benchmarks/training_step.py                                 photographs made from a seed
    python benchmarks/training_step.py --data ../shared/data/voc2012   others: the layout of reader `folder`

Both train the same encoder and decoder with cross-entropy and AdamW, on crops of the same size, geometry and colours,
batch by batch in one process. The plain loop is what that library's documentation shows: a Dataset of albumentations
(torchvision's reference where they are not installed), a DataLoader, `loss(model(images), masks)`. Training goes on
from round to round; behind the last one both are judged on the same whole images.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import measure
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from photographs import make
from pipelines import MEAN, STD, albumentations, torchvision_reference
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mdpseg.config import AugmentConfig, NetworkConfig
from mdpseg.data.draws import Draws
from mdpseg.data.loader import batches
from mdpseg.data.open import label_space_of
from mdpseg.data.readers import Folder
from mdpseg.engine.quick_convolutions import quick_pointwise
from mdpseg.engine.quick_depthwise import quick_depthwise
from mdpseg.metrics import ConfusionMatrix
from mdpseg.network import SegmentationNetwork
from mdpseg.objectives.finetune import Finetune

ENCODER, DECODER, BATCH, RATE = "mobilenetv3_large_100", "fpn", 8, 1e-3  # an encoder normalised by MEAN and STD


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one step, no CSV")
    parser.add_argument("--data", type=Path, help="folder with images/train, masks/train and classes.txt")
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--steps", type=int, default=6, help="in each round")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.steps, given.crop = 1, 1, 64
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root, split = given.data or Path(folder), "train" if given.data else ""
        if not given.data:
            make(root, BATCH if given.quick else 24)
        reader = Folder(root / "images" / split, root / "masks" / split, root / "classes.txt")
        reader.pairs = reader.pairs[:200]
        rows = _rows(reader, given.crop, given.steps, given.rounds)
    measure.finish("training_step", rows, given.quick)


def _rows(reader: Folder, crop: int, steps: int, rounds: int) -> list[measure.Row]:
    torch.manual_seed(0)
    objective, our_step = _ours(reader, crop)
    torch.manual_seed(0)
    model, their_step, pipeline = _theirs(reader, crop)

    def repeat(step: Callable[[], None]) -> None:
        for _ in range(steps):
            step()

    what = f"training step, {ENCODER} {DECODER}, crop {crop}, batch {BATCH}"
    with quick_pointwise(objective), quick_depthwise(objective):  # as every run of ours does
        seconds = measure.compare({"ours": lambda: repeat(our_step), "theirs": lambda: repeat(their_step)}, rounds)
        memory = measure.memory_row(
            what, f"smp, {pipeline}", measure.peak_memory(our_step), measure.peak_memory(their_step)
        )
    mean, std = (torch.tensor(v)[None, :, None, None] for v in (MEAN, STD))
    ours = _accuracy(reader, objective.network.eval().logits)
    theirs = _accuracy(reader, lambda images: _whole(model.eval(), (images.float() / 255 - mean) / std))
    count = steps * (rounds + 1)
    against = f"smp, {pipeline}; pixel accuracy after {count} steps {theirs:.3f}, ours {ours:.3f}"
    row = measure.ratio_row(
        what,
        against,
        seconds["ours"],
        seconds["theirs"],
        "at least 1.2",
    )
    images = steps * BATCH
    row |= {
        "ours": f"{images / sorted(seconds['ours'])[rounds // 2]:.4g}",
        "theirs": f"{images / sorted(seconds['theirs'])[rounds // 2]:.4g}",
        "unit": "images/s",
    }
    return [row, memory]


def _ours(reader: Folder, crop: int) -> tuple[Finetune, Callable[[], None]]:
    space, augmentation = label_space_of([reader]), AugmentConfig(crop=crop, short_side=crop)
    objective = Finetune(SegmentationNetwork(NetworkConfig(encoder=ENCODER, decoder=DECODER)), space)
    objective = objective.to(memory_format=torch.channels_last)  # as every run of ours does
    optimizer = torch.optim.AdamW(objective.parameters(), RATE)
    stream = batches(
        [reader], space, Draws([len(reader)], 0), augmentation, start=0, end=10**6, batch_size=BATCH, workers=0
    )

    def step() -> None:
        objective.train()
        loss = objective(next(stream))["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return objective, step


def _theirs(reader: Folder, crop: int) -> tuple[nn.Module, Callable[[], None], str]:
    files = [(pair.image, pair.mask) for pair in reader.pairs]
    try:
        dataset, pipeline = albumentations(files, crop), "albumentations"
    except ImportError:
        dataset, pipeline = torchvision_reference(files, crop), "torchvision's reference transforms"
    model = smp.create_model(DECODER, f"tu-{ENCODER}", encoder_weights=None, classes=len(reader.classes))
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    stream = _endless(DataLoader(dataset, BATCH, shuffle=True, drop_last=True))

    def step() -> None:
        model.train()
        images, masks = next(stream)
        loss = F.cross_entropy(model(images), masks, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return model, step, pipeline


def _endless(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


def _whole(model: nn.Module, images: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    return model(F.pad(images, (0, -width % 32, 0, -height % 32)))[..., :height, :width]


@torch.no_grad()
def _accuracy(reader: Folder, logits: Callable[[Tensor], Tensor]) -> float:
    confusion = ConfusionMatrix(len(reader.classes))
    for index in range(min(16, len(reader))):
        sample = reader[index]
        confusion.update(logits(sample.image[None])[0].argmax(0), sample.mask)
    return confusion.pixel_accuracy()


if __name__ == "__main__":
    main()
