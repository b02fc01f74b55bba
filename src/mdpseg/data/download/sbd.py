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
        UserError: a file of SBD cannot be read, or the disk is full.
    """
    voc, release = out / _VOC, out / _RELEASE
    lists = voc / "ImageSets" / "Segmentation"
    train, val = ({*read_lines(lists / f"{split}.txt", f"VOC's {split}.txt")} for split in ("train", "val"))
    # of VOC's val no SBD mask may be trained on
    theirs = {path.stem for path in (release / "cls").glob("*.mat")} - train - val
    masks = voc / "SegmentationClassAug"
    if not masks.is_dir():
        unfinished = voc / ".unpacking-aug"
        shutil.rmtree(unfinished, ignore_errors=True)
        with disk_faults_are_told(masks):
            unfinished.mkdir()
            for key in sorted(theirs):
                Image.fromarray(_read_mat(release / "cls" / f"{key}.mat")).save(unfinished / f"{key}.png")
            for key in sorted(train):
                shutil.copyfile(voc / "SegmentationClass" / f"{key}.png", unfinished / f"{key}.png")
            unfinished.rename(masks)
    write_text(lists / "train_aug.txt", "".join(f"{key}\n" for key in sorted(train | theirs)))
    return f"{masks}: {len(train)} masks of VOC, {len(theirs)} of SBD"


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
