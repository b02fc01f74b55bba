"""Draw `docs/toy-worlds.png`: four samples of each embedded world beside their masks.

Run from anywhere: ``python docs/make_toy_picture.py``.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Patch

from mdpseg.data.toy import WORLDS, ToyWorld, kinds_of

SIZE, ZOOM, DPI = 128, 2, 160
SAMPLES = 4
TONES = np.uint8(0xF0)  # the bits of a photograph that the picture keeps, for a small file
CHOSEN = {"coarse": (6, 4, 21, 19), "fine": (17, 13, 4, 3), "things": (4, 9, 16, 7)}
SUBTITLES = {
    "coarse": "wide classes · a faded poster",
    "fine": "narrow classes · a clear day",
    "things": "a catch-all background · a rainy night",
}
# One colour a kind, so that what is the same thing has the same colour in every world.
COLOURS = {
    "sky": "a9d6f5", "road": "8c8c94", "grass": "b5d99c", "water": "3f7fbf",
    "house": "c8553d", "tower": "8a5a83",
    "tree": "2d7d46", "bush": "7fb069", "car": "f4b400", "truck": "f28123", "bus": "d7263d", "boat": "5bc0be",
    "person": "f49cbb", "dog": "9c6644", "sign": "6f42c1",
    "ground": "c2b280", "building": "a8574f", "vegetation": "4f9a55", "vehicle": "f09a1a",
    "background": "e8e6e1",
}  # fmt: skip


def colour(world: str, class_name: str) -> str:
    """The colour of a class: that of its kind, or its own when it holds several."""
    kinds = kinds_of(world, class_name)
    return COLOURS[next(iter(kinds)) if len(kinds) == 1 else class_name]


def coloured(reader: ToyWorld, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colour a mask [H, W] by class, void white. Returns uint8 [H, W, 3]."""
    table = np.full((256, 3), 255, np.uint8)
    for number, name in enumerate(reader.classes):
        table[number] = list(bytes.fromhex(colour(reader.world, name)))
    return table[mask]


def main() -> None:
    """Draw the picture."""
    side, gap, margin = ZOOM * SIZE, 24, 20
    head, foot = 62, 56  # above a row its title, below it the legend
    width = 2 * margin + 2 * SAMPLES * side + (SAMPLES - 1) * gap
    height = len(WORLDS) * (head + side + foot) + 8
    figure = plt.figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    for line, world in enumerate(WORLDS):
        reader = ToyWorld(world, seed=1, size=SIZE)
        top = height - line * (head + side + foot)
        for place, number in enumerate(CHOSEN[world]):
            sample = reader[number]
            photo = sample.image.permute(1, 2, 0).numpy() & TONES
            pair = np.concatenate([photo, coloured(reader, sample.mask.numpy())], axis=1)
            x = margin + place * (2 * side + gap)
            figure.figimage(pair.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1), xo=x, yo=top - head - side)
        title = figure.text(margin / width, (top - 44) / height, world, fontsize=15, weight="bold")
        end = title.get_window_extent().x1 + 18
        figure.text(end / width, (top - 44) / height, SUBTITLES[world], fontsize=12, color="0.35")
        patches = [Patch(facecolor=f"#{colour(world, name)}", label=name) for name in reader.classes]
        below = (margin / width, (top - head - side - 24) / height)
        figure.legend(
            handles=patches, ncol=len(patches), loc="center left", bbox_to_anchor=below,
            borderaxespad=0, borderpad=0, frameon=False, fontsize=11,
            handlelength=1, handleheight=1, columnspacing=1.3, handletextpad=0.4,
        )  # fmt: skip
    target = Path(__file__).with_name("toy-worlds.png")
    figure.savefig(target)
    plt.close(figure)
    Image.open(target).convert("RGB").save(target, optimize=True)


if __name__ == "__main__":
    main()
