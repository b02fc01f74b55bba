import json
import os
import shutil
import signal
import time

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

import mdpseg
from mdpseg.data.open import open_dataset
from mdpseg.data.readers import Folder
from mdpseg.data.readers.unlabelled import Images, Unlabelled
from mdpseg.data.shards.folder import STATE
from mdpseg.data.shards.index import parse
from mdpseg.data.shards.pack import pack
from mdpseg.data.shards.reader import Shards
from mdpseg.errors import UserError
from tests import processes, tiny
from tests.data.readers.files import write_image, write_mask
from tests.data.test_open import config

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def folder(root, count=5, seed=0, names=None):
    for number in range(count):
        key = names[number] if names else f"{number:03}"
        write_image(root / "images" / f"{key}.jpg", seed=seed + number)
        ids = np.random.default_rng(number).choice([0, 1, 255], (8, 10))
        write_mask(root / "masks" / f"{key}.png", ids)
    return opened(root)


def opened(root, **more):
    return Folder(root / "images", root / "masks", ["a", "b"], name="mine", catch_all="a", **more)


def content(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


def same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.id == b.id
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.mask, b.mask)


def test_what_is_packed_is_what_is_read(tmp_path):
    names = ["a.b", "town/1", "town/2.x", "ü %2E", "x" * 150]
    reader = folder(tmp_path / "d", names=names)
    pack(reader, tmp_path / "out", shard_bytes=5000, workers=0)
    packed = Shards(tmp_path / "out", name="mine")
    same(packed, reader)
    assert (packed.classes, packed.catch_all) == (reader.classes, "a")
    assert len(list((tmp_path / "out").glob("*.tar"))) > 1
    part = {"fraction": 0.5, "seed": 3}
    same(Shards(tmp_path / "out", subset=part), opened(tmp_path / "d", subset=part))


def test_names_that_are_not_utf_8(tmp_path):
    reader = folder(tmp_path / "d", names=[os.fsdecode(b"B\xe4r"), "ü", "z"], count=3)
    for _ in range(2):  # the second has nothing to do
        pack(reader, tmp_path / "out", shard_bytes=5000, workers=0)
    same(Shards(tmp_path / "out", name="mine"), reader)
    index = tmp_path / "out" / "index.json"
    index.unlink()
    same(Shards(tmp_path / "out", name="mine", classes=["a", "b"]), reader)  # the shards alone hold the names too


def test_an_index_of_version_0_1_is_the_same(tmp_path):
    reader = folder(tmp_path / "d", names=["ü %2E", "町/1"], count=2)
    made = pack(reader, tmp_path / "out", workers=0)
    file = tmp_path / "out" / "index.json"
    content = file.read_bytes()
    old = content.decode("unicode_escape")  # it wrote names as they are
    assert content.isascii()
    assert "町/1" in old
    assert parse(content, "new") == parse(old.encode(), "old") == made
    file.write_text(old, encoding="utf-8")
    assert pack(reader, tmp_path / "out", workers=0) == made  # nothing to do


def test_images_keep_their_bytes_and_masks_are_ids(tmp_path):
    write_image(tmp_path / "images" / "p.jpeg")
    write_image(tmp_path / "images" / "q.png", seed=1)
    for key in "pq":
        write_mask(tmp_path / "masks" / f"{key}.png", [0, 1, 255])
    reader = opened(tmp_path)
    pack(reader, tmp_path / "out", workers=0)
    samples = {
        s["__key__"]: s for s in webdataset.WebDataset(str(tmp_path / "out" / "shard-000000.tar"), shardshuffle=False)
    }
    assert samples["p"]["jpg"] == (tmp_path / "images" / "p.jpeg").read_bytes()
    assert samples["q"]["png"] == (tmp_path / "images" / "q.png").read_bytes()
    assert set(samples["p"]) >= {"jpg", "mask.png"}
    decoded = list(webdataset.WebDataset(str(tmp_path / "out" / "shard-000000.tar"), shardshuffle=False).decode("pil"))
    assert np.array_equal(np.asarray(decoded[0]["mask.png"].convert("L")), reader[0].mask.numpy())


