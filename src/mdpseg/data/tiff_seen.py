"""Which bands and values of TIFFs become red, green and blue, where nobody said."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdpseg.data.readers.decode import damaged, read_bytes, refuse_too_large
from mdpseg.data.readers.tiff import TIFF_SUFFIXES
from mdpseg.errors import UserError

MOST = 20  # files that are looked at
_SIDE = 256  # rows and columns of each that are looked at
_MOST_DIGITS = 300  # about what a number has behind the point, and before it
_SHARE = 1  # percent of the values that become black, and white: a few bright pixels must not darken all others


@dataclass(frozen=True)
class _Seen:
    count: int
    kind: str
    rgb: tuple[int, ...] | None
    values: NDArray[Any]


def look_at_bands(images: Sequence[Path], name: str) -> tuple[dict[str, list[float]], str] | None:
    """The setting ``tiff`` for a dataset's images, and a remark that says where it is from.

    Args:
        images: all of them; up to :data:`MOST` TIFFs from all over are looked at.
        name: the dataset's name, for messages.

    Returns:
        None where none is needed: no TIFFs, or 8 bits and one or three bands.

    Raises:
        UserError: a TIFF cannot be read, or rasterio is not installed.
    """
    tiffs = [path for path in images if path.suffix.lower() in TIFF_SUFFIXES]
    places = np.unique(np.linspace(0, len(tiffs) - 1, min(MOST, len(tiffs))).astype(int))
    seen = [_look(tiffs[place], name) for place in places]
    kinds = sorted({one.kind for one in seen})
    if not seen or any(kind.startswith("complex") for kind in kinds):  # the reader refuses those
        return None
    count = min(one.count for one in seen)
    setting: dict[str, list[float]] = {}
    said = [f"The TIFFs have {count} band{'' if count == 1 else 's'} of {' and '.join(kinds)}"]
    if count not in (1, 3) or seen[0].rgb not in (None, (1, 2, 3)):
        rgb = seen[0].rgb or ((1, 2, 3) if count > 2 else (1, 1, count))
        setting["bands"] = list(rgb)
        said.append(f"bands {', '.join(map(str, rgb))} are taken for red, green, blue")
    values = np.concatenate([one.values for one in seen])
    if kinds != ["uint8"] and values.size:
        low, high = setting["range"] = _short(*map(float, np.percentile(values, [_SHARE, 100 - _SHARE])))
        said.append(
            f"values {low} and {high} ({_SHARE} % and {100 - _SHARE} % of those in {len(seen)} files) become 0 and 255"
        )
    return (setting, f"{', '.join(said)}; correct `tiff` if that is wrong.") if setting else None


def _short(low: float, high: float) -> list[float]:
    """Both with three digits, as one would write them, and more where values lie close together far from 0.

    The lower is rounded down, the higher up: between them lies what lay there.
    """
    spread = high - low
    if not 0 < spread < math.inf:
        return [_whole(low), _whole(low + max(1.0, 1e-6 * abs(low)))]
    found = []
    for value, rounded in ((low, math.floor), (high, math.ceil)):
        digits = 2 - math.floor(math.log10(min(spread, abs(value) or spread)))  # behind the point; before it if below 0
        digits = max(min(digits, _MOST_DIGITS), -_MOST_DIGITS)
        found.append(round(rounded(value * 10.0**digits) / 10.0**digits, digits))
    low, high = found if found[0] < found[1] else (low, high)  # equal where they differ in their last bits alone
    return [_whole(low), _whole(high)]


def _whole(value: float) -> float:
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def _look(path: Path, name: str) -> _Seen:
    """Its bands, and every so many values of those that would be read."""
    content = read_bytes(path, name)
    try:
        import rasterio
        from rasterio.enums import ColorInterp
        from rasterio.io import MemoryFile
    except ImportError:
        raise UserError(f'{name}: {path} is a TIFF, which needs rasterio: pip install "mdpseg[tiff]".') from None
    try:
        with warnings.catch_warnings(), MemoryFile(content) as memory:
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # where it lies is no matter
            with memory.open(driver="GTiff", sharing=False) as file:
                refuse_too_large((file.width, file.height), path, name)
                colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
                named = all(colour in file.colorinterp for colour in colours)
                rgb = tuple(file.colorinterp.index(colour) + 1 for colour in colours) if named else None
                bands = list(rgb or range(1, min(file.count, 3) + 1))
                shape = (len(bands), min(file.height, _SIDE), min(file.width, _SIDE))
                values = file.read(bands, out_shape=shape, masked=True).compressed()  # without those of no data
                return _Seen(file.count, file.dtypes[bands[0] - 1], rgb, values[np.isfinite(values)])
    except (rasterio.errors.RasterioError, ValueError, MemoryError) as error:
        if isinstance(error, UserError):
            raise
        raise damaged(path, name, error) from error
