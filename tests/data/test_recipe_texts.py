"""What ``mdpseg init`` writes is read back as it was meant, whatever folders and recipes are called."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdpseg.config import FinetuneConfig, PretrainConfig
from mdpseg.data.open import open_dataset
from mdpseg.data.start import start
from mdpseg.errors import UserError
from mdpseg.recipe import load
from tests.data.readers.files import write_image, write_lines, write_mask


def folder(root, ids=(0, 0, 1)):
    write_image(root / "images" / "0.jpg")
    write_mask(root / "masks" / "0.png", ids)
    return root


@pytest.mark.parametrize("stem", ["a: b", "a #b", "it's", "[x]", "two words", "x\nbatch_size: 3", "é", "-", "12"])
def test_the_name_of_a_recipe_is_quoted_where_it_must_be(tmp_path, stem):
    out = tmp_path / f"{stem}.yaml"
    start([folder(tmp_path / "plain")], out)
    assert load(out, PretrainConfig).out == Path(f"runs/{stem}")
    assert load(out, PretrainConfig).batch_size == 16
    written = out.with_name(f"{stem}-finetune.yaml")
    assert load(written, FinetuneConfig).out == Path(f"runs/{stem}-finetune")
    lines = written.read_text().split("\n")
    (init,) = [line for line in lines if line.startswith("# init: ")]
    if "\n" not in stem:
        written.write_text("\n".join(line.removeprefix("# ") if line == init else line for line in lines))
        assert load(written, FinetuneConfig).init == f"runs/{stem}/weights.safetensors"


def test_a_plain_name_stays_plain(tmp_path):
    start([folder(tmp_path / "plain")], tmp_path / "first.yaml")
    assert "\nout: runs/first\n" in (tmp_path / "first.yaml").read_text()
    assert (tmp_path / "first.yaml").read_text().startswith(f"# mdpseg pretrain {tmp_path / 'first.yaml'}\n")


@pytest.mark.parametrize(
    "name, expected", [("m²", "m-"), ("Straße_2", "Straße_2"), ("½ x", "--x"), ("٣", "٣"), ("①", "-")]
)
def test_the_name_of_a_folder_is_one_that_recipes_take(tmp_path, name, expected):
    start([folder(tmp_path / name)], tmp_path / "recipe.yaml")
    (entry,) = load(tmp_path / "recipe.yaml", PretrainConfig).datasets
    assert entry.name == expected
    assert len(open_dataset(entry)) == 1


@pytest.mark.parametrize("out", [".", "/", "there"])
def test_a_recipe_has_a_name(tmp_path, mdpseg_command, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "plain")
    (tmp_path / "there").mkdir()
    code, _, err = mdpseg_command("init", "plain", "--out", out)
    assert code == 2
    assert err == f"mdpseg: --out {out} is a folder; expected the recipe's name, such as {Path(out) / 'recipe.yaml'}.\n"
    assert sorted(os.listdir(tmp_path)) == ["plain", "there"]


def test_recipes_for_the_same_data_share_a_class_list(tmp_path):
    root = folder(tmp_path / "plain")
    start([root], tmp_path / "out" / "a.yaml")
    (said,) = [line for line in start([root], tmp_path / "out" / "b.yaml") if line.startswith("Wrote ")]
    assert "b.yaml" in said
    assert "plain-classes.txt" not in said
    for name in "ab":
        (entry,) = load(tmp_path / "out" / f"{name}.yaml", PretrainConfig).datasets
        assert open_dataset(entry).classes == ["class_0", "class_1"]
    write_lines(tmp_path / "out" / "plain-classes.txt", ["leaf"])  # the masks hold two ids
    with pytest.raises(
        UserError, match=r"plain-classes\.txt is there already, with other .* another folder by --out\."
    ):
        start([root], tmp_path / "out" / "c.yaml")
    assert not (tmp_path / "out" / "c.yaml").exists()
    assert (tmp_path / "out" / "plain-classes.txt").read_text() == "leaf\n"


def test_a_class_list_with_names_of_the_users_is_kept_and_used(tmp_path, mdpseg_command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "plain")
    start([Path("plain")], Path("a.yaml"))
    for names, rest in ((["leaf", "stem"], None), (["leaf", "background", "more"], "background")):
        write_lines(tmp_path / "plain-classes.txt", names)
        out = Path(f"{len(names)}.yaml")
        said = start([Path("plain")], out)
        assert any("Kept plain-classes.txt, which is there already: its names are used." in line for line in said)
        (entry,) = load(out, PretrainConfig).datasets
        assert open_dataset(entry).classes == names
        assert (tmp_path / "plain-classes.txt").read_text().split() == names
        assert entry.catch_all == rest
    assert "Classes from plain-classes.txt." in mdpseg_command("data", "check", "plain", "--workers", 0)[1]


def test_colours_of_the_users_class_list_are_kept(tmp_path):
    root = folder(tmp_path / "plain")
    mask = np.zeros((8, 10, 3), np.uint8)
    mask[:4] = (255, 0, 0)
    Image.fromarray(mask).save(root / "masks" / "0.png")
    write_lines(root / "classes.txt", ["bg", "thing"])
    start([root], tmp_path / "a.yaml")
    assert (
        f"{root / 'classes.txt'} has names without colours, the masks hold colours: it is not used."
        in (tmp_path / "a.yaml").read_text()
    )
    written = tmp_path / "plain-classes.yaml"
    # as its comment says: the colour's line out, two lines above the others
    comment = [line.removeprefix("#   ") for line in written.read_text().splitlines() if line.startswith("#   ")]
    assert comment == ["ignore_color: [0, 0, 0]", "classes:"]
    edited = "\n".join([*comment, "- {name: thing, color: [255, 0, 0]}", ""])
    written.write_text(edited)
    start([root], tmp_path / "b.yaml")
    (entry,) = load(tmp_path / "b.yaml", PretrainConfig).datasets
    assert open_dataset(entry)[0].mask.flatten().bincount(minlength=256)[[0, 255]].tolist() == [40, 40]
    assert written.read_text() == edited
    written.write_text("- {name: thing, color: [255, 0, 0]}\n")  # black is nowhere
    with pytest.raises(UserError, match=r"plain-classes\.yaml is there already, with other content"):
        start([root], tmp_path / "c.yaml")


def test_a_recipe_to_fine_tune_is_added_to_the_one_that_is_there(tmp_path, mdpseg_command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "Straßen Szenen"):
        folder(tmp_path / "all" / name)
    assert mdpseg_command("init", "all")[0] == 0
    before = (tmp_path / "recipe.yaml").read_bytes()
    code, said, err = mdpseg_command("init", "all", "--target", "Straßen Szenen")  # the folder's name
    assert (code, err) == (0, "")
    assert "Kept recipe.yaml, which is there already and says the same." in said
    assert "Wrote recipe-finetune.yaml." in said
    assert (tmp_path / "recipe.yaml").read_bytes() == before
    assert load(tmp_path / "recipe-finetune.yaml", FinetuneConfig).train.name == "Straßen-Szenen"
    code, _, err = mdpseg_command("init", "all", "--target", "one")  # another fine-tuning is there
    assert code == 2
    assert "recipe-finetune.yaml is there already, with other content; remove it" in err
    (tmp_path / "recipe-finetune.yaml").unlink()
    (tmp_path / "recipe.yaml").write_bytes(before + b"seed: 3\n")
    code, _, err = mdpseg_command("init", "all", "--target", "one")
    assert code == 2
    assert "recipe.yaml is there already, with other content; remove it" in err
    assert not (tmp_path / "recipe-finetune.yaml").exists()


def several(root, count=10):
    for i in range(count):
        write_image(root / "images" / f"{i}.jpg")
        write_mask(root / "masks" / f"{i}.png", [0, 0, 1])
    return root


def ids_in(entry):
    return {sample.id for sample in open_dataset(entry)}


def test_of_a_dataset_without_a_split_to_validate_on_a_part_is_held_out(tmp_path):
    root = several(tmp_path / "plain")
    said = " ".join(start([root], tmp_path / "r.yaml"))
    assert "images 8 in train, 2 in val;" in said
    assert "20% of the images, drawn by chance, are held out." in said
    config = load(tmp_path / "r-finetune.yaml", FinetuneConfig)
    train, val = ids_in(config.train), ids_in(config.val)
    assert (len(train), len(val), train & val, train | val) == (8, 2, set(), set("0123456789"))
    (entry,) = load(tmp_path / "r.yaml", PretrainConfig).datasets
    assert ids_in(entry) == train


def test_a_target_that_comes_later_is_held_out_of_the_pretraining_s_recipe_unless_that_was_edited(tmp_path):
    for name in ("one", "two"):
        several(tmp_path / "all" / name)
    out = tmp_path / "r.yaml"
    start([tmp_path / "all"], out)
    before = out.read_text()
    assert [len(open_dataset(entry)) for entry in load(out, PretrainConfig).datasets] == [10, 10]
    said = start([tmp_path / "all"], out, "two")
    assert f"{out} is another now: it holds out a part of two." in said[-2]
    assert f"Wrote {out}, {tmp_path / 'r-finetune.yaml'}." in said[-1]
    assert [len(open_dataset(entry)) for entry in load(out, PretrainConfig).datasets] == [10, 8]
    for text in (out.read_text(), before + "seed: 3\n"):  # held out for another target; edited
        out.write_text(text)
        (tmp_path / "r-finetune.yaml").unlink(missing_ok=True)
        with pytest.raises(UserError, match=r"r\.yaml is there already, with other content; remove it"):
            start([tmp_path / "all"], out, "one")
        assert out.read_text() == text
        assert not (tmp_path / "r-finetune.yaml").exists()


def test_of_a_few_images_none_are_held_out(tmp_path):
    start([several(tmp_path / "plain", 9)], tmp_path / "r.yaml")
    config = load(tmp_path / "r-finetune.yaml", FinetuneConfig)
    assert (len(ids_in(config.train)), config.val) == (9, None)
    assert "# val: fewer than 10 images, too few to hold some out" in (tmp_path / "r-finetune.yaml").read_text()
