import numpy as np
import pytest
from PIL import Image

from mdpseg.data.readers import VOC2012
from mdpseg.errors import UserError

from .files import copy_file, original, raw_mask, write_image, write_lines, write_mask

COUNTS = {"train": 3, "val": 3, "trainval": 6}


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "VOCdevkit" / "VOC2012"
    for i, name in enumerate(("2007_000001", "2007_000002", "2008_000003")):
        write_image(folder / "JPEGImages" / f"{name}.jpg", seed=i)
        write_mask(folder / "SegmentationClass" / f"{name}.png", [0, i + 1, 20, 255])
        write_mask(folder / "SegmentationClassAug" / f"{name}.png", [0, i + 10])
    lists = folder / "ImageSets" / "Segmentation"
    write_lines(lists / "train.txt", ["2008_000003", "2007_000001"])
    write_lines(lists / "val.txt", ["2007_000002"])
    write_lines(lists / "train_aug.txt", ["2007_000001", "2007_000002"])
    write_lines(lists / "sbd_aug.txt", ["/JPEGImages/2007_000002.jpg /SegmentationClassAug/2007_000002.png"])
    return tmp_path


@pytest.mark.parametrize("inner", [".", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_root_may_be_any_of_three_folders(root, inner):
    data = VOC2012(root / inner, "train")
    assert [pair.id for pair in data.pairs] == ["2007_000001", "2008_000003"]
    assert data[1].mask.unique().tolist() == [0, 3, 20, 255]


def test_classes(root):
    data = VOC2012(str(root), split="val")
    assert len(data.classes) == 21
    assert data.classes[0] == data.catch_all == "background"
    assert data.classes[15] == "person"
    assert data.classes[20] == "tvmonitor"
    assert data.name == "voc2012"


@pytest.mark.parametrize("split, ids", [("train_aug", [10, 11]), ("trainaug", [10, 11]), ("sbd_aug", [11])])
def test_aug_lists_take_the_aug_masks(root, split, ids):
    assert [int(sample.mask.max()) for sample in VOC2012(root, split)] == ids


def test_subset(root):
    data = VOC2012(root, "train", subset={"count": 1, "seed": 4})
    assert len(data) == 1
    assert data[0].id in ("2007_000001", "2008_000003")


def test_bad_input(root, tmp_path):
    folder = root / "VOCdevkit" / "VOC2012"
    with pytest.raises(UserError, match=r"voc2012: no folder ImageSets/Segmentation in or below .*nowhere"):
        VOC2012(tmp_path / "nowhere", "train")
    for split in ("test", "../../train"):
        with pytest.raises(UserError, match=f"no split '{split}' in .*; found: sbd_aug, train, train_aug, val"):
            VOC2012(root, split)
    write_lines(folder / "ImageSets/Segmentation/empty.txt", [""])
    with pytest.raises(UserError, match=r"empty\.txt names no image"):
        VOC2012(root, "empty")
    write_mask(folder / "SegmentationClass" / "2007_000002.png", [0, 21])
    with pytest.raises(UserError, match=r"here: mask .*2007_000002\.png has id 21; its ids must be 0\.\.20, 255"):
        VOC2012(root, "val", name="here")[0]
    (folder / "SegmentationClass" / "2007_000001.png").unlink()
    with pytest.raises(UserError, match=r"image .*000001\.jpg has no mask; expected .*Class/2007_000001\.png \(1 of 2"):
        VOC2012(root, "train")
    (folder / "JPEGImages" / "2007_000002.jpg").unlink()
    with pytest.raises(UserError, match=r"id '2007_000002' has no image; expected .*000002\.jpg \(1 of 1"):
        VOC2012(root, "val")


def test_aug_masks_that_are_not_there(root):
    folder = root / "VOCdevkit" / "VOC2012" / "SegmentationClassAug"
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(UserError, match=r"no folder .*SegmentationClassAug"):
        VOC2012(root, "train_aug")


@pytest.mark.parametrize("split", COUNTS)
def test_original(split):
    root = original("voc2012")
    data = VOC2012(root, split)
    assert len(data) == COUNTS[split]
    for pair, sample in zip(data.pairs, data, strict=True):
        raw = raw_mask(pair.mask)
        assert Image.open(pair.mask).mode == "P"
        np.testing.assert_array_equal(sample.mask.numpy(), raw)
        assert sample.image.shape[1:] == raw.shape
        pixels = np.asarray(Image.open(pair.image).convert("RGB")).astype(int)
        assert np.abs(sample.image.permute(1, 2, 0).numpy() - pixels).mean() < 1


def test_original_ids_and_names():
    data = VOC2012(original("voc2012"), "trainval")
    found = {s.id: [data.classes[i] for i in s.mask.unique().tolist() if i not in (0, 255)] for s in data}
    assert found["2007_000063"] == ["chair", "dog"]
    assert found["2007_000175"] == ["sheep"]
    assert found["2007_000392"] == ["horse", "person"]


def test_original_with_a_truncated_photograph(tmp_path):
    source = original("voc2012") / "VOCdevkit" / "VOC2012"
    for file in source.rglob("*.*"):
        copy_file(file, tmp_path / file.relative_to(source))
    image = tmp_path / "JPEGImages" / "2007_000063.jpg"
    image.write_bytes(image.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"voc2012: .*2007_000063\.jpg is truncated or damaged"):
        VOC2012(tmp_path, "train")[0]
