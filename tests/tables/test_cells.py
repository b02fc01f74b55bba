import pytest

from mdpseg.errors import UserError
from mdpseg.recipe import load
from mdpseg.tables.cells import cells_of, columns_of, pretraining_of
from mdpseg.tables.grid import ROWS, Row, Stage
from mdpseg.tables.preset import Preset, load_preset
from tests.tables import tiny_preset

BY_ID = {row.id: row for row in ROWS}


def preset(**more):
    return load(tiny_preset.content(**more), Preset)


def key(id, seed=0, **more):
    [cell] = [c for c in cells_of([BY_ID[id]], preset(**more), [seed]) if c.column == "VOC"]
    return cell.key


def test_rows_that_need_the_same_share_a_cell():
    assert key("A2") == key("D3") == key("E4") == key("F3")
    assert key("A1") == key("B2") == key("E8")
    assert key("E14-200") == key("C3")


def test_other_rows_and_seeds_have_cells_of_their_own():
    ids = ["A1", "A2", "A3", "A4", "A5", "B1", "B3", "C1", "C2", "C3", "C4", "C6", "D1", "D5", "E1", "E2", "E5", "E13"]
    keys = [key(id) for id in ids] + [key("A2", seed=1), key("E7"), key("E7", seed=1)]
    assert len(set(keys)) == len(keys)


def test_what_decides_a_cell_changes_its_hash_and_the_rest_does_not():
    before = key("A2")
    other = tiny_preset.content()
    other["methods"]["mdp-paper"]["optim"] = {"lr": 0.07}
    assert key("A2", methods=other["methods"]) != before
    assert key("A2", finetuning={**other["finetuning"], "iterations": 4}) != before
    assert key("A2", epoch_scale=0.02) != before
    assert key("A2", finetuning={**other["finetuning"], "workers": 1}) == before
    assert key("A2", pretraining={**other["pretraining"], "checkpoint_every": 50, "workers": 1}) == before
    assert key("A2", about="Other words.") == before


def test_settings_of_the_contrast_do_not_touch_rows_without_one():
    methods = tiny_preset.content()["methods"]
    methods["supervised"] = {"method": {"objective": "supervised", "temperature": 0.5, "bank_size": 7}}
    assert key("B1", methods=methods) == key("B1")
    for setting in ({"mixing": "off"}, {"auxiliary_weight": 0.4}):
        methods["supervised"] = {"method": {"objective": "supervised", **setting}}
        assert key("B1", methods=methods) != key("B1")


def test_a_method_may_be_set_apart_for_imagenet_weights():
    methods = tiny_preset.content()["methods"]
    methods["supervised-on-imagenet"] = {"method": {"objective": "supervised"}, "optim": {"lr": 0.011}}
    assert key("F1", methods=methods) == key("F1")
    assert key("F5", methods=methods) != key("F5")
    found = pretraining_of(BY_ID["F5"], preset(methods=methods), 0)
    assert found.config.optim.lr == 0.011


def test_an_earlier_stage_decides_the_later_ones():
    methods = tiny_preset.content()["methods"]
    row = BY_ID["E5"]
    first, *_, last = pretraining_of(row, preset(), 0).chain
    changed = Row(row.id, row.about, row.first, (Stage("COCO", "multihead"), *row.stages[1:]))
    assert first.key == pretraining_of(BY_ID["B1"], preset(methods=methods), 0).key
    assert pretraining_of(changed, preset(), 0).key != last.key


def test_epochs_become_iterations():
    assert pretraining_of(BY_ID["A2"], preset(epoch_scale=1.0), 0).config.iterations == 16 * 100 / 4
    assert pretraining_of(BY_ID["A4"], preset(epoch_scale=0.5), 0).config.iterations == 24 * 200 * 0.5 / 4


def test_a_pretraining_has_at_least_one_step():
    assert pretraining_of(BY_ID["A2"], preset(epoch_scale=1e-6), 0).config.iterations == 1


