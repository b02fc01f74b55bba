import re
import sys

import numpy as np
import pytest
from PIL import Image

from mdpseg.data.readers import Folder, PairList
from mdpseg.data.readers.header import MOST_PIXELS
from mdpseg.data.readers.tiff import Bands, read_ids_or_tiff, read_image_or_tiff
from mdpseg.data.readers.unlabelled import Images
from mdpseg.errors import UserError

from .files import write_image, write_mask, write_tiff

rasterio = pytest.importorskip("rasterio")
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def scene(bands=5, dtype=np.uint16, most=4000):
    return np.random.default_rng(0).integers(0, most, (bands, 8, 10)).astype(dtype)


@pytest.mark.parametrize("more", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}])
def test_bands_and_range(tmp_path, more):
    pixels = scene()
    path = write_tiff(tmp_path / "a.tif", pixels, **more)
    found = read_image_or_tiff(path, "mine", Bands((5, 3, 1), (1000, 3000)))
    expected = np.clip((pixels[[4, 2, 0]] - 1000.0) / 2000 * 255, 0, 255).round()
    assert np.abs(found.numpy() - expected).max() <= 1  # float32 against float64 at .5
    assert (found.numpy() == expected).mean() > 0.99
    assert found.dtype.itemsize == 1


def test_eight_bits_are_as_they_are(tmp_path):
    pixels = scene(4, np.uint8, 256)
    path = write_tiff(tmp_path / "a.tif", pixels)
    np.testing.assert_array_equal(read_image_or_tiff(path, "mine", Bands()).numpy(), pixels[:3])
    grey = write_tiff(tmp_path / "b.tif", pixels[:1])
    np.testing.assert_array_equal(read_image_or_tiff(grey, "mine", Bands()).numpy(), pixels[[0, 0, 0]])


