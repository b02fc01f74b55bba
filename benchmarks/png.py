"""How long a PNG takes: a mask of 683 x 512 pixels, and a photograph of Cityscapes' size (that set is all PNG).

    python benchmarks/png.py

OpenCV gives blue, green, red, which it is not asked to turn here.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import measure
import numpy as np
from loader import absent_row
from photographs import make
from PIL import Image

from mdpseg.data.readers.decode import decode_ids, decode_photograph

COUNT = 6


def main() -> None:
    given = measure.arguments(__doc__, rounds=15)
    width, height = (512, 256) if given.quick else (2048, 1024)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root, COUNT)
        make(root / "large", 1, width, height)
        masks = [path.read_bytes() for path in sorted((root / "masks").iterdir())]
        large = [_as_png(root / "large" / "images" / "0.jpg")]
    rows = _rows("PNG mask, 683x512", masks, lambda content: decode_ids(content, Path("mask"), "d"), given.rounds)
    name = f"PNG photograph, {width}x{height}"
    rows += _rows(name, large, lambda content: decode_photograph(content, Path("image"), "d"), given.rounds)
    measure.finish("png", rows, given.quick)


def _rows(what: str, files: list[bytes], ours: Callable[[bytes], object], rounds: int) -> list[measure.Row]:
    sides = {"mdpseg": ours, "Pillow": lambda content: np.array(Image.open(io.BytesIO(content)))}
    absent = []
    try:
        import cv2

        sides["OpenCV"] = lambda content: cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except ImportError:
        absent = [absent_row(what, "OpenCV")]
    passes = {name: (lambda side=side: [side(content) for content in files]) for name, side in sides.items()}
    seconds = measure.compare(passes, rounds)
    each = {name: [1e3 * value / len(files) for value in values] for name, values in seconds.items()}
    ours_each = each.pop("mdpseg")
    return [measure.ratio_row(what, name, ours_each, values, unit="ms") for name, values in each.items()] + absent


def _as_png(path: Path) -> bytes:
    buffer = io.BytesIO()
    Image.open(path).save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
