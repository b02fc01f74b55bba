"""``mdpseg init``: layouts are recognised, and the recipes that are written run."""

import numpy as np
import pytest
import torch
import webdataset
import yaml
from PIL import Image

import mdpseg
from mdpseg.config import DatasetConfig, FinetuneConfig, PretrainConfig
from mdpseg.data import layouts
from mdpseg.data.open import open_dataset
from mdpseg.data.shards.pack import pack
from mdpseg.data.start import start
from mdpseg.errors import UserError
from mdpseg.recipe import load
from tests import tiny
from tests.data.readers.files import ORIGINALS, original, write_image, write_lines, write_mask
from tests.data.test_open import config

QUICK = ["iterations=2", "workers=0", "batch_size=8", "augment.crop=32", "sampling=equal"] + [
    f"network.{key}={value}" for key, value in tiny.FAST_NETWORK.items()
]


def entries(path):
    content = yaml.safe_load(path.read_text())
    return {entry["name"]: entry for entry in content["datasets"]}


def pair(images, masks, key="1", ids=(0, 1, 255), suffix=".jpg"):
    write_image(images / f"{key}{suffix}", 40, 48)
    write_mask(masks / f"{key}.png", ids, 40, 48)


@pytest.mark.slow
def test_the_original_layouts(tmp_path, monkeypatch):
    if not ORIGINALS.is_dir():
        pytest.skip("no ../shared/data/original-layouts beside the repository")
    monkeypatch.chdir(tmp_path)
    said = start([ORIGINALS], tmp_path / "recipe.yaml")
    (ade20k,) = [line for line in said if line.startswith("ade20k: ")]
    assert "No split to train on was found: validation is taken for it." in ade20k
    assert any("--target NAME" in line for line in said)
    found = {name: (entry["reader"], entry.get("split")) for name, entry in entries(tmp_path / "recipe.yaml").items()}
    known = {
        "ade20k": ("ade20k", "validation"),
        "cityscapes": ("cityscapes", "train"),
        "cocostuff": ("cocostuff", "train2017"),
        "voc2012": ("voc2012", "train"),
    }
    assert known.items() <= found.items()
    assert len(found) == 5  # and CamVid, by its reader or as two folders
    mdpseg.pretrain(tmp_path / "recipe.yaml", [*QUICK, f"out={tmp_path / 'run'}"])
    assert (tmp_path / "run" / "weights.safetensors").is_file()


@pytest.mark.slow
def test_all_folders_of_photographs(tmp_path, monkeypatch):
    root = ORIGINALS.parent
    if not root.is_dir():
        pytest.skip("no ../shared/data beside the repository")
    monkeypatch.chdir(tmp_path)
    said = start([root], tmp_path / "recipe.yaml", "msrc")
    assert any("original-layouts: passed over" in line for line in said)
    written = entries(tmp_path / "recipe.yaml")
    assert written["camvid"] == {"name": "camvid", "reader": "folder", "path": str(root / "camvid"), "split": "train"}
    rest = {name: entry.get("catch_all") for name, entry in written.items()}
    assert rest == {
        **{"camvid": None, "ccp": "null", "facade": "others"},
        **{"msrc": None, "pets": "background", "voc2012": "background"},
    }
    mdpseg.pretrain(tmp_path / "recipe.yaml", [*QUICK, f"out={tmp_path / 'run'}"])
    finetune = load(tmp_path / "recipe-finetune.yaml", FinetuneConfig)
    assert (finetune.train.name, finetune.val.split) == ("msrc", "val")


