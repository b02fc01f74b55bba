"""What all readers share: pairs of image and mask, and the table from raw mask ids to local ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdpseg.data.readers.complaints import complain
from mdpseg.data.readers.decode import read_ids, read_image
from mdpseg.data.readers.partners import Listing, todo_for_mask
from mdpseg.data.readers.subset import Subset, choose
from mdpseg.errors import BadFileError, UserError

IGNORED = 255
# In a table: this raw id must not occur. With 255 classes 254 is also a class, and then nothing is refused.
REFUSED = 254


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    Attributes:
        image: uint8 [3, H, W], RGB.
        mask: uint8 [H, W], local ids, 255 where ignored.
        id: the image's name inside its dataset.
    """

    image: Tensor
    mask: Tensor
    id: str


@dataclass(frozen=True)
class Pair:
    """Where one labelled image lies.

    Attributes:
        id: the image's name inside its dataset.
        image: the image's file.
        mask: the mask's file.
    """

    id: str
    image: Path
    mask: Path


class PairReader:
    """A dataset of image and mask files; each layout finds the pairs and names the classes.

    ``reader[i]`` is a :class:`Sample`; pairs are in the order of their ids.

    Args:
        pairs: all pairs of the split, files as they are expected.
        classes: class names in the order of their local ids.
        table: uint8 [256], raw mask id -> local id, 255 (ignored) or 254 (refused); see :func:`id_table`.
        name: the dataset's name, for messages.
        catch_all: the class that collects whatever has no class here, if there is one.
        subset: which part to read, a :class:`Subset` or its keys as a mapping.

    Attributes:
        classes: class names in the order of their local ids.
        catch_all: name of the catch-all class, or None.
        name: the dataset's name.
        label_set: whose ids the masks hold: the dataset's own.
        pairs: the chosen pairs.
        table: as given.

    Raises:
        UserError: no pairs, or a chosen pair lacks its image or its mask.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        classes: Sequence[str],
        table: Tensor,
        *,
        name: str,
        catch_all: str | None = None,
        subset: Subset | Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.label_set: str | None = name
        self.classes = list(classes)
        self.catch_all = catch_all
        self.table = table
        own = [*range(len(classes)), IGNORED]
        self._ids_stay = table[own].tolist() == own
        self.pairs = choose(name, pairs, subset)
        self.check_files()

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """Reads one image with its mask.

        Raises:
            UserError: a file is damaged, the sizes differ, or the mask has an id that is not one of the
                dataset's.
        """
        pair = self.pairs[index]
        image = self.image(index)  # [3, H, W]
        mask = self.mask(index)  # [H, W]
        self.check_sizes(index, image, mask)
        return Sample(image, mask, pair.id)

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    def id(self, index: int) -> str:
        """The image's name inside its dataset."""
        return self.pairs[index].id

    def image(self, index: int) -> Tensor:
        """Reads the image alone, uint8 [3, H, W]."""
        return read_image(self.pairs[index].image, self.name)

    def mask(self, index: int) -> Tensor:
        """Reads the mask alone, uint8 [H, W]."""
        return self.read_mask(self.pairs[index].mask)

    def paths(self, index: int) -> tuple[Path, ...]:
        """The image's file and the mask's."""
        return self.pairs[index].image, self.pairs[index].mask

    def check_sizes(self, index: int, image: Tensor, mask: Tensor) -> None:
        """Complains about an image [3, H, W] and a mask of another height or width."""
        if image.shape[1:] != mask.shape:
            pair = self.pairs[index]
            turned = tuple(image.shape[1:]) == (mask.shape[1], mask.shape[0])
            hint = " (pixels are taken as stored; a camera's note that a photograph is to be turned is not followed)"
            raise BadFileError(
                self.name,
                pair.mask,
                "size",
                f"image {pair.image} is {_size(image)} (width x height), its mask {pair.mask} is {_size(mask)}",
                f"they must be equal, correct or remove the pair{hint if turned else ''}",
            )

    def read_mask(self, path: Path) -> Tensor:
        """Reads a mask file as local ids, uint8 [H, W], 255 where ignored."""
        return self.to_local(self.read_raw_ids(path), path)

    def to_local(self, raw: Tensor, path: Path) -> Tensor:
        """Local ids of a mask's raw ones, both uint8 [H, W]; the path is for messages."""
        if self._ids_stay and int((raw + 1).max()) <= len(self.classes):  # 255 + 1 is 0 again
            return raw  # without a look-up, which takes ten times as long as a look
        local = look_up(raw, self.table)
        if bool((local.numpy() == REFUSED).any()):
            self._refuse(raw, path)
        return local

    def read_raw_ids(self, path: Path) -> Tensor:
        """Reads a mask file as it is, uint8 [H, W]."""
        return read_ids(path, self.name)

    def _refuse(self, raw: Tensor, path: Path) -> None:
        allowed = self._allowed_ids()
        wrong = sorted(set(np.unique(raw.numpy()).tolist()) - set(allowed))
        if wrong:
            shown = ", ".join(map(str, wrong[:5])) + (" ..." if wrong[5:] else "")
            raise BadFileError(
                self.name,
                path,
                "id",
                f"mask {path} has id {shown}",
                f"its ids must be {_ranges(allowed)}. Correct the mask or the class list",
            )

    def _allowed_ids(self) -> list[int]:
        allowed = self.table != REFUSED
        if len(self.classes) == 255:  # no value is left to refuse with
            allowed[:] = True
        return [int(i) for i in allowed.nonzero()]

    def check_files(self) -> None:
        """Complains about each file that is not there, and leaves its pair out."""
        pairs = self.pairs
        for kind in ("image", "mask"):
            listing = Listing([getattr(pair, kind) for pair in pairs])
            absent = listing.absent
            self.pairs = [pair for pair in self.pairs if getattr(pair, kind) not in absent]
            for pair in pairs:
                expected = getattr(pair, kind)
                if expected in absent:
                    owner = f"id {pair.id!r}" if kind == "image" else f"image {pair.image}"
                    todo = f"Add the {kind}, or read a subset by a list of ids that have one"
                    elsewhere = kind == "mask" and len(absent) == len(pairs) and expected.parent != pair.image.parent
                    if elsewhere and (instead := listing.instead(expected)):
                        todo = todo_for_mask(expected, instead)
                    lacking = f"expected {expected} ({len(absent)} of {len(pairs)} lack one)"
                    complain(
                        BadFileError(self.name, expected, "missing", f"{owner} has no {kind}", f"{lacking}. {todo}")
                    )
        if not self.pairs:
            raise UserError(f"{self.name}: no image has its mask; there is nothing to read.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}: {len(self)} images, {len(self.classes)} classes)"


def id_table(local_ids: Mapping[int, int]) -> Tensor:
    """The table of 256 entries from a mapping of raw ids to local ids; all other raw ids are refused.

    Args:
        local_ids: raw id -> local id, or 255 where ignored.

    Returns:
        uint8 [256].
    """
    table = np.full(256, REFUSED, dtype=np.uint8)
    for raw, local in local_ids.items():
        table[raw] = local
    return torch.from_numpy(table)


def look_up(mask: Tensor, table: Tensor) -> Tensor:
    """Each id's entry in a table.

    Args:
        mask: uint8 [H, W].
        table: uint8 [256], see :func:`id_table`.

    Returns:
        uint8 [H, W].
    """
    # Python's own bytes: numpy's look-up takes twice as long, torch's eight times
    found = bytearray(mask.numpy().tobytes().translate(table.numpy().tobytes()))
    return torch.frombuffer(found, dtype=torch.uint8).view_as(mask)


def _size(tensor: Tensor) -> str:
    height, width = tensor.shape[-2:]
    return f"{width}x{height}"


def _ranges(ids: Sequence[int]) -> str:
    """Sorted ids as people write them: ``0..10, 12, 255``."""
    runs: list[list[int]] = []
    for i in ids:
        if runs and runs[-1][1] == i - 1:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    return ", ".join(str(a) if a == b else f"{a}..{b}" for a, b in runs)
