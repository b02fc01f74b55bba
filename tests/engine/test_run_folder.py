import errno
import fcntl
import json
import os
import shutil

import matplotlib
import pytest
import torch
from PIL import Image
from rich.console import Console

from mdpseg import weights
from mdpseg.config import FinetuneConfig, PretrainConfig
from mdpseg.data.open import label_space_of, open_dataset
from mdpseg.engine import run_folder
from mdpseg.engine.curves import draw_curves
from mdpseg.engine.run_folder import RunFolder, open_run
from mdpseg.errors import UserError
from mdpseg.recipe import load
from tests import tiny

FILES = {"README.md", "recipe.yaml", "log.txt", "metrics.jsonl", "curves.png", "last.ckpt", "weights.safetensors"}


def test_the_files_of_a_pretraining(pretrained):
    assert {file.name for file in pretrained.iterdir()} == FILES


def test_the_files_of_a_fine_tuning(finetuned):
    assert {file.name for file in finetuned.iterdir()} == FILES | {"previous.ckpt", "scores-1.json", "scores-3.json"}


def test_the_recipe_loads_to_the_same_configuration(pretrained, finetuned):
    assert load(pretrained / "recipe.yaml", PretrainConfig) == load(tiny.pretraining(pretrained), PretrainConfig)
    content = tiny.finetuning(finetuned, init=load(finetuned / "recipe.yaml", FinetuneConfig).init, network=None)
    assert load(finetuned / "recipe.yaml", FinetuneConfig) == load(content, FinetuneConfig)


def test_the_readme_names_files_data_and_the_next_command(pretrained, finetuned):
    text = (pretrained / "README.md").read_text()
    for part in [*FILES - {"README.md"}, "coarse", "fine", f"mdpseg finetune RECIPE init={pretrained}"]:
        assert part in text
    text = (finetuned / "README.md").read_text()
    scores = json.loads((finetuned / "scores-3.json").read_text())
    for part in ["things", f"mdpseg predict {finetuned}", f"| 3 | {100 * scores['mean_iou']:.2f} |"]:
        assert part in text


def test_the_log_has_the_time_on_every_line(pretrained):
    lines = (pretrained / "log.txt").read_text().splitlines()
    assert all(line[:2] == "20" and line[4] == "-" and line[13] == ":" for line in lines)
    assert any("step 3/3 loss" in line for line in lines)


