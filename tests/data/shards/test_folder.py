"""Whose shards a folder holds, and whether they are of the dataset as it is now."""

import json
import os
import shutil

import numpy as np
import pytest
import webdataset
from PIL import Image

from mdpseg.data.open import open_dataset
from mdpseg.data.readers import COCOInstances, Folder, HuggingFace, PairList
from mdpseg.data.readers.tiff import Bands
from mdpseg.data.shards import fingerprint
from mdpseg.data.shards.folder import STATE, begin
from mdpseg.data.shards.pack import pack
from mdpseg.data.shards.reader import Shards
from mdpseg.errors import UserError
from tests import tiny
from tests.data.readers.files import write_image, write_mask
from tests.data.shards.test_pack import content, folder, interrupted, opened, same
from tests.data.test_open import config

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def coloured(root, colours):
    """The folder with a class list of these colours, whose masks hold red and black."""
    (root / "classes.yaml").write_text(
        "\n".join(f"- {{name: {name}, color: {colour}}}" for name, colour in zip("ab", colours, strict=True))
    )
    return Folder(root / "images", root / "masks", root / "classes.yaml", name="mine")


def outlined(root, category):
    """One photograph with one square of COCO's instances."""
    write_image(root / "images" / "p.jpg")
    square = {"id": 1, "image_id": 1, "category_id": category, "segmentation": [[1, 1, 5, 1, 5, 5, 1, 5]]}
    content = {
        "images": [{"id": 1, "file_name": "p.jpg", "height": 8, "width": 10}],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "annotations": [square],
    }
    (root / "i.json").write_text(json.dumps(content))
    return COCOInstances(root, "train", images=root / "images", annotations=root / "i.json", name="mine")


def red_and_black(root):
    write_image(root / "images" / "p.jpg")
    (root / "masks").mkdir()
    pixels = np.zeros((8, 10, 3), np.uint8)
    pixels[:4] = 255, 0, 0
    Image.fromarray(pixels).save(root / "masks" / "p.png")


def with_mask(root, other):
    """Masks of equal sizes as files: one pixel differs."""
    write_image(root / "images" / "p.png")
    ids = np.zeros((8, 10), np.uint8)
    ids[0, other] = 1
    (root / "masks").mkdir(exist_ok=True)
    mask = root / "masks" / "p.png"
    Image.fromarray(ids).save(mask, compress_level=0)
    os.utime(mask, (0, 0))  # not even the time tells
    return opened(root)


def toy(size):
    return open_dataset(config(**tiny.toy("fine", count=2, size=size)))


