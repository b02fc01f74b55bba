"""PASCAL VOC 2012, with the SBD "Aug" lists and masks if they are there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdpseg.data.readers.layout import listed_ids, need_folder, one_line_names
from mdpseg.data.readers.pairs import IGNORED, Pair, PairReader, id_table
from mdpseg.data.readers.subset import Subset
from mdpseg.errors import UserError

NAMES = one_line_names("""
    background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse,
    motorbike, person, pottedplant, sheep, sofa, train, tvmonitor""")

_ALSO = {"train_aug": "trainaug", "trainaug": "train_aug"}

LAYOUT = "VOCdevkit/VOC2012/{JPEGImages,SegmentationClass,ImageSets/Segmentation}/"


class VOC2012(PairReader):
    """PASCAL VOC 2012 segmentation, 20 classes and the catch-all ``background``.

    Layout::

        VOCdevkit/VOC2012/JPEGImages/2007_000032.jpg
        VOCdevkit/VOC2012/SegmentationClass/2007_000032.png
        VOCdevkit/VOC2012/SegmentationClassAug/2007_000032.png      for splits named aug
        VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt          one id a line

    Raw ids 0 to 20 are the local ids; 255 (the border) is ignored. Samples are uint8 [3, H, W] images and
    uint8 [H, W] masks.

    Args:
        root: ``VOC2012``, ``VOCdevkit``, or the folder that holds ``VOCdevkit``.
        split: ``train``, ``val``, ``trainval``, or any other list in ``ImageSets/Segmentation``.
            ``train_aug`` (or ``trainaug``) and other names with ``aug`` take their masks from
            ``SegmentationClassAug``; lists of two paths a line, as SBD's circulate, are read too.
        subset: which part to read, a :class:`Subset` or its keys as a mapping.
        name: the dataset's name, for messages.

    Raises:
        UserError: a folder or split that is not there, an empty list, an id without image or mask.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        subset: Subset | Mapping[str, Any] | None = None,
        name: str = "voc2012",
    ) -> None:
        root = _find_root(name, Path(root))
        ids = listed_ids(name, root / "ImageSets" / "Segmentation", split, _ALSO)
        images = root / "JPEGImages"
        masks = root / ("SegmentationClassAug" if "aug" in split.lower() else "SegmentationClass")
        need_folder(name, images, LAYOUT)
        need_folder(name, masks, LAYOUT)
        pairs = [Pair(i, images / f"{i}.jpg", masks / f"{i}.png") for i in ids]
        table = id_table({raw: raw for raw in range(21)} | {255: IGNORED})
        super().__init__(pairs, NAMES, table, name=name, catch_all="background", subset=subset)


def _find_root(name: str, root: Path) -> Path:
    for candidate in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (candidate / "ImageSets" / "Segmentation").is_dir():
            return candidate
    raise UserError(
        f"{name}: no folder ImageSets/Segmentation in or below {root}; expected {LAYOUT}. Correct the path."
    )
