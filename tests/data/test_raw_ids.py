"""Masks of readers whose classes nobody has named."""

import numpy as np
import pytest
from PIL import Image

from mdpseg.data.check import check
from mdpseg.data.raw_ids import ANY, RawIds
from mdpseg.data.readers import Folder
from mdpseg.data.readers.complaints import gather
from mdpseg.errors import BadFileError
from tests.data.readers.files import write_image, write_mask


def folder(root):
    for seed, (key, ids) in enumerate({"a": [0, 3, 255], "b": [254, 7]}.items()):
        write_image(root / "images" / f"{key}.jpg", seed=seed)
        write_mask(root / "masks" / f"{key}.png", ids)
    return RawIds(Folder(root / "images", root / "masks", ANY, name="mine"))


def test_every_id_stays_as_it_is(tmp_path):
    reader = folder(tmp_path)
    found = [np.unique(reader.read_raw_ids(pair.mask)).tolist() for pair in reader.pairs]
    assert found == [[0, 3, 255], [7, 254]]


def test_a_damaged_mask_is_complained_about(tmp_path):
    reader = folder(tmp_path)
    (tmp_path / "masks/b.png").write_text("hello")
    with pytest.raises(BadFileError, match="is not a PNG"):
        reader.read_raw_ids(tmp_path / "masks/b.png")
    with gather() as faults:
        assert reader.read_raw_ids(tmp_path / "masks/b.png").unique().tolist() == [255]
    assert [fault.file for fault in faults] == [tmp_path / "masks/b.png"]


def test_a_folder_without_class_list_is_checked_in_spite_of_it(tmp_path):
    folder(tmp_path)
    write_mask(tmp_path / "masks/a.png", [0, 1])
    (tmp_path / "masks/b.png").write_text("hello")
    report = check(tmp_path, workers=0)
    assert [(problem.kind, problem.file) for problem in report.problems] == [("format", str(tmp_path / "masks/b.png"))]
    assert report.parts[0].reader.classes == ["class_0", "class_1"]


def coloured(root, bad):
    """Three masks of colors without a class list, one of them bad."""
    for seed, key in enumerate("abc"):
        write_image(root / "images" / f"{key}.jpg", seed=seed)
        pixels = np.zeros((8, 10, 3), np.uint8)
        pixels[:4] = 255, 0, 40 * seed
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(root / "masks" / f"{key}.png")
    (root / "masks" / f"{bad}.png").write_bytes(b"\x89PNG broken")


@pytest.mark.parametrize("bad", ["a", "b"])
def test_among_masks_of_colors_a_bad_one_is_complained_about(bad, tmp_path):
    coloured(tmp_path, bad)
    report = check(tmp_path, workers=0)
    assert {problem.file for problem in report.problems} == {str(tmp_path / "masks" / f"{bad}.png")}
    assert len(report.parts[0].reader.classes) == 3  # black, and one of each good mask


def test_a_folder_s_name_does_not_make_colors_of_its_masks(tmp_path):
    folder(tmp_path / "RGB")
    write_mask(tmp_path / "RGB/masks/a.png", [0, 1])
    Image.fromarray(np.zeros((8, 10), np.uint16)).save(tmp_path / "RGB/masks/b.png")
    report = check(tmp_path / "RGB", workers=0)
    assert [problem.wrong for problem in report.problems] == [
        f"mask {tmp_path / 'RGB/masks/b.png'} is a 16-bit grey PNG, but 8-bit ids are expected"
    ]
