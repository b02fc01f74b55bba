"""Looks at every image of a dataset, in several processes: what is wrong with it, and what tells it from others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mdpseg.data.duplicates import look
from mdpseg.data.image import DAMAGE_BESIDE, orientation
from mdpseg.data.loader import Reader
from mdpseg.data.readers.pairs import PairReader
from mdpseg.data.readers.unlabelled import Unlabelled
from mdpseg.data.workers import in_order
from mdpseg.errors import BadFileError, UserError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Examined:
    """One image with its mask.

    Attributes:
        name: the image's file, or the id of an image that is made on the fly.
        faults: all that is wrong with its files.
        image: digest of the image file's bytes, None where it cannot be read.
        mask: digest of the mask file's bytes.
        look: difference hash, see :func:`mdpseg.data.duplicates.look`.
        pixels: int64 [256], pixels of each local id, None where there is no mask to read.
        orientation: of the image file's EXIF, which readers do not follow; 1 is upright, and what is said of an image
            without a mask that fits it.
    """

    name: str
    faults: tuple[BadFileError, ...]
    image: bytes | None
    mask: bytes | None
    look: bytes | None
    pixels: NDArray[np.int64] | None
    orientation: int = 1


def examine(reader: Reader, workers: int) -> Iterator[Examined]:
    """Examines all images of a dataset, in their order; one a process is in memory at a time.

    Raises:
        UserError: an image cannot be examined for what is no fault of its file (an extra is not installed, a server
            does not answer), or a process died, as it does when the memory is full.
    """
    done = 0
    try:
        for examined in in_order(partial(_examine_one, reader), range(len(reader)), workers):
            done += 1
            yield examined
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            f"{reader.name}: a process that reads images died after {done} of {len(reader)} of them, most likely for "
            "lack of memory; use fewer by --workers."
        ) from error


def _examine_one(reader: Reader, index: int) -> Examined:
    faults: list[BadFileError] = []
    if isinstance(reader, PairReader):  # image and mask apart: both may be bad
        name = reader.id(index)
        image = _attempt(faults, reader.image, index)
        mask = _attempt(faults, reader.mask, index)
        if image is not None and mask is not None:
            _attempt(faults, reader.check_sizes, index, image, mask)
    else:
        sample = _attempt(faults, reader.__getitem__, index)
        image = sample.image if sample else None
        mask = sample.mask if sample and reader.label_set else None
        name = sample.id if sample else ""
    files = reader.paths(index) if isinstance(reader, PairReader | Unlabelled) else ()
    return Examined(
        str(files[0]) if files else name,
        tuple(faults),
        _file_digest(files[0]) if files else _tensor_digest(image),
        _file_digest(files[1]) if len(files) > 1 else _tensor_digest(mask),
        None if image is None else look(image),
        None if mask is None else torch.bincount(mask.flatten(), minlength=256).numpy(),
        _orientation(files[0]) if files and image is not None and mask is not None and not faults else 1,
    )


def _attempt(faults: list[BadFileError], read: Callable[..., Value], *arguments: Any) -> Value | None:
    try:
        return read(*arguments)
    except BadFileError as fault:
        faults.append(fault)
        return None


def _orientation(path: Path) -> int:
    """By the file's header: nothing is decoded. A PNG may have it behind the pixels, where it is not looked for."""
    try:
        with Image.open(path, formats=["JPEG", "PNG", "WEBP"]) as picture:  # TIFFs are never turned
            return orientation(picture) if "exif" in picture.info or picture.format != "PNG" else 1
    except DAMAGE_BESIDE:
        return 1


def _file_digest(path: Path) -> bytes | None:
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, _hash).digest()
    except OSError:
        return None


def _tensor_digest(tensor: Tensor | None) -> bytes | None:
    return None if tensor is None else hashlib.blake2b(tensor.contiguous().numpy().data, digest_size=16).digest()


def _hash() -> Any:
    return hashlib.blake2b(digest_size=16)
