"""Readers of labelled image folders, one public layout a file.

Every reader is a sequence of :class:`Sample`: ``len(reader)``, ``reader[i]``, ``reader.classes``.
"""

from mdpseg.data.readers.ade20k import ADE20K
from mdpseg.data.readers.cityscapes import Cityscapes
from mdpseg.data.readers.coco import COCOStuff
from mdpseg.data.readers.folder import Folder
from mdpseg.data.readers.pairs import Pair, PairReader, Sample
from mdpseg.data.readers.subset import Subset
from mdpseg.data.readers.voc import VOC2012

__all__ = ["ADE20K", "VOC2012", "COCOStuff", "Cityscapes", "Folder", "Pair", "PairReader", "Sample", "Subset"]
