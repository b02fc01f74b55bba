"""CamVid in the layout that came with SegNet: 11 classes as ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdpseg.data.readers.layout import choose_split, one_line_names, side_by_side
from mdpseg.data.readers.pairs import IGNORED, PairReader, id_table
from mdpseg.data.readers.subset import Subset

NAMES = one_line_names("""
    sky, building, pole, road, pavement, tree, signsymbol, fence, car, pedestrian, bicyclist
""")

LAYOUT = "CamVid/{train,val,test}/*.png and CamVid/{trainannot,valannot,testannot}/*.png"


class CamVid(PairReader):
    """CamVid, the 11 classes of SegNet.

    Layout::

        CamVid/train/0001TP_006690.png
        CamVid/trainannot/0001TP_006690.png

    The masks hold ids: 0 to 10 are the local ids; 11 (unlabelled) and 255 become 255, ignored. The original masks in 32
    colors are another distribution, for ``folder`` with a class list that gives the colors. Samples are uint8
    [3, H, W] images and uint8 [H, W] masks.

    Args:
        root: ``CamVid`` or the folder that holds it.
        split: ``train``, ``val`` or ``test``.
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
        name: str = "camvid",
    ) -> None:
        root = Path(root)
        if (root / "CamVid").is_dir():
            root = root / "CamVid"
        split = choose_split(name, root, split, {}, LAYOUT)
        pairs = side_by_side(name, root / split, root / f"{split}annot", LAYOUT)
        table = id_table({i: i for i in range(11)} | {11: IGNORED, 255: IGNORED})
        super().__init__(pairs, NAMES, table, name=name, subset=subset)
