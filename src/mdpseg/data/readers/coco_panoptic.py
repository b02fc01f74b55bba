"""COCO's panoptic format: PNGs whose colours number the segments, and a JSON file with each segment's category."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdpseg.data.readers.coco_files import find_files, local_ids, photographs
from mdpseg.data.readers.complaints import complain
from mdpseg.data.readers.decode import read_colours
from mdpseg.data.readers.json_file import PackedJson, entries, read_json
from mdpseg.data.readers.layout import inside, need_folder
from mdpseg.data.readers.pairs import IGNORED, Pair, PairReader, id_table
from mdpseg.data.readers.subset import Subset
from mdpseg.errors import BadFileError

_SEGMENT = {"id": int, "category_id": int}


class COCOPanoptic(PairReader):
    """COCO panoptic, the categories of its JSON file (133 in COCO 2017).

    Layout::

        annotations/panoptic_train2017.json
        annotations/panoptic_train2017/000000000009.png
        train2017/000000000009.jpg                      or  images/train2017/000000000009.jpg

    A pixel's segment is red + 256 green + 65536 blue; segment 0 (void) is 255, ignored. The categories become 0 to
    K - 1 in the order of their ids. Crowds are of their category, as COCO's own converter has it. Samples are uint8
    [3, H, W] images and uint8 [H, W] masks.

    Args:
        root: the folder that holds ``annotations``.
        split: ``train2017`` or ``val2017`` (``train`` and ``val`` mean the same, if no file has that ending).
        images: the photographs' folder, if it is another one.
        annotations: the JSON file, if it is another one; the PNGs are in the folder of its name without suffix.
        subset: which part to read, a :class:`Subset` or its keys as a mapping.
        name: the dataset's name, for messages.

    Raises:
        UserError: a file or folder that is not there, JSON that is not COCO's, a missing photograph or PNG, or a file
            name that leads out of its folder.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        images: str | Path | None = None,
        annotations: str | Path | None = None,
        subset: Subset | Mapping[str, Any] | None = None,
        name: str = "coco_panoptic",
    ) -> None:
        file, folder = find_files(name, Path(root), split, "panoptic", images, annotations)
        masks = file.with_suffix("")
        need_folder(name, masks, f"the PNGs of {file.name} in a folder of its name without .json")
        where = f"{name}: annotation file {file}"
        content = read_json(file, where)
        names, ids = local_ids(content, where, name)
        found = photographs(content, folder, where, name)
        pairs, segments = [], {}
        for annotation in entries(content, "annotations", {"image_id": int, "file_name": str}, where):
            number = annotation["image_id"]
            mask = inside(masks, annotation["file_name"], where)
            if number not in found or found[number][0] in segments:
                wrong = (
                    f"{where}: {mask.name} has image_id {number}, which is not in the file's list, or is there twice"
                )
                complain(BadFileError(name, mask, "id", wrong, "add the image or remove the annotation"))
                continue
            key, image = found[number]
            pairs.append(Pair(key, image, mask))
            segments[key] = _segments(annotation, ids, where, name, mask)
        super().__init__(pairs, names, id_table({}), name=name, subset=subset)
        self._segments = PackedJson(segments[pair.id] for pair in self.pairs)

    def mask(self, index: int) -> Tensor:
        """Reads the mask alone, uint8 [H, W]."""
        path = self.pairs[index].mask
        red, green, blue = read_colours(path, self.name, "panoptic masks number their segments by colors").numpy()
        codes = red.astype(np.int32) | green.astype(np.int32) << 8 | blue.astype(np.int32) << 16  # [H, W]
        present, places = np.unique(codes, return_inverse=True)
        classes = {0: IGNORED, **dict(self._segments[index])}
        unknown = [int(code) for code in present if int(code) not in classes]
        if unknown:
            shown = ", ".join(map(str, unknown[:3]))
            wrong = f"mask {path} has segment {shown}, which its segments_info does not list"
            raise BadFileError(self.name, path, "id", wrong, "correct the mask or the JSON file")
        local = np.array([classes[int(code)] for code in present], dtype=np.uint8)
        return torch.from_numpy(local[places.reshape(codes.shape)])


def _segments(
    annotation: Mapping[str, Any], ids: Mapping[int, int], where: str, name: str, mask: Path
) -> list[tuple[int, int]]:
    """Segment and local id of each."""
    found = []
    for segment in entries(annotation, "segments_info", _SEGMENT, f"{where}: {mask.name}"):
        if segment["category_id"] not in ids or not 0 < segment["id"] < 2**24:
            wrong = f"{where}: segment {segment['id']} of {mask.name} has category_id {segment['category_id']}"
            todo = "segments are numbered from 1 to 16777215, their categories must be in the file's list"
            complain(BadFileError(name, mask, "id", wrong, todo))
            continue
        found.append((segment["id"], ids[segment["category_id"]]))
    return found
