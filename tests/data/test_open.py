from pathlib import Path

import pytest
import torch

from mdpseg.config import DatasetConfig
from mdpseg.data.open import label_space_of, open_dataset
from mdpseg.data.toy import ToyWorld
from mdpseg.errors import UserError
from tests import tiny
from tests.data.readers.files import write_image, write_lines, write_mask


def config(**entry):
    return DatasetConfig.model_validate(entry)


def test_a_toy_world():
    reader = open_dataset(config(**tiny.toy("things", count=5, split="val", subset={"seed": 3})))
    assert isinstance(reader, ToyWorld)
    assert len(reader) == 5
    assert (reader.split, reader.seed, reader.size) == ("val", 3, (64, 64))
    assert reader[0].image.shape == (3, 64, 64)


@pytest.mark.parametrize("subset, count", [({"count": 3}, 3), ({"fraction": 0.25}, 2), ({}, 8)])
def test_a_subset_of_a_toy_world(subset, count):
    assert len(open_dataset(config(**tiny.toy("fine", count=8, subset=subset)))) == count


def test_a_subset_is_no_larger_than_its_toy_world():
    with pytest.raises(UserError, match="8"):
        open_dataset(config(**tiny.toy("fine", count=8, subset={"count": 9})))


def test_the_rest_of_a_toy_world_is_refused():
    with pytest.raises(UserError, match=r"takes a subset by `fraction` .* nor the `rest`"):
        open_dataset(config(**tiny.toy("fine", count=8, subset={"count": 2, "rest": True})))


def test_a_list_of_a_toy_world_is_refused_or_obeyed(tmp_path):
    (tmp_path / "list.txt").write_text("fine-train-0-00001\n")
    entry = config(**tiny.toy("fine", count=8, subset={"list": str(tmp_path / "list.txt")}))
    try:
        assert len(open_dataset(entry)) == 1
    except UserError as error:
        assert "list" in str(error)  # noqa: PT017 (either is right; to ignore it in silence is not)


def test_a_folder_by_its_root(tmp_path):
    reader = open_dataset(config(**tiny.image_folder(tmp_path, count=3)))
    assert (len(reader), reader.classes, reader.name) == (3, ["a", "b", "c"], "mine")


@pytest.mark.parametrize(("unlabelled", "masks"), [(False, ", masks: mine/masks"), (True, "")])
def test_folders_without_splits_are_told_how_they_are_read(tmp_path, unlabelled, masks):
    there = tiny.image_folder(tmp_path)
    mine = {"name": "mine", "reader": "folder", "path": "mine", "unlabelled": unlabelled}
    (tmp_path / "mine").mkdir()
    for kind in ("images", "masks"):
        (tmp_path / there["path"] / kind / "train").rename(tmp_path / "mine" / kind)
    told = r"mine: no split 'train' in \S*mine/images \(no folders there\); if there are no splits, add "
    with pytest.raises(UserError, match=rf"{told}`images: mine/images{masks}`\.$"):
        open_dataset(config(**mine), tmp_path)
    entry = {**mine, "images": "mine/images", "masks": "mine/masks", "classes": ["a", "b", "c", "d"]}
    assert len(open_dataset(config(**entry), tmp_path)) > 0
    (tmp_path / "mine" / "images" / "val").mkdir()
    with pytest.raises(UserError, match=r"\(folders there: val\); name one of them by `split`, or, if there are no"):
        open_dataset(config(**mine), tmp_path)


def test_a_folder_by_its_parts_relative_to_data_root(tmp_path):
    tiny.image_folder(tmp_path / "d", count=3)
    parts = {"images": "d/images/train", "masks": "d/masks/train"}
    for classes in ("d/classes.txt", ["a", "b", "c"]):
        reader = open_dataset(config(name="m", reader="folder", classes=classes, **parts), tmp_path)
        assert (len(reader), reader.classes) == (3, ["a", "b", "c"])


