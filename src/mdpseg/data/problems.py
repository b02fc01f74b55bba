"""What is wrong with the data of a recipe, and how it is listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mdpseg.errors import BadFileError, printable

# In the order in which they are listed.
KINDS = {
    "recipe": "Datasets that do not go together",
    "dataset": "Datasets that cannot be opened",
    "missing": "Missing partners",
    "damaged": "Unreadable or truncated files",
    "large": "Too large to be read",
    "format": "Other formats than expected",
    "name": "Images of the same name",
    "size": "Image and mask of different sizes",
    "id": "Ids or colors without a class",
    "absent": "Classes that never occur",
    "duplicate": "Duplicates inside a split",
    "leak": "Images of val that are also in train",
    "near_leak": "Images of val that look like one in train",
    "turned": "Images that a camera noted as turned",
    "near": "Images that look like another of the same split",
    "absent_part": "Classes that do not occur in a part (val, or a subset)",
}

# Two frames of a film look alike, a small part lacks rare classes, a mask may well be drawn on the pixels as they are
# stored, and that is no mistake. Told, but not counted as problems.
REMARKS = frozenset({"turned", "near", "absent_part"})


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        kind: a key of :data:`KINDS`.
        dataset: the dataset, with its role where the recipe has several: ``voc (val)``.
        file: the file in question, or an empty text.
        wrong: what is wrong.
        todo: what to do.
    """

    kind: str
    dataset: str
    file: str
    wrong: str
    todo: str

    @classmethod
    def of(cls, fault: BadFileError, dataset: str) -> Problem:
        """A fault that a reader complained about."""
        return cls(fault.kind, dataset, printable(str(fault.file)), printable(fault.wrong), printable(fault.todo))

    def line(self) -> str:
        """The problem in one line."""
        return printable(f"{self.dataset}: {self.wrong}; {self.todo}.")


def listing(problems: Sequence[Problem], most: int) -> str:
    """All problems, kind by kind, with at most ``most`` lines a kind."""
    lines: list[str] = []
    for kind, title in KINDS.items():
        found = [problem for problem in problems if problem.kind == kind]
        if not found:
            continue
        lines.append(f"{title}: {len(found)}" + (" (a remark, not a problem)" if kind in REMARKS else ""))
        lines += [f"  {problem.line()}" for problem in found[:most]]
        if len(found) > most:
            lines.append(f"  ... and {len(found) - most} more; --out FOLDER writes all of them, --lines N shows N.")
        lines.append("")
    return "\n".join(lines)
