"""Several processes that share a batch hold what one process would."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from mdpseg import ranks
from mdpseg.config import MethodConfig, NetworkConfig
from mdpseg.engine.batch_norm import even_out_statistics, refuse_lone_values, sync_batchnorm
from mdpseg.engine.random_state import seed_everything
from mdpseg.errors import UserError
from mdpseg.label_space import LabelSpace
from mdpseg.mixing import mix_batch
from mdpseg.network import SegmentationNetwork
from mdpseg.objectives.choose import pretraining_objective
from mdpseg.objectives.finetune import Finetune
from tests import processes, tiny

SPACE = LabelSpace.concatenate({"a": ["p", "q", "r"], "b": ["s", "t"]})


def test_alone_nothing_is_changed():
    tensor = torch.rand(3)
    assert (ranks.count(), ranks.rank()) == (1, 0)
    assert ranks.summed(tensor) is tensor
    assert ranks.rows(tensor) is tensor
    assert ranks.objects("a") == ["a"]
    assert ranks.from_rank("a") == "a"
    assert ranks.mean(torch.tensor(2.0)) == 2
    with pytest.raises(ZeroDivisionError), ranks.together():
        1 / 0  # noqa: B018


def talk():
    rank = ranks.rank()
    return {
        "summed": ranks.summed(torch.tensor([1.0, rank])).tolist(),
        "mean": ranks.mean(torch.tensor(float(rank))),
        "rows": ranks.rows(torch.full((rank, 2), rank)).tolist(),
        "classes": ranks.rows(torch.arange(3 - rank)).tolist(),
        "nothing": ranks.rows(torch.zeros(0, 4)).shape,
        "objects": ranks.objects(f"from {rank}"),
        "from_rank": ranks.from_rank(f"from {rank}", 1),
    }


def test_what_three_processes_tell_each_other():
    first, *others = processes.together(3, talk)
    assert all(other == first for other in others)
    assert first == {
        "summed": [3, 3],
        "mean": 1,
        "rows": [[1, 1], [2, 2], [2, 2]],
        "classes": [0, 1, 2, 0, 1, 0],
        "nothing": (0, 4),
        "objects": ["from 0", "from 1", "from 2"],
        "from_rank": "from 1",
    }


METHODS = [
    {"prototypes": "bank", "sparse_coding": "pull"},
    {"prototypes": "learned", "denominator": "own_dataset", "momentum": 0.9},
    {"prototypes": "mixed", "bank_policy": "per_class", "denominator": "no_lookalikes"},
    {"bank": "region", "sparse_coding": "no_push"},
    {"bank": "none"},
    {"objective": "supervised"},
    {"objective": "multihead"},
    {"objective": "finetune"},
]


def objective_of(method):
    """Group norm in the place of batch norm, whose statistics are those of a process's own images."""
    seed_everything(0)
    network = tiny.TinyNetwork()
    network.encoder[1] = nn.GroupNorm(3, 12)
    if method.get("objective") == "finetune":
        return Finetune(network, SPACE)
    return pretraining_objective(network, SPACE, MethodConfig.model_validate({"bank_size": 12, **method}))


def batch_of(step):
    """Four images; class q is in the first one only, the last one is ignored; the second is blended."""
    source = torch.Generator().manual_seed(step)
    small = torch.randint(0, 5, (4, 4, 4), generator=source)
    small[small == 1] = 2
    small[0, :2] = 1
    small[3] = -1
    targets = small.repeat_interleave(4, 1).repeat_interleave(4, 2)
    return mix_batch(tiny.batch(targets, [0, 0, 1, 1], [1.0, 0.3, 1.0, 1.0], seed=step))


