import json
import logging
import re
import shutil
from dataclasses import replace

import pytest
import torch
import yaml
from huggingface_hub import ModelHubMixin

import mdpseg
from mdpseg import weights
from mdpseg.config import DatasetConfig
from mdpseg.errors import UserError
from mdpseg.hub import HubNetwork
from mdpseg.hub_card import READERS_OF
from tests import tiny


def changed(run, out, **settings):
    """A copy of a run with other settings in its recipe."""
    shutil.copytree(run, out)
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())
    (out / "recipe.yaml").write_text(yaml.safe_dump(recipe | settings, sort_keys=False))
    return out


def without_history(run):
    """Makes a run's weights those of version 0.1, which do not tell what they were learned from."""
    file = run / "weights.safetensors"
    weights.save(file, replace(weights.load(file), history=None))


def section(card, title):
    return card.split(f"## {title}\n")[1].split("\n## ")[0]


def settings_in(card):
    return yaml.safe_load(section(card, "Settings").replace("```yaml", "").replace("```", ""))


def test_a_folder_gives_the_network_back(finetuned, tmp_path):
    HubNetwork.from_run(finetuned).save_pretrained(tmp_path / "saved")
    again = HubNetwork.from_pretrained(str(tmp_path / "saved"))
    images = torch.randint(0, 256, (1, 3, 50, 70), dtype=torch.uint8)
    first = HubNetwork.from_run(finetuned).network
    with torch.no_grad():
        assert torch.equal(again.network.logits(images), first.logits(images))
    assert again.weights.label_space == first_space(finetuned)
    again.save_pretrained(tmp_path / "twice")
    assert (tmp_path / "twice" / "README.md").read_text() == (tmp_path / "saved" / "README.md").read_text()


def first_space(run):
    return weights.load(run / "weights.safetensors").label_space


def test_the_card_says_what_is_known(finetuned, tmp_path):
    HubNetwork.from_run(finetuned, licences=["things: CC0"]).save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\n")
    assert "library_name: mdpseg" in card
    assert "| things | toy | train | CC0 |" in card
    assert "| 3 | " in card.split("## Results")[1]  # the last iteration's scores
    assert "# test_efficientnet + fpn, a fine-tuning" in card
    assert str(tmp_path.parent) not in card  # nothing of its maker's folders
    assert "- things: " in card


def test_results_stand_in_the_order_of_their_iterations(finetuned, tmp_path):
    run = shutil.copytree(finetuned, tmp_path / "run")
    scores = run / "scores-3.json"
    for file in set(run.glob("scores-*.json")) - {scores}:
        file.unlink()
    for iteration in (6000, 2000, 10000, 800):
        shutil.copy(scores, run / f"scores-{iteration}.json")
    (run / "scores-copy.json").touch()  # by hand: of no iteration
    rows = section(HubNetwork.from_run(run).card, "Results").strip().splitlines()[2:]
    assert [row.split()[1] for row in rows] == ["3", "800", "2000", "6000", "10000"]
    (run / "scores-800.json").write_text("{}")
    with pytest.raises(UserError, match=r"scores-800\.json does not hold the scores"):
        HubNetwork.from_run(run)


def test_what_nobody_stated_is_not_stated(finetuned, tmp_path):
    run = shutil.copytree(finetuned, tmp_path / "run")
    text = (run / "recipe.yaml").read_text().replace("reader: toy", "reader: folder")
    (run / "recipe.yaml").write_text(text)
    assert "| things | folder | train | not stated |" in HubNetwork.from_run(run).card
    (run / "recipe.yaml").write_text(text.replace("path: null", f"path: {tmp_path}"))
    (tmp_path / "SOURCE.md").write_text("# Things\n- Licence: CC BY 4.0\nfrom somewhere\n")
    assert "| things | folder | train | Licence: CC BY 4.0 |" in HubNetwork.from_run(run).card


