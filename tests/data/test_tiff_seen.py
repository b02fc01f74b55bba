"""Bands and range of TIFFs, as ``mdpseg init`` writes them, against numpy's own reading."""

import numpy as np
import pytest

from mdpseg.config import PretrainConfig
from mdpseg.data.open import open_dataset
from mdpseg.data.start import start
from mdpseg.data.tiff_seen import look_at_bands
from mdpseg.errors import UserError
from mdpseg.recipe import load
from tests.data.readers.files import write_mask, write_tiff

rasterio = pytest.importorskip("rasterio")
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def scene(bands=5, dtype=np.uint16, most=4000, seed=0):
    return np.random.default_rng(seed).integers(0, most, (bands, 40, 50)).astype(dtype)


@pytest.mark.parametrize(
    "bands, rgb, ranged",
    [
        (scene(2, np.uint8, 256), [1, 1, 2], False),
        (scene(4, np.uint8, 256), [1, 2, 3], False),
        (scene(1), None, True),
        (scene(5), [1, 2, 3], True),
        (scene(3, np.float32), None, True),
    ],
)
def test_the_setting(tmp_path, bands, rgb, ranged):
    found, remark = look_at_bands([write_tiff(tmp_path / "a.tif", bands)], "mine")
    assert found.get("bands") == rgb
    assert ("range" in found) == ranged
    if ranged:
        assert found["range"] == pytest.approx(np.percentile(bands[:3], [1, 99]), rel=0.006)  # three digits
    assert f"{len(bands)} band" in remark
    assert "correct `tiff`" in remark


@pytest.mark.parametrize("bands", [1, 3])
def test_eight_bits_of_one_or_three_bands_need_none(tmp_path, bands):
    assert look_at_bands([write_tiff(tmp_path / "a.tif", scene(bands, np.uint8, 256))], "mine") is None
    assert look_at_bands([tmp_path / "a.jpg"], "mine") is None


def test_colours_that_the_file_names(tmp_path):
    path = write_tiff(tmp_path / "a.tif", scene(4, most=100))
    kinds = rasterio.enums.ColorInterp
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [kinds.blue, kinds.green, kinds.red, kinds.undefined]
    assert look_at_bands([path], "mine")[0]["bands"] == [3, 2, 1]


def test_pixels_without_a_value_do_not_count(tmp_path):
    bands = scene(1, np.float32)
    bands[:, :30] = np.nan
    bands[:, 30:35] = -9999
    setting, _ = look_at_bands([write_tiff(tmp_path / "a.tif", bands, nodata=-9999)], "mine")
    assert 0 < setting["range"][0] < setting["range"][1] < 4000


def test_an_even_image_still_has_a_range(tmp_path):
    setting, _ = look_at_bands([write_tiff(tmp_path / "a.tif", np.full((3, 8, 8), 7, np.uint16))], "mine")
    assert setting["range"] == [7, 8]


@pytest.mark.parametrize(
    "dtype, low, high",
    [
        (np.uint16, 30006, 30040),
        (np.uint16, 0, 65535),
        (np.int16, -20, 35),
        (np.float32, 0.12, 0.13),
        (np.float64, 0, 1e-5),
    ],
)
def test_the_range_keeps_values_apart_that_lie_close_together(tmp_path, dtype, low, high):
    values = np.linspace(low, high, 64).astype(dtype).reshape(1, 8, 8)
    setting, remark = look_at_bands([write_tiff(tmp_path / "a.tif", values)], "mine")
    black, white = setting["range"]
    inner = np.percentile(values, [1, 99])
    assert black <= inner[0] < inner[1] <= white  # nothing between is lost
    assert white - black < 1.03 * (inner[1] - inner[0])  # and little is given away
    assert f"values {black} and {white} (" in remark


@pytest.mark.parametrize(
    "values", [[1e6, np.nextafter(1e6, 2e6)], [0, 5e-324], [-1.7e308, 1.7e308], [1e300, 1e300], [-0.0, 0]]
)
def test_any_finite_values_have_a_range(tmp_path, values):
    bands = np.repeat(values, 32).reshape(1, 8, 8)
    setting, _ = look_at_bands([write_tiff(tmp_path / "a.tif", bands)], "mine")
    assert setting["range"][0] < setting["range"][1]


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0 and no more")
    with pytest.raises(UserError, match=r"mine: .*a\.tif is truncated or damaged"):
        look_at_bands([tmp_path / "a.tif"], "mine")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("layout", ["folder", "list"])
def test_init_writes_the_setting(tmp_path, suffix, layout):
    root = tmp_path / "fields"
    for number in range(3):
        write_tiff(root / "images" / f"{number}.tif", scene(seed=number))
        ids = np.random.default_rng(number).integers(0, 3, (1, 40, 50)).astype(np.uint8)
        if suffix == ".tif":
            write_tiff(root / "masks" / f"{number}.tif", ids)
        else:
            write_mask(root / "masks" / f"{number}.png", ids[0])
    if layout == "list":
        lines = [f"images/{number}.tif,masks/{number}{suffix}\n" for number in range(3)]
        (root / "train.csv").write_text("".join(lines))
    start([root], tmp_path / "recipe.yaml")
    assert "  # The TIFFs have 5 bands of uint16, " in (tmp_path / "recipe.yaml").read_text()
    (entry,) = load(tmp_path / "recipe.yaml", PretrainConfig).datasets
    assert (entry.reader, entry.tiff.bands) == (layout, (1, 2, 3))
    reader = open_dataset(entry)
    assert reader.classes == ["class_0", "class_1", "class_2"]
    shown = reader[0].image.float()
    assert 100 < shown.mean() < 155  # neither black nor white
