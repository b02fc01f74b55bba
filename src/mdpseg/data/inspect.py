"""``mdpseg data inspect``: a sample of each dataset as one picture, masks over images, with a legend."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from mdpseg.data.class_shares import ClassShares
from mdpseg.data.entries import entries
from mdpseg.data.loader import Reader
from mdpseg.data.open import open_dataset
from mdpseg.data.readers.pairs import IGNORED
from mdpseg.data.sources import is_folder, sources_in
from mdpseg.errors import UserError
from mdpseg.files import make_folder, write_whole
from mdpseg.palette import colour_mask, palette

CELL, COLUMNS, GAP, LINE = 220, 6, 8, 22  # pixels; cells are squares
MOST_NAMES = 90  # of the legend
OPACITY = 0.55
KINDS = {".png": ("PNG", 2**31 - 1), ".jpg": ("JPEG", 65500), ".webp": ("WEBP", 16383)}  # and the longest side of each


@dataclass(frozen=True)
class Looked:
    """A sample of a dataset.

    Attributes:
        title: the dataset's name and split.
        reader: the dataset.
        cells: images with their masks over them, as squares.
        shares: pixels of each class in the sample, None for a dataset without labels.
    """

    title: str
    reader: Reader
    cells: list[Image.Image]
    shares: ClassShares | None

    def text(self, most: int = 15) -> str:
        """Its part of the printed table: what it has, then its classes by their share of the sample's pixels."""
        head = f"{self.title}: {len(self.reader)} images, {len(self.reader.classes)} classes"
        if self.shares is None:
            return f"{head}, without labels"
        rows = _occurring(self.shares)
        width = max((len(name) for _, name, _ in rows), default=0)
        lines = [f"  {name:<{width}} {share:8.2%}" for _, name, share in rows[:most]]
        if len(rows) > most:
            lines.append(f"  ... and {len(rows) - most} classes more")
        sample = (
            f"{len(rows)} classes in the sample of {len(self.cells)} images, {self.shares.ignored():.1%} is ignored"
        )
        return "\n".join([f"{head}; {sample}", *lines])


def inspect(
    source: str,
    out: Path,
    images: int = 18,
    seed: int = 0,
    overrides: Sequence[str] = (),
    tell: Callable[[str], object] = lambda remark: None,
) -> list[Looked]:
    """Draws a contact sheet of the datasets of a recipe, an entry or a folder.

    Args:
        source: as :func:`mdpseg.data.entries.entries` takes it, or a folder that ``mdpseg init`` recognises.
        out: the picture.
        images: how many of each dataset.
        seed: which ones.
        overrides: ``key=value`` for a recipe.
        tell: takes what is to be known of a folder: as what it was read, and what in it is passed over.

    Raises:
        UserError: a dataset cannot be opened, an image of the sample not be read, or the picture is too large for its
            format.
    """
    if out.suffix.lower() not in KINDS:
        raise UserError(f"--out {out}: expected a picture's name, such as sheet.png.")
    kind, longest = KINDS[out.suffix.lower()]
    looked = [_look(title, reader, images, seed) for title, reader in _readers(source, overrides, tell)]
    sheet = _sheet(looked)
    if max(sheet.size) > longest:
        raise UserError(
            f"--out {out}: the picture has {sheet.width}x{sheet.height} pixels, and {kind} takes at most {longest} a "
            f"side; set --images lower than {images}, or write a PNG, --out {out.with_suffix('.png')}."
        )
    make_folder(out.parent)
    write_whole(out, lambda temporary: sheet.save(temporary, kind))
    return looked


def _readers(source: str, overrides: Sequence[str], tell: Callable[[str], object]) -> list[tuple[str, Reader]]:
    if is_folder(source):
        sources, remarks = sources_in(Path(source), overrides)
        for remark in remarks:
            tell(remark)
        return [(one.title, one.open()) for one in sources]
    found = entries(source, overrides)
    return [
        (f"{e.config.name} ({e.folder.name or e.config.split})", open_dataset(e.config, e.data_root)) for e in found
    ]


