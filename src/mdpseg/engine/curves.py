"""Curves of a run as a picture."""

from __future__ import annotations

from matplotlib.figure import Figure

from mdpseg.engine.run_folder import RunFolder
from mdpseg.files import write_whole

_LEFT_OUT = ("step", "images_per_second")


def draw_curves(run: RunFolder) -> None:
    """Writes curves.png: one panel for each value in metrics.jsonl, against the step."""
    series: dict[str, list[tuple[int, float]]] = {}
    for record in run.records():
        for name, value in record.items():
            if name not in _LEFT_OUT and isinstance(value, (int, float)):
                series.setdefault(name, []).append((record["step"], value))
    if not series:
        return
    figure = Figure(figsize=(3.2 * len(series), 2.6))  # not pyplot's: a notebook's own plots stay as they are
    axes = figure.subplots(1, len(series), squeeze=False)
    for axis, (name, points) in zip(axes[0], series.items(), strict=True):
        axis.plot(*zip(*points, strict=True), linewidth=1.2, marker="o" if len(points) < 5 else "")
        axis.set_title(name)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    figure.tight_layout()
    write_whole(run.path / "curves.png", lambda temporary: figure.savefig(temporary, dpi=110))
