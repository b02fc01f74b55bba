"""Images without labels: a folder of them, or those of any dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from mdpseg.data.readers.layout import images_by_id
from mdpseg.data.readers.pairs import Sample
from mdpseg.data.readers.subset import Subset, choose
from mdpseg.data.readers.tiff import Bands, read_image_or_tiff

LAYOUT = "a folder of images"


class ImageSource(Protocol):
    """Where images come from: :class:`Images`, or a reader whose masks are of no interest."""

    name: str

    def __len__(self) -> int: ...

    def id(self, index: int) -> str:
        """The image's name inside its dataset."""

    def image(self, index: int) -> Tensor:
        """Reads the image, uint8 [3, H, W]."""

    def paths(self, index: int) -> tuple[Path, ...]:
        """Its file, and then those that come with it; none for an image that is made on the fly."""


@dataclass(frozen=True)
class ImageFile:
    """One image.

    Attributes:
        id: its name inside its dataset.
        image: its file.
    """

    id: str
    image: Path


class Images:
    """A folder of images alone; ids as in :class:`mdpseg.data.readers.Folder`.

    Args:
        folder: JPEG, PNG, WebP or TIFF images, also in folders inside it.
        subset: which part to read, a :class:`Subset` or its keys as a mapping.
        name: the dataset's name, for messages.
        bands: what is taken of TIFFs.

    Raises:
        UserError: a missing folder, no images, two images of one name, a wrong subset.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        subset: Subset | Mapping[str, Any] | None = None,
        name: str = "images",
        bands: Bands | None = None,
    ) -> None:
        self.name = name
        self._bands = bands or Bands()
        files = [ImageFile(key, image) for key, image in images_by_id(name, Path(folder), LAYOUT, tiff=True).items()]
        self.files = choose(name, files, subset)

    def __len__(self) -> int:
        return len(self.files)

    def id(self, index: int) -> str:
        """The image's name inside its dataset."""
        return self.files[index].id

    def image(self, index: int) -> Tensor:
        """Reads the image, uint8 [3, H, W]."""
        return read_image_or_tiff(self.files[index].image, self.name, self._bands)

    def paths(self, index: int) -> tuple[Path, ...]:
        """The image's file."""
        return (self.files[index].image,)


class Unlabelled:
    """A dataset's images as a reader that has no classes; masks, where there are any, are never opened.

    A sample's mask is 0 all over and says nothing, until augmentation writes 255 (ignored) outside the image.

    Args:
        source: the images.

    Attributes:
        name: the dataset's name.
        label_set: None: its masks hold no labels.
        classes: none.
        catch_all: None.
    """

    def __init__(self, source: ImageSource) -> None:
        self.source = source
        self.name = source.name
        self.label_set: str | None = None
        self.classes: list[str] = []
        self.catch_all: str | None = None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        image = self.source.image(index)  # [3, H, W]
        return Sample(image, torch.zeros(image.shape[1:], dtype=torch.uint8), self.source.id(index))

    def paths(self, index: int) -> tuple[Path, ...]:
        """The image's file, if it has one; never a mask's."""
        return self.source.paths(index)[:1]
