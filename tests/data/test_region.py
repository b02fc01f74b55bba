import io

import numpy as np
import pytest
from PIL import ExifTags, Image

from mdpseg.data.region import marked

SHOWN = np.array([[True, False, True], [False, True, True]])


def stored(picture, **options):
    """As it is read from a file."""
    file = io.BytesIO()
    picture.save(file, "PNG", **options)
    return Image.open(io.BytesIO(file.getvalue()))


def grey(dtype=np.uint8, value=1):
    return Image.fromarray((SHOWN * value).astype(dtype))


def palette():
    """Index 0 is grey, index 1 is black."""
    picture = Image.fromarray(SHOWN.astype(np.uint8), mode="P")
    picture.putpalette([9, 9, 9, 0, 0, 0])
    return picture


def layer():
    """White everywhere, but seen where it is marked only."""
    return Image.merge("RGBA", [Image.new("L", (3, 2), 255)] * 3 + [grey(value=255)])


@pytest.mark.parametrize(
    "picture",
    [
        grey(),
        grey(value=200),
        grey(np.uint16, 40000),
        Image.fromarray(SHOWN),
        grey(value=255).convert("RGB"),
        Image.merge("LA", (grey(), Image.new("L", (3, 2), 255))),
        Image.merge("LA", (Image.new("L", (3, 2), 255), grey())),
        palette(),
        layer(),
    ],
    ids=lambda picture: picture.mode,
)
def test_neither_zero_nor_transparent_is_marked(picture):
    assert (marked(stored(picture)) == SHOWN).all()


def test_transparent_colours_of_a_palette_are_not_marked():
    picture = Image.fromarray(2 - SHOWN.astype(np.uint8), mode="P")  # 1 where marked, 2 elsewhere
    picture.putpalette([0, 0, 0, 9, 9, 9, 9, 9, 9])
    assert (marked(stored(picture, transparency=2)) == SHOWN).all()


def test_a_mask_that_lies_on_its_side_is_turned():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    assert (marked(stored(grey().transpose(Image.Transpose.ROTATE_90), exif=exif)) == SHOWN).all()
