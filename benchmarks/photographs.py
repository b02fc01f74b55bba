"""Photographs with masks, made from a seed: of many octaves, so that a JPEG of them has a photograph's size."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

CLASSES = 150


def make(root: Path, count: int, width: int = 683, height: int = 512, seed: int = 0) -> None:
    """Writes root/images/N.jpg (quality 90), root/masks/N.png (8 bits grey) and root/classes.txt.

    The defaults are the size of most of ADE20K; a file has about 100 kB, and its mask about 10 kB.
    """
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    (root / "classes.txt").write_text("".join(f"class {i}\n" for i in range(CLASSES)))
    source = torch.Generator().manual_seed(seed)
    for number in range(count):
        octaves = [_octave(3, 2**o, width, height, source) / 2 ** (0.75 * o) for o in range(9)]
        grain = torch.randn(3, height, width, generator=source)
        image = 120 + 70 * torch.stack(octaves).sum(0) + 5 * grain  # [3, H, W]
        pixels = image.clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous()
        Image.fromarray(pixels.numpy()).save(root / "images" / f"{number}.jpg", quality=90)
        depth = _octave(1, 6, width, height, source)[0] + _octave(1, 24, width, height, source)[0] / 4
        mask = (depth.sigmoid() * 12).to(torch.uint8) * 12  # 12 of the 150 classes, as in a real scene
        Image.fromarray(mask.numpy()).save(root / "masks" / f"{number}.png")


def _octave(channels: int, cells: int, width: int, height: int, source: torch.Generator) -> Tensor:
    """Noise of this many cells along the short side, [C, H, W]."""
    short = min(width, height)
    size = max(2, cells * height // short), max(2, cells * width // short)
    noise = torch.randn(1, channels, *size, generator=source)
    return F.interpolate(noise, (height, width), mode="bicubic", align_corners=False)[0]
