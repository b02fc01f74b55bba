"""Oxford-IIIT Pet: trimaps of cats and dogs of 37 breeds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mdpseg.data.readers.layout import need_folder
from mdpseg.data.readers.pairs import IGNORED, Pair, PairReader, id_table
from mdpseg.data.readers.subset import Subset, read_lines
from mdpseg.errors import UserError

LAYOUT = "images/*.jpg, annotations/trimaps/*.png and annotations/{trainval,test}.txt"
_ALIASES = {"train": "trainval", "val": "test"}
_PET, _BACKGROUND, _BORDER = 1, 2, 3  # values of a trimap


class OxfordPet(PairReader):
    """Oxford-IIIT Pet, pets and the catch-all ``background``.

    Layout::

        images/Abyssinian_100.jpg
        annotations/trimaps/Abyssinian_100.png
        annotations/trainval.txt                    lines: Abyssinian_100 1 1 1 (name, breed, species, number in it)

    Raw 1 (pet) becomes 0, raw 2 (background) 1, raw 3 (border, not classified) 255, ignored. With ``breeds`` the pets
    become the classes 0 to 36 in the order of the lists' second column, called as the files are (``Abyssinian``), and
    background is 37. Samples are uint8 [3, H, W] images and uint8 [H, W] masks.

    Args:
        root: the folder that holds ``images`` and ``annotations``.
        split: ``trainval`` or ``test`` (``train`` and ``val`` mean the same).
        breeds: whether each breed is a class.
        subset: which part to read, a :class:`Subset` or its keys as a mapping.
        name: the dataset's name, for messages.

    Raises:
        UserError: a folder or list that is not there, a list of another form, a name without image or trimap.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        breeds: bool = False,
        subset: Subset | Mapping[str, Any] | None = None,
        name: str = "oxford_pet",
    ) -> None:
        root = Path(root)
        for folder in (root / "images", root / "annotations" / "trimaps"):
            need_folder(name, folder, LAYOUT)
        breed_of, names = _read_list(name, root / "annotations", split)
        pairs = [Pair(i, root / "images" / f"{i}.jpg", root / "annotations" / "trimaps" / f"{i}.png") for i in breed_of]
        classes = [*(names if breeds else ["pet"]), "background"]
        table = id_table({_PET: 0, _BACKGROUND: len(classes) - 1, _BORDER: IGNORED})
        super().__init__(pairs, classes, table, name=name, catch_all="background", subset=subset)
        self._breed_of = breed_of if breeds else None

    def mask(self, index: int) -> Tensor:
        """Reads the mask alone, uint8 [H, W]."""
        mask = super().mask(index)
        if self._breed_of is None:
            return mask
        return torch.where(mask == 0, self._breed_of[self.id(index)], mask)


def _read_list(name: str, folder: Path, split: str) -> tuple[dict[str, int], list[str]]:
    """Image name -> breed from 0, of the split; and the breeds' names, from all lists that are there."""
    found = {path.stem: path for path in sorted(folder.glob("*.txt"))}
    chosen = found.get(split) or found.get(_ALIASES.get(split, ""))
    if chosen is None:
        raise UserError(f"{name}: no split {split!r} in {folder}; found: {', '.join(found) or 'none'}.")
    breeds: dict[int, str] = {}
    for path in [found[stem] for stem in ("trainval", "test") if stem in found and found[stem] != chosen] + [chosen]:
        images: dict[str, int] = {}
        where = f"{name}: split list {path}"
        for line in read_lines(path, where):
            image, _, rest = line.partition(" ")
            number = rest.split()[0] if rest.split() else ""
            if "/" in image or not number.isascii() or not number.isdecimal() or not 1 <= int(number[:9]) <= 254:
                raise UserError(f"{where} has {line!r:.60}; expected lines such as Abyssinian_100 1 1 1.")
            images[image] = int(number) - 1
            breed = image.rpartition("_")[0] or image
            if breeds.setdefault(int(number), breed) != breed:
                raise UserError(
                    f"{where} gives {breeds[int(number)]!r:.60} and {breed!r:.60} the same number {number}."
                )
    if sorted(breeds) != list(range(1, len(breeds) + 1)):
        missing = next(i for i in range(1, 256) if i not in breeds)
        raise UserError(f"{name}: the lists in {folder} name no image of breed {missing}; breeds count from 1 on.")
    return images, [breeds[i] for i in sorted(breeds)]
