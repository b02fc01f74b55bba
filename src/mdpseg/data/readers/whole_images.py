"""Half a file is an error, not an image whose rest is grey."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from PIL import ImageFile


@contextmanager
def whole_images_only() -> Generator[None, None, None]:
    """While it lasts, Pillow refuses truncated files, whatever another library of the process has told it."""
    told, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = told
