"""Lists of pairs are told by their lines, whatever they are called."""

import pytest

from mdpseg.config import FinetuneConfig, PretrainConfig
from mdpseg.data.layouts import recognise
from mdpseg.data.open import open_dataset
from mdpseg.data.start import start
from mdpseg.recipe import load
from tests.data.readers.files import write_image, write_lines, write_mask


def photos(root, keys="abc", ids=(0, 0, 2, 255)):
    for key in keys:
        write_image(root / "photos" / f"{key}.jpg")
        write_mask(root / "labels" / f"{key}_m.png", ids)


LINES = {
    "train.txt": "photos/{0}.jpg labels/{0}_m.png",
    "pairs.csv": "photos/{0}.jpg,labels/{0}_m.png",
    "whatever.tsv": "photos/{0}.jpg\tlabels/{0}_m.png",
}


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("listed", [True, False])
def test_a_list_of_any_name_with_and_without_a_class_list(tmp_path, name, listed):
    root = tmp_path / "mine"
    photos(root)
    write_lines(root / name, [LINES[name].format(key) for key in "ab"])
    if listed:
        write_lines(root / "classes.txt", ["pet", "border", "ground"])
    start([root], tmp_path / "recipe.yaml")
    (entry,) = load(tmp_path / "recipe.yaml", PretrainConfig).datasets
    assert (entry.reader, entry.name) == ("list", "mine")
    reader = open_dataset(entry)
    assert [sample.id for sample in reader] == ["photos/a", "photos/b"]
    assert reader.classes == (["pet", "border", "ground"] if listed else ["class_0", "class_1", "class_2"])
    assert (tmp_path / "mine-classes.txt").exists() == (not listed)
    assert entry.catch_all == (None if listed else "class_0")


def test_masks_of_colours_get_a_class_list(tmp_path):
    photos(tmp_path / "mine")
    for key in "ab":
        write_image(tmp_path / "mine/labels" / f"{key}_m.png", 4, 5)
    write_lines(tmp_path / "mine/train.csv", ["image,mask", *(f"photos/{k}.jpg,labels/{k}_m.png" for k in "ab")])
    start([tmp_path / "mine"], tmp_path / "recipe.yaml")
    (entry,) = load(tmp_path / "recipe.yaml", PretrainConfig).datasets
    assert entry.classes.name == "mine-classes.yaml"
    assert len(open_dataset(entry).classes) == 20  # all pixels of the same random image


def test_splits_by_the_beginning_of_the_name(tmp_path):
    photos(tmp_path / "d")
    write_lines(tmp_path / "d/val_pairs.txt", ["photos/c.jpg labels/c_m.png"])
    write_lines(tmp_path / "d/train_pairs.txt", ["photos/a.jpg labels/a_m.png", "photos/b.jpg labels/b_m.png"])
    start([tmp_path / "d"], tmp_path / "recipe.yaml")
    finetune = load(tmp_path / "recipe-finetune.yaml", FinetuneConfig)
    assert [len(open_dataset(entry)) for entry in (finetune.train, finetune.val)] == [2, 1]


def test_the_file_that_holds_pairs_is_read_and_not_its_namesake(tmp_path):
    photos(tmp_path / "d")
    write_lines(tmp_path / "d/train.csv", ["weather,hour", "rain,7"])
    write_lines(tmp_path / "d/train.txt", ["photos/a.jpg labels/a_m.png"])
    start([tmp_path / "d"], tmp_path / "recipe.yaml")
    (entry,) = load(tmp_path / "recipe.yaml", PretrainConfig).datasets
    assert entry.path == tmp_path / "d/train.txt"
    assert len(open_dataset(entry)) == 1


@pytest.mark.parametrize("lines", [["a", "b"], ["a.jpg", "b.jpg"], ["photos/x.jpg labels/x_m.png"], ["x" * 5000], []])
def test_other_texts_are_no_lists_of_pairs(tmp_path, lines):
    photos(tmp_path)
    write_lines(tmp_path / "train.txt", lines)
    (tmp_path / "notes.csv").write_bytes(b"\xff\x00,\x01")
    assert recognise(tmp_path).reader == "folder"


def test_a_list_with_a_missing_mask_is_told_by_its_reader(tmp_path, mdpseg_command):
    photos(tmp_path / "d")
    (tmp_path / "d/labels/b_m.png").unlink()
    write_lines(tmp_path / "d/train.txt", [f"photos/{k}.jpg labels/{k}_m.png" for k in "ab"])
    code, _, err = mdpseg_command("init", tmp_path / "d", "--out", tmp_path / "r.yaml")
    assert code == 2
    assert "photos/b.jpg has no mask; expected" in err
    code, out, _ = mdpseg_command("data", "check", tmp_path / "d", "--workers", 0)
    assert code == 1
    assert "Missing partners: 1\n" in out
