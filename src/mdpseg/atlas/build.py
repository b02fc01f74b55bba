"""`mdpseg atlas`: from a pretraining's folder to the page and the files beside it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mdpseg.atlas.evidence import Evidence, gather
from mdpseg.atlas.examples import Examples
from mdpseg.atlas.mapping import mapping_text, merged_groups
from mdpseg.atlas.nearest import Neighbour, nearest_classes
from mdpseg.atlas.page import atlas_page
from mdpseg.atlas.projection import dendrogram, neighbours_kept, scale_to_plane
from mdpseg.atlas.relations import Relation, catch_all_ids, propose, unmatched
from mdpseg.atlas.run import PretrainedRun, open_pretrained
from mdpseg.files import make_folder, write_text


@dataclass(frozen=True)
class Atlas:
    """What was made.

    Attributes:
        page: the HTML file.
        relations: what is proposed, best first.
        groups: the merged classes, as global ids.
        names: ``dataset/class`` of each id.
    """

    page: Path
    relations: list[Relation]
    groups: list[list[int]]
    names: list[str]


def build_atlas(folder: Path, overrides: Sequence[str] = (), images: int = 40, out: Path | None = None) -> Atlas:
    """Writes atlas.html, atlas.json, classes.csv, nearest.csv, relations.csv and merge.yaml.

    Args:
        folder: of a finished pretraining.
        overrides: ``key=value`` for its recipe.
        images: sample images of each dataset.
        out: where to; default: ``atlas`` inside ``folder``.

    Raises:
        UserError: as :func:`mdpseg.atlas.run.open_pretrained`, or ``out`` cannot be written.
    """
    run = open_pretrained(folder, overrides)
    out = out or folder / "atlas"
    make_folder(out)
    evidence, examples = gather(run, images)
    space = run.label_space
    known = run.present & (evidence.regions > 0)
    relations = propose(evidence.relative(), space, known)
    vectors = evidence.class_vectors(run.prototypes)  # [K, D]
    neighbours = nearest_classes(vectors, run.present, space)
    groups = merged_groups(relations, space)
    content = _content(folder, run, evidence, vectors, relations, neighbours, groups)
    merge = mapping_text(groups, space)
    if merge is not None:
        write_text(out / "merge.yaml", merge)
    else:
        (out / "merge.yaml").unlink(missing_ok=True)  # of an earlier atlas
    write_text(out / "atlas.json", json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    write_text(out / "classes.csv", _csv(content["classes"]))
    write_text(out / "nearest.csv", _csv(content["nearest"]))
    write_text(out / "relations.csv", _csv(content["relations"], ("first", "kind", "second", "score")))
    write_text(out / "atlas.html", atlas_page(content, _pictures(examples)))
    return Atlas(out / "atlas.html", relations, groups, space.names)


def _content(
    folder: Path,
    run: PretrainedRun,
    evidence: Evidence,
    class_vectors: Tensor,
    relations: Sequence[Relation],
    neighbours: Sequence[Neighbour],
    groups: Sequence[Sequence[int]],
) -> dict[str, Any]:
    """All that the atlas says, without the pictures."""
    space, shares = run.label_space, evidence.shares()
    there = run.present.nonzero()[:, 0].tolist()
    vectors = class_vectors[run.present].double().numpy()
    points = scale_to_plane(vectors)
    similarity = vectors @ vectors.T
    order, knots = dendrogram(1 - similarity)
    place = dict(zip(there, points.tolist(), strict=True))
    rests = catch_all_ids(space)
    known = run.present & (evidence.regions > 0)
    owner = space.dataset_of_class().tolist()
    classes = [
        {
            "class": name,
            "dataset": space.datasets[owner[k]],
            "catch_all": k in rests,
            "prototype": bool(run.present[k]),
            "regions": int(evidence.regions[k]),
            "own_share": round(float(shares[k, k]), 4),
            "x": round(place[k][0], 5) if k in place else None,
            "y": round(place[k][1], 5) if k in place else None,
        }
        for k, name in enumerate(space.names)
    ]
    return {
        "run": folder.resolve().name,
        "datasets": space.datasets,
        "images": evidence.images,
        "neighbours_kept": round(neighbours_kept(vectors, points), 3),
        "classes": classes,
        "relations": [
            {
                "first": space.names[r.first],
                "kind": r.kind,
                "second": space.names[r.second],
                "score": round(r.score, 4),
                "forward": round(r.forward, 4),
                "back": round(r.back, 4),
                "similarity": round(float(class_vectors[r.first] @ class_vectors[r.second]), 4),
            }
            for r in relations
        ],
        "unmatched": [
            {"class": space.names[k], "catch_all": space.names[rest], "share": round(share, 4)}
            for k, rest, share in unmatched(shares, space, known)
        ],
        "nearest": [neighbour.row(space.names, shares) for neighbour in neighbours],
        "merged": [[space.names[k] for k in members] for members in groups],
        "matrix": {
            "order": [space.names[there[i]] for i in order],
            "similarity": [[round(float(similarity[i, j]), 3) for j in order] for i in order],
            "tree": [
                {"left": _leaf(knot.left, order), "right": _leaf(knot.right, order), "height": round(knot.height, 4)}
                for knot in knots
            ],
        },
    }


def _leaf(node: int, order: Sequence[int]) -> int:
    """A leaf by its place in the order; a knot stays what it is: the number of leaves + its own number."""
    return order.index(node) if node < len(order) else node


def _pictures(examples: Examples) -> list[list[dict[str, str]]]:
    return [[{"uri": example.uri, "image": example.image} for example in best] for best in examples.best]


def _csv(rows: Sequence[dict[str, Any]], header: Iterable[str] = ()) -> str:
    """Rows as CSV; ``header`` is what an empty list has."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else list(header), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
