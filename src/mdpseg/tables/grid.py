"""The rows of the published tables A to E, and of table F, which goes past them: what each row pretrains on, and how.

A row says nothing of sizes, networks or learning rates: these are a preset's (:mod:`mdpseg.tables.preset`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Stage:
    """One pretraining.

    Attributes:
        data: the roles of its datasets, joined by ``+``.
        method: a method of the preset.
        epochs: how often each image is seen, in the published count; a preset scales it.
        changes: settings of ``method`` that differ from the preset's.
        unlabelled: roles whose images come without their labels.
        merged: label sets merged by hand, as the preset's mapping file says.
    """

    data: str
    method: str
    epochs: int = 100
    changes: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    unlabelled: str = ""
    merged: bool = False


@dataclass(frozen=True)
class Row:
    """One row of a table: its stages follow one another, then the network is fine-tuned on each target.

    Attributes:
        id: such as ``A2``.
        about: what the row is, in the table's words.
        first: where the first stage starts.
        stages: none for the rows without segmentation pretraining.
    """

    id: str
    about: str
    first: Literal["scratch", "imagenet"]
    stages: tuple[Stage, ...] = ()

    @property
    def table(self) -> str:
        """The table's letter."""
        return self.id[0]

    @property
    def data(self) -> str:
        """What it is pretrained on, in words."""
        names = ["ImageNet"] if self.first == "imagenet" else []
        for stage in self.stages:
            names.append(stage.data + (f" (+{stage.unlabelled} unlabelled)" if stage.unlabelled else ""))
        return " -> ".join(names) or "-"

    @property
    def epochs(self) -> int:
        """Published count of epochs over all stages."""
        return sum(stage.epochs for stage in self.stages)


def _mdp(id: str, about: str, data: str, epochs: int = 100, first: Any = "scratch", **changes: Any) -> Row:
    return Row(id, about, first, (Stage(data, "mdp-paper", epochs, changes),))


def _one(id: str, about: str, data: str, method: str, epochs: int = 100, first: Any = "scratch", **changes: Any) -> Row:
    return Row(id, about, first, (Stage(data, method, epochs, changes),))


_TWO, _ALL = "VOC+ADE20K", "VOC+ADE20K+COCO"
_PLAIN: dict[str, Any] = {"mixing": "off", "sparse_coding": "off"}
_BANKED: dict[str, Any] = {"prototypes": "bank"}
_CODED: dict[str, Any] = {"sparse_coding": "pull"}
_EVERYTHING: dict[str, Any] = {"denominator": "all", "catch_all_as": "class"}


def _contrast(id: str, about: str, **changes: Any) -> Row:
    """Table C: all that a title says is set here, whatever a preset's method has."""
    published = {"bank": "class", "bank_size": 4096, "prototypes": "bank", "temperature": 0.07}
    return _mdp(id, about, "VOC", 200, **{**_PLAIN, **published, **changes})


