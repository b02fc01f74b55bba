"""The data that the documents' recipes and commands name, made where their paths point; each dataset is opened.

Photographs are scenes of the embedded worlds, masks hold ids of the layout; a few public layouts take the files of
their readers' own tests. The readers meet the original files in tests/data/readers.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from mdpseg.config import DatasetConfig
from mdpseg.data.open import open_dataset
from mdpseg.data.readers.cityscapes import EVALUATED
from mdpseg.data.toy import ToyWorld
from tests.data.readers.files import write_image, write_lines, write_mask
from tests.documents import BLOCKS

SIZE = 64
SCENES = 24  # of a dataset in which `mdpseg data check` is to find each class
# Class lists that a page's text presumes: of MSRC what the page's merge file names, of theirs VOC's, of others "other".
MSRC = ["face", "body", "cow", "grass", "sky", "water", "tree"]
COLOURS = [(128, 64, 128), (0, 0, 142)]


def scenes(
    image: str,
    mask: str,
    world: str = "coarse",
    split: str = "train",
    raw: Sequence[int] | None = None,
    count: int = 4,
) -> None:
    """Writes scenes of an embedded world as ``image`` and ``mask``, in whose paths ``#`` is a scene's number.

    Args:
        image: path of the images.
        mask: path of the masks.
        world: which world.
        split: of the world; those of ``val`` are other scenes.
        raw: what stands in a mask for the world's ids 0, 1 ..., in each scene seven further; default: the ids.
        count: how many.
    """
    for number, sample in enumerate(ToyWorld(world, split=split, size=SIZE, count=count)):
        ids = sample.mask.numpy()
        if raw is not None:
            table = np.resize(np.roll(np.array(raw, np.uint8), -7 * number), 255)
            ids = np.append(table, np.uint8(255))[ids]
        for path, pixels in ((image, sample.image.permute(1, 2, 0).numpy()), (mask, ids)):
            target = Path(path.replace("#", f"{number:04d}"))
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(target)


def folder(root: str, names: Sequence[str] | None = None, world: str = "things", **more) -> None:
    """A dataset of reader ``folder`` with train and val."""
    names = names or ToyWorld(world).classes
    for split in ("train", "val"):
        places = (f"{root}/{part}/{split}/#.png" for part in ("images", "masks"))
        scenes(*places, world, split, raw=range(len(names)), **more)
    write_lines(Path(root, "classes.txt"), list(names))


def voc() -> None:
    root = Path("data/VOCdevkit/VOC2012")
    scenes(f"{root}/JPEGImages/2007_#.jpg", f"{root}/SegmentationClass/2007_#.png", raw=range(21), count=SCENES)
    shutil.copytree(root / "SegmentationClass", root / "SegmentationClassAug")
    for name in ("train", "train_aug"):
        write_lines(root / f"ImageSets/Segmentation/{name}.txt", [f"2007_{number:04d}" for number in range(SCENES)])
    shutil.copytree("data/VOCdevkit", "data/voc")  # of docs/settings.md


def downloaded_voc() -> None:
    """After :func:`voc`; not where a page downloads it itself."""
    shutil.copytree("data/VOCdevkit", "data/voc2012/VOCdevkit")


def city() -> None:
    for split in ("train", "val"):
        places = (f"{kind}/{split}/ulm/ulm_#_{ending}.png" for kind, ending in CITY_FILES)
        scenes(*(f"data/cityscapes/{place}" for place in places), split=split, raw=list(EVALUATED))


CITY_FILES = [("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds")]


def msrc() -> None:
    folder("data/msrc", MSRC, "coarse")


def town() -> None:
    folder("data/town", ["road", "car", "other"])


def camvid_folder() -> None:
    folder("data/camvid", world="fine")


def mine() -> None:
    folder("data/mine", count=SCENES)


def web() -> None:
    scenes("data/web/#.jpg", "data/web-masks/#.png")
    shutil.rmtree("data/web-masks")


def ade20k() -> None:
    root = "data/ADEChallengeData2016"
    scenes(f"{root}/images/training/#.jpg", f"{root}/annotations/training/#.png", "fine", raw=range(1, 151))


def coco() -> None:
    """Instances, panoptic segments and stuff maps of the same photographs; and an export that lies elsewhere."""
    from tests.data.readers import test_coco_instances as instances
    from tests.data.readers import test_coco_panoptic as panoptic

    root = Path("data/coco")
    root.mkdir(parents=True)
    instances.build(root, "images/train2017")
    panoptic.build(root, "images/train2017")
    for image in (root / "images/train2017").iterdir():
        mask = np.zeros(Image.open(image).size[::-1], np.uint8)
        path = root / f"stuffthingmaps/train2017/{image.stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
    instances.build(Path("data"), "photos")
    Path("data/annotations/instances_train2017.json").rename("data/export.json")


def public() -> None:
    """Those that differ in little but where files lie."""
    from tests.data import test_open_everywhere as everywhere
    from tests.data.readers import test_public_layouts as layouts

    everywhere.bdd100k(Path("data/bdd100k"))
    everywhere.camvid(Path("data"))
    layouts.vistas(Path("data/vistas"))
    layouts.vistas(Path("data/vistas"), "v1.2/labels", "config_v1.2.json")
    layouts.context(Path("data"))
    layouts.pets(Path("data/pets"))


def tiffs() -> None:
    pytest.importorskip("rasterio")
    from tests.data.test_open_everywhere import tiffs

    for name in ("satellite", "fields"):
        tiffs(Path("data", name))
        shutil.copytree(Path("data", name, "images/train"), Path("data", name, "images/val"))
        write_lines(Path("data", name, "classes.txt"), ["field", "forest"])


def listed() -> None:
    """The document's own list, with the files that it names."""
    (block,) = (block for block in BLOCKS if block.language == "text" and block.text.startswith("image,mask"))
    elsewhere = Path("elsewhere").resolve()  # for the absolute path of the document's list
    pairs = [line.replace("/elsewhere", str(elsewhere)) for line in block.text.splitlines()]
    write_lines(Path("data/train.csv"), pairs)
    scenes("data/photos/#.jpg", "data/labels/#.png", raw=[0, 1, 2], count=2)
    Path("data/photos/0000.jpg").rename("data/photos/a, b.jpg")
    Path("elsewhere").mkdir()
    Path("data/labels/0000.png").rename("elsewhere/b.png")


