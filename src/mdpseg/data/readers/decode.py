"""Files to tensors: images as RGB, masks as ids or as colours.

JPEG and WebP go through torchvision. PNG goes through kornia-rs, or, where it is unusual or damaged, through Pillow,
because torchvision ends the process with a segmentation fault on a damaged PNG and reads palettes of 1, 2 or 4 bits
wrongly (both seen in torchvision 0.29). EXIF orientation is not applied: masks are drawn on the pixels as they are
stored.
"""

from __future__ import annotations

import io
import stat
import struct
import zlib
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from mdpseg.data.readers.header import (
    GREY,
    GREY_ALPHA,
    MOST_PIXELS,
    PALETTE,
    RGB,
    jpeg_size,
    kind_of,
    other_kind_of,
    png_size,
    webp_size,
)
from mdpseg.data.readers.quick_png import quick_png
from mdpseg.data.readers.whole_images import whole_images_only
from mdpseg.errors import BadFileError


class ColorMaskError(BadFileError):
    """A mask that holds colors where ids are expected; somebody may want to look at its colors."""


IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

LARGEST_FILE = 2**28
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    RuntimeError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def read_image(path: Path, dataset: str) -> Tensor:
    """Reads a photograph.

    Args:
        path: a JPEG, PNG or WebP file, by its content, whatever its suffix; grey, palette and CMYK become
            RGB.
        dataset: the dataset's name, for messages.

    Returns:
        uint8 [3, H, W], RGB.

    Raises:
        BadFileError: (a UserError) the file is missing, truncated, damaged, of 16 bits grey, or of another format.
    """
    return decode_photograph(read_bytes(path, dataset), path, dataset)


def decode_photograph(content: bytes, path: Path, dataset: str) -> Tensor:
    """As :func:`read_image`, of a file's content; the path is for messages."""
    kind = kind_of(content)
    if kind == "PNG":
        values = quick_png(content, GREY, RGB)
        return _pixels(_open_png(content, path, dataset), path, dataset) if values is None else _colours(values)
    if kind is None:
        raise _other_kind(content, path, dataset)
    refuse_too_large(jpeg_size(content) if kind == "JPEG" else webp_size(content), path, dataset)
    try:
        encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        return cast(Tensor, decode_image(encoded, ImageReadMode.RGB))  # [3, H, W]
    except DAMAGE as error:
        raise damaged(path, dataset, error) from error


def _other_kind(content: bytes, path: Path, dataset: str) -> BadFileError:
    wrong, kind = f"{path} is not a JPEG, PNG or WebP image", other_kind_of(content)
    if kind is None:
        return BadFileError(dataset, path, "format", wrong, "convert it, re-copy it or remove it")
    if kind == "TIFF":  # may have other bands or bits than a conversion would keep
        todo = "convert it to PNG of 8 bits; the readers folder and list, and predict, take TIFF as it is"
    else:
        # in place: readers know a kind by the content, and masks by the name
        name = str(path)
        todo = f"convert it: from PIL import Image; Image.open({name!r}).convert('RGB').save({name!r}, 'PNG')"
    return BadFileError(dataset, path, "format", f"{wrong}, but a {kind}", todo)


def read_ids(path: Path, dataset: str) -> Tensor:
    """Reads a mask whose pixel values are ids: an 8-bit grey PNG, or a palette PNG (its indices).

    Args:
        path: the PNG file.
        dataset: the dataset's name, for messages.

    Returns:
        uint8 [H, W], the raw ids.

    Raises:
        BadFileError: (a UserError) the file is missing, damaged, not a PNG, has colours, or is not of 8 bits.
    """
    return decode_ids(read_bytes(path, dataset), path, dataset)


def decode_ids(content: bytes, path: Path, dataset: str) -> Tensor:
    """As :func:`read_ids`, of a file's content; the path is for messages."""
    values = quick_png(content, GREY, PALETTE)
    if values is not None:
        return torch.from_numpy(values)
    image, depth, kind = _open_mask(content, path, dataset)
    if kind == GREY_ALPHA:
        name = str(path)
        raise BadFileError(
            dataset,
            path,
            "format",
            f"mask {path} has transparency beside its grey values, but ids of one channel are expected",
            "save these alone, where they are the ids: from PIL import Image; "
            f"Image.open({name!r}).getchannel('L').save({name!r})",
        )
    if kind not in (GREY, PALETTE):
        raise ColorMaskError(
            dataset,
            path,
            "format",
            f"mask {path} holds colors (RGB), but ids of one channel are expected",
            "save the ids as an 8-bit PNG, or read it with 'folder' and a YAML class list that gives each class its "
            "color",
        )
    if kind == GREY and depth != 8:
        raise BadFileError(
            dataset,
            path,
            "format",
            f"mask {path} is a {depth}-bit grey PNG, but 8-bit ids are expected",
            "save it with 8 bits (of Cityscapes take the labelIds, not the instanceIds)",
        )
    return torch.from_numpy(np.array(image, dtype=np.uint8))  # [H, W]


