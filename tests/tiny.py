"""Runs and datasets of the smallest size that still means something."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from mdpseg.batch import Batch
from mdpseg.config import NetworkConfig
from mdpseg.data.readers.pairs import Sample
from mdpseg.network import SegmentationNetwork

NETWORK = {"encoder": "mobilenetv3_small_050", "decoder": "fpn", "embedding_dim": 16}
# Its steps take a fiftieth of a second.
FAST_NETWORK = {"encoder": "test_efficientnet", "decoder": "fpn", "decoder_channels": 32, "embedding_dim": 16}


def toy(world: str, **more: Any) -> dict[str, Any]:
    return {"name": world, "reader": "toy", "world": world, "size": 64, "count": 8, **more}


def pretraining(out: Path, **more: Any) -> dict[str, Any]:
    return {
        "out": str(out),
        "datasets": [toy("coarse"), toy("fine")],
        "iterations": 3,
        "batch_size": 4,
        "workers": 0,
        "network": dict(FAST_NETWORK),
        "augment": {"crop": 32},
        "method": {"prototypes": "mixed", "bank_size": 64, "momentum": 0.99},
        "log_every": 1,
        **more,
    }


def finetuning(out: Path, **more: Any) -> dict[str, Any]:
    return {
        "out": str(out),
        "train": toy("things"),
        "val": toy("things", split="val", count=2),
        "iterations": 3,
        "batch_size": 4,
        "workers": 0,
        "network": dict(FAST_NETWORK),
        "augment": {"crop": 32},
        "log_every": 1,
        **more,
    }


def write_recipe(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def image_folder(
    root: Path, ids: Sequence[int] = (0, 1, 2, 255), count: int = 2, split: str = "train"
) -> dict[str, Any]:
    """Writes a dataset of reader ``folder`` with classes a, b, c, and returns its entry in a recipe."""
    for number in range(count):
        rng = np.random.default_rng(number)
        image, mask = (
            root / kind / split / f"{number}{suffix}" for kind, suffix in (("images", ".jpg"), ("masks", ".png"))
        )
        image.parent.mkdir(parents=True, exist_ok=True)
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(image)
        Image.fromarray(rng.choice(np.array(ids, dtype=np.uint8), (40, 48))).save(mask)
    (root / "classes.txt").write_text("a\nb\nc\n")
    return {"name": "mine", "reader": "folder", "path": str(root), "split": split}


def bare_images(root: Path, count: int = 2) -> dict[str, Any]:
    """Writes a folder of images without masks or class list, and returns its entry in a recipe."""
    entry = image_folder(root, count=count)
    shutil.rmtree(root / "masks")
    (root / "classes.txt").unlink()
    return {**entry, "name": "bare", "unlabelled": True}


def command(*arguments: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """The real command line, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "mdpseg", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def tensors(run: Path) -> dict[str, Tensor]:
    return load_file(run / "weights.safetensors")


def losses(run: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what depends on the machine's speed."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in r.items() if key != "images_per_second"} for r in records]


def swapped(layer: nn.Module) -> bool:
    """Whether a layer does something else than its class for now."""
    return "forward" in vars(layer)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class ListReader:
    """A dataset in memory."""

    def __init__(
        self, samples: Sequence[Sample], classes: Sequence[str] = (), name: str = "list", catch_all: str | None = None
    ) -> None:
        self.samples, self.classes, self.name, self.catch_all = list(samples), list(classes), name, catch_all
        self.label_set: str | None = name

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


class TinyNetwork(SegmentationNetwork):
    """One strided convolution in the place of encoder and decoder; milliseconds instead of a tenth of a second."""

    def __init__(self, embedding_dim: int = 8) -> None:
        nn.Module.__init__(self)
        self.config = NetworkConfig(embedding_dim=embedding_dim)
        self.encoder = TinyEncoder(nn.Conv2d(3, 12, 4, stride=4), nn.BatchNorm2d(12), nn.ReLU())
        self.decoder = TinyDecoder(12, 12, 1)
        self.feature_channels = 12
        self.head: nn.Module = nn.Identity()
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.5))
        self.register_buffer("std", torch.full((1, 3, 1, 1), 0.5))


class TinyEncoder(nn.Sequential):
    """Its maps are the images and what its layers make of them."""

    out_channels = (3, 12)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [images, super().forward(images)]


class TinyDecoder(nn.Conv2d):
    """Of the last of the encoder's maps."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        return super().forward(maps[-1])


def batch(
    targets: Tensor, datasets: Sequence[int] | None = None, lam: float | Sequence[float] = 1.0, seed: int = 0
) -> Batch:
    """A batch of random images with these targets [B, H, W]; each image's partner is the next one."""
    count, height, width = targets.shape
    source = torch.Generator().manual_seed(seed)
    partners = torch.arange(count).roll(-1)
    return Batch(
        images=torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=source),
        targets=targets,
        datasets=torch.tensor(datasets if datasets is not None else [0] * count),
        boxes=torch.zeros(count, 4, dtype=torch.int64),
        region_partners=partners,
        lam=torch.as_tensor(lam, dtype=torch.float32).expand(count).clone(),
        pixel_partners=partners,
    )