def train(method):
    """Three steps on this process's images; the mean of the losses, the gradients, and the bank."""
    objective = objective_of(method)
    share = 4 // ranks.count()
    losses = []
    for step in range(3):
        whole = batch_of(step)
        own = slice(ranks.rank() * share, (ranks.rank() + 1) * share)
        part = replace(whole, **{name: tensor[own] for name, tensor in whole._tensors().items()})
        objective.zero_grad()
        parts = objective(part)
        parts["loss"].backward()
        losses.append({name: ranks.mean(value) for name, value in parts.items()})
        for parameter in objective.parameters():
            if parameter.grad is not None:
                parameter.grad.copy_(ranks.summed(parameter.grad) / ranks.count())  # as DDP does
                parameter.data -= 0.1 * parameter.grad
        objective.after_step()
    gradients = {name: p.grad.clone() for name, p in objective.named_parameters() if p.grad is not None}
    bank = dict(objective.bank.state_dict()) if getattr(objective, "bank", None) else {}
    prototypes = tuple(t.detach() for t in objective.prototypes()) if hasattr(objective, "bank") else ()
    return losses, gradients, bank, prototypes


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_processes_that_share_a_batch_learn_what_one_learns(method, count):
    losses, gradients, bank, prototypes = train(method)
    found = processes.together(count, train, method)
    for other_losses, other_gradients, other_bank, other_prototypes in found:
        for one, other in zip(losses, other_losses, strict=True):
            assert other == pytest.approx(one, abs=1e-5)
        assert gradients.keys() == other_gradients.keys()
        assert all(torch.allclose(gradients[n], other_gradients[n], atol=1e-5) for n in gradients)
        assert all(torch.equal(found[0][2][name], other_bank[name]) for name in bank)  # each holds the same bits
        assert all(torch.allclose(bank[name].float(), other_bank[name].float(), atol=1e-5) for name in bank)
        assert all(
            torch.allclose(a.float(), b.float(), atol=1e-5) for a, b in zip(prototypes, other_prototypes, strict=True)
        )
    if bank:
        assert prototypes[1][1]  # the class that one process alone saw


def even_out():
    seed_everything(ranks.rank())
    network = tiny.TinyNetwork()
    network.train()(torch.randint(0, 256, (2, 3, 8, 8)).float())
    own = network.encoder[1].running_mean.clone()
    even_out_statistics(network)
    return own, network.encoder[1].running_mean, network.encoder[1].num_batches_tracked


def test_running_statistics_are_evened_out():
    (one, even, count), (two, also_even, _) = processes.together(2, even_out)
    assert not torch.equal(one, two)
    assert torch.equal(even, also_even)
    assert torch.allclose(even, (one + two) / 2)
    assert count == 1


def test_synchronised_batch_norms_keep_their_activation():
    """torch's own converter would lose it."""
    from mdpseg.config import NetworkConfig
    from mdpseg.network import SegmentationNetwork

    network = SegmentationNetwork(NetworkConfig(**tiny.NETWORK))
    names = set(network.state_dict())
    norm = next(
        m for m in network.modules() if type(m).__name__ == "BatchNormAct2d" and not isinstance(m.act, nn.Identity)
    )
    activation = norm.act
    converted = sync_batchnorm(network)
    assert set(converted.state_dict()) == names
    kinds = {type(module).__name__ for module in converted.modules()}
    assert "BatchNormAct2d" not in kinds
    assert any(getattr(m, "act", None) is activation for m in converted.modules() if "Sync" in type(m).__name__)


def last_words(error):
    """Process 1 ends with ``error`` while process 0 waits for it."""
    first = ranks.rank() == 0
    try:
        with ranks.together():
            if first:
                ranks.summed(torch.zeros(1))
            raise error
    except Exception as met:
        if not first:
            torch.distributed.destroy_process_group()
        return type(met).__name__, str(met)


@pytest.mark.parametrize("error", [UserError("mine: image 7 is truncated"), ZeroDivisionError()], ids=repr)
def test_the_others_end_with_the_words_of_the_one_that_ended(error):
    first, second = processes.together(2, last_words, error)
    assert second == (type(error).__name__, str(error))
    words = str(error) or "ZeroDivisionError"
    assert first == ("UserError", f"Process 0 of 2 ended: process 1 said: {words}")


def test_one_image_a_process_is_enough_where_batch_norms_see_all():
    network = SegmentationNetwork(NetworkConfig(encoder="test_efficientnet", decoder="deeplabv3"))
    refuse_lone_values(network, 64, batch_size=2, processes=2, synced=True)
    for count, synced in ((2, False), (1, True)):
        with pytest.raises(UserError, match="a single image"):
            refuse_lone_values(network, 64, batch_size=count, processes=count, synced=synced)
