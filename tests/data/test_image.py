import numpy as np
import pytest
from PIL import Image

from mdpseg.data.image import as_pixels, bands_of_recipe
from mdpseg.data.readers.tiff import Bands
from mdpseg.errors import UserError
from tests import tiny

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")

X, Y = {"bands": [3, 2, 1], "range": [0, 2550]}, {"range": [0, 100]}


def scene(dtype=np.uint16, most=2550, bands=4):
    return np.random.default_rng(0).integers(0, most, (bands, 8, 10)).astype(dtype)


@pytest.fixture
def write_tiff():
    pytest.importorskip("rasterio")
    from tests.data.readers.files import write_tiff

    return write_tiff


def test_a_tiff_is_read_by_its_bands_and_range(write_tiff, tmp_path):
    pixels = scene()
    path = write_tiff(tmp_path / "a.tif", pixels)
    found = as_pixels(path, Bands((3, 2, 1), (0, 2550))).numpy()
    assert np.abs(found - pixels[[2, 1, 0]] / 10).max() <= 0.51
    assert as_pixels(str(path), Bands(None, (0, 2550))).shape == (3, 8, 10)


def test_a_tiff_of_8_bits_needs_no_setting_and_is_not_turned(write_tiff, tmp_path):
    pixels = scene(np.uint8, 256, 3)
    path = write_tiff(tmp_path / "a.jpg", pixels)  # its content says what it is
    with Image.open(path) as picture:
        picture.save(tmp_path / "turned.tif", tiffinfo={274: 6})
    for one in (path, tmp_path / "turned.tif"):
        np.testing.assert_array_equal(as_pixels(one).numpy(), pixels)


@pytest.mark.parametrize(
    "bands, said",
    [
        (None, r"image: .*a\.tif has values of uint16; say .*range.*setting of predict or .*from_run.*recipe\.yaml"),
        (Bands((4, 5, 6), (0, 1)), r"has 4 bands, and tiff\.bands names band 6; .*\[1, 2, 3\].*setting of predict"),
    ],
)
def test_what_to_set_is_told(bands, said, write_tiff, tmp_path):
    with pytest.raises(UserError, match=said):
        as_pixels(write_tiff(tmp_path / "a.tif", scene()), bands)


def folders(*settings):
    """Entries of datasets with these ``tiff``."""
    return [
        {"name": f"d{number}", "reader": "folder", "path": "x", **({"tiff": tiff} if tiff else {})}
        for number, tiff in enumerate(settings)
    ]


def finetuned_on(train, val):
    return tiny.finetuning("out", train=folders(train)[0], val=folders(val)[0])


@pytest.mark.parametrize(
    "recipe, expected",
    [
        (tiny.pretraining("out", datasets=folders(X)), Bands((3, 2, 1), (0, 2550))),
        (tiny.pretraining("out", datasets=[*folders(None, Y), tiny.toy("fine")]), Bands(None, (0, 100))),
        (tiny.pretraining("out", datasets=folders(X, X)), Bands((3, 2, 1), (0, 2550))),
        (tiny.pretraining("out", datasets=folders(X, Y)), Bands()),
        (finetuned_on(Y, None), Bands(None, (0, 100))),
        (finetuned_on(X, Y), Bands()),
        (tiny.finetuning("out", train=folders(Y)[0], val=None), Bands(None, (0, 100))),
        (tiny.pretraining("out"), Bands()),
        ({"out": "x"}, Bands()),
        ({**tiny.pretraining("out", datasets=folders(X)), "of_another_version": 1}, Bands()),
    ],
)
def test_a_recipe_s_only_setting_is_taken(recipe, expected, tmp_path):
    assert bands_of_recipe(tiny.write_recipe(tmp_path / "recipe.yaml", recipe)) == expected


def test_no_recipe_and_a_damaged_one_say_nothing(tmp_path):
    assert bands_of_recipe(tmp_path / "recipe.yaml") == Bands()
    (tmp_path / "recipe.yaml").write_text("{[")
    assert bands_of_recipe(tmp_path / "recipe.yaml") == Bands()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_broken_note_of_the_camera_is_no_fault_of_the_pixels(kind, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    path = tmp_path / f"a.{kind.lower()}"
    Image.fromarray(pixels).save(path, kind, exif=b"Exif\0\0garbage!garbage!", lossless=True)
    assert np.array_equal(as_pixels(path).permute(1, 2, 0).numpy(), pixels)
    with Image.open(path) as picture:
        assert np.array_equal(as_pixels(picture).permute(1, 2, 0).numpy(), pixels)
