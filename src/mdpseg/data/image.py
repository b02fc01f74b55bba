"""A user's image, however it is given, as the pixels that a network sees: RGB, upright."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor

from mdpseg.config import RUN_RECIPES, DatasetConfig, FinetuneConfig, PretrainConfig
from mdpseg.data.readers.decode import DAMAGE, decode_photograph, read_bytes
from mdpseg.data.readers.header import MOST_PIXELS, is_tiff
from mdpseg.data.readers.tiff import Bands, NeedsSettingError, decode_tiff
from mdpseg.errors import BadFileError, UserError
from mdpseg.recipe import load_any

ImageLike = Image.Image | np.ndarray[Any, Any] | str | Path

# Of what stands beside the pixels, which are whole; TypeError: of a PNG's text that calls itself exif.
DAMAGE_BESIDE = (*DAMAGE, TypeError)

# How stored pixels [C, H, W] are turned upright, by the orientation that a camera noted.
_UPRIGHT: dict[int, Callable[[Tensor], Tensor]] = {
    2: lambda pixels: pixels.flip(2),
    3: lambda pixels: pixels.flip(1, 2),
    4: lambda pixels: pixels.flip(1),
    5: lambda pixels: pixels.transpose(1, 2),
    6: lambda pixels: pixels.transpose(1, 2).flip(2),
    7: lambda pixels: pixels.transpose(1, 2).flip(1, 2),
    8: lambda pixels: pixels.transpose(1, 2).flip(1),
}


def as_pixels(image: ImageLike, bands: Bands | None = None) -> Tensor:
    """The pixels of an image, uint8 [3, H, W], RGB on the CPU; upright, where a camera noted how it was held.

    Args:
        image: the path of a JPEG, PNG, WebP or TIFF file; a PIL image; or an array uint8 [H, W, 3], [H, W] (grey) or
            [H, W, 4] (an alpha channel is left out).
        bands: what is taken of TIFFs, which are never turned (Pillow turns those that it opens itself); default: the
            first three, of 8 bits.

    Raises:
        UserError: the file is missing or damaged, the array has another shape or dtype, there are no pixels, or a TIFF
            needs other bands or a range.
    """
    if isinstance(image, str | Path):
        return _from_file(Path(image), bands or Bands())
    if isinstance(image, Image.Image):
        if image.mode.startswith(("I", "F")):
            raise UserError(f"The image has mode {image.mode} (16 bits or more a pixel); convert it to 8 bits.")
        if image.width * image.height > MOST_PIXELS:
            raise UserError(f"The image has {image.width}x{image.height} pixels; at most {MOST_PIXELS} are taken.")
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)  # [3, H, W]
        return upright(pixels, image)
    if isinstance(image, np.ndarray):
        return _from_array(image)
    raise UserError(
        f"An image is a path, a PIL image or an array uint8 [H, W, 3], and several are a list or tuple of these; got "
        f"{type(image).__name__}."
    )


def bands_of_recipe(path: Path) -> Bands:
    """What a run took of TIFFs, by its recipe: the ``tiff`` of its datasets, if all that have one have the same.

    It is a default, so a recipe that is not there, or of another version, says nothing.
    """
    try:
        recipe = load_any(path, RUN_RECIPES)
    except UserError:
        return Bands()
    datasets: list[DatasetConfig | None] = []
    if isinstance(recipe, PretrainConfig):
        datasets += recipe.datasets
    elif isinstance(recipe, FinetuneConfig):
        datasets += [recipe.train, recipe.val]
    found = {Bands(one.tiff.bands, one.tiff.range) for one in datasets if one and one.tiff}
    return found.pop() if len(found) == 1 else Bands()


def _from_file(path: Path, bands: Bands) -> Tensor:
    content = read_bytes(path, "image")
    if not is_tiff(content):
        pixels = decode_photograph(content, path, "image")
        try:
            with Image.open(io.BytesIO(content)) as picture:
                return upright(pixels, picture)
        except DAMAGE_BESIDE:
            return pixels.contiguous()
    try:
        return decode_tiff(content, path, "image", bands)
    except NeedsSettingError as error:
        todo = (
            f"{error.todo}, as a setting of predict or SegmentationModel.from_run. By default it is that of the "
            "recipe.yaml beside the weights, if its datasets have one and not several"
        )
        raise BadFileError("image", path, error.kind, error.wrong, todo) from None


def upright(pixels: Tensor, picture: Image.Image) -> Tensor:
    """Pixels [C, H, W], as they lie in the file, turned as the picture's EXIF says; damaged EXIF says nothing."""
    turn = _UPRIGHT.get(orientation(picture))
    return (turn(pixels) if turn else pixels).contiguous()


def orientation(picture: Image.Image) -> int:
    """The picture's EXIF orientation, 2 to 8; 1, upright, also where it has none or a damaged one."""
    try:
        noted = picture.getexif().get(ExifTags.Base.Orientation)
    except DAMAGE_BESIDE:
        return 1
    return int(noted) if noted in _UPRIGHT else 1


def _from_array(array: np.ndarray[Any, Any]) -> Tensor:
    grey = array.ndim == 2
    if array.dtype != np.uint8 or not (grey or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise UserError(
            f"The image array has dtype {array.dtype} and shape {list(array.shape)}; expected uint8 [H, W, 3] with "
            "values 0..255 (or [H, W], or [H, W, 4])."
        )
    if not array.size or array.shape[0] * array.shape[1] > MOST_PIXELS:
        raise UserError(f"The image array has {array.shape[0]}x{array.shape[1]} pixels; expected 1 to {MOST_PIXELS}.")
    colours = np.stack([array] * 3) if grey else array[..., :3].transpose(2, 0, 1)
    return torch.from_numpy(np.array(colours, order="C"))  # [3, H, W], never the user's own memory
