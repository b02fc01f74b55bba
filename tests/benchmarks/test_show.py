"""docs/performance.md is what the committed CSV files give, and the figures in it are computed as it says."""

import csv
import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


measure, show = load("measure"), load("show")


def test_the_committed_page_is_what_the_results_give():
    assert show.PAGE.read_text() == show.page(), "run python benchmarks/show.py"


@pytest.mark.parametrize(
    "path", sorted(show.RESULTS.glob("*/*.csv")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_each_result_comes_from_a_script_and_names_its_machine(path):
    assert (BENCHMARKS / f"{path.stem.partition('-')[0]}.py").exists()
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        assert list(row) == measure.FIELDS
        assert all(row[name] for name in show.SOURCE)
        assert float(row["low"]) <= float(row["ratio"]) <= float(row["high"])


@pytest.mark.parametrize(
    "target, ratio, spread, met",
    [
        ("at least 2", "3", ("2", "4"), "yes"),
        ("at least 3.5", "3", ("2", "4"), "no"),
        ("", "3", ("2", "4"), ""),
        ("at most 0.5", "0.3333", ("0.25", "0.5"), "yes"),
        ("at most 0.3", "0.3333", ("0.25", "0.5"), "no"),
    ],
)
def test_ratio(target, ratio, spread, met):
    row = measure.ratio_row("ours", "theirs", [1.0, 1.0, 1.0], [2.0, 4.0, 3.0], target)
    assert (row["ratio"], (row["low"], row["high"]), row["met"]) == (ratio, spread, met)
    assert (row["ours"], row["theirs"]) == ("1", "3")


def test_sides_take_turns():
    calls = []
    seconds = measure.compare({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2, warmup=1)
    assert "".join(calls) == "baabba"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_is_of_the_side_alone():
    assert measure.peak_memory(lambda: b"x" * 50_000_000) == pytest.approx(50, abs=5)


@pytest.mark.parametrize("rows", [[measure.value_row("a", [1.0, 2.0, 4.0], "at most 3", "s")], []])
def test_a_page(tmp_path, rows):
    for kind in ("avx2", "avx512"):
        measure.write_csv(tmp_path / kind / "some_thing.csv", rows)
    text = show.page(tmp_path)
    assert text.count("## Some thing") == 1
    assert text.index("## Some thing") < text.index("### With AVX2") < text.index("### With AVX512")
    assert ("at most 3 s" in text) == bool(rows)
