"""The report as one HTML page. Every text that comes from a run or its data is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from mdpseg.config import DatasetConfig, PretrainConfig
from mdpseg.errors import printable
from mdpseg.pages.document import document
from mdpseg.recipe import dump
from mdpseg.report.charts import legend, line_chart, run_colours
from mdpseg.report.compare import differing, repetitions
from mdpseg.report.judged import Judged, Judgement
from mdpseg.report.read import Run

_MOST_ROWS = 24  # of a confusion table; larger ones show their worst confusions only


def report_page(runs: Sequence[Run], judgements: Mapping[str, Judgement | None]) -> str:
    """The page.

    Args:
        runs: their names differ.
        judgements: name -> what its network does on validation images.
    """
    names = [run.name for run in runs]
    colours = run_colours(names)
    sections = [
        ("Overview", _overview(runs)),
        ("Means over seeds", _means(runs)),
        ("Settings that differ", _table(["setting", *names], [[k, *v] for k, v in differing(runs).items()])),
        ("Curves", _curves(runs, colours)),
        ("IoU of each class", _class_bars(runs, colours)),
        *((f"Confusion: {run.name}", _confusion(judgements.get(run.name))) for run in runs),
        *((f"Best and worst images: {run.name}", _images(judgements.get(run.name))) for run in runs),
        ("Data", _data(runs)),
        ("All settings", "".join(map(_recipe, runs))),
    ]
    title = f"Run report: {', '.join(names)}"
    body = f"<header><h1>{escape(title)}</h1></header><main>"
    body += "".join(f"<section><h2>{escape(head)}</h2>{text}</section>" for head, text in sections if text)
    return document(title, f"{body}</main>")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], label: str = "table") -> str:
    """Plain texts as a table, the first column as row heads; nothing if there are no rows."""
    if not rows:
        return ""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = (
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label, quote=True)}"><table><thead>'
        f"<tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _overview(runs: Sequence[Run]) -> str:
    def shown(run: Run) -> list[str]:
        scores, last = run.last_scores, run.values("loss")
        return [
            run.kind,
            str(run.config.seed),
            f"{last[-1][0]:.0f} of {run.config.iterations}" if last else f"0 of {run.config.iterations}",
            run.config.init,
            f"{last[-1][1]:.4g}" if last else "—",
            f"{100 * scores.mean_iou:.1f} %" if scores else "—",
            f"{100 * scores.pixel_accuracy:.1f} %" if scores else "—",
            f"{run.speed:.1f} images/s" if run.speed else "—",
            f"{last[-1][0] * run.config.batch_size / run.speed / 60:.1f} min" if run.speed and last else "—",
        ]

    heads = ("kind", "seed", "steps", "from", "last loss", "mIoU", "pixel accuracy", "speed", "time in training steps")
    columns = [shown(run) for run in runs]
    rows = [[head, *(column[i] for column in columns)] for i, head in enumerate(heads)]
    if len(runs) == 2:
        one, two = (run.last_scores for run in runs)
        if one and two:
            ahead = 100 * (two.mean_iou - one.mean_iou)
            rows.append(["second less first", "", f"{ahead:+.1f} % mIoU"])
    return _table(["", *(run.name for run in runs)], rows, "overview")


def _means(runs: Sequence[Run]) -> str:
    parts = []
    for group in repetitions(runs):
        rows = [
            [str(step), f"{100 * e.mean:.1f} ± {100 * (e.half_width or 0):.1f} %", str(e.seeds)]
            for step, e in group.figures.items()
        ]
        who = escape(", ".join(run.name for run in group.runs))
        parts.append(f"<p>{who} share everything but the seed; mean mIoU and 95 % interval (Student's t):</p>")
        parts.append(_table(["after step", "mIoU", "seeds"], rows, "means over seeds"))
    return "".join(parts)


def _curves(runs: Sequence[Run], colours: Mapping[str, str]) -> str:
    parts = []
    for name, title in (("loss", "Loss"), ("mean_iou", "mIoU on val"), ("lr", "Learning rate")):
        chart = line_chart(title, {run.name: run.values(name) for run in runs}, colours)
        if chart:
            parts.append(f"<div><h3>{title}</h3>{chart}</div>")
    return legend(colours) + f'<div class="columns">{"".join(parts)}</div>' if parts else ""


def _class_bars(runs: Sequence[Run], colours: Mapping[str, str]) -> str:
    judged = [(run, run.last_scores) for run in runs if run.last_scores]
    names = dict.fromkeys(name for _, scores in judged if scores for name in scores.class_iou)
    if not names:
        return ""
    rows = []
    for name in names:
        cells = []
        values = [scores.class_iou.get(name) if scores else None for _, scores in judged]
        for (run, _), value in zip(judged, values, strict=True):
            if value is None:
                cells.append("<td>absent</td>")
                continue
            bar = f'<span class="bar" style="width: {90 * value:.0f}px; background: {colours[run.name]}"></span>'
            cells.append(f"<td>{bar} {100 * value:.1f}</td>")
        if len(values) == 2:
            one, two = values
            cells.append(f"<td>{100 * (two - one):+.1f}</td>" if one is not None and two is not None else "<td></td>")
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>')
    heads = ["class", *(f"{run.name}, %" for run, _ in judged), *(["second less first"] if len(judged) == 2 else [])]
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="IoU of each class"><table><thead><tr>'
        f"{top}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _confusion(judgement: Judgement | None) -> str:
    if judgement is None:
        return ""
    counts, names = judgement.counts.double(), judgement.classes
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    text = (
        f'<p class="soft">{judgement.images} of {judgement.of} validation images; share of each class\'s pixels (row) '
        "that are predicted as another (column), in per cent.</p>"
    )
    if len(names) <= _MOST_ROWS:
        top = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
        rows = []
        for i, name in enumerate(names):
            cells = "".join(
                f'<td style="background: rgb(0 114 178 / {0.6 * float(share):.2f})">{100 * float(share):.0f}</td>'
                for share in shares[i]
            )
            rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
        text += (
            '<div class="scroll" tabindex="0" role="region" aria-label="Confusion"><table class="heat"><thead><tr>'
            f"<th>truth</th>{top}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        )
    off = shares.clone()
    off.fill_diagonal_(0)
    worst = [divmod(int(place), len(names)) for place in off.flatten().argsort(descending=True)[:8]]
    listed = [[names[i], names[j], f"{100 * float(off[i, j]):.0f} %"] for i, j in worst if off[i, j] > 0]
    return text + _table(["truth", "predicted as", "share of the class"], listed, "largest confusions")


def _images(judgement: Judgement | None) -> str:
    if judgement is None:
        return ""

    def shown(entry: Judged) -> str:
        kinds = ("image", "truth", "prediction")
        figures = "".join(
            f'<figure><img src="{uri}" alt="{kind} of {escape(entry.image, quote=True)}">'
            f'<figcaption class="soft">{kind}</figcaption></figure>'
            for kind, uri in zip(kinds, entry.pictures, strict=True)
        )
        return f'<p>{escape(entry.image)}: mIoU {100 * entry.iou:.1f} %</p><div class="triple">{figures}</div>'

    parts = [
        f"<div><h3>{head}</h3>{''.join(map(shown, entries))}</div>"
        for head, entries in (("Best", judgement.best), ("Worst", judgement.worst))
        if entries
    ]
    return f'<div class="columns">{"".join(parts)}</div>' if parts else ""


def _data(runs: Sequence[Run]) -> str:
    rows = []
    for run in runs:
        config = run.config
        if isinstance(config, PretrainConfig):
            used = [("pretrained on", dataset) for dataset in config.datasets]
        else:
            used = [("trained on", config.train), *([("judged on", config.val)] if config.val else [])]
        for purpose, data in used:
            told = [data.name, data.reader, _where(data), data.split, data.subset.words]
            rows.append([run.name, purpose, *told])
    return _table(["run", "", "dataset", "reader", "where", "split", "part"], rows, "data")


def _where(data: DatasetConfig) -> str:
    if data.reader == "toy":
        return f"world {data.world}, {data.count} images"
    places = (data.path, data.url, data.hf and data.hf.hub, data.images, data.masks)
    return printable(", ".join(str(place) for place in places if place))


def _recipe(run: Run) -> str:
    return f"<details><summary>{escape(run.name)}</summary><pre>{escape(dump(run.config))}</pre></details>"