@pytest.mark.parametrize(
    "licences, message", [(["cars: CC0"], "no dataset 'cars'"), (["CC0"], "expected `name: licence`")]
)
def test_licences_of_nothing_are_refused(licences, message, finetuned):
    with pytest.raises(UserError, match=message):
        HubNetwork.from_run(finetuned, licences)


def test_a_damaged_folder_is_refused(finetuned, tmp_path):
    HubNetwork.from_run(finetuned).save_pretrained(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"\x80\x04junk")
    with pytest.raises(UserError, match=r"is a pickle"):
        HubNetwork.from_pretrained(str(tmp_path))
    with pytest.raises(UserError, match=r"holds no recipe.yaml|No weights file"):
        HubNetwork.from_run(tmp_path / "none")


@pytest.mark.parametrize(
    "card",
    [
        b"---\ntags: [a\n---\n# x",
        b"---\n- a\n---\n# x",
        b"---\n1: a\n---\n# x",
        b"# \xff",
        b"---\n" + b"[" * 5000 + b"\n---\n",
    ],
)
def test_a_card_that_cannot_be_read_is_none(card, finetuned, tmp_path):
    HubNetwork.from_run(finetuned).save_pretrained(tmp_path)
    (tmp_path / "README.md").write_bytes(card)
    assert HubNetwork.from_pretrained(tmp_path).card == ""


def test_a_misspelt_argument_is_refused(finetuned, tmp_path):
    HubNetwork.from_run(finetuned).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"no argument 'revison'; it takes revision, cache_dir"):
        HubNetwork.from_pretrained(tmp_path, revison="v1")
    HubNetwork.from_pretrained(tmp_path, revision="v1")


def test_no_such_repository(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"is no folder"):
        HubNetwork.from_pretrained("nobody/nothing", local_files_only=True)


def test_the_card_tells_learned_from_judged(finetuned):
    data = section(HubNetwork.from_run(finetuned, ["fine: CC BY 4.0"]).card, "Data")
    learned, judged = data.split("Judged on, not learned from:")
    toy = "made by mdpseg (Apache-2.0)"
    assert "The network started from random weights." in learned
    assert [row for row in learned.splitlines() if row.startswith("| ") and "stage" not in row] == [
        f"| 1. pretraining | coarse | toy | train | {toy} |",
        "| 1. pretraining | fine | toy | train | CC BY 4.0 |",
        f"| 2. fine-tuning | things | toy | train | {toy} |",
    ]
    assert [row for row in judged.splitlines() if row.startswith("| ") and "reader" not in row] == [
        f"| things | toy | val | {toy} |"
    ]


def test_a_pretraining_is_judged_on_nothing(pretrained):
    card = HubNetwork.from_run(pretrained).card
    assert "# test_efficientnet + fpn, a pretraining by mdpseg" in card
    assert "| 1. pretraining | fine | toy | train |" in card
    assert "Judged" not in card


def test_a_split_that_was_learned_from_is_not_called_unseen(finetuned, tmp_path):
    own = changed(finetuned, tmp_path / "own", val=tiny.toy("things", name="anew", split="train"))
    of_the_pretraining = changed(finetuned, tmp_path / "pretraining", val=tiny.toy("coarse"))
    for run in (own, of_the_pretraining):
        card = HubNetwork.from_run(run).card
        assert "The results are on this split, which was learned from as well" in card
        assert "not learned from" not in card


def test_the_pretraining_is_told_when_its_folder_is_gone(pretrained, tmp_path):
    first = shutil.copytree(pretrained, tmp_path / "first")
    second = tiny.finetuning(tmp_path / "second", init=str(first / "weights.safetensors"), network=None, val=None)
    out = mdpseg.finetune(second | {"iterations": 1}).out
    told = HubNetwork.from_run(out).card
    shutil.rmtree(first)
    assert HubNetwork.from_run(out).card == told
    assert "| 1. pretraining | coarse | toy | train |" in told


