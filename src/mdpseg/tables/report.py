"""The results page: what was run, what it says of each conclusion, and all tables. Same results, same page."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

from mdpseg.tables import results
from mdpseg.tables.cells import stage_recipe
from mdpseg.tables.choose import playable
from mdpseg.tables.conclusions import ABLATION, BEYOND, CLOSE, CONCLUSIONS, NOTHING, Comparison, Conclusion
from mdpseg.tables.grid import ROWS, Row
from mdpseg.tables.layout import LEGEND, TITLES, figures_of, grid, in_words, markdown, signed
from mdpseg.tables.measured import Measured, measured, measuring_commands
from mdpseg.tables.preset import Preset
from mdpseg.tables.results import Result
from mdpseg.tables.verdicts import Verdict, judge, summary

_HOW_TO_READ = f"""A comparison is paired: for each seed, the difference between two rows with the same labelled images
and the same order of them, averaged over the targets that both rows are judged on; then mean ± half-width of the 95 %
interval over seeds (Student's t), with the number of seeds in brackets. It *holds* where the interval lies above 0,
*does not* where it lies below, and is *undecided* otherwise. Two rows are close ("C4 as C3") where the interval lies
within {CLOSE:g} points of 0 to either side, and are not where it lies outside; that says something only where no
pretraining at all ({NOTHING}) lies outside of these {CLOSE:g} points, else it is *undecided*. A conclusion holds
where all of its comparisons do, and does not where one of them does not; of the authors', one that says two things is
judged as two, a and b. Each interval stands for itself: of comparisons between equals, one in forty would still read
*holds*, and one in forty *does not*. Settings are paired, code and machine are not: two runs of a seed whose lines have
commits far apart hardly are a pair. Differences are in points of mIoU; the published ones are over the targets named,
and beside them stands what was measured on the targets in their place."""
_MOST_COMMITS = 5


def report_page(preset: Preset, results_path: Path, out: Path | None, report: Path, seeds: range | None = None) -> str:
    """The whole page.

    Args:
        preset: the one that the results were measured with.
        results_path: CSV file of what was measured.
        out: the folder with the pictures, if there is one.
        report: where the page will lie; links start there.
        seeds: only these count; default: all.

    Raises:
        UserError: the results are damaged, or the preset can play no row.
    """
    lines = results.read(results_path, seeds)
    rows = playable(ROWS, preset)
    found = measured(rows, preset, lines)
    parts = [
        _head(preset, results_path, out, report, measuring_commands(rows, found), seeds),
        _what_was_run(preset, rows, results_path, lines, found),
        "## What the authors conclude, and what this replica says\n",
        f"{_prose(_HOW_TO_READ)}\n",
        _conclusions(CONCLUSIONS, found, preset),
        "## Past the published tables\n",
        _conclusions(BEYOND, found, preset),
        _ablation(found, preset),
        f"## The tables\n\n{_prose(LEGEND)}\n",
        *(_table(table, rows, preset, found, out, report) for table in dict.fromkeys(row.table for row in rows)),
    ]
    return "\n".join(parts)


def _head(
    preset: Preset, results_path: Path, out: Path | None, report: Path, measuring: Sequence[str], seeds: range | None
) -> str:
    chosen = "" if preset.name == "small" else f" --preset {preset.source}"
    folder = f" --out {out.as_posix()}" if out else ""
    only = f" --first-seed {seeds.start} --seeds {len(seeds)}" if seeds is not None else ""
    named = f"--results {results_path.as_posix()}"
    note = (
        f"This page is generated from `{results_path.as_posix()}` by the last of these commands, after the others have "
        "measured; do not edit it. What was investigated by hand is in `docs/investigation.md`."
    )
    runs = "".join(f"    mdpseg tables run{chosen} {which} --data-root DATA {named}\n" for which in measuring)
    return f"""# Results

{_prose(note)}

{runs}    mdpseg tables show{chosen} {named}{only}{folder} --report {report.as_posix()}
"""


def _what_was_run(
    preset: Preset, rows: Sequence[Row], results_path: Path, lines: Sequence[Result], found: Measured
) -> str:
    rate, tuning = preset.pretraining, preset.finetuning
    budget = (
        f"Network: {preset.network.encoder}, {preset.network.decoder}. 100 published epochs are {preset.epoch_scale:g} "
        f"times as many here{_example(rows, preset)}. Pretraining: crops of {rate.augment.crop} pixels. Fine-tuning: "
        f"batches of {tuning.batch_size}, crops of {tuning.augment.crop}. Each seed has its own pretraining, its own "
        "labelled images and its own fine-tuning. Every other setting is in the preset, "
        f"`{Path(preset.source).stem}.yaml`."
    )
    roles = [
        [name, _list([dataset.name for dataset in role.datasets]), f"{role.images:,}"]
        for name, role in preset.roles.items()
    ]
    targets = []
    for name, target in preset.targets.items():
        labelled = target.train.subset.words
        iterations, (early, _) = target.iterations or tuning.iterations, target.evaluate_at or tuning.evaluate_at
        after = f"{100 * early:g} %" if early <= 1 else f"{early:g}"
        targets.append([name, target.train.name, labelled, f"{iterations:,}", after])
    return f"""## What was run

{_prose(f"Preset `{preset.name}`. {preset.about}")}

{_prose(budget)}

{grid([["pretraining data", "here", "images"], *roles])}
{grid([["target", "here", "labelled images", "iterations of fine-tuning", "early is after"], *targets])}
{_prose(_provenance(results_path, lines, found))}
"""


def _example(rows: Sequence[Row], preset: Preset) -> str:
    """What the scale comes to for the first row that pretrains."""
    stage = next((row.stages[0] for row in rows if row.stages), None)
    if stage is None:
        return ""
    iterations, batch_size = stage_recipe(stage, preset, 0)["iterations"], preset.pretraining.batch_size
    return (
        f": for {stage.data} and {stage.epochs} epochs, {iterations:,} iterations of {batch_size} images, "
        f"{iterations * batch_size:,} image passes"
    )


def _provenance(results_path: Path, lines: Sequence[Result], found: Measured) -> str:
    """How much was measured, when, and with which code."""
    if not lines:
        return f"Nothing is measured yet: `{results_path.as_posix()}` has no results."
    dates = sorted({line.date for line in lines})
    commits = list(dict.fromkeys(line.commit or "unknown" for line in sorted(lines, key=lambda line: line.date)))
    code = f"commits {', '.join(commits)}"
    if len(commits) > _MOST_COMMITS:
        code = f"{len(commits)} commits from {commits[0]} to {commits[-1]} (each line has its own)"
    runs = [line for line in lines if line.when != "early"]  # a run's two lines both have its time
    hours = sum(run.seconds * run.threads for run in runs) / 3600
    pretrainings = sum(run.kind == "pretraining" for run in runs)
    seeds = sorted({line.seed for line in lines})
    text = (
        f"Measured: {pretrainings} pretrainings and {len(runs) - pretrainings} fine-tunings, {len(seeds)} seeds "
        f"({', '.join(map(str, seeds))}), {hours:.1f} CPU hours (cores held, by the clock), "
        f"{' to '.join(dict.fromkeys([dates[0], dates[-1]]))}, {code}."
    )
    return " ".join([text, found.gaps, found.left_out])


def _conclusions(conclusions: Sequence[Conclusion], found: Measured, preset: Preset) -> str:
    """All at a glance, then each with its figures."""
    glance = [["", "conclusion", "the replica says"]]
    details = []
    for conclusion in conclusions:
        verdicts = [judge(comparison, found, preset) for comparison in conclusion.comparisons]
        said = summary([verdict.word for verdict in verdicts])
        glance.append([conclusion.id, conclusion.text, f"**{said}**"])
        details.append(
            f"### {conclusion.id}: {said}\n\n{_prose(conclusion.text)}\n\n{_figures(verdicts, found.always)}"
        )
        details.append(f"{_prose(_who(conclusion.comparisons))}\n")
    return "\n".join([grid(glance), *details])


def _figures(verdicts: Sequence[Verdict], always: tuple[str, ...]) -> str:
    reported = any(verdict.published is not None for verdict in verdicts)
    names = [
        "comparison",
        *(["*published*", "measured, on the same"] if reported else []),
        "measured",
        "over",
        "verdict",
    ]
    lines = [names]
    for verdict in verdicts:
        published = (
            "" if verdict.published is None else f"{verdict.published:+.2f} ({_list(verdict.published_columns)})"
        )
        line = [verdict.comparison.text, *([published, signed(verdict.same)] if reported else [])]
        over = "all targets" if verdict.columns == always else _list(verdict.columns)
        lines.append([*line, signed(verdict.difference), over, verdict.word])
    return grid(lines)


def _ablation(found: Measured, preset: Preset) -> str:
    """Ours over itself with one part taken back, a line a part."""
    about = {row.id: row.about for row in ROWS}
    lines = [["row", "what", "F4 over it, early", "late"]]
    for part in dict.fromkeys(comparison.worse for comparison in ABLATION):
        verdicts = [judge(comparison, found, preset) for comparison in ABLATION if comparison.worse == part]
        cells = [f"{signed(verdict.difference)} {verdict.word}".strip() for verdict in verdicts]
        lines.append([part, about[part], *cells])
    text = "What each part of ours brings, over all targets: where it *holds*, ours without that part is behind."
    return f"### One part taken back at a time\n\n{text}\n\n{grid(lines)}"


def _table(table: str, rows: Sequence[Row], preset: Preset, found: Measured, out: Path | None, report: Path) -> str:
    own = [row for row in rows if row.table == table]
    text = f"### Table {table}. {TITLES[table]}\n\n{markdown(own, figures_of(own, preset, found), preset)}"
    if out:
        picture = Path(os.path.relpath(out / f"{table}.png", report.parent)).as_posix()
        text += f"\n![Table {table} as a picture]({picture})\n"
    return text


def _who(comparisons: Sequence[Comparison]) -> str:
    """The rows compared, in words."""
    ids = {id for comparison in comparisons for id in (comparison.better, comparison.worse)}
    return in_words([row for row in ROWS if row.id in ids])


def _list(columns: Sequence[str]) -> str:
    return ", ".join(columns)


def _prose(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)
