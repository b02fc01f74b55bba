import errno
import os
import shutil

import pytest

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
