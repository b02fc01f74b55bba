import json
from pathlib import Path

import pytest
import torch

from mdpseg.config import AugmentConfig
from mdpseg.data.bad_files import BadFiles, read_or_replace
from mdpseg.data.draws import Draws
from mdpseg.data.loader import batches
from mdpseg.data.open import label_space_of
from mdpseg.data.readers.pairs import Sample
from mdpseg.errors import BadFileError, UserError
from tests import tiny


def fault(number: int, dataset: str = "d") -> BadFileError:
    return BadFileError(dataset, Path(f"{number}.jpg"), "damaged", f"{number}.jpg is damaged", "remove it")


class Holey(tiny.ListReader):
    """Images that are all of one value, their own number; some of them are damaged."""

    def __init__(self, count: int, bad: set[int], name: str = "d") -> None:
        super().__init__([None] * count, ["a", "b"], name)
        self.bad = bad

    def __getitem__(self, index):
        if index in self.bad:
            raise fault(index, self.name)
        return Sample(
            torch.full((3, 32, 32), index, dtype=torch.uint8), torch.zeros(32, 32, dtype=torch.uint8), f"{index}"
        )


PLAIN = AugmentConfig(crop=32, scale=(1, 1), flip=0, brightness=0, contrast=0, saturation=0)


def run(readers, bad_files=None, *, start=0, end=12, workers=0):
    draws = Draws([len(reader) for reader in readers], 5, "equal")
    return list(
        batches(
            readers,
            label_space_of(readers),
            draws,
            PLAIN,
            start=start,
            end=end,
            batch_size=10,
            workers=workers,
            bad_files=bad_files,
        )
    )


def book(tmp_path, sizes, said=None):
    return BadFiles(sizes, tmp_path / "bad-files.jsonl", (said if said is not None else []).append)


def test_good_draws_stay_and_bad_ones_are_replaced_inside_their_dataset(tmp_path):
    readers = [Holey(200, {3, 77}, "d"), Holey(150, {9}, "e")]
    whole = run([Holey(200, set(), "d"), Holey(150, set(), "e")])
    made = run(readers, book(tmp_path, {"d": 200, "e": 150}))
    replaced = 0
    for before, after in zip(whole, made, strict=True):
        assert torch.equal(before.datasets, after.datasets)
        for old, new, dataset in zip(before.names, after.names, before.datasets.tolist(), strict=True):
            if old in ("d/3", "d/77", "e/9"):
                assert new.startswith("de"[dataset])
                assert new not in ("d/3", "d/77", "e/9")
                replaced += 1
            else:
                assert old == new
    assert replaced


@pytest.mark.parametrize("workers", [1, 2])
def test_what_replaces_it_does_not_depend_on_workers_or_on_the_start(workers, tmp_path):
    readers = [Holey(200, {3, 77}), Holey(150, {9}, "e")]
    sizes = {"d": 200, "e": 150}
    alone = run(readers, book(tmp_path, sizes))
    others = run(readers, book(tmp_path, sizes), workers=workers)
    late = run(readers, book(tmp_path, sizes), start=5, workers=workers)
    assert [batch.names for batch in alone] == [batch.names for batch in others]
    assert [batch.names for batch in alone[5:]] == [batch.names for batch in late]


def test_by_default_the_first_one_stops():
    with pytest.raises(UserError, match=r"^d: \d+\.jpg is damaged; remove it\.$"):
        run([Holey(200, set(range(100)))])


def test_each_file_is_told_once_also_after_a_resumption(tmp_path):
    readers, said = [Holey(200, {3, 77})], []
    run(readers, book(tmp_path, {"d": 200}, said), end=100)
    assert sorted(said) == [
        f"skipped, another image takes its place: d: {i}.jpg is damaged; remove it." for i in (3, 77)
    ]
    entries = [json.loads(line) for line in (tmp_path / "bad-files.jsonl").read_text().splitlines()]
    assert sorted(entry["file"] for entry in entries) == ["3.jpg", "77.jpg"]
    run(readers, book(tmp_path, {"d": 200}, said), start=100, end=200)
    assert len(said) == 2


def test_more_than_one_per_cent_stop(tmp_path):
    said = []
    files = book(tmp_path, {"d": 200, "e": 1000}, said)
    for number in (1, 2, 1, 2):
        files.skip(fault(number))
    files.skip(fault(7, "e"))  # counts for its own dataset
    with pytest.raises(
        UserError, match=r"^d: 3 of its 200 images are bad, more than 1%.*3\.jpg is damaged.*data check"
    ):
        files.skip(fault(3))
    assert len(said) == 4


def test_the_count_goes_on_after_a_resumption_and_half_a_line(tmp_path):
    for number in (1, 2):
        book(tmp_path, {"d": 200}).skip(fault(number))
    with (tmp_path / "bad-files.jsonl").open("a") as file:
        file.write('{"file": "hal\n')
    with pytest.raises(UserError, match="3 of its 200"):
        book(tmp_path, {"d": 200}).skip(fault(3))


def test_a_dataset_of_bad_files_alone_stops():
    reader = Holey(5, {0, 1, 2, 3, 4})
    draws = Draws([5], 0)
    with pytest.raises(BadFileError, match=f"d: {draws[0].index}.jpg"):
        read_or_replace(reader, draws[0], draws)


def test_other_errors_are_not_skipped(tmp_path):
    class Wrong(Holey):
        def __getitem__(self, index):
            raise UserError("something else")

    with pytest.raises(UserError, match="something else"):
        run([Wrong(200, set())], book(tmp_path, {"d": 200}))


def damaged_dataset(root, count, bad):
    entry = tiny.image_folder(root, count=count)
    for number in bad:
        path = root / f"images/train/{number}.jpg"
        path.write_bytes(path.read_bytes()[:300])
    return entry


def test_a_run_that_skips(tmp_path, mdpseg_command):
    entry = damaged_dataset(tmp_path / "d", 100, [40])
    recipe = tiny.finetuning(tmp_path / "out", train=entry, val=None, iterations=40, batch_size=8, log_every=20)
    path = tiny.write_recipe(tmp_path / "r.yaml", recipe)
    code, _, err = mdpseg_command("finetune", path)
    assert code == 2
    assert "40.jpg is truncated" in err
    code, _, err = mdpseg_command("finetune", path, "on_bad_file=skip", "iterations=20")
    assert code == 0, err
    log = (tmp_path / "out" / "log.txt").read_text()
    assert log.count("40.jpg") == 1
    assert "skipped, another image takes its place: mine: " in log
    code, _, err = mdpseg_command("finetune", path, "on_bad_file=skip", "--resume")
    assert code == 0, err
    assert (tmp_path / "out" / "log.txt").read_text().count("40.jpg") == 1


def test_a_run_that_skips_too_many_ends_with_one_message_and_leaves_nothing(tmp_path, mdpseg_command):
    entry = damaged_dataset(tmp_path / "d", 100, [1, 2, 3])
    recipe = tiny.finetuning(tmp_path / "out", train=entry, val=None, iterations=60, batch_size=8, on_bad_file="skip")
    code, _, err = mdpseg_command("finetune", tiny.write_recipe(tmp_path / "r.yaml", recipe))
    assert code == 2
    assert "Traceback" not in err
    assert "2 of its 100 images are bad, more than 1%" in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
