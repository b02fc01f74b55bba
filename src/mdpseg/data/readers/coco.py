"""COCO-Stuff: COCO 2017 with things and stuff in one map (stuffthingmaps)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdpseg.data.readers.layout import choose_split, one_line_names, side_by_side
from mdpseg.data.readers.pairs import IGNORED, PairReader, id_table
from mdpseg.data.readers.subset import Subset

# Raw ids that no image has: street sign, hat, shoe, eye glasses, plate, mirror, window, desk, door, blender,
# hair brush.
UNUSED = frozenset({11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90})
RAW_IDS = [raw for raw in range(182) if raw not in UNUSED]

# labels.txt in its order, without the unused ones; a raw id is the number printed there minus one
NAMES = one_line_names("""
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
    stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe,
    backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat,
    baseball glove, skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl,
    banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch,
    potted plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave,
    oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush,
    banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet, ceiling-other,
    ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt, door-stuff, fence,
    floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower, fog, food-other, fruit,
    furniture-other, grass, gravel, ground-other, hill, house, leaves, light, mat, metal, mirror-stuff,
    moss, mountain, mud, napkin, net, paper, pavement, pillow, plant-other, plastic, platform, playingfield,
    railing, railroad, river, road, rock, roof, rug, salad, sand, sea, shelf, sky-other, skyscraper, snow,
    solid-other, stairs, stone, straw, structural-other, table, tent, textile-other, towel, tree, vegetable,
    wall-brick, wall-concrete, wall-other, wall-panel, wall-stone, wall-tile, wall-wood, water-other,
    waterdrops, window-blind, window-other, wood
""")

LAYOUT = "images/train2017/*.jpg and annotations/train2017/*.png (or stuffthingmaps/train2017/*.png)"


class COCOStuff(PairReader):
    """COCO-Stuff 2017, the 171 classes that occur.

    Layout::

        images/train2017/000000000009.jpg
        annotations/train2017/000000000009.png      or  stuffthingmaps/train2017/000000000009.png

    Raw ids 0 to 181 without the 11 unused ones become 0 to 170, in this order; raw 255 (unlabelled) stays
    255, ignored. Samples are uint8 [3, H, W] images and uint8 [H, W] masks.

    Args:
        root: the folder that holds ``images``.
        split: ``train2017`` or ``val2017`` (``train`` and ``val`` mean the same).
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
        name: str = "cocostuff",
    ) -> None:
        root = Path(root)
        split = choose_split(name, root / "images", split, {"train": "train2017", "val": "val2017"}, f"{root}/{LAYOUT}")
        masks = root / "stuffthingmaps" / split
        if not masks.is_dir():
            masks = root / "annotations" / split
        pairs = side_by_side(name, root / "images" / split, masks, LAYOUT)
        table = id_table({raw: local for local, raw in enumerate(RAW_IDS)} | {255: IGNORED})
        super().__init__(pairs, NAMES, table, name=name, subset=subset)
