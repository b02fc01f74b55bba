"""Real datasets: saved to disk, as parquet, and streamed from parquet."""

import io
import json
import re
import sys

import numpy as np
import pytest
from PIL import Image

from mdpseg.data.readers import HuggingFace, huggingface
from mdpseg.data.readers.complaints import gather
from mdpseg.errors import BadFileError, UserError

datasets = pytest.importorskip("datasets")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NAMES = ["road", "car", "sky"]
COUNT = 5


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()


def image(number):
    return np.random.default_rng(number).integers(0, 256, (8, 10, 3), dtype=np.uint8)


def mask(number):
    return np.random.default_rng(100 + number).choice(np.array([0, 1, 2, 255], np.uint8), (8, 10))


def encoded(pixels, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return {"bytes": buffer.getvalue(), "path": None}


def features(**more):
    names = datasets.ClassLabel(names=NAMES)
    columns = {"image": datasets.Image(), "label": datasets.Image(), "objects": datasets.List(names)}
    return datasets.Features({**columns, **more})


def rows(start=0, stop=COUNT, masks=mask):
    numbers = range(start, stop)
    return {
        "image": [encoded(image(n)) for n in numbers],
        "label": [encoded(masks(n)) for n in numbers],
        "objects": [[0, 2] for _ in numbers],
    }


def dataset(**more):
    return datasets.Dataset.from_dict(rows(**more), features=features())


def saved(root, both=False):
    if both:
        datasets.DatasetDict({"train": dataset(), "validation": dataset(start=3)}).save_to_disk(root)
    else:
        dataset().save_to_disk(root)
    return root


def parquet(root):
    (root / "data").mkdir(parents=True)
    for part in range(2):
        shard = datasets.Dataset.from_dict(rows(3 * part, min(COUNT, 3 * part + 3)), features=features())
        shard.to_parquet(root / "data" / f"train-{part:05d}-of-00002.parquet")
    dataset(start=4).to_parquet(root / "data" / "validation-00000-of-00001.parquet")
    return root


def holds(data, count=COUNT, first=0):
    assert len(data) == count
    for number, sample in enumerate(data, first):
        assert sample.id == f"{number - first:08d}"
        np.testing.assert_array_equal(sample.image.numpy(), image(number).transpose(2, 0, 1))
        np.testing.assert_array_equal(sample.mask.numpy(), mask(number))
    return True


COLUMNS = {"mask": "label", "names": "objects"}


def test_saved_to_disk(tmp_path):
    data = HuggingFace(saved(tmp_path / "one"), "train", **COLUMNS)
    assert holds(data)
    assert data.classes == NAMES
    assert data.paths(0) == ()
    saved(tmp_path / "two", both=True)
    assert holds(HuggingFace(tmp_path / "two", "train", **COLUMNS))
    assert holds(HuggingFace(tmp_path / "two", "validation", **COLUMNS), 2, 3)


@pytest.mark.parametrize("split", ["train", "train[:50%]", "test+train"])
def test_another_split_than_the_one_that_was_saved(tmp_path, split):
    """Else a `val` that was never saved would be the training data."""
    part = dataset()
    part.info.splits, part._split = None, datasets.NamedSplit(split)
    part.save_to_disk(tmp_path / "one")
    assert holds(HuggingFace(tmp_path / "one", "train", **COLUMNS))
    assert holds(HuggingFace(tmp_path / "one", split, **COLUMNS))
    with pytest.raises(
        UserError, match=rf"no split 'val' in .*/one, which was saved of split '{re.escape(split)}'; .*leave `split`"
    ):
        HuggingFace(tmp_path / "one", "val", **COLUMNS)
    datasets.DatasetDict({"val": part}).save_to_disk(tmp_path / "two")  # here the folder says which split it is
    assert holds(HuggingFace(tmp_path / "two", "val", **COLUMNS))


def test_parquet(tmp_path):
    root, cache = parquet(tmp_path / "p"), tmp_path / "cache"
    assert holds(HuggingFace(root, "train", cache=cache, **COLUMNS))
    assert holds(HuggingFace(root, "validation", cache=cache, **COLUMNS), 1, 4)
    one = root / "data" / "validation-00000-of-00001.parquet"
    for split in ("validation", "train"):  # train: what a recipe without `split` says
        assert holds(HuggingFace(one, split, cache=cache, **COLUMNS), 1, 4)
    with pytest.raises(UserError, match=r"validation-00000-of-00001.parquet does not say .* of split 'test'; expected"):
        HuggingFace(one, "test", cache=cache, **COLUMNS)
    for name in ("rows.parquet", "test/rows.parquet"):
        (root / name).parent.mkdir(exist_ok=True)
        one.rename(root / name)
        one = root / name
        assert holds(HuggingFace(one, "train", cache=cache, **COLUMNS), 1, 4)
        if one.parent.name == "test":
            assert holds(HuggingFace(one, "test", cache=cache, **COLUMNS), 1, 4)
        else:
            with pytest.raises(UserError, match="leave `split` out"):
                HuggingFace(one, "test", cache=cache, **COLUMNS)


def test_a_path_is_no_pattern(tmp_path):
    root = parquet(tmp_path / "p [1]*")
    assert holds(HuggingFace(root, "train", cache=tmp_path / "cache", **COLUMNS))
    assert holds(HuggingFace(root, "train", cache=tmp_path / "stream", stream=COUNT, **COLUMNS))


def test_subsets_and_classes_of_the_recipe(tmp_path):
    saved(tmp_path / "one")
    (tmp_path / "list.txt").write_text("00000003\n00000001\n")
    data = HuggingFace(
        tmp_path / "one", "train", ["a", "b", "c"], mask="label", catch_all="b", subset={"list": tmp_path / "list.txt"}
    )
    assert (data.classes, data.catch_all) == (["a", "b", "c"], "b")
    assert [sample.id for sample in data] == ["00000001", "00000003"]
    np.testing.assert_array_equal(data[1].mask.numpy(), mask(3))
    for subset, count in (({"count": 2}, 2), ({"fraction": 0.6}, 3)):
        assert len(HuggingFace(tmp_path / "one", "train", subset=subset, **COLUMNS)) == count


def test_masks_as_lists_with_their_own_names(tmp_path):
    label = datasets.List(datasets.List(datasets.ClassLabel(names=[*NAMES, *"abc"])))
    data = {**rows(), "label": [(mask(n) % 3).tolist() for n in range(COUNT)]}
    datasets.Dataset.from_dict(data, features=features(label=label)).save_to_disk(tmp_path / "d")
    found = HuggingFace(tmp_path / "d", "train", mask="label")
    assert found.classes == [*NAMES, *"abc"]
    np.testing.assert_array_equal(found[2].mask.numpy(), mask(2) % 3)


@pytest.mark.parametrize("dtype", [np.int32, np.uint16])
def test_masks_of_more_bits_which_datasets_saves_as_tiff(tmp_path, dtype):
    data = {**rows(), "label": [Image.fromarray(mask(n).astype(dtype)) for n in range(COUNT)]}
    datasets.Dataset.from_dict(data, features=features()).save_to_disk(tmp_path / "d")
    assert holds(HuggingFace(tmp_path / "d", "train", **COLUMNS))


def test_a_stream_becomes_files_once(tmp_path):
    root, cache = parquet(tmp_path / "p"), tmp_path / "cache"
    stream = {**COLUMNS, "cache": cache}
    assert holds(HuggingFace(root, "train", stream=2, **stream), 2)
    first = {path: path.stat().st_mtime_ns for path in cache.glob("*/*.png")}
    assert len(first) == 4
    (cache / "images/00000001.png").unlink()  # as if it had been killed between a sample's mask and image
    (cache / "images/.tmp-1-00000001.png").write_text("half")
    data = HuggingFace(root, "train", stream=4, **stream)
    assert holds(data, 4)
    assert data.paths(1) == (cache / "images/00000001.png", cache / "masks/00000001.png")
    kept = cache / "images/00000000.png"
    assert kept.stat().st_mtime_ns == first[kept]
    assert not list(cache.glob("*/.tmp*"))
    assert holds(HuggingFace(root, "train", stream=3, **stream), 3)
    assert holds(HuggingFace(root, "train", stream=100, **stream))
    assert json.loads((cache / "spool.json").read_text())["ended"] is True


def test_a_stream_that_was_read_is_not_asked_again(tmp_path):
    root, cache = parquet(tmp_path / "p"), tmp_path / "cache"
    HuggingFace(root, "train", stream=COUNT, cache=cache, **COLUMNS)
    (cache / "images/00000002.png").write_bytes(encoded(image(9))["bytes"])
    assert (
        HuggingFace(root, "train", stream=COUNT, cache=cache, **COLUMNS)[2].image.numpy() == image(9).transpose(2, 0, 1)
    ).all()


@pytest.mark.parametrize("more", [{}, {"stream": COUNT + 3}, {"classes": ["a", "b", "c"], "names": None}])
def test_a_stream_that_was_read_needs_neither_its_source_nor_a_cache_to_write_to(tmp_path, monkeypatch, more):
    root, cache = parquet(tmp_path / "p"), tmp_path / "cache"
    settings = {**COLUMNS, "stream": COUNT, "cache": cache, **more}
    HuggingFace(root, "train", **settings)
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    root.rename(tmp_path / "gone")
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setitem(sys.modules, "filelock", None)
    again = HuggingFace(root, "train", **settings)
    assert again.classes == more.get("classes", NAMES)
    assert holds(again)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before


def test_class_names_that_were_not_noted_are_asked_for_once(tmp_path, monkeypatch):
    """By an earlier version, or of another column."""
    root, cache = parquet(tmp_path / "p"), tmp_path / "cache"
    settings = {**COLUMNS, "stream": COUNT, "cache": cache}
    HuggingFace(root, "train", **settings)
    record = cache / "spool.json"
    known = json.loads(record.read_text())
    del known["names"]
    record.write_text(json.dumps(known))
    with monkeypatch.context() as patch:
        patch.setattr(huggingface, "spool", lambda *_: (_ for _ in ()).throw(UserError("cannot be written")))
        assert holds(HuggingFace(root, "train", **settings))
    assert holds(HuggingFace(root, "train", **settings))
    root.rename(tmp_path / "gone")
    assert HuggingFace(root, "train", **settings).classes == NAMES


def test_a_stream_that_is_not_whole_asks_its_source(tmp_path):
    root, cache = parquet(tmp_path / "p"), tmp_path / "cache"
    settings = {**COLUMNS, "cache": cache}
    HuggingFace(root, "train", stream=2, **settings)
    root.rename(tmp_path / "gone")
    assert len(HuggingFace(root, "train", stream=2, **settings)) == 2
    with pytest.raises(UserError, match="no folder"):
        HuggingFace(root, "train", stream=3, **settings)
    (cache / "masks/00000001.png").unlink()
    with pytest.raises(UserError, match="no folder"):
        HuggingFace(root, "train", stream=2, **settings)


def test_a_saved_dataset_is_streamed_too(tmp_path):
    saved(tmp_path / "one")
    assert holds(HuggingFace(tmp_path / "one", "train", stream=3, cache=tmp_path / "cache", **COLUMNS), 3)


def test_a_cache_of_another_stream_is_refused(tmp_path):
    root, cache = parquet(tmp_path / "p"), tmp_path / "cache"
    HuggingFace(root, "train", stream=1, cache=cache, **COLUMNS)
    with pytest.raises(UserError, match=r"holds samples of .*\"train\".* not of .*\"validation\""):
        HuggingFace(root, "validation", stream=1, cache=cache, **COLUMNS)
    with pytest.raises(UserError, match="needs a cache"):
        HuggingFace(root, "train", stream=1, **COLUMNS)


@pytest.mark.parametrize(
    "keywords, said",
    [
        ({"image": "photo"}, "no column 'photo'; it has image, label, objects"),
        ({"mask": "mask"}, "no column 'mask'"),
        ({"names": "nowhere"}, "no column 'nowhere'"),
        ({"names": None}, "column 'label' has no ClassLabel"),
        ({"classes": [{"name": "a", "color": [0, 0, 0]}]}, "gives colors"),
        ({"catch_all": "wall"}, "catch_all 'wall' is not one of the classes"),
        ({"classes": ["a", "a"]}, "'a' more than once"),
    ],
)
def test_wrong_settings(tmp_path, keywords, said):
    with pytest.raises(UserError, match=said):
        HuggingFace(saved(tmp_path / "one"), "train", **{**COLUMNS, **keywords})


def test_wrong_places(tmp_path):
    with pytest.raises(UserError, match=r"no folder .*nowhere; expected .*save_to_disk"):
        HuggingFace(tmp_path / "nowhere", "train", **COLUMNS)
    saved(tmp_path / "two", both=True)
    with pytest.raises(UserError, match=r"no split 'test' in .*; found: train, validation"):
        HuggingFace(tmp_path / "two", "test", **COLUMNS)
    parquet(tmp_path / "p")
    with pytest.raises(UserError, match=r"no split 'test' in .*found: data/train-00000-of-00002.parquet"):
        HuggingFace(tmp_path / "p", "test", **COLUMNS)
    (tmp_path / "p/data/test.parquet").write_bytes(b"PAR1 no parquet PAR1")
    for stream in (None, 2):
        with pytest.raises(UserError, match=r"dataset .*/p cannot be read \(.*\); correct"):
            HuggingFace(tmp_path / "p", "test", stream=stream, cache=tmp_path / "cache", **COLUMNS)


def test_paths_that_lead_out_of_a_saved_dataset(tmp_path):
    saved(tmp_path / "secret")
    root = saved(tmp_path / "two", both=True)
    (root / "dataset_dict.json").write_text('{"splits": ["../secret"]}')
    with pytest.raises(UserError, match=r"'\.\./secret', which is not inside"):
        HuggingFace(root, "../secret", **COLUMNS)
    state = json.loads((tmp_path / "secret/state.json").read_text())
    state["_data_files"] = [{"filename": "../two/train/data-00000-of-00001.arrow"}]
    (tmp_path / "secret/state.json").write_text(json.dumps(state))
    with pytest.raises(UserError, match="which is not inside"):
        HuggingFace(tmp_path / "secret", "train", **COLUMNS)


def test_wrong_rows(tmp_path):
    data = rows()
    data["image"][0] = {"bytes": None, "path": "/etc/passwd"}
    data["image"][1] = {"bytes": b"hello", "path": None}
    data["image"][2] = None
    data["label"][3] = encoded(np.full((8, 10), 7, np.uint8))
    data["label"][4] = encoded(image(0))
    struct = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns = {key: pa.array(data[key], struct) for key in ("image", "label")}
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    found = HuggingFace(tmp_path, "train", NAMES, mask="label", cache=tmp_path / "cache")
    for number, kind, said in (
        (0, "missing", r"00000000/image has no bytes \(only the path '/etc/passwd'\)"),
        (1, "format", "00000001/image is not a JPEG, PNG or WebP image"),
        (2, "format", "00000002/image is no image"),
        (3, "id", r"mask .*00000003/label has id 7; its ids must be 0\.\.2, 255"),
        (4, "format", "00000004/label holds colors"),
    ):
        with pytest.raises(BadFileError, match=said) as caught:
            found[number]
        assert caught.value.kind == kind
    with gather(), pytest.raises(UserError, match="00000000/image has no bytes"):
        HuggingFace(tmp_path, "train", NAMES, mask="label", stream=5, cache=tmp_path / "spool")


def test_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install \"mdpseg\[hf\]\""):
        HuggingFace(tmp_path, "train")
