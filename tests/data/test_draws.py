from collections import Counter

import pytest
import torch

from mdpseg.data.draws import Draw, Draws, generator

SIZES = [100, 400, 25]


@pytest.mark.parametrize(
    "sampling, alpha, shares",
    [
        ("size", 0.5, [100 / 525, 400 / 525, 25 / 525]),
        ("equal", 0.5, [1 / 3, 1 / 3, 1 / 3]),
        ("temperature", 0.5, [10 / 35, 20 / 35, 5 / 35]),
        ("temperature", 1.0, [100 / 525, 400 / 525, 25 / 525]),
        ("temperature", 0.0, [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_shares(sampling, alpha, shares):
    draws = Draws(SIZES, 0, sampling, alpha)
    assert draws.shares.tolist() == pytest.approx(shares)
    count = Counter(draws[number].dataset for number in range(2000))
    for dataset, share in enumerate(shares):
        assert count[dataset] / 2000 == pytest.approx(share, abs=0.04)  # more than 3 standard deviations


def test_an_alpha_that_the_sizes_outgrow():
    assert Draws([118_287, 500], 0, "temperature", 100.0).shares.tolist() == pytest.approx([1.0, 0.0])


def test_the_default_is_the_square_root_of_the_size():
    assert Draws([1, 4], 0).shares.tolist() == pytest.approx([1 / 3, 2 / 3])


def test_every_image_is_drawn_and_none_beyond_the_end():
    draws = Draws([3, 5], 0, "equal")
    seen = {(draw.dataset, draw.index) for draw in (draws[n] for n in range(400))}
    assert seen == {(0, i) for i in range(3)} | {(1, i) for i in range(5)}


def test_a_draw_follows_from_seed_and_number_alone():
    one, two = Draws(SIZES, 3), Draws(SIZES, 3)
    forward = [one[number] for number in range(50)]
    torch.manual_seed(123)  # the global state plays no part
    backward = [two[number] for number in reversed(range(50))]
    assert forward == backward[::-1]
    assert [draw.number for draw in forward] == list(range(50))
    assert forward != [Draws(SIZES, 4)[number] for number in range(50)]


def test_drawing_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    Draws(SIZES, 0)[7]
    assert torch.equal(before, torch.get_rng_state())


def test_generators_differ_by_seed_number_and_purpose():
    keys = [(0, 1, "image"), (1, 0, "image"), (0, 1, "augment"), (0, 11, "image"), (11, 0, "image"), (10, 1, "image")]
    first = {key: torch.rand(1, generator=generator(*key)).item() for key in keys}
    assert len(set(first.values())) == len(keys)
    assert torch.rand(1, generator=generator(*keys[0])).item() == first[keys[0]]


def test_a_generator_is_the_same_on_every_machine():
    assert generator(5, 17, "image").initial_seed() == 9197965115702047694


def test_replacements_differ_by_draw_and_attempt_and_stay_in_the_dataset():
    draws = Draws([5, 1000], 0, "equal")
    for draw in (Draw(number, 1, 7) for number in range(3)):
        made = draws.replacement(draw, 1)
        assert (made.number, made.dataset) == (draw.number, 1)
        assert made == draws.replacement(draw, 1)
    indices = [draws.replacement(Draw(number, 1, 7), attempt).index for number in range(5) for attempt in range(4)]
    assert len(set(indices)) > 15
    assert max(indices) > 500
