"""Folders of save_to_disk and of parquet files, and which of their columns are taken."""

import io

import numpy as np
import pytest
from PIL import Image

from mdpseg.config import FinetuneConfig, PretrainConfig
from mdpseg.data.layouts import recognise
from mdpseg.data.open import open_dataset
from mdpseg.data.start import start
from mdpseg.errors import UserError
from mdpseg.recipe import load

datasets = pytest.importorskip("datasets")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NAMES = ["road", "car", "sky"]


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def encoded(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def photograph(number):
    return encoded(np.random.default_rng(number).integers(0, 256, (8, 10, 3), dtype=np.uint8))


def mask(number):
    return np.random.default_rng(100 + number).choice(np.array([1, 1, 2, 255], np.uint8), (8, 10))


def rows(image="pixel_values", masks="label", count=3, matrix=False, **more):
    """A dataset of images and masks, as files or as lists of lists."""
    columns = {
        image: [photograph(i) for i in range(count)],
        masks: [mask(i).tolist() if matrix else encoded(mask(i)) for i in range(count)],
        **{name: values for name, (values, _) in more.items()},
    }
    kind = datasets.List(datasets.List(datasets.Value("uint8"))) if matrix else datasets.Image()
    features = {image: datasets.Image(), masks: kind, **{name: feature for name, (_, feature) in more.items()}}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def entry_of(root, tmp_path):
    start([root], tmp_path / "recipe.yaml")
    (entry,) = load(tmp_path / "recipe.yaml", PretrainConfig).datasets
    return entry


def test_saved_to_disk(tmp_path):
    root = tmp_path / "streets"
    datasets.DatasetDict({"train": rows(), "validation": rows(count=1)}).save_to_disk(root)
    entry = entry_of(root, tmp_path)
    assert (entry.name, entry.reader, entry.hf.image, entry.hf.mask) == (
        "streets",
        "huggingface",
        "pixel_values",
        "label",
    )
    reader = open_dataset(entry)
    assert reader.classes == ["class_0", "class_1", "class_2"]  # 0 is in no mask, and 2 the largest
    assert np.array_equal(reader[1].mask, mask(1))
    finetune = load(tmp_path / "recipe-finetune.yaml", FinetuneConfig)
    assert len(open_dataset(finetune.val)) == 1


def test_saved_of_one_split(tmp_path):
    rows().save_to_disk(tmp_path / "d")
    assert len(open_dataset(entry_of(tmp_path / "d", tmp_path))) == 3


@pytest.mark.parametrize(
    "names",
    [
        ("data/train-00000-of-00001.parquet", "data/validation-00000-of-00001.parquet"),
        (
            "data/train-00000-of-00001-a1b2c3d4e5f60718.parquet",
            "data/validation-00000-of-00001-b1b2c3d4e5f60718.parquet",
        ),
        ("train.parquet", "validation.parquet"),
        ("train/0000.parquet", "validation/0000.parquet"),
        ("default/train/0000.parquet", "default/validation/0000.parquet"),
    ],
)
def test_parquet(tmp_path, names):
    for name, count in zip(names, (3, 2), strict=True):
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        rows(count=count).to_parquet(tmp_path / "d" / name)
    assert len(open_dataset(entry_of(tmp_path / "d", tmp_path))) == 3
    assert len(open_dataset(load(tmp_path / "recipe-finetune.yaml", FinetuneConfig).val)) == 2


@pytest.mark.parametrize("digest", ["", "-a1b2c3d4e5f6071"])
def test_parquet_of_several_files_is_one_split(tmp_path, digest):
    (tmp_path / "d").mkdir()
    for number in range(3):
        rows(count=2).to_parquet(tmp_path / f"d/train-{number:05d}-of-00003{digest and f'{digest}{number}'}.parquet")
    assert list(recognise(tmp_path / "d").splits) == ["train"]
    assert len(open_dataset(entry_of(tmp_path / "d", tmp_path))) == 6


def test_parquet_that_somebody_else_wrote(tmp_path):
    files = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {
        "number": pa.array([1, 2]),
        "image": pa.array([photograph(i) for i in range(2)], files),
        "mask": pa.array([mask(i).tolist() for i in range(2)], pa.list_(pa.list_(pa.uint8()))),
    }
    (tmp_path / "d").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "d/train.parquet")
    found = recognise(tmp_path / "d")
    assert found.keys == {"hf": {"image": "image", "mask": "mask"}}
    assert np.array_equal(open_dataset(entry_of(tmp_path / "d", tmp_path))[1].mask, mask(1))


