import numpy as np
import pytest
from PIL import Image

from mdpseg.data import inspect as drawing
from mdpseg.data.inspect import CELL, inspect
from mdpseg.errors import UserError
from tests import tiny
from tests.data.readers.files import original, write_image, write_lines, write_mask


def test_the_sheet_of_a_recipe(tmp_path, mdpseg_command):
    entry = tiny.image_folder(tmp_path / "d", ids=(0, 0, 0, 1), count=5)
    bare = {**entry, "name": "bare", "unlabelled": True}
    recipe = tiny.write_recipe(
        tmp_path / "r.yaml", tiny.pretraining(tmp_path / "run", datasets=[entry, tiny.toy("fine"), bare])
    )
    code, said, _ = mdpseg_command("data", "inspect", recipe, "--out", tmp_path / "sheet.png", "--images", 3)
    assert code == 0
    assert "mine (train): 5 images, 3 classes; 2 classes in the sample of 3 images, 0.0% is ignored" in said
    assert "bare (train): 5 images, 0 classes, without labels" in said
    share = float(next(line for line in said.splitlines() if line.startswith("  a ")).split()[1].rstrip("%"))
    assert 72 < share < 78  # a quarter is class b
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 6 * CELL
        assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 1000


def test_a_sample_is_the_seeds(tmp_path):
    tiny.image_folder(tmp_path / "d", count=8)
    entry = f"{{name: m, reader: folder, path: {tmp_path / 'd'}}}"
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        inspect(entry, tmp_path / f"{name}.png", images=3, seed=seed)
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c


def test_ignored_pixels_stay_as_they_are(tmp_path):
    tiny.image_folder(tmp_path / "d", ids=(255,), count=1)
    (looked,) = inspect(f"{{name: m, reader: folder, path: {tmp_path / 'd'}}}", tmp_path / "a.png")
    assert looked.shares.ignored() == 1
    with Image.open(tmp_path / "d" / "images" / "train" / "0.jpg") as image:
        assert np.abs(np.asarray(looked.cells[0]).max() - np.asarray(image).max()) < 20
        assert np.array_equal(np.asarray(looked.cells[0].crop((86, 90, 134, 130))), np.asarray(image))


def test_a_folder_that_init_knows(tmp_path, mdpseg_command):
    code, said, _ = mdpseg_command("data", "inspect", original("voc2012"), "--out", tmp_path / "sheet.webp")
    assert code == 0
    assert "voc2012 (train): 3 images, 21 classes" in said
    assert "voc2012 (val): 3 images, 21 classes" in said
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.webp"]


def test_what_of_a_folder_is_not_shown_is_told(tmp_path, mdpseg_command):
    tiny.image_folder(tmp_path / "all" / "d")
    write_image(tmp_path / "all" / "d" / "images" / "loose.jpg")
    (tmp_path / "all" / "odd").mkdir()
    code, said, _ = mdpseg_command("data", "inspect", tmp_path / "all", "--out", tmp_path / "sheet.png")
    assert code == 0
    assert f"{tmp_path / 'all' / 'odd'}: passed over, folders none, and 0 files\n" in said
    assert f"Left out: 1 files in {tmp_path / 'all/d/images'} itself, such as loose.jpg; no split has them." in said


@pytest.mark.parametrize("suffix, side", [(".webp", 16383), (".jpg", 65500)])
def test_a_picture_too_large_for_its_format_is_refused(tmp_path, monkeypatch, suffix, side):
    tiny.image_folder(tmp_path / "d", count=1)
    entry, out = f"{{name: m, reader: folder, path: {tmp_path / 'd'}}}", tmp_path / "new" / f"sheet{suffix}"
    monkeypatch.setattr(drawing, "_sheet", lambda looked: Image.new("RGB", (4, side + 1)))
    with pytest.raises(
        UserError, match=rf"4x{side + 1} pixels, and .* at most {side} a side; set --images .*sheet\.png"
    ):
        inspect(entry, out)
    assert not out.parent.exists()
    monkeypatch.setattr(drawing, "_sheet", lambda looked: Image.new("RGB", (4, side)))
    inspect(entry, out)
    with Image.open(out) as sheet:
        assert sheet.size == (4, side)


def test_a_folder_takes_no_settings(tmp_path, mdpseg_command):
    tiny.image_folder(tmp_path / "d")
    code, _, err = mdpseg_command("data", "inspect", tmp_path / "d", "data_root=x", "--out", tmp_path / "a.png")
    assert code == 2
    assert "data_root=x is a setting of a recipe" in err


def test_a_folder_of_a_list_without_class_names(tmp_path, mdpseg_command):
    """The class list that ``init`` would write is used, and not written."""
    for key in "ab":
        write_image(tmp_path / "d" / "photos" / f"{key}.jpg")
        write_mask(tmp_path / "d" / "labels" / f"{key}_m.png", [0, 1])
    write_lines(tmp_path / "d" / "train.txt", [f"photos/{key}.jpg labels/{key}_m.png" for key in "ab"])
    code, said, _ = mdpseg_command("data", "inspect", tmp_path / "d", "--out", tmp_path / "sheet.png")
    assert code == 0
    assert "d (train): 2 images, 2 classes; 2 classes in the sample of 2 images" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "sheet.png"]


def test_what_cannot_be_inspected(tmp_path, mdpseg_command):
    for arguments in ([tmp_path], ["nowhere.yaml"], [tmp_path, "--out", "sheet.txt"]):
        code, _, err = mdpseg_command("data", "inspect", *arguments)
        assert code == 2
        assert err.count("\n") == 1
