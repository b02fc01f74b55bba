"""All readers by their names in a recipe: opened, checked, and three of them pretrained on together."""

import numpy as np
import pytest

import mdpseg
from mdpseg.config import DatasetConfig, PretrainConfig
from mdpseg.data.check import check
from mdpseg.data.open import open_dataset
from mdpseg.errors import UserError
from mdpseg.recipe import load
from tests import tiny
from tests.data.readers import test_coco_instances as instances
from tests.data.readers import test_coco_panoptic as panoptic
from tests.data.readers import test_huggingface as huggingface
from tests.data.readers import test_pair_list as pair_list
from tests.data.readers import test_public_layouts as layouts
from tests.data.readers import test_tiff as tiff
from tests.data.readers.files import write_image, write_mask


def camvid(root):
    write_image(root / "CamVid/train/a.png")
    write_mask(root / "CamVid/trainannot/a.png", [0, 10, 11])


def bdd100k(root):
    write_image(root / "images/10k/train/a.jpg")
    write_mask(root / "labels/sem_seg/masks/train/a.png", [0, 18, 255])


def tiffs(root):
    tiff.write_tiff(root / "images/train/a.tif", tiff.scene())
    tiff.write_tiff(root / "masks/train/a.tif", np.resize([0, 1, 255], (1, 8, 10)).astype(np.uint8))


def pairs(root):
    pair_list.build(root, pair_list.LISTS["train.csv"])


# name -> what writes its files, more of its entry, images, classes, catch-all
CASES = {
    "coco_instances": (instances.build, {}, 3, 4, "background"),
    "coco_panoptic": (panoptic.build, {}, 2, 3, None),
    "huggingface": (huggingface.saved, {"hf": huggingface.COLUMNS}, 5, 3, None),
    "list": (
        lambda root: pair_list.build(root, pair_list.LISTS["train.csv"]),
        {"classes": ["a", "b", "c"]},
        4,
        3,
        None,
    ),
    "vistas_v1": (lambda root: layouts.vistas(root, "labels", "config.json"), {}, 1, 3, None),
    "vistas_v2": (layouts.vistas, {}, 1, 3, None),
    "pascal_context": (layouts.context, {}, 2, 60, "background"),
    "pascal_context59": (layouts.context, {}, 2, 59, None),
    "bdd100k": (bdd100k, {}, 1, 19, None),
    "oxford_pet": (layouts.pets, {}, 1, 2, "background"),
    "oxford_pet_breeds": (layouts.pets, {}, 1, 3, "background"),
    "camvid": (camvid, {}, 1, 11, None),
    "folder": (tiffs, {"tiff": {"bands": [5, 3, 1], "range": [0, 4000]}, "classes": ["a", "b"]}, 1, 2, None),
}


pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.mark.parametrize("reader", CASES)
def test_by_its_name(reader, tmp_path):
    write, more, count, classes, catch_all = CASES[reader]
    write(tmp_path / "d") if reader in ("folder", "huggingface") else write(made(tmp_path / "d"))
    entry = {"name": "mine", "reader": reader, "path": "d", **more}
    data = open_dataset(DatasetConfig.model_validate(entry), tmp_path)
    assert (len(data), len(data.classes), data.catch_all, data.name) == (count, classes, catch_all, "mine")
    values = {int(value) for sample in data for value in sample.mask.unique()}
    assert values <= {*range(classes), 255}
    bare = open_dataset(
        DatasetConfig.model_validate({**entry, "unlabelled": True, "classes": more.get("classes")}), tmp_path
    )
    assert bare[0].image.equal(data[0].image)
    recipe = tiny.write_recipe(tmp_path / "r.yaml", tiny.pretraining(tmp_path / "out", datasets=[entry]))
    report = check(recipe, [f"data_root={tmp_path}"], workers=0)
    assert {problem.kind for problem in report.problems} <= {"absent", "near", "duplicate"}
    assert [len(part.names) for part in report.parts] == [count]


def made(folder):
    folder.mkdir()
    return folder