@pytest.mark.parametrize("image, masks", [("img", "semantic_mask"), ("x", "segmentation"), ("photo", "z"), ("q", "gt")])
@pytest.mark.parametrize("matrix", [False, True])
def test_columns_are_told_by_their_names(tmp_path, image, masks, matrix):
    rows(image, masks, matrix=matrix, caption=(["?"] * 3, datasets.Value("string"))).save_to_disk(tmp_path / "d")
    assert recognise(tmp_path / "d").keys == {"hf": {"image": image, "mask": masks}}


@pytest.mark.parametrize("kind", ["saved", "parquet"])
def test_columns_that_tell_nothing_are_said(tmp_path, kind):
    (tmp_path / "d").mkdir()
    data = rows("a", "b")
    data.save_to_disk(tmp_path / "d") if kind == "saved" else data.to_parquet(tmp_path / "d/train.parquet")
    with pytest.raises(UserError, match=r"Its columns \(a, b\) do not tell .* `hf: \{image: COLUMN, mask: COLUMN\}`"):
        start([tmp_path / "d"], tmp_path / "r.yaml")


def test_classes_of_a_class_label_are_not_written_again(tmp_path):
    data = rows(count=2)
    named = datasets.List(datasets.List(datasets.ClassLabel(names=NAMES)))
    columns = {"pixel_values": data["pixel_values"], "label": [[[0, 1], [2, 2]]] * 2}
    features = datasets.Features({"pixel_values": datasets.Image(), "label": named})
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(tmp_path / "d")
    assert open_dataset(entry_of(tmp_path / "d", tmp_path)).classes == NAMES
    assert not (tmp_path / "d-classes.txt").exists()


def test_another_columns_class_names_are_pointed_at(tmp_path):
    objects = ([[0, 1]] * 3, datasets.List(datasets.ClassLabel(names=NAMES)))
    rows(objects=objects).save_to_disk(tmp_path / "d")
    entry_of(tmp_path / "d", tmp_path)
    assert (
        "# If column objects has the masks' class names, write `names: objects`"
        in (tmp_path / "recipe.yaml").read_text()
    )


def test_a_column_cannot_forge_a_setting(tmp_path):
    rows(**{"x\nout: elsewhere": (["?"] * 3, datasets.Value("string"))}).save_to_disk(tmp_path / "d")
    entry_of(tmp_path / "d", tmp_path)
    assert load(tmp_path / "recipe.yaml", PretrainConfig).out.name == "recipe"


def test_masks_of_colours_are_refused_in_one_message(tmp_path):
    data = rows()
    data = data.map(lambda row, i: {"label": photograph(i)}, with_indices=True, features=data.features)
    data.save_to_disk(tmp_path / "d")
    with pytest.raises(UserError, match=r"holds colors \(RGB\)"):
        start([tmp_path / "d"], tmp_path / "r.yaml")


def test_a_damaged_description_is_no_dataset(tmp_path):
    rows().save_to_disk(tmp_path / "d")
    (tmp_path / "d/dataset_info.json").write_text("{")
    (tmp_path / "p").mkdir()
    (tmp_path / "p/train.parquet").write_bytes(b"PAR1")
    for name in "dp":
        assert recognise(tmp_path / name).splits == {}


def test_several_datasets_side_by_side_are_not_one(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "all" / name / "data").mkdir(parents=True)
        rows().to_parquet(tmp_path / "all" / name / "data/train.parquet")
    said = start([tmp_path / "all"], tmp_path / "recipe.yaml")
    assert [line.partition(":")[0] for line in said[:2]] == ["a", "b"]