def test_a_webp_that_is_called_png_stays_what_it_is(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (10, 8), (9, 99, 200)).save(tmp_path / "images" / "a.png", "WEBP")
    write_mask(tmp_path / "masks" / "a.png", [0])
    pack(opened(tmp_path), tmp_path / "out", workers=0)
    same(Shards(tmp_path / "out"), opened(tmp_path))
    (sample,) = webdataset.WebDataset(str(tmp_path / "out" / "shard-000000.tar"), shardshuffle=False)
    assert "webp" in sample


def test_the_same_dataset_gives_the_same_bytes(tmp_path):
    reader = folder(tmp_path / "d")
    for out in "ab":
        pack(reader, tmp_path / out, shard_bytes=5000, workers=2 if out == "a" else 0)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_toy_worlds_and_images_alone(tmp_path):
    toy = open_dataset(config(**tiny.toy("fine", count=3)))
    pack(toy, tmp_path / "toy", workers=0)
    same(Shards(tmp_path / "toy"), toy)
    folder(tmp_path / "d")
    alone = Unlabelled(Images(tmp_path / "d" / "images", name="web"))
    pack(alone, tmp_path / "web", workers=0)
    entry = config(name="web", reader="shards", path=str(tmp_path / "web"), unlabelled=True)
    same(open_dataset(entry), alone)
    with pytest.raises(UserError, match="unlabelled: true"):
        Shards(tmp_path / "web", ["a", "b"])


def test_a_second_packing_has_nothing_to_do(tmp_path):
    reader = folder(tmp_path / "d")
    first = pack(reader, tmp_path / "out", workers=0)
    stamp = (tmp_path / "out" / "shard-000000.tar").stat().st_mtime_ns
    assert pack(reader, tmp_path / "out", workers=0) == first
    assert (tmp_path / "out" / "shard-000000.tar").stat().st_mtime_ns == stamp


def test_anothers_folder_is_refused(tmp_path):
    reader = folder(tmp_path / "d")
    pack(reader, tmp_path / "out", workers=0)
    before = content(tmp_path / "out")
    with pytest.raises(UserError, match="another dataset"):
        pack(folder(tmp_path / "e", count=4), tmp_path / "out", workers=0)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "x.tar").touch()
    with pytest.raises(UserError, match="not of this packing"):
        pack(reader, tmp_path / "foreign", workers=0)
    assert content(tmp_path / "out") == before
    assert [p.name for p in (tmp_path / "foreign").iterdir()] == ["x.tar"]


def interrupted(tmp_path):
    """Packs ``d`` into ``whole``, and into ``out`` until a bad image stops it; the image's path, and what it was."""
    reader = folder(tmp_path / "d")
    pack(reader, tmp_path / "whole", shard_bytes=5000, workers=0)
    bad = tmp_path / "d" / "images" / "004.jpg"
    good = bad.read_bytes()
    bad.write_bytes(good[:100])
    with pytest.raises(UserError, match=r"004\.jpg"):
        pack(opened(tmp_path / "d"), tmp_path / "out", shard_bytes=5000, workers=0)
    return bad, good


def test_a_bad_image_stops_and_a_corrected_one_lets_it_go_on(tmp_path):
    bad, good = interrupted(tmp_path)
    made = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.tar")}
    assert made
    with pytest.raises(UserError, match="not finished"):
        Shards(tmp_path / "out", ["a", "b"])
    bad.write_bytes(good)
    pack(opened(tmp_path / "d"), tmp_path / "out", shard_bytes=5000, workers=0)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in made} == made


def test_an_unfinished_packing_of_another_dataset_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / STATE).write_text(json.dumps({"dataset": "voc", "fingerprint": "0"}))
    with pytest.raises(UserError, match="unfinished packing of another"):
        pack(folder(tmp_path / "d"), tmp_path / "out", workers=0)


