"""The quick decoder gives what Pillow gives, or nothing."""

import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mdpseg.data.readers import quick_png as module
from mdpseg.data.readers.header import GREY, PALETTE, RGB, png_size
from mdpseg.data.readers.quick_png import quick_png

KINDS = {"L": GREY, "RGB": RGB, "P": PALETTE}


def png(mode: str, height=24, width=31, **options) -> bytes:
    # smooth lines and noise: a writer then takes several of PNG's filters
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    slope = np.add.outer(np.arange(height), np.arange(width))[..., None]
    pixels = np.where(np.arange(height)[:, None, None] % 3 == 0, noise, slope).astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0], mode) if mode in ("L", "P") else Image.fromarray(pixels).convert(mode)
    if mode == "P":
        picture.putpalette(np.random.default_rng(1).permutation(768).astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return buffer.getvalue()


def by_pillow(content: bytes):
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize("mode", sorted(KINDS))
@pytest.mark.parametrize("height, width", [(1, 1), (1, 17), (23, 1), (24, 31), (300, 500)])
def test_the_values_are_those_of_pillow(mode, height, width):
    content = png(mode, height, width)
    values = quick_png(content, KINDS[mode])
    assert values.dtype == np.uint8
    assert values.flags.writeable  # torch warns of others
    np.testing.assert_array_equal(values, by_pillow(content))


@pytest.mark.parametrize("mode, transparent", [("L", 3), ("RGB", (3, 3, 3)), ("P", 3)])
def test_a_transparent_colour_changes_nothing(mode, transparent):
    content = png(mode, transparency=transparent)
    assert b"tRNS" in content
    np.testing.assert_array_equal(quick_png(content, KINDS[mode]), by_pillow(content))


@pytest.mark.parametrize(
    "content",
    [png("RGBA"), png("LA"), png("1"), png("P", bits=4), png("I;16"), b"", b"GIF89a", png("L")[:25]],
    ids=["RGBA", "LA", "1", "P4", "I16", "empty", "gif", "cut in its header"],
)
def test_other_files_are_left_to_pillow(content):
    assert quick_png(content, *KINDS.values()) is None


def test_only_the_kinds_that_are_asked_for():
    assert quick_png(png("P"), GREY, RGB) is None
    assert quick_png(png("L"), RGB) is None


def test_more_pixels_than_are_read_are_not_decoded(monkeypatch):
    monkeypatch.setattr(module, "MOST_PIXELS", 24 * 31 - 1)
    assert quick_png(png("L"), GREY) is None


@given(mode=st.sampled_from(sorted(KINDS)), place=st.integers(0, 10_000), bits=st.integers(1, 255))
def test_a_changed_byte_never_gives_other_pixels(mode, place, bits):
    whole = png(mode)
    changed = bytearray(whole)
    changed[place % len(whole)] ^= bits
    values = quick_png(bytes(changed), *KINDS.values())
    assert values is None or np.array_equal(values, by_pillow(whole))


def with_right_checksums(content: bytes) -> bytes:
    """So that damage reaches what lies behind them."""
    place, parts = 8, [content[:8]]
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4])
        if end + 4 > len(content):
            break
        parts += [content[place:end], zlib.crc32(content[place + 4 : end]).to_bytes(4)]
        place = end + 4
    return b"".join([*parts, content[place:]])


@settings(max_examples=400)
@given(
    mode=st.sampled_from(sorted(KINDS)),
    changes=st.lists(st.tuples(st.integers(24, 10_000), st.integers(0, 255)), min_size=1, max_size=5),
    cut=st.tuples(st.integers(33, 10_000), st.integers(0, 8)),
)
def test_damage_behind_the_checksums_is_values_or_nothing(mode, changes, cut):
    content = bytearray(png(mode))
    for place, value in changes:
        content[place % len(content)] = value
    begin = cut[0] % len(content)
    del content[begin : begin + cut[1]]
    damaged = with_right_checksums(bytes(content))
    values = quick_png(damaged, *KINDS.values())
    assert values is None or values.shape[:2] == png_size(damaged)[::-1]


@pytest.mark.parametrize("mode", sorted(KINDS))
def test_half_a_file_is_left_to_pillow(mode):
    whole = png(mode)
    data_ends = whole.rindex(b"IEND") - 4
    assert all(quick_png(whole[:end], KINDS[mode]) is None for end in range(0, data_ends, 7))
