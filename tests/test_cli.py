import subprocess
import sys

import pytest

import mdpseg
from mdpseg import cli
from mdpseg.errors import UserError
from tests import tiny

QUICK = """
import sys
sys.argv = ["mdpseg", *{arguments}]
import mdpseg.cli
try:
    mdpseg.cli.main()
except SystemExit as stop:
    assert not stop.code, stop.code
heavy = {{"torch", "timm", "torchvision", "matplotlib", "numpy", "segmentation_models_pytorch"}} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["pretrain", "--help"], ["data", "check", "--help"]], ids=" ".join
)
def test_what_is_asked_in_passing_does_not_wait_for_torch(arguments):
    done = subprocess.run(
        [sys.executable, "-c", QUICK.format(arguments=arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ("mdpseg 0." if arguments == ["--version"] else "Usage") in done.stdout


def test_version(mdpseg_command):
    code, out, _ = mdpseg_command("--version")
    assert code == 0
    assert out.startswith(f"mdpseg {mdpseg.__version__} (torch ")


def test_help_names_every_command(mdpseg_command):
    code, out, _ = mdpseg_command("--help")
    assert code == 0
    names = [c.name or c.callback.__name__ for c in cli.app.registered_commands]
    names += [group.name for group in cli.app.registered_groups]
    assert {"demo", "pretrain", "tables", "data", "serve"} <= set(names)
    for name in names:
        assert f" {name} " in out


@pytest.mark.parametrize(
    "arguments", [["pretrain"], ["predict", "w"], ["nonsense"], ["pretrain", "r.yaml", "--nonsense"]]
)
def test_wrong_usage_is_exit_code_2(arguments, mdpseg_command):
    code, _, err = mdpseg_command(*arguments)
    assert code == 2
    assert "Usage" in err
    assert "Traceback" not in err


def test_debug_lets_the_error_through(mdpseg_command, tmp_path):
    for arguments in (["--debug", "pretrain", tmp_path / "none"], ["pretrain", tmp_path / "none", "--debug"]):
        with pytest.raises(UserError, match="No recipe"):
            mdpseg_command(*arguments)


def test_what_the_file_system_refuses_is_one_message(mdpseg_command, tmp_path):
    for arguments in (
        ["pretrain", "a" * 300],
        ["report", "a" * 300],
        ["predict", "a" * 300, tmp_path, "--out", tmp_path],
    ):
        code, _, err = mdpseg_command(*arguments)
        assert code == 2
        assert "File name too long" in err
        assert len(err.splitlines()) == 1


def test_an_error_that_is_no_user_s_is_not_hidden(mdpseg_command, monkeypatch, tmp_path):
    from mdpseg.engine import pretrain

    def bug(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(pretrain, "pretrain", bug)
    with pytest.raises(ZeroDivisionError):
        mdpseg_command("pretrain", tmp_path)


def test_interruption_is_exit_code_130_without_a_traceback(mdpseg_command, monkeypatch, tmp_path):
    from mdpseg.engine import pretrain

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrain, "pretrain", interrupted)
    code, _, err = mdpseg_command("pretrain", tmp_path)
    assert code == 130
    assert "Traceback" not in err


@pytest.mark.slow
def test_the_whole_job_by_commands(tmp_path, mdpseg_command):
    recipe = tiny.write_recipe(tmp_path / "pretrain.yaml", tiny.pretraining(tmp_path / "p", iterations=100))
    assert mdpseg_command("pretrain", recipe, "iterations=2", "log_every=1")[0] == 0
    assert mdpseg_command("pretrain", recipe, "iterations=3", "--resume")[0] == 0
    assert [record["step"] for record in tiny.losses(tmp_path / "p")] == [1, 2, 3]

    recipe = tiny.write_recipe(tmp_path / "finetune.yaml", tiny.finetuning(tmp_path / "f", iterations=2))
    code, _, err = mdpseg_command("finetune", recipe, f"init={tmp_path / 'p' / 'weights.safetensors'}")
    assert code == 0
    assert "mIoU" in err

    recipe = {"weights": str(tmp_path / "f" / "weights.safetensors"), "dataset": tiny.toy("things"), "workers": 0}
    code, out, _ = mdpseg_command(
        "evaluate", tiny.write_recipe(tmp_path / "evaluate.yaml", recipe), f"out={tmp_path / 'scores' / 's.json'}"
    )
    assert code == 0
    assert "mIoU" in out
    assert (tmp_path / "scores" / "s.json").is_file()

    tiny.image_folder(tmp_path / "d", count=2)
    images = tmp_path / "d" / "images" / "train"
    code, out, _ = mdpseg_command("predict", recipe["weights"], images, "--out", tmp_path / "masks", "--opacity", 0.3)
    assert code == 0
    assert "2 masks" in out
    assert sorted(file.name for file in (tmp_path / "masks").iterdir()) == [
        "0.png",
        "0_overlay.jpg",
        "1.png",
        "1_overlay.jpg",
        "classes.txt",
    ]


@pytest.mark.parametrize("opacity", [-1, 2, "much"])
def test_opacity_is_checked(opacity, mdpseg_command, tmp_path):
    code, _, err = mdpseg_command("predict", "w", tmp_path, "--out", tmp_path / "o", "--opacity", opacity)
    assert code == 2
    assert "opacity" in err


def test_the_public_names():
    for name in mdpseg.__all__:
        assert callable(getattr(mdpseg, name))
    assert mdpseg.losses.pixel_to_prototype
    assert mdpseg.bank.RegionBank
    assert mdpseg.mixing.region_mix
    assert mdpseg.metrics.ConfusionMatrix
    with pytest.raises(AttributeError, match="nonsense"):
        mdpseg.nonsense  # noqa: B018
    assert cli.app.info.help


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB.\nSee documentation"),
        RuntimeError("DataLoader worker (pid 17) is killed by signal: Killed. "),
    ],
    ids=str,
)
def test_a_lack_of_memory_is_one_message(error, monkeypatch, mdpseg_command):
    def lacking(*_, **__):
        raise error

    monkeypatch.setattr(cli, "app", lacking)
    code, out, err = mdpseg_command("pretrain", "r.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("mdpseg: there is not enough memory; set batch_size")
    assert err.count("\n") == 1
    with pytest.raises(type(error)):
        mdpseg_command("pretrain", "r.yaml", "--debug")


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch, mdpseg_command):
    def broken(*_, **__):
        raise RuntimeError("The size of tensor a (3) must match")

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(RuntimeError, match="must match"):
        mdpseg_command("pretrain", "r.yaml")