def test_data_check_lists_what_is_wrong(tmp_path):
    """A recipe over three readers, each with one fault, and all three are told."""
    outlines = [*instances.ANNOTATIONS, instances.annotation(9, 8, 1, [[1, 1, 2, 2]])]
    instances.build(made(tmp_path / "coco"), what=instances.content(outlines))
    tiffs(tmp_path / "tiff")
    tiff.write_tiff(tmp_path / "tiff/masks/train/a.tif", np.full((1, 8, 10), 300, np.uint16))
    path = pair_list.build(tmp_path / "list", pair_list.LISTS["train.csv"])
    (tmp_path / "list/labels/0.png").unlink()
    datasets = [
        {"name": "coco", "reader": "coco_instances", "path": "coco"},
        {"name": "tiff", "reader": "folder", "path": "tiff", "classes": ["a", "b"], "tiff": {"range": [0, 4000]}},
        {"name": "list", "reader": "list", "path": str(path), "classes": ["a", "b", "c"]},
    ]
    recipe = tiny.write_recipe(tmp_path / "r.yaml", tiny.pretraining(tmp_path / "out", datasets=datasets))
    problems = check(recipe, [f"data_root={tmp_path}"], workers=0).problems
    found = {(p.kind, p.dataset) for p in problems if p.kind not in ("absent", "near", "duplicate")}
    assert found == {("missing", "list"), ("format", "coco"), ("id", "tiff")}


@pytest.mark.slow
def test_pretraining_on_three_of_them(tmp_path, mdpseg_command):
    instances.build(made(tmp_path / "coco"))
    huggingface.parquet(tmp_path / "hf")
    tiffs(tmp_path / "tiff")
    datasets = [
        {"name": "coco", "reader": "coco_instances", "path": "coco", "split": "train"},
        {
            "name": "hub",
            "reader": "huggingface",
            "path": "hf",
            "hf": {**huggingface.COLUMNS, "stream": 4, "cache": "spool"},
        },
        {"name": "sat", "reader": "folder", "path": "tiff", "classes": ["a", "b"], "tiff": {"range": [0, 4000]}},
    ]
    content = tiny.pretraining(
        tmp_path / "run", datasets=datasets, iterations=2, data_root=str(tmp_path), sampling="equal"
    )
    recipe = tiny.write_recipe(tmp_path / "r.yaml", content)
    code, _, err = mdpseg_command("pretrain", recipe)
    assert code == 0, err
    records = tiny.losses(tmp_path / "run")
    assert len(records) == 2
    assert all(np.isfinite(record["loss"]) for record in records)
    assert len(list((tmp_path / "spool/images").iterdir())) == 4
    again = mdpseg.pretrain(load(content | {"out": str(tmp_path / "again"), "workers": 2}, PretrainConfig))
    assert tiny.same(tiny.tensors(tmp_path / "run"), tiny.tensors(again.out))


@pytest.mark.parametrize(
    "entry, said",
    [
        ({"reader": "camvid"}, "needs `path`"),
        ({"reader": "huggingface"}, "hf: {hub: owner/name}"),
        ({"reader": "huggingface", "path": "d", "hf": {"hub": "a/b"}}, "give one of them"),
        ({"reader": "huggingface", "path": "d", "hf": {"stream": 5}}, "no `cache`"),
        ({"reader": "huggingface", "hf": {"hub": "../b"}}, "hf.hub"),
        ({"reader": "camvid", "path": "d", "hf": {}}, "`hf`, which is for reader huggingface"),
        ({"reader": "camvid", "path": "d", "tiff": {}}, "`tiff`, which is for reader folder or list"),
        ({"reader": "folder", "path": "d", "tiff": {"range": [5, 5]}}, "low < high"),
        ({"reader": "folder", "path": "d", "tiff": {"bands": [0, 1, 2]}}, "tiff.bands"),
    ],
)
def test_entries_that_say_too_little_or_too_much(entry, said, tmp_path):
    with pytest.raises(UserError, match=said.replace("{", r"\{")):
        load(tiny.pretraining(tmp_path, datasets=[{"name": "m", **entry}]), PretrainConfig)
