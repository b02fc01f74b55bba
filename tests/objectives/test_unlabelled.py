"""Images without labels in the method's objective."""

import copy
from dataclasses import replace

import pytest
import torch

from mdpseg.batch import pixel_rows
from mdpseg.label_space import UNLABELLED
from mdpseg.losses import pixel_to_prototype, pixel_to_region, sparse_coding
from mdpseg.mixing import mix_batch
from mdpseg.objectives.mdp import MDP
from mdpseg.objectives.pixels import at_size
from mdpseg.objectives.pseudo_labels import mine_labels
from tests import tiny
from tests.objectives.test_mdp import SPACE, A, B, labels
from tests.objectives.test_mdp import made as made_without

LOW = 0.15  # of 11 classes; so that the random networks here find some labels and leave some


def made(pseudo_label_threshold=LOW, seed=0, **settings):
    """As in test_mdp, but for batches with unlabelled images; its bank knows every class."""
    config = made_without(pseudo_label_threshold=pseudo_label_threshold, **settings).config
    torch.manual_seed(seed)
    objective = MDP(tiny.TinyNetwork(), SPACE, config, unlabelled=True)
    for step in range(5):
        objective(mix_batch(tiny.batch(torch.cat([labels(A, 2, step), labels(B, 2, step)]), [0, 0, 1, 1], seed=step)))
    return objective


def half_labelled(lam=1.0, labelled=True):
    """Two labelled images, two without labels, one of these with an ignored margin."""
    first = torch.cat([labels(A), labels(B)]) if labelled else torch.full((2, 16, 16), -1)
    bare = torch.full((2, 16, 16), UNLABELLED)
    bare[1, :4] = -1
    return tiny.batch(torch.cat([first, bare]), [0, 1, 2, 2], lam, seed=9)


def mixed_as(kind):
    batch = half_labelled([1.0, 0.3, 0.8, 1.0] if kind in ("pixel", "both") else 1.0)
    if kind in ("region", "both"):
        boxes = torch.tensor([[0, 0, 8, 8], [4, 4, 12, 8], [0, 0, 0, 0], [2, 2, 16, 16]])
        batch = replace(batch, boxes=boxes, region_partners=torch.tensor([2, 3, 0, 1]))
    return mix_batch(batch)


@pytest.mark.parametrize("mixing", ["off", "region", "pixel", "both"])
@pytest.mark.parametrize("share", [0.0, 0.75])
@pytest.mark.parametrize("momentum", [0.0, 0.99])
@pytest.mark.parametrize("sparse", ["pull", "no_push"])
@pytest.mark.parametrize("prototypes", ["bank", "learned", "mixed"])
@pytest.mark.parametrize("bank", ["class", "region"])
def test_every_variant_has_a_finite_loss_and_moves_the_encoder(bank, prototypes, sparse, momentum, share, mixing):
    objective = made(
        bank=bank, prototypes=prototypes, sparse_coding=sparse, momentum=momentum, supervised_share=share, mixing=mixing
    )
    parts = objective(mixed_as(mixing))
    assert all(torch.isfinite(part) for part in parts.values())
    assert 0 <= parts["mined"] <= 1
    parts["loss"].backward()
    gradient = objective.network.encoder[0].weight.grad
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0
    objective.after_step()


@pytest.mark.parametrize("mixing", ["off", "region", "pixel", "both"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"sparse_coding": "pull"}, {"prototypes": "learned", "pseudo_label_threshold": 0.6}, {"bank": "region"}],
    ids=str,
)
def test_mined_pixels_count_in_the_contrast_as_labelled_ones(settings, mixing):
    """The whole loss from its parts."""
    objective = made(**settings).eval()
    batch = mixed_as(mixing)
    parts = objective(batch)
    # both labels of every image, the blended ones twice
    blended = batch.lam < 1
    images = torch.cat([batch.images, batch.images[blended]])
    targets = at_size(torch.cat([batch.targets, batch.partner_targets[blended]]), (4, 4))
    weights = torch.cat([batch.lam, 1 - batch.lam[blended]])[:, None, None].expand(targets.shape).flatten()
    with torch.no_grad():
        embeddings, keys = pixel_rows(objective.network(images)), pixel_rows(objective.momentum_network(images))
    prototypes, present = objective.prototypes()
    threshold = objective.config.pseudo_label_threshold
    mined, share = mine_labels(targets.flatten(), keys, prototypes, present, 0.07, threshold)
    assert 0 < share < 1
    assert parts["mined"].item() == pytest.approx(share.item())
    common = {"denominator": SPACE.denominator("all"), "weights": weights}
    if settings.get("bank") == "region":
        expected = pixel_to_region(embeddings, mined, *objective.bank.entries(), 0.07, **common)
    else:
        expected = pixel_to_prototype(embeddings, mined, prototypes, present, 0.07, **common)
    assert parts["contrast"].item() == pytest.approx(expected.item(), rel=1e-5)
    if settings.get("sparse_coding") == "pull":
        pull = sparse_coding(embeddings, mined, prototypes, present, 0.07, 3, **common)
        assert parts["pull"].item() == pytest.approx(pull.item(), rel=1e-5)


