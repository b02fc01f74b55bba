"""Readers of labelled image folders, one public layout a file.

Every reader is a sequence of :class:`Sample`: ``len(reader)``, ``reader[i]``, ``reader.classes``.
"""

from mdpseg.data.readers.ade20k import ADE20K
from mdpseg.data.readers.bdd100k import BDD100K
from mdpseg.data.readers.camvid import CamVid
from mdpseg.data.readers.cityscapes import Cityscapes
from mdpseg.data.readers.coco import COCOStuff
from mdpseg.data.readers.coco_instances import COCOInstances
from mdpseg.data.readers.coco_panoptic import COCOPanoptic
from mdpseg.data.readers.folder import Folder
from mdpseg.data.readers.huggingface import HuggingFace
from mdpseg.data.readers.oxford_pet import OxfordPet
from mdpseg.data.readers.pair_list import PairList
from mdpseg.data.readers.pairs import Pair, PairReader, Sample
from mdpseg.data.readers.pascal_context import PASCALContext
from mdpseg.data.readers.subset import Subset
from mdpseg.data.readers.vistas import Vistas
from mdpseg.data.readers.voc import VOC2012

__all__ = [
    "ADE20K",
    "BDD100K",
    "VOC2012",
    "COCOInstances",
    "COCOPanoptic",
    "COCOStuff",
    "CamVid",
    "Cityscapes",
    "Folder",
    "HuggingFace",
    "OxfordPet",
    "PASCALContext",
    "Pair",
    "PairList",
    "PairReader",
    "Sample",
    "Subset",
    "Vistas",
]
