import torch

from mdpseg.batch import pixel_rows
from mdpseg.mixing import mix_batch
from mdpseg.objectives.pixels import at_size, labelled_maps, twice_if_blended
from tests import tiny


def test_targets_at_another_size_are_the_labels_at_the_cells_centres():
    targets = torch.arange(64).reshape(1, 8, 8)
    assert at_size(targets, (8, 8)) is targets
    assert at_size(targets, (4, 4)).tolist() == targets[:, 1::2, 1::2].tolist()
    assert at_size(targets, (16, 16)).tolist() == targets.repeat_interleave(2, 1).repeat_interleave(2, 2).tolist()
    assert at_size(targets, (4, 4)).dtype == torch.int64


def test_large_ids_and_ignored_survive():
    targets = torch.tensor([[[-1, 70000], [2**24 - 1, -2]]])
    assert torch.equal(at_size(at_size(targets, (6, 6)), (2, 2)), targets)


def test_a_blended_image_counts_twice_with_both_labels():
    targets = torch.stack([torch.full((4, 4), i) for i in range(3)])
    mixed = mix_batch(tiny.batch(targets, lam=[1.0, 0.25, 1.0]))
    maps = torch.arange(3.0)[:, None, None, None].expand(3, 5, 2, 2)
    made, labels, weights = labelled_maps(mixed, maps)
    assert made[:, 0, 0, 0].tolist() == [0, 1, 2, 1]
    assert labels[:, 0, 0].tolist() == [0, 1, 2, 2]  # the partner of image 1 is image 2
    assert weights[:, 0, 0].tolist() == [1, 0.25, 1, 0.75]
    assert made.shape == (4, 5, 2, 2)
    assert labels.shape == weights.shape == (4, 2, 2)


def test_maps_go_twice_as_the_labels_do():
    targets = torch.stack([torch.full((4, 4), i) for i in range(3)])
    mixed = mix_batch(tiny.batch(targets, lam=[0.5, 1.0, 0.25]))
    maps = torch.arange(3.0)[:, None, None, None].expand(3, 5, 2, 2)
    assert twice_if_blended(mixed, maps)[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 2]
    assert torch.equal(twice_if_blended(mixed, maps), labelled_maps(mixed, maps)[0])


def test_a_batch_that_was_not_mixed():
    batch = tiny.batch(torch.zeros(2, 4, 4, dtype=torch.int64))
    maps, _, weights = labelled_maps(batch, torch.zeros(2, 5, 4, 4))
    assert maps.shape[0] == 2
    assert (weights == 1).all()


def test_rows_are_pixels_in_the_order_of_flattened_targets():
    maps = torch.randn(2, 3, 4, 5)
    rows = pixel_rows(maps)
    assert rows.shape == (40, 3)
    assert torch.equal(rows[1 * 20 + 2 * 5 + 3], maps[1, :, 2, 3])
