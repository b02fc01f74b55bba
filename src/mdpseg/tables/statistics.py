"""Mean and 95 % interval over seeds, and what an interval says of a claim."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Two-sided 95 % (0.975) quantiles of Student's t for 1 to 30 degrees of freedom: NIST/SEMATECH e-Handbook of
# Statistical Methods, section 1.3.6.7.2. The last one serves all beyond; it errs to the wide side, by 4 % at most.
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)

HOLDS, DOES_NOT, UNDECIDED, NOT_MEASURED = "holds", "does not", "undecided", "not measured"


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: over the seeds.
        half_width: of its 95 % interval (Student's t); None for a single seed, which has none.
        seeds: how many.
    """

    mean: float
    half_width: float | None
    seeds: int


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean and interval of one value a seed; None if there is no value."""
    count = len(values)
    if count == 0:
        return None
    half_width = t_quantile(count - 1) * statistics.stdev(values) / math.sqrt(count) if count > 1 else None
    return Estimate(statistics.fmean(values), half_width, count)


def t_quantile(freedom: int) -> float:
    """The factor of a 95 % interval with so many degrees of freedom."""
    return _T[min(freedom, len(_T)) - 1]


def paired(better: Mapping[int, float], worse: Mapping[int, float]) -> dict[int, float]:
    """Seed by seed, how far the first is ahead: a seed has the same labelled images and order for both."""
    return {seed: better[seed] - worse[seed] for seed in sorted(better.keys() & worse.keys())}


def ahead(difference: Estimate | None, times: float = 0.0) -> str:
    """Is a difference above 0?

    Args:
        difference: of two rows.
        times: so many half-widths it must be at least, beside its interval lying above 0.
    """
    if difference is None:
        return NOT_MEASURED
    if difference.half_width is None:
        return UNDECIDED
    if difference.mean > difference.half_width and difference.mean >= times * difference.half_width:
        return HOLDS
    return DOES_NOT if difference.mean < -difference.half_width else UNDECIDED


def close(difference: Estimate | None, within: float) -> str:
    """Is a difference smaller than ``within``, to either side, by its whole interval?"""
    if difference is None:
        return NOT_MEASURED
    if difference.half_width is None:
        return UNDECIDED
    if abs(difference.mean) + difference.half_width < within:
        return HOLDS
    return DOES_NOT if abs(difference.mean) - difference.half_width > within else UNDECIDED
