import re
from pathlib import Path

import pytest

from mdpseg.tables import results
from mdpseg.tables.cells import cells_of
from mdpseg.tables.conclusions import BEYOND, CONCLUSIONS
from mdpseg.tables.grid import ROWS, TABLES
from mdpseg.tables.preset import Preset, load_preset
from mdpseg.tables.report import report_page
from tests.tables import synthetic, tiny_preset

ROOT = Path(__file__).parents[2]
SMALL = load_preset("small")
RESULTS, OUT, REPORT = Path("benchmarks/tables-small.csv"), Path("docs/tables"), Path("docs/results.md")


@pytest.mark.skipif(not (ROOT / RESULTS).is_file(), reason=f"{RESULTS} is not committed yet")
def test_the_committed_page_is_what_the_committed_results_generate(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert REPORT.read_text(encoding="utf-8") == report_page(SMALL, RESULTS, OUT, REPORT), (
        f"run: mdpseg tables show --results {RESULTS} --out {OUT} --report {REPORT}"
    )


def test_the_investigation_sums_up_with_the_verdicts_of_the_results():
    def verdicts(name, pattern):
        return dict(re.findall(pattern, (ROOT / "docs" / name).read_text(encoding="utf-8"), re.MULTILINE))

    results = verdicts("results.md", r"^\| ([1-6][ab]?|F-\w+) \| [^|]* \| \*\*(not measured|[a-z]+(?: not)?)[ *]")
    assert len(results) == len(CONCLUSIONS) + len(BEYOND)
    assert (
        verdicts("investigation.md", r"^\| ([1-6][ab]?|F-\w+): [^|]* \| (not measured|[a-z]+(?: not)?) \|") == results
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Every row measured; those with more pretraining data or a better method are further ahead."""
    worth = {"A3": 2.0, "A4": 4.0, "A5": 3.0, "A6": 4.0, "B3": -1.0, "B5": 1.0, "F4": 5.0}

    def score(cell, when):
        gain = worth.get(cell.row, 0.0) + 0.1 * (-1) ** cell.seed * (cell.row in worth)
        return 30 + cell.seed + gain

    return synthetic.write(tmp_path_factory.mktemp("results") / "r.csv", ROWS, score)


def page(path):
    return report_page(SMALL, path, OUT, REPORT)


def test_the_same_results_give_the_same_page(path):
    assert page(path) == page(path)


def test_its_top_says_that_it_is_generated_and_how(path):
    head = page(path).split("## ")[0]
    for part in [
        "generated",
        "`docs/investigation.md`",
        f"tables run --seeds 3 --data-root DATA --results {path}",
        f"tables show --results {path} --out docs/tables --report docs/results.md",
    ]:
        assert part in " ".join(head.split())


def test_each_conclusion_has_a_verdict_and_figures(path):
    text = page(path)
    for conclusion in (*CONCLUSIONS, *BEYOND):
        assert re.search(rf"^\| {conclusion.id} \| .* \| \*\*(holds|does not|undecided).*\*\* \|$", text, re.MULTILINE)
        assert re.search(rf"^### {conclusion.id}: (holds|does not|undecided)", text, re.MULTILINE)
        for comparison in conclusion.comparisons:
            assert f"| {comparison.text} |" in text
    assert (
        "| 2 | MDP on top of ImageNet weights beats ImageNet weights alone. | **holds (2 of 2 comparisons)** |" in text
    )
    assert "| B2 over B3, late | +1.12 (VOC) | +0.97 ± 0.29 (3) | +0.97 ± 0.29 (3) | all targets | holds |" in text
    assert "| F12 | ours without the supervised term | +5.03 ± 0.29 (3) holds | +5.03 ± 0.29 (3) holds |" in text


def test_all_tables_stand_there_with_their_pictures(path):
    text = page(path)
    for table in TABLES:
        assert f"### Table {table}. " in text
        assert f"](tables/{table}.png)" in text
    for row in ROWS:
        assert f"\n| {row.id} | {row.about} | {row.data} |" in text
    assert "](tables" not in report_page(SMALL, path, None, REPORT)


def test_a_run_s_time_counts_once(tmp_path):
    cell = next(cells_of(synthetic.rows("A2"), SMALL, [4]))
    append = lambda *lines: results.append(tmp_path / "r.csv", list(lines))  # noqa: E731
    append(synthetic.line(cell, "early", 0.1, commit="new"), synthetic.line(cell, "late", 0.2, commit="new"))
    append(
        results.Result("pretraining", "p", "A2", "", 4, "", 100, None, None, 7200.0 - 72 / 2, 2, "old", "2026-11-20")
    )
    text = " ".join(page(tmp_path / "r.csv").split())
    assert (
        "1 pretrainings and 1 fine-tunings, 1 seeds (4), 4.0 CPU hours (cores held, by the clock), "
        "2026-11-20 to 2026-11-23, commits old, new." in text
    )
    assert "tables run --rows A2,D3,E4,F3 --first-seed 4 --seeds 1 --data-root DATA" in text


def test_the_commands_are_those_that_measure_what_there_is(path, tmp_path):
    more = tmp_path / "r.csv"
    more.write_text(path.read_text())
    for cell in cells_of(synthetic.rows("F1", "F4"), SMALL, [10, 11]):
        results.append(more, [synthetic.line(cell, when, 0.3) for when in ("early", "late")])
    text = page(more)
    assert f"    mdpseg tables run --seeds 3 --data-root DATA --results {more}\n" in text
    assert f"    mdpseg tables run --rows F1,F4 --first-seed 10 --seeds 2 --data-root DATA --results {more}\n" in text


def test_the_page_of_some_seeds_alone(path):
    text = report_page(SMALL, path, OUT, REPORT, range(1, 3))
    assert f"tables show --results {path} --first-seed 1 --seeds 2 --out docs/tables" in text
    assert "tables run --first-seed 1 --seeds 2 --data-root DATA" in text
    assert "2 seeds (1, 2)" in " ".join(text.split())
    assert "± 1.27 (2) |" in text
    assert "(3) |" not in text


def test_early_after_so_many_iterations(path, tmp_path):
    finetuning = {**tiny_preset.content()["finetuning"], "evaluate_at": [2, 3]}
    text = report_page(Preset.model_validate(tiny_preset.content(finetuning=finetuning)), tmp_path / "n", None, REPORT)
    assert "| VOC | things | 4 | 3 | 2 |" in text


def test_a_target_s_own_length_and_no_limit_of_its_images(tmp_path):
    targets = tiny_preset.content()["targets"]
    del targets["VOC"]["train"]["subset"]
    targets["VOC"] |= {"iterations": 8, "evaluate_at": [0.25, 1.0]}
    preset = Preset.model_validate(tiny_preset.content(targets=targets))
    assert "| VOC | things | all | 8 | 25 % |" in report_page(preset, tmp_path / "none.csv", None, REPORT)


def test_a_preset_that_can_play_no_row_with_a_pretraining(tmp_path):
    preset = Preset.model_validate(tiny_preset.content(methods={"none": {}}))
    text = " ".join(report_page(preset, tmp_path / "none.csv", None, REPORT).split())
    assert "100 published epochs are 0.01 times as many here. Pretraining:" in text


def test_code_outside_a_checkout_is_unknown(tmp_path):
    preset = Preset.model_validate(tiny_preset.content())
    line = results.Result("pretraining", "p", "A2", "", 0, "", 4, None, None, 9.0, 1, "", "2026-11-20")
    results.append(tmp_path / "r.csv", [line])
    assert "2026-11-20, commits unknown." in " ".join(report_page(preset, tmp_path / "r.csv", None, REPORT).split())


def test_before_anything_is_measured(tmp_path):
    text = page(tmp_path / "none.csv")
    assert "Nothing is measured yet" in text
    assert text.count("**not measured**") == len(CONCLUSIONS) + len(BEYOND)


def test_the_command_writes_page_tables_and_pictures(path, tmp_path, mdpseg_command):
    out, report = tmp_path / "docs/tables", tmp_path / "docs/results.md"
    code, _, err = mdpseg_command("tables", "show", "--results", path, "--out", out, "--report", report)
    assert code == 0, err
    assert report.read_text(encoding="utf-8") == report_page(SMALL, path, out, report)
    links = re.findall(r"\]\(([^)]+)\)", report.read_text())
    assert len(links) == len(TABLES)
    assert all((report.parent / link).is_file() for link in links)
