"""Curves as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from mdpseg.pages.document import COLOURS

_WIDTH, _HEIGHT, _LEFT, _BELOW, _TOP = 640, 260, 52, 30, 10


def line_chart(title: str, curves: Mapping[str, Sequence[tuple[float, float]]], colours: Mapping[str, str]) -> str:
    """One line a run over the steps; an empty text if there is nothing to draw.

    Args:
        title: what the values are.
        curves: run -> (step, value) pairs.
        colours: run -> colour.
    """
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return ""
    right, top = max(x for x, _ in points), max(y for _, y in points)
    low = min(0.0, *(y for _, y in points))
    span = (top - low) or 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - 12) * x / (right or 1)
        return across, _TOP + (_HEIGHT - _TOP - _BELOW) * (1 - (y - low) / span)

    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">'
    ]
    for part in range(5):
        value, step = low + span * part / 4, right * part / 4
        y, x = at(0, value)[1], at(step, low)[0]
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 12}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 10}" text-anchor="middle">{step:.0f}</text>')
    for run, curve in curves.items():
        where = [at(x, y) for x, y in curve]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in where)
        mark = f"<title>{escape(run)}</title>"
        if len(where) == 1:
            (x, y), colour = where[0], colours[run]
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}">{mark}</circle>')
        elif where:
            parts.append(f'<path d="{path}" stroke="{colours[run]}">{mark}</path>')
    parts.append("</svg>")
    return "".join(parts)


def run_colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each run, in their order."""
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def legend(colours: Mapping[str, str]) -> str:
    """Which colour is which run."""
    keys = (
        f'<li><span class="key" style="background: {colour}"></span>{escape(name)}</li>'
        for name, colour in colours.items()
    )
    return f'<ul class="plain">{"".join(keys)}</ul>'
