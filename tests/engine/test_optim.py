import pytest
import torch
from torch import nn

from mdpseg.config import MethodConfig, OptimConfig
from mdpseg.engine.optim import learning_rate, make_optimizer, set_learning_rate
from mdpseg.label_space import LabelSpace
from mdpseg.objectives.finetune import Finetune
from mdpseg.objectives.mdp import MDP
from tests.tiny import TinyNetwork

SPACE = LabelSpace.concatenate({"a": ["p", "q"]})


def rates(iterations=100, **settings):
    config = OptimConfig(**{"lr": 1.0, **settings})
    return [learning_rate(step, iterations, config) for step in range(iterations)]


def test_constant():
    assert set(rates(schedule="constant")) == {1.0}


def test_poly():
    made = rates(schedule="poly", power=0.9)
    assert made == pytest.approx([(1 - step / 100) ** 0.9 for step in range(100)])
    assert made[-1] > 0


def test_cosine():
    made = rates(schedule="cosine")
    assert made[0] == 1.0
    assert made[50] == pytest.approx(0.5)
    assert 0 < made[-1] < 0.001
    assert made == sorted(made, reverse=True)


@pytest.mark.parametrize("schedule", ["poly", "cosine", "constant"])
def test_warm_up_rises_to_the_rate_and_goes_on_from_there(schedule):
    made = rates(schedule=schedule, warmup=0.1)
    assert made[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert made[10] == 1.0
    assert all(rate > 0 for rate in made)


@pytest.mark.parametrize("iterations", [1, 2, 3])
@pytest.mark.parametrize("warmup", [0.0, 0.5, 0.99])
def test_short_runs_have_a_rate(iterations, warmup):
    for schedule in ("poly", "cosine"):
        assert all(0 < rate <= 1 for rate in rates(iterations, schedule=schedule, warmup=warmup))


def groups(objective, **settings):
    optimizer = make_optimizer(objective, OptimConfig(**settings))
    names = {id(parameter): name for name, parameter in objective.named_parameters()}
    found = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            found[names[id(parameter)]] = group["weight_decay"], group["rate"]
    return optimizer, found


def test_norms_biases_and_prototypes_do_not_decay():
    objective = MDP(TinyNetwork(), SPACE, MethodConfig(prototypes="learned"))
    _, found = groups(objective, weight_decay=0.1)
    assert found["network.encoder.0.weight"][0] == 0.1
    assert found["network.encoder.0.bias"][0] == 0
    assert found["network.encoder.1.weight"][0] == 0  # batch norm
    assert found["learned"][0] == 0


def test_what_transformers_have_in_place_of_biases_does_not_decay():
    objective = nn.Module()
    objective.attention = nn.Linear(3, 3)
    for name in ("relative_position_bias_table", "gain", "pos_embed", "cls_token", "logit_scale"):
        objective.register_parameter(name, nn.Parameter(torch.zeros(2, 2)))
    _, found = groups(objective, weight_decay=0.1)
    assert {name for name, (decay, _) in found.items() if decay} == {"attention.weight"}


def test_every_parameter_that_learns_is_there_once_and_the_momentum_network_is_not():
    objective = MDP(TinyNetwork(), SPACE, MethodConfig(prototypes="learned"))
    _, found = groups(objective)
    assert set(found) == {name for name, p in objective.named_parameters() if p.requires_grad}
    assert not any(name.startswith("momentum_network") for name in found)


@pytest.mark.parametrize("optimiser, kind", [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_the_head_has_a_rate_of_its_own(optimiser, kind):
    objective = Finetune(TinyNetwork(), SPACE)
    optimizer, found = groups(objective, optimiser=optimiser, head_lr=10.0)
    assert isinstance(optimizer, kind)
    assert {name: rate for name, (_, rate) in found.items() if rate != 1} == {
        name: 10.0 for name in found if name.startswith("network.head.")
    }
    set_learning_rate(optimizer, 0.01)
    assert {group["lr"] for group in optimizer.param_groups} == {0.01, 0.1}


def test_sgd_s_momentum():
    optimizer, _ = groups(Finetune(TinyNetwork(), SPACE), momentum=0.8)
    assert {group["momentum"] for group in optimizer.param_groups} == {0.8}


def test_a_momentum_network_is_not_optimised():
    objective = MDP(TinyNetwork(), SPACE, MethodConfig(prototypes="bank", momentum=0.9))
    _, found = groups(objective)
    assert objective.momentum_network is not None
    assert found
    assert not any(name.startswith("momentum_network.") for name in found)


def test_weights_of_a_layer_that_is_only_called_so_decay():
    objective = nn.ModuleDict({"token_mixer": nn.Linear(3, 3), "scale": nn.Conv2d(3, 3, 1)})
    _, found = groups(objective, weight_decay=0.1)
    assert {name for name, (decay, _) in found.items() if decay} == {"token_mixer.weight", "scale.weight"}


def test_warm_up_is_rounded_to_the_nearest_step():
    assert rates(warmup=0.29)[27:29] == pytest.approx([28 / 29, 1])  # 0.29 * 100 is a little under 29 in binary


def test_after_the_warm_up_the_schedule_runs_over_the_steps_that_are_left():
    made = rates(schedule="poly", power=0.9, warmup=0.1)
    assert made[10:] == pytest.approx([(1 - step / 90) ** 0.9 for step in range(90)])


def test_sgd_s_momentum_is_nothing_to_adamw():
    defaults = [groups(Finetune(TinyNetwork(), SPACE), optimiser="adamw", momentum=m)[0].defaults for m in (0.1, 0.9)]
    assert defaults[0] == defaults[1]


def test_a_layer_of_the_encoder_that_is_called_so_is_no_head():
    objective = nn.Module()
    objective.network = nn.ModuleDict({"conv_head": nn.Linear(3, 3, bias=False), "head": nn.Linear(3, 3, bias=False)})
    _, found = groups(objective, head_lr=10.0)
    assert {name: rate for name, (_, rate) in found.items()} == {
        "network.conv_head.weight": 1.0,
        "network.head.weight": 10.0,
    }
