"""Masks as they are, of a dataset whose classes nobody has named yet."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mdpseg.data.readers.complaints import complain
from mdpseg.data.readers.decode import ColorMaskError
from mdpseg.data.readers.pairs import IGNORED, PairReader
from mdpseg.errors import BadFileError, UserError

ANY = [f"class_{i}" for i in range(255)]


class RawIds(PairReader):
    """Another reader's masks as raw ids, whatever it reads them from: PNGs, TIFFs, rows, shards.

    Args:
        reader: opened with the classes :data:`ANY`, so that it takes every id.

    Attributes:
        unreadable: what is wrong with the masks that could not be read so far.
    """

    def __init__(self, reader: PairReader) -> None:
        self._reader = reader
        super().__init__(reader.pairs, reader.classes, reader.table, name=reader.name)
        self.unreadable: list[BadFileError] = []
        self._places = {pair.mask: place for place, pair in enumerate(reader.pairs)}

    def check_files(self) -> None:
        """They were checked when the reader was opened."""

    def read_raw_ids(self, path: Path) -> Tensor:
        """Reads a mask as it is, uint8 [H, W]; of a bad file that is complained about, one ignored pixel."""
        place = self._places[path]
        try:
            return self._reader.mask(place)
        except BadFileError as fault:
            if isinstance(fault, ColorMaskError):  # its colors may be looked at, if it is a file
                if self._reader.paths(place):
                    raise
                raise UserError(str(fault)) from fault
            complain(fault)
            self.unreadable.append(fault)
            return torch.full((1, 1), IGNORED, dtype=torch.uint8)
