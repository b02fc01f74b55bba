import multiprocessing
from dataclasses import replace

import pytest

from mdpseg.errors import UserError
from mdpseg.tables.results import Result, append, read

LINE = Result("finetuning", "k1", "A2", "VOC", 0, "late", 300, 0.25, 0.5, 61.5, 1, "abc1234", "2026-11-23")


def test_what_was_appended_is_read(tmp_path):
    times = replace(LINE, kind="pretraining", key="k2", column="", when="", mean_iou=None, pixel_accuracy=None)
    other = replace(LINE, when="early", commit="", column='odd, "quoted"')
    append(tmp_path / "new" / "r.csv", [times, LINE])
    append(tmp_path / "new" / "r.csv", [other])
    assert read(tmp_path / "new" / "r.csv") == [times, LINE, other]
    assert len((tmp_path / "new" / "r.csv").read_text().splitlines()) == 4


def test_no_file_has_no_results(tmp_path):
    assert read(tmp_path / "none.csv") == []


def _append_often(path, name, barrier):
    barrier.wait()
    for index in range(50):
        append(path, [replace(LINE, key=f"{name}{index}", when=when) for when in ("early", "late")])


def test_two_processes_append_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    workers = [context.Process(target=_append_often, args=(tmp_path / "r.csv", name, barrier)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lines = read(tmp_path / "r.csv")
    assert {(line.key, line.when) for line in lines} == {
        (f"{name}{index}", when) for name in "ab" for index in range(50) for when in ("early", "late")
    }
    assert [line.when for line in lines] == ["early", "late"] * 100  # what is appended at once stays together


def test_the_head_is_written_once_by_whoever_is_first(tmp_path, monkeypatch):
    """Both may have opened the file while it was empty."""
    from mdpseg import files

    late = files.fcntl.flock

    def other_was_faster(file, how):
        monkeypatch.setattr(files.fcntl, "flock", late)
        append(tmp_path / "r.csv", [LINE])
        late(file, how)

    monkeypatch.setattr(files.fcntl, "flock", other_was_faster)
    append(tmp_path / "r.csv", [replace(LINE, key="k2")])
    assert [line.key for line in read(tmp_path / "r.csv")] == ["k1", "k2"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("0.25", "a quarter"),
        lambda text: text[: len(text) - 12],  # without its date
        lambda text: text[: len(text) // 2 + 40],
        lambda text: text.rstrip("\n") + text.splitlines()[1] + "\n",
    ],
    ids=["no number", "cut short", "cut shorter", "two in one line"],
)
def test_a_damaged_line_is_named(damage, tmp_path):
    append(tmp_path / "r.csv", [LINE])
    (tmp_path / "r.csv").write_text(damage((tmp_path / "r.csv").read_text()))
    with pytest.raises(UserError, match=r"r\.csv, line 2 is no result"):
        read(tmp_path / "r.csv")


def test_another_csv_file_is_refused(tmp_path):
    (tmp_path / "r.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="line 2 is no result"):
        read(tmp_path / "r.csv")


@pytest.mark.parametrize("content", [b"kind,key\n\xff\xfe\n", b"kind,key\n" + b"x" * 200_000 + b",1\n"])
def test_what_is_no_csv_file_is_refused(content, tmp_path):
    (tmp_path / "r.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"r\.csv is no CSV file of results"):
        read(tmp_path / "r.csv")
