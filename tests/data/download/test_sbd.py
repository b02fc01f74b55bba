import errno
import os
import shutil

import numpy as np
import pytest
import scipy.io

from mdpseg.data.download.sbd import add_to_voc
from mdpseg.errors import UserError
from tests.data.readers.files import write_lines, write_mask


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    voc = tmp_path / "VOCdevkit" / "VOC2012"
    write_lines(voc / "ImageSets/Segmentation/train.txt", ["a"])
    write_lines(voc / "ImageSets/Segmentation/val.txt", ["b"])
    write_mask(voc / "SegmentationClass/a.png", [0])

    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(UserError, match="SegmentationClassAug cannot be written, the disk is full"):
            add_to_voc(tmp_path)
    assert not (voc / "SegmentationClassAug").exists()
    assert "1 masks of VOC, 0 of SBD" in add_to_voc(tmp_path)


def release(root):
    """VOC with one photograph, and SBD with another."""
    lists = root / "VOCdevkit/VOC2012/ImageSets/Segmentation"
    write_lines(lists / "train.txt", ["a"])
    write_lines(lists / "val.txt", ["b"])
    write_mask(root / "VOCdevkit/VOC2012/SegmentationClass/a.png", [0])
    cls = root / "benchmark_RELEASE/dataset/cls"
    cls.mkdir(parents=True)
    scipy.io.savemat(cls / "c.mat", {"GTcls": {"Segmentation": np.full((8, 10), 3, np.uint8)}})
    return root / "VOCdevkit/VOC2012/SegmentationClassAug", lists / "train_aug.txt"


def test_masks_and_lists_of_others_stay(tmp_path):
    masks, list_file = release(tmp_path)
    write_mask(masks / "c.png", [7])
    write_lines(list_file, ["c"])
    before = (masks / "c.png").read_bytes(), list_file.read_bytes()
    with pytest.raises(UserError, match=r"lacks 1 of the 2 masks .*such as a\.png; nothing was changed"):
        add_to_voc(tmp_path)
    write_mask(masks / "a.png", [0])
    with pytest.raises(UserError, match=r"train_aug\.txt is there already and lists other images"):
        add_to_voc(tmp_path)
    assert before == ((masks / "c.png").read_bytes(), list_file.read_bytes())
    list_file.unlink()
    assert "which were there already" in add_to_voc(tmp_path)
    assert list_file.read_text() == "a\nc\n"
    assert (masks / "c.png").read_bytes() == before[0]


def test_a_second_time_has_nothing_to_do(tmp_path):
    masks, list_file = release(tmp_path)
    said = add_to_voc(tmp_path)
    assert said.endswith("1 masks of VOC, 1 of SBD")
    stamps = [path.stat().st_mtime_ns for path in (masks / "c.png", list_file)]
    assert add_to_voc(tmp_path).startswith(said)
    assert [path.stat().st_mtime_ns for path in (masks / "c.png", list_file)] == stamps
