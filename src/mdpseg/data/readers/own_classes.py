"""What readers of one's own files share: a class list, ids or colours in the masks, and TIFF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdpseg.data.readers.classes import Colour, read_classes
from mdpseg.data.readers.decode import read_colours
from mdpseg.data.readers.pairs import IGNORED, Pair, PairReader, id_table
from mdpseg.data.readers.subset import Subset
from mdpseg.data.readers.tiff import Bands, read_ids_or_tiff, read_image_or_tiff
from mdpseg.errors import BadFileError, UserError


class OwnClasses(PairReader):
    """Pairs of image and mask, whose classes a list names.

    Masks hold ids 0 to K-1 and 255 (ignored), as 8-bit grey or palette PNG, or as TIFF; or, if the class list gives
    colors, those colors, as RGB or palette PNG. Images are JPEG, PNG, WebP or TIFF.

    Args:
        pairs: all pairs of the split.
        classes: a class list, see :func:`mdpseg.data.readers.classes.read_classes`.
        name: the dataset's name, for messages.
        catch_all: the class that collects whatever has no class here, if there is one.
        subset: which part to read, a :class:`Subset` or its keys as a mapping.
        bands: what is taken of images that are TIFFs.

    Raises:
        UserError: as :class:`PairReader`; a class list that is wrong, a catch-all that is not a class.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        classes: str | Path | Sequence[Any],
        *,
        name: str,
        catch_all: str | None = None,
        subset: Subset | Mapping[str, Any] | None = None,
        bands: Bands | None = None,
    ) -> None:
        listed = read_classes(classes, name)
        if catch_all is not None and catch_all not in listed.names:
            raise UserError(f"{name}: catch_all {catch_all!r} is not one of the classes; name one of {listed.names}.")
        table = id_table({i: i for i in range(len(listed.names))} | {255: IGNORED})
        super().__init__(pairs, listed.names, table, name=name, catch_all=catch_all, subset=subset)
        self._colours = None if listed.colours is None else _ColourTable(listed.colours, listed.ignore)
        self._bands = bands or Bands()

    def image(self, index: int) -> Tensor:
        """Reads the image alone, uint8 [3, H, W]."""
        return read_image_or_tiff(self.pairs[index].image, self.name, self._bands)

    def read_mask(self, path: Path) -> Tensor:
        """Reads a mask file as local ids, uint8 [H, W], 255 where ignored."""
        if self._colours is None:
            return self.to_local(read_ids_or_tiff(path, self.name), path)
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
