"""What ``mdpseg init`` writes is read back as it was meant, whatever folders and recipes are called."""

import os
from pathlib import Path

import pytest

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
    write_lines(tmp_path / "out" / "plain-classes.txt", ["leaf", "stem"])
    with pytest.raises(
        UserError, match=r"plain-classes\.txt is there already, with other .* another folder by --out\."
    ):
        start([root], tmp_path / "out" / "c.yaml")
    assert not (tmp_path / "out" / "c.yaml").exists()
    assert (tmp_path / "out" / "plain-classes.txt").read_text() == "leaf\nstem\n"
