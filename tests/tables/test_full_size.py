"""Every kind of step of the published tables, at full width: the network and objective that the paper preset names."""

import copy
from pathlib import Path

import pytest
import torch

from mdpseg.engine.optim import make_optimizer, set_learning_rate
from mdpseg.network import SegmentationNetwork
from mdpseg.tables.cells import cells_of, pretraining_of
from mdpseg.tables.classes import known_label_space
from mdpseg.tables.estimate import step_kind
from mdpseg.tables.grid import ROWS
from mdpseg.tables.preset import load_preset
from mdpseg.tables.probe import make_objective, random_batch

BATCH, CROP = 2, 64  # the width is what counts; 512 would take minutes


def kinds() -> list:
    """One run of each kind; what is left out differs in data, length, seed or a number of the loss."""
    preset = load_preset("paper")
    found = {}
    for row in ROWS:
        last = pretraining_of(row, preset, 0)
        for stage in last.chain if last else []:
            found.setdefault(step_kind(stage.config), pytest.param(stage.config, id=row.id))
    for cell in cells_of([row for row in ROWS if row.id == "E6"], preset, [0]):
        found[cell.column] = pytest.param(cell.config, id=f"finetune-{cell.column}")
    return list(found.values())


@pytest.fixture(scope="module")
def network():
    return SegmentationNetwork(load_preset("paper").network)


@pytest.mark.slow
@pytest.mark.parametrize("config", kinds())
def test_two_steps_at_full_width(config, network):
    torch.manual_seed(0)
    network = copy.deepcopy(network)
    network.config = config.network
    space = known_label_space(config, Path())
    objective = make_objective(config, network, space)
    optimizer = make_optimizer(objective, config.optim)
    set_learning_rate(optimizer, config.optim.lr)
    before = {name: parameter.detach().clone() for name, parameter in objective.named_parameters()}
    for step in range(2):
        losses = objective(random_batch(config, space, BATCH, CROP, seed=step))
        assert all(torch.isfinite(value) for value in losses.values()), losses
        assert losses["loss"] > 0
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        objective.after_step()
    parameters = dict(objective.named_parameters())
    learning = {name: parameter for name, parameter in parameters.items() if parameter.requires_grad}
    assert all(bool(parameter.grad.isfinite().all() & parameter.grad.any()) for parameter in learning.values())
    # of the matrices: what moves a norm's weights of 1 may still be below float32
    moved = {name for name, parameter in parameters.items() if not torch.equal(parameter, before[name])}
    assert {name for name, parameter in learning.items() if parameter.ndim > 1} <= moved
    followers = parameters.keys() - learning.keys()
    assert not followers or followers & moved
