import math

import pytest
import torch

from mdpseg.batch import Batch
from mdpseg.mixing import mix_batch, pixel_mix, region_box, region_mix

from .losses.reference import integers

B, H, W = 4, 9, 11


def boxes_drawn(height, width, lam, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [region_box(height, width, lam, generator) for _ in range(count)]


@pytest.mark.parametrize("lam", [0.0, 0.1, 0.5, 0.75, 0.99, 1.0])
@pytest.mark.parametrize("height, width", [(64, 96), (33, 7), (1, 1)])
def test_box_has_the_published_size_clipped_at_the_border(height, width, lam):
    for top, left, box_height, box_width in boxes_drawn(height, width, lam, 200):
        assert 0 <= top < height
        assert 0 <= left < width
        assert box_height == min(round(height * math.sqrt(1 - lam)), height - top)
        assert box_width == min(round(width * math.sqrt(1 - lam)), width - left)


def test_corners_are_uniform_and_independent():
    height, width, count = 64, 96, 6000
    drawn = torch.tensor(boxes_drawn(height, width, 0.5, count), dtype=torch.float64)
    top, left = drawn[:, 0] / height, drawn[:, 1] / width
    for corner, size in ((top, height), (left, width)):
        assert corner.min() == 0
        assert corner.max() == (size - 1) / size
        tenths = torch.histc(corner, 8, 0, 1) / count
        assert (tenths - 1 / 8).abs().max() < 0.02
    assert torch.corrcoef(torch.stack([top, left]))[0, 1].abs() < 0.05


@pytest.mark.parametrize("lam", [0.0, 0.25, 0.6, 0.9])
def test_share_that_is_pasted(lam):
    """A side s clipped at a uniform corner covers s - s^2 / 2 of its axis on average."""
    height, width = 200, 300
    shares = [h * w / (height * width) for _, _, h, w in boxes_drawn(height, width, lam, 4000)]
    side = math.sqrt(1 - lam)
    assert sum(shares) / len(shares) == pytest.approx((side - side**2 / 2) ** 2, abs=0.012)
    assert max(shares) <= 1 - lam + 0.01


def test_lam_1_pastes_nothing_and_lam_0_all_that_is_right_and_below():
    assert {box[2:] for box in boxes_drawn(H, W, 1.0, 50)} == {(0, 0)}
    for top, left, box_height, box_width in boxes_drawn(H, W, 0.0, 50):
        assert (top + box_height, left + box_width) == (H, W)


def test_boxes_follow_from_the_generator():
    assert boxes_drawn(H, W, 0.3, 5, seed=1) == boxes_drawn(H, W, 0.3, 5, seed=1)
    assert boxes_drawn(H, W, 0.3, 5, seed=1) != boxes_drawn(H, W, 0.3, 5, seed=2)


@pytest.mark.parametrize("lam", [-0.1, 1.1, float("nan")])
def test_lam_outside_0_to_1(lam):
    with pytest.raises(ValueError, match="expected a number from 0 to 1"):
        region_box(H, W, lam)


def region_mix_by_hand(images, targets, boxes, partners):
    mixed_images, mixed_targets = images.clone(), targets.clone()
    for b in range(len(images)):
        top, left, height, width = (int(n) for n in boxes[b])
        for row in range(top, top + height):
            for column in range(left, left + width):
                mixed_images[b, :, row, column] = images[partners[b], :, row, column]
                mixed_targets[b, row, column] = targets[partners[b], row, column]
    return mixed_images, mixed_targets


def pictures(dtype=torch.uint8):
    images = integers(0, 256, (B, 3, H, W), seed=1)
    return images.to(dtype) if dtype == torch.uint8 else images.to(dtype) / 255


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("seed", range(4))
def test_region_mix(seed, dtype):
    images, targets = pictures(dtype), integers(-1, 50, (B, H, W), seed=2)
    boxes = torch.tensor(boxes_drawn(H, W, 0.4, B, seed=seed))
    partners = torch.tensor([1, 2, 3, 0])
    before = images.clone(), targets.clone()
    mixed = region_mix(images, targets, boxes, partners)
    for part, expected, untouched, original in zip(
        mixed, region_mix_by_hand(images, targets, boxes, partners), before, (images, targets), strict=True
    ):
        assert part.dtype == expected.dtype
        assert torch.equal(part, expected)
        assert torch.equal(untouched, original)
    assert not torch.equal(mixed[0], images)


@pytest.mark.parametrize(
    "boxes, partners",
    [
        ([[2, 3, 0, 5]] * B, [1, 2, 3, 0]),
        ([[2, 3, 4, 0]] * B, [1, 2, 3, 0]),
        ([[0, 0, H, W]] * B, list(range(B))),
    ],
    ids=["no height", "no width", "own partner"],
)
def test_region_mix_that_mixes_nothing(boxes, partners):
    images, targets = pictures(), integers(-1, 50, (B, H, W), seed=2)
    mixed_images, mixed_targets = region_mix(images, targets, torch.tensor(boxes), torch.tensor(partners))
    assert torch.equal(mixed_images, images)
    assert torch.equal(mixed_targets, targets)


def test_a_whole_box_is_the_partner_before_it_was_mixed():
    images, targets = pictures(), integers(-1, 50, (B, H, W), seed=2)
    partners = torch.tensor([1, 0, 3, 2])  # each pastes into the other
    mixed_images, mixed_targets = region_mix(images, targets, torch.tensor([[0, 0, H, W]] * B), partners)
    assert torch.equal(mixed_images, images[partners])
    assert torch.equal(mixed_targets, targets[partners])


SHARES = torch.tensor([0.3, 1.0, 0.0, 0.5])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16, torch.float64])
def test_pixel_mix(dtype):
    images, partners = pictures(dtype), torch.tensor([1, 2, 3, 0])
    mixed = pixel_mix(images, SHARES, partners)
    assert mixed.dtype == dtype
    tolerance = {torch.uint8: 0.501, torch.float32: 1e-6, torch.bfloat16: 4e-3, torch.float64: 1e-6}[dtype]
    for b in range(B):
        lam = SHARES[b].item()
        exact = lam * images[b].double() + (1 - lam) * images[partners[b]].double()
        assert (mixed[b].double() - exact).abs().max() <= tolerance
    assert torch.equal(mixed[2], images[3])  # share 0: the partner


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    "lam, partners",
    [(torch.ones(B), [1, 2, 3, 0]), (1.0, [1, 2, 3, 0]), (torch.full((B,), 0.3), [0, 1, 2, 3])],
    ids=["lam 1", "lam 1 as a number", "own partner"],
)
def test_pixel_mix_that_mixes_nothing(lam, partners, dtype):
    images = pictures(dtype)
    assert torch.equal(pixel_mix(images, lam, torch.tensor(partners)), images)


def test_a_batch_is_pasted_first_and_blended_then():
    images, targets = pictures(), integers(-1, 50, (B, H, W), seed=2)
    boxes, region_partners = torch.tensor(boxes_drawn(H, W, 0.2, B)), torch.tensor([2, 3, 0, 1])
    partners = torch.tensor([1, 1, 2, 0])
    batch = Batch(images, targets, torch.zeros(B, dtype=torch.int64), boxes, region_partners, SHARES, partners)
    mixed = mix_batch(batch)
    pasted_images, pasted_targets = region_mix_by_hand(images, targets, boxes, region_partners)
    assert torch.equal(mixed.targets, pasted_targets)
    assert torch.equal(mixed.partner_targets, pasted_targets[partners])
    for b in range(B):
        lam = SHARES[b].item()
        exact = lam * pasted_images[b].double() + (1 - lam) * pasted_images[partners[b]].double()
        assert (mixed.images[b].double() - exact).abs().max() <= 0.501
    assert batch.partner_targets is None
