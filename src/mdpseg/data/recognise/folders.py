"""What lies in folders, by the names of files and folders."""

from __future__ import annotations

from pathlib import Path

from mdpseg.data.readers.decode import IMAGE_SUFFIXES
from mdpseg.data.readers.layout import walk
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
    """Names of the folders in a folder, sorted, without hidden ones and what macOS puts into archives."""
    return sorted(
        p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name != "__MACOSX"
    )


def plain(name: str) -> str:
    """A name without case, hyphens and spaces, as :data:`IMAGES` and :data:`MASKS` have them."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def matches(root: Path, pattern: str) -> bool:
    """Whether something matches a glob; it may have several spellings, ``a|b``."""
    return any(next(root.glob(spelling), None) is not None for spelling in pattern.split("|"))


def has_images(folder: Path, deep: bool = True) -> bool:
    """Whether an image that readers take, no hidden one, lies in a folder or, if ``deep``, in one below it."""
    if not folder.is_dir():
        return False
    return any(map(_is_image, walk(folder))) if deep else bool(loose_images(folder))


def loose_images(folder: Path) -> list[Path]:
    """The images in a folder itself."""
    return sorted(path for path in folder.iterdir() if _is_image(path))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in (*IMAGE_SUFFIXES, *TIFF_SUFFIXES) and not path.name.startswith(".")


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
