"""Images and masks in two folders of any common spelling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mdpseg.data.recognise.folders import IMAGES, MASKS, has_images, inner, plain
from mdpseg.data.recognise.found import USUAL, Found, rank


def two_folders(folder: Path) -> Found | None:
    """Two folders above, below or without folders of splits."""
    names = inner(folder)
    for root in [folder, *(folder / name for name in names if len(names) == 1)]:
        splits = dict(_pairs_of_folders(root))
        if splits:
            named = {split: keys for split, keys in splits.items() if split.lower() in USUAL}
            ordered = dict(sorted((named or splits).items(), key=lambda item: rank(item[0])))
            return Found("folder", "two folders", root, ordered, own=True, nameless=True)
    return None


def _pairs_of_folders(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    names = inner(root)
    images, masks = (_named(root, words) for words in (IMAGES, MASKS))
    if images and masks:  # images/train, masks/train; or no splits
        yield from _inside_both(root, images, masks)
        return
    for split in names:
        if split.lower() not in USUAL:
            continue
        images, masks = (_named(root / split, words) for words in (IMAGES, MASKS))
        if images and masks and has_images(images):  # train/images, train/masks
            yield split, {"images": images, "masks": masks}
        for other in names:  # train, trainannot
            ending = plain(other.removeprefix(split))
            if other != split and other.startswith(split) and ending in MASKS and has_images(root / split):
                yield split, {"images": root / split, "masks": root / other}


def _inside_both(root: Path, images: Path, masks: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Splits are folders inside both, or lists of ids, or there are none."""
    common = [name for name in inner(images) if (masks / name).is_dir() and name.lower() in USUAL]
    for split in common:
        if has_images(images / split):
            yield split, {"images": images / split, "masks": masks / split}
    if common or not has_images(images) or not has_images(masks):  # annotations may be JSON alone
        return
    lists = {path.stem: path for place in (root, *root.glob("ImageSets/*")) for path in sorted(place.glob("*.txt"))}
    listed = {name: path for name, path in lists.items() if name.lower() in USUAL}
    for split, path in listed.items():
        yield split, {"images": images, "masks": masks, "subset": {"list": path}}
    if not listed:
        yield "all", {"images": images, "masks": masks}


def _named(root: Path, words: Sequence[str]) -> Path | None:
    """The folder with the first of the names, whatever its case and hyphens."""
    by_name = {plain(name): root / name for name in inner(root)}
    return next((by_name[word] for word in words if word in by_name), None)
