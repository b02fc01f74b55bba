"""How right are the relations that `mdpseg atlas` proposes? Precision and recall against what is known to be true.

    python benchmarks/relations.py RUN [RUN ...] --truth worlds --out benchmarks/relations-worlds.csv
    python benchmarks/relations.py RUN [RUN ...] --truth benchmarks/relations-truth.csv data_root=../shared/data \\
        --out benchmarks/relations-photographs.csv

RUN is the folder of a pretraining. The embedded worlds know their own truth; the list of true pairs of the photographs
was written down before any output was seen. Beside our proposals stands what prototypes alone give: each pair of
classes that are each other's nearest, called the same.
"""

from __future__ import annotations

import argparse
import csv
from datetime import date
from itertools import combinations
from pathlib import Path

from mdpseg.atlas.evidence import gather
from mdpseg.atlas.nearest import nearest_classes
from mdpseg.atlas.relations import catch_all_ids, propose
from mdpseg.atlas.run import PretrainedRun, open_pretrained
from mdpseg.data.toy.kinds import kinds_of
from mdpseg.tables.statistics import estimate

Truth = dict[tuple[str, str], str]  # (first, second) -> kind; the part stands first


def truth_of_worlds(run: PretrainedRun) -> Truth:
    worlds = {dataset.name: dataset.world for dataset in run.config.datasets}
    rests = {run.label_space.names[k] for k in catch_all_ids(run.label_space)}
    kinds = {
        full: kinds_of(worlds[full.split("/")[0]], full.split("/")[1])
        for full in run.label_space.names
        if full not in rests
    }
    found: Truth = {}
    for a, b in combinations(kinds, 2):
        if a.split("/")[0] == b.split("/")[0]:
            continue
        if kinds[a] == kinds[b]:
            found[a, b] = "same as"
        elif kinds[a] < kinds[b]:
            found[a, b] = "part of"
        elif kinds[b] < kinds[a]:
            found[b, a] = "part of"
        elif kinds[a] & kinds[b]:
            found[a, b] = "overlaps"
    return found


def truth_of_file(path: Path, run: PretrainedRun) -> Truth:
    with path.open(encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {
            (row["class"], row["other"]): row["relation"]
            for row in rows
            if {row["class"], row["other"]} <= set(run.label_space.names)
        }


def canonical(pairs: Truth) -> dict[tuple[str, str], tuple[str, str]]:
    """Unordered pair -> its kind, and which class is the part."""
    return {(min(a, b), max(a, b)): (kind, a if kind == "part of" else "") for (a, b), kind in pairs.items()}


def judge(proposed: Truth, truth: Truth) -> dict[str, tuple[int, int, int]]:
    """What is judged -> how many are right, proposed, true."""
    said, true = canonical(proposed), canonical(truth)
    judged = {
        "any relation": (len(said.keys() & true.keys()), len(said), len(true)),
        "relation and kind": (sum(true.get(pair) == kind for pair, kind in said.items()), len(said), len(true)),
    }
    for kind in ("same as", "part of", "overlaps"):
        ours, theirs = ({p: k for p, k in found.items() if k[0] == kind} for found in (said, true))
        judged[kind] = sum(theirs.get(p) == k for p, k in ours.items()), len(ours), len(theirs)
    return judged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="folders of pretrainings, and key=value for their recipes")
    parser.add_argument("--truth", required=True, help="worlds, or a CSV file")
    parser.add_argument("--images", type=int, default=40, help="of each dataset")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    overrides = [text for text in given.runs if "=" in text]
    rows = []
    for folder in [Path(text) for text in given.runs if "=" not in text]:
        run = open_pretrained(folder, overrides)
        space = run.label_space
        truth = truth_of_worlds(run) if given.truth == "worlds" else truth_of_file(Path(given.truth), run)
        evidence, _ = gather(run, given.images)
        relations = propose(evidence.relative(), space, run.present & (evidence.regions > 0))
        ours = {(space.names[r.first], space.names[r.second]): r.kind for r in relations}
        rests = catch_all_ids(space)
        vectors = {
            "mutually nearest prototypes": run.prototypes,
            "mutually nearest, prototype + mean region": evidence.class_vectors(run.prototypes),
        }
        methods: dict[str, Truth] = {"atlas": ours}
        for method, of_classes in vectors.items():
            methods[method] = {
                (space.names[n.this], space.names[n.other]): "same as"
                for n in nearest_classes(of_classes, run.present, space, shown=1)
                if n.this < n.other and n.rank_back == 1 and not {n.this, n.other} & rests
            }
        for method, proposed in methods.items():
            for what, (right, said, true) in judge(proposed, truth).items():
                rows.append((method, what, run.config.seed, given.images, right, said, true))
        for pair, kind in sorted(ours.items()):
            mark = (
                "right"
                if canonical(truth).get((min(pair), max(pair))) == canonical({pair: kind})[min(pair), max(pair)]
                else ("related" if (min(pair), max(pair)) in canonical(truth) else "WRONG")
            )
            print(f"seed {run.config.seed} {mark:8} {pair[0]} {kind} {pair[1]}")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with given.out.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# benchmarks/relations.py, {date.today()}; right / proposed = precision, right / true = recall\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["method", "judged", "seed", "images", "right", "proposed", "true", "precision", "recall"])
        for row in rows:
            right, said, true = row[-3:]
            shown = [f"{right / n:.3f}" if n else "" for n in (said, true)]
            writer.writerow([*row, *shown])
    for method, what in dict.fromkeys(row[:2] for row in rows):
        chosen = [row for row in rows if row[:2] == (method, what)]
        for name, place in (("precision", -2), ("recall", -1)):
            mean = estimate([row[-3] / row[place] for row in chosen if row[place]])
            if mean:
                print(f"{method}, {what}: {name} {mean.mean:.2f} +- {mean.half_width or 0:.2f} ({mean.seeds} seeds)")


if __name__ == "__main__":
    main()
