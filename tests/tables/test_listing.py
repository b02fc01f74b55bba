from rich.console import Console

from mdpseg.tables.grid import ROWS
from mdpseg.tables.listing import listing
from mdpseg.tables.preset import load_preset
from tests.tables import synthetic

SMALL = load_preset("small")


def drawn(rows, path, width):
    console = Console(width=width)
    with console.capture() as captured:
        console.print(listing(rows, SMALL, path))
    return captured.get()


def test_a_seed_counts_where_all_targets_are_measured(tmp_path):
    def score(cell, when):
        return None if (cell.column, cell.seed) == ("CamVid", 1) else 30.0

    path = synthetic.write(tmp_path / "r.csv", synthetic.rows("A5"), score)
    text = drawn(synthetic.rows("A5", "A6", "E7"), path, 120)
    seeds = {line.split()[0]: line.split()[-1] for line in text.splitlines() if line[1:3] in ("A5", "A6", "E7")}
    assert seeds == {"A5": "2", "A6": "0", "E7": "0"}
    assert "Targets: VOC, ADE20K, CamVid, Cityscapes; E7 also COCO." in " ".join(text.split())


def test_80_columns_cut_nothing_off(tmp_path):
    text = drawn(ROWS, tmp_path / "none.csv", 80)
    assert max(map(len, text.splitlines())) <= 80
    words = text.split()
    for row in ROWS:
        assert {row.id, *row.about.split(), *row.data.split()} <= set(words)
