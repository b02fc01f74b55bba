"""SBD as the part of VOC 2012 that reader ``voc2012`` knows as ``train_aug``."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from mdpseg.data.readers.subset import read_lines
from mdpseg.errors import UserError
from mdpseg.files import disk_faults_are_told, write_text

_VOC = Path("VOCdevkit") / "VOC2012"
_RELEASE = Path("benchmark_RELEASE") / "dataset"


def need_voc(out: Path) -> None:
    """Complains where VOC 2012 is not there yet, or scipy, which reads SBD's files."""
    try:
        import scipy.io  # noqa: F401
    except ImportError:
        raise UserError('SBD comes as MATLAB files, which scipy reads; pip install "mdpseg[sbd]".') from None
    if not (out / _VOC / "ImageSets" / "Segmentation").is_dir():
        raise UserError(
            f"SBD adds masks to the photographs of VOC 2012, which are not in {out}; first "
            f"`mdpseg data get voc2012 --out {out}`."
        )


def add_to_voc(out: Path) -> str:
    """Writes ``SegmentationClassAug`` and the list ``train_aug`` into VOC 2012.

    The list is VOC's train and all of SBD without VOC's val. Masks of VOC's own train are VOC's, the others SBD's.

    Args:
        out: the folder that holds ``VOCdevkit`` and ``benchmark_RELEASE``.

    Returns:
        A message of what was made.

    Raises:
        UserError: a file of SBD cannot be read, the disk is full, or masks or a list of somebody else are there.
    """
    voc, release = out / _VOC, out / _RELEASE
    lists = voc / "ImageSets" / "Segmentation"
    train, val = ({*read_lines(lists / f"{split}.txt", f"VOC's {split}.txt")} for split in ("train", "val"))
    # of VOC's val no SBD mask may be trained on
    theirs = {path.stem for path in (release / "cls").glob("*.mat")} - train - val
    masks, list_file = voc / "SegmentationClassAug", lists / "train_aug.txt"
    made = f"{masks}: {len(train)} masks of VOC, {len(theirs)} of SBD"
    there = masks.is_dir()
    if there:
        _check_what_is_there(masks, list_file, train | theirs)
        made += ", which were there already"
    else:
        unfinished = voc / ".unpacking-aug"
        shutil.rmtree(unfinished, ignore_errors=True)
        with disk_faults_are_told(masks):
            unfinished.mkdir()
            for key in sorted(theirs):
                Image.fromarray(_read_mat(release / "cls" / f"{key}.mat")).save(unfinished / f"{key}.png")
            for key in sorted(train):
                shutil.copyfile(voc / "SegmentationClass" / f"{key}.png", unfinished / f"{key}.png")
            unfinished.rename(masks)
    if not (there and list_file.is_file()):
        write_text(list_file, "".join(f"{key}\n" for key in sorted(train | theirs)))
    return made


def _check_what_is_there(masks: Path, list_file: Path, keys: set[str]) -> None:
    """Complains about masks that are not all, and about a list of others: somebody else made them."""
    absent = sorted(keys - {path.stem for path in masks.glob("*.png")})
    if absent:
        raise UserError(
            f"{masks} is there already and lacks {len(absent)} of the {len(keys)} masks of VOC's train and SBD, such "
            f"as {absent[0]}.png; nothing was changed. Move it away, and they are made by the same command."
        )
    if list_file.is_file() and {*read_lines(list_file, f"VOC's {list_file.name}")} != keys:
        raise UserError(
            f"{list_file} is there already and lists other images than VOC's train and SBD; nothing was changed. Move "
            "it away, and it is written by the same command."
        )


def _read_mat(path: Path) -> np.ndarray:
    """The mask in SBD's GTcls.Segmentation, uint8 [H, W]."""
    from scipy.io import loadmat

    try:
        mask = loadmat(path)["GTcls"][0]["Segmentation"][0]
    except Exception as error:  # scipy raises many kinds
        raise UserError(
            f"{path} cannot be read ({type(error).__name__}); remove benchmark_RELEASE and get it again."
        ) from None
    if mask.dtype != np.uint8 or mask.ndim != 2 or mask.max(initial=0) > 20:
        raise UserError(f"{path} holds no mask of VOC's classes; remove benchmark_RELEASE and get it again.")
    return np.ascontiguousarray(mask)
