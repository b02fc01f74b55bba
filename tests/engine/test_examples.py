import pytest
import torch
import torch.nn.functional as F

from mdpseg.engine import examples
from mdpseg.engine.examples import make_example, margins_over, winning_offset

NEW, TRAINED = torch.tensor([1.0, 0.0]), torch.tensor([[0.0, 1.0]])


def margins(cosines):
    """Of pixels in the plane of the new class (axis 0) and a trained one (axis 1)."""
    embeddings = F.normalize(torch.tensor([[cosine, (1 - cosine**2) ** 0.5] for cosine in cosines]), dim=1)
    return margins_over(embeddings.T[:, None], NEW, TRAINED, 0.1)


def test_an_offset_parts_inside_from_outside():
    seen, inside = margins([0.99, 0.97, 0.95, 0.9, 0.88, 0.8]), [True, True, True, False, False, False]
    assert (seen > 0).all()  # all would win without
    assert (seen > winning_offset(seen, torch.tensor(inside))).tolist() == inside


def test_inside_and_outside_count_alike():
    seen = margins([0.9] + [0.91] * 99)
    offset = winning_offset(seen, torch.tensor([True] + [False] * 99))
    assert not (seen > offset)[1:].any()  # one pixel inside is worth no more than all outside


def test_pixels_that_are_all_alike_are_all_won():
    seen = margins([0.5] * 16)
    assert bool((seen > winning_offset(seen, torch.ones(16, dtype=torch.bool))).all())


def test_nothing_outside_keeps_nine_tenths():
    seen = margins([0.5 + n / 100 for n in range(40)])
    offset = winning_offset(seen, torch.ones(40, dtype=torch.bool))
    assert int((seen > offset).sum()) == pytest.approx(36, abs=1)


def offset_by_hand(margins, inside):
    """A table of each margin beside each candidate."""
    rising = margins.sort().values
    candidates = ((rising[1:] + rising[:-1]) / 2)[:: max(1, len(margins) // 200)]
    wins = margins[:, None] > candidates
    errors = (~wins[inside]).float().mean(0) + wins[~inside].float().mean(0)
    return float(candidates[errors.argmin()])


@pytest.mark.parametrize("count", [2, 15, 199, 400, 9900])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("steps", [1, 10, 10**6])  # few: most margins are equal, and equal to candidates
def test_the_offset_is_that_of_the_table(count, share, steps):
    generator = torch.Generator().manual_seed(count)
    inside = torch.rand(count, generator=generator) < share
    inside[0], inside[-1] = True, False
    seen = torch.randn(count, generator=generator) + inside
    seen = (seen * steps).round() / steps
    assert winning_offset(seen, inside) == pytest.approx(offset_by_hand(seen, inside), rel=1e-6)


def test_margins_in_chunks_are_those_of_all(monkeypatch):
    monkeypatch.setattr(examples, "_CHUNK", 100)
    embeddings, others = F.normalize(torch.randn(8, 17, 23), dim=0), F.normalize(torch.randn(5, 8), dim=1)
    pixels = embeddings.flatten(1).T
    expected = (pixels @ others[0] - (pixels @ others[1:].T).amax(1)) / 0.1
    assert torch.allclose(margins_over(embeddings, others[0], others[1:], 0.1), expected, atol=1e-5)


def test_memory_does_not_grow_with_candidates():
    """A table of 100,000 margins beside 200 candidates would have 100 MB."""
    seen = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    with torch.profiler.profile(profile_memory=True) as profile:
        winning_offset(seen, seen > 0.1)
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert largest < 4_000_000


def test_memory_does_not_grow_with_classes():
    """The cosines of 100,000 cells with 50 classes would have 20 MB."""
    embeddings, others = torch.randn(4, 250, 400), torch.randn(50, 4)
    with torch.profiler.profile(profile_memory=True) as profile:
        margins_over(embeddings, others[0], others, 0.1)
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert largest < 8_000_000


def test_regions_are_taken_at_the_embeddings_resolution():
    embeddings = F.normalize(torch.randn(5, 3, 4), dim=0)
    region = torch.zeros(10, 15, dtype=torch.bool)  # of 12 x 16 with the padding
    region[:, 4:9] = True
    made = make_example(embeddings, region, 4)
    assert made.inside.view(3, 4).tolist() == [[False, True, False, False]] * 2 + [[False, False, False, False]]
    assert torch.allclose(made.region, F.normalize(embeddings[:, :2, 1].mean(1), dim=0), atol=1e-6)
