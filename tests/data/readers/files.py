"""Small files for the readers' tests, and where the original layouts lie."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ORIGINALS = Path(__file__).parents[3].parent / "shared" / "data" / "original-layouts"


def original(dataset: str) -> Path:
    folder = ORIGINALS / dataset
    if not folder.is_dir():
        pytest.skip(f"no original layout of {dataset} beside the repository (../shared/data/original-layouts)")
    return folder


def write_image(path: Path, height: int = 8, width: int = 10, seed: int = 0, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def write_mask(path: Path, ids: object, height: int = 8, width: int = 10) -> Path:
    """A mask of 8-bit ids: an array as it is, or a list of ids repeated over height x width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.asarray(ids, dtype=np.uint8)
    Image.fromarray(array if array.ndim == 2 else np.resize(array, (height, width))).save(path)
    return path


def write_lines(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def raw_mask(path: Path) -> np.ndarray:
    """Pillow's reading: grey values, or the indices of a palette."""
    return np.asarray(Image.open(path)).astype(np.int64)


def copy_file(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    return target


def write_tiff(path: Path, bands: object, **more: object) -> Path:
    import rasterio  # an extra: tests of TIFF skip without it

    pixels = np.asarray(bands)
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype, **more}
    with rasterio.open(path, "w", **profile) as file:
        file.write(pixels)
    return path
