"""What lies in folders, by the names of files and folders."""

from __future__ import annotations

from pathlib import Path

from mdpseg.data.readers.decode import IMAGE_SUFFIXES
from mdpseg.data.readers.tiff import TIFF_SUFFIXES

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


def inner(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted, without hidden ones."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def plain(name: str) -> str:
    """A name without case, hyphens and spaces, as :data:`IMAGES` and :data:`MASKS` have them."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def matches(root: Path, pattern: str) -> bool:
    """Whether something matches a glob; it may have several spellings, ``a|b``."""
    return any(next(root.glob(spelling), None) is not None for spelling in pattern.split("|"))


def has_images(folder: Path, deep: bool = True) -> bool:
    """Whether an image lies in a folder or, if ``deep``, in one below it."""
    if not folder.is_dir():
        return False
    files = folder.rglob("*") if deep else folder.iterdir()
    return any(path.suffix.lower() in (*IMAGE_SUFFIXES, *TIFF_SUFFIXES) for path in files)


def find_list(root: Path) -> Path | None:
    """A class list in a folder."""
    return next((root / name for name in LISTS if (root / name).is_file()), None)


def seen(folder: Path) -> str:
    """What lies in a folder, in a few words, for messages."""
    if not folder.is_dir():
        return "it is no folder"
    names = inner(folder)
    files = sum(path.is_file() for path in folder.iterdir())
    return f"folders {', '.join(names[:12]) or 'none'}{' ...' if names[12:] else ''}, and {files} files"
