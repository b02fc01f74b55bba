import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from mdpseg.data.readers import ade20k, cityscapes, coco, voc
from mdpseg.errors import UserError
from mdpseg.recipe import load
from mdpseg.tables.cells import cells_of, pretraining_of
from mdpseg.tables.classes import known_label_space
from mdpseg.tables.grid import ROWS, Row, Stage
from mdpseg.tables.preset import SHIPPED, Preset, load_preset
from tests.tables import tiny_preset

BY_ID = {row.id: row for row in ROWS}
ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "tables.md"


def paper(id, stage=-1):
    return pretraining_of(BY_ID[id], load_preset("paper"), 0).chain[stage].config


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_every_row_resolves(row, name):
    preset = load_preset(name)
    assert preset.name == name
    assert list(cells_of([row], preset, [0]))


@pytest.mark.parametrize(
    "id, iterations",
    [
        ("A2", 192_450),  # (10582 + 20210) x 100 / 16
        ("A3", 384_900),
        ("A4", 1_863_488),  # (10582 + 20210 + 118287) x 200 / 16 = 1863487.5
        ("B1", 739_294),  # 118287 x 100 / 16 = 739293.75
        ("C3", 132_275),
        ("E13", 931_744),  # unlabelled images are passed over too
        ("E14-400", 264_550),
        ("F10", 962_250),
    ],
)
def test_published_epochs_become_iterations(id, iterations):
    assert paper(id).iterations == iterations


def test_the_published_settings_at_full_size():
    config = paper("A3")
    assert (config.network.encoder, config.network.decoder, config.network.output_stride) == (
        "resnet50",
        "deeplabv3",
        8,
    )
    assert (config.network.projection, config.network.embedding_dim) == ("mlp", 128)
    assert (config.batch_size, config.augment.crop, config.sampling) == (16, 512, "size")
    assert (config.method.scheme, config.method.momentum, config.method.bank_size) == ("mdp-paper", 0.999, 4096)
    assert [dataset.split for dataset in paper("A4").datasets] == ["train_aug", "training", "train2017"]


def test_ours_is_the_default_method():
    config = paper("F4")
    assert config.method == type(config.method)()
    assert config.network.projection == "linear"


def test_the_targets_at_full_size():
    preset = load_preset("paper")
    found = {cell.column: cell.config for cell in cells_of([BY_ID["E6"]], preset, [0])}
    assert {name: config.iterations for name, config in found.items()} == {
        "VOC": 40_000,
        "ADE20K": 80_000,
        "Cityscapes": 40_000,
        "COCO": 80_000,
    }
    assert found["VOC"].evaluation_steps() == [4_000, 40_000]
    assert {name: config.augment.crop for name, config in found.items() if name != "Cityscapes"} == {
        "VOC": 512,
        "ADE20K": 512,
        "COCO": 512,
    }
    assert found["Cityscapes"].augment.crop == 768
    assert {cell.column for cell in cells_of([BY_ID["A2"], BY_ID["F4"]], preset, [0])} == {"VOC", "ADE20K"}


@pytest.mark.parametrize(
    "id, classes",
    [
        ("C3", {"voc": voc.NAMES}),
        ("A4", {"voc": voc.NAMES, "ade20k": ade20k.NAMES, "coco": coco.NAMES}),
        ("E13", {"voc": voc.NAMES, "ade20k": ade20k.NAMES}),
    ],
)
def test_classes_are_known_without_the_data(id, classes, tmp_path):
    space = known_label_space(paper(id), tmp_path)
    assert {name: space.class_names(name) for name in space.datasets} == classes
    assert space.catch_alls == {"voc": "background"}


def test_a_merged_label_space_is_known_too(tmp_path):
    assert known_label_space(paper("E12"), tmp_path).num_classes == 153


def test_a_target_s_label_space_is_its_own(tmp_path):
    cells = cells_of([BY_ID["E6"]], load_preset("paper"), [0])
    sizes = {cell.column: known_label_space(cell.config, tmp_path).num_classes for cell in cells}
    assert sizes == {"VOC": 21, "ADE20K": 150, "Cityscapes": len(cityscapes.EVALUATED), "COCO": 171}


def test_other_datasets_are_opened_for_their_classes(tmp_path):
    preset = load(tiny_preset.content(), Preset)
    space = known_label_space(pretraining_of(BY_ID["A2"], preset, 0).config, tmp_path)
    assert space.datasets == ["coarse", "fine"]


def test_no_such_preset():
    with pytest.raises(UserError, match="No preset 'large'; give small or paper, or the path of a YAML file"):
        load_preset("large")


def test_a_preset_with_an_unknown_key(tmp_path):
    with pytest.raises(UserError, match=r"tiny\.yaml: unknown key 'epochs_scale'; did you mean 'epoch_scale'\?"):
        load_preset(str(tiny_preset.write(tmp_path, epochs_scale=1)))


@pytest.mark.parametrize(
    "stage, message",
    [
        (Stage("KITTI", "mdp"), r"preset paper has no role 'KITTI' \(it has VOC, ADE20K, COCO"),
        (Stage("VOC", "moco"), r"preset paper has no method 'moco' \(it has mdp-paper, supervised, multihead, mdp"),
    ],
)
def test_a_row_that_asks_for_what_the_preset_lacks(stage, message):
    with pytest.raises(UserError, match=message):
        pretraining_of(Row("X1", "", "scratch", (stage,)), load_preset("paper"), 0)


def test_the_guide_s_own_preset_is_one():
    [text] = re.findall(r"^    name: mine\n(?:    .*\n)+", GUIDE.read_text(), flags=re.MULTILINE)
    preset = load(yaml.safe_load(text), Preset)
    assert list(cells_of([BY_ID["A2"]], preset, [0]))


def test_a_method_is_given_by_its_name_or_by_its_settings():
    content = tiny_preset.content()
    content["methods"] = {"mdp-paper": {"method": "mdp-paper"}}
    by_name = Preset.model_validate(content)
    content["methods"] = {"mdp-paper": {"method": {"scheme": "mdp-paper"}}}
    assert by_name == Preset.model_validate(content)


@pytest.mark.parametrize(
    "given, said",
    [({"network": None}, "network"), ({"seed": 5}, "seed"), ({"iterations": 7}, "iterations"), ([], "mdp-paper")],
)
def test_a_method_has_no_other_settings(given, said):
    with pytest.raises(ValidationError, match=said):
        Preset.model_validate(tiny_preset.content(methods={"mdp-paper": given}))


def test_a_preset_knows_what_it_was_asked_by(tmp_path):
    assert load_preset("small").source == "small"
    path = tiny_preset.write(tmp_path)
    assert load_preset(str(path)).source == str(path)


def test_the_preset_of_new_classes_shares_the_pretrainings_of_small():
    rows = [row for row in ROWS if row.id in ("F1", "F2", "F3", "F4", "F12", "E3")]
    here, small = (
        {(cell.row, cell.seed): cell.start.key for cell in cells_of(rows, load_preset(name), [0, 10])}
        for name in (str(ROOT / "benchmarks/new-classes.yaml"), "small")
    )
    assert here == small
    assert len(here) == 12