ROWS: tuple[Row, ...] = (
    Row("A1", "ImageNet weights only", "imagenet"),
    _mdp("A2", "MDP from scratch", _TWO),
    _mdp("A3", "MDP from scratch", _TWO, 200),
    _mdp("A4", "MDP from scratch", _ALL, 200),
    _mdp("A5", "MDP on ImageNet weights", _TWO, first="imagenet"),
    _mdp("A6", "MDP on ImageNet weights", _TWO, 200, first="imagenet"),
    _one("B1", "supervised union cross-entropy from scratch", "COCO", "supervised"),
    Row("B2", "ImageNet weights only", "imagenet"),
    _one("B3", "supervised union cross-entropy", "COCO", "supervised", first="imagenet"),
    _mdp("B4", "MDP from scratch", "COCO"),
    _mdp("B5", "MDP on ImageNet weights", "COCO", first="imagenet"),
    _contrast("C1", "pixel-to-pixel, temperature 0.07", bank="none"),
    _contrast("C2", "region bank 4096, temperature 0.07", bank="region"),
    _contrast("C3", "class bank 4096, temperature 0.07"),
    _contrast("C4", "class bank 1024, temperature 0.07", bank_size=1024),
    _contrast("C5", "class bank 10560, temperature 0.07", bank_size=10560),
    _contrast("C6", "class bank 4096, temperature 0.3", temperature=0.3),
    _contrast("C7", "class bank 4096, temperature 0.5", temperature=0.5),
    # The authors' row without mixing is the one without sparse coding (E9); E11 is D3 without mixing alone.
    _mdp("D1", "no mixing, no sparse coding", _TWO, **_PLAIN),
    _mdp("D2", "no mixing, no sparse coding", _TWO, 200, **_PLAIN),
    _mdp("D3", "region and pixel mixing, sparse coding", _TWO, **_CODED, mixing="both"),
    _mdp("D4", "region and pixel mixing, sparse coding", _TWO, 200, **_CODED, mixing="both"),
    _mdp("D5", "region mixing, sparse coding", _TWO, **_CODED, mixing="region"),
    _mdp("D6", "pixel mixing, sparse coding", _TWO, **_CODED, mixing="pixel"),
    _mdp("E1", "MDP, one dataset", "VOC"),
    _one("E2", "multi-head", _TWO, "multihead"),
    _mdp("E3", "pixel-to-pixel, no mixing, no sparse coding", _TWO, **_PLAIN, bank="none"),
    _mdp("E4", "MDP", _TWO),
    Row(
        "E5",
        "sequential supervised COCO -> ADE20K -> VOC",
        "scratch",
        tuple(Stage(data, "supervised") for data in ("COCO", "ADE20K", "VOC")),
    ),
    _mdp("E6", "MDP", _ALL, 200),
    Row("E7", "no pretraining", "scratch"),
    Row("E8", "ImageNet weights only", "imagenet"),
    _mdp("E9", "MDP, no mixing, no sparse coding", _TWO, **_PLAIN),
    _mdp("E10", "MDP, no mixing, top-k similar classes not pushed away", _TWO, mixing="off", sparse_coding="no_push"),
    _mdp("E11", "MDP, no mixing, sparse coding (pull to the top-k)", _TWO, mixing="off", sparse_coding="pull"),
    Row(
        "E12",
        "MDP, no mixing, sparse coding, label spaces merged by hand (no catch-all is private)",
        "scratch",
        (Stage(_TWO, "mdp-paper", changes={"mixing": "off"}, merged=True),),
    ),
    Row("E13", "MDP plus COCO images without labels", "scratch", (Stage(_TWO, "mdp-paper", unlabelled="COCO"),)),
    _mdp("E14-100", "pixel-to-prototype only", "VOC", 100, **_PLAIN),
    _mdp("E14-200", "pixel-to-prototype only", "VOC", 200, **_PLAIN),
    _mdp("E14-400", "pixel-to-prototype only", "VOC", 400, **_PLAIN),
    # Past the published tables: our setting, its parts, and tuned baselines (multi-head at the supervised rate).
    _one("F1", "supervised union cross-entropy", _TWO, "supervised"),
    _one("F2", "multi-head", _TWO, "multihead"),
    _mdp("F3", "MDP as published", _TWO),
    _one("F4", "MDP, ours", _TWO, "mdp"),
    _one("F5", "supervised union cross-entropy on ImageNet weights", _TWO, "supervised", first="imagenet"),
    _one("F6", "multi-head on ImageNet weights", _TWO, "multihead", first="imagenet"),
    _mdp("F7", "MDP as published, on ImageNet weights", _TWO, first="imagenet"),
    _one("F8", "MDP, ours, on ImageNet weights", _TWO, "mdp", first="imagenet"),
    _one("F9", "supervised union cross-entropy, five times as long", _TWO, "supervised", 500),
    _mdp("F10", "MDP as published, five times as long", _TWO, 500),
    _one("F11", "MDP, ours, five times as long", _TWO, "mdp", 500),
    # What each part of ours brings: one taken back at a time.
    _one("F12", "ours without the supervised term", _TWO, "mdp", supervised_share=0.0),
    _one("F13", "ours with all classes in the denominator", _TWO, "mdp", denominator="all"),
    # Ours has no other dataset's class in the denominator, so what becomes of catch-alls shows in F13 and F3 alone.
    _one("F14", "ours with all classes, catch-alls as any, in the denominator", _TWO, "mdp", **_EVERYTHING),
    _one("F20", "ours with the bank's prototypes", _TWO, "mdp", **_BANKED),
    _one("F15", "ours with the bank's prototypes, of a momentum network", _TWO, "mdp", **_BANKED, momentum=0.99),
    _one("F16", "ours with region and pixel mixing", _TWO, "mdp", mixing="both"),
    _one("F17", "ours without mixing", _TWO, "mdp", mixing="off"),
    _one("F18", "ours with sparse coding", _TWO, "mdp", sparse_coding="pull"),
    _one("F19", "supervised union cross-entropy without mixing", _TWO, "supervised", mixing="off"),
    # What auxiliary heads bring to ours, and to the baseline.
    _one("F21", "ours with losses on the encoder's maps", _TWO, "mdp", auxiliary_weight=0.4),
    _one("F22", "supervised, with losses on the encoder's maps", _TWO, "supervised", auxiliary_weight=0.4),
    _one("F23", "F21 on ImageNet weights", _TWO, "mdp", first="imagenet", auxiliary_weight=0.4),
    _one("F24", "F22 on ImageNet weights", _TWO, "supervised", first="imagenet", auxiliary_weight=0.4),
)


TABLES = tuple(dict.fromkeys(row.table for row in ROWS))
