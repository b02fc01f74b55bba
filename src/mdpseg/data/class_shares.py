"""How many pixels and images each class has: counted, as a table, as a picture."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdpseg.data.readers.pairs import IGNORED
from mdpseg.files import write_text, write_whole

_LOWEST = 1e-6  # left end of the picture's logarithmic axis


def _zeros() -> NDArray[np.int64]:
    return np.zeros(256, np.int64)


@dataclass
class ClassShares:
    """Counts of one dataset.

    Attributes:
        dataset: what it is called in tables.
        classes: names in the order of the local ids.
        pixels: int64 [256], pixels of each local id; 255 is ignored.
        images: int64 [256], images in which it occurs.
    """

    dataset: str
    classes: list[str]
    pixels: NDArray[np.int64] = field(default_factory=_zeros)
    images: NDArray[np.int64] = field(default_factory=_zeros)

    def add(self, pixels: NDArray[np.int64]) -> None:
        """Counts one mask, by its pixels of each local id [256]."""
        self.pixels += pixels
        self.images += pixels > 0

    def rows(self) -> list[tuple[str, int, float, int]]:
        """Class, pixels, share of the labelled pixels, images; in the order of the classes."""
        labelled = max(1, int(self.pixels[: len(self.classes)].sum()))
        return [
            (name, int(self.pixels[i]), int(self.pixels[i]) / labelled, int(self.images[i]))
            for i, name in enumerate(self.classes)
        ]

    def absent(self) -> list[str]:
        """The classes without a pixel."""
        return [name for name, pixels, _, _ in self.rows() if not pixels]

    def ignored(self) -> float:
        """The share of all pixels that are ignored."""
        return int(self.pixels[IGNORED]) / max(1, int(self.pixels.sum()))


def shares_text(shares: ClassShares, most: int) -> str:
    """The table for a terminal, frequent classes first; of a long one, ``most`` lines from both ends."""
    rows = sorted(shares.rows(), key=lambda row: -row[1])
    width = max(len(name) for name, *_ in rows)
    lines = [f"  {name:<{width}} {share:9.4%} {images:>7} images" for name, _, share, images in rows]
    if len(lines) > most:
        half = (most + 1) // 2
        left_out = f"  ... {len(lines) - most} classes between; --out FOLDER writes all of them"
        lines = [*lines[:half], left_out, *lines[len(lines) - (most - half) :]]
    return "\n".join(lines)


def write_shares(path: Path, all_shares: Sequence[ClassShares]) -> None:
    """Writes the table of all datasets as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["dataset", "class", "pixels", "share", "images"])
    for shares in all_shares:
        writer.writerows(
            [shares.dataset, name, pixels, f"{share:.8f}", images] for name, pixels, share, images in shares.rows()
        )
    write_text(path, text.getvalue())


def draw_shares(path: Path, all_shares: Sequence[ClassShares]) -> None:
    """Draws a panel of bars for each dataset, on a logarithmic axis; a class without a pixel has no bar, in red."""
    from matplotlib.figure import Figure

    most = max(len(shares.classes) for shares in all_shares)
    figure = Figure(figsize=(4.2 * len(all_shares), 1.0 + 0.16 * most), layout="constrained")
    axes = figure.subplots(1, len(all_shares), squeeze=False)
    for axis, shares in zip(axes[0], all_shares, strict=True):
        _draw_panel(axis, shares)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # of a script that the font lacks: boxes are drawn
        write_whole(path, lambda temporary: figure.savefig(temporary, dpi=100))


def _draw_panel(axis: Any, shares: ClassShares) -> None:
    rows = sorted(shares.rows(), key=lambda row: row[1])
    axis.barh(range(len(rows)), [max(share, _LOWEST) for _, _, share, _ in rows], left=0, height=0.7)
    # a dollar sign would begin a formula
    axis.set_yticks(range(len(rows)), [name.replace("$", r"\$") for name, *_ in rows], fontsize=7)
    for label, (_, pixels, _, _) in zip(axis.get_yticklabels(), rows, strict=True):
        label.set_color("black" if pixels else "red")
    axis.set_xscale("log")
    axis.set_xlim(_LOWEST, 1)
    axis.set_ylim(-0.6, len(rows) - 0.4)
    axis.set_xlabel("share of labelled pixels")
    axis.set_title(shares.dataset.replace("$", r"\$"), fontsize=9)
    axis.grid(axis="x", alpha=0.3)
