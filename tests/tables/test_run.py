import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from mdpseg.errors import UserError
from mdpseg.recipe import load
from mdpseg.tables import results, run
from mdpseg.tables.cells import cells_of
from mdpseg.tables.grid import ROWS
from mdpseg.tables.preset import Preset
from mdpseg.tables.run import Place, run_cells, unfinished_groups
from tests import tiny
from tests.tables import synthetic, tiny_preset


def cells(*ids, seeds=(0,), **more):
    rows = [row for row in ROWS if row.id in ids]
    return list(cells_of(rows, load(tiny_preset.content(**more), Preset), seeds))


def place(folder):
    return Place(folder / "runs", folder / "results.csv", folder)


def scores(path):
    return {(r.key, r.when): (r.iteration, r.mean_iou, r.pixel_accuracy) for r in results.read(path) if r.when}


@pytest.mark.slow
def test_rows_share_pretrainings_and_finished_cells_are_never_run_again(tmp_path):
    said = []
    assert run_cells(cells("B1", "E5", "E7"), place(tmp_path), 1, said.append) == 4  # E7 has two targets
    lines = results.read(tmp_path / "results.csv")
    assert sum(line.kind == "pretraining" for line in lines) == 3  # COCO once for B1 and E5, then ADE20K and VOC
    assert {(line.when, line.iteration) for line in lines if line.when} == {("early", 1), ("late", 3)}
    assert said[0] == f"3 groups of cells to run; the run that is going has its log in {tmp_path / 'runs'}/*/log.txt"
    assert len(said) == 4
    before = (tmp_path / "results.csv").read_text()
    assert run_cells(cells("B1", "E5", "E7"), place(tmp_path), 1, said.append) == 0
    assert len(said) == 4
    assert (tmp_path / "results.csv").read_text() == before


