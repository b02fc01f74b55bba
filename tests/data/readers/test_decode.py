import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from mdpseg.data.readers.decode import read_colours, read_ids, read_image
from mdpseg.errors import UserError
from tests import hostile

from .files import write_image, write_mask


def noise(height=20, width=30):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_png_image_is_exact(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", "d")
    assert image.dtype == torch.uint8
    assert image.is_contiguous()
    np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), noise())


@pytest.mark.parametrize(
    "suffix, mode",
    [
        ("jpg", "RGB"),
        ("jpg", "L"),
        ("png", "L"),
        ("png", "P"),
        ("png", "RGBA"),
        ("png", "LA"),
        ("webp", "RGB"),
    ],
)
def test_images_of_every_mode_become_rgb(tmp_path, suffix, mode):
    path = write_image(tmp_path / f"a.{suffix}", 20, 30, mode=mode)
    expected = np.asarray(Image.open(path).convert("RGB")).astype(int)
    image = read_image(path, "d").permute(1, 2, 0).numpy()
    assert image.shape == (20, 30, 3)
    assert np.abs(image - expected).max() <= (0 if suffix == "png" else 3)


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    colour = Image.new("RGB", (32, 32), (200, 40, 90))
    colour.convert("CMYK").save(tmp_path / "a.jpg")
    image = read_image(tmp_path / "a.jpg", "d").float().mean((1, 2))
    np.testing.assert_allclose(image.numpy(), [200, 40, 90], atol=4)


def test_exif_orientation_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(20, 30)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg", "d").shape == (3, 20, 30)


def test_the_content_decides_not_the_suffix(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg", "d").permute(1, 2, 0).numpy(), noise())


@pytest.mark.parametrize("colours", [2, 4, 16, 256])  # Pillow stores these with 1, 2, 4 and 8 bits a pixel
def test_palette_masks_are_read_as_indices(tmp_path, colours):
    ids = np.resize(np.arange(colours), (20, 31)).astype(np.uint8)
    mask = Image.fromarray(ids, "P")
    mask.putpalette(np.random.default_rng(1).permutation(768).astype(np.uint8)[: 3 * colours].tobytes())
    mask.save(tmp_path / "a.png", bits={2: 1, 4: 2, 16: 4, 256: 8}[colours])
    assert (tmp_path / "a.png").read_bytes()[24] == {2: 1, 4: 2, 16: 4, 256: 8}[colours]
    np.testing.assert_array_equal(read_ids(tmp_path / "a.png", "d").numpy(), ids)


def test_grey_masks_are_read_as_they_are(tmp_path):
    ids = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(read_ids(write_mask(tmp_path / "a.png", ids), "d").numpy(), ids)


def test_colours_of_rgb_and_palette_masks(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "rgb.png")
    palette = Image.fromarray(noise()).quantize(16)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_colours(tmp_path / "rgb.png", "d").permute(1, 2, 0).numpy(), noise())
    np.testing.assert_array_equal(
        read_colours(tmp_path / "palette.png", "d").permute(1, 2, 0).numpy(),
        np.asarray(palette.convert("RGB")),
    )


@pytest.mark.parametrize("told", [False, True])  # another library of the process told Pillow to take half images
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_truncated_image(tmp_path, suffix, keep, told, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", told)
    path = write_image(tmp_path / f"cut.{suffix}", 64, 64)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(UserError, match=rf"voc: .*cut\.{suffix} is truncated or damaged.*re-copy or remove it"):
        read_image(path, "voc")
    assert told == ImageFile.LOAD_TRUNCATED_IMAGES


def test_jpeg_without_its_last_two_bytes_and_with_a_tail_of_zeros(tmp_path):
    path = write_image(tmp_path / "cut.jpg", 64, 64)
    content = path.read_bytes()
    for damaged in (content[:-2], content[:-2000] + bytes(2000)):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"cut\.jpg is truncated"):
            read_image(path, "voc")


