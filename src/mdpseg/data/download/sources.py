"""Where public datasets lie, and under which terms. Sizes are about; they bound and announce, they check nothing."""

from __future__ import annotations

from dataclasses import dataclass

from mdpseg.errors import UserError

GB = 10**9


@dataclass(frozen=True)
class Archive:
    """One file to get.

    Attributes:
        url: official address.
        bytes: about its size; twice as much is refused.
        unpacked: about what is in it; twice as much is refused.
        makes: folder (below the dataset's) that comes out of it; if it is there, nothing is to be done.
        into: folder that the archive's names start at.
        checksum: ``md5:...`` or ``sha1:...`` as published, None where none is known.
    """

    url: str
    bytes: int
    unpacked: int
    makes: str
    into: str = ""
    checksum: str | None = None


@dataclass(frozen=True)
class Source:
    """A dataset.

    Attributes:
        name: what the command calls it.
        reader: which reader reads it.
        split: one of its splits.
        archives: what it consists of.
        licence: its terms, in short, with an address.
        folder: where it goes, below ``data``.
    """

    name: str
    reader: str
    split: str
    archives: tuple[Archive, ...]
    licence: str
    folder: str


# The md5s are those that torchvision checks (datasets/voc.py, sbd.py, oxford_iiit_pet.py), the sha1s those that
# GluonCV's scripts check (ade20k.py, mscoco.py). For the stuff maps of COCO-Stuff none is known to us.
SOURCES = {
    source.name: source
    for source in (
        Source(
            "voc2012",
            "voc2012",
            "train",
            (
                Archive(
                    "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
                    2 * GB,
                    2 * GB,
                    "VOCdevkit/VOC2012",
                    checksum="md5:6cd6e144f989b92b3379bac3b3de84fd",
                ),
            ),
            "PASCAL VOC 2012: photographs from Flickr, to be used by Flickr's terms; see "
            "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/#rights",
            "voc2012",
        ),
        Source(
            "sbd",
            "voc2012",
            "train_aug",
            (
                Archive(
                    "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
                    15 * GB // 10,
                    2 * GB,
                    "benchmark_RELEASE",
                    checksum="md5:82b4d87ceb2ed10f6038a1cba92111cb",
                ),
            ),
            "Semantic Boundaries Dataset (Hariharan et al., ICCV 2011): photographs of PASCAL VOC, to be used by "
            "Flickr's terms; its authors ask to be cited; see http://home.bharathh.info/pubs/codes/SBD/download.html",
            "voc2012",
        ),
        Source(
            "ade20k",
            "ade20k",
            "training",
            (
                Archive(
                    "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
                    GB,
                    12 * GB // 10,
                    "ADEChallengeData2016",
                    checksum="sha1:219e1696abb36c8ba3a3afe7fb2f4b4606a897c7",
                ),
            ),
            "ADE20K scene parsing challenge: for research and education, not for commerce; annotations and software "
            "under BSD 3-clause; see https://groups.csail.mit.edu/vision/datasets/ADE20K/terms/",
            "ade20k",
        ),
        Source(
            "oxford-pets",
            "oxford_pet",
            "trainval",
            (
                Archive(
                    "https://thor.robots.ox.ac.uk/~vgg/data/pets/images.tar.gz",
                    8 * GB // 10,
                    8 * GB // 10,
                    "images",
                    checksum="md5:5c4f3ee8e5d25df40f4fd59a7f44e54c",
                ),
                Archive(
                    "https://thor.robots.ox.ac.uk/~vgg/data/pets/annotations.tar.gz",
                    GB // 50,
                    GB // 20,
                    "annotations",
                    checksum="md5:95a8c909bbe2e81eed6a22bccdf3f68f",
                ),
            ),
            "Oxford-IIIT Pet: CC BY-SA 4.0, the photographs' copyright stays with their owners; see "
            "https://www.robots.ox.ac.uk/~vgg/data/pets/",
            "oxford-pets",
        ),
        Source(
            "cocostuff",
            "cocostuff",
            "train2017",
            (
                Archive(
                    "http://images.cocodataset.org/zips/train2017.zip",
                    20 * GB,
                    20 * GB,
                    "images/train2017",
                    into="images",
                    checksum="sha1:10ad623668ab00c62c096f0ed636d6aff41faca5",
                ),
                Archive(
                    "http://images.cocodataset.org/zips/val2017.zip",
                    GB,
                    GB,
                    "images/val2017",
                    into="images",
                    checksum="sha1:4950dc9d00dbe1c933ee0170f5797584351d2a41",
                ),
                Archive(
                    "http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/stuffthingmaps_trainval2017.zip",
                    GB,
                    2 * GB,
                    "stuffthingmaps",
                    into="stuffthingmaps",
                ),
            ),
            "COCO-Stuff: annotations CC BY 4.0, photographs to be used by Flickr's terms; see "
            "https://github.com/nightrome/cocostuff#licensing and https://cocodataset.org/#termsofuse",
            "cocostuff",
        ),
    )
}


def find_source(name: str) -> Source:
    """The dataset of that name.

    Raises:
        UserError: there is none; names those that there are.
    """
    if name not in SOURCES:
        raise UserError(f"No dataset {name!r} to get; there are {', '.join(SOURCES)}.")
    return SOURCES[name]
