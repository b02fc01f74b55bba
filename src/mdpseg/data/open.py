"""Opens the dataset that a recipe names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from mdpseg.config import DatasetConfig
from mdpseg.config.readers import HuggingFaceConfig
from mdpseg.data.loader import Reader
from mdpseg.data.readers import (
    ADE20K,
    BDD100K,
    VOC2012,
    CamVid,
    Cityscapes,
    COCOInstances,
    COCOPanoptic,
    COCOStuff,
    Folder,
    HuggingFace,
    OxfordPet,
    PairList,
    PairReader,
    PASCALContext,
    Vistas,
)
from mdpseg.data.readers.subset import Subset
from mdpseg.data.readers.tiff import Bands
from mdpseg.data.readers.unlabelled import Images, Unlabelled
from mdpseg.data.shards.cache import Cache
from mdpseg.data.shards.index import NAME as INDEX
from mdpseg.data.shards.reader import Shards
from mdpseg.data.shards.store import NoIndexError, RemoteShards
from mdpseg.data.toy import ToyWorld
from mdpseg.errors import UserError
from mdpseg.label_space import CatchAll, LabelSpace

# public layouts: a root and a split say all
_LAYOUTS: Mapping[str, Callable[..., PairReader]] = {
    "voc2012": VOC2012,
    "ade20k": ADE20K,
    "cocostuff": COCOStuff,
    "cityscapes": Cityscapes,
    "vistas_v1": partial(Vistas, version="v1.2"),
    "vistas_v2": partial(Vistas, version="v2.0"),
    "pascal_context": PASCALContext,
    "pascal_context59": partial(PASCALContext, num_classes=59),
    "bdd100k": BDD100K,
    "oxford_pet": OxfordPet,
    "oxford_pet_breeds": partial(OxfordPet, breeds=True),
    "camvid": CamVid,
}


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
        images = Images(
            _images(config, data_root), subset=_subset(config, data_root), name=config.name, bands=_bands(config)
        )
        return Unlabelled(images)
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
    file = data_root / part.list if part.list else None
    return Subset(file, part.fraction, part.count, part.seed, part.rest)


def _labelled(config: DatasetConfig, data_root: Path) -> PairReader | ToyWorld:
    if config.reader in _OWN:
        return _OWN[config.reader](config, data_root)
    assert config.path is not None  # its configuration checks it
    layout = _LAYOUTS[config.reader]
    return layout(data_root / config.path, config.split, subset=_subset(config, data_root), name=config.name)


def _toy(config: DatasetConfig, data_root: Path) -> ToyWorld:
    part = config.subset
    assert config.world is not None  # its configuration checks it
    count = part.count or max(1, round((part.fraction or 1) * config.count))
    if part.list is not None or part.rest or count > config.count or (part.count and part.fraction):
        raise UserError(
            f"Dataset {config.name!r}: a toy world of {config.count} images takes a subset by `fraction` or by "
            f"`count` up to {config.count}, not by `list`, nor the `rest`."
        )
    return ToyWorld(config.world, split=config.split, count=count, size=config.size, seed=part.seed, name=config.name)


def _folder(config: DatasetConfig, data_root: Path) -> Folder:
    root = data_root / (config.path or Path())
    return Folder(
        _images(config, data_root),
        data_root / config.masks if config.masks else root / "masks" / config.split,
        _classes(config, data_root, root),
        subset=_subset(config, data_root),
        name=config.name,
        catch_all=config.catch_all,
        bands=_bands(config),
    )


def _list(config: DatasetConfig, data_root: Path) -> PairList:
    path = data_root / (config.path or Path())
    return PairList(
        path,
        config.split,
        _classes(config, data_root, path if path.is_dir() else path.parent),
        **_elsewhere(config, data_root, "masks"),
        subset=_subset(config, data_root),
        name=config.name,
        catch_all=config.catch_all,
        bands=_bands(config),
    )


def _coco(kind: type[COCOInstances | COCOPanoptic], config: DatasetConfig, data_root: Path) -> PairReader:
    return kind(
        data_root / (config.path or Path()),
        config.split,
        **_elsewhere(config, data_root, "annotations"),
        subset=_subset(config, data_root),
        name=config.name,
    )


def _huggingface(config: DatasetConfig, data_root: Path) -> HuggingFace:
    hf = config.hf or HuggingFaceConfig()
    return HuggingFace(
        hf.hub or data_root / (config.path or Path()),
        config.split,
        config.classes if config.classes is None or isinstance(config.classes, list) else data_root / config.classes,
        image=hf.image,
        mask=hf.mask,
        names=hf.names,
        stream=hf.stream,
        cache=data_root / hf.cache if hf.cache else None,
        subset=_subset(config, data_root),
        name=config.name,
        catch_all=config.catch_all,
    )


def _shards(config: DatasetConfig, data_root: Path) -> Shards:
    classes = config.classes
    return Shards(
        _shards_on_server(config, data_root) if config.url is not None else _shards_in_folder(config, data_root),
        classes if isinstance(classes, list) or classes is None else data_root / classes,
        subset=_subset(config, data_root),
        name=config.name,
        catch_all=config.catch_all,
        labelled=not config.unlabelled,
    )


def _shards_in_folder(config: DatasetConfig, data_root: Path) -> Path:
    assert config.path is not None  # its configuration checks it
    folder = data_root / config.path
    if (folder / config.split).is_dir():
        return folder / config.split
    if _names_split(config):
        raise _no_shards(config, f"folder {folder / config.split}", str(folder))
    return folder


def _shards_on_server(config: DatasetConfig, data_root: Path) -> RemoteShards:
    assert config.url is not None
    cache = Cache(data_root / config.cache, round((config.cache_gb or 10) * 10**9)) if config.cache else None
    below = f"{config.url.rstrip('/')}/{config.split}"
    if _names_split(config):
        try:
            return RemoteShards(below, config.name, cache)
        except NoIndexError as error:
            raise _no_shards(config, f"{below}/{INDEX}", config.url) from error
    try:  # first: of a file that is not there, S3 may say that it is forbidden
        return RemoteShards(config.url, config.name, cache)
    except NoIndexError:
        with suppress(NoIndexError):
            return RemoteShards(below, config.name, cache)
        raise


def _no_shards(config: DatasetConfig, absent: str, outside: str) -> UserError:
    return UserError(
        f"{config.name}: no {absent}; expected the shards of split {config.split!r} there. Leave `split` out to read "
        f"those in {outside} itself."
    )


def _names_split(config: DatasetConfig) -> bool:
    """Whether the entry asks for one split. The default does not: a run's own recipe.yaml writes it out, too."""
    return bool(config.split != DatasetConfig.model_fields["split"].default)