def read_colours(path: Path, dataset: str, because: str = "the class list gives colors") -> Tensor:
    """Reads a mask whose pixel values are colours: an RGB PNG, or a palette PNG (its palette's colours).

    Args:
        path: the PNG file; an alpha channel is left out.
        dataset: the dataset's name, for messages.
        because: why colours are expected, for messages.

    Returns:
        uint8 [3, H, W], RGB.

    Raises:
        BadFileError: (a UserError) the file is missing, truncated or damaged, not a PNG, grey, or of 16 bits.
    """
    content = read_bytes(path, dataset)
    values = quick_png(content, RGB)
    if values is not None:
        return _colours(values)
    image, depth, kind = _open_mask(content, path, dataset)
    if kind in (GREY, GREY_ALPHA) or depth == 16:
        shade = "grey" if kind in (GREY, GREY_ALPHA) else "RGB"
        raise BadFileError(
            dataset,
            path,
            "format",
            f"mask {path} is {depth}-bit {shade}, but {because}, so 8-bit RGB is expected",
            "save it as 8-bit RGB, or leave the colors out of the class list if the mask holds ids",
        )
    return _pixels(image, path, dataset)


def read_bytes(path: Path, dataset: str) -> bytes:
    """The content of an image file.

    Raises:
        BadFileError: (a UserError) the file is missing, empty, larger than is read, or no regular file.
    """
    try:
        status = path.stat()
        if status.st_size > LARGEST_FILE:
            raise _too_large(path, dataset, f"{status.st_size} bytes", LARGEST_FILE)
        if stat.S_ISDIR(status.st_mode):
            raise BadFileError(dataset, path, "damaged", f"{path} is a folder", "name a file")
        if not stat.S_ISREG(status.st_mode):
            raise BadFileError(dataset, path, "damaged", f"{path} is no regular file", "remove it")  # a pipe never ends
        content = path.read_bytes()
    except OSError as error:
        wrong = f"{path} cannot be read ({error.strerror})"
        raise BadFileError(dataset, path, "damaged", wrong, "re-copy or remove it") from error
    if not content:
        raise BadFileError(dataset, path, "damaged", f"{path} is an empty file", "re-copy or remove it")
    return content


def _too_large(path: Path, dataset: str, size: str, most: int) -> BadFileError:
    wrong = f"{path} has {size}, and at most {most} are read, which bounds the memory"
    return BadFileError(dataset, path, "large", wrong, "shrink it, cut it into tiles or remove it")


def refuse_too_large(size: tuple[int, int] | None, path: Path, dataset: str) -> None:
    """Complains about more pixels (width, height) than are read, or about a header that names none."""
    if size is None:
        raise damaged(path, dataset, ValueError("its header gives no width and height"))
    if size[0] * size[1] > MOST_PIXELS:
        raise _too_large(path, dataset, f"{size[0]}x{size[1]} pixels", MOST_PIXELS)


def _open_mask(content: bytes, path: Path, dataset: str) -> tuple[Image.Image, int, int]:
    """The mask, and the bit depth and color type that stand at fixed places of a PNG."""
    if kind_of(content) != "PNG":
        wrong, todo = f"mask {path} is not a PNG file", "masks must be PNG, which keeps ids exactly"
        raise BadFileError(dataset, path, "format", wrong, todo)
    return _open_png(content, path, dataset), content[24], content[25]


def _open_png(content: bytes, path: Path, dataset: str) -> Image.Image:
    refuse_too_large(png_size(content), path, dataset)  # before Pillow, which would only warn
    try:
        image = Image.open(io.BytesIO(content), formats=["PNG"])
        refuse_too_large(image.size, path, dataset)  # a second header may say something else
        with whole_images_only():
            image.load()
    except BadFileError:
        raise
    except DAMAGE as error:
        raise damaged(path, dataset, error) from error
    return image


def _pixels(image: Image.Image, path: Path, dataset: str) -> Tensor:
    if image.mode.startswith(("I", "F")):
        raise BadFileError(dataset, path, "format", f"{path} is a 16-bit grey image", "convert it to 8 bits")
    return _colours(np.array(image.convert("RGB")))


def _colours(values: NDArray[np.uint8]) -> Tensor:
    """Of [H, W, 3], or [H, W] (grey), as [3, H, W]."""
    pixels = torch.from_numpy(values)
    return pixels.expand(3, -1, -1).contiguous() if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def damaged(path: Path, dataset: str, error: BaseException) -> BadFileError:
    """What is said of a file that a decoder refuses."""
    reason = " ".join(str(error).split())
    if "cpp:" in reason:  # torchvision puts its own source file and line in front
        reason = reason.partition("cpp:")[2].partition(", ")[2]
    if isinstance(error, UnidentifiedImageError):  # Pillow names an object in memory
        reason = "its header is damaged"
    wrong = f"{path} is truncated or damaged ({reason})"
    return BadFileError(dataset, path, "damaged", wrong, "re-copy or remove it")