def test_weights_of_version_0_1_are_followed_through_the_folders(finetuned, pretrained, tmp_path):
    first = shutil.copytree(pretrained, tmp_path / "first")
    without_history(first)
    run = changed(finetuned, tmp_path / "run", init=str(first / "weights.safetensors"))
    without_history(run)
    assert HubNetwork.from_run(run).card == HubNetwork.from_run(finetuned).card
    shutil.rmtree(first)
    data = section(HubNetwork.from_run(run).card, "Data")
    assert "The network started from weights.safetensors, whose data sets are not known." in data
    assert "| 1. fine-tuning | things | toy | train |" in data
    assert "coarse" not in data


def test_no_path_stays_in_the_card(finetuned, tmp_path):
    lists = {"reader": "folder", "path": "private/things", "classes": "private/names.txt", "url": "http://me:pw@host/"}
    hidden = {"train": tiny.toy("things") | lists | {"cache": "private/cache"}, "val": None, "merge": "private/by.yaml"}
    card = HubNetwork.from_run(changed(finetuned, tmp_path / "run", **hidden)).card
    assert not re.search(r"private|host|pw|pretrained0", card)
    shown = settings_in(card)
    assert (shown["init"], shown["merge"], shown["train"]["classes"]) == ("weights.safetensors", "by.yaml", "names.txt")
    for start in ("scratch", "imagenet"):
        run = changed(finetuned, tmp_path / start, init=start)
        assert settings_in(HubNetwork.from_run(run).card)["init"] == start


def test_a_dataset_shows_the_settings_of_its_reader(finetuned, tmp_path):
    toy = settings_in(HubNetwork.from_run(finetuned).card)["train"]
    assert (toy["world"], toy["size"], toy["count"]) == ("things", 64, 8)
    full = json.loads(DatasetConfig(name="mine", reader="folder", path=tmp_path).model_dump_json())
    shown = settings_in(HubNetwork.from_run(changed(finetuned, tmp_path / "run", train=full, val=None)).card)["train"]
    subset = {"seed": 0, "rest": False}
    assert shown == {"name": "mine", "reader": "folder", "split": "train", "subset": subset, "unlabelled": False}


def test_the_settings_of_single_readers_are_those_of_the_configuration():
    told = {}
    for name, field in DatasetConfig.model_fields.items():
        found = re.match(r"((?:`\w+`(?: and )?)+) (?:only|by url)", field.description)
        if found:
            told[name] = tuple(re.findall(r"`(\w+)`", found[1]))
    assert told == READERS_OF


def test_a_licence_from_data_get_is_read(finetuned, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "LICENCE.txt").write_text("Things: CC BY | 4.0, see http://things\n")
    mine = {"name": "mine", "reader": "folder", "path": "data"}
    run = changed(finetuned, tmp_path / "run", train=mine, data_root=str(tmp_path), val=None)
    assert "| mine | folder | train | Things: CC BY / 4.0, see http://things |" in HubNetwork.from_run(run).card


@pytest.fixture
def messages():
    """What huggingface_hub logs."""
    found = []

    class Kept(logging.Handler):
        def emit(self, record):
            found.append(record.getMessage())

    handler, logger = Kept(), logging.getLogger("huggingface_hub")
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def test_a_folder_has_the_config_that_tools_look_for(finetuned, tmp_path, messages):
    network = HubNetwork.from_run(finetuned)
    network.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["library_name"] == "mdpseg"
    assert config["network"] == network.weights.network.model_dump()
    assert config["classes"] == {"things": network.weights.label_space.class_names("things")}
    of_the_mixin = ModelHubMixin.from_pretrained.__func__
    of_the_mixin(HubNetwork, str(tmp_path))
    assert messages == []
    (tmp_path / "config.json").unlink()
    of_the_mixin(HubNetwork, str(tmp_path))
    assert "config.json not found" in messages[0]  # so those of a folder with it would have been seen


@pytest.mark.parametrize("config", [None, "[1]", "{"])
def test_weights_need_no_config(config, finetuned, tmp_path, messages):
    HubNetwork.from_run(finetuned).save_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    again = HubNetwork.from_pretrained(tmp_path)
    assert tiny.same(again.weights.state, weights.load(finetuned / "weights.safetensors").state)
    assert messages == []
