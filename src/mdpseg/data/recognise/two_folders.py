"""Images and masks in two folders of any common spelling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdpseg.data.recognise.folders import IMAGES, MASKS, has_images, inner, loose_images, plain
from mdpseg.data.recognise.found import USUAL, Found, rank

Splits = dict[str, dict[str, Any]]


def two_folders(folder: Path) -> Found | None:
    """Two folders above, below or without folders of splits; what lies there and is in no split is a remark."""
    names = inner(folder)
    for root in [folder, *(folder / name for name in names if len(names) == 1)]:
        images, masks = (_named(root, words) for words in (IMAGES, MASKS))
        splits, remarks = _inside_both(root, images, masks) if images and masks else _beside_each_other(root)
        if splits:
            ordered = dict(sorted(splits.items(), key=lambda item: rank(item[0])))
            return Found("folder", "two folders", root, ordered, remarks=tuple(remarks), own=True, nameless=True)
    return None


def _beside_each_other(root: Path) -> tuple[Splits, list[str]]:
    """Splits are folders around both, train/images and train/masks; or a pair of them each, train and trainannot."""
    splits: Splits = {}
    remarks: list[str] = []
    names = inner(root)
    for split in names:
        images, masks = (_named(root / split, words) for words in (IMAGES, MASKS))
        if split.lower() not in USUAL:
            if images and masks and has_images(images):
                remarks.append(f"Left out: {root / split}; {split} is no usual name of a split.")
            continue
        if images and masks and has_images(images):
            splits[split] = {"images": images, "masks": masks}
        for other in names:
            ending = plain(other.removeprefix(split))
            if other != split and other.startswith(split) and ending in MASKS and has_images(root / split):
                splits[split] = {"images": root / split, "masks": root / other}
        if split not in splits and has_images(root / split):
            remarks.append(f"Left out: {root / split}; no folder of masks was found for it.")
    return splits, remarks


def _inside_both(root: Path, images: Path, masks: Path) -> tuple[Splits, list[str]]:
    """Splits are folders inside both, images/train and masks/train; or lists of ids; or there are none."""
    partners = {name: _in_any_case(masks, name) for name in inner(images) if name.lower() in USUAL}
    common = {name: folder for name, folder in partners.items() if folder.is_dir()}
    if common:
        splits = {
            name: {"images": images / name, "masks": folder}
            for name, folder in common.items()
            if has_images(images / name)
        }
        done = {name.lower() for name in splits}
        remarks = _without_a_split(images, masks, done)  # names whose image folders are told are done, too
        return splits, remarks + _without_a_split(masks, images, done)
    if not has_images(images) or not has_images(masks):  # annotations may be JSON alone
        return {}, []
    place, others = _lists(root)
    if place is None:
        return {"all": {"images": images, "masks": masks}}, []
    remarks = [f"Splits by the lists in {place}."]
    if others:
        remarks.append(f"Lists that are not used: those in {', '.join(map(str, others))}.")
    lists = {path.stem: path for path in _usual_lists(place)}
    return {name: {"images": images, "masks": masks, "subset": {"list": path}} for name, path in lists.items()}, remarks


def _in_any_case(folder: Path, name: str) -> Path:
    """The folder of that name in a folder, in another case where there is none in this one."""
    cases = [folder / other for other in inner(folder) if other.lower() == name.lower()]
    return folder / name if folder / name in cases else next(iter(cases), folder / name)


def _without_a_split(folder: Path, partner: Path, done: set[str]) -> list[str]:
    """A remark for whatever is in one of two folders and in no split; the names of such folders are then done."""
    remarks = []
    for name in inner(folder):
        if name.lower() in done or not has_images(folder / name):
            continue
        done.add(name.lower())
        other = _in_any_case(partner, name)
        reason = f"there is no {other}"
        if other.is_dir():
            unusual = name.lower() not in USUAL
            reason = f"{name} is no usual name of a split" if unusual else f"no image is in {other}"
        remarks.append(f"Left out: {folder / name}; {reason}.")
    loose = loose_images(folder)
    if loose:
        remarks.append(f"Left out: {len(loose)} files in {folder} itself, such as {loose[0].name}; no split has them.")
    return remarks


def _lists(root: Path) -> tuple[Path | None, list[Path]]:
    """The folder whose lists are the splits, and further ones: VOC has lists for detection and others beside those."""
    sets = root / "ImageSets"
    names = inner(sets) if sets.is_dir() else []
    names.sort(key=lambda name: plain(name) != "segmentation")  # a stable sort
    places = [place for place in (*(sets / name for name in names), sets, root) if _usual_lists(place)]
    return (places[0] if places else None), places[1:]


def _usual_lists(place: Path) -> list[Path]:
    return [path for path in sorted(place.glob("*.txt")) if path.stem.lower() in USUAL]


def _named(root: Path, words: Sequence[str]) -> Path | None:
    """The folder with the first of the names, whatever its case and hyphens; better one that holds images."""
    by_name = {plain(name): root / name for name in inner(root)}
    found = [by_name[word] for word in words if word in by_name]
    return next((folder for folder in found if has_images(folder)), found[0] if found else None)
