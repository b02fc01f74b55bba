import torch

from mdpseg.palette import colour_mask, palette


def test_the_colours_of_voc():
    colours = palette(256).tolist()
    known = {0: [0, 0, 0], 1: [128, 0, 0], 2: [0, 128, 0], 3: [128, 128, 0], 8: [64, 0, 0], 15: [192, 128, 128]}
    known |= {20: [0, 64, 128], 255: [224, 224, 192]}
    assert {i: colours[i] for i in known} == known
    assert palette(256).dtype == torch.uint8


def test_all_colours_differ():
    assert len({tuple(colour) for colour in palette(256).tolist()}) == 256
    assert torch.equal(palette(21), palette(256)[:21])


def test_a_mask_as_a_picture():
    mask = torch.tensor([[0, 1], [255, 2]], dtype=torch.uint8)
    picture = colour_mask(mask)
    assert picture.shape == (3, 2, 2)
    assert picture.dtype == torch.uint8
    assert picture[:, 1, 0].tolist() == [224, 224, 192]
    assert picture[:, 0, 1].tolist() == [128, 0, 0]
