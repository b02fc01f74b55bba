"""Finding files: what the layouts have in common."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mdpseg.data.readers.complaints import complain
from mdpseg.data.readers.decode import IMAGE_SUFFIXES
from mdpseg.data.readers.pairs import Pair
from mdpseg.errors import BadFileError, UserError


def one_line_names(text: str) -> list[str]:
    """Class names from a text that separates them by commas."""
    return [" ".join(name.split()) for name in text.split(",")]


def files_below(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """All files with one of the suffixes in a folder and those in it, sorted, without hidden ones."""
    endings = tuple(suffixes)
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, n) for n in names if n.lower().endswith(endings) and not n.startswith(".")]
    return sorted(found)


def need_folder(name: str, folder: Path, layout: str) -> None:
    """Complains about a folder that is not there."""
    if not folder.is_dir():
        raise UserError(f"{name}: no folder {folder}; expected {layout}. Correct the path.")


def choose_split(name: str, folder: Path, split: str, aliases: Mapping[str, str], layout: str) -> str:
    """The folder name of a split.

    Args:
        name: the dataset's name, for messages.
        folder: the folder whose folders are the splits.
        split: what the user asks for.
        aliases: other words for a split -> its folder name.
        layout: the expected layout, for messages.

    Raises:
        UserError: the folder is missing, or has no such split; names those found.
    """
    need_folder(name, folder, layout)
    found = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    wanted = split if split in found else aliases.get(split, split)
    if wanted not in found:
        raise UserError(
            f"{name}: no split {split!r} in {folder}; found: {', '.join(found) or 'none'}. Expected {layout}."
        )
    return wanted


def side_by_side(name: str, images: Path, masks: Path, layout: str) -> list[Pair]:
    """Pairs of a folder of images and a folder of PNG masks, by the file's name without suffix.

    Args:
        name: the dataset's name, for messages.
        images: the images' folder; folders inside it are part of the id (``train/0001``).
        masks: the masks' folder, of the same inner structure.
        layout: the expected layout, for messages.

    Raises:
        UserError: a folder is missing, there is no image, or two images share a name.
    """
    for folder in (images, masks):
        need_folder(name, folder, layout)
    return [Pair(key, image, masks / f"{key}.png") for key, image in images_by_id(name, images, layout).items()]


def images_by_id(name: str, folder: Path, layout: str) -> dict[str, Path]:
    """The images of a folder and those in it, by their path inside it without suffix (``train/0001``).

    Raises:
        UserError: the folder is missing, there is no image, or two images share a name.
    """
    need_folder(name, folder, layout)
    found: dict[str, Path] = {}
    for image in files_below(folder, IMAGE_SUFFIXES):
        key = image.relative_to(folder).with_suffix("").as_posix()
        if key in found:
            complain(
                BadFileError(
                    name, image, "name", f"{found[key]} and {image} have the same name", "rename or remove one"
                )
            )
            continue
        found[key] = image
    if not found:
        raise UserError(
            f"{name}: no images in {folder}; expected {layout}, files ending in {', '.join(IMAGE_SUFFIXES)}."
        )
    return found
