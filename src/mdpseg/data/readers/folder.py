"""Any dataset of images and masks side by side, with a class list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mdpseg.data.readers.complaints import complain
from mdpseg.data.readers.layout import MASK_SUFFIXES, files_below, side_by_side
from mdpseg.data.readers.own_classes import OwnClasses
from mdpseg.data.readers.pairs import Pair
from mdpseg.data.readers.subset import Subset
from mdpseg.data.readers.tiff import Bands
from mdpseg.errors import BadFileError

LAYOUT = "a folder of images and a folder of PNG (or TIFF) masks of the same names"


class Folder(OwnClasses):
    """Images and masks side by side, paired by name without suffix.

    Layout::

        images/0001.jpg         images/town/0002.png
        masks/0001.png          masks/town/0002.png

    Ids are ``0001``, ``town/0002``. Masks hold ids 0 to K-1 and 255 (ignored), as 8-bit grey or palette PNG or
    as TIFF; or, if the class list gives colors, those colors, as RGB or palette PNG. Samples are uint8 [3, H, W]
    images and uint8 [H, W] masks.

    Args:
        images: folder of JPEG, PNG, WebP or TIFF images.
        masks: folder of PNG or TIFF masks.
        classes: a text file (one name a line), a list of names, or a YAML file: a list of names, a list of
            ``{name: car, color: [64, 0, 128]}`` (or ``color: "#400080"``), or ``classes:`` with such a list
            beside ``ignore_color:``.
        subset: which part to read, a :class:`Subset` or its keys as a mapping.
        name: the dataset's name, for messages.
        catch_all: the class that collects whatever has no class here, if there is one.
        bands: what is taken of images that are TIFFs.

    Raises:
        UserError: a missing folder, no images, an image without a mask or the reverse (masks of other images
            may lie there if the subset has a list), a class list that is wrong, a catch-all that is not a
            class.
    """

    def __init__(
        self,
        images: str | Path,
        masks: str | Path,
        classes: str | Path | Sequence[Any],
        *,
        subset: Subset | Mapping[str, Any] | None = None,
        name: str = "folder",
        catch_all: str | None = None,
        bands: Bands | None = None,
    ) -> None:
        pairs = side_by_side(name, Path(images), Path(masks), LAYOUT, tiff=True)
        super().__init__(pairs, classes, name=name, catch_all=catch_all, subset=subset, bands=bands)
        if Subset.of(subset).list is None:
            _check_lone_masks(name, pairs, Path(images), Path(masks))


def _check_lone_masks(name: str, pairs: Sequence[Pair], images: Path, masks: Path) -> None:
    expected = {pair.mask for pair in pairs}
    lone = [mask for mask in files_below(masks, MASK_SUFFIXES) if mask not in expected]
    for mask in lone:
        complain(
            BadFileError(
                name,
                mask,
                "missing",
                f"mask {mask} has no image",
                f"expected one of that name in {images} ({len(lone)} masks lack one). Add the image or remove the mask",
            )
        )
