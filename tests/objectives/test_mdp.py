import copy
from dataclasses import replace

import pytest
import torch

from mdpseg.batch import pixel_rows
from mdpseg.config import MethodConfig, NetworkConfig
from mdpseg.label_space import LabelSpace
from mdpseg.losses import pixel_to_pixel, pixel_to_prototype, pixel_to_region, sparse_coding
from mdpseg.mixing import mix_batch
from mdpseg.network import SegmentationNetwork
from mdpseg.objectives.mdp import MDP
from mdpseg.objectives.pixels import at_size
from tests import tiny

# a: classes 0..4, the first a catch-all; b: classes 5..10
SPACE = LabelSpace.concatenate(
    {"a": ["rest", "p", "q", "r", "s"], "b": ["p", "t", "u", "v", "w", "x"]}, catch_alls={"a": "rest"}
)
A, B = SPACE.classes_of("a"), SPACE.classes_of("b")


def made(seed=0, **settings):
    torch.manual_seed(seed)
    published = {"bank_size": 64, "sparse_coding": "off", "denominator": "all", "momentum": 0.99, "supervised_share": 0}
    published |= {"prototypes": "bank"}
    config = MethodConfig.model_validate({**published, **settings})
    return MDP(tiny.TinyNetwork(), SPACE, config)


