"""Several runs: which are repetitions of each other, and in which settings they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mdpseg.report.read import Run
from mdpseg.tables.statistics import Estimate, estimate


@dataclass(frozen=True)
class Repetitions:
    """Runs that share everything but the seed.

    Attributes:
        runs: at least two.
        figures: step -> mean IoU over them, for the steps that all of them were judged after.
    """

    runs: list[Run]
    figures: dict[int, Estimate]


def repetitions(runs: Sequence[Run]) -> list[Repetitions]:
    """The groups of repetitions, in the order of their first runs; of a seed that was run again, the first run."""
    groups: dict[tuple[tuple[str, str], ...], dict[int, Run]] = {}
    for run in runs:
        groups.setdefault(run.all_but_seed(), {}).setdefault(run.config.seed, run)
    return [_repeated(list(group.values())) for group in groups.values() if len(group) > 1]


def _repeated(runs: list[Run]) -> Repetitions:
    steps = sorted(set.intersection(*({*run.scores} for run in runs)))
    figures = {}
    for step in steps:
        found = estimate([run.scores[step].mean_iou for run in runs])
        assert found is not None  # there are runs
        figures[step] = found
    return Repetitions(runs, figures)


def differing(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Settings that are not the same in all runs: name -> the value of each run; an absent one is a dash."""
    settings = [run.settings() for run in runs]
    names = dict.fromkeys(name for one in settings for name in one)
    found = {name: [one.get(name, "—") for one in settings] for name in names}
    return {name: values for name, values in found.items() if len(set(values)) > 1}
