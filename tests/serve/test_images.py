import io

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps, PngImagePlugin

from mdpseg.data.image import as_pixels
from mdpseg.serve.images import RefusedError, open_image
from tests.serving import png, world_image


@pytest.mark.parametrize("told", [False, True])  # another library of the process told Pillow to take half images
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_half_an_image_is_refused(kind, told, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", told)
    content = png(world_image("fine"), kind)
    assert open_image(content).size == Image.open(io.BytesIO(content)).size
    with pytest.raises(RefusedError, match="truncated or damaged") as refused:
        open_image(content[: len(content) // 2])
    assert refused.value.status == 422
    assert told == ImageFile.LOAD_TRUNCATED_IMAGES


def named(**texts: str) -> PngImagePlugin.PngInfo:
    """Texts of a PNG."""
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    return info


@pytest.mark.parametrize(
    "kind, more",
    [
        ("PNG", {"exif": b"Exif\0\0garbage!garbage!"}),
        ("WEBP", {"exif": b"Exif\0\0garbage!garbage!"}),
        ("PNG", {"exif": b"Exif\0\0II*\0"}),
        ("PNG", {"pnginfo": named(exif="no block")}),
        ("PNG", {"pnginfo": named(**{"Raw profile type exif": "\nexif\n4\nnohex"})}),
    ],
)
def test_a_broken_exif_block_turns_nothing(kind, more):
    image = world_image("fine")
    opened = open_image(png(image, kind, **more))
    np.testing.assert_array_equal(opened, open_image(png(image, kind)))
    assert as_pixels(opened).shape == (3, 64, 96)


@pytest.mark.parametrize("orientation", range(10))  # 1 to 8 have a meaning
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_photograph_is_turned_once(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = png(world_image("fine"), kind, exif=exif)
    opened = open_image(content)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    np.testing.assert_array_equal(opened, expected)
    np.testing.assert_array_equal(as_pixels(opened).permute(1, 2, 0), expected)