def test_a_line_tells_the_code_that_was_loaded_also_if_something_is_committed_meanwhile(tmp_path, monkeypatch):
    package = tmp_path / "checkout/src/mdpseg"
    (package / "tables").mkdir(parents=True)
    monkeypatch.setattr(run, "__file__", str(package / "tables/run.py"))

    def told():
        run._commit.cache_clear()
        return run._commit()

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        return subprocess.run(
            ["git", "-C", str(tmp_path / "checkout"), *who, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    assert told() == ""
    git("init", "-q")
    (tmp_path / "checkout/README.md").write_text("of another project, in whose folder the package is installed")
    git("add", "README.md")
    git("commit", "-qm", "1")
    assert told() == ""
    (package / "a.py").write_text("1")
    git("add", ".")
    git("commit", "-qm", "2")
    first = git("rev-parse", "--short", "HEAD")
    assert told() == first
    (tmp_path / "checkout/README.md").write_text("more")
    git("commit", "-qam", "3")
    assert told() == first
    (package / "a.py").write_text("2")
    assert run._commit() == first
    assert told() == f"{first}-dirty"
    run._commit.cache_clear()


def test_a_cell_run_from_nothing_gives_the_same_figures(tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b"):
        run_cells(cells("A2"), place(folder), 1, lambda line: None)
    a, b = scores(tmp_path / "a/results.csv"), scores(tmp_path / "b/results.csv")
    assert a == b
    assert len(a) == 2
    kept = [path.name for path in (tmp_path / "a/runs").iterdir() if path.is_dir()]
    assert [name.split("-")[0] for name in kept] == ["pretrain"]  # of a fine-tuning, the scores are enough


def test_weights_learned_from_other_data_are_refused(tmp_path):
    first = place(tmp_path)
    run_cells(cells("A2"), first, 1, lambda line: None)
    before = scores(first.results)
    other = Place(first.runs, tmp_path / "other.csv", tmp_path / "elsewhere")
    told = (
        rf"pretrain-\w+ was run on the data in {tmp_path}, not on those in {tmp_path}/elsewhere\. Give the --data-root"
    )
    with pytest.raises(UserError, match=told):
        run_cells(cells("A2"), other, 1, lambda line: None)
    assert not other.results.exists()
    link = tmp_path / "link"
    link.symlink_to(tmp_path)  # the same data by another name
    run_cells(cells("A2"), Place(first.runs, tmp_path / "again.csv", link), 1, lambda line: None)
    assert scores(tmp_path / "again.csv") == before


def test_groups_leave_out_what_is_finished(tmp_path):
    wanted = cells("A2", "D3", "E7", seeds=(0, 1))
    groups = unfinished_groups(wanted, place(tmp_path))
    assert [(group[0].row, group[0].seed) for group in groups] == [("A2", 0), ("E7", 0), ("A2", 1), ("E7", 1)]
    done = [synthetic.line(cell, "late", 0.5) for cell in wanted if (cell.row, cell.seed) == ("E7", 0)]
    results.append(place(tmp_path).results, done)
    groups = unfinished_groups(wanted, place(tmp_path))
    assert [(group[0].row, group[0].seed) for group in groups] == [("A2", 0), ("A2", 1), ("E7", 1)]


def test_a_cell_with_an_early_score_alone_is_not_finished(tmp_path):
    wanted = cells("E7")
    results.append(place(tmp_path).results, [synthetic.line(cell, "early", 0.5) for cell in wanted])
    assert unfinished_groups(wanted, place(tmp_path)) == [wanted]


def somebody_is_left(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "stop", "number"),
    [
        (1, os.kill, signal.SIGTERM),
        (2, os.kill, signal.SIGTERM),
        (2, os.killpg, signal.SIGINT),  # as Ctrl-C does
        (2, os.killpg, signal.SIGTERM),  # as schedulers do
    ],
)
def test_a_stopped_grid_says_so_and_leaves_checkpoints_and_nobody(processes, stop, number, tmp_path):
    preset = tiny_preset.write(tmp_path, epoch_scale=50.0)  # it would take half an hour
    command = [
        sys.executable,
        "-m",
        "mdpseg",
        "tables",
        "run",
        "--rows",
        "A2,B1,E1,C1",
        "--preset",
        preset,
        "--seeds",
        1,
    ]
    command += ["--runs", tmp_path / "runs", "--results", tmp_path / "results.csv", "--processes", processes]
    grid = subprocess.Popen(list(map(str, command)), start_new_session=True, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 300
        while len(list((tmp_path / "runs").glob("pretrain-*/last.ckpt"))) < processes:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        stop(grid.pid, number)
        out, _ = grid.communicate(timeout=120)
        deadline = time.monotonic() + 60
        while somebody_is_left(grid.pid):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(grid.pid, signal.SIGKILL)
    assert grid.returncode == 128 + number
    assert out.splitlines()[0].startswith("4 groups of cells to run; the run that is going has its log in ")
    assert out.splitlines()[1:] == ["Stopped. The same command goes on from the last checkpoints."]
    logs = [path.read_text() for path in (tmp_path / "runs").glob("pretrain-*/log.txt")]
    assert len(logs) == processes
    assert all("resume" in log.splitlines()[-1] for log in logs), logs


@pytest.mark.slow
def test_a_killed_worker_is_told(tmp_path):
    preset = tiny_preset.write(tmp_path, epoch_scale=50.0)
    command = [sys.executable, "-m", "mdpseg", "tables", "run", "--rows", "A2,B1", "--preset", preset, "--seeds", 1]
    command += ["--runs", tmp_path / "runs", "--results", tmp_path / "results.csv", "--processes", 2]
    grid = subprocess.Popen(list(map(str, command)), start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 300
        while len(list((tmp_path / "runs").glob("pretrain-*/last.ckpt"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        found = subprocess.run(
            ["pgrep", "-P", str(grid.pid), "-f", "spawn_main"], check=True, capture_output=True, text=True
        )
        os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
        _, err = grid.communicate(timeout=120)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(grid.pid, signal.SIGKILL)
    assert grid.returncode == 2
    assert err.startswith("mdpseg: A worker was killed, perhaps for want of memory. The same command goes on from")
    assert "Traceback" not in err


LONGER = {"epoch_scale": 0.15}  # 60 steps: long enough to be killed in the middle


@pytest.fixture(scope="module")
def whole_grid(tmp_path_factory):
    """What it measures when nobody kills it."""
    folder = tmp_path_factory.mktemp("whole")
    run_cells(cells("A2", "E7", **LONGER), place(folder), 1, lambda line: None)
    return scores(folder / "results.csv")


@pytest.mark.slow
@pytest.mark.parametrize("workers_too", [True, False])
def test_a_killed_grid_goes_on_where_it_was_with_two_processes_and_ends_the_same(workers_too, whole_grid, tmp_path):
    preset = tiny_preset.write(tmp_path, **LONGER)
    command = [sys.executable, "-m", "mdpseg", "tables", "run", "--rows", "A2,E7", "--preset", preset, "--seeds", 1]
    command += ["--runs", tmp_path / "runs", "--results", tmp_path / "results.csv", "--processes", 2]
    first = subprocess.Popen(list(map(str, command)), start_new_session=True)
    try:
        deadline = time.monotonic() + 300
        while not list((tmp_path / "runs").glob("pretrain-*/last.ckpt")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (os.killpg if workers_too else os.kill)(first.pid, signal.SIGKILL)
        first.wait()
        while somebody_is_left(first.pid):  # nobody goes on unseen
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        with suppress(ProcessLookupError):  # nobody is left, unless something failed above
            os.killpg(first.pid, signal.SIGKILL)
    assert not any(line.row == "A2" for line in results.read(tmp_path / "results.csv"))
    [last] = (tmp_path / "runs").glob("pretrain-*/last.ckpt")
    last.rename(last.with_name("previous.ckpt"))  # as a kill between two renames leaves them
    again = tiny.command(*command[3:])
    assert again.returncode == 0, again.stderr
    assert not list((tmp_path / "runs").glob("*/*.ckpt"))
    [log] = (tmp_path / "runs").glob("pretrain-*/log.txt")
    assert "resumed at step" in log.read_text()
    assert scores(tmp_path / "results.csv") == whole_grid
