"""What holds for any box and any mix."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from mdpseg.mixing import pixel_mix, region_box, region_mix

sides = st.integers(1, 300)
shares = st.floats(0, 1)


@given(sides, sides, shares, st.integers(0, 2**32))
def test_a_box_lies_inside_the_image(height, width, lam, seed):
    top, left, box_height, box_width = region_box(height, width, lam, torch.Generator().manual_seed(seed))
    assert 0 <= top < height
    assert 0 <= left < width
    assert 0 <= box_height <= height - top
    assert 0 <= box_width <= width - left
    side = (1 - lam) ** 0.5
    assert box_height <= round(height * side)
    assert box_width <= round(width * side)
    if lam == 1:
        assert box_height == box_width == 0


@st.composite
def batches(draw):
    count, height, width = draw(st.integers(1, 4)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    source = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    images = torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=source)
    targets = torch.randint(-1, 5, (count, height, width), generator=source)
    boxes = []
    for _ in range(count):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        boxes.append((top, left, draw(st.integers(0, height - top)), draw(st.integers(0, width - left))))
    partners = draw(st.lists(st.integers(0, count - 1), min_size=count, max_size=count))
    return images, targets, boxes, partners


@given(batches())
def test_region_mix_is_a_copied_rectangle(drawn):
    images, targets, boxes, partners = drawn
    mixed, mixed_targets = region_mix(images, targets, torch.tensor(boxes), torch.tensor(partners))
    for i, ((top, left, height, width), partner) in enumerate(zip(boxes, partners, strict=True)):
        expected, expected_targets = images[i].clone(), targets[i].clone()
        area = (slice(top, top + height), slice(left, left + width))
        expected[:, area[0], area[1]] = images[partner][:, area[0], area[1]]
        expected_targets[area] = targets[partner][area]
        assert torch.equal(mixed[i], expected)
        assert torch.equal(mixed_targets[i], expected_targets)


@given(batches(), st.lists(shares, min_size=4, max_size=4))
def test_pixel_mix_lies_between_both_images(drawn, lam):
    images, _, _, partners = drawn
    share = torch.tensor(lam[: len(images)])
    mixed = pixel_mix(images, share, torch.tensor(partners))
    other = images[torch.tensor(partners)]
    assert mixed.dtype == torch.uint8
    assert bool((mixed >= torch.minimum(images, other)).all())
    assert bool((mixed <= torch.maximum(images, other)).all())
    expected = share[:, None, None, None].double() * images + (1 - share[:, None, None, None].double()) * other
    assert float((mixed - expected).abs().max()) < 0.51
