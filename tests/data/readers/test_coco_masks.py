"""Outlines against pycocotools, and hostile ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from mdpseg.data.readers.coco_masks import BadOutlineError, pixels_of

MASKS = arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 1))


def uncompressed(mask):
    flat = mask.T.flatten()
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *changes, len(flat)]).tolist()
    return [0, *runs] if flat[0] else runs


@given(MASKS)
def test_run_lengths_as_pycocotools_writes_them(mask):
    height, width = mask.shape
    encoded = coco.encode(np.asfortranarray(mask))
    for counts in (encoded["counts"].decode(), uncompressed(mask)):
        found = pixels_of({"size": [height, width], "counts": counts}, height, width)
        np.testing.assert_array_equal(found, mask.astype(bool))


def test_long_runs():
    mask = np.zeros((3000, 2000), np.uint8)
    mask[:, 700:1500] = 1
    mask[5, 5] = 1
    encoded = coco.encode(np.asfortranarray(mask))
    found = pixels_of({"size": [3000, 2000], "counts": encoded["counts"].decode()}, 3000, 2000)
    np.testing.assert_array_equal(found, mask.astype(bool))


def test_polygons_are_united():
    square, other = [1, 1, 5, 1, 5, 5, 1, 5], [3.5, 3, 9, 3, 9, 7.25, 3, 7]
    expected = (
        coco.decode(coco.frPyObjects([square], 8, 10))[..., 0] | coco.decode(coco.frPyObjects([other], 8, 10))[..., 0]
    )
    np.testing.assert_array_equal(pixels_of([square, other], 8, 10), expected.astype(bool))
    assert pixels_of([square], 8, 10).sum() == 16


GOOD = coco.encode(np.asfortranarray(np.eye(8, 10, dtype=np.uint8)))["counts"].decode()


@pytest.mark.parametrize(
    "segmentation, said",
    [
        (None, "no polygon"),
        ([], "no polygon"),
        ("x", "no polygon"),
        ([[]], "at least three points"),
        ([[1, 1, 5, 1]], "of 4 numbers"),
        ([[1, 1, 5, 1, 5, 5, 3]], "of 7 numbers"),
        ([1, 1, 5, 1, 5, 5], "a polygon; at least"),
        ([[1, 1, 5, "a", 5, 5]], "'a', which is no coordinate"),
        ([[1, 1, 5, 1e400, 5, 5]], "inf, which is no coordinate"),
        ([[1, 1, 2e9, 1, 5, 5]], "2e.09, far outside of 10x8"),
        ([[0, 0, 10, 8] * 300_000], "an outline of"),
        ([[0, 0, 10, 8] * 60_000] * 8, "an outline of"),
        ({"size": [10, 8], "counts": [80]}, r"size \[10, 8\]; expected \[8, 10\]"),
        ({"counts": [80]}, "of size None"),
        ({"size": [8, 10], "counts": [79]}, "of 79 pixels; 80 are expected"),
        ({"size": [8, 10], "counts": [40, 41]}, "of 81 pixels"),
        ({"size": [8, 10], "counts": [10**30]}, "neither a text nor a list"),
        ({"size": [8, 10], "counts": [-1, 81]}, "neither a text nor a list"),
        ({"size": [8, 10], "counts": None}, "neither a text nor a list"),
        ({"size": [8, 10], "counts": ""}, "damaged text"),
        ({"size": [8, 10], "counts": GOOD[:3]}, "pixels; 80 are expected"),
        ({"size": [8, 10], "counts": GOOD + "00"}, "pixels; 80 are expected"),
        ({"size": [8, 10], "counts": "o"}, "damaged text"),
        ({"size": [8, 10], "counts": "ooooooooo0"}, "damaged text"),
        ({"size": [8, 10], "counts": "\x01\x02"}, "damaged text"),
        ({"size": [8, 10], "counts": "ä0"}, "damaged text"),
        ({"size": [8, 10], "counts": "O"}, "of -1 pixels"),
    ],
)
def test_what_is_refused(segmentation, said):
    with pytest.raises(BadOutlineError, match=said):
        pixels_of(segmentation, 8, 10)


@given(st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=12))
def test_any_text_is_a_mask_or_refused(counts):
    try:
        found = pixels_of({"size": [8, 10], "counts": counts}, 8, 10)
    except BadOutlineError:
        return
    np.testing.assert_array_equal(found, coco.decode({"size": [8, 10], "counts": counts.encode()}).astype(bool))
