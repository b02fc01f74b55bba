"""Draw the pictures of `docs/method.md`, each with the package's own parts, into `docs/method-*.png`.

Run from anywhere: ``python docs/make_figures.py [FOLDER]``.
"""

from __future__ import annotations

import colorsys
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from mdpseg import LabelSpace
from mdpseg.bank import RegionBank, region_means
from mdpseg.data.toy import ToyWorld, kinds_of
from mdpseg.data.toy.kinds import KINDS
from mdpseg.losses.pixel_to_prototype import drop_lookalikes
from mdpseg.mixing import pixel_mix, region_box, region_mix

COARSE = ["sky", "ground", "water", "building", "vegetation", "vehicle", "person"]
THINGS = ["background", "car", "bus", "boat", "person", "dog", "tree", "sign"]
SPACE = LabelSpace.concatenate({"coarse": COARSE, "things": THINGS}, catch_alls={"things": "background"})
INK, FAINT = "#22313a", "#c9d1d6"


def colour(number: int) -> tuple[float, float, float]:
    """The colour of a global id: blues to greens for the first dataset, reds to yellows for the second."""
    first = number < len(COARSE)
    place = number / len(COARSE) if first else (number - len(COARSE)) / len(THINGS)
    hue = 0.38 + 0.32 * place if first else (0.88 + 0.29 * place) % 1
    return colorsys.hsv_to_rgb(hue, 0.45 + 0.25 * (number % 2), 0.82)


def coloured(targets: Tensor) -> NDArray[np.float64]:
    """Global ids [H, W] -> [H, W, 3]; white where ignored."""
    table = np.array([*(colour(number) for number in range(SPACE.num_classes)), (1, 1, 1)])
    return table[targets.numpy()]


def sample(dataset: str, number: int, size: int = 96) -> tuple[Tensor, Tensor]:
    """Image [3, H, W] and global ids [H, W] of an embedded world."""
    found = ToyWorld(dataset, seed=1, size=size)[number]
    return found.image, SPACE.encode(found.mask, dataset)


def show(axes: Axes, picture: Tensor | NDArray[np.float64], title: str = "", below: str = "") -> None:
    """A picture without ticks; images are [3, H, W]."""
    axes.imshow(picture.permute(1, 2, 0).numpy() if isinstance(picture, Tensor) else picture, interpolation="nearest")
    axes.set(xticks=[], yticks=[], title=title, xlabel=below)


def label_spaces() -> Figure:
    """Two label sets, laid end to end."""
    figure, axes = plt.subplots(figsize=(9, 2.7))
    gap = 1.2
    for number, name in enumerate(SPACE.names):
        dataset, short = name.split("/")
        local = number - SPACE.offset(dataset)
        above = number + (0 if dataset == "coarse" else gap)
        axes.add_patch(Rectangle((above, 2), 0.94, 0.7, color=colour(number)))
        axes.text(above + 0.47, 2.35, str(local), ha="center", va="center", color="white", weight="bold")
        axes.text(above + 0.47, 2.8, short, ha="left", va="bottom", rotation=35, rotation_mode="anchor", fontsize=8)
        axes.add_patch(Rectangle((number + gap / 2, 0.3), 0.94, 0.7, color=colour(number)))
        axes.text(number + gap / 2 + 0.47, 0.65, str(number), ha="center", va="center", color="white", weight="bold")
        axes.annotate(
            "", (number + gap / 2 + 0.47, 1.05), (above + 0.47, 1.95), arrowprops={"arrowstyle": "-", "color": FAINT}
        )
    axes.text(-0.3, 2.35, "ids in the masks", ha="right", va="center")
    axes.text(gap / 2 - 0.3, 0.65, "ids in the network", ha="right", va="center")
    axes.text(len(COARSE) / 2, -0.1, "coarse/...", ha="center", va="top", weight="bold")
    axes.text(len(COARSE) + gap / 2 + len(THINGS) / 2, -0.1, "things/...", ha="center", va="top", weight="bold")
    axes.set(xlim=(-3.2, SPACE.num_classes + gap + 0.6), ylim=(-0.5, 4.1))
    axes.axis("off")
    return figure


