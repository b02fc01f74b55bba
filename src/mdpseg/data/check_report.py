"""What ``mdpseg data check`` found, as text and as files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mdpseg.data.class_shares import ClassShares, draw_shares, shares_text, write_shares
from mdpseg.data.loader import Reader
from mdpseg.data.problems import REMARKS, Problem, listing
from mdpseg.files import make_folder, write_text


@dataclass
class Part:
    """One dataset, and what its images turned out to be.

    Attributes:
        title: the dataset's name, with its role where the recipe has several: ``voc (val)``.
        reader: the opened dataset.
        names: file (or id) of each image; in the same order:
        images: digests of the image files,
        masks: digests of the mask files,
        looks: difference hashes.
        shares: pixels of each class, None for a dataset without labels.
        trained_on: the title of the part to train on, whose images it must not have.
        small: whether it may lack classes, as what is validated on, and a subset.
    """

    title: str
    reader: Reader
    shares: ClassShares | None
    names: list[str] = field(default_factory=list)
    images: list[bytes | None] = field(default_factory=list)
    masks: list[bytes | None] = field(default_factory=list)
    looks: list[bytes | None] = field(default_factory=list)
    trained_on: str | None = None
    small: bool = False


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        problems: all problems, and the remarks, which are not counted.
        parts: the datasets that could be opened.
        remarks: of a folder, as what it was read, and what in it is passed over.
    """

    problems: list[Problem]
    parts: list[Part]
    remarks: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether there are no problems; there may be remarks."""
        return not self._count()

    def _count(self) -> int:
        return sum(problem.kind not in REMARKS for problem in self.problems)

    def text(self, most: int) -> str:
        """The report for a terminal, with at most ``most`` lines a kind of problem and a table."""
        lines = []
        for part in self.parts:
            of = "without labels"
            if part.shares is not None:
                occur = len(part.shares.classes) - len(part.shares.absent())
                of = f"{occur} of {len(part.shares.classes)} classes occur, {part.shares.ignored():.1%} is ignored"
            lines.append(f"{part.title}: {len(part.names)} images, {of}")
            if part.shares is not None:
                lines.append(shares_text(part.shares, most))
            lines.append("")
        if self.remarks:
            lines += ["What was taken for datasets, and what was not:", *(f"  {said}" for said in self.remarks), ""]
        found = listing(self.problems, most)
        images = sum(len(part.names) for part in self.parts)
        count = self._count()
        end = f"{count or 'No'} problem{'' if count == 1 else 's'} in {images} images."
        return "\n".join([*lines, *([found] if found else []), end])

    def write(self, folder: Path) -> None:
        """Writes problems.json, and for datasets with labels classes.csv and classes.png."""
        make_folder(folder)
        content = {
            "images": {part.title: len(part.names) for part in self.parts},
            "problems": [asdict(problem) for problem in self.problems],
            "remarks": self.remarks,
        }
        write_text(folder / "problems.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        shares = [part.shares for part in self.parts if part.shares is not None]
        if shares:
            write_shares(folder / "classes.csv", shares)
            draw_shares(folder / "classes.png", shares)
