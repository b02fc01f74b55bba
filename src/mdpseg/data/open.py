"""Opens the dataset that a recipe names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mdpseg.config import DatasetConfig
from mdpseg.data.loader import Reader
from mdpseg.data.readers import ADE20K, VOC2012, Cityscapes, COCOStuff, Folder, PairReader
from mdpseg.data.readers.subset import Subset
from mdpseg.data.readers.unlabelled import Images, Unlabelled
from mdpseg.data.shards.reader import Shards
from mdpseg.data.shards.store import Cache, RemoteShards
from mdpseg.data.toy import ToyWorld
from mdpseg.errors import UserError
from mdpseg.label_space import CatchAll, LabelSpace

_LAYOUTS = {"voc2012": VOC2012, "ade20k": ADE20K, "cocostuff": COCOStuff, "cityscapes": Cityscapes}


def open_dataset(config: DatasetConfig, data_root: Path = Path()) -> Reader:
    """Constructs the reader of a recipe's dataset entry.

    Args:
        config: the entry.
        data_root: where its relative paths start.

    Raises:
        UserError: a folder, list or class list is missing or wrong, or the split is empty.
    """
    if config.unlabelled:
        if config.reader != "folder":
            return Unlabelled(_labelled(config, data_root))
        root = data_root / (config.path or Path())
        folder = data_root / config.images if config.images else root / "images" / config.split
        return Unlabelled(Images(folder, subset=_subset(config, data_root), name=config.name))
    reader = _labelled(config, data_root)
    if config.catch_all is not None:
        if config.catch_all not in reader.classes:
            raise UserError(
                f"Dataset {config.name!r}: catch_all {config.catch_all!r} is none of its classes; name one of them."
            )
        reader.catch_all = config.catch_all
    return reader


def _subset(config: DatasetConfig, data_root: Path) -> Subset:
    part = config.subset
    return Subset(data_root / part.list if part.list else None, part.fraction, part.count, part.seed)


def _labelled(config: DatasetConfig, data_root: Path) -> PairReader | ToyWorld:
    if config.reader == "toy":
        part = config.subset
        assert config.world is not None  # its configuration checks it
        count = part.count or max(1, round((part.fraction or 1) * config.count))
        if part.list is not None or count > config.count or (part.count and part.fraction):
            raise UserError(
                f"Dataset {config.name!r}: a toy world of {config.count} images takes a subset by `fraction` or by "
                f"`count` up to {config.count}, not by `list`."
            )
        return ToyWorld(
            config.world, split=config.split, count=count, size=config.size, seed=part.seed, name=config.name
        )
    if config.reader == "folder":
        root = data_root / (config.path or Path())
        classes = config.classes or "classes.txt"
        return Folder(
            data_root / config.images if config.images else root / "images" / config.split,
            data_root / config.masks if config.masks else root / "masks" / config.split,
            classes if isinstance(classes, list) else (data_root if config.classes else root) / classes,
            subset=_subset(config, data_root),
            name=config.name,
            catch_all=config.catch_all,
        )
    if config.reader == "shards":
        return _shards(config, data_root)
    assert config.path is not None  # its configuration checks it
    layout = _LAYOUTS[config.reader]
    return layout(data_root / config.path, config.split, subset=_subset(config, data_root), name=config.name)


def _shards(config: DatasetConfig, data_root: Path) -> Shards:
    classes = config.classes
    if config.url is not None:
        cache = Cache(config.cache, round(config.cache_gb * 10**9)) if config.cache else None
        store: RemoteShards | Path = RemoteShards(config.url, config.name, cache)
    else:
        assert config.path is not None  # its configuration checks it
        store = data_root / config.path
        if (store / config.split).is_dir():
            store /= config.split
        elif "split" in config.model_fields_set:
            raise UserError(
                f"{config.name}: no folder {store / config.split}; expected the shards of split {config.split!r} "
                f"there. Leave `split` out to read those in {store} itself."
            )
    return Shards(
        store,
        classes if isinstance(classes, list) or classes is None else data_root / classes,
        subset=_subset(config, data_root),
        name=config.name,
        catch_all=config.catch_all,
        labelled=not config.unlabelled,
    )


def label_space_of(readers: Sequence[Reader], catch_all_as: CatchAll = "private") -> LabelSpace:
    """The label sets of opened datasets, laid end to end; one that several readers share stands there once."""
    return LabelSpace.concatenate(
        {reader.label_set: reader.classes for reader in readers if reader.label_set},
        catch_alls={reader.label_set: reader.catch_all for reader in readers if reader.label_set and reader.catch_all},
        catch_all_as=catch_all_as,
    )