def two_step_average() -> Figure:
    """Pixel embeddings -> region embeddings -> bank -> prototypes; embeddings are made up, in two dimensions."""
    figure, panels = plt.subplots(1, 4, figsize=(11, 3.1), gridspec_kw={"width_ratios": [1, 1.15, 1.15, 1.15]})
    source = torch.Generator().manual_seed(3)
    angles = torch.tensor([2 * np.pi * (number * 0.618 % 1) for number in range(SPACE.num_classes)])
    bank = RegionBank(size=24, dim=2, num_classes=SPACE.num_classes)
    for dataset, number in [("coarse", 1), ("things", 4), ("coarse", 4), ("things", 9), ("things", 16), ("coarse", 6)]:
        image, targets = sample(dataset, number, 48)
        off = 0.35 * torch.randn(SPACE.num_classes, generator=source)  # of this image's regions
        spread = (
            angles[targets.clamp(min=0)]
            + off[targets.clamp(min=0)]
            + 0.18 * torch.randn(targets.shape, generator=source)
        )
        embeddings = torch.stack([spread.cos(), spread.sin()])[None]  # [1, 2, H, W]
        regions, classes = region_means(embeddings, targets[None], SPACE.num_classes)
        bank.push(regions, classes)
    show(panels[0], np.concatenate([image.permute(1, 2, 0).numpy() / 255, coloured(targets)]), "an image and its mask")
    flat, labels = embeddings[0].flatten(1).T, targets.flatten()
    chosen = torch.randperm(len(labels), generator=source)[:350]
    chosen = chosen[labels[chosen] >= 0]
    radius = 1 + 0.12 * torch.rand(len(chosen), 1, generator=source)
    on_circle(panels[1], "step 1: a mean a class and image", "dots: pixels\ndiamonds: region embeddings")
    panels[1].scatter(*(flat[chosen] * radius).T, s=5, c=[colour(int(n)) for n in labels[chosen]], alpha=0.7)
    panels[1].scatter(*regions.T, s=70, c=[colour(int(n)) for n in classes], marker="D", edgecolors=INK, zorder=3)
    ring(panels[2], bank)
    held, held_classes = bank.entries()
    prototypes, present = bank.prototypes()
    on_circle(panels[3], "step 2: a mean a class", "diamonds: regions in the bank\nstars: prototypes")
    panels[3].scatter(*held.T, s=30, c=[colour(int(n)) for n in held_classes], marker="D", alpha=0.6)
    there = present.nonzero()[:, 0]
    panels[3].scatter(
        *prototypes[there].T, s=230, c=[colour(int(n)) for n in there], marker="*", edgecolors=INK, zorder=3
    )
    return figure


def on_circle(axes: Axes, title: str, below: str) -> None:
    """The unit circle, on which embeddings lie."""
    axes.add_patch(Circle((0, 0), 1, fill=False, color=FAINT))
    axes.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal", xticks=[], yticks=[], title=title, xlabel=below)


def ring(axes: Axes, bank: RegionBank) -> None:
    """The bank's slots; the arrow is where the next region goes."""
    slots, position = len(bank.classes), int(bank.position)
    for slot, number in enumerate(bank.classes.tolist()):
        start = 90 - 360 * slot / slots
        axes.pie([1, slots - 1], radius=1.2, startangle=start, counterclock=False,
                 colors=[colour(number) if number >= 0 else "white", "none"],
                 wedgeprops={"width": 0.35, "edgecolor": "white"})  # fmt: skip
    at = np.radians(90 - 360 * (position + 0.5) / slots)
    tip = (0.82 * np.cos(at), 0.82 * np.sin(at))
    axes.annotate("", tip, (0.1 * np.cos(at), 0.1 * np.sin(at)), arrowprops={"arrowstyle": "->", "color": INK, "lw": 2})
    axes.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), title=f"bank: the last {slots} regions")
    axes.set_xlabel("the next one\nreplaces the oldest")


