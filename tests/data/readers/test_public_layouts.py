"""Layouts that differ in little but where files lie: Vistas, PASCAL Context, BDD100K, Oxford-IIIT Pet, CamVid."""

import json

import numpy as np
import pytest

from mdpseg.data.readers import BDD100K, CamVid, OxfordPet, PASCALContext, Vistas
from mdpseg.errors import UserError
from mdpseg.label_space import LabelSpace

from .files import original, raw_mask, write_image, write_lines, write_mask


def vistas(root, labels="v2.0/labels", config="config_v2.0.json", split="training"):
    write_image(root / split / "images/a.jpg")
    write_mask(root / split / labels / "a.png", [0, 1, 2, 3])
    names = ["animal--bird", "void--unlabeled", "nature--sky", "object--car"]
    content = {
        "labels": [{"name": name, "evaluate": not name.startswith("void"), "color": [0, 0, 0]} for name in names]
    }
    (root / config).write_text(json.dumps(content))
    return root


@pytest.mark.parametrize(
    "version, labels, config",
    [
        ("v2.0", "v2.0/labels", "config_v2.0.json"),
        ("v1.2", "v1.2/labels", "config_v1.2.json"),
        ("v1.2", "labels", "config.json"),
    ],
)
def test_vistas(tmp_path, version, labels, config):
    vistas(tmp_path, labels, config)
    for split in ("training", "train"):
        data = Vistas(tmp_path, split, version=version)
        assert data.classes == ["animal--bird", "nature--sky", "object--car"]
        assert data[0].mask.flatten()[:4].tolist() == [0, 255, 1, 2]


def test_vistas_wrong(tmp_path):
    with pytest.raises(UserError, match=r"no folder .*v2.0/labels"):
        Vistas(vistas(tmp_path, "labels", "config.json"), "train", version="v1.2") and Vistas(
            vistas(tmp_path, "labels"), "train", version="v2.0"
        )
    with pytest.raises(UserError, match=r"no split 'val' in .*found: training"):
        Vistas(tmp_path, "val")
    (tmp_path / "config.json").write_text('{"labels": [{"name": 3}]}')
    with pytest.raises(UserError, match=r"config.json: labels\[0\] has name 3"):
        Vistas(tmp_path, "train")
    (tmp_path / "config.json").write_text('{"labels": [{"name": "a"}, {"name": "a"}]}')
    with pytest.raises(UserError, match=r"config.json: .*'a' more than once"):
        Vistas(tmp_path, "train")
    (tmp_path / "config.json").write_text('{"labels": [{"name": "a"}]}')
    with pytest.raises(UserError, match=r"has id 1, 2, 3; its ids must be 0\."):
        Vistas(tmp_path, "train")[0]
    (tmp_path / "config.json").unlink()
    with pytest.raises(UserError, match=r"config file .*config.json cannot be read"):
        Vistas(tmp_path, "train")


def context(root):
    voc = root / "VOCdevkit/VOC2010"
    for name in "ab":
        write_image(voc / f"JPEGImages/{name}.jpg")
        write_mask(voc / f"SegmentationClassContext/{name}.png", [0, 1, 59, 255])
    write_lines(voc / "ImageSets/SegmentationContext/train.txt", ["a", "b"])
    return voc


def test_pascal_context(tmp_path):
    voc = context(tmp_path)
    for root in (tmp_path, tmp_path / "VOCdevkit", voc):
        data = PASCALContext(root, "train")
        assert (len(data), len(data.classes), data.catch_all) == (2, 60, "background")
        assert data[0].mask.flatten()[:4].tolist() == [0, 1, 59, 255]
        assert [data.classes[i] for i in (1, 37, 59)] == ["aeroplane", "person", "wood"]
    data = PASCALContext(tmp_path, "train", num_classes=59)
    assert (len(data.classes), data.classes[0], data.catch_all) == (59, "aeroplane", None)
    assert data[0].mask.flatten()[:4].tolist() == [255, 0, 58, 255]
    assert len(PASCALContext(tmp_path, "train", subset={"count": 1})) == 1


def test_pascal_context_wrong(tmp_path):
    with pytest.raises(UserError, match=r"no folder ImageSets/SegmentationContext"):
        PASCALContext(tmp_path, "train")
    voc = context(tmp_path)
    with pytest.raises(UserError, match=r"no split 'val' in .*found: train"):
        PASCALContext(tmp_path, "val")
    write_lines(voc / "ImageSets/SegmentationContext/out.txt", ["../../../x"])
    with pytest.raises(UserError, match="leads out of the dataset"):
        PASCALContext(tmp_path, "out")
    write_mask(voc / "SegmentationClassContext/a.png", [60])
    with pytest.raises(UserError, match=r"has id 60; its ids must be 0\.\.59, 255"):
        PASCALContext(tmp_path, "train")[0]


