"""COCO's files and Roboflow's export of them: only splits whose images are there."""

import json

import pytest

from mdpseg.config import FinetuneConfig
from mdpseg.data.layouts import recognise
from mdpseg.data.open import open_dataset
from mdpseg.data.start import start
from mdpseg.errors import UserError
from mdpseg.recipe import load
from tests.data.readers.files import write_image


def write_coco(file, images, count=2):
    """Images of 8 x 10 pixels, a cat in the upper left corner of each; returns the annotations' file."""
    listed = [{"id": i, "file_name": f"{i}.jpg", "height": 8, "width": 10} for i in range(count)]
    corner = [0, 0, 4, 0, 4, 4, 0, 4]
    outlines = [{"id": i, "image_id": i, "category_id": 1, "segmentation": [corner]} for i in range(count)]
    content = {"images": listed, "annotations": outlines, "categories": [{"id": 1, "name": "cat"}]}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    for i in range(count if images else 0):
        write_image(images / f"{i}.jpg", seed=i)
    return file


def test_a_split_without_its_images_is_left_out_and_told(tmp_path):
    write_coco(tmp_path / "d/annotations/instances_train2017.json", None)
    write_coco(tmp_path / "d/annotations/instances_val2017.json", tmp_path / "d/val2017")
    said = start([tmp_path / "d"], tmp_path / "recipe.yaml")
    assert "2 in val2017" in said[0]
    recipe = (tmp_path / "recipe.yaml").read_text()
    assert f"# Left out: train2017; no images are in {tmp_path / 'd/images/train2017'}" in recipe
    finetune = load(tmp_path / "recipe-finetune.yaml", FinetuneConfig)
    assert (finetune.train.split, finetune.val) == ("val2017", None)
    assert open_dataset(finetune.train)[0].mask.unique().tolist() == [0, 1]


@pytest.mark.parametrize(
    "split, images, keys",
    [
        ("val2017", "val2017", []),
        ("val2017", "images/val2017", []),
        ("default", "images", ["images"]),
    ],
)
def test_where_the_images_lie(tmp_path, split, images, keys):
    write_coco(tmp_path / f"annotations/instances_{split}.json", tmp_path / images)
    found = recognise(tmp_path)
    assert found.splits == {split: {"split": split} | dict.fromkeys(keys, tmp_path / images)}


def test_an_empty_folder_of_images_does_not_hide_the_full_one(tmp_path):
    write_coco(tmp_path / "annotations/instances_val2017.json", tmp_path / "val2017")
    (tmp_path / "images/val2017").mkdir(parents=True)
    assert recognise(tmp_path).splits["val2017"]["images"] == tmp_path / "val2017"
    start([tmp_path], tmp_path / "r.yaml")


def test_without_any_images_it_is_said_where_they_are_expected(tmp_path):
    write_coco(tmp_path / "annotations/instances_val2017.json", None)
    with pytest.raises(UserError, match=r"looks like COCO instances.*Left out: val2017; no images are in .*val2017"):
        start([tmp_path], tmp_path / "r.yaml")
    assert not (tmp_path / "r.yaml").exists()


def test_panoptic_without_its_masks_leaves_the_instances(tmp_path):
    for kind in ("panoptic", "instances"):
        write_coco(tmp_path / f"annotations/{kind}_val2017.json", tmp_path / "val2017")
    assert recognise(tmp_path).reader == "coco_instances"
    write_image(tmp_path / "annotations/panoptic_val2017/0.png")
    assert recognise(tmp_path).reader == "coco_panoptic"


def test_panoptic_masks_are_not_taken_for_those_of_coco_stuff(tmp_path):
    write_coco(tmp_path / "annotations/panoptic_val2017.json", tmp_path / "images/val2017")
    write_image(tmp_path / "images/val2017/000000000009.jpg")
    write_image(tmp_path / "annotations/panoptic_val2017/0.png")
    assert recognise(tmp_path).reader == "coco_panoptic"


def test_roboflows_export(tmp_path):
    for split in ("test", "train", "valid"):
        write_coco(tmp_path / "mugs" / split / "_annotations.coco.json", tmp_path / "mugs" / split)
    (said, _) = start([tmp_path / "mugs"], tmp_path / "recipe.yaml")
    assert said.startswith("mugs: images 2 in train, 2 in valid; 2 classes.")
    assert "Other splits: test." in said
    finetune = load(tmp_path / "recipe-finetune.yaml", FinetuneConfig)
    for entry in (finetune.train, finetune.val):
        reader = open_dataset(entry)
        assert reader.classes == ["background", "cat"]
        assert reader.paths(0) == (tmp_path / "mugs" / entry.split / "0.jpg",)


def test_one_folder_of_roboflows_export(tmp_path):
    write_coco(tmp_path / "mugs" / "_annotations.coco.json", tmp_path / "mugs")
    (said, _) = start([tmp_path / "mugs"], tmp_path / "recipe.yaml")
    assert said.startswith("mugs: images 2 in all; 2 classes.")


def test_several_exports_side_by_side_are_not_splits_of_one(tmp_path):
    for name in ("mugs", "forks"):
        write_coco(tmp_path / name / "_annotations.coco.json", tmp_path / name)
    assert recognise(tmp_path) is None
    said = start([tmp_path], tmp_path / "recipe.yaml")
    assert [line.partition(":")[0] for line in said[:2]] == ["forks", "mugs"]