@pytest.mark.parametrize("mixing", ["off", "region", "pixel", "both"])
def test_only_true_labels_fill_the_bank_and_the_cross_entropy(mixing):
    objective = made(0.0, supervised_share=0.5)
    other = copy.deepcopy(objective)
    batch = mixed_as(mixing)
    ignored = replace(batch, targets=batch.targets.clamp_min(-1), partner_targets=batch.partner_targets.clamp_min(-1))
    parts, without = objective(batch), other(ignored)
    assert parts["mined"] == 1
    assert without["mined"] == 0
    for mine, theirs in zip(objective.bank.entries(), other.bank.entries(), strict=True):
        assert torch.equal(mine, theirs)
    assert parts["supervised"].item() == without["supervised"].item()
    assert parts["contrast"].item() != without["contrast"].item()


def test_a_threshold_of_1_is_a_run_on_the_labelled_pixels_alone():
    objective = made(1.0)
    ignored = copy.deepcopy(objective)
    batch = mixed_as("both")
    parts = objective(batch)
    batch = replace(batch, targets=batch.targets.clamp_min(-1), partner_targets=batch.partner_targets.clamp_min(-1))
    assert parts["loss"].item() == ignored(batch)["loss"].item()
    assert parts["mined"] == 0


@pytest.mark.parametrize("bank", ["class", "region"])
def test_before_anything_is_known_nothing_is_mined(bank):
    config = made_without(bank=bank, pseudo_label_threshold=0.0).config
    objective = MDP(tiny.TinyNetwork(), SPACE, config, unlabelled=True)
    parts = objective(mix_batch(half_labelled(labelled=False)))
    assert parts["loss"] == parts["mined"] == 0
    parts["loss"].backward()
    assert len(objective.bank.entries()[1]) == 0


def test_a_batch_without_unlabelled_images():
    objective = made()
    plain = made_without()
    plain.load_state_dict(objective.state_dict())
    batch = mix_batch(tiny.batch(torch.cat([labels(A), labels(B)]), [0, 1]))
    parts, expected = objective(batch), plain(batch)
    assert parts["loss"].item() == expected["loss"].item()
    assert parts["mined"] == 0
    assert "mined" not in expected


@pytest.mark.parametrize("bank", ["class", "region", "none"])
def test_where_nothing_is_mined_an_unlabelled_pixel_counts_for_nothing(bank):
    batch = mixed_as("both")
    ignored = replace(batch, targets=batch.targets.clamp_min(-1), partner_targets=batch.partner_targets.clamp_min(-1))
    settings = {"bank": bank, "supervised_share": 0.5, "sparse_coding": "pull"}
    assert made_without(**settings)(batch)["loss"].item() == made_without(**settings)(ignored)["loss"].item()


def test_in_bfloat16():
    objective = made(sparse_coding="pull", prototypes="mixed", supervised_share=0.5)
    with torch.autocast("cpu", torch.bfloat16):
        parts = objective(mixed_as("both"))
    assert parts["loss"].dtype == parts["mined"].dtype == torch.float32
    parts["loss"].backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in objective.parameters())


def test_it_has_no_state_of_its_own():
    assert made().state_dict().keys() == made_without().state_dict().keys()


@pytest.mark.parametrize("prototypes", ["learned", "mixed"])
def test_learned_prototypes_label_nothing_before_their_class_had_a_pixel(prototypes):
    config = made_without(prototypes=prototypes, pseudo_label_threshold=0.0).config
    objective = MDP(tiny.TinyNetwork(), SPACE, config, unlabelled=True)
    assert objective(mix_batch(half_labelled(labelled=False)))["mined"] == 0


def test_labels_are_mined_by_the_momentum_network():
    objective = made(0.0).eval()
    with torch.no_grad():
        for parameter in objective.momentum_network.parameters():
            parameter.add_(torch.randn_like(parameter))
    batch = mix_batch(half_labelled())
    contrast, targets, found = objective(batch)["contrast"], at_size(batch.targets, (4, 4)).flatten(), []
    rows, (prototypes, present) = pixel_rows(objective.network(batch.images)), objective.prototypes()
    for network in (objective.momentum_network, objective.network):
        labels, _ = mine_labels(targets, pixel_rows(network(batch.images)), prototypes, present, 0.07, 0.0)
        denominator = SPACE.denominator("all")
        found.append(pixel_to_prototype(rows, labels, prototypes, present, 0.07, denominator=denominator).item())
    assert contrast.item() == pytest.approx(found[0], rel=1e-5)
    assert found[1] != pytest.approx(found[0], rel=1e-3)
