import numpy as np
import pytest

from mdpseg.data.readers import ADE20K
from mdpseg.errors import UserError

from .files import original, raw_mask, write_image, write_mask


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "ADEChallengeData2016"
    for split, count in (("training", 3), ("validation", 2)):
        for i in range(count):
            write_image(folder / "images" / split / f"ADE_{split[:3]}_{i}.jpg", seed=i)
            write_mask(folder / "annotations" / split / f"ADE_{split[:3]}_{i}.png", [0, 1, i + 2, 150])
    return tmp_path


@pytest.mark.parametrize("inner", [".", "ADEChallengeData2016"])
@pytest.mark.parametrize("split, count", [("training", 3), ("train", 3), ("validation", 2), ("val", 2)])
def test_splits(root, inner, split, count):
    assert len(ADE20K(root / inner, split)) == count


def test_zero_is_ignored_and_the_rest_shifts_by_one(root):
    data = ADE20K(root, "training")
    assert data[2].mask.flatten()[:4].tolist() == [255, 0, 3, 149]
    assert data.catch_all is None
    assert data.name == "ade20k"


def test_classes(root):
    names = ADE20K(root, "training").classes
    assert len(names) == len(set(names)) == 150
    assert [names[i] for i in (0, 2, 12, 43, 149)] == ["wall", "sky", "person", "signboard", "flag"]


def test_subset(root):
    assert len(ADE20K(root, "training", subset={"fraction": 0.67})) == 2


def test_bad_input(root, tmp_path):
    folder = root / "ADEChallengeData2016"
    with pytest.raises(UserError, match=r"ade20k: no folder .*nowhere/images; expected ADEChallengeData2016"):
        ADE20K(tmp_path / "nowhere", "train")
    for split in ("test", "..", "training/../validation"):
        with pytest.raises(UserError, match=f"no split '{split}' in .*; found: training, validation"):
            ADE20K(root, split)
    write_mask(folder / "annotations/validation/ADE_val_1.png", [151, 255])
    with pytest.raises(UserError, match=r"ADE_val_1\.png has id 151, 255; its ids must be 0\.\.150\."):
        ADE20K(root, "val")[1]
    (folder / "annotations/validation/ADE_val_0.png").unlink()
    with pytest.raises(UserError, match=r"ADE_val_0\.jpg has no mask; expected .*ADE_val_0\.png \(1 of 2 lack one"):
        ADE20K(root, "val")
    (folder / "images/empty").mkdir()
    (folder / "annotations/empty").mkdir()
    with pytest.raises(UserError, match=r"ade20k: no images in .*images/empty"):
        ADE20K(root, "empty")
    (folder / "images/alone").mkdir()
    with pytest.raises(UserError, match=r"no folder .*annotations/alone"):
        ADE20K(root, "alone")


def test_original():
    data = ADE20K(original("ade20k"), "validation")
    assert [pair.id for pair in data.pairs] == [f"ADE_val_0000000{i}" for i in (1, 2, 3)]
    for pair, sample in zip(data.pairs, data, strict=True):
        raw = raw_mask(pair.mask)
        np.testing.assert_array_equal(sample.mask.numpy(), np.where(raw == 0, 255, raw - 1))
        assert sample.image.shape[1:] == raw.shape
    with pytest.raises(UserError, match=r"no split 'training' in .*; found: validation"):
        ADE20K(original("ade20k"), "training")


def test_original_names():
    """A class's name is the first synonym of its line in objectInfo150.txt."""
    root = original("ade20k")
    lines = (root / "ADEChallengeData2016" / "objectInfo150.txt").read_text().splitlines()[1:]
    data = ADE20K(root, "validation")
    raw_names = {int(line.split("\t")[0]): line.split("\t")[4].split(",")[0].strip() for line in lines}
    assert data.classes == [raw_names[raw] for raw in range(1, 151)]
    for pair, sample in zip(data.pairs, data, strict=True):
        raw = raw_mask(pair.mask)
        for local in sample.mask.unique().tolist():
            if local != 255:
                assert raw_names[int(raw[sample.mask.numpy() == local][0])] == data.classes[local]
