"""Losses on the encoder's own maps (`auxiliary_weight`)."""

import pytest
import torch
from safetensors import safe_open

import mdpseg
from mdpseg.batch import pixel_rows
from mdpseg.config import MethodConfig
from mdpseg.engine.random_state import seed_everything
from mdpseg.label_space import LabelSpace
from mdpseg.losses import pixel_to_prototype
from mdpseg.mixing import mix_batch
from mdpseg.objectives.choose import pretraining_objective
from mdpseg.objectives.pixels import at_size, labelled_maps
from mdpseg.objectives.supervised import supervised_loss
from tests import tiny

SPACE = LabelSpace.concatenate({"a": ["p", "q"], "b": ["r", "s", "t"]})
METHODS = [
    {},
    {"scheme": "mdp-paper", "bank_size": 12},
    {"bank": "region", "bank_size": 12},
    {"bank": "none"},
    {"prototypes": "mixed", "denominator": "no_lookalikes", "bank_size": 12},
    {"objective": "supervised"},
    {"objective": "multihead"},
]


def objective_of(method, weight):
    seed_everything(0)
    settings = MethodConfig.model_validate({**method, "auxiliary_weight": weight})
    return pretraining_objective(tiny.TinyNetwork(), SPACE, settings)


def batch(lam=1.0):
    source = torch.Generator().manual_seed(0)
    small = torch.stack([torch.randint(0, 2, (4, 4), generator=source), torch.randint(2, 5, (4, 4), generator=source)])
    return mix_batch(tiny.batch(small.repeat_interleave(4, 1).repeat_interleave(4, 2), [0, 1], lam))


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_off_it_leaves_no_trace(method):
    objective = objective_of(method, 0)
    assert not [name for name in objective.state_dict() if name.startswith("auxiliary")]
    assert "auxiliary" not in objective(batch())


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_it_is_added_by_its_weight_and_reaches_its_heads_and_the_encoder(method):
    plain, half, whole = (objective_of(method, weight) for weight in (0, 0.5, 1))
    losses = [objective(batch((1.0, 0.3))) for objective in (plain, half, whole)]
    added = losses[1]["auxiliary"]
    assert added > 0
    assert losses[1]["loss"].item() == pytest.approx((losses[0]["loss"] + 0.5 * added).item(), rel=1e-5)
    assert losses[2]["loss"].item() == pytest.approx((losses[0]["loss"] + added).item(), rel=1e-5)
    losses[0]["loss"].backward()
    losses[2]["loss"].backward()
    assert all(p.grad.abs().sum() > 0 for head in whole.auxiliary for p in head.parameters() if p.dim() > 1)
    ours, theirs = (objective.network.encoder[0].weight.grad for objective in (whole, plain))
    assert not torch.allclose(ours, theirs)
    decoders = (objective.network.decoder.weight.grad for objective in (whole, plain))
    assert torch.allclose(*decoders, atol=1e-7), "the decoder has no part in it"


def test_of_the_method_it_is_the_contrast_with_the_decoder_s_prototypes():
    objective = objective_of({"supervised_share": 0.0}, 1)
    mixed = batch(0.3)
    prototypes = objective.prototypes()[0]
    expected = 0
    for one, head in zip(objective.network.encode(mixed.images), objective.auxiliary, strict=True):
        maps, targets, weights = labelled_maps(mixed, head(one))
        expected += pixel_to_prototype(
            pixel_rows(maps),
            targets.flatten(),
            prototypes,
            torch.ones(5, dtype=torch.bool),
            0.07,
            denominator=SPACE.denominator("own_dataset"),
            weights=weights.flatten(),
        )
    assert objective(mixed)["auxiliary"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_of_a_baseline_it_is_its_own_loss_at_each_map_s_size():
    objective = objective_of({"objective": "supervised"}, 1)
    given = batch()
    maps = objective.network.encode(given.images)
    assert [one.shape[2] for one in maps] == [16, 4]
    assert at_size(given.targets, (4, 4)).shape == (2, 4, 4)
    expected = sum(
        supervised_loss(given, one, head, SPACE) for one, head in zip(maps, objective.auxiliary, strict=True)
    )
    assert objective(given)["auxiliary"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_without_labels_it_is_0():
    objective = objective_of({}, 1)
    losses = objective(tiny.batch(torch.full((2, 16, 16), -1), [0, 1]))
    losses["loss"].backward()
    assert losses["auxiliary"] == 0


def test_the_last_three_maps_have_heads_which_the_weights_do_not_keep(tmp_path):
    more = {"method": {"auxiliary_weight": 0.4}, "augment": {"crop": 64}}
    result = mdpseg.pretrain(tiny.pretraining(tmp_path / "run", **more))
    assert all(line.keys() >= {"loss", "contrast", "supervised", "auxiliary"} for line in tiny.losses(tmp_path / "run"))
    state = torch.load(tmp_path / "run/last.ckpt", weights_only=True)["objective"]
    assert {name.split(".")[1] for name in state if name.startswith("auxiliary.")} == {"0", "1", "2"}
    with safe_open(str(result.weights), "pt") as weights:
        assert not [name for name in weights.keys() if "auxiliary" in name]  # noqa: SIM118
    tuned = mdpseg.finetune(tiny.finetuning(tmp_path / "tuned", init=str(result.weights)))
    assert tuned.scores