def mixings() -> Figure:
    """Two images of two datasets, a box pasted, and a blend."""
    figure, panels = plt.subplots(2, 4, figsize=(8.6, 4.4), gridspec_kw={"hspace": 0.06})
    pairs = [sample("coarse", 6), sample("things", 9)]
    images, targets = (torch.stack(parts) for parts in zip(*pairs, strict=True))
    partners = torch.tensor([1, 0])
    box = region_box(96, 96, 0.6, torch.Generator().manual_seed(4))
    pasted, pasted_targets = region_mix(images, targets, torch.tensor([box, (0, 0, 0, 0)]), partners)
    blended = pixel_mix(images, torch.tensor([0.6, 1.0]), partners)
    for column, (picture, mask, title) in enumerate(
        [
            (images[0], targets[0], "an image of coarse"),
            (images[1], targets[1], "its partner, of things"),
            (pasted[0], pasted_targets[0], "region: a box pasted"),
        ]
    ):
        show(panels[0, column], picture, title)
        show(panels[1, column], coloured(mask))
    show(panels[0, 3], blended[0], "pixel: 0.6 and 0.4 of each")
    panels[1, 3].axis("off")
    for place, share in ((0, 0.6), (1, 0.4)):
        inset = panels[1, 3].inset_axes((0.02, 0.52 - 0.52 * place, 0.46, 0.46))
        show(inset, coloured(targets[place]))
        panels[1, 3].text(
            0.53, 0.75 - 0.52 * place, f"{share} x its loss", transform=panels[1, 3].transAxes, va="center"
        )
    return figure


def denominators() -> Figure:
    """Which classes a pixel of each class is pushed from, under the three settings."""
    kinds = [[float(kind in kinds_of(*name.split("/"))) for kind in KINDS] for name in SPACE.names]
    prototypes = F.normalize(torch.tensor(kinds), dim=1)  # alike where two classes share kinds of things
    all_classes, own = SPACE.denominator("all"), SPACE.denominator("own_dataset")
    narrowed = drop_lookalikes(all_classes, prototypes, SPACE.dataset_of_class(), 1)
    figure, panels = plt.subplots(1, 3, figsize=(10.5, 4.3), sharey=True)
    for axes, (title, counts) in zip(
        panels, {"all": all_classes, "own_dataset": own, "no_lookalikes (1)": narrowed}.items(), strict=True
    ):
        shown = counts.int()
        shown.fill_diagonal_(2)
        axes.imshow(shown, cmap=mpl.colors.ListedColormap(["white", "#e39b8c", "#2a8c7c"]))
        axes.set_xticks(range(SPACE.num_classes), SPACE.names, rotation=90, fontsize=7)
        axes.set_yticks(range(SPACE.num_classes), SPACE.names, fontsize=7)
        axes.set_xticks(np.arange(SPACE.num_classes + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(SPACE.num_classes + 1) - 0.5, minor=True)
        axes.grid(which="minor", color=FAINT, lw=0.5)
        axes.tick_params(which="both", length=0)
        axes.set_title(title)
    panels[0].set_ylabel("a pixel of ...")
    return figure


FIGURES = {
    "label-spaces": label_spaces,
    "two-step-average": two_step_average,
    "mixings": mixings,
    "denominators": denominators,
}


def main(folder: Path) -> None:
    """Draws all into a folder."""
    style = {"font.size": 9, "axes.titlesize": 10, "text.color": INK, "axes.edgecolor": FAINT, "axes.labelcolor": INK}
    with plt.rc_context(style):
        for name, draw in FIGURES.items():
            figure = draw()
            target = folder / f"method-{name}.png"
            figure.savefig(target, dpi=120, bbox_inches="tight", facecolor="white")
            plt.close(figure)
            Image.open(target).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
