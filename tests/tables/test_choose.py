import pytest
import yaml

from mdpseg.errors import UserError
from mdpseg.tables.choose import choose, playable
from mdpseg.tables.grid import ROWS
from mdpseg.tables.preset import Preset, load_preset
from tests.documents import ROOT
from tests.tables import tiny_preset

SMALL = load_preset("small")


def ids(tables=(), rows=(), preset=SMALL):
    return [row.id for row in choose(tables, rows, preset)[0]]


def poor():
    """Without COCO, ours, and a mapping file."""
    content = tiny_preset.content()
    del content["roles"]["COCO"], content["methods"]["mdp"]
    return Preset.model_validate(content)


def test_all_rows_of_some_tables_or_those_that_are_named():
    assert ids() == [row.id for row in ROWS]
    assert ids(["B", "D"])[:2] + ids(["B", "D"])[-1:] == ["B1", "B2", "D6"]
    assert ids([], ["F4,A2", "C1"]) == ["A2", "C1", "F4"]
    assert ids([], ["E14"]) == ["E14-100", "E14-200", "E14-400"]
    assert ids(["A"], ["A2"]) == ["A2"]


@pytest.mark.parametrize(
    "tables, rows, said",
    [
        (["G"], [], "No table 'G'; tables are A, B, C"),
        ([], ["A2,Z1"], "No row 'Z1'"),
        ([], ["E1", "E"], "No row 'E'"),
        (["A"], ["C1"], "Row C1 is in table C, not in A"),
    ],
)
def test_what_is_not_there_is_refused(tables, rows, said):
    with pytest.raises(UserError, match=said):
        choose(tables, rows, SMALL)


def test_rows_that_a_preset_cannot_play_are_left_out_by_name():
    rows, left_out = choose([], [], poor())
    assert rows == playable(ROWS, poor())
    kept = {row.id for row in rows}
    assert {"A2", "C1", "E7", "F1"} <= kept
    assert not kept & {"A4", "B1", "E5", "E12", "E13", "F4"}
    assert "Left out, which preset tiny cannot play: A4, B1, " in left_out
    assert "E12: no `merge` file" in left_out
    assert "no method 'mdp' (it has mdp-paper, supervised, multihead)" in left_out
    assert choose([], [], SMALL)[1] == ""
    assert [row.id for row in choose([], ["A4"], poor())[0]] == ["A4"]  # refused by name where it is run


def test_nothing_left_is_refused():
    content = tiny_preset.content(roles={"COCO": tiny_preset.content()["roles"]["COCO"]})
    with pytest.raises(UserError, match=r"Preset tiny can play none of these rows. C1, .*C7: no role 'VOC'"):
        choose(["C"], [], Preset.model_validate(content))


def test_the_documented_preset_is_listed_and_reported(tmp_path, mdpseg_command):
    document = (ROOT / "docs/tables.md").read_text(encoding="utf-8")
    text = document[document.index("    name: mine") : document.index("\nA method `supervised-on-imagenet`")]
    (tmp_path / "mine.yaml").write_text(text.replace("\n    ", "\n").strip() + "\n")
    assert "targets" in yaml.safe_load((tmp_path / "mine.yaml").read_text())
    preset = tmp_path / "mine.yaml"
    (tmp_path / "r.csv").touch()
    code, out, err = mdpseg_command("tables", "list", "--preset", preset, "--results", tmp_path / "r.csv")
    assert code == 0, err
    assert "no role 'COCO'" in err
    assert "no method 'supervised'" in err
    assert "A2" in out
    page = tmp_path / "page.md"
    code, _, err = mdpseg_command(
        "tables", "show", "--preset", preset, "--results", tmp_path / "r.csv", "--report", page
    )
    assert code == 0, err
    assert f"mdpseg tables show --preset {preset} --results" in page.read_text()
    assert "\n| A2 | MDP from scratch |" in page.read_text()
    assert "\n| A4 |" not in page.read_text()
    code, _, err = mdpseg_command("tables", "run", "--preset", preset, "--rows", "F4")
    assert code == 2
    assert "Row F4 cannot be played: preset mine has no method 'mdp' (it has mdp-paper)" in err
