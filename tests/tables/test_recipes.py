import pytest
import yaml

import mdpseg
from mdpseg.config import FinetuneConfig, PretrainConfig
from mdpseg.errors import UserError
from mdpseg.recipe import load
from mdpseg.tables import recipes
from mdpseg.tables.cells import cells_of, pretraining_of
from mdpseg.tables.grid import ROWS
from mdpseg.tables.preset import Preset, load_preset
from mdpseg.tables.recipes import write_recipes
from tests.tables import tiny_preset

SETTINGS = {"out": "", "init": "", "data_root": ".", "merge": None}


def rows(*ids):
    return [row for row in ROWS if row.id in ids]


def names(folder):
    return sorted(path.stem for path in folder.glob("*.yaml"))


def kind_of(path):
    return PretrainConfig if "-pretrain" in path.stem else FinetuneConfig


@pytest.fixture(scope="module")
def all_recipes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes") / "new"
    count = write_recipes(ROWS, load_preset("paper"), folder)
    return folder, count


def test_every_row_of_the_paper_preset_has_recipes_that_load(all_recipes):
    folder, count = all_recipes
    paths = [path for path in folder.glob("*.yaml") if path.name != "merge-paper.yaml"]
    assert len(paths) == count
    for path in paths:
        assert isinstance(load(path, kind_of(path)), kind_of(path))
        assert f"mdpseg {'pretrain' if '-pretrain' in path.stem else 'finetune'} {path}\n" in path.read_text()
    for row in ROWS:
        own = [path for path in paths if row.id in path.stem.rpartition("-finetune")[0].split("+")]
        assert own, row.id


def test_a_recipe_is_the_grid_s_run(all_recipes):
    folder, _ = all_recipes
    [row], preset = rows("C5"), load_preset("paper")
    started = load(folder / "C5-pretrain.yaml", PretrainConfig).model_copy(update=SETTINGS)
    assert started == pretraining_of(row, preset, 0).config.model_copy(update=SETTINGS)
    [cell] = cells_of([row], preset, [0])
    tuned = load(folder / "C5-finetune-VOC.yaml", FinetuneConfig).model_copy(update=SETTINGS)
    assert tuned == cell.config.model_copy(update=SETTINGS)


def test_a_recipe_opens_with_what_it_is(all_recipes):
    text = (all_recipes[0] / "A2+D3+E4+F3-finetune-VOC.yaml").read_text()
    assert text.startswith("# A2: MDP from scratch; pretraining: VOC+ADE20K.\n# D3: ")
    assert "# Published (A2, late): 73.32 mIoU %.\n" in text
    assert "\n# Wants the weights of A2+D3+E4+F3-pretrain.yaml." in text


def test_later_stages_start_from_earlier_ones(all_recipes):
    folder, _ = all_recipes
    inits = {
        name: yaml.safe_load((folder / f"{name}.yaml").read_text())["init"]
        for name in ("B1+E5-pretrain", "E5-pretrain-2", "E5-pretrain-3", "E5-finetune-VOC", "A5+F7-pretrain")
    }
    assert inits == {
        "B1+E5-pretrain": "scratch",
        "E5-pretrain-2": "runs/paper/B1+E5-pretrain/weights.safetensors",
        "E5-pretrain-3": "runs/paper/E5-pretrain-2/weights.safetensors",
        "E5-finetune-VOC": "runs/paper/E5-pretrain-3/weights.safetensors",
        "A5+F7-pretrain": "imagenet",
    }


def test_the_mapping_file_lies_beside_the_recipes(all_recipes):
    folder, _ = all_recipes
    config = load(folder / "E12-pretrain.yaml", PretrainConfig)
    assert config.merge == folder / "merge-paper.yaml"
    assert config.merge.read_text() == load_preset("paper").merge_file().read_text()


@pytest.mark.slow
def test_recipes_run_as_they_are(tmp_path, monkeypatch):
    """E5's three stages and its target, and E12 with merged label sets, on toy worlds."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "same.yaml").write_text("sky: [coarse/sky, fine/sky]\n")
    preset = load(tiny_preset.content(merge="same.yaml"), Preset)
    assert write_recipes(rows("E5", "E12"), preset, tmp_path / "recipes") == 6
    for name in ("E5-pretrain", "E5-pretrain-2", "E5-pretrain-3", "E12-pretrain"):
        mdpseg.pretrain(tmp_path / "recipes" / f"{name}.yaml")
    for name in ("E5-finetune-VOC", "E12-finetune-VOC"):
        assert mdpseg.finetune(tmp_path / "recipes" / f"{name}.yaml").scores
    assert mdpseg.weights.load(tmp_path / "runs/tiny/E12-pretrain/weights.safetensors").label_space.num_classes == 19


def test_a_row_that_cannot_be_resolved_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="no `merge` file"):
        write_recipes(rows("A2", "E12"), load(tiny_preset.content(), Preset), tmp_path / "recipes")
    assert not (tmp_path / "recipes").exists()


def test_a_recipe_that_fails_to_be_written_is_not_there(tmp_path, monkeypatch):
    def full(path, text):
        raise OSError("No space left on device")

    monkeypatch.setattr(recipes, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_recipes(rows("A2"), load(tiny_preset.content(), Preset), tmp_path / "recipes")
    assert names(tmp_path / "recipes") == []