def test_a_target_that_is_not_for_every_row_is_for_those_with_a_published_figure():
    assert columns_of(BY_ID["A2"], preset()) == ["VOC"]
    assert columns_of(BY_ID["E8"], preset()) == ["VOC", "COCO"]


def test_seeds_reach_the_labelled_subset():
    cells = list(cells_of([BY_ID["E7"]], preset(), [0, 1]))
    voc = [cell.config for cell in cells if cell.column == "VOC"]
    assert [(config.seed, config.train.subset.seed) for config in voc] == [(0, 0), (1, 1)]


def test_unlabelled_roles_come_without_labels():
    datasets = pretraining_of(BY_ID["E13"], preset(), 0).config.datasets
    assert [dataset.unlabelled for dataset in datasets] == [False, False, True]


@pytest.mark.parametrize("missing", ["roles", "methods"])
def test_a_preset_without_what_a_row_needs_is_refused(missing):
    content = tiny_preset.content()
    del content[missing][{"roles": "ADE20K", "methods": "mdp-paper"}[missing]]
    with pytest.raises(
        UserError, match=r"Row A2 cannot be played: preset tiny has no (role 'ADE20K'|method 'mdp-paper') \(it has"
    ):
        key("A2", **{missing: content[missing]})


@pytest.mark.parametrize(("name", "row"), [("mdp-paper", "A2"), ("mdp-paper-on-imagenet", "A5")])
def test_a_wrong_setting_of_a_method_is_told_with_preset_method_and_row(name, row):
    methods = {**tiny_preset.content()["methods"], name: {"method": {"bank_sise": 64}}}
    with pytest.raises(UserError, match=rf"^Preset tiny, methods\.{name} \(row {row}\): .*method\.bank_sise"):
        key(row, methods=methods)


def test_images_that_are_held_out_stay_so_whatever_the_seed():
    target = tiny_preset.content()["targets"]["VOC"]
    held = {name: {**target[name], "subset": {"fraction": 0.5}} for name in ("train", "val")}
    held["train"]["subset"]["rest"] = True
    cells = list(cells_of([BY_ID["E7"]], preset(targets={"VOC": held}), [0, 1]))
    assert [(cell.seed, cell.config.train.subset.seed, cell.config.val.subset.seed) for cell in cells] == [
        (0, 0, 0),
        (1, 0, 0),
    ]


def test_merged_rows_need_a_mapping_file():
    with pytest.raises(UserError, match="no `merge` file"):
        key("E12")


@pytest.mark.parametrize("more", [{"evaluate_at": [1.0, 1.0]}, {"iterations": 1}])
def test_early_and_late_are_two_steps(more):
    settings = tiny_preset.content()["finetuning"]
    with pytest.raises(UserError, match=r"evaluate_at .* of \d+ iterations of VOC is one step"):
        key("A2", finetuning={**settings, **more})


def test_a_mapping_file_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"there is no mapping file nothere\.yaml"):
        key("E12", merge="nothere.yaml")


def test_what_a_mapping_file_says_decides_a_cell_and_its_place_does_not(tmp_path):
    for name, text in (("one", "x: [fine/sky]"), ("copy", "x: [fine/sky]"), ("other", "x: [fine/tree]")):
        (tmp_path / name).write_text(text)
    one, copy, other = (key("E12", merge=str(tmp_path / name)) for name in ("one", "copy", "other"))
    assert one == copy
    assert one != other


def test_a_cell_measured_before_its_loss_changed_is_another_one():
    """Sparse coding moved learned prototypes until 12d2a66; F4 had it then, with this key for seed 0."""
    small = load_preset("small")
    assert pretraining_of(BY_ID["F18"], small, 0).key != "3d8b45743111"
    assert pretraining_of(BY_ID["F3"], small, 0).key == "a38990c79b11"  # the bank's never moved by it
