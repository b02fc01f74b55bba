"""Finding files: what the layouts have in common."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from mdpseg.data.readers.complaints import complain
from mdpseg.data.readers.decode import IMAGE_SUFFIXES
from mdpseg.data.readers.pairs import Pair
from mdpseg.data.readers.subset import read_lines
from mdpseg.data.readers.tiff import TIFF_SUFFIXES
from mdpseg.errors import BadFileError, UserError

MASK_SUFFIXES = (".png", *TIFF_SUFFIXES)


def one_line_names(text: str) -> list[str]:
    """Class names from a text that separates them by commas."""
    return [" ".join(name.split()) for name in text.split(",")]


def files_below(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """All files with one of the suffixes in a folder and those in it, sorted, without hidden ones."""
    endings = tuple(suffixes)
    return sorted(file for file in walk(folder) if file.name.lower().endswith(endings))


def walk(folder: Path) -> Iterator[Path]:
    """All files in a folder and those in it, without hidden ones, in no order.

    Linked folders are followed, after all that lie there themselves; one that several links lead to is walked once, and
    one that holds ``folder`` not at all, so that links in a circle end.

    Raises:
        UserError: a folder cannot be listed; without what lies in it, another machine might see another dataset.
    """
    if not folder.is_dir():
        return
    walked = {_identity(above) for above in folder.resolve().parents}
    starts = [str(folder)]
    for start in starts:  # grows
        for parent, folders, names in os.walk(start, onerror=_cannot_be_listed):
            identity = _identity(parent)
            if identity in walked:
                folders.clear()
                continue
            walked.add(identity)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            starts += [path for name in folders if os.path.islink(path := os.path.join(parent, name))]
            yield from (Path(parent, name) for name in names if not name.startswith("."))


def _cannot_be_listed(error: OSError) -> NoReturn:
    raise UserError(
        f"folder {error.filename} cannot be listed ({error.strerror}), and what lies in it would be left out; make it "
        "readable, or move it away."
    ) from error


def _identity(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


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


def inside(folder: Path, relative: str, where: str) -> Path:
    """The file of a relative path that somebody else wrote down.

    Raises:
        UserError: it is absolute or empty, or leads out of the folder.
    """
    path = Path(relative)
    if path.is_absolute() or ".." in path.parts or not path.name or "\0" in relative:
        raise UserError(
            f"{where} has {relative!r:.60}, which is not inside {folder}; expected a path that stays in it."
        )
    return folder / path


def listed_ids(name: str, folder: Path, split: str, also: Mapping[str, str] | None = None) -> list[str]:
    """The ids in a split's list, as VOC has them: one a line, or two paths a line, whose stem is the id.

    Args:
        name: the dataset's name, for messages.
        folder: the folder of the lists.
        split: the list's name without suffix.
        also: other names of a split.

    Raises:
        UserError: there is no such list, it is empty, or a path in it leads out of the dataset.
    """
    found = {path.stem: path for path in sorted(folder.glob("*.txt"))}
    chosen = found.get(split) or found.get((also or {}).get(split, ""))
    if chosen is None:
        raise UserError(f"{name}: no split {split!r} in {folder}; found: {', '.join(found) or 'none'}.")
    where = f"{name}: split list {chosen}"
    ids = sorted({_listed_id(line, where) for line in read_lines(chosen, where)})
    if not ids:
        raise UserError(f"{where} names no image; expected one id a line.")
    return ids


def _listed_id(line: str, where: str) -> str:
    path = Path(line.split(maxsplit=1)[0])
    if ".." in path.parts:
        raise UserError(f"{where} has {line!r:.60}, which leads out of the dataset; expected one id a line.")
    return path.stem


def side_by_side(name: str, images: Path, masks: Path, layout: str, tiff: bool = False) -> list[Pair]:
    """Pairs of a folder of images and a folder of masks, by the file's name without suffix.

    Args:
        name: the dataset's name, for messages.
        images: the images' folder; folders inside it are part of the id (``train/0001``).
        masks: the masks' folder, of the same inner structure.
        layout: the expected layout, for messages.
        tiff: whether images and masks may be TIFFs; else masks are PNGs.

    Raises:
        UserError: a folder is missing, there is no image, or two images share a name.
    """
    for folder in (images, masks):
        need_folder(name, folder, layout)
    files = files_below(masks, MASK_SUFFIXES if tiff else MASK_SUFFIXES[:1])
    # the last one counts: a TIFF before a PNG, then .png before .PNG
    files.sort(key=lambda file: file.suffix.lower() in TIFF_SUFFIXES)
    found = {file.with_suffix(""): file for file in files}
    return [
        Pair(key, image, found.get(masks / key, masks / f"{key}.png"))
        for key, image in images_by_id(name, images, layout, tiff).items()
    ]


def images_by_id(name: str, folder: Path, layout: str, tiff: bool = False) -> dict[str, Path]:
    """The images of a folder and those in it, by their path inside it without suffix (``train/0001``).

    Args:
        name: the dataset's name, for messages.
        folder: where they are.
        layout: the expected layout, for messages.
        tiff: whether TIFFs are among them.

    Raises:
        UserError: the folder is missing, there is no image, or two images share a name.
    """
    need_folder(name, folder, layout)
    found: dict[str, Path] = {}
    suffixes = (*IMAGE_SUFFIXES, *TIFF_SUFFIXES) if tiff else IMAGE_SUFFIXES
    for image in files_below(folder, suffixes):
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
        raise UserError(f"{name}: no images in {folder}; expected {layout}, files ending in {', '.join(suffixes)}.")
    return found