@pytest.mark.parametrize(
    ("network", "scheme", "projection"),
    [
        ({}, "mdp-paper", "mlp"),
        ({"projection": "linear"}, "mdp-paper", "linear"),
        ({}, "mdp", "linear"),
        ({"projection": "mlp"}, "mdp", "mlp"),
    ],
)
def test_the_published_scheme_has_a_head_of_its_own_unless_another_is_named(network, scheme, projection):
    objective = MDP(SegmentationNetwork(NetworkConfig(**network)), SPACE, MethodConfig.model_validate(scheme))
    convolutions = [layer for layer in objective.network.head.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert len(convolutions) == {"mlp": 2, "linear": 1}[projection]
    assert objective.network.config.projection == projection  # as weights and checkpoints have it


def labels(ids, count=1, seed=0, cell=4):
    """Targets [count, 16, 16] of cells of one class each; `cell` 4 is one pixel at the tiny network's stride."""
    source = torch.Generator().manual_seed(seed)
    small = torch.randint(ids.start, ids.stop, (count, 16 // cell, 16 // cell), generator=source)
    return small.repeat_interleave(cell, 1).repeat_interleave(cell, 2)


def two_datasets(lam=1.0, seed=0):
    return tiny.batch(torch.cat([labels(A, 2, seed), labels(B, 2, seed)]), [0, 0, 1, 1], lam, seed)


def mixed_as(kind):
    lam = [1.0, 0.3, 0.8, 1.0] if kind in ("pixel", "both") else 1.0
    batch = two_datasets(lam)
    if kind in ("region", "both"):
        boxes = torch.tensor([[0, 0, 8, 8], [4, 4, 12, 8], [0, 0, 0, 0], [2, 2, 16, 16]])
        batch = replace(batch, boxes=boxes, region_partners=torch.tensor([2, 3, 0, 1]))
    return mix_batch(batch)


@pytest.mark.parametrize("mixing", ["off", "region", "pixel", "both"])
@pytest.mark.parametrize("momentum", [0.0, 0.99])
@pytest.mark.parametrize("sparse", ["off", "pull", "no_push"])
@pytest.mark.parametrize("denominator", ["all", "own_dataset", "no_lookalikes"])
@pytest.mark.parametrize("prototypes", ["bank", "learned", "mixed"])
@pytest.mark.parametrize("bank", ["class", "region", "none"])
def test_every_variant_has_a_finite_loss_and_moves_the_encoder(bank, prototypes, denominator, sparse, momentum, mixing):
    objective = made(
        bank=bank,
        prototypes=prototypes,
        denominator=denominator,
        sparse_coding=sparse,
        momentum=momentum,
        mixing=mixing,
        lookalikes=2,
    )
    parts = objective(mixed_as(mixing))
    assert parts["loss"].shape == ()
    assert all(torch.isfinite(part) for part in parts.values())
    assert parts["loss"] > 0
    parts["loss"].backward()
    gradient = objective.network.encoder[0].weight.grad
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0
    objective.after_step()


@pytest.mark.parametrize("bank", ["class", "region", "none"])
@pytest.mark.parametrize("prototypes", ["bank", "learned", "mixed"])
@pytest.mark.parametrize("sparse", ["off", "pull", "no_push"])
@pytest.mark.parametrize("denominator", ["all", "no_lookalikes"])
@pytest.mark.parametrize("lam", [1.0, 0.4])
def test_a_batch_without_labels_gives_0_and_harms_nothing(bank, prototypes, sparse, denominator, lam):
    objective = made(bank=bank, prototypes=prototypes, sparse_coding=sparse, denominator=denominator)
    optimizer = torch.optim.SGD(objective.parameters(), 0.1)
    before = copy.deepcopy(dict(objective.named_parameters()))
    loss = objective(mix_batch(tiny.batch(torch.full((2, 16, 16), -1), [0, 1], lam)))["loss"]
    assert loss.item() == 0
    loss.backward()
    optimizer.step()
    objective.after_step()
    for name, parameter in objective.named_parameters():
        assert torch.allclose(parameter, before[name], atol=1e-6), name
    assert not objective.seen.any()
    assert objective.bank is None or len(objective.bank.entries()[1]) == 0


@pytest.mark.parametrize("bank", ["class", "region", "none"])
def test_one_image_without_labels_among_others(bank):
    objective = made(bank=bank, sparse_coding="pull")
    targets = torch.cat([labels(A), torch.full((1, 16, 16), -1)])
    loss = objective(mix_batch(tiny.batch(targets, [0, 1])))["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in objective.parameters())


@pytest.mark.parametrize("bank", ["class", "region", "none"])
def test_the_loss_is_that_of_the_published_pair(bank):
    """From the parts: momentum keys fill the bank, then each pixel is compared."""
    objective = made(bank=bank).eval()
    batch = mix_batch(two_datasets())
    loss = objective(batch)["loss"]
    embeddings, keys = objective.network(batch.images), objective.momentum_network(batch.images)
    small = at_size(batch.targets, (4, 4))
    rows = pixel_rows(embeddings), small.flatten()
    if bank == "none":
        expected = pixel_to_pixel(embeddings, small, keys, 0.07)
    elif bank == "region":
        expected = pixel_to_region(*rows, *objective.bank.entries(), 0.07, denominator=SPACE.denominator("all"))
    else:
        expected = pixel_to_prototype(*rows, *objective.bank.prototypes(), 0.07, denominator=SPACE.denominator("all"))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_bank_holds_region_embeddings_of_this_batch_before_its_loss():
    objective = made()
    batch = mix_batch(two_datasets())
    objective(batch)
    _, present = objective.bank.prototypes()
    seen = at_size(batch.targets, (4, 4)).unique()
    assert present.nonzero()[:, 0].tolist() == seen.tolist()
    expected = sum(len(image.unique()) for image in at_size(batch.targets, (4, 4)))
    assert len(objective.bank.entries()[1]) == expected


def test_blended_images_put_nothing_into_the_bank():
    objective = made()
    objective(mix_batch(two_datasets(lam=[1.0, 0.5, 0.5, 0.5])))
    classes = objective.bank.entries()[1]
    assert set(classes.tolist()) <= set(A)
    assert len(classes) == len(at_size(two_datasets().targets[:1], (4, 4)).unique())
    objective = made()
    objective(mix_batch(two_datasets(lam=0.5)))
    assert len(objective.bank.entries()[1]) == 0


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bank": "region"},
        {"bank": "none"},
        {"prototypes": "learned"},
        {"prototypes": "mixed", "denominator": "own_dataset"},
    ],
    ids=str,
)
def test_the_loss_of_a_blended_image_is_the_blend_of_two_losses(settings):
    """lam L(y_a) + (1 - lam) L(y_b), for a batch of a single lam."""
    objective = made(**settings).eval()
    if settings.get("bank") != "none":
        for seed in range(5):  # so that every class has entries
            objective(mix_batch(two_datasets(seed=seed)))
        assert objective.prototypes()[1].all()
    lam = 0.3
    mixed = mix_batch(two_datasets(lam=lam))
    # one label at a time, on the same blended pixels, which must not enter the bank
    entries = objective.bank.entries() if settings.get("bank") == "region" else ()
    embeddings = objective.network(mixed.images)

    def loss_of(targets):
        small = at_size(targets, (4, 4))
        if settings.get("bank") == "none":
            return pixel_to_pixel(embeddings, small, objective.momentum_network(mixed.images), 0.07)
        rows = pixel_rows(embeddings), small.flatten()
        denominator = SPACE.denominator(settings.get("denominator", "all"))
        if settings.get("bank") == "region":
            return pixel_to_region(*rows, *entries, 0.07, denominator=denominator)
        return pixel_to_prototype(*rows, *objective.prototypes(), 0.07, denominator=denominator)

    expected = lam * loss_of(mixed.targets) + (1 - lam) * loss_of(mixed.partner_targets)
    assert not torch.equal(mixed.targets, mixed.partner_targets)
    assert objective(mixed)["loss"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_momentum_network_follows():
    objective = made(momentum=0.9)
    follower, network = objective.momentum_network, objective.network
    assert all(torch.equal(a, b) for a, b in zip(follower.parameters(), network.parameters(), strict=True))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter))
    before = [p.clone() for p in follower.parameters()]
    objective.after_step()
    for old, now, online in zip(before, follower.parameters(), network.parameters(), strict=True):
        assert torch.allclose(now, 0.9 * old + 0.1 * online, atol=1e-6)
    assert not any(p.requires_grad for p in follower.parameters())


def test_the_momentum_network_has_no_gradient_and_its_head_too_follows():
    objective = made()
    objective(mix_batch(two_datasets()))["loss"].backward()
    assert all(p.grad is None for p in objective.momentum_network.parameters())
    assert [n for n, _ in objective.momentum_network.named_parameters()] == [
        n for n, _ in objective.network.named_parameters()
    ]


def test_the_bank_is_filled_by_the_momentum_network():
    objective = made().eval()
    with torch.no_grad():
        for parameter in objective.momentum_network.parameters():
            parameter.add_(torch.randn_like(parameter))
    batch = mix_batch(two_datasets())
    objective(batch)
    from mdpseg.bank import region_means

    keys = objective.momentum_network(batch.images)
    regions, classes = region_means(keys, at_size(batch.targets, (4, 4)), SPACE.num_classes)
    assert torch.allclose(objective.bank.entries()[0], regions, atol=1e-6)
    assert torch.equal(objective.bank.entries()[1], classes)


def test_momentum_0_has_no_second_network_and_no_second_pass():
    objective = made(momentum=0.0)
    assert objective.momentum_network is None
    passes = []
    objective.network.encoder.register_forward_hook(lambda *_: passes.append(1))
    loss = objective(mix_batch(two_datasets()))["loss"]
    assert passes == [1]
    loss.backward()
    objective.after_step()
    assert not objective.bank.regions.requires_grad


@pytest.mark.parametrize("prototypes", ["learned", "mixed"])
def test_learned_prototypes_have_a_gradient(prototypes):
    objective = made(prototypes=prototypes)
    objective(mix_batch(two_datasets()))["loss"].backward()
    assert (objective.learned.grad.abs().sum(1) > 0).all()


def test_only_prototypes_that_are_learned_are_parameters():
    assert made(prototypes="bank").learned is None
    assert made(prototypes="learned", bank="region").learned is None
    norms = made(prototypes="mixed").prototypes()[0].norm(dim=1)
    assert torch.allclose(norms, torch.ones_like(norms), atol=1e-5)


@pytest.mark.parametrize("prototypes", ["learned", "mixed"])
def test_learned_prototypes_are_known_once_their_class_had_a_pixel(prototypes):
    objective = made(prototypes=prototypes, bank_size=1)  # known they stay when the bank forgets them
    assert not objective.prototypes()[1].any()
    batch = tiny.batch(labels(B, 4), [1] * 4)
    objective(mix_batch(batch))
    assert set(objective.prototypes()[1].nonzero()[:, 0].tolist()) == set(batch.targets.unique().tolist())
    assert len(objective.prototypes()[1].nonzero()) > 1


@pytest.mark.parametrize("sparse", ["off", "no_push"])
@pytest.mark.parametrize("denominator, touched", [("all", range(1, 5)), ("own_dataset", range(0))])
def test_a_private_catch_all_is_no_negative_of_other_datasets_pixels(sparse, denominator, touched):
    objective = made(prototypes="learned", denominator=denominator, sparse_coding=sparse, sparse_k=1)
    objective(mix_batch(tiny.batch(labels(B, 4), [1] * 4)))["loss"].backward()
    pushed = objective.learned.grad.abs().sum(1) > 0
    assert not pushed[0]
    assert pushed[list(touched)].all()
    assert not pushed[[i for i in A if i not in touched]].any()


def test_a_private_catch_all_is_a_negative_within_its_dataset():
    objective = made(prototypes="learned")
    objective(mix_batch(tiny.batch(labels(range(1, 5), 4), [0] * 4)))["loss"].backward()
    assert objective.learned.grad[0].abs().sum() > 0


def test_no_lookalikes_leaves_out_the_most_similar_classes_of_other_datasets():
    objective = made(prototypes="learned", denominator="no_lookalikes", lookalikes=1)
    with torch.no_grad():
        objective.learned.copy_(torch.eye(11, 8) + 0.1)
        objective.learned[6] = objective.learned[1]  # b/t looks like a/p
    objective(mix_batch(tiny.batch(torch.full((4, 16, 16), 1), [0] * 4)))["loss"].backward()
    assert objective.learned.grad[6].abs().sum() == 0
    assert objective.learned.grad[5].abs().sum() > 0


@pytest.mark.parametrize(
    "setting, other",
    [({"denominator": "no_lookalikes", "lookalikes": 3}, {"denominator": "all"}), ({"sparse_coding": "pull"}, {})],
)
@pytest.mark.parametrize("bank", ["class", "region", "none"])
def test_settings_of_prototypes_count_for_every_kind_of_contrast(bank, setting, other):
    """Also where pixels are compared with regions or each other: which classes are alike the prototypes say."""
    losses = []
    for settings in (setting, {"sparse_coding": "off", **other}):
        objective = made(bank=bank, **settings)
        images_of_both = tiny.batch(labels(range(11), 4), [0] * 4)
        losses.append(objective(mix_batch(images_of_both))["loss"].item())
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize("bank", ["class", "region", "none"])
def test_a_few_steps_lower_the_loss(bank):
    objective = made(bank=bank, sparse_coding="off")
    batch = mix_batch(two_datasets())
    optimizer = torch.optim.SGD(objective.parameters(), 0.05, momentum=0.9)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = objective(batch)["loss"]
        loss.backward()
        optimizer.step()
        objective.after_step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("bank", ["class", "region", "none"])
def test_in_bfloat16(bank):
    objective = made(bank=bank, sparse_coding="pull", prototypes="mixed")
    with torch.autocast("cpu", torch.bfloat16):
        loss = objective(mixed_as("both"))["loss"]
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in objective.parameters())


