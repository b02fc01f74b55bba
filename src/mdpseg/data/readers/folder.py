"""Any dataset of images and masks side by side, with a class list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdpseg.data.readers.classes import Colour, read_classes
from mdpseg.data.readers.complaints import complain
from mdpseg.data.readers.decode import read_colours
from mdpseg.data.readers.layout import files_below, side_by_side
from mdpseg.data.readers.pairs import IGNORED, Pair, PairReader, id_table
from mdpseg.data.readers.subset import Subset
from mdpseg.errors import BadFileError, UserError

LAYOUT = "a folder of images and a folder of PNG masks of the same names"


class Folder(PairReader):
    """Images and masks side by side, paired by name without suffix.

    Layout::

        images/0001.jpg         images/town/0002.png
        masks/0001.png          masks/town/0002.png

    Ids are ``0001``, ``town/0002``. Masks hold ids 0 to K-1 and 255 (ignored), as 8-bit grey or palette PNG;
    or, if the class list gives colors, those colors, as RGB or palette PNG. Samples are uint8 [3, H, W]
    images and uint8 [H, W] masks.

    Args:
        images: folder of JPEG, PNG or WebP images.
        masks: folder of PNG masks.
        classes: a text file (one name a line), a list of names, or a YAML file: a list of names, a list of
            ``{name: car, color: [64, 0, 128]}`` (or ``color: "#400080"``), or ``classes:`` with such a list
            beside ``ignore_color:``.
        subset: which part to read, a :class:`Subset` or its keys as a mapping.
        name: the dataset's name, for messages.
        catch_all: the class that collects whatever has no class here, if there is one.

    Raises:
        UserError: a missing folder, no images, an image without a mask or the reverse (masks of other images
            may lie there if the subset has a list), a class list that is wrong, a catch-all that is not a
            class.
    """

    def __init__(
        self,
        images: str | Path,
        masks: str | Path,
        classes: str | Path | Sequence[Any],
        *,
        subset: Subset | Mapping[str, Any] | None = None,
        name: str = "folder",
        catch_all: str | None = None,
    ) -> None:
        listed = read_classes(classes, name)
        if catch_all is not None and catch_all not in listed.names:
            raise UserError(f"{name}: catch_all {catch_all!r} is not one of the classes; name one of {listed.names}.")
        pairs = side_by_side(name, Path(images), Path(masks), LAYOUT)
        table = id_table({i: i for i in range(len(listed.names))} | {255: IGNORED})
        super().__init__(pairs, listed.names, table, name=name, catch_all=catch_all, subset=subset)
        if Subset.of(subset).list is None:
            _check_lone_masks(name, pairs, Path(images), Path(masks))
        self._colours = None if listed.colours is None else _ColourTable(listed.colours, listed.ignore)

    def read_mask(self, path: Path) -> Tensor:
        """Reads a mask file as local ids, uint8 [H, W], 255 where ignored."""
        if self._colours is None:
            return super().read_mask(path)
        return self._colours.look_up(read_colours(path, self.name), path, self.name)


class _ColourTable:
    """Colours to local ids, as a search in a sorted list of 24-bit codes."""

    def __init__(self, colours: Sequence[Colour], ignore: Colour | None) -> None:
        ids = list(range(len(colours)))
        if ignore is not None:
            colours, ids = [*colours, ignore], [*ids, IGNORED]
        codes = _codes(torch.tensor(colours, dtype=torch.uint8).T)
        self._codes, order = codes.sort()  # [K]
        self._ids = torch.tensor(ids, dtype=torch.uint8)[order]  # [K]

    def look_up(self, pixels: Tensor, path: Path, dataset: str) -> Tensor:
        """Local ids, uint8 [H, W], of colours, uint8 [3, H, W]; file and dataset are for messages."""
        codes = _codes(pixels)  # [H, W]
        place = torch.bucketize(codes, self._codes, out_int32=True).clamp_(max=len(self._codes) - 1)
        unknown = self._codes[place] != codes
        if bool(unknown.any()):
            shown = [
                f"#{code:06x} {[code >> 16, code >> 8 & 255, code & 255]}"
                for code in np.unique(codes[unknown].numpy())[:3].tolist()
            ]
            raise BadFileError(
                dataset,
                path,
                "id",
                f"mask {path} has the color {', '.join(shown)}, which is not in the class list",
                "add it there (or as ignore_color), or correct the mask",
            )
        return self._ids[place]


def _codes(pixels: Tensor) -> Tensor:
    """uint8 [3, ...] -> int32 [...] with red in the highest byte."""
    red, green, blue = pixels.int()
    return torch.as_tensor(red << 16 | green << 8 | blue)


def _check_lone_masks(name: str, pairs: Sequence[Pair], images: Path, masks: Path) -> None:
    expected = {pair.mask for pair in pairs}
    lone = [mask for mask in files_below(masks, [".png"]) if mask not in expected]
    for mask in lone:
        complain(
            BadFileError(
                name,
                mask,
                "missing",
                f"mask {mask} has no image",
                f"expected one of that name in {images} ({len(lone)} masks lack one). Add the image or remove the mask",
            )
        )