@pytest.mark.parametrize(
    "images, masks",
    [("images/10k", "labels/sem_seg/masks/train/a.png"), ("seg/images", "seg/labels/train/a_train_id.png")],
)
def test_bdd100k(tmp_path, images, masks):
    root = tmp_path / "bdd100k"
    write_image(root / images / "train/a.jpg")
    write_mask(root / masks, [0, 18, 255])
    for place in (tmp_path, root):
        data = BDD100K(place, "train")
        assert (len(data.classes), data.classes[0], data.classes[18]) == (19, "road", "bicycle")
        assert data[0].mask.flatten()[:3].tolist() == [0, 18, 255]
    write_mask(root / masks, [19])
    with pytest.raises(UserError, match=r"has id 19; its ids must be 0\.\.18, 255"):
        data[0]
    (root / masks).unlink()
    with pytest.raises(UserError, match=r"a.jpg has no mask; expected .*" + masks.rpartition("/")[2]):
        BDD100K(root, "train")
    with pytest.raises(UserError, match=r"no split 'val'"):
        BDD100K(root, "val")


def pets(root):
    for name in ("Abyssinian_1", "great_pyrenees_2", "Abyssinian_3"):
        write_image(root / f"images/{name}.jpg")
        write_mask(root / f"annotations/trimaps/{name}.png", [1, 2, 3])
    write_lines(root / "annotations/trainval.txt", ["#Image CLASS-ID SPECIES BREED ID", "great_pyrenees_2 2 2 1"])
    write_lines(root / "annotations/test.txt", ["Abyssinian_1 1 1 1", "Abyssinian_3 1 1 1"])
    return root


def test_pets(tmp_path):
    for split, count in (("trainval", 1), ("train", 1), ("test", 2), ("val", 2)):
        data = OxfordPet(pets(tmp_path), split)
        assert (len(data), data.classes, data.catch_all) == (count, ["pet", "background"], "background")
        assert data[0].mask.flatten()[:3].tolist() == [0, 1, 255]


def test_breeds(tmp_path):
    for split, breed in (("train", 1), ("val", 0)):
        data = OxfordPet(pets(tmp_path), split, breeds=True)
        assert (data.classes, data.catch_all) == (["Abyssinian", "great_pyrenees", "background"], "background")
        assert data[0].mask.flatten()[:3].tolist() == [breed, 2, 255]
        assert data[0].mask.dtype == data[0].image.dtype


def test_pets_wrong(tmp_path):
    with pytest.raises(UserError, match=r"no folder .*images"):
        OxfordPet(tmp_path, "train")
    pets(tmp_path)
    with pytest.raises(UserError, match=r"no split 'dev' in .*found: test, trainval"):
        OxfordPet(tmp_path, "dev")
    for line, said in (
        ("Abyssinian_1", "'Abyssinian_1'; expected lines such as"),
        ("../x 1 1 1", "expected lines such as"),
        ("Abyssinian_1 0 1 1", "expected lines such as"),
        ("Abyssinian_1 2 1 1", "'great_pyrenees' and 'Abyssinian' the same number 2"),
        ("Abyssinian_1 4 1 1", "no image of breed 1"),
    ):
        write_lines(tmp_path / "annotations/test.txt", [line])
        with pytest.raises(UserError, match=said):
            OxfordPet(tmp_path, "test", breeds=True)
    write_lines(tmp_path / "annotations/test.txt", ["Abyssinian_9 1 1 1"])
    with pytest.raises(UserError, match="id 'Abyssinian_9' has no image"):
        OxfordPet(tmp_path, "test")


def test_camvid(tmp_path):
    write_image(tmp_path / "CamVid/train/a.png")
    write_mask(tmp_path / "CamVid/trainannot/a.png", [0, 10, 11])
    for root in (tmp_path, tmp_path / "CamVid"):
        data = CamVid(root, "train")
        assert data[0].mask.flatten()[:3].tolist() == [0, 10, 255]
        assert LabelSpace.concatenate({"camvid": data.classes}).names[10] == "camvid/bicyclist"
    with pytest.raises(UserError, match=r"no split 'val'"):
        CamVid(tmp_path, "val")
    write_mask(tmp_path / "CamVid/trainannot/a.png", [12])
    with pytest.raises(UserError, match=r"has id 12; its ids must be 0\.\.11, 255"):
        data[0]


@pytest.mark.parametrize("split", ["train", "val"])
def test_camvid_original(split):
    data = CamVid(original("camvid"), split)
    assert len(data) == 3
    for pair, sample in zip(data.pairs, data, strict=True):
        raw = raw_mask(pair.mask)
        np.testing.assert_array_equal(sample.mask.numpy(), np.where(raw == 11, 255, raw))
