import pytest
import torch

from mdpseg.config import EvaluateConfig, PredictConfig, PretrainConfig
from mdpseg.engine import runtime
from mdpseg.engine.runtime import make_fabric, make_training_fabric
from mdpseg.errors import UserError
from mdpseg.recipe import load
from tests import tiny


@pytest.fixture
def machine(monkeypatch):
    """A machine of so many CUDA devices, as torch tells it -> what Fabric is asked for there."""
    asked = {}
    monkeypatch.setattr(runtime, "Fabric", lambda **given: asked.update(given))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    def of(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
        return asked

    return of


def training(tmp_path, **more):
    return PretrainConfig.model_validate(tiny.pretraining(tmp_path / "run", **more))


@pytest.mark.parametrize(
    "count, device, accelerator, devices, precision",
    [
        (0, "auto", "cpu", 1, "32-true"),
        (2, "auto", "cuda", 1, "bf16-mixed"),
        (2, "cpu", "cpu", 1, "32-true"),
        (2, "cuda", "cuda", 1, "bf16-mixed"),
        (2, "cuda:0", "cuda", [0], "bf16-mixed"),
        (2, "cuda:1", "cuda", [1], "bf16-mixed"),
        (2, torch.device("cuda", 1), "cuda", [1], "bf16-mixed"),
    ],
)
def test_devices_that_are_there(count, device, accelerator, devices, precision, machine, tmp_path):
    asked = machine(count)
    make_fabric(device, "auto")
    assert asked == {"accelerator": accelerator, "devices": devices, "precision": precision}
    asked.clear()
    make_training_fabric(training(tmp_path, device=str(device)))
    assert asked == {"accelerator": accelerator, "devices": devices, "precision": precision}


@pytest.mark.parametrize("device", ["cuda:2", "cuda:-1", "cuda:", "cuda:01", "xpu", "foo", "mps", "", 1, None])
def test_others_are_refused_with_what_is_possible(device, machine):
    asked = machine(2)
    with pytest.raises(UserError, match=r"device=auto, device=cpu, device=cuda, device=cuda:0, device=cuda:1\.$"):
        make_fabric(device, "auto")
    assert not asked


def test_a_precision_that_is_none_is_refused():
    with pytest.raises(UserError, match="precision is 'fp16'; expected auto, fp32, bf16"):
        make_fabric("cpu", "fp16")


@pytest.mark.parametrize("precision, expected", [("auto", "32-true"), ("fp32", "32-true"), ("bf16", "bf16-mixed")])
def test_a_gpu_that_only_emulates_bfloat16_is_not_given_it_unasked(precision, expected, machine, monkeypatch):
    asked = machine(1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    make_fabric("auto", precision)
    assert asked["precision"] == expected


@pytest.mark.parametrize("version, fit", [("2.9.1", False), ("2.14.0", True), ("3.0.1+cpu", True)])
def test_mps_is_taken_where_torch_is_new_enough(version, fit, machine, monkeypatch):
    asked = machine(0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion(version))
    make_fabric("auto", "auto")
    assert asked["accelerator"] == ("mps" if fit else "cpu")
    if fit:
        make_fabric("mps", "auto")
    else:
        with pytest.raises(UserError, match=r"mps wants torch 2\.14, and this is 2\.9\.1.*device=auto, device=cpu\.$"):
            make_fabric("mps", "auto")


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_without_cuda_only_the_cpu_is_named(device, machine, tmp_path):
    machine(0)
    for make in (lambda: make_fabric(device, "auto"), lambda: make_training_fabric(training(tmp_path, device=device))):
        with pytest.raises(UserError, match=rf"device is {device}, which .* possible here: device=auto, device=cpu\.$"):
            make()


def test_one_device_by_its_number_is_not_several(machine, tmp_path):
    machine(4)
    with pytest.raises(UserError, match=r"devices=2 nodes=1, and device cuda:1 is one only; set device=cuda"):
        make_training_fabric(training(tmp_path, device="cuda:1", devices=2))


@pytest.mark.parametrize("device", ["xpu", "foo", "cuda:", "cuda:x", "cuda:1\n", "mps:0"])
@pytest.mark.parametrize(
    "kind, settings",
    [
        (PretrainConfig, tiny.pretraining("out")),
        (EvaluateConfig, {"weights": "w", "dataset": tiny.toy("fine")}),
        (PredictConfig, {"weights": "w", "images": ["a"], "out": "o"}),
    ],
)
def test_a_recipe_s_device_is_checked_before_anything_runs(kind, settings, device):
    with pytest.raises(UserError, match=r"device is .*; expected auto, cpu, cuda, cuda:N \(such as cuda:1\) or mps"):
        load({**settings, "device": device}, kind)
    assert load({**settings, "device": "cuda:11"}, kind).device == "cuda:11"
