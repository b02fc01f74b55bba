import csv
import json
import re
import shutil

import pytest
import yaml

from mdpseg import weights
from mdpseg.atlas.build import _csv, build_atlas
from mdpseg.config import PretrainConfig
from mdpseg.data.merge import read_mapping
from mdpseg.data.open import open_dataset
from mdpseg.errors import UserError
from mdpseg.recipe import load
from tests import tiny


def test_the_command_writes_page_tables_and_mapping(pretrained, tmp_path, mdpseg_command):
    (tmp_path / "atlas").mkdir()
    (tmp_path / "atlas" / "merge.yaml").write_text("of: [an, earlier, atlas]")
    code, out, err = mdpseg_command("atlas", pretrained, "--images", 4, "--out", tmp_path / "atlas")
    assert code == 0, err
    page = (tmp_path / "atlas" / "atlas.html").read_text()
    assert str(tmp_path / "atlas" / "atlas.html") in out
    outside = set(re.findall(r"https?://[^\"'\s<]+", page)) - {"http://www.w3.org/2000/svg"}
    assert not outside
    assert not re.search(r"<(link|iframe|object|embed)|<(script|img)[^>]+src=.?(?!data:)[a-z]+:", page)
    content = json.loads((tmp_path / "atlas" / "atlas.json").read_text())
    assert len(content["classes"]) == 20
    assert content["images"] >= 8
    with (tmp_path / "atlas" / "relations.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(content["relations"])
    merge = tmp_path / "atlas" / "merge.yaml"
    assert merge.exists() == bool(content["merged"])
    if merge.exists():
        config = load(pretrained / "recipe.yaml", PretrainConfig)
        mapping = read_mapping(merge, [open_dataset(dataset) for dataset in config.datasets])
        assert list(mapping.values())[: len(content["merged"])] == content["merged"]


def test_a_table_of_nothing_has_a_head():
    assert _csv([], ("first", "kind")) == "first,kind\n"


@pytest.mark.parametrize("name", ["</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a&b\"'`<!--"])
def test_hostile_class_names_stay_text(name, tmp_path):
    entry = tiny.image_folder(tmp_path / "data", ids=(0, 1, 2))
    (tmp_path / "data" / "classes.txt").write_text(f"{name}\nb\nc\n")
    import mdpseg

    datasets = [entry, tiny.toy("coarse")]
    run = mdpseg.pretrain(
        tiny.pretraining(tmp_path / "run", datasets=datasets, network=dict(tiny.FAST_NETWORK), iterations=1)
    )
    made = build_atlas(run.out, images=2)
    page = made.page.read_text()
    assert name not in page
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1]
    assert json.loads(data)["classes"][0]["class"] == f"mine/{name}"


def test_what_is_no_pretraining_is_told(tmp_path, finetuned, pretrained, mdpseg_command):
    code, _, err = mdpseg_command("atlas", tmp_path)
    assert code == 2
    assert "holds no recipe.yaml" in err
    code, _, err = mdpseg_command("atlas", finetuned)
    assert code == 2
    assert "has no prototypes" in err
    code, _, err = mdpseg_command("atlas", pretrained, "datasets.0.world=things")
    assert code == 2
    assert "was pretrained on" in err


def test_one_label_set_is_nothing_to_compare(tmp_path, pretrained):
    folder = tmp_path / "one"
    shutil.copytree(pretrained, folder)
    stored = weights.load(folder / "weights.safetensors")
    from mdpseg.label_space import LabelSpace

    space = LabelSpace.concatenate({"all": [name.replace("/", " ") for name in stored.label_space.names]})
    prototypes = stored.prototypes, stored.present
    weights.save(
        folder / "weights.safetensors", weights.Weights(stored.network, stored.state, space, stored.head, *prototypes)
    )
    with pytest.raises(UserError, match="knows one label set"):
        build_atlas(folder)


def test_a_dataset_that_moved(tmp_path, pretrained):
    folder = tmp_path / "moved"
    shutil.copytree(pretrained, folder)
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe["datasets"][0] = {"name": "coarse", "reader": "folder", "path": "nowhere"}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(UserError, match="nowhere"):
        build_atlas(folder)