def test_floats_without_value_are_black(tmp_path):
    pixels = scene(3, np.float32)
    pixels[:, 0, 0] = np.nan, np.inf, -np.inf
    found = read_image_or_tiff(write_tiff(tmp_path / "a.tif", pixels), "mine", Bands(None, (0, 4000)))
    assert found[:, 0, 0].tolist() == [0, 255, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_masks(tmp_path, dtype):
    ids = np.resize([0, 1, 2, 255], (1, 8, 10)).astype(dtype)
    path = write_tiff(tmp_path / "a.tif", ids)
    np.testing.assert_array_equal(read_ids_or_tiff(path, "mine").numpy(), ids[0])


def folder(root):
    write_tiff(root / "images/a.tif", scene())
    write_tiff(root / "masks/a.tiff", np.resize([0, 1, 255], (1, 8, 10)).astype(np.uint8))
    write_image(root / "images/b.png")
    write_mask(root / "masks/b.png", [1, 0])
    (root / "list.csv").write_text("images/a.tif,masks/a.tiff\nimages/b.png,masks/b.png\n")
    return root


def test_readers_take_them(tmp_path):
    root = folder(tmp_path)
    bands = Bands((1, 2, 3), (0, 4000))
    for data in (
        Folder(root / "images", root / "masks", ["x", "y"], bands=bands),
        PairList(root / "list.csv", "", ["x", "y"], bands=bands),
    ):
        assert len(data) == 2
        assert data[0].image.shape == (3, 8, 10)
        assert data[0].mask.flatten()[:3].tolist() == [0, 1, 255]
        assert data[1].mask.flatten()[:2].tolist() == [1, 0]
    bare = Images(root / "images", bands=bands)
    assert bare.image(0).equal(data[0].image)


@pytest.mark.parametrize(
    "pixels, bands, said",
    [
        (scene(), Bands(), r"values of uint16; say which .* tiff: \{range"),
        (scene(), Bands((1, 2, 6), (0, 1)), r"has 5 bands, and tiff.bands names band 6; .*bands: \[1, 2, 3\]"),
        (scene(2, np.uint8, 255), Bands(), r"has 2 bands; name three of 1 to 2 .*bands: \[1, 2, 2\]"),
        (scene(1, np.uint8, 255), Bands((3, 2, 1)), r"has 1 band, and tiff.bands names band 3; .*bands: \[1, 1, 1\]"),
        (scene(3, np.complex64), Bands(None, (0, 1)), "complex values"),
    ],
)
def test_images_that_need_a_setting(tmp_path, pixels, bands, said):
    with pytest.raises(UserError, match=said):
        read_image_or_tiff(write_tiff(tmp_path / "a.tif", pixels), "mine", bands)


@pytest.mark.parametrize("count, wrong", [(2, None), (5, (1, 2, 6)), (1, (3, 2, 1))])
def test_the_suggested_bands_are_read(tmp_path, count, wrong):
    path = write_tiff(tmp_path / "a.tif", scene(count, np.uint8, 255))
    with pytest.raises(UserError) as error:
        read_image_or_tiff(path, "mine", Bands(wrong))
    suggested = re.search(r"bands: \[(\d), (\d), (\d)\]", str(error.value))
    assert read_image_or_tiff(path, "mine", Bands(tuple(map(int, suggested.groups())))).shape == (3, 8, 10)


@pytest.mark.parametrize(
    "pixels, said",
    [
        (scene(3, np.uint8, 255), r"3 band\(s\)"),
        (scene(1, np.float32), "float32, but one band of whole ids"),
        (np.full((1, 8, 10), 256, np.uint16), "has id 256; ids must be 0 to 255"),
        (np.full((1, 8, 10), -1, np.int16), "has id -1"),
    ],
)
def test_masks_that_are_refused(tmp_path, pixels, said):
    with pytest.raises(UserError, match=said):
        read_ids_or_tiff(write_tiff(tmp_path / "a.tif", pixels), "mine")


def test_ids_without_a_class(tmp_path):
    root = folder(tmp_path)
    data = Folder(root / "images", root / "masks", ["x"], bands=Bands(None, (0, 4000)))
    with pytest.raises(UserError, match=r"a.tiff has id 1; its ids must be 0, 255"):
        data[0]


def test_damaged_and_huge_files(tmp_path):
    path = write_tiff(tmp_path / "a.tif", scene(3, np.uint8, 256), compress="deflate")
    content = path.read_bytes()
    for broken in (content[:100], content[:8], content[: len(content) // 2]):
        path.write_bytes(broken)
        with pytest.raises(UserError, match=r"a.tif is truncated or damaged"):
            read_image_or_tiff(path, "mine", Bands())
    with rasterio.open(path, "w", driver="GTiff", width=50_000, height=50_000, count=1, dtype="uint8", sparse_ok=True):
        pass
    assert path.stat().st_size < 2**20
    for read in (lambda: read_image_or_tiff(path, "mine", Bands()), lambda: read_ids_or_tiff(path, "mine")):
        with pytest.raises(UserError, match=f"50000x50000 pixels, and at most {MOST_PIXELS} are read"):
            read()


def test_a_block_that_claims_too_much(tmp_path):
    path = tmp_path / "a.tif"
    shape = {"width": 10, "height": 10, "count": 64, "dtype": "uint8", "interleave": "pixel"}
    block = {"tiled": True, "blockxsize": 8192, "blockysize": 8192, "sparse_ok": True}
    with rasterio.open(path, "w", driver="GTiff", **shape, **block):
        pass
    with pytest.raises(UserError, match="pixels, and at most"):
        read_image_or_tiff(path, "mine", Bands())


def test_other_readers_say_what_they_read(tmp_path):
    from mdpseg.data.readers.decode import read_image

    with pytest.raises(UserError, match="is not a JPEG, PNG or WebP image"):
        read_image(write_tiff(tmp_path / "a.tif", scene(3, np.uint8, 255)), "mine")


def test_the_extra_is_named(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    Image.fromarray(np.zeros((8, 10), np.uint8)).save(path)
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(UserError, match=r"pip install \"mdpseg\[tiff\]\""):
        read_ids_or_tiff(path, "mine")


@pytest.mark.parametrize("dtype, bands", [(np.uint16, Bands(None, (0, 3000))), (np.uint8, Bands())])
def test_what_the_file_says_is_no_value_is_black(tmp_path, dtype, bands):
    pixels, most = scene(3, dtype, 200), np.iinfo(dtype).max
    without = write_tiff(tmp_path / "a.tif", pixels)
    pixels[1, 2], pixels[:, 4, 5] = most, most
    found = read_image_or_tiff(write_tiff(tmp_path / "b.tif", pixels, nodata=most), "mine", bands)
    expected = read_image_or_tiff(without, "mine", bands)
    expected[1, 2], expected[:, 4, 5] = 0, 0
    assert found.equal(expected)