def test_paths_are_relative_to_data_root_and_absolute_ones_are_not(tmp_path):
    tiny.image_folder(tmp_path / "d")
    assert len(open_dataset(config(name="m", reader="folder", path="d"), tmp_path)) == 2
    assert len(open_dataset(config(name="m", reader="folder", path=str(tmp_path / "d")), Path("elsewhere"))) == 2


def test_a_subset_by_count_and_list(tmp_path):
    entry = tiny.image_folder(tmp_path, count=6)
    assert len(open_dataset(config(**entry, subset={"count": 4}))) == 4
    (tmp_path / "list.txt").write_text("5\n1\n")
    reader = open_dataset(config(**entry, subset={"list": str(tmp_path / "list.txt")}))
    assert sorted(reader[i].id for i in range(len(reader))) == ["1", "5"]


def test_a_catch_all_of_the_recipe(tmp_path):
    reader = open_dataset(config(**tiny.image_folder(tmp_path), catch_all="b"))
    assert reader.catch_all == "b"
    assert open_dataset(config(**tiny.toy("fine", catch_all="car"))).catch_all == "car"
    for entry in (tiny.image_folder(tmp_path), tiny.toy("fine")):
        with pytest.raises(UserError, match="'nothing'"):
            open_dataset(config(**entry, catch_all="nothing"))


def test_images_without_labels(tmp_path):
    entry = tiny.bare_images(tmp_path / "d", count=5)
    assert not (tmp_path / "d" / "masks").exists()
    reader = open_dataset(config(**entry))
    assert (len(reader), reader.name, reader.label_set, reader.classes) == (5, "bare", None, [])
    assert len(open_dataset(config(**entry, subset={"fraction": 0.4}))) == 2
    (tmp_path / "list.txt").write_text("3\n")
    listed = open_dataset(config(**entry, subset={"list": str(tmp_path / "list.txt"), "count": 1}))
    assert [listed[i].id for i in range(len(listed))] == ["3"]
    elsewhere = config(name="web", reader="folder", images="d/images", unlabelled=True)
    assert open_dataset(elsewhere, tmp_path)[0].id == "train/0"


def test_the_labels_of_any_dataset_can_be_left_out(tmp_path):
    world = tiny.toy("things", subset={"count": 3, "seed": 2})
    bare = open_dataset(config(**world, unlabelled=True, catch_all="car"))
    assert (len(bare), bare.label_set, bare.classes, bare.catch_all) == (3, None, [], None)
    assert torch.equal(bare[1].image, open_dataset(config(**world))[1].image)
    voc = small_voc(tmp_path)
    bare = open_dataset(config(**voc, unlabelled=True))
    assert [bare[i].id for i in range(len(bare))] == ["a", "b"]
    labelled = open_dataset(config(**voc))
    assert torch.equal(bare[0].image, labelled[0].image)
    assert labelled.label_set == "voc"
    assert label_space_of([bare, labelled]).datasets == ["voc"]


def small_voc(root):
    for name in "ab":
        write_image(root / f"JPEGImages/{name}.jpg")
        write_mask(root / f"SegmentationClass/{name}.png", [0, 5, 255])
    write_lines(root / "ImageSets/Segmentation/train.txt", ["a", "b"])
    return {"name": "voc", "reader": "voc2012", "path": str(root)}


@pytest.mark.parametrize("reader", ["voc2012", "ade20k", "cocostuff", "cityscapes", "folder"])
def test_a_missing_folder_is_named(reader, tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        open_dataset(config(name="m", reader=reader, path="nowhere"), tmp_path)


def test_the_label_space_of_several():
    readers = [open_dataset(config(**tiny.toy(world))) for world in ("things", "coarse")]
    space = label_space_of(readers)
    assert space.datasets == ["things", "coarse"]
    assert space.num_classes == len(readers[0].classes) + len(readers[1].classes)
    assert space.catch_alls == {"things": readers[0].catch_all}
    assert int(space.private_classes().sum()) == 1
    assert int(label_space_of(readers, "class").private_classes().sum()) == 0
