"""Hugging Face datasets on the disk: which columns hold images and masks, by what their own description says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from mdpseg.data.readers.json_file import read_json
from mdpseg.data.recognise.folders import IMAGES, MASKS, inner, plain
from mdpseg.data.recognise.found import USUAL, Found, rank
from mdpseg.errors import UserError
from mdpseg.text_file import LARGEST_TEXT

_IMAGE_WORDS, _MASK_WORDS = ("image", "img", "photo", "pixelvalues"), ("mask", "segm", "label", "annot")


def saved(folder: Path) -> Found | None:
    """A folder that ``save_to_disk`` wrote, of several splits or of one."""
    splits: dict[str, dict[str, Any]] = {}
    if (folder / "dataset_dict.json").is_file():
        names = _read(folder / "dataset_dict.json").get("splits")
        names = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        splits = {name: {"split": name} for name in names if (folder / name / "state.json").is_file()}
        described = [folder / name for name in splits]
    elif (folder / "state.json").is_file():
        splits, described = {"all": {}}, [folder]
    if not splits:
        return None
    features = _read(described[0] / "dataset_info.json").get("features")
    return _found("Hugging Face (save_to_disk)", folder, splits, features if isinstance(features, dict) else {})


def parquet(folder: Path) -> Found | None:
    """A folder of parquet files, called after their split or in a folder for each, also below ``data``."""
    places = [folder / part for part in ("", "data", "default")]
    places += [place / name for place in places if place.is_dir() for name in inner(place) if name.lower() in USUAL]
    files = {_split_of(file): file for place in places for file in sorted(place.glob("*.parquet"), reverse=True)}
    if not files:
        return None
    splits = {split: {"split": split} for split in sorted(files, key=lambda split: (rank(split), split))}
    features = _features(next(iter(files.values())))
    if features is None:  # the reader says what to install
        return Found("huggingface", "parquet files", folder, splits, own=True)
    return _found("parquet files", folder, splits, features)


def _split_of(file: Path) -> str:
    if file.parent.name.lower() in USUAL:
        return file.parent.name
    return re.sub(r"-\d+(-of-\d+(-[0-9a-f]+)?)?$", "", file.stem)  # train-00000-of-00003, once with a digest behind it


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_json(file, str(file), LARGEST_TEXT)
    except UserError:
        return {}


def _features(file: Path) -> dict[str, Any] | None:
    """Column -> its type as ``datasets`` describes it; None without pyarrow, which comes with ``datasets``."""
    try:
        arrow, reading = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        return None
    try:
        schema = reading.read_schema(file)
    except (OSError, arrow.ArrowException):
        return {}
    try:
        return dict(json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"])
    except (KeyError, ValueError, TypeError, RecursionError):
        return {field.name: _described(field.type, arrow.types) for field in schema}  # somebody else wrote it


def _described(kind: Any, types: Any) -> dict[str, Any]:
    """An Arrow type as ``datasets`` would describe it, as far as that matters here."""
    if types.is_struct(kind):
        return {kind.field(place).name: {} for place in range(kind.num_fields)}
    if types.is_list(kind) or types.is_large_list(kind):
        return {"_type": "List", "feature": _described(kind.value_type, types)}
    return {"_type": "Value", "dtype": str(kind)}


def _found(title: str, folder: Path, splits: dict[str, dict[str, Any]], features: Mapping[str, Any]) -> Found:
    """The dataset; without splits, if no column of images and one of masks are told apart."""
    images = [column for column, feature in features.items() if _is_image(feature)]
    masks = [column for column, feature in features.items() if _is_image(feature) or _is_matrix(feature)]
    image = _choose(images, IMAGES, _IMAGE_WORDS)
    mask = _choose([column for column in masks if column != image], MASKS, _MASK_WORDS)
    if image is None:
        image = _choose([column for column in images if column != mask], IMAGES, _IMAGE_WORDS)
    if image is None or mask is None:
        wrong = f"Its columns ({', '.join(features) or 'none'}) do not tell which holds images and which masks: "
        wrong += "write its entry with `hf: {image: COLUMN, mask: COLUMN}`."
        return Found("huggingface", title, folder, {}, remarks=(wrong,))
    columns = {"image": image, "mask": mask}
    remarks = [f"Its column {image} is taken for images, {mask} for masks, of {', '.join(features)}; or correct `hf`."]
    nameless = not _has_names(features[mask])
    named = next((column for column, feature in features.items() if nameless and _has_names(feature)), None)
    if named is not None:
        remarks.append(f"If column {named} has the masks' class names, write `names: {named}` into `hf`, no `classes`.")
    return Found("huggingface", title, folder, splits, {"hf": columns}, tuple(remarks), own=True, nameless=nameless)


def _choose(columns: Sequence[str], names: Sequence[str], words: Sequence[str]) -> str | None:
    """The column called by a name, or that holds a word; or the only one."""
    exact = next((column for name in names for column in columns if plain(column) == name), None)
    near = next((column for word in words for column in columns if word in plain(column)), None)
    return exact or near or (columns[0] if len(columns) == 1 else None)


def _is_image(feature: Any) -> bool:
    """An image, or a file without saying that it is one: bytes, or a structure that holds them."""
    if not isinstance(feature, dict):
        return False
    if "_type" not in feature:
        return "bytes" in feature
    return feature["_type"] == "Image" or (
        feature["_type"] == "Value" and feature.get("dtype") in ("binary", "large_binary")
    )


def _is_matrix(feature: Any) -> bool:
    """Lists of lists of numbers."""
    if isinstance(feature, dict) and feature.get("_type") == "Array2D":
        return True
    row = _item(_item(feature))
    return isinstance(row, dict) and row.get("_type") in ("Value", "ClassLabel")


def _item(feature: Any) -> Any:
    """What a list holds, in any spelling that ``datasets`` had for it."""
    if isinstance(feature, list) and len(feature) == 1:
        return feature[0]
    lists = ("Sequence", "List", "LargeList")
    return feature.get("feature") if isinstance(feature, dict) and feature.get("_type") in lists else None


def _has_names(feature: Any) -> bool:
    """Whether it is a ClassLabel, or one is inside of its lists and structures."""
    if isinstance(feature, dict):
        return feature.get("_type") == "ClassLabel" or any(map(_has_names, feature.values()))
    return isinstance(feature, list) and any(map(_has_names, feature))
