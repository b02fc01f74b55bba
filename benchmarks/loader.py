"""Files to normalised crops, images a second a core, beside the pipelines that people use today.

    python benchmarks/loader.py                                   photographs made from a seed
    python benchmarks/loader.py --data ../shared/data/voc2012     others: the layout of reader `folder`
    python benchmarks/loader.py --width 2048 --height 1536        large ones

One process and one thread reads, augments and stacks batches of 8 and normalises them. What normalises on the device
elsewhere (MMSegmentation, and ours) normalises here too, on the CPU.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import measure
import torch
from photographs import make
from pipelines import ANTIALIAS, MEAN, PEERS, STD, Pair
from torch.utils.data import DataLoader

from mdpseg.config import AugmentConfig
from mdpseg.data.draws import Draws
from mdpseg.data.loader import batches
from mdpseg.data.open import label_space_of
from mdpseg.data.readers import Folder

BATCH = 8
TARGETS = {"torchvision reference": "at least 2"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="few files, one round, no CSV")
    parser.add_argument("--data", type=Path, help="folder with images/train, masks/train and classes.txt")
    parser.add_argument("--crop", type=int, default=512)
    parser.add_argument("--width", type=int, default=683)
    parser.add_argument("--height", type=int, default=512)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root, split = given.data or Path(folder), "train" if given.data else ""
        if not given.data:
            make(root, BATCH if given.quick else 3 * BATCH, given.width, given.height)
        reader = Folder(root / "images" / split, root / "masks" / split, root / "classes.txt")
        name = given.data.name if given.data else f"{given.width}x{given.height}"
        where = f"{name}, crop {given.crop}"
        files = [(pair.image, pair.mask) for pair in reader.pairs][: 3 * BATCH]
        rows = _rows(reader, files, given.crop, where, 1 if given.quick else given.rounds)
    measure.finish(f"loader-{name}", rows, given.quick)


def _rows(reader: Folder, files: list[Pair], crop: int, where: str, rounds: int) -> list[measure.Row]:
    reader.pairs = reader.pairs[: len(files)]
    sides: dict[str, Callable[[], object]] = {"mdpseg": _ours(reader, len(files) // BATCH, crop)}
    absent = []
    for name, build in PEERS.items():
        try:
            dataset = build(files, crop)
        except ImportError:
            absent.append(name)
            continue
        sides[name] = _pass(DataLoader(dataset, BATCH, shuffle=True, drop_last=True))
    seconds = measure.compare(sides, rounds)
    count = len(files) // BATCH * BATCH
    speeds = {name: [count / s for s in values] for name, values in seconds.items()}
    fastest = max((n for n in ANTIALIAS if n in speeds), key=lambda n: sorted(speeds[n])[rounds // 2])
    peaks = {name: measure.peak_memory(side) for name, side in sides.items()}
    rows = []
    for name in PEERS:
        what = f"loader, {where}"
        if name in absent:
            rows.append(absent_row(what, name))
            continue
        target = TARGETS.get(name, "at least 1.3" if name == fastest else "")
        # theirs and ours change places: measure's ratio is of seconds, and these are images a second
        rows.append(measure.ratio_row(what, name, seconds["mdpseg"], seconds[name], target))
        rows[-1] |= {
            "ours": f"{sorted(speeds['mdpseg'])[rounds // 2]:.4g}",
            "theirs": f"{sorted(speeds[name])[rounds // 2]:.4g}",
            "unit": "images/s",
        }
        rows.append(measure.memory_row(what, name, peaks["mdpseg"], peaks[name]))
    return rows


def absent_row(what: str, peer: str) -> measure.Row:
    """The row of a peer that is not there."""
    return {"what": what, "against": f"{peer}: not installed"} | dict.fromkeys(
        ("ours", "unit", "ratio", "low", "high", "target", "met"), ""
    )


def _ours(reader: Folder, steps: int, crop: int) -> Callable[[], object]:
    space, augmentation = label_space_of([reader]), AugmentConfig(crop=crop, short_side=crop)
    mean, std = (torch.tensor(v)[None, :, None, None] for v in (MEAN, STD))
    draws = Draws([len(reader)], seed=0)

    def run() -> None:
        for batch in batches([reader], space, draws, augmentation, start=0, end=steps, batch_size=BATCH):
            batch.images.to(torch.float32, copy=True).sub_(255 * mean).div_(255 * std)  # as the network begins

    return run


def _pass(loader: DataLoader) -> Callable[[], object]:
    def run() -> None:
        for _ in loader:
            pass

    return run


if __name__ == "__main__":
    main()
