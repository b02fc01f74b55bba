"""Two folders: which lists and folders are splits, which folders hold the masks, and what is left out is told."""

import os
import shutil

import pytest

from mdpseg.config import FinetuneConfig, PretrainConfig
from mdpseg.data import layouts
from mdpseg.data.layouts import recognise
from mdpseg.data.open import open_dataset
from mdpseg.data.start import start
from mdpseg.recipe import load
from tests.data.readers.files import write_image, write_lines, write_mask


def pair(images, masks, key="0", ids=(0, 0, 1)):
    write_image(images / f"{key}.jpg")
    write_mask(masks / f"{key}.png", ids)


def voc_like(root):
    for key in "abcd":
        pair(root / "JPEGImages", root / "SegmentationClass", key)
    write_lines(root / "classes.txt", ["background", "thing"])
    return root


def finetune_of(root, tmp_path):
    start([root], tmp_path / "recipe.yaml")
    return load(tmp_path / "recipe-finetune.yaml", FinetuneConfig)


@pytest.mark.parametrize("order", [("Main", "Segmentation", "Action"), ("Segmentation", "Action", "Main")])
def test_lists_for_segmentation_come_before_those_for_detection(tmp_path, order):
    root = voc_like(tmp_path / "mine")
    for name in order:  # the order in which most file systems list them
        trained, validated = ("ab", "cd") if name == "Segmentation" else ("cd", "ab")
        write_lines(root / "ImageSets" / name / "train.txt", list(trained))
        write_lines(root / "ImageSets" / name / "val.txt", list(validated))
    write_lines(root / "ImageSets/Main/trainval.txt", list("abcd"))  # of no use where Segmentation has none
    sets = root / "ImageSets"
    found = recognise(root)
    assert list(found.splits) == ["train", "val"]
    assert found.remarks == (
        f"Splits by the lists in {sets / 'Segmentation'}.",
        f"Lists that are not used: those in {sets / 'Action'}, {sets / 'Main'}.",
    )
    finetune = finetune_of(root, tmp_path)
    assert [sample.id for sample in open_dataset(finetune.train)] == ["a", "b"]
    assert [sample.id for sample in open_dataset(finetune.val)] == ["c", "d"]
    assert f"# Splits by the lists in {sets / 'Segmentation'}.\n" in (tmp_path / "recipe.yaml").read_text()


@pytest.mark.parametrize("place", ["ImageSets/Main", "ImageSets", "."])
def test_other_lists_are_taken_where_there_are_none_for_segmentation(tmp_path, place):
    root = voc_like(tmp_path / "mine")
    write_lines(root / place / "train.txt", ["a"])
    (root / "ImageSets/Segmentation").mkdir(parents=True, exist_ok=True)
    found = recognise(root)
    assert found.splits["train"]["subset"] == {"list": root / place / "train.txt"}
    assert found.remarks == (f"Splits by the lists in {root / place}.",)


def test_whatever_is_in_no_split_is_told(tmp_path):
    for name in ("train", "val", "extra"):
        pair(tmp_path / "images" / name, tmp_path / "masks" / name)
    write_image(tmp_path / "images/test/0.jpg")
    write_mask(tmp_path / "masks/dev/0.png", [0])
    write_mask(tmp_path / "masks/valid/0.png", [0])
    (tmp_path / "images/valid").mkdir()
    pair(tmp_path / "images", tmp_path / "masks", "loose")
    found = recognise(tmp_path)
    images, masks = tmp_path / "images", tmp_path / "masks"
    assert list(found.splits) == ["train", "val"]
    assert found.remarks == (
        f"Left out: {images / 'extra'}; extra is no usual name of a split.",
        f"Left out: {images / 'test'}; there is no {masks / 'test'}.",
        f"Left out: 1 files in {images} itself, such as loose.jpg; no split has them.",
        f"Left out: {masks / 'dev'}; there is no {images / 'dev'}.",
        f"Left out: {masks / 'valid'}; no image is in {images / 'valid'}.",
        f"Left out: 1 files in {masks} itself, such as loose.png; no split has them.",
    )


def test_nothing_is_told_where_nothing_is_left_out(tmp_path):
    for name in ("train", "val"):
        pair(tmp_path / "images" / name, tmp_path / "masks" / name)
        (tmp_path / "images" / name / ".DS_Store").write_text("")
    (tmp_path / "images" / "notes.txt").write_text("")
    assert recognise(tmp_path).remarks == ()


