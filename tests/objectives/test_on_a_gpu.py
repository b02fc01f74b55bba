"""Steps of each objective on a GPU that is not there (tests/pretend_gpu.py): nothing stays on the wrong device."""

import pytest
import torch

from mdpseg.config import MethodConfig
from mdpseg.engine.random_state import seed_everything
from mdpseg.label_space import LabelSpace
from mdpseg.mixing import mix_batch
from mdpseg.objectives.choose import pretraining_objective
from mdpseg.objectives.finetune import Finetune
from tests import tiny
from tests.pretend_gpu import DEVICE, pretend_gpu

SPACE = LabelSpace.concatenate({"a": ["p", "q", "r"], "b": ["s", "t"]}, catch_alls={"a": "p"})
METHODS = [
    {},
    {"scheme": "mdp-paper", "bank_size": 12},
    {"prototypes": "bank", "sparse_coding": "pull", "bank_size": 12},
    {"prototypes": "mixed", "bank_policy": "per_class", "denominator": "no_lookalikes", "bank_size": 12},
    {"bank": "region", "sparse_coding": "pull", "bank_size": 12},
    {"bank": "none", "momentum": 0.9},
    {"sparse_coding": "no_push"},
    {"objective": "supervised"},
    {"objective": "multihead"},
    {"auxiliary_weight": 0.4},
    {"objective": "supervised", "auxiliary_weight": 0.4},
    {"objective": "finetune"},
]


def batch():
    """Four images of two datasets; the second is blended, and a strip of the first is ignored."""
    source = torch.Generator().manual_seed(0)
    small = torch.cat(
        [torch.randint(0, 3, (2, 8, 8), generator=source), torch.randint(3, 5, (2, 8, 8), generator=source)]
    )
    small[0, 0] = -1
    targets = small.repeat_interleave(4, 1).repeat_interleave(4, 2)
    return tiny.batch(targets, [0, 0, 1, 1], [1.0, 0.3, 1.0, 1.0], seed=0)


def objective_of(method):
    seed_everything(0)
    network = tiny.TinyNetwork()
    if method.get("objective") == "finetune":
        return Finetune(network, SPACE)
    return pretraining_objective(network, SPACE, MethodConfig.model_validate(method))


def two_losses(objective, device):
    objective.to(device).train()
    optimizer = torch.optim.SGD(objective.parameters(), 0.1)
    for _ in range(2):
        loss = objective(mix_batch(batch().to(device)))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        objective.after_step()
        yield loss


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_steps_are_those_of_the_cpu(method):
    here = [loss.item() for loss in two_losses(objective_of(method), torch.device("cpu"))]
    objective = objective_of(method)
    with pretend_gpu():
        there = [loss.item() for loss in two_losses(objective, DEVICE)]
        assert all(tensor.device == DEVICE for tensor in objective.state_dict().values())
    assert there == pytest.approx(here, rel=1e-5)


@pytest.mark.parametrize(
    ("most", "method"),
    [
        (0, {"objective": "finetune"}),
        (1, {"objective": "supervised"}),
        (1, {"objective": "multihead"}),
        (3, {}),
        (3, {"scheme": "mdp-paper", "bank_size": 12}),
        (4, {"prototypes": "bank", "denominator": "no_lookalikes", "bank_size": 12}),
        (5, {"prototypes": "bank", "denominator": "no_lookalikes", "bank_policy": "per_class", "bank_size": 12}),
        (6, {"bank": "region", "bank_size": 12}),
        (4, {"bank": "none", "momentum": 0.9}),
        (7, {"auxiliary_weight": 0.4}),  # two more for each map, of which the tiny network has two
        (3, {"objective": "supervised", "auxiliary_weight": 0.4}),
    ],
    ids=str,
)
def test_the_host_hardly_waits_for_the_gpu(most, method):
    objective = objective_of(method)
    with pretend_gpu() as waits:
        objective.to(DEVICE).train()
        waits.clear()
        objective(mix_batch(batch().to(DEVICE)))["loss"].backward()
        objective.after_step()
    assert len(waits) <= most, waits


def test_what_the_host_waits_for_is_noted():
    with pretend_gpu() as waits:
        held = torch.arange(3.0, device=DEVICE)
        for ask in (
            lambda: held.sum().item(),
            held.tolist,
            held.cpu,
            lambda: held[held > 1],
            lambda: held[torch.tensor([1])],
            lambda: torch.tensor([1.0], device=DEVICE),
            lambda: torch.bincount(held.long()),
        ):
            waits.clear()
            ask()
            assert len(waits) == 1
        waits.clear()
        held[held.argmax()[None]] += torch.ones(3).to(DEVICE, non_blocking=True).mean()
        assert waits == []


def test_what_a_gpu_refuses_is_refused():
    with pretend_gpu():
        held = torch.ones(3, device=DEVICE)
        assert (held * torch.tensor(2.0)).tolist() == [2, 2, 2]  # a number may come from the host
        with pytest.raises(RuntimeError, match="of cuda:0 and of the CPU"):
            held + torch.ones(3)
        with pytest.raises(RuntimeError, match="of cuda:0 and of the CPU"):
            torch.index_select(held, 0, torch.tensor([1]))
        with pytest.raises(TypeError, match="float64"):
            held.double()