def _look(title: str, reader: Reader, images: int, seed: int) -> Looked:
    places = sorted(random.Random(seed).sample(range(len(reader)), min(images, len(reader))))
    shares = ClassShares(title, reader.classes) if reader.label_set else None
    cells = []
    for place in places:
        sample = reader[place]
        if shares is not None:
            shares.add(torch.bincount(sample.mask.flatten(), minlength=256).numpy())
        cells.append(_cell(sample.image, sample.mask if shares is not None else None))
    return Looked(title, reader, cells, shares)


def _cell(image: Tensor, mask: Tensor | None) -> Image.Image:
    """The image with its mask over it, in the middle of a square; ignored pixels stay as they are."""
    shown = image
    if mask is not None:
        mixed = image.float().lerp(colour_mask(mask).float(), OPACITY).to(torch.uint8)
        shown = torch.where(mask == IGNORED, image, mixed)
    picture = Image.fromarray(shown.permute(1, 2, 0).contiguous().numpy())
    picture.thumbnail((CELL, CELL))
    cell = Image.new("RGB", (CELL, CELL), "white")
    cell.paste(picture, ((CELL - picture.width) // 2, (CELL - picture.height) // 2))
    return cell


def _occurring(shares: ClassShares) -> list[tuple[int, str, float]]:
    """Id, name and share of the classes that have pixels, frequent ones first."""
    rows = [(i, name, share) for i, (name, pixels, share, _) in enumerate(shares.rows()) if pixels]
    return sorted(rows, key=lambda row: -row[2])


def _sheet(looked: Sequence[Looked]) -> Image.Image:
    parts = [_part(one) for one in looked]
    sheet = Image.new("RGB", (parts[0].width, sum(part.height for part in parts)), "white")
    top = 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    return sheet


def _part(looked: Looked) -> Image.Image:
    """One dataset: title, cells, legend."""
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", 14)
    legend = _legend(looked)
    rows, lines = -(-len(looked.cells) // COLUMNS), -(-len(legend) // COLUMNS)
    below = 2 * LINE + rows * (CELL + GAP)
    part = Image.new("RGB", (COLUMNS * (CELL + GAP) + GAP, below + lines * LINE + LINE), "white")
    draw = ImageDraw.Draw(part)
    head = looked.text().partition("\n")[0]
    draw.text((GAP, LINE // 2), head, "black", font)
    for number, cell in enumerate(looked.cells):
        part.paste(cell, (GAP + number % COLUMNS * (CELL + GAP), 2 * LINE + number // COLUMNS * (CELL + GAP)))
    for number, (colour, text) in enumerate(legend):
        left, top = GAP + number // lines * (CELL + GAP), below + number % lines * LINE
        if colour is not None:
            draw.rectangle((left, top + 2, left + 14, top + 16), colour, "grey")
        draw.text((left + 20, top), _shortened(text, draw, font), "black", font)
    return part


def _shortened(text: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont) -> str:
    """As much of the text as a column has room for."""
    shown = text
    while draw.textlength(shown, font) > CELL - 24:
        text = text[:-1]
        shown = f"{text}…"
    return shown


def _legend(looked: Looked) -> list[tuple[tuple[int, ...] | None, str]]:
    """Colour and text of each class in the sample: its share first, which a long name must not push out."""
    if looked.shares is None:
        return []
    colours = palette(256)
    rows = _occurring(looked.shares)
    found: list[tuple[tuple[int, ...] | None, str]] = [
        (tuple(colours[i].tolist()), f"{share:.1%} {name}") for i, name, share in rows[:MOST_NAMES]
    ]
    if len(rows) > MOST_NAMES:
        found.append((None, f"and {len(rows) - MOST_NAMES} more"))
    return found
