"""A list of image and mask files: CSV, or text."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdpseg.data.readers.complaints import complain
from mdpseg.data.readers.own_classes import OwnClasses
from mdpseg.data.readers.pairs import Pair
from mdpseg.data.readers.subset import Subset
from mdpseg.data.readers.tiff import Bands
from mdpseg.errors import BadFileError, UserError
from mdpseg.text_file import read_text

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": " "}
LARGEST_PAIR_LIST = 2**28  # bytes, more than a million pairs of absolute paths
_EXAMPLE = "expected an image and its mask a line, or a first line that names the columns image and mask"


class PairList(OwnClasses):
    """Images and masks wherever a list says.

    Layout::

        train.csv                                       image,mask
                                                        photos/0001.jpg,labels/0001.png
                                                        "photos/a, b.jpg",/elsewhere/b.png

    ``.csv`` separates by commas, ``.tsv`` by tabs, ``.txt`` by spaces; a path that holds the separator stands in double
    quotes, a quote in it is doubled. A first line with the words ``image`` and ``mask`` says which columns these are,
    and others are left out; without it there are two columns. Relative paths start at the list's folder and stay
    inside it; absolute ones are read as they are. Ids are the images' paths without suffix. Masks and images are those
    of :class:`mdpseg.data.readers.Folder`.

    Args:
        path: the list, or the folder that holds ``SPLIT.csv`` (or .tsv, .txt).
        split: which list of a folder.
        classes: as for :class:`mdpseg.data.readers.Folder`.
        images: where relative paths of images start, if not at the list's folder.
        masks: where relative paths of masks start, if not at the list's folder.
        subset: which part to read, a :class:`Subset` or its keys as a mapping.
        name: the dataset's name, for messages.
        catch_all: the class that collects whatever has no class here, if there is one.
        bands: what is taken of images that are TIFFs.

    Raises:
        UserError: a list that is missing, empty or of another form, a path that leads out of its folder, an image
            twice, a file that is not there, a class list that is wrong, a catch-all that is not a class.
    """

    def __init__(
        self,
        path: str | Path,
        split: str,
        classes: str | Path | Sequence[Any],
        *,
        images: str | Path | None = None,
        masks: str | Path | None = None,
        subset: Subset | Mapping[str, Any] | None = None,
        name: str = "list",
        catch_all: str | None = None,
        bands: Bands | None = None,
    ) -> None:
        file = _find_list(name, Path(path), split)
        starts = [Path(start) if start is not None else file.parent for start in (images, masks)]
        pairs = _pairs(name, file, starts)
        super().__init__(pairs, classes, name=name, catch_all=catch_all, subset=subset, bands=bands)


def _find_list(name: str, path: Path, split: str) -> Path:
    if not path.is_dir():
        if path.suffix.lower() not in _SEPARATORS:
            raise UserError(f"{name}: {path} is no list; expected one that ends in {', '.join(_SEPARATORS)}.")
        return path
    for suffix in _SEPARATORS:
        if (path / f"{split}{suffix}").is_file():
            return path / f"{split}{suffix}"
    found = ", ".join(file.name for file in sorted(path.iterdir()) if file.suffix in _SEPARATORS)
    raise UserError(f"{name}: no list {split}.csv (or .tsv, .txt) in {path}; found: {found or 'none'}.")


def _pairs(name: str, file: Path, starts: Sequence[Path]) -> list[Pair]:
    where = f"{name}: list {file}"
    found: dict[str, Pair] = {}
    for line, row in _rows(file, where):
        image, mask = (_resolve(cell, start, f"{where}, line {line}") for cell, start in zip(row, starts, strict=True))
        key = Path(row[0]).with_suffix("").as_posix().lstrip("/")
        if key in found:
            wrong = f"{where}, line {line}: image {row[0]!r:.100} stands there twice, or another of its name"
            complain(BadFileError(name, image, "name", wrong, "keep one of both"))
            continue
        found[key] = Pair(key, image, mask)
    if not found:
        raise UserError(f"{where} names no image; {_EXAMPLE}.")
    return list(found.values())


def _rows(file: Path, where: str) -> list[tuple[int, list[str]]]:
    """Line number, image and mask."""
    separator = _SEPARATORS[file.suffix.lower()]
    lines = read_text(file, where, LARGEST_PAIR_LIST).split("\n")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    rows = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            while separator == " " and cells and not cells[-1]:
                cells.pop()
            if any(cells) and not cells[0].startswith("#"):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise UserError(f"{where}, line {reader.line_num}: {error}; check its quotes.") from None
    columns, count = [0, 1], 2
    if rows and not any(Path(cell).suffix for cell in rows[0][1]):  # no file
        names = [cell.lower() for cell in rows.pop(0)[1]]
        if names.count("image") != 1 or names.count("mask") != 1:
            raise UserError(f"{where}: its first line names {', '.join(names)!r:.100}; {_EXAMPLE}.")
        columns, count = [names.index("image"), names.index("mask")], len(names)
    for line, row in rows:
        if len(row) != count or not all(row[column] for column in columns):
            raise UserError(f"{where}, line {line} has {len(row)} columns or an empty one, not {count}; {_EXAMPLE}.")
    return [(line, [row[column] for column in columns]) for line, row in rows]


def _resolve(cell: str, start: Path, where: str) -> Path:
    path = Path(cell)
    if not path.name:
        raise UserError(f"{where}: {cell!r:.100} names no file; {_EXAMPLE}.")
    if "\0" in cell or (".." in path.parts and not path.is_absolute()):
        raise UserError(
            f"{where}: {cell!r:.100} leads out of {start}; write an absolute path, or say by images and masks where "
            "paths start."
        )
    return path if path.is_absolute() else start / path
