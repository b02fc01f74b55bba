"""COCO's JSON files, where the images of each lie, and Roboflow's export of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdpseg.data.recognise.folders import has_images, inner
from mdpseg.data.recognise.found import USUAL, Found

_EXPORTED = "_annotations.coco.json"


@dataclass(frozen=True)
class COCOFiles:
    """COCO as it is distributed: a JSON file a split, and the images of some splits or all.

    Attributes:
        reader: which reader reads it.
        title: what it is, in words.
        kind: the beginning of the JSON files' names.
    """

    reader: str
    title: str
    kind: str

    def find(self, folder: Path) -> Found | None:
        """The splits whose images are there; the others are remarks."""
        splits: dict[str, dict[str, Any]] = {}
        remarks = []
        files = sorted(folder.glob(f"annotations/{self.kind}_*.json"))
        for file in files:
            split = file.stem.removeprefix(f"{self.kind}_")
            places = [folder / "images" / split, folder / split]
            usual = places[0] if places[0].is_dir() else places[1]  # where the reader looks
            images = next((place for place in places if has_images(place)), None)
            if images is None and has_images(folder / "images", deep=False):
                images = folder / "images"  # all splits in one folder
            if images is None:
                remarks.append(f"Left out: {split}; no images are in {places[0]} or {places[1]}.")
            elif self.kind == "panoptic" and not has_images(file.with_suffix("")):
                remarks.append(f"Left out: {split}; the PNGs of {file.name} are not in {file.with_suffix('')}.")
            else:
                splits[split] = {"split": split} | ({} if images == usual else {"images": images})
        return Found(self.reader, self.title, folder, splits, remarks=tuple(remarks)) if files else None


def roboflow(folder: Path) -> Found | None:
    """A JSON file beside the images, in a folder for each split or in the folder itself."""
    splits: dict[str, dict[str, Any]] = {}
    for name in ("", *(name for name in inner(folder) if name.lower() in USUAL)):
        images = folder / name
        if (images / _EXPORTED).is_file() and has_images(images, deep=False):
            splits[name or "all"] = {"images": images, "masks": images / _EXPORTED} | ({"split": name} if name else {})
    return Found("coco_instances", "Roboflow's COCO export", folder, splits, own=True) if splits else None
