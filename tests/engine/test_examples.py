import pytest
import torch
import torch.nn.functional as F

from mdpseg.engine.examples import Example, make_example, winning_offset


def example(cosines, inside):
    """Pixels in the plane of the new class (axis 0) and a trained one (axis 1)."""
    embeddings = F.normalize(torch.tensor([[cosine, (1 - cosine**2) ** 0.5] for cosine in cosines]), dim=1)
    return Example(embeddings, torch.tensor(inside), torch.tensor([1.0, 0.0]))


NEW, TRAINED = torch.tensor([1.0, 0.0]), torch.tensor([[0.0, 1.0]])


def wins(one, offset):
    return (one.embeddings @ NEW - offset * 0.1) > one.embeddings @ TRAINED[0]


def test_an_offset_parts_inside_from_outside():
    one = example([0.99, 0.97, 0.95, 0.9, 0.88, 0.8], [True, True, True, False, False, False])  # all would win without
    assert wins(one, 0).all()
    offset = winning_offset([one], NEW, TRAINED, 0.1)
    assert wins(one, offset).tolist() == one.inside.tolist()


def test_inside_and_outside_count_alike():
    few = example([0.9] + [0.91] * 99, [True] + [False] * 99)
    offset = winning_offset([few], NEW, TRAINED, 0.1)
    assert not wins(few, offset)[1:].any()  # one pixel inside is worth no more than all outside


def test_nothing_outside_keeps_nine_tenths():
    one = example([0.5 + n / 100 for n in range(40)], [True] * 40)
    assert int(wins(one, winning_offset([one], NEW, TRAINED, 0.1)).sum()) == pytest.approx(36, abs=1)


def test_without_trained_classes_there_is_none():
    assert winning_offset([example([0.9], [True])], NEW, TRAINED[:0], 0.1) == 0


def test_regions_are_taken_at_the_embeddings_resolution():
    embeddings = F.normalize(torch.randn(5, 3, 4), dim=0)
    region = torch.zeros(10, 15, dtype=torch.bool)  # of 12 x 16 with the padding
    region[:, 4:9] = True
    made = make_example(embeddings, region, 4)
    assert made.inside.view(3, 4).tolist() == [[False, True, False, False]] * 2 + [[False, False, False, False]]
    assert torch.allclose(made.region, F.normalize(embeddings[:, :2, 1].mean(1), dim=0), atol=1e-6)
