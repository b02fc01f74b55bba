import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transform

from mdpseg.config import AugmentConfig
from mdpseg.data.augment import IGNORED, PADDING, augment

PLAIN = {"crop": 32, "scale": (1.0, 1.0), "flip": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0}


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def blocks(height, width, side=16):
    """A mask of blocks of ids 0..15, and an image whose three channels encode it (16 grey levels a step)."""
    rows, columns = torch.arange(height) // side, torch.arange(width) // side
    mask = ((rows[:, None] * 5 + columns[None] * 3) % 16).to(torch.uint8)
    return (mask * 16)[None].expand(3, -1, -1).contiguous(), mask


@pytest.mark.parametrize("size", [(32, 32), (100, 40), (40, 100), (10, 10), (1, 1), (500, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_shapes_and_dtypes(size, seed):
    image, mask = blocks(*size)
    image, mask = augment(image, mask, AugmentConfig(crop=64, scale=(0.3, 3.0)), source(seed))
    assert image.shape == (3, 64, 64)
    assert mask.shape == (64, 64)
    assert image.dtype == mask.dtype == torch.uint8
    assert mask.is_contiguous()


@pytest.mark.parametrize("seed", range(8))
def test_image_and_mask_stay_aligned(seed):
    image, mask = blocks(90, 120)
    config = AugmentConfig(crop=64, scale=(0.5, 2.0), flip=0.5, brightness=0, contrast=0, saturation=0)
    image, mask = augment(image, mask, config, source(seed))
    inside = mask != IGNORED
    decoded = (image[0].float() / 16).round()
    assert inside.float().mean() > 0.25
    assert (decoded == mask)[inside].float().mean() > 0.75  # all but the blurred seams of the blocks


@pytest.mark.parametrize("seed", range(8))
def test_masks_hold_only_ids_that_were_there(seed):
    mask = torch.tensor([3, 200, 255], dtype=torch.uint8)[torch.randint(3, (70, 70), generator=source(seed))]
    image = torch.zeros(3, 70, 70, dtype=torch.uint8)
    _, cut = augment(image, mask, AugmentConfig(crop=64, scale=(0.4, 2.5)), source(seed))
    assert set(cut.unique().tolist()) <= {3, 200, 255}


def test_without_randomness_a_crop_of_the_image_s_size_is_the_image():
    image, mask = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=source()), blocks(32, 32)[1]
    cut, cut_mask = augment(image, mask, AugmentConfig(**PLAIN), source())
    assert torch.equal(cut, image)
    assert torch.equal(cut_mask, mask)


def test_at_scale_1_a_crop_is_a_window_of_the_image():
    image = torch.arange(60 * 60, dtype=torch.int64).reshape(60, 60)
    image = torch.stack([image // 256, image % 256, torch.zeros_like(image)]).to(torch.uint8)  # each pixel is unique
    mask = (torch.arange(60)[:, None] + torch.arange(60)).to(torch.uint8)
    corners = set()
    for seed in range(40):
        cut, cut_mask = augment(image, mask, AugmentConfig(**PLAIN), source(seed))
        corner = int(cut[0, 0, 0]) * 256 + int(cut[1, 0, 0])
        top, left = corner // 60, corner % 60
        assert torch.equal(cut, image[:, top : top + 32, left : left + 32])
        assert torch.equal(cut_mask, mask[top : top + 32, left : left + 32])
        corners.add((top, left))
    assert len(corners) > 30
    assert max(top for top, _ in corners) > 20
    assert min(top for top, _ in corners) < 8


def test_flip_mirrors_both():
    image, mask = blocks(32, 32)
    cut, cut_mask = augment(image, mask, AugmentConfig(**{**PLAIN, "flip": 1.0}), source())
    assert torch.equal(cut, image.flip(-1))
    assert torch.equal(cut_mask, mask.flip(-1))
    flips = sum(
        torch.equal(augment(image, mask, AugmentConfig(**{**PLAIN, "flip": 0.5}), source(s))[1], mask.flip(-1))
        for s in range(100)
    )
    assert 30 < flips < 70


def test_a_smaller_image_is_padded_grey_and_ignored():
    image, mask = torch.full((3, 20, 24), 7, dtype=torch.uint8), torch.full((20, 24), 2, dtype=torch.uint8)
    cut, cut_mask = augment(image, mask, AugmentConfig(**PLAIN), source())
    inside = cut_mask == 2
    assert int(inside.sum()) == 20 * 24
    assert (cut_mask[~inside] == IGNORED).all()
    assert (cut[:, inside] == 7).all()
    assert (cut[:, ~inside] == PADDING).all()


def test_short_side_sets_what_scale_1_means():
    """At short_side 32 an image of 64 x 128 is halved: the crop of 32 sees its full height."""
    mask = torch.arange(64).to(torch.uint8)[:, None].expand(64, 128).contiguous()
    image = torch.zeros(3, 64, 128, dtype=torch.uint8)
    _, cut = augment(image, mask, AugmentConfig(**PLAIN, short_side=32), source())
    assert cut[0].max() <= 1
    assert cut[-1].min() >= 62
    assert cut.unique().numel() == 32


def test_scale_is_drawn_from_its_range_log_uniformly():
    """A column counts up: the ids that a crop spans tell its scale."""
    mask = torch.arange(250).to(torch.uint8)[:, None].expand(250, 250).contiguous()
    image = torch.zeros(3, 250, 250, dtype=torch.uint8)
    config = AugmentConfig(**{**PLAIN, "scale": (0.25, 4.0)})
    scales = []
    for seed in range(120):
        _, cut = augment(image, mask, config, source(seed))
        scales.append(32 / (int(cut[-1, 0]) - int(cut[0, 0]) + 1))
    assert 0.2 < min(scales) < 0.4
    assert 2.5 < max(scales) < 5
    assert 0.35 < sum(scale < 1 for scale in scales) / 120 < 0.65


def test_the_crop_follows_from_the_generator_alone():
    image, mask = torch.randint(0, 256, (3, 80, 80), dtype=torch.uint8, generator=source()), blocks(80, 80)[1]
    config = AugmentConfig(crop=64)
    one = augment(image, mask, config, source(5))
    torch.manual_seed(99)
    two = augment(image, mask, config, source(5))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])
    assert not torch.equal(one[0], augment(image, mask, config, source(6))[0])


@pytest.mark.parametrize("kind", ["brightness", "contrast", "saturation"])
def test_colours_change_the_image_and_not_the_mask(kind):
    image, mask = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=source()), blocks(32, 32)[1]
    cut, cut_mask = augment(image, mask, AugmentConfig(**{**PLAIN, kind: 0.5}), source(1))
    assert not torch.equal(cut, image)
    assert torch.equal(cut_mask, mask)


def test_what_was_given_is_not_changed():
    image, mask = blocks(80, 80)
    copies = image.clone(), mask.clone()
    augment(image, mask, AugmentConfig(crop=64), source())
    assert torch.equal(image, copies[0])
    assert torch.equal(mask, copies[1])


def plainly(image, mask, config, seed):
    """The documented crop, step by step: cut, resize, mirror, colours, one after the other by torchvision."""
    numbers = torch.rand(8, generator=source(seed)).tolist()
    height, width = mask.shape
    low, high = map(math.log, config.scale)
    side = max(1, round(config.crop / math.exp(low + numbers[0] * (high - low))))
    rows, columns = min(side, height), min(side, width)
    place = int(numbers[1] * (height - rows + 1)), int(numbers[2] * (width - columns + 1)), rows, columns
    size = [round(config.crop * rows / side), round(config.crop * columns / side)]
    image = transform.resized_crop(image, *place, size, InterpolationMode.BILINEAR, antialias=True)
    mask = transform.resized_crop(mask[None], *place, size, InterpolationMode.NEAREST_EXACT)[0]
    if numbers[3] < config.flip:
        image, mask = image.flip(-1), mask.flip(-1)
    b, c, s = (1 + 0.4 * (2 * number - 1) for number in numbers[4:7])
    image = transform.adjust_saturation(transform.adjust_contrast(transform.adjust_brightness(image, b), c), s)
    below, beside = config.crop - size[0], config.crop - size[1]
    around = [beside // 2, beside - beside // 2, below // 2, below - below // 2]
    return F.pad(image, around, value=PADDING), F.pad(mask, around, value=IGNORED)


@pytest.mark.parametrize("seed", range(12))
def test_same_as_the_plain_way(seed):
    """Masks exactly. Images of smooth colours to 6 levels: 3 are torchvision's truncations, see test_colours; the rest
    is that colours are changed before an enlargement, where there are fewer pixels, and clipped there."""
    y, x = torch.meshgrid(torch.linspace(0, 6, 150), torch.linspace(0, 8, 190), indexing="ij")
    image = (127 + 90 * torch.stack([torch.sin(x + y), torch.cos(x - y), torch.sin(2 * x)])).to(torch.uint8)
    mask = torch.randint(0, 200, (150, 190), dtype=torch.uint8, generator=source(seed))
    config = AugmentConfig(crop=96, scale=(0.4, 2.5))
    cut, cut_mask = augment(image, mask, config, source(seed))
    expected, expected_mask = plainly(image, mask, config, seed)
    assert torch.equal(cut_mask, expected_mask)
    off = (cut.int() - expected.int()).abs().float()
    assert off.max() <= 6
    assert off.mean() < 2


def test_colours_do_not_reach_what_is_outside_the_image():
    image, mask = torch.randint(0, 256, (3, 20, 24), dtype=torch.uint8, generator=source()), blocks(20, 24)[1]
    cut, cut_mask = augment(image, mask, AugmentConfig(**{**PLAIN, "brightness": 0.9, "contrast": 0.9}), source(3))
    assert (cut[:, cut_mask == IGNORED] == PADDING).all()


def test_a_crop_shows_at_least_one_pixel_of_the_image():
    image, mask = torch.full((3, 2, 2), 7, dtype=torch.uint8), torch.full((2, 2), 2, dtype=torch.uint8)
    cut, cut_mask = augment(image, mask, AugmentConfig(**PLAIN, short_side=200), source())  # a third of a pixel
    assert (cut == 7).all()
    assert (cut_mask == 2).all()


def test_what_is_shrunk_is_averaged():
    image, mask = torch.zeros(3, 128, 128, dtype=torch.uint8), torch.zeros(128, 128, dtype=torch.uint8)
    image[..., ::4] = 255
    cut, _ = augment(image, mask, AugmentConfig(**{**PLAIN, "scale": (0.25, 0.25)}), source())
    assert (cut[..., 1:-1].int() - 64).abs().max() <= 2  # a quarter of white; the nearest two of four are black
