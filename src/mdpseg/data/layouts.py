"""Recognises datasets by what lies on the disk: one line a public layout, and two folders of any spelling last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from mdpseg.config import DatasetConfig
from mdpseg.data.readers.decode import IMAGE_SUFFIXES

TRAIN = ("train", "training", "train2017", "trainval", "trn", "tr")
VAL = ("val", "validation", "val2017", "valid", "dev", "test", "testing", "test2017")
IMAGES = (
    *("images", "image", "imgs", "img", "jpegimages", "jpgs", "pngimages", "photos", "photographs", "pictures"),
    *("rgb", "input", "inputs", "frames", "data", "x", "raw", "original", "originals", "leftimg8bit"),
)
MASKS = (
    *("masks", "mask", "labels", "label", "annotations", "annotation", "anns", "ann", "annots", "annot"),
    *("segmentationclass", "segmentationclasspng", "segmentationclassraw", "segmentations", "segmentation", "segs"),
    *("seg", "gt", "gts", "groundtruth", "groundtruths", "targets", "target", "y", "labelids", "classes", "trimaps"),
)
LISTS = ("classes.txt", "classes.yaml", "classes.yml", "class_names.txt", "class_list.txt", "labels.txt", "names.txt")


@dataclass(frozen=True)
class Found:
    """A recognised dataset.

    Attributes:
        reader: which reader reads it.
        title: what it is, in words.
        root: its folder.
        splits: name of each split, in their order -> the keys of its entry that differ from split to split.
        keys: further keys of each entry.
    """

    reader: str
    title: str
    root: Path
    splits: dict[str, dict[str, Any]]
    keys: dict[str, Any] = field(default_factory=dict)

    def role(self, names: Sequence[str]) -> str | None:
        """The first of the names that is one of the splits."""
        return next((split for name in names for split in self.splits if split.lower() == name), None)


@dataclass(frozen=True)
class Layout:
    """A public layout.

    Attributes:
        reader: which reader reads it.
        title: what it is, in words.
        needs: patterns (globs) below the root, each with a match.
        splits: names the splits of a root.
        below: folders in which the layout may lie, beside the given folder itself.
    """

    reader: str
    title: str
    needs: tuple[str, ...]
    splits: Callable[[Path], list[str]]
    below: tuple[str, ...] = ()

    def find(self, folder: Path) -> Found | None:
        """The dataset, if it lies in the folder."""
        for inner in ("", *self.below):
            root = folder / inner
            if all(_any(root, pattern) for pattern in self.needs):
                splits = self.splits(root)
                if splits:
                    return Found(self.reader, self.title, root, {split: {"split": split} for split in splits})
        return None


def _any(root: Path, pattern: str) -> bool:
    """Whether something matches; a pattern may have several spellings, ``a|b``."""
    return any(next(root.glob(spelling), None) is not None for spelling in pattern.split("|"))


def _folders(*places: str) -> Callable[[Path], list[str]]:
    """Splits are the folders of the first of the places that is there."""

    def splits(root: Path) -> list[str]:
        place = next((root / place for place in places if (root / place).is_dir()), None)
        return [] if place is None else _inner(place)

    return splits


def _those(*names: str) -> Callable[[Path], list[str]]:
    """Splits are those of the names that are there as folders."""
    return lambda root: [name for name in names if (root / name).is_dir()]


def _stems(pattern: str, prefix: str = "") -> Callable[[Path], list[str]]:
    """Splits are the names of the files of a pattern."""
    return lambda root: [path.stem.removeprefix(prefix) for path in sorted(root.glob(pattern))]


def _inner(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _voc(root: Path) -> list[str]:
    """VOC's lists; a dataset with a class list of its own only borrowed the folders' names."""
    if find_list(root) is not None:
        return []
    return _stems("ImageSets/Segmentation/*.txt")(root)


def _shards(root: Path) -> list[str]:
    return [name for name in _inner(root) if _any(root / name, "*.tar")]


# Layouts whose reader the configuration does not know are passed over. Where others have taken over the folders' names
# of a layout, the files' names tell the original.
LAYOUTS: tuple[Layout, ...] = (
    Layout("voc2012", "PASCAL VOC 2012", ("JPEGImages/20??_*.jpg", "SegmentationClass", "ImageSets/Segmentation/*.txt"),
           _voc, ("VOC2012", "VOCdevkit/VOC2012")),
    Layout("pascal_context", "PASCAL Context", ("JPEGImages", "SegmentationClassContext"),
           _stems("ImageSets/SegmentationContext/*.txt"), ("VOC2010", "VOCdevkit/VOC2010")),
    Layout("ade20k", "ADE20K", ("images/*/ADE_*", "annotations/*/ADE_*"),
           _folders("images"), ("ADEChallengeData2016",)),
    Layout("cityscapes", "Cityscapes", ("leftImg8bit/*/*/*_leftImg8bit.png", "gtFine/*/*/*_labelIds.png"),
           _folders("leftImg8bit")),
    Layout("cocostuff", "COCO-Stuff", ("images/*2017/0000*", "stuffthingmaps/*2017/*.png|annotations/*2017/*.png"),
           _folders("images")),
    Layout("coco_panoptic", "COCO panoptic", ("annotations/panoptic_*.json",),
           _stems("annotations/panoptic_*.json", "panoptic_")),
    Layout("coco_instances", "COCO instances", ("annotations/instances_*.json",),
           _stems("annotations/instances_*.json", "instances_")),
    Layout("vistas_v2", "Mapillary Vistas 2.0", ("config_v2.0.json", "training/images|validation/images"),
           _those("training", "validation")),
    Layout("vistas_v1", "Mapillary Vistas 1.2", ("config_v1.2.json|config.json", "training/images|validation/images"),
           _those("training", "validation")),
    Layout("bdd100k", "BDD100K", ("images/10k/*|seg/images/*", "labels/sem_seg/masks/*|seg/labels/*"),
           _folders("images/10k", "seg/images"), ("bdd100k",)),
    Layout("oxford_pet", "Oxford-IIIT Pet", ("images", "annotations/trimaps", "annotations/trainval.txt"),
           lambda root: [name for name in ("trainval", "test") if (root / "annotations" / f"{name}.txt").is_file()]),
    Layout("camvid", "CamVid (SegNet)", ("trainannot/*.png|valannot/*.png", "train|val"),
           _those("train", "val", "test"), ("CamVid",)),
    Layout("list", "lists of pairs", ("train.csv|train.tsv", "classes.txt|classes.yaml"), _stems("*.[ct]sv")),
    Layout("shards", "shards", ("*/*.tar",), _shards),
)  # fmt: skip


def recognise(folder: Path) -> Found | None:
    """What dataset lies in a folder, if it is one that can be read."""
    known = get_args(DatasetConfig.model_fields["reader"].annotation)
    found = next((found for layout in LAYOUTS if layout.reader in known and (found := layout.find(folder))), None)
    if found is None and _any(folder, "*.tar"):
        return Found("shards", "shards", folder, {"all": {}})
    return found or _two_folders(folder)


def _two_folders(folder: Path) -> Found | None:
    """Images and masks in folders of any common spelling, above, below or without folders of splits."""
    inner = _inner(folder)
    for root in [folder, *(folder / name for name in inner if len(inner) == 1)]:
        splits = dict(_pairs_of_folders(root))
        if splits:
            named = {split: keys for split, keys in splits.items() if split.lower() in TRAIN + VAL}
            ordered = dict(sorted((named or splits).items(), key=lambda item: _rank(item[0])))
            return Found("folder", "two folders", root, ordered)
    return None


def _rank(split: str) -> int:
    order = TRAIN + VAL
    return order.index(split.lower()) if split.lower() in order else len(order)


def _pairs_of_folders(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    inner = _inner(root)
    images, masks = (_named(root, names) for names in (IMAGES, MASKS))
    if images and masks:  # images/train, masks/train; or no splits
        common = [name for name in _inner(images) if (masks / name).is_dir() and name.lower() in TRAIN + VAL]
        for split in common:
            if has_images(images / split):
                yield split, {"images": images / split, "masks": masks / split}
        if not common and has_images(images):
            lists = {
                path.stem: path for place in (root, *root.glob("ImageSets/*")) for path in sorted(place.glob("*.txt"))
            }
            listed = {name: path for name, path in lists.items() if name.lower() in TRAIN + VAL}
            for split, path in listed.items():
                yield split, {"images": images, "masks": masks, "subset": {"list": path}}
            if not listed:
                yield "all", {"images": images, "masks": masks}
        return
    for split in inner:
        if split.lower() not in TRAIN + VAL:
            continue
        images, masks = (_named(root / split, names) for names in (IMAGES, MASKS))
        if images and masks and has_images(images):  # train/images, train/masks
            yield split, {"images": images, "masks": masks}
        for other in inner:  # train, trainannot
            ending = _plain(other.removeprefix(split))
            if other != split and other.startswith(split) and ending in MASKS and has_images(root / split):
                yield split, {"images": root / split, "masks": root / other}


def _named(root: Path, names: Sequence[str]) -> Path | None:
    """The folder with the first of the names, whatever its case and hyphens."""
    by_name = {_plain(name): root / name for name in _inner(root)}
    return next((by_name[name] for name in names if name in by_name), None)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def has_images(folder: Path) -> bool:
    """Whether an image lies in a folder or in one below it."""
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.rglob("*"))


def find_list(root: Path) -> Path | None:
    """A class list in a folder."""
    return next((root / name for name in LISTS if (root / name).is_file()), None)


def seen(folder: Path) -> str:
    """What lies in a folder, in a few words, for messages."""
    if not folder.is_dir():
        return "it is no folder"
    inner = _inner(folder)
    files = sum(path.is_file() for path in folder.iterdir())
    return f"folders {', '.join(inner[:12]) or 'none'}{' ...' if inner[12:] else ''}, and {files} files"