@pytest.mark.slow
def test_a_killed_packing_goes_on(tmp_path):
    folder(tmp_path / "d", count=400)
    (tmp_path / "d" / "classes.txt").write_text("a\nb\n")
    entry = (
        f"{{name: mine, reader: folder, path: {tmp_path}/d, images: {tmp_path}/d/images, masks: {tmp_path}/d/masks}}"
    )
    arguments = ["data", "pack", entry, "--shard-size", "1", "--workers", "0"]
    # a megabyte holds all of these: the size is set below the option's
    reader = opened(tmp_path / "d")
    pack(Folder(tmp_path / "d/images", tmp_path / "d/masks", ["a", "b"], name="mine"), tmp_path / "whole",
         shard_bytes=10**6, workers=0)  # fmt: skip
    assert len(reader) == 400
    process = processes.start(*arguments, "--out", tmp_path / "out", stderr=tmp_path / "err")
    while process.is_alive() and not list((tmp_path / "out").glob("shard-*.tar")):
        time.sleep(0.005)
    if process.is_alive():
        process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    process = processes.start(*arguments, "--out", tmp_path / "out", stderr=tmp_path / "err")
    process.join()
    assert process.exitcode == 0
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_run_from_shards_is_the_run_from_files(tmp_path):
    entry = tiny.image_folder(tmp_path / "d", count=6)
    pack(open_dataset(config(**entry)), tmp_path / "packed" / "train", workers=0)
    shards = {"name": "mine", "reader": "shards", "path": str(tmp_path / "packed"), "split": "train"}
    for name, dataset in (("files", entry), ("shards", shards)):
        mdpseg.pretrain(
            tiny.pretraining(
                tmp_path / name, datasets=[dataset, tiny.toy("fine")], network=tiny.FAST_NETWORK, iterations=2
            )
        )
    assert tiny.losses(tmp_path / "files") == tiny.losses(tmp_path / "shards")
    assert tiny.same(tiny.tensors(tmp_path / "files"), tiny.tensors(tmp_path / "shards"))


def test_the_command_packs_each_dataset_of_a_recipe(tmp_path, mdpseg_command):
    train = tiny.image_folder(tmp_path / "d", count=3)
    val = tiny.image_folder(tmp_path / "d", count=2, split="val")
    recipe = tiny.write_recipe(tmp_path / "r.yaml", tiny.finetuning(tmp_path / "run", train=train, val=val))
    code, out, _ = mdpseg_command("data", "pack", recipe, "--out", tmp_path / "out", "--workers", 0)
    assert code == 0
    assert "3 images in 1 shards" in out
    for split, count in (("train", 3), ("val", 2)):
        entry = config(name="mine", reader="shards", path=str(tmp_path / "out" / "mine"), split=split)
        assert len(open_dataset(entry)) == count
    with pytest.raises(UserError, match="test"):
        open_dataset(config(name="mine", reader="shards", path=str(tmp_path / "out" / "mine"), split="test"))


@pytest.mark.parametrize("text", ["{reader: folder", "nowhere.yaml", "{name: a, reader: shards}", "{- a}"])
def test_a_source_that_is_none(text, mdpseg_command, tmp_path):
    code, _, err = mdpseg_command("data", "pack", text, "--out", tmp_path / "out")
    assert code == 2
    assert err.startswith("mdpseg: ")
    assert not (tmp_path / "out").exists()


def test_the_entry_alone_as_a_file(tmp_path, mdpseg_command):
    tiny.write_recipe(tmp_path / "entry.yaml", tiny.image_folder(tmp_path / "d"))
    code, _, _ = mdpseg_command("data", "pack", tmp_path / "entry.yaml", "--out", tmp_path / "out", "--workers", 0)
    assert code == 0
    same(Shards(tmp_path / "out"), open_dataset(config(**tiny.image_folder(tmp_path / "d"))))
    shutil.rmtree(tmp_path / "out")


@pytest.mark.parametrize("entry", [{"split": "../../out"}, {"name": ".."}])
def test_a_stranger_s_recipe_stays_in_the_folder(entry, tmp_path, mdpseg_command):
    folder(tmp_path / "d", count=1)
    places = {"images": str(tmp_path / "d/images"), "masks": str(tmp_path / "d/masks"), "classes": ["a", "b"]}
    recipe = tiny.pretraining(tmp_path / "run", datasets=[{"name": "mine", "reader": "folder", **places, **entry}])
    path = tiny.write_recipe(tmp_path / "r.yaml", recipe)
    code, _, err = mdpseg_command("data", "pack", path, "--workers", 0, "--out", tmp_path / "to" / "inner")
    assert code == 2
    assert "which is not inside" in err
    assert not (tmp_path / "to").exists()
