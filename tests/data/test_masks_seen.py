"""What masks hold whose classes nobody wrote down."""

import struct
import zlib

import numpy as np
import pytest
import yaml
from PIL import Image

from mdpseg.data import masks_seen
from mdpseg.data.masks_seen import look_at
from mdpseg.data.raw_ids import ANY, RawIds
from mdpseg.data.readers import Folder
from mdpseg.data.readers.complaints import gather
from mdpseg.errors import UserError
from tests import hostile
from tests.data.readers.files import write_image


def reader(root, *masks):
    """A dataset of these masks, uint8 [H, W] ids or [H, W, 3] colors."""
    (root / "masks").mkdir()
    for number, mask in enumerate(masks):
        pixels = np.asarray(mask, np.uint8)
        write_image(root / "images" / f"{number:03}.jpg", *pixels.shape[:2])
        Image.fromarray(pixels).save(root / "masks" / f"{number:03}.png")
    return RawIds(Folder(root / "images", root / "masks", ANY, name="mine"))


@pytest.mark.parametrize(
    "ids, names, rest",
    [
        ([0], 1, "class_0"),
        ([0, 0, 2], 3, "class_0"),
        ([0, 1, 1], 2, None),
        ([3], 4, None),
        ([255, 255, 255, 0, 0, 1], 2, "class_0"),
        ([255, 1], 2, None),
    ],
)
def test_ids(ids, names, rest, tmp_path):
    found = look_at(reader(tmp_path, [ids, ids]))
    assert found.names == [f"class_{i}" for i in range(names)]
    assert (found.colours, found.likely_rest, found.masks) == (None, rest, 1)
    assert found.text() == "".join(f"class_{i}\n" for i in range(names))


def test_nothing_but_ignored_pixels(tmp_path):
    with pytest.raises(UserError, match="mine: 1 masks hold nothing but 255"):
        look_at(reader(tmp_path, [[255, 255]]))


def test_no_mask_can_be_read(tmp_path):
    damaged = reader(tmp_path, [[0, 1]], [[0, 1]])
    for number in range(2):
        (tmp_path / f"masks/00{number}.png").write_bytes(b"no picture")
    with gather() as faults, pytest.raises(UserError, match=r"mine: 2 of 2 masks cannot be read.*000\.png"):
        look_at(damaged)
    assert len(faults) == 2


def test_masks_of_more_bits_than_colors_have(tmp_path):
    deep = reader(tmp_path, [[[1, 2, 3]]], [[[1, 2, 3]]])
    for number in range(2):
        pixels = zlib.compress(b"\0" + bytes(6))  # one pixel of 3 x 16 bits
        header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
        (tmp_path / f"masks/00{number}.png").write_bytes(hostile.png(header, pixels))
    with gather() as faults, pytest.raises(UserError, match=r"mine: none of 2 masks can be read: .*000\.png is 16-bit"):
        look_at(deep)
    assert len(faults) == 2


def test_grey_masks_with_transparency(tmp_path):
    masks = reader(tmp_path, [[0, 1]])
    layers = Image.new("L", (2, 1), 7), Image.new("L", (2, 1), 255)
    Image.merge("LA", layers).save(tmp_path / "masks/000.png")
    with gather(), pytest.raises(UserError, match=r"mine: 1 of 1 masks .* has transparency beside its grey values"):
        look_at(masks)


def test_black_and_white(tmp_path):
    with pytest.raises(UserError, match="mine: the masks hold 0 and 255 alone"):
        look_at(reader(tmp_path, [[0, 0]], [[255, 0]]))


def test_the_sample_is_from_all_over_the_dataset(tmp_path, monkeypatch):
    monkeypatch.setattr(masks_seen, "MOST", 2)
    found = look_at(reader(tmp_path, [[0]], [[1]], [[4]]))
    assert (len(found.names), found.masks) == (5, 2)


BLACK, RED, GREY = (0, 0, 0), (250, 0, 40), (9, 9, 9)


@pytest.mark.parametrize(
    "colours, seen, rest",
    [
        ([BLACK, BLACK, RED], [BLACK, RED], "class_0"),
        ([BLACK, RED, RED], [BLACK, RED], None),
        ([RED, GREY, GREY], [GREY, RED], None),
    ],
)
def test_colours(colours, seen, rest, tmp_path):
    found = look_at(reader(tmp_path, [colours, colours]))
    assert (found.colours, found.likely_rest) == (seen, rest)
    assert yaml.safe_load(found.text()) == [
        {"name": f"class_{i}", "color": list(colour)} for i, colour in enumerate(seen)
    ]


@pytest.mark.parametrize("count", [255, 256])
def test_as_many_colours_as_there_may_be_classes(count, tmp_path):
    made = reader(tmp_path, [[(i, 255 - i, 7) for i in range(count)]])
    if count > 255:
        with pytest.raises(UserError, match=r"mine: the masks hold more than 255 colors \(.*000\.png\)"):
            look_at(made)
    else:
        assert len(look_at(made).names) == count
