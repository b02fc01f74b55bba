"""`mdpseg report`: from runs' folders to one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mdpseg.errors import UserError, printable
from mdpseg.files import write_text
from mdpseg.report.judged import judge
from mdpseg.report.page import report_page
from mdpseg.report.read import read_run


def build_report(
    folders: Sequence[Path], overrides: Sequence[str] = (), images: int = 50, out: Path | None = None
) -> Path:
    """Writes the page.

    Args:
        folders: of the runs, in the order in which they stand beside each other.
        overrides: ``key=value`` for their recipes, such as ``data_root=data``.
        images: validation images that each network is run over; 0: none.
        out: the page; default: report.html in the first run's folder.

    Returns:
        The page's path.

    Raises:
        UserError: a folder is no run, or its data or weights are not as they should be.
    """
    if not folders:
        raise UserError("No run was named; give the folder of at least one.")
    twice = [folder for folder, times in Counter(folder.resolve() for folder in folders).items() if times > 1]
    if twice:
        raise UserError(f"{twice[0]} is named more than once; name each run once.")
    runs = [read_run(folder, overrides) for folder in folders]
    times = Counter(run.name for run in runs)
    runs = [replace(run, name=printable(str(run.folder))) if times[run.name] > 1 else run for run in runs]
    out = out or folders[0] / "report.html"
    if out.is_dir():
        raise UserError(f"{out} is a folder; name a file for the page, such as {out / 'report.html'}.")
    judgements = {run.name: judge(run, images) if images else None for run in runs}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        page = report_page(runs, judgements).encode("utf-8", "backslashreplace")  # paths may hold any bytes
        write_text(out, page.decode("utf-8"))
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}); choose another file with --out.") from error
    return out
