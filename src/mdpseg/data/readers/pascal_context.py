"""PASCAL Context as it is commonly distributed: ids 0 to 59 in PNGs, beside the images of VOC 2010."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdpseg.data.readers.layout import listed_ids, need_folder, one_line_names
from mdpseg.data.readers.pairs import IGNORED, Pair, PairReader, id_table
from mdpseg.data.readers.subset import Subset
from mdpseg.errors import UserError

# The 59 most frequent classes in the order of their ids in the masks, behind 0: background
NAMES = one_line_names("""
    background, aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus,
    cabinet, car, cat, ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence, floor, flower,
    food, grass, ground, horse, keyboard, light, motorbike, mountain, mouse, person, plate, platform,
    pottedplant, road, rock, sheep, shelves, sidewalk, sign, sky, snow, sofa, table, track, train, tree,
    truck, tvmonitor, wall, water, window, wood
""")

LAYOUT = "VOCdevkit/VOC2010/{JPEGImages,SegmentationClassContext,ImageSets/SegmentationContext}/"


class PASCALContext(PairReader):
    """PASCAL Context, 59 classes, with or without the catch-all ``background``.

    Layout::

        VOCdevkit/VOC2010/JPEGImages/2008_000002.jpg
        VOCdevkit/VOC2010/SegmentationClassContext/2008_000002.png
        VOCdevkit/VOC2010/ImageSets/SegmentationContext/train.txt       one id a line

    With 60 classes the raw ids 0 to 59 are the local ids; with 59, raw 0 is ignored and 1 to 59 become 0 to 58. 255 is
    ignored. Samples are uint8 [3, H, W] images and uint8 [H, W] masks.

    Args:
        root: ``VOC2010``, ``VOCdevkit``, or the folder that holds ``VOCdevkit``.
        split: ``train``, ``val``, or any other list in ``ImageSets/SegmentationContext``.
        num_classes: 60, or 59 without background.
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
        num_classes: int = 60,
        subset: Subset | Mapping[str, Any] | None = None,
        name: str = "pascal_context",
    ) -> None:
        root = _find_root(name, Path(root))
        ids = listed_ids(name, root / "ImageSets" / "SegmentationContext", split)
        images, masks = root / "JPEGImages", root / "SegmentationClassContext"
        need_folder(name, images, LAYOUT)
        need_folder(name, masks, LAYOUT)
        pairs = [Pair(i, images / f"{i}.jpg", masks / f"{i}.png") for i in ids]
        first = len(NAMES) - num_classes  # raw ids below it are ignored
        table = id_table({raw: raw - first if raw >= first else IGNORED for raw in range(60)} | {255: IGNORED})
        catch_all = None if first else NAMES[0]
        super().__init__(pairs, NAMES[first:], table, name=name, catch_all=catch_all, subset=subset)


def _find_root(name: str, root: Path) -> Path:
    for candidate in (root, root / "VOC2010", root / "VOCdevkit" / "VOC2010"):
        if (candidate / "ImageSets" / "SegmentationContext").is_dir():
            return candidate
    raise UserError(
        f"{name}: no folder ImageSets/SegmentationContext in or below {root}; expected {LAYOUT}. Correct the path."
    )
