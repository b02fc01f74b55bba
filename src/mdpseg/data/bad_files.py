"""Training past bad files: another image takes the place, each file is told once, and many of them stop the run.

What takes the place follows from the draw's number, as all else does: it does not depend on the number of workers, and
a resumed run sees the same images.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mdpseg.data.draws import Draw, Draws
from mdpseg.data.readers.pairs import Sample
from mdpseg.errors import BadFileError, UserError
from mdpseg.files import disk_faults_are_told, make_folder

if TYPE_CHECKING:  # the loader uses this file
    from mdpseg.data.loader import Reader

MOST_BAD = 0.01  # share of a dataset's images; beyond it something else is wrong
_ATTEMPTS = 20  # if one of a hundred is bad, the chance that all of these are is 1e-40


def read_or_replace(reader: Reader, draw: Draw, draws: Draws) -> tuple[Sample, list[BadFileError]]:
    """Reads the image of a draw, or of the first replacement that can be read.

    Returns:
        The image, and what was wrong with those before it.

    Raises:
        BadFileError: none of many replacements can be read either.
    """
    faults: list[BadFileError] = []
    for attempt in range(_ATTEMPTS):
        try:
            return reader[draws.replacement(draw, attempt).index if attempt else draw.index], faults
        except BadFileError as fault:
            faults.append(fault)
    raise faults[0]


class BadFiles:
    """The bad files of a run: in its log once, and in a file beside it, which a resumed run goes on with.

    Args:
        sizes: name of each dataset -> how many images it has.
        record: the file, one bad file a line of JSON; every process of a run appends its own.
        log: tells a message.
    """

    def __init__(self, sizes: Mapping[str, int], record: Path, log: Callable[[str], None]) -> None:
        self.sizes, self.record, self.log = dict(sizes), record, log

    @classmethod
    def of_run(
        cls, policy: Literal["stop", "skip"], readers: Sequence[Reader], folder: Path, log: Callable[[str], None]
    ) -> BadFiles | None:
        """Those of a run in ``folder``; None where the first one is to stop it."""
        if policy == "stop":
            return None
        return cls({reader.name: len(reader) for reader in readers}, folder / "bad-files.jsonl", log)

    def skip(self, fault: BadFileError) -> None:
        """Takes note of a file.

        Raises:
            UserError: more than 1 % of a dataset's images are bad.
        """
        known = self._known()
        if str(fault.file) in known:
            return
        make_folder(self.record.parent)  # another machine may not share the run's folder
        with disk_faults_are_told(self.record), self.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"file": str(fault.file), "dataset": fault.dataset, "problem": str(fault)}) + "\n")
        self.log(f"skipped, another image takes its place: {fault}")
        count, size = 1 + list(known.values()).count(fault.dataset), self.sizes[fault.dataset]
        if count > MOST_BAD * size:
            raise UserError(
                f"{fault.dataset}: {count} of its {size} images are bad, more than {MOST_BAD:.0%}, the last one with: "
                f"{fault} `mdpseg data check RECIPE` lists all of them."
            )

    def _known(self) -> dict[str, str]:
        """File -> dataset."""
        if not self.record.is_file():
            return {}
        known = {}
        for line in self.record.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # a killed run may leave half a line
                entry = json.loads(line)
                known[entry["file"]] = entry["dataset"]
        return known
