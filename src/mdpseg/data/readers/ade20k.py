"""ADE20K in the layout of the scene parsing challenge (ADEChallengeData2016)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdpseg.data.readers.layout import choose_split, one_line_names, side_by_side
from mdpseg.data.readers.pairs import IGNORED, PairReader, id_table
from mdpseg.data.readers.subset import Subset

# objectInfo150.txt in its order, the first of each entry's synonyms
NAMES = one_line_names("""
    wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person,
    earth, door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea,
    mirror, rug, field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base,
    box, column, signboard, chest of drawers, counter, sand, sink, skyscraper, fireplace, refrigerator,
    grandstand, path, stairs, runway, case, pool table, pillow, screen door, stairway, river, bridge,
    bookcase, blind, coffee table, toilet, flower, book, hill, bench, countertop, stove, palm,
    kitchen island, computer, swivel chair, boat, bar, arcade machine, hovel, bus, towel, light, truck,
    tower, chandelier, awning, streetlight, booth, television, airplane, dirt track, apparel, pole, land,
    bannister, escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt,
    canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle,
    oven, ball, food, step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen,
    blanket, sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate,
    monitor, bulletin board, shower, radiator, glass, clock, flag
""")

LAYOUT = "ADEChallengeData2016/{images,annotations}/{training,validation}/"


class ADE20K(PairReader):
    """ADE20K, 150 classes.

    Layout::

        ADEChallengeData2016/images/training/ADE_train_00000001.jpg
        ADEChallengeData2016/annotations/training/ADE_train_00000001.png

    Raw id 0 ("other") becomes 255, ignored; ids 1 to 150 become 0 to 149, in this order. Samples are uint8
    [3, H, W] images and uint8 [H, W] masks.

    Args:
        root: ``ADEChallengeData2016`` or the folder that holds it.
        split: ``training`` or ``validation`` (``train`` and ``val`` mean the same).
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
        name: str = "ade20k",
    ) -> None:
        root = Path(root)
        if (root / "ADEChallengeData2016").is_dir():
            root = root / "ADEChallengeData2016"
        aliases = {"train": "training", "val": "validation"}
        split = choose_split(name, root / "images", split, aliases, LAYOUT)
        pairs = side_by_side(name, root / "images" / split, root / "annotations" / split, LAYOUT)
        table = id_table({0: IGNORED} | {raw: raw - 1 for raw in range(1, 151)})
        super().__init__(pairs, NAMES, table, name=name, subset=subset)