def hugging_face() -> None:
    """Saved to disk; and a folder owner/name, which ``datasets`` prefers to a repository of the hub."""
    pytest.importorskip("datasets")
    from tests.data.readers import test_huggingface as huggingface

    huggingface.saved(Path("data/saved"))
    Path("owner/name").mkdir(parents=True)
    huggingface.dataset().rename_column("image", "pixel_values").to_parquet("owner/name/train.parquet")
    write_lines(Path("data/sidewalk.txt"), huggingface.NAMES)


def coloured() -> None:
    folder("data/coloured", ["road", "car"], "coarse")
    for mask in Path("data/coloured/masks").rglob("*.png"):
        Image.fromarray(np.array(COLOURS, np.uint8)[np.asarray(Image.open(mask)) % 2]).save(mask)


def photographs() -> None:
    """What the reader has besides: photographs, and examples of a class."""
    folder("photos", count=SCENES)
    scenes("photographs/#.jpg", "cup-mask.png", count=1)
    shutil.copy("photographs/0000.jpg", "photo.jpg")
    shutil.copy("photographs/0000.jpg", "cup.jpg")
    scenes("more/images/#.jpg", "more/masks/#.png", split="val", count=2)
    for mask in (Path("cup-mask.png"), *Path("more/masks").iterdir()):
        Image.fromarray(np.uint8(255) * (np.asarray(Image.open(mask)) == 0)).save(mask)


# What writes the files of a path, by its beginning; a reader that needs an extra has a place of its own.
MAKERS: dict[str, Callable[[], None]] = {
    "data/VOCdevkit": voc,
    "data/voc": voc,
    "path: data/voc2012": downloaded_voc,
    "'path': 'data/voc2012'": downloaded_voc,
    "data/cityscapes": city,
    "data/mine": mine,
    "data/msrc": msrc,
    "data/town": town,
    "data/camvid": camvid_folder,
    "data/web": web,
    "data/ADEChallengeData2016": ade20k,
    "data/coco": coco,
    "data/photos": coco,
    "data/bdd100k": public,
    "data/vistas": public,
    "data/pets": public,
    "data/CamVid": public,
    "data/satellite": tiffs,
    "data/fields": tiffs,
    "data/train.csv": listed,
    "data/saved": hugging_face,
    "data/sidewalk.txt": hugging_face,
    "data/coloured": coloured,
    "photos": photographs,
}


def make_data(*texts: str) -> None:
    """Makes in the current folder whatever these recipes or commands name."""
    named = {maker for path, maker in MAKERS.items() if any(path in text for text in texts)}
    if any("data/VOCdevkit" in text and "pascal_context" in text for text in texts):
        named.add(public)
    for maker in sorted(named, key=list(dict.fromkeys(MAKERS.values())).index):
        maker()


def entries() -> list:
    """Each distinct dataset of the pages' recipes that is read from files, as (its name, entry)."""
    found = {}
    for block in BLOCKS:
        content = yaml.safe_load(block.text) if block.language == "yaml" and "reader:" in block.text else {}
        parts = content.get("datasets", []) + [content[key] for key in ("train", "val") if key in content]
        for entry in parts:
            if entry["reader"] not in ("toy", "shards"):
                found.setdefault(str(entry), pytest.param(entry, id=f"{block.name}-{entry['name']}"))
    return list(found.values())


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("entry", entries())
def test_each_dataset_of_a_recipe_is_made_and_opened(entry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_data(str(entry))
    if "hf" in entry and "stream" in entry["hf"]:
        entry = {**entry, "hf": {**entry["hf"], "stream": 4}}
    data = open_dataset(DatasetConfig.model_validate(entry), Path())
    assert len(data) >= 1
    ids = {int(value) for sample in data if sample.mask is not None for value in sample.mask.unique()} - {255}
    if not entry.get("unlabelled"):
        assert ids
        assert max(ids) < len(data.classes)


@pytest.mark.parametrize("block", [pytest.param(b, id=b.name) for b in BLOCKS if b.language == "text" and b.runs])
def test_files_that_a_page_lists_are_a_dataset(block, tmp_path, monkeypatch):
    """A list of pairs, or the names of a folder's files."""
    monkeypatch.chdir(tmp_path)
    if block.text.startswith("image,mask"):
        listed()
        entry = {"reader": "list", "path": "data/train.csv", "classes": ["road", "car", "sky"]}
        counts = {"train": block.text.count("\n") - 1}
    else:
        for path in map(Path, block.text.split()):
            assert path.suffix in (".jpg", ".png", ".txt")
            if path.suffix == ".txt":
                write_lines(path, ["road", "car"])
            else:
                write_mask(path, [0, 1]) if "masks" in path.parts else write_image(path)
        entry = {"reader": "folder", "path": "data/mine"}
        counts = {"train": 1, "val": 1}
    for split, count in counts.items():
        data = open_dataset(DatasetConfig.model_validate({"name": "mine", "split": split, **entry}), Path())
        assert len(list(data)) == count