def test_union_cross_entropy_beside_the_contrast():
    plain, both = made(prototypes="learned"), made(prototypes="learned", supervised_share=0.5)
    both.load_state_dict(plain.state_dict(), strict=False)
    batch = mixed_as("both")
    contrast, parts = plain(batch), both(batch)
    assert parts["contrast"].item() == pytest.approx(contrast["loss"].item(), rel=1e-5)
    expected = 0.5 * parts["contrast"] + 0.5 * parts["supervised"]
    assert parts["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    parts["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in both.classifier.parameters())
    assert plain.classifier is None


@pytest.mark.parametrize(
    "prototypes, parts",
    [
        ("bank", {"momentum_network", "bank"}),
        ("learned", {"learned"}),
        ("mixed", {"momentum_network", "bank", "learned"}),
    ],
)
def test_its_state_holds_the_network_and_what_its_prototypes_come_from(prototypes, parts):
    state = made(prototypes=prototypes).state_dict()
    assert {name.split(".")[0] for name in state} == {"network", "seen"} | parts


def test_there_is_a_momentum_network_only_where_something_asks_for_its_embeddings():
    config = MethodConfig(prototypes="learned", momentum=0.9)
    assert MDP(tiny.TinyNetwork(), SPACE, config).momentum_network is None
    assert MDP(tiny.TinyNetwork(), SPACE, config, unlabelled=True).momentum_network is not None
    pixels = MethodConfig(prototypes="learned", momentum=0.9, bank="none")
    assert MDP(tiny.TinyNetwork(), SPACE, pixels).momentum_network is not None