@pytest.mark.parametrize("read", [read_image, read_ids, read_colours])
@pytest.mark.parametrize("damage", ["half", "zeros", "short data", "rubbish"])
def test_damaged_png_is_an_error_and_not_the_end_of_the_process(tmp_path, read, damage):
    path = write_mask(tmp_path / "bad.png", noise()[:, :, 0])
    content = path.read_bytes()
    if damage == "half":
        content = content[: len(content) // 2]
    elif damage == "zeros":
        content = content[: len(content) // 2] + bytes(len(content) - len(content) // 2)
    else:  # checksums hold, the compressed stream does not
        data = zlib.compress(noise()[:, :, 0].tobytes())[:300] if damage == "short data" else b"\x78\x9crubbish rubbish"
        header = struct.pack(">IIBBBBB", 30, 20, 8, 0, 0, 0, 0)
        content = hostile.png(header, data)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.png is truncated or damaged .*re-copy or remove it"):
        read(path, "d")


def test_empty_missing_and_foreign_files(tmp_path):
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(UserError, match=r"empty\.jpg is an empty file"):
        read_image(tmp_path / "empty.jpg", "d")
    with pytest.raises(UserError, match=r"gone\.png cannot be read \(No such file"):
        read_ids(tmp_path / "gone.png", "d")
    Image.fromarray(noise()).save(tmp_path / "a.bmp")
    with pytest.raises(UserError, match=r"a\.bmp is not a JPEG, PNG or WebP image"):
        read_image(tmp_path / "a.bmp", "d")
    write_image(tmp_path / "mask.jpg")
    with pytest.raises(UserError, match=r"mask\.jpg is not a PNG file"):
        read_ids(tmp_path / "mask.jpg", "d")


@pytest.mark.parametrize("kind", ["GIF", "BMP"])
def test_a_picture_of_another_kind_is_named_and_can_be_converted_as_said(kind, tmp_path):
    path = tmp_path / "it's a cat.jpg"
    Image.fromarray(noise()).save(path, kind)
    with Image.open(path) as picture:
        expected = np.array(picture.convert("RGB"))
    with pytest.raises(UserError, match=rf"is not a JPEG, PNG or WebP image, but a {kind}; convert it: ") as error:
        read_image(path, "d")
    exec(str(error.value).partition("convert it: ")[2].removesuffix("."))
    np.testing.assert_array_equal(read_image(path, "d").permute(1, 2, 0).numpy(), expected)


def test_a_tiff_is_named(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "a.jpg", "TIFF")
    with pytest.raises(UserError, match="but a TIFF; convert it to PNG of 8 bits; the readers folder and list"):
        read_image(tmp_path / "a.jpg", "d")


@pytest.mark.parametrize("content", [b"BM", b"BMW and other words", b"GIF", b"II*", b"text"])
def test_no_kind_is_made_up(content, tmp_path):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.jpg is not a JPEG, PNG or WebP image; convert it, re-copy it"):
        read_image(tmp_path / "a.jpg", "d")


def test_masks_that_hold_no_ids(tmp_path):
    write_image(tmp_path / "rgb.png")
    with pytest.raises(UserError, match=r"rgb\.png holds colors \(RGB\).*YAML class list"):
        read_ids(tmp_path / "rgb.png", "d")
    Image.fromarray(np.full((4, 5), 26001, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UserError, match=r"deep\.png is a 16-bit grey PNG.*labelIds"):
        read_ids(tmp_path / "deep.png", "d")
    Image.new("1", (5, 4)).save(tmp_path / "bit.png")  # is white 1 or 255? nobody says
    with pytest.raises(UserError, match=r"bit\.png is a 1-bit grey PNG"):
        read_ids(tmp_path / "bit.png", "d")


def test_masks_that_hold_no_colours(tmp_path):
    write_mask(tmp_path / "grey.png", [0, 1])
    with pytest.raises(UserError, match=r"grey\.png is 8-bit grey, but the class list gives colors"):
        read_colours(tmp_path / "grey.png", "d")


def test_image_of_16_bits_grey(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 5), 30000, dtype=np.uint16)).save(buffer, "PNG")
    (tmp_path / "deep.png").write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match=r"deep\.png is a 16-bit grey image; convert"):
        read_image(tmp_path / "deep.png", "d")