CHANGES = {
    "colours": (
        red_and_black,
        lambda root: coloured(root, [[255, 0, 0], [0, 0, 0]]),
        lambda root: coloured(root, [[0, 0, 0], [255, 0, 0]]),
    ),
    "annotations": (lambda root: None, lambda root: outlined(root, 1), lambda root: outlined(root, 2)),
    "pixels": (lambda root: None, lambda root: with_mask(root, 2), lambda root: with_mask(root, 3)),
    "toy": (lambda root: None, lambda root: toy(64), lambda root: toy(32)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_dataset_that_changed_is_not_taken_for_what_is_packed(change, tmp_path):
    prepare, before, after = CHANGES[change]
    root = tmp_path / "d"
    root.mkdir()
    prepare(root)
    out = tmp_path / "out"
    first = pack(before(root), out, workers=0)
    packed = content(out)
    assert pack(before(root), out, workers=0) == first
    changed = after(root)
    with pytest.raises(UserError, match="has changed"):
        pack(changed, out, workers=0)
    assert content(out) == packed
    pack(changed, tmp_path / "anew", workers=0)
    assert content(tmp_path / "anew")["shard-000000.tar"] != packed["shard-000000.tar"]


def test_bands_of_a_tiff_that_changed(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (4, 8, 10), dtype=np.uint8)
    with rasterio.open(
        tmp_path / "images" / "p.tif", "w", driver="GTiff", width=10, height=8, count=4, dtype="uint8"
    ) as file:
        file.write(pixels)
    write_mask(tmp_path / "masks" / "p.png", [0, 1])
    pack(opened(tmp_path, bands=Bands((1, 2, 3))), tmp_path / "out", workers=0)
    pack(opened(tmp_path, bands=Bands((1, 2, 3))), tmp_path / "out", workers=0)
    with pytest.raises(UserError, match="has changed"):
        pack(opened(tmp_path, bands=Bands((1, 2, 4))), tmp_path / "out", workers=0)


def test_rows_of_hugging_face_that_changed(tmp_path):
    datasets = pytest.importorskip("datasets")
    for number in range(2):
        mask = np.full((8, 10), number, np.uint8).tolist()
        rows = datasets.Dataset.from_dict(
            {"image": [Image.new("RGB", (10, 8), (9, 99, 200))], "mask": [mask]},
            features=datasets.Features(
                {"image": datasets.Image(), "mask": datasets.Sequence(datasets.Sequence(datasets.Value("uint8")))}
            ),
        )
        rows.save_to_disk(str(tmp_path / str(number)))
    readers = [HuggingFace(tmp_path / str(number), "train", ["a", "b"], name="mine") for number in range(2)]
    for _ in range(2):
        pack(readers[0], tmp_path / "out", workers=0)
    with pytest.raises(UserError, match="has changed"):
        pack(readers[1], tmp_path / "out", workers=0)


def test_a_copy_of_the_dataset_is_the_same(tmp_path):
    first = pack(folder(tmp_path / "d"), tmp_path / "out", workers=0)
    shutil.copytree(tmp_path / "d", tmp_path / "copy", copy_function=shutil.copyfile)  # other places, other times
    assert pack(opened(tmp_path / "copy"), tmp_path / "out", workers=2) == first


def test_shards_of_a_version_that_noted_less_are_told(tmp_path):
    reader = folder(tmp_path / "d")
    pack(reader, tmp_path / "out", workers=0)
    index = tmp_path / "out" / "index.json"
    index.write_text(index.read_text().replace('"fingerprint": "2:', '"fingerprint": "'))
    before = content(tmp_path / "out")
    with pytest.raises(UserError, match="shards of an earlier version"):
        pack(reader, tmp_path / "out", workers=0)
    assert content(tmp_path / "out") == before
    same(Shards(tmp_path / "out"), reader)


def test_what_an_interrupted_packing_left_is_compared(tmp_path):
    bad, good = interrupted(tmp_path)
    bad.write_bytes(good)
    first = tmp_path / "d" / "masks" / "000.png"
    mask = np.asarray(Image.open(first)).copy()
    mask[0, 0] = 1 - min(mask[0, 0], 1)
    Image.fromarray(mask).save(first)  # in a shard that is finished
    (tmp_path / "out" / "shard-000001.tar.json").write_text("{")  # and one of which nothing is known
    pack(opened(tmp_path / "d"), tmp_path / "out", shard_bytes=5000, workers=0)
    same(Shards(tmp_path / "out"), opened(tmp_path / "d"))
    assert content(tmp_path / "out") != content(tmp_path / "whole")


def test_files_of_others_stay(tmp_path):
    reader = folder(tmp_path / "d")
    out = tmp_path / "out"
    pack(reader, out, workers=0)
    names = ("shard-more.tar", "shard-000001.tar", "shard-x.tar.json", "shard-000000.tar.json")
    for name in names:
        (out / name).write_bytes(b"somebody's")
    pack(reader, out, workers=0)  # has nothing to do
    assert {(out / name).read_bytes() for name in names} == {b"somebody's"}
    shutil.rmtree(out)
    out.mkdir()
    (out / STATE).write_text(content_of_state(reader, tmp_path))
    for name in names:
        (out / name).write_bytes(b"somebody's")
    pack(reader, out, workers=0)  # goes on, and tidies what pack itself has left
    assert sorted(path.name for path in out.iterdir()) == [
        "index.json", "shard-000000.tar", "shard-more.tar", "shard-x.tar.json",
    ]  # fmt: skip


def content_of_state(reader, tmp_path):
    """What stands in the folder of a packing that has just begun."""
    begin(tmp_path / "begun", reader, fingerprint.beginning(reader, 256 * 10**6), 0)
    return (tmp_path / "begun" / STATE).read_text()


def test_a_packing_that_was_interrupted_as_it_tidied(tmp_path):
    reader = folder(tmp_path / "d")
    out = tmp_path / "out"
    pack(reader, out, workers=0)
    whole = content(out)
    (out / STATE).write_text("{}")
    (out / "shard-000000.tar.json").write_text("{}")
    (out / "shard-000007.tar").write_text("")
    pack(reader, out, workers=0)
    assert content(out) == whole


def test_colons_and_backslashes_in_names(tmp_path):
    names = ["1:30", "a\\b", "b", "town.1", "x%3Ay"]
    reader = folder(tmp_path / "d", names=names)
    pack(reader, tmp_path / "out", workers=0)
    same(Shards(tmp_path / "out", name="mine"), reader)
    keys = {s["__key__"] for s in webdataset.WebDataset(str(tmp_path / "out" / "shard-000000.tar"), shardshuffle=False)}
    assert keys == {"1%3A30", "a%5Cb", "b", "town%2E1", "x%253Ay"}
    (tmp_path / "out" / "index.json").unlink()
    same(Shards(tmp_path / "out", ["a", "b"], name="mine"), reader)  # the ids are those that were packed


def test_a_name_that_no_reader_would_open_is_not_packed(tmp_path):
    folder(tmp_path / "d", count=1)
    image, mask = tmp_path / "d/images/../images/000.jpg", tmp_path / "d/masks/000.png"
    (tmp_path / "train.csv").write_text(f"{image},{mask}\n")
    with pytest.raises(UserError, match="would lead out"):
        pack(PairList(tmp_path, "train", ["a", "b"]), tmp_path / "out", workers=0)
    assert not (tmp_path / "out").exists()
