"""COCO's instances: one JSON file with an outline for each thing (instances_train2017.json, and whoever exports it)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdpseg.data.readers.coco_files import find_files, local_ids, photographs
from mdpseg.data.readers.coco_masks import BadOutlineError, pixels_of
from mdpseg.data.readers.complaints import complain
from mdpseg.data.readers.header import MOST_PIXELS
from mdpseg.data.readers.json_file import PackedJson, entries, read_json
from mdpseg.data.readers.pairs import IGNORED, Pair, PairReader, id_table
from mdpseg.data.readers.subset import Subset
from mdpseg.errors import BadFileError, UserError

BACKGROUND = "background"


class COCOInstances(PairReader):
    """COCO instances as one map of classes; the catch-all is ``background``.

    Layout::

        annotations/instances_train2017.json
        train2017/000000000009.jpg                      or  images/train2017/000000000009.jpg

    Local id 0 is ``background``: all pixels that no outline covers. The categories follow in the order of their ids
    (category 1, ``person``, is 1; category 90, ``toothbrush``, is 80). If a category is itself called ``background``,
    no class is added, and the uncovered pixels are of that category. Where outlines overlap, the one of fewer pixels is
    on top; of equal ones, the later. Crowds (``iscrowd``: many things in one rough outline) are ignored, where no
    single outline lies on them. Outlines are polygons, or run lengths as a list or as a text. Samples are uint8
    [3, H, W] images and uint8 [H, W] masks.

    Args:
        root: the folder that holds ``annotations``.
        split: ``train2017`` or ``val2017`` (``train`` and ``val`` mean the same, if no file has that ending).
        images: the photographs' folder, if it is another one.
        annotations: the JSON file, if it is another one.
        subset: which part to read, a :class:`Subset` or its keys as a mapping.
        name: the dataset's name, for messages.

    Raises:
        UserError: a file or folder that is not there, JSON that is not COCO's, a photograph that is missing, or a file
            name that leads out of the photographs' folder.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        images: str | Path | None = None,
        annotations: str | Path | None = None,
        subset: Subset | Mapping[str, Any] | None = None,
        name: str = "coco_instances",
    ) -> None:
        file, folder = find_files(name, Path(root), split, "instances", images, annotations)
        where = f"{name}: annotation file {file}"
        content = read_json(file, where)
        names, ids = local_ids(content, where, name)
        if BACKGROUND not in names:
            names, ids = [BACKGROUND, *names], {category: place + 1 for category, place in ids.items()}
        if len(names) > 255:
            raise UserError(f"{where} has {len(names)} classes with background; 8-bit masks hold at most 255.")
        found = photographs(content, folder, where, name)
        pairs = [Pair(key, image, file) for key, image in found.values()]
        super().__init__(pairs, names, id_table({}), name=name, catch_all=BACKGROUND, subset=subset)
        sizes = _sizes(content, where, {image: key for image, (key, _) in found.items()})
        outlines = _outlines(content, where, name, ids, found)
        self._annotations = PackedJson([*sizes[pair.id], outlines[pair.id]] for pair in self.pairs)

    def mask(self, index: int) -> Tensor:
        """Draws the mask, uint8 [H, W]."""
        height, width, outlines = self._annotations[index]
        mask = np.full((height, width), self.classes.index(BACKGROUND), dtype=np.uint8)
        on_top = np.full((height, width), height * width + 1, dtype=np.int32)  # pixels of the outline that lies there
        for number, category, crowd, segmentation in outlines:
            try:
                pixels = pixels_of(segmentation, height, width)
            except BadOutlineError as error:
                pair = self.pairs[index]
                wrong = f"annotation {number} of {pair.image} in {pair.mask} {error}"
                todo = "correct the annotation or remove it"
                raise BadFileError(self.name, pair.image, "format", wrong, todo) from None
            size = height * width + 1 if crowd else int(pixels.sum())  # a crowd is below all
            seen = pixels & (on_top >= size)
            mask[seen] = IGNORED if crowd else category
            on_top[seen] = size
        return torch.from_numpy(mask)

    def paths(self, index: int) -> tuple[Path, ...]:
        """The photograph's file; the annotations' file is that of all."""
        return (self.pairs[index].image,)


def _sizes(content: Mapping[str, Any], where: str, keys: Mapping[int, str]) -> dict[str, tuple[int, int]]:
    """Height and width of each image, as the file claims; no mask is drawn larger than what is read of images."""
    sizes = {}
    for image in entries(content, "images", {"id": int, "height": int, "width": int}, where):
        height, width = image["height"], image["width"]
        if height < 1 or width < 1 or height * width > MOST_PIXELS:
            raise UserError(
                f"{where}: image {image['file_name']!r:.60} is said to have {width:.6g}x{height:.6g} pixels; "
                f"expected 1 to {MOST_PIXELS}."
            )
        if image["id"] in keys:
            sizes[keys[image["id"]]] = height, width
    return sizes


def _outlines(
    content: Mapping[str, Any],
    where: str,
    name: str,
    ids: Mapping[int, int],
    images: Mapping[int, tuple[str, Path]],
) -> dict[str, list[Any]]:
    """Our id of each image -> number, local id, crowd and segmentation of each annotation."""
    outlines: dict[str, list[Any]] = defaultdict(list)
    fields = {"id": int, "image_id": int, "category_id": int}
    for annotation in entries(content, "annotations", fields, where):
        image, category = annotation["image_id"], annotation["category_id"]
        if image not in images or category not in ids:
            kind, value = ("image", image) if image not in images else ("category", category)
            wrong = f"{where}: annotation {annotation['id']} has {kind}_id {value}, which is not in the file's list"
            file = images[image][1] if image in images else Path(f"annotation {annotation['id']}")
            complain(BadFileError(name, file, "id", wrong, f"add the {kind} or remove the annotation"))
            continue
        crowd = annotation.get("iscrowd") in (1, True)
        outlines[images[image][0]].append((annotation["id"], ids[category], crowd, annotation.get("segmentation")))
    return outlines
