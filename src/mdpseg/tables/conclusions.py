"""What the authors conclude, and what we claim beyond it: as comparisons of rows that would show it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

# Points of mIoU within which two rows count as close: the published rows of different bank sizes lie within 1.9.
CLOSE = 2.0
# No pretraining. Where even this row is close, that two pretrainings are close says nothing of either.
NOTHING = "E7"

When = Literal["early", "late", "fades"]
_BOTH: tuple[When, ...] = ("early", "late")


@dataclass(frozen=True)
class Comparison:
    """One row against another.

    Attributes:
        better: the row that should be ahead.
        worse: the row that should be behind.
        when: ``early`` or ``late`` in fine-tuning; ``fades``: ahead early by more than late.
        columns: the targets compared; empty: all that both rows are judged on.
        close: neither should be ahead: the difference lies within ``CLOSE`` points, but ``NOTHING`` further behind.
        times: ahead by at least so many half-widths of the interval.
    """

    better: str
    worse: str
    when: When = "late"
    columns: tuple[str, ...] = ()
    close: bool = False
    times: float = 0.0

    @property
    def whens(self) -> tuple[str, ...]:
        """The scores it needs; a second one is subtracted."""
        return ("early", "late") if self.when == "fades" else (self.when,)

    @property
    def text(self) -> str:
        """In words, such as ``A2 over E1, late``."""
        relation = f"{self.better} over {self.worse}"
        if self.close:
            relation = f"{self.better} as {self.worse}"
        if self.columns:
            relation += f" on {', '.join(self.columns)}"
        if self.times:
            relation += f" by {self.times:g} half-widths"
        return f"{relation}, {'early more than late' if self.when == 'fades' else self.when}"


@dataclass(frozen=True)
class Conclusion:
    """A claim and what would show it."""

    id: str
    text: str
    comparisons: tuple[Comparison, ...]


def _both(*pairs: tuple[str, str], close: bool = False) -> tuple[Comparison, ...]:
    """Each pair, early and late."""
    return tuple(Comparison(better, worse, when, close=close) for (better, worse), when in product(pairs, _BOTH))


# The authors' six, in the words of the published results; one that says two things is two, each judged by itself.
CONCLUSIONS = (
    Conclusion("1a", "More datasets beat fewer.", (Comparison("A2", "E1"), Comparison("A4", "A3"))),
    Conclusion(
        "1b",
        "MDP on a union without ImageNet can beat ImageNet weights where the target is far from ImageNet (ADE20K).",
        (Comparison("A3", "A1", columns=("ADE20K",)), Comparison("A4", "A1", columns=("ADE20K",))),
    ),
    Conclusion(
        "2",
        "MDP on top of ImageNet weights beats ImageNet weights alone.",
        (Comparison("A5", "A1"), Comparison("A6", "A1")),
    ),
    Conclusion(
        "3a", "Supervised cross-entropy pretraining on a large foreign taxonomy can hurt.", (Comparison("B2", "B3"),)
    ),
    Conclusion("3b", "MDP on it does not hurt: it brings something.", (Comparison("B5", "B2"),)),
    Conclusion(
        "4a",
        "Class bank > region bank > pixel-to-pixel, early in fine-tuning.",
        (Comparison("C3", "C2", "early"), Comparison("C2", "C1", "early")),
    ),
    Conclusion(
        "4b",
        "This is far more visible early in fine-tuning than late.",
        (Comparison("C3", "C2", "fades"), Comparison("C2", "C1", "fades")),
    ),
    Conclusion("5a", "Robust to bank size.", _both(("C4", "C3"), ("C5", "C3"), ("C5", "C4"), close=True)),
    Conclusion("5b", "A lower temperature is better.", _both(("C3", "C6"), ("C6", "C7"))),
    Conclusion(
        "6",
        "Cross-image mixing helps, also with longer pretraining.",
        # D1 and D2 are without sparse coding too, as published; E11 is D3 without mixing alone
        (Comparison("D3", "D1"), Comparison("D4", "D2"), Comparison("D3", "E11")),
    ),
)

# Ours; nothing of this is published.
BEYOND = (
    Conclusion(
        "F-i",
        "Our setting beats the published one early, by at least twice the interval's half-width.",
        (Comparison("F4", "F3", "early", times=2),),
    ),
    Conclusion(
        "F-ii",
        "Our setting beats the supervised and the multi-head baseline.",
        _both(("F4", "F1"), ("F4", "F2")),
    ),
    Conclusion(
        "F-iii",
        "So it does on ImageNet weights, where it also beats the published setting.",
        _both(("F8", "F5"), ("F8", "F6"), ("F8", "F7")),
    ),
    Conclusion(
        "F-iv",
        "So it does when all pretrain five times as long.",
        _both(("F11", "F9"), ("F11", "F10")),
    ),
    Conclusion(
        "F-v",
        "Losses on the encoder's maps as well bring something, to our setting and to the supervised baseline.",
        _both(("F21", "F4"), ("F22", "F1")),
    ),
    Conclusion(
        "F-vi",
        "With them our setting beats the supervised and the multi-head baseline, and the supervised one with them.",
        _both(("F21", "F1"), ("F21", "F2"), ("F21", "F22")),
    ),
    Conclusion(
        "F-vii",
        "On ImageNet weights they bring something as well, and ours with them beats the supervised baseline.",
        _both(("F23", "F8"), ("F24", "F5"), ("F23", "F5"), ("F23", "F24")),
    ),
)

# Our setting over itself with one part taken back: ahead where that part brings something.
ABLATION = _both(*(("F4", f"F{number}") for number in (*range(12, 19), 20)))
