"""TIFF: images of many bands or of 16 bits, and masks; through rasterio (extra ``tiff``)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdpseg.data.readers.decode import damaged, decode_ids, decode_photograph, read_bytes, refuse_too_large
from mdpseg.data.readers.header import MOST_PIXELS, is_tiff
from mdpseg.errors import BadFileError, UserError

TIFF_SUFFIXES = (".tif", ".tiff")

_IDS = ("uint8", "uint16", "int16", "uint32", "int32", "int8")


@dataclass(frozen=True)
class Bands:
    """How a TIFF becomes red, green and blue of 8 bits.

    Attributes:
        rgb: the three bands, counted from 1; None: the first three, or the only one thrice.
        range: the values that become 0 and 255; what lies outside is clipped. None: 0 and 255 of 8-bit files; others
            are refused.
    """

    rgb: tuple[int, int, int] | None = None
    range: tuple[float, float] | None = None


class NeedsSettingError(BadFileError):
    """A TIFF for which ``tiff`` must be set, or set otherwise."""


def read_image_or_tiff(path: Path, dataset: str, bands: Bands) -> Tensor:
    """Reads an image as :func:`mdpseg.data.readers.decode.read_image`, or a TIFF.

    Args:
        path: a JPEG, PNG, WebP or TIFF file, by its content.
        dataset: the dataset's name, for messages.
        bands: what is taken of a TIFF.

    Returns:
        uint8 [3, H, W], RGB; pixels without a value (NaN, or what the file says stands for none) are 0.

    Raises:
        BadFileError: (a UserError) the file is damaged or too large, lacks a band, or needs a range.
        UserError: rasterio is not installed.
    """
    content = read_bytes(path, dataset)
    if not is_tiff(content):
        return decode_photograph(content, path, dataset)
    return decode_tiff(content, path, dataset, bands)


def decode_tiff(content: bytes, path: Path, dataset: str, bands: Bands) -> Tensor:
    """As :func:`read_image_or_tiff`, of a TIFF's content; the path is for messages."""
    with _opened(content, path, dataset) as file:
        rgb = bands.rgb or ((1, 2, 3) if file.count >= 3 else (1, 1, 1))
        if max(rgb) > file.count or (bands.rgb is None and file.count == 2):
            raise _wrong_bands(file.count, bands, path, dataset)
        kinds = {file.dtypes[band - 1] for band in rgb}
        if bands.range is None and kinds != {"uint8"}:
            wrong = f"{path} has values of {', '.join(sorted(kinds))}"
            todo = "say which of them become black and white, such as tiff: {range: [0, 10000]}"
            raise NeedsSettingError(dataset, path, "format", wrong, todo)
        if any(kind.startswith("complex") for kind in kinds):
            raise BadFileError(dataset, path, "format", f"{path} has complex values", "save their size or real part")
        pixels = _read(file, rgb, path, dataset)  # [3, H, W]
        nothing = [file.nodatavals[band - 1] for band in rgb]
    empty = [None if value is None else band == value for band, value in zip(pixels, nothing, strict=True)]
    if bands.range is not None:
        low, high = bands.range
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = (pixels.astype(np.float32) - low) * (255 / (high - low))
            pixels = np.nan_to_num(scaled.clip(0, 255), nan=0.0).round().astype(np.uint8)
    for band, where in zip(pixels, empty, strict=True):
        if where is not None:
            band[where] = 0
    return torch.from_numpy(np.ascontiguousarray(pixels))


def read_ids_or_tiff(path: Path, dataset: str) -> Tensor:
    """Reads a mask of ids as :func:`mdpseg.data.readers.decode.read_ids`, or from a TIFF of one band.

    Args:
        path: the PNG or TIFF file, by its content.
        dataset: the dataset's name, for messages.

    Returns:
        uint8 [H, W], the raw ids.

    Raises:
        BadFileError: (a UserError) the file is damaged or too large, has several bands, other values than whole
            numbers, or ids outside of 0 to 255.
        UserError: rasterio is not installed.
    """
    content = read_bytes(path, dataset)
    if not is_tiff(content):
        return decode_ids(content, path, dataset)
    with _opened(content, path, dataset) as file:
        if file.count != 1 or file.dtypes[0] not in _IDS:
            wrong = f"mask {path} has {file.count} band(s) of {file.dtypes[0]}, but one band of whole ids is expected"
            raise BadFileError(dataset, path, "format", wrong, "save the ids alone, as 8-bit TIFF or PNG")
        ids = _read(file, [1], path, dataset)[0]  # [H, W]
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high > 255:
        wrong = f"mask {path} has id {low if low < 0 else high}"
        raise BadFileError(dataset, path, "id", wrong, "ids must be 0 to 255 (255 is ignored). Correct the mask")
    return torch.from_numpy(ids.astype(np.uint8))


def _wrong_bands(count: int, bands: Bands, path: Path, dataset: str) -> NeedsSettingError:
    wrong = f"{path} has {count} band{'s' if count > 1 else ''}"
    if bands.rgb is not None:
        wrong += f", and tiff.bands names band {max(bands.rgb)}"
    # all that there are, or the one as grey
    these = ", ".join(str(min(band, count)) for band in (1, 2, 3))
    todo = f"name three of 1 to {count} (one may stand repeatedly), such as tiff: {{bands: [{these}]}}"
    return NeedsSettingError(dataset, path, "format", wrong, todo)


@contextmanager
def _opened(content: bytes, path: Path, dataset: str) -> Iterator[Any]:
    """The file in memory, so that no other file beside it is looked for; its sizes are checked, nothing is decoded."""
    try:
        import rasterio
        from rasterio.io import MemoryFile
    except ImportError:
        raise UserError(f'{dataset}: {path} is a TIFF, which needs rasterio: pip install "mdpseg[tiff]".') from None
    try:
        with rasterio.Env(GDAL_NUM_THREADS="1"), MemoryFile(content) as memory:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter(
                        "ignore", rasterio.errors.NotGeoreferencedWarning
                    )  # where it lies is no matter
                    file = memory.open(driver="GTiff", sharing=False)
            except (rasterio.errors.RasterioError, ValueError) as error:
                raise damaged(path, dataset, error) from error
            with file:
                refuse_too_large((file.width, file.height), path, dataset)
                for height, width in file.block_shapes:  # a block is decoded whole, with all bands at the most
                    if height * width * file.count > 4 * MOST_PIXELS:
                        refuse_too_large((width * file.count, height), path, dataset)
                yield file
    except rasterio.errors.RasterioError as error:
        raise damaged(path, dataset, error) from error


def _read(file: Any, bands: Sequence[int], path: Path, dataset: str) -> Any:
    from rasterio.errors import RasterioError

    try:
        return file.read(list(bands))
    except (RasterioError, ValueError, MemoryError) as error:
        raise damaged(path, dataset, error) from error
