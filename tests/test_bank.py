import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mdpseg.bank import RegionBank, region_means

from .losses.reference import integers, unit

D, K = 6, 4


def region_means_by_hand(embeddings, targets):
    """Image by image and class by class, pixel by pixel, in float64."""
    regions, classes = [], []
    batch, _, height, width = embeddings.shape
    for b in range(batch):
        for c in sorted({int(t) for t in targets[b].flatten() if t >= 0}):
            pixels = []
            for row in range(height):
                for column in range(width):
                    if targets[b, row, column] == c:
                        pixels.append(embeddings[b, :, row, column].double())
            mean = sum(pixels) / len(pixels)
            regions.append(mean / mean.norm())
            classes.append(c)
    return regions, classes


class BankByHand:
    """Python lists, oldest first."""

    def __init__(self, size, num_classes, policy):
        self.size, self.num_classes, self.policy = size, num_classes, policy
        self.held = []

    def push(self, regions, classes):
        for region, c in zip(regions, classes.tolist(), strict=True):
            self.held.append((c, region.double()))
            if self.policy == "fifo":
                self.held = self.held[-self.size :]
            else:
                same = [i for i, (held, _) in enumerate(self.held) if held == c]
                if len(same) > max(1, self.size // self.num_classes):
                    del self.held[same[0]]

    def prototypes(self):
        prototypes, present = [], []
        for c in range(self.num_classes):
            own = [region for held, region in self.held if held == c]
            present.append(bool(own))
            mean = sum(own) / len(own) if own else torch.zeros(D, dtype=torch.float64)
            prototypes.append(mean / mean.norm() if own else mean)
        return torch.stack(prototypes), present


def labels(name):
    targets = integers(-1, K, (3, 4, 5), seed=2)
    if name == "all ignored":
        targets[:] = -1
    elif name == "one image ignored":
        targets[1] = -1
    elif name == "one class":
        targets[:] = 2
    elif name == "class 0 only":
        targets[:] = 0
    elif name == "one pixel":
        targets[:] = -1
        targets[2, 3, 4] = K - 1
    elif name == "no images":
        targets = targets[:0]
    return targets


NAMES = ["random", "all ignored", "one image ignored", "one class", "class 0 only", "one pixel", "no images"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("name", NAMES)
def test_region_means(name, scale, dtype):
    targets = labels(name)
    embeddings = (scale * unit(3, D, 4, 5, seed=1, dim=1))[: len(targets)].to(dtype)
    regions, classes = region_means(embeddings, targets, K)
    expected, expected_classes = region_means_by_hand(embeddings, targets)
    assert (regions.dtype, classes.dtype) == (torch.float32, torch.int64)
    assert classes.tolist() == expected_classes
    assert regions.shape == (len(expected), D)
    if expected:
        torch.testing.assert_close(regions.double(), torch.stack(expected), rtol=0, atol=2e-6)


def test_region_means_are_in_order_of_image_then_class():
    targets = torch.tensor([[[3, 0, 3]], [[2, -1, 1]], [[0, 0, 3]]])
    _, classes = region_means(unit(3, D, 1, 3, dim=1), targets, K)
    assert classes.tolist() == [0, 3, 1, 2, 0, 3]


def test_a_region_of_ignored_pixels_is_not_touched():
    embeddings = unit(1, D, 1, 3, dim=1)
    targets = torch.tensor([[[0, -1, 0]]])
    before, _ = region_means(embeddings, targets, K)
    embeddings[0, :, 0, 1] = 1e6
    after, classes = region_means(embeddings, targets, K)
    assert torch.equal(before, after)
    assert classes.tolist() == [0]


def test_region_means_of_strided_maps():
    embeddings, targets = unit(3, D, 4, 5, seed=1, dim=1), labels("random")
    plain, _ = region_means(embeddings, targets, K)
    strided = embeddings.contiguous(memory_format=torch.channels_last), targets.mT.contiguous().mT
    assert torch.equal(region_means(*strided, K)[0], plain)


@pytest.mark.parametrize("policy", ["fifo", "per_class"])
@pytest.mark.parametrize("size", [1, 7, 12, 50])
@pytest.mark.parametrize("seed", range(3))
def test_bank_against_lists(size, policy, seed):
    """Pushes of 0 to 20 regions, so some are larger than the bank and all of it wraps around several times."""
    bank, by_hand = RegionBank(size, D, K, policy), BankByHand(size, K, policy)
    for step, count in enumerate([3, 0, 1, 20, 5, 7, 2, 13]):
        regions = unit(count, D, seed=100 * seed + step)
        # class 3 never occurs; class 0 more often than the others
        classes = (integers(0, 5, (count,), seed=100 * seed + step) - 2).clamp_min(0)
        bank.push(regions=regions, classes=classes)
        by_hand.push(regions, classes)

        held, held_classes = bank.entries()
        found = sorted((c, *r) for c, r in zip(held_classes.tolist(), held.tolist(), strict=True))
        expected = sorted((c, *r.tolist()) for c, r in by_hand.held)
        assert found == expected

        prototypes, present = bank.prototypes()
        expected_prototypes, expected_present = by_hand.prototypes()
        assert present.tolist() == expected_present
        torch.testing.assert_close(prototypes.double(), expected_prototypes, rtol=0, atol=1e-5)


@pytest.mark.parametrize("policy", ["fifo", "per_class"])
def test_an_empty_bank_holds_nothing(policy):
    """Random vectors that stand in for regions not seen yet would be entries, or prototypes, here."""
    bank = RegionBank(size=12, dim=D, num_classes=K, policy=policy)
    prototypes, present = bank.prototypes()
    assert present.dtype == torch.bool
    assert not present.any()
    assert torch.equal(prototypes, torch.zeros(K, D))
    assert [len(part) for part in bank.entries()] == [0, 0]
    assert not bank.regions.any()


@pytest.mark.parametrize("policy", ["fifo", "per_class"])
def test_a_partly_filled_bank_holds_what_was_pushed(policy):
    bank = RegionBank(12, D, K, policy)
    region = unit(1, D)
    bank.push(region, torch.tensor([0]))
    prototypes, present = bank.prototypes()
    assert present.tolist() == [True, False, False, False]
    torch.testing.assert_close(prototypes[:1], region)
    assert torch.equal(prototypes[1:], torch.zeros(K - 1, D))
    assert bank.entries()[1].tolist() == [0]


def tagged(*tags):
    """Regions that can be told apart: the tag stands in their first coordinate."""
    regions = torch.zeros(len(tags), D)
    regions[:, 0] = torch.tensor(tags)
    return regions


def test_fifo_writes_over_the_oldest():
    bank = RegionBank(4, D, K)
    for pushed, held in [
        ([1, 2, 3], {1, 2, 3}),
        ([4, 5], {2, 3, 4, 5}),
        ([6], {3, 4, 5, 6}),
        (range(7, 17), {*range(13, 17)}),
    ]:
        bank.push(tagged(*map(float, pushed)), torch.zeros(len(pushed), dtype=torch.int64))
        assert set(bank.entries()[0][:, 0].tolist()) == held
    bank.push(tagged(17.0), torch.zeros(1, dtype=torch.int64))  # in order also after a push larger than the bank
    assert set(bank.entries()[0][:, 0].tolist()) == {14, 15, 16, 17}


@pytest.mark.parametrize("policy, kept", [("fifo", False), ("per_class", True)])
def test_a_rare_class(policy, kept):
    bank = RegionBank(8, D, K, policy)
    rare = unit(1, D, seed=9)
    bank.push(rare, torch.tensor([3]))
    for step in range(10):
        bank.push(unit(6, D, seed=step), torch.tensor([0, 1, 2, 0, 0, 1]))
    prototypes, present = bank.prototypes()
    assert present.tolist() == [True, True, True, kept]
    torch.testing.assert_close(prototypes[3:], rare if kept else torch.zeros(1, D))


def test_per_class_has_a_place_for_every_class():
    bank = RegionBank(2, D, K, "per_class")  # fewer places than classes
    bank.push(unit(K, D), torch.arange(K))
    assert bank.prototypes()[1].all()


@pytest.mark.parametrize("policy", ["fifo", "per_class"])
def test_state_dict_round_trip(policy):
    bank, again = RegionBank(9, D, K, policy), RegionBank(9, D, K, policy)
    for step in range(5):
        bank.push(unit(4, D, seed=step), integers(0, K, (4,), seed=step))
    assert {name for name, _ in bank.named_buffers()} == set(bank.state_dict())
    assert not list(bank.parameters())
    again.load_state_dict(bank.state_dict(), strict=True)
    for _ in range(2):
        for mine, other in zip(bank.prototypes() + bank.entries(), again.prototypes() + again.entries(), strict=True):
            assert torch.equal(mine, other)
        for part in (bank, again):  # the next push lands in the same places
            part.push(unit(4, D, seed=20), integers(0, K, (4,), seed=20))


def test_entries_are_of_the_class_they_were_pushed_with():
    """Each region is its class's axis plus a little noise: an entry under a wrong index would be far from its axis."""
    axes = torch.eye(K, D)
    for policy in ("fifo", "per_class"):
        bank = RegionBank(10, D, K, policy)
        for step in range(6):
            classes = integers(0, K, (7,), seed=step)
            bank.push(F.normalize(axes[classes] + 0.1 * unit(7, D, seed=step), dim=1), classes)
        regions, classes = bank.entries()
        assert len(regions) > 0
        assert torch.equal((regions @ axes.T).argmax(1), classes)


@pytest.mark.parametrize("policy", ["fifo", "per_class"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_push_is_detached_and_float32(dtype, policy):
    bank = RegionBank(8, D, K, policy)
    regions = unit(5, D).to(dtype).requires_grad_()
    bank.push(regions, torch.tensor([0, 1, 2, 0, 1]))
    held, _ = bank.entries()
    prototypes, _ = bank.prototypes()
    assert (held.dtype, prototypes.dtype) == (torch.float32, torch.float32)
    assert not held.requires_grad
    assert not prototypes.requires_grad
    assert sorted(held.tolist()) == sorted(regions.detach().float().tolist())
    with torch.no_grad():
        regions.zero_()
    assert held.abs().sum() > 0  # a copy


def test_what_is_pushed_under_autocast_is_exact():
    embeddings, targets = unit(3, D, 4, 5, seed=1, dim=1), labels("random")
    plain, _ = region_means(embeddings, targets, K)
    with torch.autocast("cpu", torch.bfloat16):
        autocast, classes = region_means(embeddings, targets, K)
        bank = RegionBank(20, D, K)
        bank.push(autocast, classes)
        prototypes, _ = bank.prototypes()
    assert torch.equal(autocast, plain)
    assert torch.equal(prototypes, bank.prototypes()[0])


@pytest.mark.parametrize("policy", ["fifo", "per_class"])
@pytest.mark.parametrize(
    "count, classes, message",
    [
        (1, [1, 1], "1 regions came with 2 classes"),
        (2, [0, -1], "class -1"),
        (3, [0, 1, 3], "class 3; expected 0 to 2"),
    ],
)
def test_a_push_that_is_refused_changes_nothing(policy, count, classes, message):
    bank = RegionBank(6, 3, 3, policy)
    bank.push(torch.eye(3), torch.arange(3))
    before = {name: value.clone() for name, value in bank.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        bank.push(torch.eye(3)[:count], torch.tensor(classes))
    assert all(torch.equal(value, before[name]) for name, value in bank.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_bank_that_moves_to_another_dtype_with_its_module_stays_exact(dtype):
    moved, stays = nn.ModuleDict({"bank": RegionBank(4, 3, 3)}), RegionBank(4, 3, 3)
    for step in range(4):
        regions = F.normalize(torch.randn(3, 3, generator=torch.Generator().manual_seed(step)), dim=1)
        for bank in (moved["bank"], stays):
            bank.push(regions, torch.arange(3))
        moved.to(dtype)
    assert all(torch.equal(value, stays.state_dict()[name]) for name, value in moved["bank"].state_dict().items())


@pytest.mark.parametrize("settings, message", [({"size": 0}, "size is 0"), ({"policy": "lifo"}, "'lifo'")])
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        RegionBank(**({"size": 4, "dim": D, "num_classes": K} | settings))


def test_a_label_that_is_no_class_s_is_not_one_of_the_next_image():
    source = torch.Generator().manual_seed(0)
    maps, targets = torch.randn(2, 4, 3, 3, generator=source), torch.randint(0, 2, (2, 3, 3), generator=source)
    targets[0, 0] = -1
    expected = region_means(maps, targets, 250)
    found = region_means(maps, targets.where(targets >= 0, 255), 250)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_the_id_after_the_last_class_is_not_class_0_of_the_next_image():
    embeddings, targets = unit(2, D, 1, 2, dim=1), torch.tensor([[[0, K]], [[1, 1]]])
    regions, classes = region_means(embeddings, targets, K)
    assert classes.tolist() == [0, 1]
    assert torch.equal(regions, region_means(embeddings, targets.where(targets < K, -1), K)[0])


def test_prototypes_are_as_fine_as_float32_however_many_regions_they_are_of():
    region, bank = unit(1, D, seed=3), RegionBank(5000, D, K)
    for count in (1, 4999):
        bank.push(region.expand(count, D), torch.full((count,), 2))
        assert (bank.prototypes()[0][2] - region[0]).abs().max() < 2e-7


@pytest.mark.parametrize("policy", ["fifo", "per_class"])
def test_classes_may_be_of_fewer_bits(policy):
    bank = RegionBank(8, D, K, policy)
    bank.push(unit(2, D), torch.tensor([3, 0], dtype=torch.int32))
    assert sorted(bank.entries()[1].tolist()) == [0, 3]
