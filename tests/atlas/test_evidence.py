import pytest
import torch

from mdpseg.atlas.evidence import Evidence, _at_training_size, _choose
from mdpseg.data.readers.pairs import Sample
from mdpseg.label_space import LabelSpace
from mdpseg.pages.picture import crop_of_class, fit
from tests.tiny import ListReader


def test_votes_as_counted_one_by_one():
    source = torch.Generator().manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(6, 5, 7, generator=source), dim=0)
    prototypes = torch.nn.functional.normalize(torch.randn(5, 6, generator=source), dim=1)
    targets = torch.randint(-1, 2, (5, 7), generator=source)
    groups = [torch.tensor([0, 1]), torch.tensor([2, 4])]  # class 3 has no prototype
    evidence = Evidence.none(5, 6)
    evidence.add(embeddings, targets, prototypes, groups)
    expected = torch.zeros(5, 5, dtype=torch.float64)
    for row, column in (targets >= 0).nonzero().tolist():
        for group in groups:
            best = max(group.tolist(), key=lambda k: float(prototypes[k] @ embeddings[:, row, column]))
            expected[targets[row, column], best] += 1
    for k in (0, 1):
        expected[k] /= (targets == k).sum()
    assert torch.allclose(evidence.shares(), expected)
    assert evidence.regions.tolist() == [1, 1, 0, 0, 0]
    torch.testing.assert_close(evidence.class_vectors(prototypes)[2], prototypes[2])


def test_relative_to_what_is_found_of_the_other_s_own():
    evidence = Evidence.none(2, 3)
    evidence.votes = torch.tensor([[0.8, 0.4], [0.2, 0.5]], dtype=torch.float64)
    evidence.weight = torch.ones(2, dtype=torch.float64)
    assert torch.allclose(evidence.relative(), torch.tensor([[1, 0.8], [0.25, 1]], dtype=torch.float64))


def test_a_badly_known_class_is_a_weak_measure_and_no_share_is_above_one():
    evidence = Evidence.none(2, 3)
    evidence.votes = torch.tensor([[0.9, 0.15], [0.95, 0.1]], dtype=torch.float64)
    evidence.weight = torch.ones(2, dtype=torch.float64)
    assert torch.allclose(evidence.relative(), torch.tensor([[1, 0.5], [1, 1 / 3]], dtype=torch.float64))


def test_a_region_votes_with_the_root_of_its_pixels_and_has_one_mean():
    evidence, prototypes = Evidence.none(2, 2), torch.eye(2)
    for pixels, nearest in ((16, 0), (4, 1)):
        embeddings = prototypes[nearest][:, None, None].expand(2, 1, pixels)
        evidence.add(embeddings, torch.zeros(1, pixels, dtype=torch.int64), prototypes, [torch.tensor([0, 1])])
    assert evidence.shares()[0].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert evidence.means[0].tolist() == [1, 1]
    assert (evidence.regions.tolist(), evidence.images) == ([2, 0], 2)


def test_a_class_lies_between_its_prototype_and_its_mean_region():
    evidence = Evidence.none(1, 2)
    evidence.means = torch.tensor([[0.0, 5.0]])  # of five regions
    torch.testing.assert_close(evidence.class_vectors(torch.tensor([[1.0, 0.0]])), torch.full((1, 2), 0.5**0.5))


def chosen(images, wanted, pixels=64):
    """How many of 20 images of one class each."""
    space = LabelSpace.concatenate({"list": ["a", "b"]})
    image = torch.zeros(3, 1, pixels, dtype=torch.uint8)
    samples = [Sample(image, torch.full((1, pixels), i % 2, dtype=torch.uint8), str(i)) for i in range(20)]
    return len(list(_choose(ListReader(samples, ["a", "b"]), space, images, 0, wanted)))


def test_more_images_are_looked_through_for_wanted_classes_but_not_all():
    asked = []
    assert chosen(2, asked.append) == 2
    assert len(asked) == 3 * 2
    assert chosen(2, lambda ids: len(ids) > 0) == 2 + 2
    assert chosen(2, lambda ids: len(ids) > 0, pixels=63) == 2  # too small a region


def test_images_have_the_size_of_training():
    image = torch.zeros(1, 3, 20, 40)
    assert _at_training_size(image, 10).shape == (1, 3, 10, 20)
    assert _at_training_size(image, None) is image


def test_tiny_regions_are_left_out():
    evidence = Evidence.none(1, 2)
    evidence.add(torch.ones(2, 1, 3), torch.zeros(1, 3, dtype=torch.int64), torch.ones(1, 2), [torch.tensor([0])])
    assert evidence.regions.tolist() == [0]


def test_a_crop_shows_its_region_bright_and_the_rest_dimmed():
    image = torch.full((3, 40, 60), 200, dtype=torch.uint8)
    region = torch.zeros(40, 60, dtype=torch.bool)
    region[10:30, 20:40] = True
    crop = crop_of_class(image, region, 32)
    assert crop.shape == (3, 32, 32)
    assert int(crop[0, 16, 16]) == 200
    assert int(crop[0, 0, 0]) < 160
    corner = torch.zeros(40, 60, dtype=torch.bool)
    corner[39, 59] = True
    assert crop_of_class(image, corner, 32).shape == (3, 32, 32)


def test_fit_never_enlarges():
    assert fit(torch.zeros(3, 100, 50, dtype=torch.uint8), 20).shape == (3, 20, 10)
    assert fit(torch.zeros(3, 10, 5, dtype=torch.uint8), 20).shape == (3, 10, 5)
