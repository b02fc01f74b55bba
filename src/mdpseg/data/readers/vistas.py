"""Mapillary Vistas, the label sets v1.2 and v2.0."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdpseg.data.readers.classes import read_classes
from mdpseg.data.readers.json_file import entries, read_json
from mdpseg.data.readers.layout import choose_split, side_by_side
from mdpseg.data.readers.pairs import IGNORED, PairReader, id_table
from mdpseg.data.readers.subset import Subset
from mdpseg.errors import UserError
from mdpseg.text_file import LARGEST_TEXT

LAYOUT = "{training,validation}/images/*.jpg, {training,validation}/v2.0/labels/*.png (or v1.2) and config_v2.0.json"


class Vistas(PairReader):
    """Mapillary Vistas; classes and their names are those of its own config file.

    Layout::

        config_v2.0.json                                config_v1.2.json, or config.json of the first release
        training/images/0035fkbjWljhaftpVM37-g.jpg
        training/v2.0/labels/0035fkbjWljhaftpVM37-g.png     training/v1.2/labels, or training/labels

    A raw id is the place in the file's ``labels``; those with ``evaluate: false`` (unlabelled) become 255, ignored, the
    others 0 to K - 1 in their order, by their ``name`` (``animal--bird``). Samples are uint8 [3, H, W] images and
    uint8 [H, W] masks.

    Args:
        root: the folder that holds ``training``.
        split: ``training`` or ``validation`` (``train`` and ``val`` mean the same).
        version: which label set, ``v1.2`` or ``v2.0``.
        subset: which part to read, a :class:`Subset` or its keys as a mapping.
        name: the dataset's name, for messages.

    Raises:
        UserError: a folder or split that is not there, an image without a mask, a config file that is missing or wrong.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        version: str = "v1.2",
        subset: Subset | Mapping[str, Any] | None = None,
        name: str = "vistas",
    ) -> None:
        root = Path(root)
        split = choose_split(name, root, split, {"train": "training", "val": "validation"}, LAYOUT)
        masks, config = root / split / version / "labels", root / f"config_{version}.json"
        if version == "v1.2" and not masks.is_dir():
            masks = root / split / "labels"
        if version == "v1.2" and not config.is_file():
            config = root / "config.json"
        where = f"{name}: config file {config}"
        labels = entries(read_json(config, where, LARGEST_TEXT), "labels", {"name": str}, where)
        if len(labels) > 255:
            raise UserError(f"{where} has {len(labels)} labels; 8-bit masks hold at most 255.")
        kept = {raw: label["name"] for raw, label in enumerate(labels) if label.get("evaluate", True) is not False}
        table = id_table(dict.fromkeys(range(len(labels)), IGNORED) | {raw: i for i, raw in enumerate(kept)})
        try:
            names = read_classes(list(kept.values()), name).names
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        super().__init__(
            side_by_side(name, root / split / "images", masks, LAYOUT), names, table, name=name, subset=subset
        )
