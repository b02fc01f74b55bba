import pytest

from mdpseg.recipe import load
from mdpseg.tables import estimate
from mdpseg.tables.cells import pretraining_of
from mdpseg.tables.estimate import A100_FLOPS, estimates, step_kind
from mdpseg.tables.grid import ROWS
from mdpseg.tables.preset import Preset, load_preset
from mdpseg.tables.probe import StepCost
from tests.tables import tiny_preset


def rows(*ids):
    return [row for row in ROWS if row.id in ids]


def tiny(**more):
    return load(tiny_preset.content(**more), Preset)


def line(text, id):
    [found] = [line for line in text.splitlines() if line.startswith(f"| {id} |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


@pytest.fixture
def probed(monkeypatch):
    """Each step takes one hour of an A100 and 3 GiB, and 2 GiB in fine-tuning; returns what was probed."""
    found = []

    def step_cost(config, label_space):
        found.append((step_kind(config), label_space.num_classes))
        return StepCost(3600 * A100_FLOPS, (2 if step_kind(config) == "finetune" else 3) * 2**30)

    monkeypatch.setattr(estimate, "step_cost", step_cost)
    return found


def test_figures_by_hand(probed):
    text = estimates(rows("A1", "A2", "E5"), tiny())
    # 16 images x 100 epochs x 0.01 / 4 = 4 steps of 4; fine-tuning: 3 steps of 4
    assert line(text, "A2") == ["A2", "VOC+ADE20K", "VOC", "4 + 3", "0.00 + 0.00", "3.0 / 2.0", "4.0 + 3.0"]
    assert line(text, "A1") == ["A1", "ImageNet", "VOC", "3", "0.00", "2.0", "3.0"]
    assert line(text, "E5")[3:] == ["6 + 3", "0.00 + 0.00", "3.0 / 2.0", "6.0 + 3.0"]
    assert "7 runs" in text  # A1: 1, A2: 2, E5: 4


def test_full_size_images_and_iterations(probed):
    text = estimates(rows("A3"), load_preset("paper"))
    assert line(text, "A3")[2:5] == ["VOC, ADE20K", "384,900 + 120,000", "6.16 + 1.92"]


def test_rows_that_share_runs_count_once_in_the_sum(probed):
    text = estimates(rows("A2", "D3", "E4", "F3"), tiny())
    assert "2 runs, 7 GPU hours" in text
    assert line(text, "A2")[3:] == line(text, "F3")[3:]


def test_each_distinct_step_is_probed_once(probed):
    """Temperature, length and the first stage change nothing in a step; the number of classes does."""
    estimates(rows("A2", "A3", "A5", "C3", "C6", "C7", "E14-400"), tiny())
    published, plain = (step_kind(pretraining_of(row, tiny(), 0).config) for row in rows("A2", "C3"))
    assert sorted(probed) == sorted([(published, 20), (plain, 7), ("finetune", 8)])


def test_memory_is_the_peak_of_all_stages(monkeypatch):
    monkeypatch.setattr(estimate, "step_cost", lambda _, space: StepCost(0.0, space.num_classes * 2**30))
    # things, fine, coarse in turn, with 8, 13 and 7 classes; fine-tuned on things
    assert line(estimates(rows("E5"), tiny()), "E5")[5] == "13.0 / 8.0"


def test_a_step_of_another_crop_optimiser_or_network_is_another_one(probed):
    content = tiny_preset.content()
    content["targets"]["COCO"]["augment"] = {"crop": 64}
    estimates(rows("E7"), load(content, Preset))
    assert probed == [("finetune", 8)] * 2
    for more in ({"optim": {"optimiser": "adamw"}}, {"network": {"embedding_dim": 8}}):
        probed.clear()
        content["methods"]["supervised-on-imagenet"] = {**content["methods"]["supervised"], **more}
        estimates(rows("F1", "F5"), load(content, Preset))
        assert [classes for _, classes in probed] == [20, 8, 20]


def test_kinds_of_steps():
    preset = load_preset("paper")

    def kinds(*ids):
        return {step_kind(pretraining_of(row, preset, 0).config) for row in rows(*ids)}

    assert len(kinds("A2", "A4", "A5", "B4", "D4", "F10")) == 1
    assert len(kinds("B1", "B3", "E5", "F1", "F19")) == 1
    assert len(kinds("C1", "C2", "C3", "C4", "D3", "D5", "E2", "E10", "E13", "F1", "F4", "F15")) == 12
    assert len(kinds("F1", "F4", "F21", "F22")) == 4


def test_measured_seconds_go_before_flops(monkeypatch):
    monkeypatch.setattr(estimate, "step_cost", lambda *_: StepCost(0.0, 2**30, 1800.0))
    monkeypatch.setattr(estimate.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(estimate.torch.cuda, "get_device_name", lambda: "Some GPU")
    text = estimates(rows("A2"), tiny())
    assert line(text, "A2")[-1] == "2.0 + 1.5"
    assert "measured on this Some GPU" in text
    assert "assumption" not in text


def test_it_says_what_it_assumes(probed):
    text = estimates(rows("A2"), tiny())
    assert "60 TFLOP/s" in text
    assert "assumption" in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_command_writes_recipes_prints_the_estimate_and_starts_nothing(tmp_path, monkeypatch, mdpseg_command):
    monkeypatch.chdir(tmp_path)
    preset = tiny_preset.write(tmp_path, start_by_hand=True)
    code, out, err = mdpseg_command("tables", "run", "--preset", preset, "--rows", "A2")
    assert code == 0, err
    assert out.startswith("2 recipes are in runs/tables/recipes")
    assert "| A2 | VOC+ADE20K | VOC | 4 + 3 |" in out
    assert "Nothing was started; --start runs them here." in out
    assert sorted(path.name for path in (tmp_path / "runs" / "tables").iterdir()) == ["recipes"]


def test_recipes_are_written_also_where_the_data_are_not(tmp_path, monkeypatch, mdpseg_command):
    monkeypatch.chdir(tmp_path)
    mine = {"name": "mine", "reader": "folder", "path": "mine"}
    targets = {"VOC": {"train": mine, "val": {**mine, "split": "val"}}}
    command = ["tables", "run", "--preset", tiny_preset.write(tmp_path, start_by_hand=True, targets=targets)]
    code, out, err = mdpseg_command(*command, "--rows", "E7")
    assert code == 0, err
    assert (tmp_path / "runs/tables/recipes/E7-finetune-VOC.yaml").is_file()
    assert "No estimate, as there is no data: " in err
    assert "data/mine" in err
    assert "Nothing was started" in out
    assert mdpseg_command(*command, "--rows", "E7", "--start")[0] == 2


@pytest.mark.slow
def test_start_runs_them(tmp_path, monkeypatch, mdpseg_command, probed):
    monkeypatch.chdir(tmp_path)
    preset = tiny_preset.write(tmp_path, start_by_hand=True)
    code, out, err = mdpseg_command("tables", "run", "--preset", preset, "--rows", "E7", "--seeds", 1, "--start")
    assert code == 0, err
    assert "2 cells were run; the results are in runs/tables/results.csv." in out
