"""Cityscapes, fine annotations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdpseg.data.readers.layout import choose_split, files_below, need_folder
from mdpseg.data.readers.pairs import IGNORED, Pair, PairReader, id_table
from mdpseg.data.readers.subset import Subset
from mdpseg.errors import UserError

# The labelIds that are evaluated, in the order of their trainIds.
EVALUATED = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}

LAYOUT = "leftImg8bit/SPLIT/CITY/*_leftImg8bit.png and gtFine/SPLIT/CITY/*_gtFine_labelIds.png"


class Cityscapes(PairReader):
    """Cityscapes, the 19 evaluated classes.

    Layout::

        leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png
        gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png

    Ids are ``aachen_000000_000019``. The 19 evaluated labelIds become 0 to 18 in the order of the official
    trainIds; the other labelIds, and 255 (licence plates, -1), become 255, ignored. Samples are
    uint8 [3, H, W] images and uint8 [H, W] masks.

    Args:
        root: the folder that holds ``leftImg8bit`` and ``gtFine``.
        split: ``train``, ``val`` or ``test`` (whose public masks are ignored everywhere).
        subset: which part to read, a :class:`Subset` or its keys as a mapping.
        name: the dataset's name, for messages.

    Raises:
        UserError: a folder or split that is not there, an empty split, an image without labelIds.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        subset: Subset | Mapping[str, Any] | None = None,
        name: str = "cityscapes",
    ) -> None:
        images, masks = Path(root) / "leftImg8bit", Path(root) / "gtFine"
        split = choose_split(name, images, split, {}, f"{root}/{LAYOUT}")
        need_folder(name, masks / split, LAYOUT)
        ending = "_leftImg8bit.png"
        pairs = []
        for image in files_below(images / split, [ending.lower()]):
            key = image.name[: -len(ending)]
            inner = image.parent.relative_to(images / split)
            pairs.append(Pair(key, image, masks / split / inner / f"{key}_gtFine_labelIds.png"))
        if not pairs:
            raise UserError(f"{name}: no images in {images / split}; expected {LAYOUT}.")
        table = id_table(
            dict.fromkeys([*range(34), 255], IGNORED) | {raw: local for local, raw in enumerate(EVALUATED)}
        )
        super().__init__(pairs, list(EVALUATED.values()), table, name=name, subset=subset)