def test_learned_prototypes_alone_count_as_seen_what_a_bank_would_have_taken_in():
    with_bank, without = made(prototypes="mixed"), made(prototypes="learned")
    counts = []
    for seed, lam in enumerate([0.5, [1.0, 0.5, 0.5, 0.5], 1.0]):
        batch = mix_batch(two_datasets(lam, seed))
        with_bank(batch), without(batch)
        assert torch.equal(without.seen, with_bank.seen)
        assert torch.equal(without.seen, with_bank.bank.prototypes()[1])
        assert torch.equal(without.prototypes()[1], without.seen)
        counts.append(int(without.seen.sum()))
    assert 0 == counts[0] < counts[1] <= len(A) < counts[2]


def test_the_supervised_share_is_that_of_the_cross_entropy():
    parts = made(supervised_share=0.2)(mix_batch(two_datasets()))
    expected = 0.8 * parts["contrast"] + 0.2 * parts["supervised"]
    assert parts["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("bank", ["class", "region", "none"])
def test_the_pull_counts_by_its_weight_and_is_to_classes_of_every_dataset(bank):
    """Also where a pixel is contrasted with those of its own dataset alone."""
    settings = {"sparse_coding": "pull", "sparse_weight": 0.3, "sparse_k": 2, "denominator": "own_dataset"}
    objective, batch = made(bank=bank, **settings).eval(), mix_batch(two_datasets())
    parts = objective(batch)
    assert parts["loss"].item() == pytest.approx((parts["contrast"] + 0.3 * parts["pull"]).item(), rel=1e-5)
    rows = pixel_rows(objective.network(batch.images)), at_size(batch.targets, (4, 4)).flatten()
    pull = sparse_coding(*rows, *objective.prototypes(), 0.07, 2, denominator=SPACE.denominator("all"))
    assert parts["pull"].item() == pytest.approx(pull.item(), rel=1e-5)


def test_no_push_leaves_out_as_many_classes_as_are_set():
    objective, batch = made(sparse_coding="no_push", sparse_k=2).eval(), mix_batch(two_datasets())
    loss = objective(batch)["loss"]
    rows = pixel_rows(objective.network(batch.images)), at_size(batch.targets, (4, 4)).flatten()
    denominator = SPACE.denominator("all")
    expected = pixel_to_prototype(*rows, *objective.prototypes(), 0.07, denominator=denominator, leave_out=2)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_without_a_momentum_network_keys_have_no_gradient_either():
    objective, batch = made(bank="none", momentum=0.0).eval(), mix_batch(two_datasets())
    weight = objective.network.encoder[0].weight
    (found,) = torch.autograd.grad(objective(batch)["loss"], weight)
    embeddings = objective.network(batch.images)
    loss = pixel_to_pixel(embeddings, at_size(batch.targets, (4, 4)), embeddings.detach(), 0.07)
    assert torch.allclose(found, torch.autograd.grad(loss, weight)[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("prototypes", ["learned", "mixed"])
def test_of_what_is_learned_the_direction_alone_counts(prototypes):
    objective = made(prototypes=prototypes)
    objective(mix_batch(two_datasets()))
    before = objective.prototypes()[0]
    with torch.no_grad():
        objective.learned.mul_(3)
    after = objective.prototypes()[0]
    assert torch.allclose(after, before, atol=1e-6)
    assert torch.allclose(after.norm(dim=1), torch.ones(11), atol=1e-5)


def test_a_class_without_prototype_is_no_look_alike():
    """A direction of zeros is nearer than an opposite one, and would take its place."""
    objective = made(denominator="no_lookalikes", lookalikes=1, temperature=1.0).eval()
    batch = mix_batch(tiny.batch(torch.full((2, 16, 16), 1), [0, 0]))
    objective(batch)
    objective.bank.push(-objective.prototypes()[0][1:2], torch.tensor([5]))
    assert objective(batch)["loss"].item() == 0  # the one negative there is was left out
