import pickle

import numpy as np
import pytest
import torch

from mdpseg.data.readers.pairs import Pair, PairReader, id_table
from mdpseg.errors import UserError

from .files import write_image, write_mask


def reader(tmp_path, ids, table=None, classes=("a", "b", "c"), **keywords):
    image = write_image(tmp_path / "x.jpg")
    mask = write_mask(tmp_path / "x.png", ids)
    if table is None:
        table = id_table({0: 0, 1: 1, 2: 2, 255: 255})
    return PairReader([Pair("x", image, mask)], classes, table, name="mine", **keywords)


def test_table_maps_and_refuses():
    table = id_table({3: 0, 7: 1, 255: 255})
    assert table.dtype == torch.uint8
    assert table.shape == (256,)
    assert table[[3, 7, 255, 0]].tolist() == [0, 1, 255, 254]


def test_sample(tmp_path):
    data = reader(tmp_path, [0, 1, 2, 255])
    sample = data[0]
    assert len(data) == 1
    assert sample.id == "x"
    assert (sample.image.dtype, tuple(sample.image.shape)) == (torch.uint8, (3, 8, 10))
    assert (sample.mask.dtype, tuple(sample.mask.shape)) == (torch.uint8, (8, 10))
    assert sample.mask.flatten()[:4].tolist() == [0, 1, 2, 255]
    assert torch.equal(data.image(0), sample.image)
    assert [s.id for s in data] == ["x"]
    assert "1 images, 3 classes" in repr(data)
    with pytest.raises(IndexError):
        data[1]


def test_reader_travels_to_workers(tmp_path):
    data = reader(tmp_path, [0, 1])
    assert torch.equal(pickle.loads(pickle.dumps(data))[0].mask, data[0].mask)


def test_table_agrees_with_a_slow_loop(tmp_path):
    mapping = {raw: (raw * 7) % 20 for raw in range(200)} | {255: 255}
    raw = np.random.default_rng(0).choice(list(mapping), (8, 10)).astype(np.uint8)
    mask = reader(tmp_path, raw, id_table(mapping), [str(i) for i in range(20)])[0].mask
    assert mask.tolist() == [[mapping[int(v)] for v in row] for row in raw]


def test_ids_that_are_not_allowed(tmp_path):
    with pytest.raises(UserError, match=r"mine: mask .*x\.png has id 3, 77, 254; its ids must be 0\.\.2, 255\."):
        reader(tmp_path, [0, 77, 3, 254])[0]


def test_of_many_wrong_ids_five_are_named(tmp_path):
    with pytest.raises(UserError, match=r"has id 10, 11, 12, 13, 14 \.\.\.; its ids"):
        reader(tmp_path, np.arange(10, 90).reshape(8, 10))[0]


@pytest.mark.parametrize("count", [253, 254, 255])
def test_nearly_256_classes(tmp_path, count):
    table = id_table({i: i for i in range(count)} | {255: 255})
    names = [str(i) for i in range(count)]
    ids = [0, count - 1, 255]
    assert reader(tmp_path, ids, table, names)[0].mask.flatten()[:3].tolist() == ids
    if count < 255:
        with pytest.raises(UserError, match=f"has id {count}; "):
            reader(tmp_path, [0, count], table, names)[0]


def test_sizes_that_differ(tmp_path):
    data = reader(tmp_path, np.zeros((5, 6)))
    with pytest.raises(UserError, match=r"image .*x\.jpg is 10x8 \(width x height\), its mask .*x\.png is 6x5"):
        data[0]
    with pytest.raises(UserError, match=r"is 8x10; they .* \(pixels are taken as stored; a camera's note"):
        reader(tmp_path, np.zeros((10, 8)))[0]


def test_files_that_are_missing(tmp_path):
    table = id_table({0: 0})
    for name in "abc":
        write_image(tmp_path / f"{name}.jpg")
    write_mask(tmp_path / "a.png", [0])
    pairs = [Pair(name, tmp_path / f"{name}.jpg", tmp_path / f"{name}.png") for name in "abc"]
    with pytest.raises(UserError, match=r"mine: image .*b\.jpg has no mask; expected .*b\.png \(2 of 3 lack one\)"):
        PairReader(pairs, ["x"], table, name="mine")
    pairs.append(Pair("d", tmp_path / "d.jpg", tmp_path / "a.png"))
    with pytest.raises(UserError, match=r"mine: id 'd' has no image; expected .*d\.jpg \(1 of 4 lack one\)"):
        PairReader(pairs, ["x"], table, name="mine")
    (tmp_path / "list.txt").write_text("a\n")
    assert len(PairReader(pairs, ["x"], table, name="mine", subset={"list": tmp_path / "list.txt"})) == 1


@pytest.mark.parametrize(
    "there, todo",
    [
        (
            ["0_mask.png", "a_mask.png", "b_mask.png"],
            "That folder holds a_mask.png: name the masks like .* list of pairs",
        ),
        (["x.png", ".hidden"], "That folder holds x.png: name the masks like"),
        (["a.jpg"], "That folder holds a.jpg: save masks as PNG, because JPEG changes the ids"),
        ([".hidden"], "Add the mask"),
    ],
)
def test_where_no_image_has_a_mask_the_way_out_is_said(tmp_path, there, todo):
    pairs = [Pair(name, write_image(tmp_path / f"{name}.jpg"), tmp_path / f"m/{name}.png") for name in "ab"]
    for name in there:
        write_mask(tmp_path / "m" / "it.png", [0]).rename(tmp_path / "m" / name)
    with pytest.raises(UserError, match=rf"a\.jpg has no mask; expected .*m/a\.png \(2 of 2 lack one\)\. {todo}"):
        PairReader(pairs, ["x"], id_table({0: 0}), name="mine")


def test_subset_errors_name_the_dataset(tmp_path):
    with pytest.raises(UserError, match="mine: subset count is 2, but only 1 images"):
        reader(tmp_path, [0], subset={"count": 2})
    with pytest.raises(UserError, match="mine: there are no images"):
        PairReader([], ["x"], id_table({0: 0}), name="mine")
