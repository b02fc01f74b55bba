"""Against torchvision's three functions, which truncate to whole levels after each."""

import pytest
import torch
from torchvision.transforms.v2 import functional as transform

from mdpseg.data.colours import adjust

LEVELS = 3  # three truncations, each below one level, and contrast and saturation up to 1.4 behind the first


def noise(height=40, width=50, seed=0):
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def by_torchvision(image, brightness, contrast, saturation):
    image = transform.adjust_brightness(image, brightness)
    image = transform.adjust_contrast(image, contrast)
    return transform.adjust_saturation(image, saturation)


@pytest.mark.parametrize("brightness", [1.0, 0.6, 1.4])
@pytest.mark.parametrize("contrast", [1.0, 0.6, 1.4])
@pytest.mark.parametrize("saturation", [1.0, 0.6, 1.4])
def test_as_torchvision_within_its_truncations(brightness, contrast, saturation):
    image = noise()
    expected = by_torchvision(image, brightness, contrast, saturation)
    off = adjust(image, brightness, contrast, saturation).int() - expected.int()
    assert off.abs().max() <= LEVELS
    assert -0.1 < off.float().mean() < 1.8  # it loses half a level each time, we do not


def test_clips_after_each_change():
    """A white pixel that is brightened and then loses contrast is as grey as white would be."""
    image = torch.full((3, 2, 2), 250, dtype=torch.uint8)
    image[:, 0] = 0
    changed = adjust(image, 1.4, 0.5, 1.0)
    assert changed[:, 1].unique().tolist() == [191]  # 255 * 0.5 + mean 127.5 * 0.5, rounded
    assert changed[:, 0].unique().tolist() == [64]


def test_rounds_to_the_nearest():
    image = torch.full((3, 1, 2), 99, dtype=torch.uint8)
    assert adjust(image, 0.997, 1.0, 1.0).unique().tolist() == [99]  # 98.7
    assert adjust(image, 0.99, 1.0, 1.0).unique().tolist() == [98]  # 98.01


def test_greys_have_no_saturation_and_a_flat_image_no_contrast():
    grey = noise()[:1].expand(3, -1, -1).contiguous()
    assert torch.equal(adjust(grey, 1.0, 1.0, 1.4), grey)
    flat = torch.full((3, 4, 4), 77, dtype=torch.uint8)
    assert torch.equal(adjust(flat, 1.0, 1.4, 0.6), flat)


def test_factors_of_1_change_nothing_and_the_given_image_stays():
    image = noise()
    assert torch.equal(adjust(image, 1.0, 1.0, 1.0), image)
    copy = image.clone()
    adjust(image, 1.3, 0.7, 1.2)
    assert torch.equal(image, copy)


def test_memory_layout_makes_no_difference():
    image = noise()
    interleaved = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert torch.equal(adjust(interleaved, 1.3, 0.7, 1.2), adjust(image, 1.3, 0.7, 1.2))
