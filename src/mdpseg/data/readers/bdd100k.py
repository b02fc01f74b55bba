"""BDD100K, semantic segmentation of its 10k images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdpseg.data.readers.cityscapes import EVALUATED
from mdpseg.data.readers.layout import choose_split, images_by_id, need_folder
from mdpseg.data.readers.pairs import IGNORED, Pair, PairReader, id_table
from mdpseg.data.readers.subset import Subset

LAYOUT = "images/10k/SPLIT/*.jpg and labels/sem_seg/masks/SPLIT/*.png, or seg/images/SPLIT and seg/labels/SPLIT"


class BDD100K(PairReader):
    """BDD100K, the 19 classes of Cityscapes.

    Layout, of today's and of the first release::

        bdd100k/images/10k/train/0004a4c0-d4dff0ad.jpg
        bdd100k/labels/sem_seg/masks/train/0004a4c0-d4dff0ad.png

        bdd100k/seg/images/train/0004a4c0-d4dff0ad.jpg
        bdd100k/seg/labels/train/0004a4c0-d4dff0ad_train_id.png

    The masks hold train ids 0 to 18, which are the local ids; 255 is ignored. Samples are uint8 [3, H, W] images and
    uint8 [H, W] masks.

    Args:
        root: ``bdd100k`` or the folder that holds it.
        split: ``train`` or ``val``.
        subset: which part to read, a :class:`Subset` or its keys as a mapping.
        name: the dataset's name, for messages.

    Raises:
        UserError: a folder or split that is not there, an empty split, an image without a mask.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        subset: Subset | Mapping[str, Any] | None = None,
        name: str = "bdd100k",
    ) -> None:
        root = Path(root)
        if (root / "bdd100k").is_dir():
            root = root / "bdd100k"
        images, masks, ending = root / "images" / "10k", root / "labels" / "sem_seg" / "masks", ".png"
        if not images.is_dir():
            images, masks, ending = root / "seg" / "images", root / "seg" / "labels", "_train_id.png"
        split = choose_split(name, images, split, {}, LAYOUT)
        need_folder(name, masks / split, LAYOUT)
        found = images_by_id(name, images / split, LAYOUT)
        pairs = [Pair(key, image, masks / split / f"{key}{ending}") for key, image in found.items()]
        table = id_table({i: i for i in range(19)} | {255: IGNORED})
        super().__init__(pairs, list(EVALUATED.values()), table, name=name, subset=subset)
