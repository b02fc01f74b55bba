import csv
from importlib.resources import files

import torch

from mdpseg.config import PretrainConfig
from mdpseg.label_space import LabelSpace
from mdpseg.objectives.mdp import MDP
from mdpseg.recipe import load
from mdpseg.tables.cells import stage_recipe
from mdpseg.tables.conclusions import ABLATION
from mdpseg.tables.grid import ROWS, TABLES
from mdpseg.tables.layout import TITLES
from mdpseg.tables.preset import Preset, load_preset
from mdpseg.tables.published import published
from tests import tiny
from tests.tables import tiny_preset


def test_ids_are_unique_and_tables_complete():
    ids = [row.id for row in ROWS]
    assert len(set(ids)) == len(ids)
    assert TABLES == ("A", "B", "C", "D", "E", "F") == tuple(TITLES)
    assert [row.id for table in TABLES for row in ROWS if row.table == table] == ids


def test_every_published_row_is_in_the_grid():
    rows = {figure.row: figure.table for figure in published() if figure.table != "detection"}
    assert rows.items() <= {row.id: row.table for row in ROWS}.items()


def test_epochs_are_the_published_ones():
    text = files("mdpseg.tables").joinpath("published.csv").read_text(encoding="utf-8")
    rows = {row.id: row for row in ROWS}
    for line in csv.DictReader(text.splitlines()):
        if line["epochs"]:
            assert {stage.epochs for stage in rows[line["row"]].stages} == {int(line["epochs"])}, line


def test_each_part_that_the_ablation_takes_back_changes_what_is_learned():
    """Two steps on both datasets, pixels of a catch-all among them; mixing is done before, to the batch."""
    classes, catch_alls = {"voc": ["background", "dog"], "msrc": ["sky", "cow"]}, {"voc": "background"}
    targets = torch.tensor([[0, 1], [2, 3]]).repeat_interleave(8, 1)[:, None].repeat(1, 16, 1)  # [2, 16, 16]
    seen = {}
    for row in ROWS:
        if row.id not in {"F4", *(comparison.worse for comparison in ABLATION)}:
            continue
        recipe = stage_recipe(row.stages[0], load_preset("small"), 0) | {"init": "scratch"}
        config = load(recipe, PretrainConfig).method
        space = LabelSpace.concatenate(classes, catch_alls=catch_alls, catch_all_as=config.catch_all_as)
        torch.manual_seed(0)
        objective = MDP(tiny.TinyNetwork(), space, config)
        first, second = (tiny.batch(targets, [0, 1], seed=step) for step in range(2))
        loss = objective(first)["loss"]
        loss.backward()
        torch.optim.SGD(objective.parameters(), lr=0.1).step()  # what lags behind the network differs from now on
        seen[row.id] = (config.mixing, loss.item(), objective(second)["loss"].item())
    assert len(seen) == 9
    assert len(set(seen.values())) == len(seen), seen


def test_what_a_title_says_holds_whatever_the_preset_s_method_has():
    other = {"bank": "none", "bank_size": 64, "temperature": 0.2, "mixing": "pixel", "sparse_coding": "off"}
    preset = load(
        tiny_preset.content(methods={"mdp-paper": {"method": {"scheme": "mdp-paper", **other, "prototypes": "mixed"}}}),
        Preset,
    )
    rows = {row.id: row for row in ROWS}

    def method(id):
        config = load(stage_recipe(rows[id].stages[0], preset, 0) | {"init": "scratch"}, PretrainConfig).method
        return config.bank, config.bank_size, config.prototypes, config.temperature, config.mixing, config.sparse_coding

    rest = ("bank", 0.07, "off", "off")
    assert method("C1") == ("none", 4096, *rest)
    assert method("C2") == ("region", 4096, *rest)
    assert [method(id)[:2] for id in ("C3", "C4", "C5", "C6", "C7")] == [
        ("class", size) for size in (4096, 1024, 10560, 4096, 4096)
    ]
    assert {method(id)[2:] for id in ("C3", "C4", "C5")} == {rest}
    assert [method(id)[3] for id in ("C6", "C7")] == [0.3, 0.5]
    assert [method(id)[4:] for id in ("D2", "D4", "D5", "D6")] == [
        ("off", "off"),
        *((mixing, "pull") for mixing in ("both", "region", "pixel")),
    ]


def test_rows_in_words():
    rows = {row.id: row for row in ROWS}
    assert (rows["A1"].data, rows["A1"].epochs) == ("ImageNet", 0)
    assert (rows["A6"].data, rows["A6"].epochs) == ("ImageNet -> VOC+ADE20K", 200)
    assert (rows["E5"].data, rows["E5"].epochs) == ("COCO -> ADE20K -> VOC", 300)
    assert rows["E13"].data == "VOC+ADE20K (+COCO unlabelled)"
    assert rows["E7"].data == "-"