def test_metrics_are_lines_of_json(pretrained, finetuned):
    records = [json.loads(line) for line in (pretrained / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [1, 2, 3]
    assert {"step", "loss", "contrast", "supervised", "lr", "images_per_second"} == set(records[0])
    evaluated = [record["step"] for record in tiny.losses(finetuned) if "mean_iou" in record]
    assert evaluated == [1, 3]


def test_drawing_leaves_a_notebook_s_plots_alone(pretrained, tmp_path):
    before = matplotlib.get_backend()
    matplotlib.use("svg")
    try:
        shutil.copytree(pretrained, tmp_path / "run")
        (tmp_path / "run" / "curves.png").unlink()
        draw_curves(RunFolder(tmp_path / "run", Console()))
        assert (tmp_path / "run" / "curves.png").is_file()
        assert matplotlib.get_backend() == "svg"
    finally:
        matplotlib.use(before)


def test_the_curves_are_a_picture(pretrained):
    with Image.open(pretrained / "curves.png") as picture:
        assert picture.format == "PNG"
        picture.load()
        assert picture.width > 500


def test_the_checkpoint_holds_tensors_and_numbers_only(pretrained):
    state = torch.load(pretrained / "last.ckpt", weights_only=True)
    assert state["step"] == 3
    assert {"objective", "optimizer", "random", "recipe", "classes", "sizes"} <= set(state)
    assert state["next_draw"] == 3 * 4
    assert state["metrics_bytes"] == (pretrained / "metrics.jsonl").stat().st_size
    assert {"torch", "python", "numpy"} <= set(state["random"][0])
    assert any(name.startswith("momentum_network.") for name in state["objective"])
    assert {"learned", "seen", "bank.regions"} <= set(state["objective"])


def test_the_weights_carry_label_space_and_prototypes(pretrained):
    stored = weights.load(pretrained / "weights.safetensors")
    space = label_space_of([open_dataset(d) for d in load(pretrained / "recipe.yaml", PretrainConfig).datasets])
    assert stored.label_space == space
    assert stored.head == "projection"
    assert stored.prototypes.shape == (space.num_classes, 16)
    assert stored.present.shape == (space.num_classes,)
    norms = stored.prototypes[stored.present].norm(dim=1)
    assert torch.allclose(norms, torch.ones_like(norms), atol=1e-5)


def config(out, **more):
    return load(tiny.pretraining(out, **more), PretrainConfig)


def test_a_failed_run_removes_the_folder_that_it_made(tmp_path):
    with pytest.raises(RuntimeError), open_run(config(tmp_path / "out")) as run:  # noqa: PT012
        run.log("hello")
        raise RuntimeError
    assert not (tmp_path / "out").exists()


def test_a_failed_run_empties_the_folder_that_a_link_leads_to(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    with pytest.raises(RuntimeError, match="of the run"), open_run(config(tmp_path / "out")) as run:  # noqa: PT012
        (run.path / "tensorboard").mkdir()
        run.log("hello")
        raise RuntimeError("of the run")
    assert (tmp_path / "out").is_symlink()
    assert not list((tmp_path / "disk").iterdir())


def test_a_failed_run_with_a_checkpoint_keeps_it(tmp_path):
    with pytest.raises(RuntimeError), open_run(config(tmp_path / "out")) as run:  # noqa: PT012
        run.save_checkpoint({"step": 1})
        raise RuntimeError
    assert (tmp_path / "out" / "last.ckpt").is_file()
    assert not (tmp_path / "out" / ".lock").exists()


def test_the_lock_is_held_within_the_process_too(tmp_path):
    with open_run(config(tmp_path / "out")) as run:
        with pytest.raises(UserError, match="in use"), open_run(config(tmp_path / "out")):
            pass
        assert (run.path / "recipe.yaml").is_file()
    assert not (tmp_path / "out" / ".lock").exists()


def test_a_folder_that_is_refused_is_left_alone_where_there_are_no_locks(tmp_path, monkeypatch):
    """The run in it may be writing its checkpoint."""
    monkeypatch.setattr(run_folder.files, "lock", lambda file, wait: False)
    with open_run(config(tmp_path / "out")) as run:
        (run.path / ".tmp-1-last.ckpt").write_text("half")
        with pytest.raises(UserError, match="is not empty"), open_run(config(tmp_path / "out")):
            pass
        assert (run.path / ".tmp-1-last.ckpt").is_file()
        assert (run.path / ".lock").is_file()


def test_a_folder_with_nothing_but_what_a_killed_run_was_writing_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".tmp-1-last.ckpt").write_text("half")
    with open_run(config(tmp_path / "out")) as run:
        assert not list(run.path.glob(".tmp-*"))


def test_a_lock_that_was_removed_meanwhile_is_not_taken(tmp_path, monkeypatch):
    """Between opening and locking it, the run before ended: the next one would lock a file of its own."""
    real, removed = run_folder.files.lock, []

    def late(file, wait):
        if not removed:
            removed.append((tmp_path / "out" / ".lock").unlink())
        return real(file, wait)

    monkeypatch.setattr(run_folder.files, "lock", late)
    with open_run(config(tmp_path / "out")):
        assert (tmp_path / "out" / ".lock").is_file()
        with pytest.raises(UserError, match="in use"), open_run(config(tmp_path / "out")):
            pass


def test_a_forked_child_does_not_hold_the_lock(tmp_path):
    """A killed run's loader lives on for seconds; the run can be resumed at once."""
    folder = config(tmp_path / "out").out
    with open_run(config(folder)):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            with (folder / ".lock").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:  # the parent has it; we have not
                    os.write(writer, str(len(_locks_open_here())).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reader, 1) == b"0"


def _locks_open_here():
    return [lock for lock in run_folder._locks if not lock.closed]


def test_the_recipe_of_a_resumed_run_is_not_itself_a_resumption(tmp_path):
    with open_run(config(tmp_path / "out")) as run:
        run.save_checkpoint({"step": 1})
    with open_run(config(tmp_path / "out", resume=True)):
        pass
    assert load(tmp_path / "out" / "recipe.yaml", PretrainConfig).resume is False


def test_metrics_after_a_length_are_dropped(tmp_path):
    with open_run(config(tmp_path / "out")) as run:
        lengths = [run.metrics_bytes()]
        for step in range(1, 5):
            run.record(step=step, loss=1.0)
            lengths.append(run.metrics_bytes())
        assert lengths[0] == 0
        run.cut_metrics(lengths[2])
        assert [record["step"] for record in run.records()] == [1, 2]
        run.cut_metrics(lengths[2] - 5)  # somebody shortened it: no half line stays
        assert run.metrics_bytes() == lengths[1]


def saved(out, steps):
    with open_run(config(out)) as run:
        for step in range(1, steps + 1):
            run.save_checkpoint({"step": step})


def test_the_last_two_checkpoints_are_kept(tmp_path):
    saved(tmp_path / "out", 3)
    steps = {name: torch.load(tmp_path / "out" / name)["step"] for name in ("last.ckpt", "previous.ckpt")}
    assert steps == {"last.ckpt": 3, "previous.ckpt": 2}
    assert not list((tmp_path / "out").glob(".*"))


def whatever(state):
    """Any content will do."""


def flip_a_bit(content):
    place = content.index(b"step") + 6  # in the pickled numbers
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-50], lambda _: b"", lambda _: b"hello", flip_a_bit], ids=range(4)
)
def test_a_damaged_last_checkpoint_falls_back_to_the_one_before_and_says_so(damage, tmp_path):
    out = tmp_path / "out"
    saved(out, 3)
    (out / "last.ckpt").write_bytes(damage((out / "last.ckpt").read_bytes()))
    with open_run(config(out, resume=True)) as run:
        assert run.load_checkpoint(whatever)["step"] == 2
        assert "last.ckpt cannot be read" in (out / "log.txt").read_text()
        assert "previous.ckpt, of step 2" in (out / "log.txt").read_text()
        run.save_checkpoint({"step": 3})  # the damaged one is not kept in the place of the good one
        assert torch.load(out / "previous.ckpt")["step"] == 2


