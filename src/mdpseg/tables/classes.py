"""Label spaces of recipes whose data is not here: the public datasets' classes are known without them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mdpseg.config import DatasetConfig, FinetuneConfig, PretrainConfig
from mdpseg.data.loader import Reader
from mdpseg.data.merge import merge_readers, read_mapping
from mdpseg.data.open import label_space_of, open_dataset
from mdpseg.data.readers import ade20k, cityscapes, coco, voc
from mdpseg.data.readers.pairs import Sample
from mdpseg.label_space import LabelSpace

_PUBLIC: dict[str, tuple[list[str], str | None]] = {
    "voc2012": (voc.NAMES, "background"),
    "ade20k": (ade20k.NAMES, None),
    "cocostuff": (coco.NAMES, None),
    "cityscapes": (list(cityscapes.EVALUATED.values()), None),
}


@dataclass
class _NoImages:
    """A dataset of which only the classes are known."""

    name: str
    label_set: str | None
    classes: list[str]
    catch_all: str | None

    def __len__(self) -> int:
        return 0

    def __getitem__(self, index: int) -> Sample:
        raise IndexError(index)


def known_label_space(config: PretrainConfig | FinetuneConfig, data_root: Path) -> LabelSpace:
    """The label space that a run of this recipe has.

    Args:
        config: the recipe.
        data_root: where the paths of datasets of reader ``folder`` start, whose class lists are files.

    Raises:
        UserError: such a dataset is not there, or the mapping file is bad.
    """
    if isinstance(config, FinetuneConfig):
        return label_space_of([_reader(config.train, data_root)], "class")
    readers = [_reader(dataset, data_root) for dataset in config.datasets]
    if config.merge is not None:
        readers = merge_readers(readers, read_mapping(config.merge, readers), config.method.catch_all_as)
    return label_space_of(readers, config.method.catch_all_as)


def _reader(config: DatasetConfig, data_root: Path) -> Reader:
    if config.reader not in _PUBLIC:
        return open_dataset(config, data_root)
    if config.unlabelled:
        return _NoImages(config.name, None, [], None)
    classes, catch_all = _PUBLIC[config.reader]
    return _NoImages(config.name, config.name, classes, config.catch_all or catch_all)