def test_splits_of_masks_may_have_another_case(tmp_path):
    for name in ("train", "Val"):
        pair(tmp_path / "d/images" / name, tmp_path / "d/masks" / name.title(), ids=(0, 1))
    found = recognise(tmp_path / "d")
    assert {split: keys["masks"].name for split, keys in found.splits.items()} == {"train": "Train", "Val": "Val"}
    assert found.remarks == ()
    recipe = finetune_of(tmp_path / "d", tmp_path)
    assert [len(open_dataset(entry)) for entry in (recipe.train, recipe.val)] == [1, 1]


def test_a_split_of_the_same_case_comes_first(tmp_path):
    if (tmp_path / "case").mkdir() or (tmp_path / "CASE").is_dir():
        pytest.skip("this file system makes no difference between cases")
    pair(tmp_path / "d/images/train", tmp_path / "d/masks/train")
    write_mask(tmp_path / "d/masks/Train/1.png", (0, 1))
    assert recognise(tmp_path / "d").splits["train"]["masks"] == tmp_path / "d/masks/train"


def test_folders_around_both_that_are_no_split_are_told(tmp_path):
    for name in ("train", "extra"):
        pair(tmp_path / name / "images", tmp_path / name / "masks")
    write_image(tmp_path / "test/images/0.jpg")
    found = recognise(tmp_path)
    assert list(found.splits) == ["train"]
    assert found.remarks == (
        f"Left out: {tmp_path / 'extra'}; extra is no usual name of a split.",
        f"Left out: {tmp_path / 'test'}; no folder of masks was found for it.",
    )


def test_folders_beside_each_other_without_masks_are_told(tmp_path):
    pair(tmp_path / "train", tmp_path / "trainannot")
    write_image(tmp_path / "val/0.jpg")
    found = recognise(tmp_path)
    assert list(found.splits) == ["train"]
    assert found.remarks == (f"Left out: {tmp_path / 'val'}; no folder of masks was found for it.",)


@pytest.mark.parametrize(
    "masks, other",
    [("SegmentationClass", "Annotations/0.xml"), ("segmentations", "labels/0.txt"), ("gt", "masks/.0.png")],
)
def test_a_folder_that_holds_no_image_is_not_taken_for_the_masks(tmp_path, masks, other):
    pair(tmp_path / "JPEGImages", tmp_path / masks)
    write_lines(tmp_path / other, ["boxes"])
    assert recognise(tmp_path).splits == {"all": {"images": tmp_path / "JPEGImages", "masks": tmp_path / masks}}


def test_an_archive_of_macos(tmp_path):
    for name in ("images/0.jpg", "masks/0.png"):
        write_lines(tmp_path / "got/__MACOSX/ds" / f"{name.replace('/', '/._')}", ["resource fork"])
    pair(tmp_path / "got/ds/images", tmp_path / "got/ds/masks")
    found = recognise(tmp_path / "got")
    assert (found.root, list(found.splits)) == (tmp_path / "got/ds", ["all"])
    shutil.copytree(tmp_path / "got/ds", tmp_path / "got/other")
    said = start([tmp_path / "got"], tmp_path / "recipe.yaml")
    assert [line.partition(":")[0] for line in said[:2]] == ["ds", "other"]
    assert not any("__MACOSX" in line for line in said)


@pytest.mark.parametrize("key", ["0", "0001TP_006690"])
def test_classes_of_ones_own_are_not_called_as_camvids(tmp_path, key):
    for split in ("train", "val"):
        pair(tmp_path / "mine" / split, tmp_path / "mine" / f"{split}annot", key)
    write_lines(tmp_path / "mine/classes.txt", ["leaf", "stem", "soil"])
    finetune = finetune_of(tmp_path / "mine", tmp_path)
    assert finetune.train.reader == "folder"
    assert open_dataset(finetune.train).classes == open_dataset(finetune.val).classes == ["leaf", "stem", "soil"]


@pytest.mark.parametrize("key, reader", [("0", "folder"), ("0016E5_07959", "camvid"), ("Seq05VD_f00000", "camvid")])
def test_camvid_is_told_by_its_films(tmp_path, key, reader):
    pair(tmp_path / "val", tmp_path / "valannot", key)
    assert recognise(tmp_path).reader == reader
    assert [layout.reader for layout in layouts.LAYOUTS if layout.find(tmp_path)] == ["camvid"] * (reader == "camvid")


def test_linked_folders_are_looked_into(tmp_path):
    pair(tmp_path / "store/images", tmp_path / "store/masks")
    for kind in ("images", "masks"):
        (tmp_path / "mine" / kind).mkdir(parents=True)
        os.symlink(tmp_path / "store" / kind, tmp_path / "mine" / kind / "town")
    start([tmp_path / "mine"], tmp_path / "recipe.yaml")
    (entry,) = load(tmp_path / "recipe.yaml", PretrainConfig).datasets
    assert [sample.id for sample in open_dataset(entry)] == ["town/0"]
