"""The command line's way to a pretrained network's classes: lists them, and adds one from files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mdpseg import weights
from mdpseg.data.image import as_pixels
from mdpseg.data.readers.decode import IMAGE_SUFFIXES
from mdpseg.data.readers.tiff import TIFF_SUFFIXES
from mdpseg.data.region import marked
from mdpseg.errors import UserError
from mdpseg.model import SegmentationModel


def classes_of(run: Path) -> dict[str, list[str]]:
    """Dataset -> its classes; those without prototype, which never win, are marked.

    Raises:
        UserError: there are no weights of a network that segments.
    """
    model = SegmentationModel.from_run(run, "cpu")
    space = model.stored.label_space
    if model.prototypes is None:
        return {space.datasets[0]: model.classes}
    present = model.prototypes.present.tolist()
    return {
        dataset: [
            name if present[number] else f"{name} (no prototype)"
            for number, name in zip(space.classes_of(dataset), space.class_names(dataset), strict=True)
        ]
        for dataset in space.datasets
    }


def add_class(
    run: Path,
    name: str,
    examples: Sequence[str],
    dataset: str = "mine",
    taxonomy: str | None = None,
    out: Path | None = None,
) -> Path:
    """Writes a new weights file with one more class.

    Args:
        run: folder of a pretraining, or a weights file; stays as it is.
        name: the class; if it was added before, the examples add to its earlier ones.
        examples: ``IMAGE:MASK`` each, the class where the mask is not 0; or a folder with ``images`` and ``masks``.
        dataset: which dataset it joins.
        taxonomy: beside which classes it is to win; default: all.
        out: the file to write; default: ``weights-NAME.safetensors`` beside those of ``run``.

    Returns:
        the file.

    Raises:
        UserError: an example cannot be read or does not fit, or the file would overwrite what is there.
    """
    source = weights.file_of(run)
    plain = re.sub(r"[^\w.-]+", "-", name)  # a class may be called a/b
    target = out or source.with_name(f"weights-{plain}.safetensors")
    if target.exists():
        raise UserError(f"{target} exists; choose another --out (weights are never overwritten).")
    if not target.parent.is_dir():
        raise UserError(f"There is no folder {target.parent}; make it first.")
    model = SegmentationModel.from_run(run, taxonomy=taxonomy)
    pairs = [pair for example in examples for pair in _pairs(example)]
    shown: list[tuple[Path, NDArray[np.bool_]]] = []
    for image, mask in pairs:
        region = _region(mask)
        (height, width), size = region.shape, as_pixels(image, model.bands).shape[1:]
        if (height, width) != tuple(size):
            raise UserError(f"{mask} has {width}x{height} pixels, {image} {size[1]}x{size[0]}; they must be equal.")
        if not region.any():
            raise UserError(f"{mask} is 0 everywhere; mark the pixels that show {name!r} with another value.")
        shown.append((image, region))
    model.add_class(name, shown, dataset).save(target)
    return target


def _region(path: Path) -> NDArray[np.bool_]:
    as_pixels(path)  # says what is wrong with a file that is no image, or a damaged one
    with Image.open(path) as picture:
        if picture.format != "PNG":
            raise UserError(f"{path} is a {picture.format} file; masks must be PNG, which keeps 0 exactly.")
        return marked(picture)


def _pairs(example: str) -> list[tuple[Path, Path]]:
    """Image and mask of ``IMAGE:MASK``, or those of a folder."""
    folder = Path(example)
    if folder.is_dir():
        there = sorted((folder / "images").glob("[!.]*"))  # hidden ones are those of a Mac, beside each file
        images = [path for path in there if path.suffix.lower() in (*IMAGE_SUFFIXES, *TIFF_SUFFIXES)]
        if not images:
            raise UserError(f"{folder} has no images in {folder / 'images'}; expected images/NAME.jpg, masks/NAME.png.")
        pairs = [(path, folder / "masks" / f"{path.stem}.png") for path in images]
    else:
        image, colon, mask = example.rpartition(":")
        if not colon or not image:
            raise UserError(f"Example {example!r} is neither a folder nor IMAGE:MASK, such as cup.jpg:cup-mask.png.")
        pairs = [(Path(image), Path(mask))]
    for path in (path for pair in pairs for path in pair):
        if not path.is_file():
            raise UserError(f"There is no file {path}; each example needs its image and its mask.")
    return pairs