# readers that take more than a root and a split
_OWN: Mapping[str, Callable[[DatasetConfig, Path], PairReader | ToyWorld]] = {
    "toy": _toy,
    "folder": _folder,
    "list": _list,
    "coco_instances": partial(_coco, COCOInstances),
    "coco_panoptic": partial(_coco, COCOPanoptic),
    "huggingface": _huggingface,
    "shards": _shards,
}


def _images(config: DatasetConfig, data_root: Path) -> Path:
    """Where the images of reader ``folder`` lie.

    Raises:
        UserError: there are images, and no such split of them.
    """
    if config.images:
        return data_root / config.images
    images = data_root / (config.path or "") / "images"
    if not images.is_dir() or (images / config.split).is_dir():
        return images / config.split
    folders = sorted(entry.name for entry in images.iterdir() if entry.is_dir())
    there = f"folders there: {', '.join(folders[:10])}" if folders else "no folders there"
    name_one = "name one of them by `split`, or, " if folders else ""
    masks = "" if config.unlabelled or config.masks else f", masks: {config.path}/masks"
    raise UserError(
        f"{config.name}: no split {config.split!r} in {images} ({there}); {name_one}if there are no splits, add "
        f"`images: {config.path}/images{masks}`."
    )


def _elsewhere(config: DatasetConfig, data_root: Path, masks: str) -> dict[str, Any]:
    """Other places than the layout's own: of the images, and of what the reader calls ``masks``."""
    places = {"images": config.images, masks: config.masks}
    return {key: data_root / place for key, place in places.items() if place is not None}


def _classes(config: DatasetConfig, data_root: Path, root: Path) -> Path | list[str]:
    """The class list, or where it lies."""
    if config.classes is None:
        return root / "classes.txt"
    return config.classes if isinstance(config.classes, list) else data_root / config.classes


def _bands(config: DatasetConfig) -> Bands:
    return Bands(config.tiff.bands, config.tiff.range) if config.tiff else Bands()


def label_space_of(readers: Sequence[Reader], catch_all_as: CatchAll = "private") -> LabelSpace:
    """The label sets of opened datasets, laid end to end; one that several readers share stands there once."""
    return LabelSpace.concatenate(
        {reader.label_set: reader.classes for reader in readers if reader.label_set},
        catch_alls={reader.label_set: reader.catch_all for reader in readers if reader.label_set and reader.catch_all},
        catch_all_as=catch_all_as,
    )