def test_a_newcomers_folder_runs(tmp_path, mdpseg_command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in range(4):
        pair(tmp_path / "my photos" / "JPEGImages", tmp_path / "my photos" / "labels", f"{i}", (0, 0, 0, 3, 255))
    code, said, _ = mdpseg_command("init", "my photos")
    assert code == 0
    assert (tmp_path / "my-photos-classes.txt").read_text() == ("class_0\nclass_1\nclass_2\nclass_3\n")
    assert "catch-all" in said
    code, said, _ = mdpseg_command("init", "my photos", "--out", "two words/r.yaml")
    assert said.rstrip().endswith(
        "Next: mdpseg data check 'two words/r.yaml'; mdpseg data check 'two words/r-finetune.yaml'; "
        "mdpseg pretrain 'two words/r.yaml'; "
        "mdpseg finetune 'two words/r-finetune.yaml' init=runs/r/weights.safetensors"
    )
    (entry,) = entries(tmp_path / "recipe.yaml").values()
    assert entry["catch_all"] == "class_0"
    for command, recipe in (("pretrain", "recipe.yaml"), ("finetune", "recipe-finetune.yaml")):
        quick = [text for text in QUICK if command == "pretrain" or not text.startswith("sampling")]
        code, _, err = mdpseg_command(command, recipe, *quick)
        assert code == 0, err
    code, _, err = mdpseg_command("init", "my photos")
    assert code == 2
    assert "recipe.yaml is there already" in err


@pytest.mark.parametrize(
    "images, masks, val",
    [
        ("images/train", "masks/train", ("images/val", "masks/val")),
        ("train/Images", "train/GT", ("valid/Images", "valid/GT")),
        ("imgs/training", "annotations/training", ("imgs/validation", "annotations/validation")),
        ("train", "train_labels", ("test", "test_labels")),
        ("RGB", "Ground-Truth", None),
        ("inner/x", "inner/y", None),
        ("JPEGImages", "SegmentationClassPNG", None),
    ],
)
def test_two_folders_of_many_spellings(tmp_path, images, masks, val):
    root = tmp_path / "mine"
    pair(root / images, root / masks, ids=(1, 1, 0))
    if val:
        pair(root / val[0], root / val[1])
    start([root], tmp_path / "recipe.yaml")
    recipe = load(tmp_path / "recipe.yaml", PretrainConfig)
    (entry,) = recipe.datasets
    assert open_dataset(entry)[0].mask.unique().tolist() == [0, 1]
    assert entry.catch_all is None  # class_0 has not most of the pixels
    finetune = load(tmp_path / "recipe-finetune.yaml", FinetuneConfig)
    assert (finetune.val is not None) == (val is not None)
    if finetune.val:
        assert len(open_dataset(finetune.val)) == 1


def test_lists_of_ids_are_splits(tmp_path):
    root = tmp_path / "mine"
    for key in "abc":
        pair(root / "JPEGImages", root / "SegmentationClass", key)
    write_lines(root / "ImageSets" / "Segmentation" / "train.txt", ["a", "b"])
    write_lines(root / "ImageSets" / "Segmentation" / "val.txt", ["c"])
    write_lines(root / "class_names.txt", ["background", "thing"])
    start([root], tmp_path / "recipe.yaml")
    finetune = load(tmp_path / "recipe-finetune.yaml", FinetuneConfig)
    assert [sample.id for sample in open_dataset(finetune.train)] == ["a", "b"]
    assert [sample.id for sample in open_dataset(finetune.val)] == ["c"]
    assert open_dataset(finetune.train).classes == ["background", "thing"]
    assert finetune.train.catch_all == "background"


def test_masks_of_colours_get_a_class_list_of_colours(tmp_path):
    root = tmp_path / "mine"
    write_image(root / "images" / "a.jpg", 40, 48)
    colours = np.zeros((40, 48, 3), np.uint8)
    colours[:10] = (128, 64, 0)
    (root / "masks").mkdir()
    Image.fromarray(colours).save(root / "masks" / "a.png")
    start([root], tmp_path / "recipe.yaml")
    (entry,) = load(tmp_path / "recipe.yaml", PretrainConfig).datasets
    reader = open_dataset(entry)
    assert reader.classes == ["class_0", "class_1"]
    assert reader.catch_all == "class_0"
    assert reader[0].mask.flatten().bincount().tolist() == [30 * 48, 10 * 48]


@pytest.mark.parametrize(
    "lines, names", [(["__ignore__", "bg", "cat"], ["bg", "cat"]), (["bg"], ["class_0", "class_1"])]
)
def test_class_lists_that_do_not_fit_as_they_are(tmp_path, lines, names):
    pair(tmp_path / "d" / "images", tmp_path / "d" / "masks")
    write_lines(tmp_path / "d" / "labels.txt", lines)
    start([tmp_path / "d"], tmp_path / "recipe.yaml")
    (entry,) = load(tmp_path / "recipe.yaml", PretrainConfig).datasets
    assert open_dataset(entry).classes == names


def test_shards_with_and_without_index(tmp_path):
    reader = open_dataset(config(**tiny.image_folder(tmp_path / "d")))
    for split in ("train", "val"):
        pack(reader, tmp_path / "packed" / split, workers=0)
    (tmp_path / "foreign").mkdir()
    image, mask = (next((tmp_path / "d").rglob(name)).read_bytes() for name in ("0.jpg", "0.png"))
    with webdataset.TarWriter(str(tmp_path / "foreign" / "a-0.tar"), encoder=False) as writer:
        writer.write({"__key__": "k", "jpg": image, "png": mask})
    start([tmp_path / "packed", tmp_path / "foreign"], tmp_path / "recipe.yaml", "packed")
    packed, foreign = map(open_dataset, load(tmp_path / "recipe.yaml", PretrainConfig).datasets)
    assert (packed.classes, len(packed)) == (["a", "b", "c"], 2)
    assert (foreign.classes, len(foreign)) == (["class_0", "class_1", "class_2"], 1)
    assert load(tmp_path / "recipe-finetune.yaml", FinetuneConfig).val.split == "val"


def nothing(root):
    (root / "stuff").mkdir(parents=True)


def images_alone(root):
    write_image(root / "images" / "a.jpg")


def black_and_white(root):
    pair(root / "images", root / "masks", ids=(0, 255))


def smooth(root):
    write_image(root / "images" / "a.jpg")
    (root / "masks").mkdir()
    write_image(root / "masks" / "a.png", 40, 48)


def other_names(root):
    write_image(root / "images" / "a.jpg")
    write_mask(root / "masks" / "a_mask.png", [0])


def one_folder(root):
    write_image(root / "a.jpg")
    write_mask(root / "a_mask.png", [0])


def one_lacks_its_mask(root):
    pair(root / "images", root / "masks")
    write_image(root / "images" / "2.jpg")


@pytest.mark.parametrize(
    "make, said",
    [
        (nothing, "folders stuff, and 0 files; expected images and masks in two folders"),
        (images_alone, "is no dataset that is known"),
        (black_and_white, "255 means ignored here"),
        (smooth, "more than 255 colors"),
        (other_names, "has no mask; expected"),
        (other_names, "a_mask.png: name the masks like the images"),
        (one_folder, "one folder take a list of pairs, {mine}/train.csv with lines such as cat.jpg,cat_mask.png"),
        (one_lacks_its_mask, "that have one. `mdpseg data check {mine}` lists all that is wrong."),
        (lambda root: None, "is no folder"),
    ],
)
def test_what_cannot_be_read_is_one_message_and_nothing_is_written(tmp_path, mdpseg_command, make, said):
    make(tmp_path / "mine")
    code, _, err = mdpseg_command("init", tmp_path / "mine", "--out", tmp_path / "out" / "recipe.yaml")
    assert code == 2
    assert said.format(mine=tmp_path / "mine") in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_list_of_pairs_is_given_by_its_folder(tmp_path, mdpseg_command):
    write_lines(tmp_path / "pets.csv", ["a.jpg,a.png"])
    code, _, err = mdpseg_command("init", tmp_path / "pets.csv")
    assert code == 2
    assert f"pets.csv is no folder; if it is a list of pairs, give the folder it lies in: {tmp_path}\n" in err


def test_inspecting_a_folder_that_lacks_a_mask_points_to_the_check(tmp_path, mdpseg_command):
    one_lacks_its_mask(tmp_path / "d")
    write_lines(tmp_path / "d" / "classes.yaml", ["- {name: a, color: [0, 0, 0]}"])  # opened for the picture alone
    code, _, err = mdpseg_command("data", "inspect", tmp_path / "d", "--out", tmp_path / "sheet.png")
    assert code == 2
    assert f"`mdpseg data check {tmp_path / 'd'}` lists all that is wrong." in err
    assert mdpseg_command("data", "check", tmp_path / "d", "--workers", 0)[0] == 1


def test_a_class_list_beside_a_folder_a_scene_is_for_all_of_them(tmp_path):
    for name in ("scene 1", "scene 2"):
        pair(tmp_path / "d" / name / "images", tmp_path / "d" / name / "masks")
    listed = tmp_path / "d" / "classes.txt"
    write_lines(listed, ["background", "thing"])
    said = start([tmp_path / "d"], tmp_path / "recipe.yaml")
    assert any(f"{listed} is taken for the classes of 2 datasets" in line and "images/NAME/" in line for line in said)
    for entry in load(tmp_path / "recipe.yaml", PretrainConfig).datasets:
        assert open_dataset(entry).classes == ["background", "thing"]
        assert entry.catch_all == "background"
    write_lines(tmp_path / "d" / "scene 1" / "classes.txt", ["x", "y"])  # its own goes first
    said = start([tmp_path / "d"], tmp_path / "other.yaml")
    first, second = load(tmp_path / "other.yaml", PretrainConfig).datasets
    assert open_dataset(first).classes == ["x", "y"]
    assert second.classes.name == "scene-2-classes.txt"
    assert any(f"{listed} is not used" in line for line in said)


def test_a_class_list_above_the_only_folder_is_taken(tmp_path):
    pair(tmp_path / "d" / "inner" / "images", tmp_path / "d" / "inner" / "masks")
    write_lines(tmp_path / "d" / "classes.txt", ["a", "b"])
    start([tmp_path / "d"], tmp_path / "recipe.yaml")
    (entry,) = load(tmp_path / "recipe.yaml", PretrainConfig).datasets
    assert open_dataset(entry).classes == ["a", "b"]


def test_a_target_that_is_not_there(tmp_path, mdpseg_command):
    pair(tmp_path / "d" / "images", tmp_path / "d" / "masks")
    code, _, err = mdpseg_command("init", tmp_path / "d", "--target", "e", "--out", tmp_path / "r.yaml")
    assert code == 2
    assert "there are d" in err


OTHERS = {
    "vistas_v2": ["config_v2.0.json", "training/images/a.jpg", "validation/images/a.jpg"],
    "pascal_context": [
        "VOCdevkit/VOC2010/JPEGImages/a.jpg",
        "VOCdevkit/VOC2010/SegmentationClassContext/a.png",
        "VOCdevkit/VOC2010/ImageSets/SegmentationContext/train.txt",
    ],
    "bdd100k": ["images/10k/train/a.jpg", "labels/sem_seg/masks/train/a.png"],
    "oxford_pet": ["images/a.jpg", "annotations/trimaps/a.png", "annotations/trainval.txt"],
    "camvid": ["CamVid/train/0001TP_1.png", "CamVid/trainannot/0001TP_1.png"],
    "coco_panoptic": ["annotations/panoptic_val2017.json", "annotations/panoptic_val2017/a.png", "val2017/a.jpg"],
    "coco_instances": ["annotations/instances_val2017.json", "val2017/a.jpg"],
    "list": ["train.csv", "classes.txt", "x/a.jpg", "y/b.png"],
}
CONTENT = {"train.csv": "x/a.jpg,y/b.png\n"}


@pytest.mark.parametrize("reader", OTHERS)
def test_layouts_are_told_apart_by_their_files(tmp_path, reader):
    """Also those whose reader the configuration may not know."""
    for name in OTHERS[reader]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(CONTENT.get(name, ""))
    found = [layout.reader for layout in layouts.LAYOUTS if layout.find(tmp_path)]
    assert found == [reader]


def test_the_message_names_every_layout(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as caught:
        start([tmp_path / "empty"], tmp_path / "r.yaml")
    for layout in layouts.LAYOUTS:
        assert layout.title in str(caught.value)


def test_a_dataset_that_lacks_its_images_does_not_keep_the_others_out(tmp_path):
    write_lines(tmp_path / "all" / "coco" / "annotations" / "instances_val2017.json", ["{}"])
    with pytest.raises(UserError, match=r"holds no dataset that can be read: .*coco: Left out: val2017"):
        start([tmp_path / "all"], tmp_path / "r.yaml")
    pair(tmp_path / "all" / "mine" / "images", tmp_path / "all" / "mine" / "masks")
    said = start([tmp_path / "all"], tmp_path / "r.yaml")
    assert any("coco: passed over, Left out: val2017" in line for line in said)
    assert list(entries(tmp_path / "r.yaml")) == ["mine"]


def test_a_dataset_in_borrowed_folders_is_not_taken_for_the_original(tmp_path):
    for split in ("training", "validation"):
        pair(tmp_path / "mine" / "images" / split, tmp_path / "mine" / "annotations" / split)
    found = layouts.recognise(tmp_path / "mine")
    assert (found.reader, list(found.splits)) == ("folder", ["training", "validation"])


def test_entries_are_valid_and_torch_reads_them(tmp_path):
    root = original("voc2012")
    start([root], tmp_path / "r.yaml")
    entry = load(next(iter(entries(tmp_path / "r.yaml").values())), DatasetConfig)
    assert open_dataset(entry)[0].image.dtype == torch.uint8
