"""Where COCO's annotation files and photographs lie, and what both of its formats have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdpseg.data.readers.classes import read_classes
from mdpseg.data.readers.complaints import complain
from mdpseg.data.readers.json_file import entries
from mdpseg.data.readers.layout import inside, need_folder
from mdpseg.errors import BadFileError, UserError

_ALIASES = {"train": "train2017", "val": "val2017"}


def find_files(
    name: str, root: Path, split: str, kind: str, images: str | Path | None, annotations: str | Path | None
) -> tuple[Path, Path]:
    """The annotation file of a split, and the folder of its photographs.

    Args:
        name: the dataset's name, for messages.
        root: the folder that holds ``annotations``.
        split: the ending of the file's name; ``train`` and ``val`` also mean ``train2017`` and ``val2017``.
        kind: the beginning of the file's name.
        images: the photographs' folder, where it is not ``root/SPLIT`` or ``root/images/SPLIT``.
        annotations: the file, where it is not ``root/annotations/KIND_SPLIT.json``.

    Raises:
        UserError: one of them is not there.
    """
    if annotations is None:
        folder = root / "annotations"
        need_folder(name, folder, f"annotations/{kind}_{split}.json")
        found = {path.stem.removeprefix(f"{kind}_"): path for path in sorted(folder.glob(f"{kind}_*.json"))}
        wanted = split if split in found else _ALIASES.get(split, split)
        if wanted not in found:
            known = ", ".join(found) or "none"
            raise UserError(f"{name}: no split {split!r}: no file {folder}/{kind}_{split}.json; found: {known}.")
        split, annotations = wanted, found[wanted]
    if images is None:
        images = root / "images" / split if (root / "images" / split).is_dir() else root / split
    need_folder(name, Path(images), f"{split}/*.jpg or images/{split}/*.jpg beside annotations")
    return Path(annotations), Path(images)


def local_ids(content: Mapping[str, Any], where: str, name: str) -> tuple[list[str], dict[int, int]]:
    """Class names in the order of the categories' ids, and category id -> its place among them."""
    categories = entries(content, "categories", {"id": int, "name": str}, where)
    categories = sorted(categories, key=lambda category: int(category["id"]))
    ids = {category["id"]: place for place, category in enumerate(categories)}
    if len(ids) < len(categories):
        raise UserError(f"{where} has two categories of one id; ids must differ.")
    try:
        names = read_classes([category["name"] for category in categories], name).names
    except UserError as error:
        raise UserError(f"{where}: categories: {error}") from None
    return names, ids


def photographs(content: Mapping[str, Any], folder: Path, where: str, name: str) -> dict[int, tuple[str, Path]]:
    """Image id -> its id among our images (its path without suffix), and its file."""
    found: dict[int, tuple[str, Path]] = {}
    keys: dict[str, Path] = {}
    for image in entries(content, "images", {"id": int, "file_name": str}, where):
        file = inside(folder, image["file_name"], where)
        key = file.relative_to(folder).with_suffix("").as_posix()
        if image["id"] in found or key in keys:
            wrong = (
                f"{where} has image {image['file_name']!r:.60} (id {image['id']}) twice, or another of that name or id"
            )
            complain(BadFileError(name, file, "name", wrong, "keep one of both"))
            continue
        keys[key] = file
        found[image["id"]] = key, file
    if not found:
        raise UserError(f"{where} lists no images; there is nothing to read.")
    return found
