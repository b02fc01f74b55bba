import numpy as np
import pytest

from mdpseg.data.readers import COCOStuff
from mdpseg.errors import UserError

from .files import original, raw_mask, write_image, write_mask

COUNTS = {"train2017": 13, "val2017": 8}


def build(root, masks="annotations"):
    for split, count in (("train2017", 3), ("val2017", 1)):
        for i in range(count):
            write_image(root / "images" / split / f"{i:012d}.jpg", seed=i)
            write_mask(root / masks / split / f"{i:012d}.png", [0, 10, 12, 181, 255])
    return root


@pytest.mark.parametrize("masks", ["annotations", "stuffthingmaps"])
@pytest.mark.parametrize("split, count", [("train2017", 3), ("train", 3), ("val2017", 1), ("val", 1)])
def test_layouts_and_splits(tmp_path, masks, split, count):
    data = COCOStuff(build(tmp_path, masks), split)
    assert len(data) == count
    assert data[0].mask.flatten()[:5].tolist() == [0, 10, 11, 170, 255]
    assert data.catch_all is None


def test_other_files_beside_the_masks_do_not_matter(tmp_path):
    build(tmp_path)
    write_mask(tmp_path / "annotations/val2017/000000000000_labelTrainIds.png", [0])
    assert len(COCOStuff(tmp_path, "val")) == 1


def test_classes(tmp_path):
    names = COCOStuff(build(tmp_path), "val2017").classes
    assert len(names) == len(set(names)) == 171
    assert [names[i] for i in (0, 10, 11, 79, 80, 170)] == [
        "person",
        "fire hydrant",
        "stop sign",
        "toothbrush",
        "banner",
        "wood",
    ]


def test_subset(tmp_path):
    assert len(COCOStuff(build(tmp_path), "train", subset={"count": 2})) == 2


def test_bad_input(tmp_path):
    with pytest.raises(UserError, match=r"cocostuff: no folder .*images; expected .*train2017"):
        COCOStuff(tmp_path, "train2017")
    build(tmp_path)
    with pytest.raises(UserError, match=r"no split 'test2017' in .*; found: train2017, val2017"):
        COCOStuff(tmp_path, "test2017")
    write_mask(tmp_path / "annotations/val2017/000000000000.png", [0, 11, 90, 182])
    with pytest.raises(UserError, match=r"000000000000\.png has id 11, 90, 182; its ids must be 0\.\.10, 12\.\.24, "):
        COCOStuff(tmp_path, "val")[0]
    (tmp_path / "annotations/train2017/000000000001.png").unlink()
    with pytest.raises(UserError, match=r"000000000001\.jpg has no mask; expected .*000000000001\.png \(1 of 3"):
        COCOStuff(tmp_path, "train")


@pytest.mark.parametrize("split", COUNTS)
def test_original(split):
    """Every raw id has the name that labels.txt prints for the number one higher."""
    root = original("cocostuff")
    data = COCOStuff(root, split)
    lines = (root / "labels.txt").read_text().splitlines()
    printed = {int(line.split(":")[0]): line.split(":")[1].strip() for line in lines if line.strip()}
    assert len(data) == COUNTS[split]
    for pair, sample in zip(data.pairs, data, strict=True):
        raw, local = raw_mask(pair.mask), sample.mask.numpy()
        assert sample.image.shape[1:] == raw.shape == local.shape
        np.testing.assert_array_equal(local == 255, raw == 255)
        for value in set(np.unique(raw)) - {255}:
            (found,) = np.unique(local[raw == value])
            assert data.classes[found] == printed[value + 1]


def test_original_names():
    root = original("cocostuff")
    lines = (root / "labels.txt").read_text().splitlines()
    printed = {int(line.split(":")[0]): line.split(":")[1].strip() for line in lines if line.strip()}
    unused = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91}  # as COCO prints them, counted from 1
    expected = [printed[number] for number in range(1, 183) if number not in unused]
    assert COCOStuff(root, "val2017").classes == expected
