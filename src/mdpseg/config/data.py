"""Datasets, their parts, and the augmentation of training crops."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from mdpseg.config.base import Fraction, Positive, Settings, Side
from mdpseg.config.readers import HuggingFaceConfig, TiffConfig

_PAIRED = ("folder", "list", "coco_instances", "coco_panoptic")
# Keys that not every reader looks at; a recipe that has one for another reader does not mean what it says.
_OF_READERS: dict[str, tuple[str, ...]] = {
    **{"tiff": ("folder", "list"), "hf": ("huggingface",), "images": _PAIRED, "masks": _PAIRED},
    **{"classes": ("folder", "list", "huggingface", "shards"), "world": ("toy",), "size": ("toy",), "count": ("toy",)},
    **dict.fromkeys(("url", "cache", "cache_gb"), ("shards",)),
}


class SubsetConfig(Settings):
    """A part of a dataset."""

    list: Path | None = Field(None, description="Text file with one image id a line; starts at data_root.")
    fraction: Fraction | None = Field(None, description="Share of the images, drawn by `seed`.")
    count: Positive | None = Field(None, description="Number of images, drawn by `seed`.")
    seed: int = Field(0, description="Which images are drawn; the same on every machine.")
    rest: bool = Field(
        False, description="The images that `fraction` or `count` leaves out: to train on what `val` does not hold."
    )

    @property
    def words(self) -> str:
        """Such as ``100``, ``all but 0.2``, ``ids.txt, 0.5``, or ``all``."""
        drawn = self.count if self.fraction is None else self.fraction
        parts = [] if self.list is None else [str(self.list)]
        if drawn is not None:
            parts.append(f"all but {drawn}" if self.rest else str(drawn))
        return ", ".join(parts) or "all"


class DatasetConfig(Settings):
    """One dataset: where it lies and how it is read."""

    name: str = Field(pattern=r"^[\w.+-]+$", description="How its classes are called: `name/class`.")
    reader: Literal[
        "voc2012",
        "ade20k",
        "cocostuff",
        "cityscapes",
        "folder",
        "shards",
        "toy",
        "coco_instances",
        "coco_panoptic",
        "huggingface",
        "list",
        "vistas_v1",
        "vistas_v2",
        "pascal_context",
        "pascal_context59",
        "bdd100k",
        "oxford_pet",
        "oxford_pet_breeds",
        "camvid",
    ] = Field(description="Layout of its files (docs/data.md).")
    path: Path | None = Field(None, description="The dataset's root; relative to `data_root`.")
    url: str | None = Field(None, pattern=r"^https?://", description="`shards` only: address, in place of `path`.")
    cache: Path | None = Field(
        None, description="`shards` by url: folder that keeps what was read last; starts at `data_root`."
    )
    cache_gb: Annotated[float, Field(gt=0)] | None = Field(
        None, description="`shards` by url: most gigabytes in the cache; default: 10."
    )
    split: str = Field("train", description="Part of it, by the layout's own name: train, val, training ...")
    images: Path | None = Field(None, description="Images, where not path/images/split; `list`: where its paths start.")
    masks: Path | None = Field(None, description="Masks, where not path/masks/split; `list`: where its paths start.")
    classes: Path | list[str] | None = Field(None, description="Class list, where not path/classes.txt.")
    catch_all: str | None = Field(None, description="The class that collects the rest; readers know their own.")
    subset: SubsetConfig = Field(SubsetConfig(), description="A part of its images; default: all.")
    unlabelled: bool = Field(
        False, description="Images without masks (or with, which are not read): pretraining mines labels for them (P)."
    )
    tiff: TiffConfig | None = Field(None, description="`folder` and `list` only: bands and values of TIFFs.")
    hf: HuggingFaceConfig | None = Field(None, description="`huggingface` only: hub name, columns, streaming.")
    world: str | None = Field(None, description="`toy` only: which embedded world.")
    size: Side = Field(128, description="`toy` only: height and width of its images in pixels.")
    count: Positive = Field(500, description="`toy` only: how many images it has.")

    @field_validator("classes", mode="before")
    @classmethod
    def _path_or_names(cls, given: Any) -> Any:
        if isinstance(given, list):
            other = [name for name in given if not isinstance(name, str)]
            if other:
                raise ValueError(f"classes holds {other[0]!r:.60}; expected names, in quotes where they are numbers")
        elif not isinstance(given, str | Path | None):
            raise ValueError(f"classes is {given!r:.60}; expected the path of a class list, or a list of names")
        return given

    @model_validator(mode="after")
    def _has_what_its_reader_needs(self) -> Self:
        if self.reader == "toy":
            if self.world is None:
                raise ValueError(f"dataset {self.name!r} has reader toy and no `world`; name one, such as world: fine")
        elif self.reader == "shards":
            if (self.path is None) == (self.url is None):
                raise ValueError(f"dataset {self.name!r} has reader shards and needs either `path` or `url`")
        elif self.path is None and not (self.reader == "huggingface" and self.hf and self.hf.hub):
            parts = ["images"] if self.unlabelled else ["images", "masks", "classes"]
            if self.reader != "folder":
                more = " (or hf: {hub: owner/name})" if self.reader == "huggingface" else ""
                raise ValueError(f"dataset {self.name!r} has reader {self.reader} and needs `path`{more}")
            if not all(getattr(self, part) for part in parts):
                instead = ", ".join(f"`{part}`" for part in parts)
                raise ValueError(f"dataset {self.name!r} has reader folder and needs `path` (or {instead})")
        return self

    @model_validator(mode="after")
    def _settings_are_of_its_reader(self) -> Self:
        for key, readers in _OF_READERS.items():
            if getattr(self, key) != type(self).model_fields[key].default and self.reader not in readers:
                instead = "; a part of a dataset is `subset: {count: N}`" if key == "count" else ""
                raise ValueError(
                    f"dataset {self.name!r} has `{key}`, which is for reader {' or '.join(readers)}, not {self.reader}"
                    f"{instead}"
                )
        if self.path is not None and self.hf and self.hf.hub:
            raise ValueError(f"dataset {self.name!r} has both `path` and hf.hub; give one of them")
        return self


def _has_labels(dataset: DatasetConfig) -> DatasetConfig:
    if dataset.unlabelled:
        raise ValueError(
            f"dataset {dataset.name!r} is unlabelled, but its labels are needed here; only a pretraining's `datasets` "
            "may be without: remove `unlabelled: true`"
        )
    return dataset


LabelledDataset = Annotated[DatasetConfig, AfterValidator(_has_labels)]


class AugmentConfig(Settings):
    """Random geometry and colours of a training crop."""

    crop: Side = Field(128, description="Side of the square crop in pixels, a multiple of 32.")
    scale: tuple[float, float] = Field((0.5, 2.0), description="Range of the random scale, log-uniform.")
    short_side: Side | None = Field(
        None, description="Scale 1 means: the image's short side has this many pixels. Default: its own size."
    )
    flip: Annotated[float, Field(ge=0, le=1)] = Field(0.5, description="Probability of a horizontal flip.")
    brightness: Annotated[float, Field(ge=0, lt=1)] = Field(0.4, description="Factor drawn from 1 - x to 1 + x.")
    contrast: Annotated[float, Field(ge=0, lt=1)] = Field(0.4, description="Factor drawn from 1 - x to 1 + x.")
    saturation: Annotated[float, Field(ge=0, lt=1)] = Field(0.4, description="Factor drawn from 1 - x to 1 + x.")

    @field_validator("crop")
    @classmethod
    def _multiple_of_32(cls, crop: int) -> int:
        if crop % 32:
            raise ValueError(
                f"crop is {crop}; encoders need a multiple of 32, such as {max(32, round(crop / 32) * 32)}"
            )
        return crop

    @field_validator("scale")
    @classmethod
    def _rising(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not 1e-3 <= scale[0] <= scale[1] <= 1e3:
            raise ValueError(f"scale is {list(scale)}; expected [low, high] with 0.001 <= low <= high <= 1000")
        return scale
