import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

from mdpseg.data.duplicates import ALIKE, LOOK_BYTES, look, same_bytes, same_look
from mdpseg.data.toy import ToyWorld


def pictures(count=30):
    """Scenes of the embedded worlds, uint8 [3, 96, 128]."""
    world = ToyWorld("fine", count=count, size=(96, 128))
    return [world.image(i) for i in range(count)]


def changed(image, **options):
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    if "scale" in options:
        picture = picture.resize([round(options["scale"] * side) for side in picture.size])
    if "light" in options:
        picture = picture.point(lambda value: min(255, round(value * options["light"])))
    if "quality" in options:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=options["quality"])
        picture = Image.open(buffer)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def bits(number):
    return np.unpackbits(np.frombuffer(number, np.uint8))


def slow(looks, earlier=None):
    """Every pair, one at a time."""
    found = {}
    for place, mine in enumerate(looks):
        others = looks[:place] if earlier is None else earlier
        distances = [(int((bits(mine) != bits(o)).sum()), i) for i, o in enumerate(others) if mine and o]
        if distances and min(distances)[0] <= ALIKE:
            found[place] = min(distances)[1]
    return found


def test_a_copy_looks_alike_whatever_it_was_saved_as():
    originals = pictures()
    looks = [look(image) for image in originals]
    assert all(len(bits) == LOOK_BYTES for bits in looks)
    for options in ({"quality": 60}, {"scale": 0.5}, {"scale": 1.5}, {"light": 1.15}, {"scale": 0.7, "quality": 75}):
        copies = [look(changed(image, **options)) for image in originals]
        found = same_look(copies, looks)
        assert sum(found.get(i) == i for i in range(30)) >= 27, options


def test_different_images_do_not_look_alike():
    assert same_look([look(image) for image in pictures(60)]) == {}


def test_images_without_contrast_are_not_judged():
    flat = torch.full((3, 50, 60), 200, dtype=torch.uint8)
    assert look(flat) is None
    assert look(flat + torch.randint(0, 3, flat.shape, dtype=torch.uint8)) is None
    assert same_look([None, None, look(pictures(1)[0])]) == {}
    assert same_look([None], [None]) == same_look([], []) == {}


def test_images_of_any_size_have_a_look():
    for height, width in ((1, 1), (1, 400), (7, 9), (3000, 20)):
        image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
        assert look(image) is None or len(look(image)) == LOOK_BYTES


def test_the_matrix_agrees_with_a_slow_loop(monkeypatch):
    source = np.random.default_rng(0)
    centres = source.integers(0, 256, (6, LOOK_BYTES), dtype=np.uint8)
    looks = []
    for number in range(80):
        flips = np.packbits(source.random(128) < 0.05)
        looks.append(None if number % 17 == 5 else (centres[number % 6] ^ flips).tobytes())
    expected = slow(looks)
    assert len(expected) > 20
    for entries in (1, 300, 2**24):
        monkeypatch.setattr("mdpseg.data.duplicates._ENTRIES", entries)
        assert same_look(looks) == expected
        assert same_look(looks[40:], looks[:40]) == slow(looks[40:], looks[:40])


@pytest.mark.slow
def test_twenty_thousand_images_take_seconds():
    numbers = np.random.default_rng(0).integers(0, 256, (20_000, LOOK_BYTES), dtype=np.uint8)
    numbers[19_999] = numbers[123]
    began = time.process_time()
    assert same_look([row.tobytes() for row in numbers]) == {19_999: 123}
    assert time.process_time() - began < 60


def test_same_bytes():
    assert same_bytes([b"a", b"b", b"a", None, None, b"a"]) == {2: 0, 5: 0}
    assert same_bytes([b"x", b"b", None], [b"b", b"x", b"x", None]) == {0: 1, 1: 0}
    assert same_bytes([]) == same_bytes([b"a", b"a"], []) == {}
