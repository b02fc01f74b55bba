import numpy as np
import pytest

from mdpseg.data.readers import Cityscapes
from mdpseg.errors import UserError

from .files import original, raw_mask, write_image, write_lines, write_mask

TRAIN_IDS = {  # as cityscapesScripts has them: labelId -> trainId
    **{7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9},
    **{23: 10, 24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18},
}


@pytest.fixture
def root(tmp_path):
    for city, number in (("bonn", 1), ("bonn", 2), ("aachen", 5)):
        name = f"{city}_{number:06d}_000019"
        write_image(tmp_path / f"leftImg8bit/train/{city}/{name}_leftImg8bit.png", seed=number)
        folder = tmp_path / f"gtFine/train/{city}"
        write_mask(folder / f"{name}_gtFine_labelIds.png", [*range(34), 255])
        write_mask(folder / f"{name}_gtFine_instanceIds.png", [99])
    return tmp_path


def test_ids(root):
    data = Cityscapes(root, "train")
    assert [pair.id for pair in data.pairs] == [
        "aachen_000005_000019",
        "bonn_000001_000019",
        "bonn_000002_000019",
    ]
    assert len(data.classes) == 19
    assert data.catch_all is None


def test_label_ids_become_train_ids(root):
    mask = Cityscapes(root, "train")[0].mask.flatten()[:35].tolist()
    assert mask == [TRAIN_IDS.get(raw, 255) for raw in range(34)] + [255]


def test_subset(root):
    listed = write_lines(root / "mine.txt", ["bonn_000002_000019"])
    assert [s.id for s in Cityscapes(root, "train", subset={"list": listed})] == ["bonn_000002_000019"]


def test_bad_input(root, tmp_path):
    with pytest.raises(UserError, match=r"cityscapes: no folder .*nowhere/leftImg8bit; expected "):
        Cityscapes(tmp_path / "nowhere", "train")
    with pytest.raises(UserError, match=r"no split 'val' in .*leftImg8bit; found: train"):
        Cityscapes(root, "val")
    (root / "leftImg8bit/val").mkdir()
    with pytest.raises(UserError, match=r"no folder .*gtFine/val"):
        Cityscapes(root, "val")
    (root / "gtFine/val").mkdir()
    with pytest.raises(UserError, match=r"no images in .*leftImg8bit/val"):
        Cityscapes(root, "val")
    write_mask(root / "gtFine/train/aachen/aachen_000005_000019_gtFine_labelIds.png", [7, 34])
    with pytest.raises(UserError, match=r"labelIds\.png has id 34; its ids must be 0\.\.33, 255"):
        Cityscapes(root, "train")[0]
    (root / "gtFine/train/bonn/bonn_000001_000019_gtFine_labelIds.png").unlink()
    with pytest.raises(UserError, match=r"bonn_000001_000019_leftImg8bit\.png has no mask; expected .*labelIds\.png"):
        Cityscapes(root, "train")


def test_original():
    data = Cityscapes(original("cityscapes"), "train")
    assert [pair.id for pair in data.pairs] == [f"aachen_{i:06d}_000019" for i in range(5)]
    table = np.full(256, 255)
    for raw, train_id in TRAIN_IDS.items():
        table[raw] = train_id
    seen = set()
    for i in range(len(data)):
        sample = data[i]
        assert tuple(sample.image.shape) == (3, 1024, 2048)
        np.testing.assert_array_equal(sample.mask.numpy(), table[raw_mask(data.pairs[i].mask)])
        seen |= {data.classes[k] for k in np.unique(sample.mask.numpy()) if k != 255}
    assert {"road", "car", "person", "bicycle", "sky", "motorcycle"} <= seen
    assert not seen & {"train", "bus", "truck"}  # labelIds 27, 28 and 31 are in none of the five


def test_instance_ids_are_refused_with_the_right_advice(tmp_path):
    folder = original("cityscapes") / "gtFine/train/aachen"
    with pytest.raises(UserError, match=r"instanceIds\.png is a 16-bit grey PNG.*take the labelIds"):
        Cityscapes(original("cityscapes"), "train").read_mask(folder / "aachen_000000_000019_gtFine_instanceIds.png")
