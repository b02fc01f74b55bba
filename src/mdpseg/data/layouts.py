"""Recognises datasets by what lies on the disk: one line a layout, and two folders of any spelling last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, get_args

from mdpseg.config import DatasetConfig
from mdpseg.data.recognise.coco import COCOFiles, roboflow
from mdpseg.data.recognise.folders import find_list, inner, matches
from mdpseg.data.recognise.found import Found
from mdpseg.data.recognise.huggingface import parquet, saved
from mdpseg.data.recognise.pair_lists import pair_lists
from mdpseg.data.recognise.two_folders import two_folders


class Finder(Protocol):
    """Whatever recognises one layout."""

    @property
    def reader(self) -> str:
        """Which reader reads it."""

    @property
    def title(self) -> str:
        """What it is, in words."""

    def find(self, folder: Path, /) -> Found | None:
        """The dataset, if it lies in the folder."""


@dataclass(frozen=True)
class Other:
    """A layout that takes more than patterns to recognise.

    Attributes:
        reader: which reader reads it.
        title: what it is, in words.
        find: the dataset, if it lies in a folder.
    """

    reader: str
    title: str
    find: Callable[[Path], Found | None]


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
        for part in ("", *self.below):
            root = folder / part
            if all(matches(root, pattern) for pattern in self.needs):
                splits = self.splits(root)
                if splits:
                    return Found(self.reader, self.title, root, {split: {"split": split} for split in splits})
        return None


def _folders(*places: str) -> Callable[[Path], list[str]]:
    """Splits are the folders of the first of the places that is there."""

    def splits(root: Path) -> list[str]:
        place = next((root / place for place in places if (root / place).is_dir()), None)
        return [] if place is None else inner(place)

    return splits


def _those(*names: str) -> Callable[[Path], list[str]]:
    """Splits are those of the names that are there as folders."""
    return lambda root: [name for name in names if (root / name).is_dir()]


def _stems(pattern: str) -> Callable[[Path], list[str]]:
    """Splits are the names of the files of a pattern."""
    return lambda root: [path.stem for path in sorted(root.glob(pattern))]


def _voc(root: Path) -> list[str]:
    """VOC's lists; a dataset with a class list of its own only borrowed the folders' names."""
    if find_list(root) is not None:
        return []
    return _stems("ImageSets/Segmentation/*.txt")(root)


def _camvid(root: Path) -> list[str]:
    """CamVid's folders; whoever arranged a dataset of another class list as SegNet did has other classes."""
    return [] if find_list(root) is not None else _those("train", "val", "test")(root)


def _shards(folder: Path) -> Found | None:
    """Shards in a folder for each split, or in the folder itself."""
    names = [name for name in inner(folder) if matches(folder / name, "*.tar")]
    splits = {name: {"split": name} for name in names} or ({"all": {}} if matches(folder, "*.tar") else {})
    return Found("shards", "shards", folder, splits, own=True, nameless=True) if splits else None


# Layouts whose reader the configuration does not know are passed over. Where others have taken over the folders' names
# of a layout, the files' names tell the original.
LAYOUTS: tuple[Finder, ...] = (
    Layout("voc2012", "PASCAL VOC 2012", ("JPEGImages/20??_*.jpg", "SegmentationClass", "ImageSets/Segmentation/*.txt"),
           _voc, ("VOC2012", "VOCdevkit/VOC2012")),
    Layout("pascal_context", "PASCAL Context", ("JPEGImages", "SegmentationClassContext"),
           _stems("ImageSets/SegmentationContext/*.txt"), ("VOC2010", "VOCdevkit/VOC2010")),
    Layout("ade20k", "ADE20K", ("images/*/ADE_*", "annotations/*/ADE_*"),
           _folders("images"), ("ADEChallengeData2016",)),
    Layout("cityscapes", "Cityscapes", ("leftImg8bit/*/*/*_leftImg8bit.png", "gtFine/*/*/*_labelIds.png"),
           _folders("leftImg8bit")),
    Layout("cocostuff", "COCO-Stuff", ("images/*2017/0000*",
           "stuffthingmaps/*2017/*.png|annotations/[tv]*2017/*.png"), _folders("images")),
    COCOFiles("coco_panoptic", "COCO panoptic", "panoptic"),
    COCOFiles("coco_instances", "COCO instances", "instances"),
    Layout("vistas_v2", "Mapillary Vistas 2.0", ("config_v2.0.json", "training/images|validation/images"),
           _those("training", "validation")),
    Layout("vistas_v1", "Mapillary Vistas 1.2", ("config_v1.2.json|config.json", "training/images|validation/images"),
           _those("training", "validation")),
    Layout("bdd100k", "BDD100K", ("images/10k/*|seg/images/*", "labels/sem_seg/masks/*|seg/labels/*"),
           _folders("images/10k", "seg/images"), ("bdd100k",)),
    Layout("oxford_pet", "Oxford-IIIT Pet", ("images", "annotations/trimaps", "annotations/trainval.txt"),
           lambda root: [name for name in ("trainval", "test") if (root / "annotations" / f"{name}.txt").is_file()]),
    Layout("camvid", "CamVid (SegNet)", ("|".join(f"{split}annot/{film}_*.png" for split in ("train", "val", "test")
           for film in ("0001TP", "0006R0", "0016E5", "Seq05VD")), "train|val|test"), _camvid, ("CamVid",)),
    Other("coco_instances", "Roboflow's COCO export (train/_annotations.coco.json)", roboflow),
    Other("huggingface", "Hugging Face's save_to_disk", saved),
    Other("huggingface", "parquet files (data/train-*.parquet)", parquet),
    Other("shards", "shards (*.tar)", _shards),
    Other("list", "lists of pairs (train.csv with lines such as photos/1.jpg,labels/1.png)", pair_lists),
)  # fmt: skip


def _known() -> list[Finder]:
    readers = get_args(DatasetConfig.model_fields["reader"].annotation)
    return [layout for layout in LAYOUTS if layout.reader in readers]


def titles() -> str:
    """All layouts in words, for messages."""
    return ", ".join(layout.title for layout in _known())


def recognise(folder: Path) -> Found | None:
    """What dataset lies in a folder; if it has no splits, it lacks what its remarks say."""
    lacking = None
    for layout in _known():
        found = layout.find(folder)
        if found and found.splits:
            return found
        lacking = lacking or found
    return two_folders(folder) or lacking