def test_so_does_one_of_other_content(tmp_path):
    def check(state):
        if state["step"] == 3:
            raise ValueError("three")

    saved(tmp_path / "out", 3)
    with open_run(config(tmp_path / "out", resume=True)) as run:
        assert run.load_checkpoint(check)["step"] == 2
        assert "last.ckpt cannot be read (three); going back" in (tmp_path / "out" / "log.txt").read_text()


def test_both_checkpoints_damaged(tmp_path):
    out = tmp_path / "out"
    saved(out, 2)
    for name in ("last.ckpt", "previous.ckpt"):
        (out / name).write_bytes(b"")
    with (
        pytest.raises(UserError, match=r"last\.ckpt.*previous\.ckpt.*new folder"),
        open_run(config(out, resume=True)) as run,
    ):
        run.load_checkpoint(whatever)


def test_only_the_earlier_checkpoint_is_there(tmp_path):
    """Where hard links are not to be had, a run may be killed between two renamings."""
    out = tmp_path / "out"
    saved(out, 2)
    (out / "last.ckpt").unlink()
    with open_run(config(out, resume=True)) as run:
        assert run.load_checkpoint(whatever)["step"] == 1


def test_what_a_killed_run_was_writing_is_removed(tmp_path):
    out = tmp_path / "out"
    saved(out, 1)
    (out / ".tmp-123-last.ckpt").write_text("half")
    with open_run(config(out, resume=True)):
        assert not list(out.glob(".tmp*"))


def test_a_run_killed_before_its_recipe_was_written_leaves_an_empty_folder(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".tmp-123-recipe.yaml").write_text("half")
    (out / ".lock").write_text("")
    with open_run(config(out)) as run:
        assert (run.path / "recipe.yaml").is_file()


def test_other_processes_of_a_run_leave_the_folder_alone(tmp_path):
    with open_run(config(tmp_path / "out"), rank=1) as run:
        run.log("hello")
        run.record(step=1)
        run.save_checkpoint({})
        run.write_recipe(config(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    with open_run(config(tmp_path / "out")) as run:
        run.save_checkpoint({"step": 1})
    assert "this file system has no locks" in (tmp_path / "out" / "log.txt").read_text()
