"""Proposed relations between the classes of different datasets, from directed evidence.

A similarity cannot tell *same as* from *part of*; directions can. Let f be the share of a's pixels that the network
puts under b when it may choose among the classes of b's dataset, and g the share of b's pixels that it puts under a;
each as a part of what it finds of the other class's own pixels. Both high: the same thing. Much of a under b, but only
some of b under a: a is a part of b. Something of both: overlaps. Where hardly any of b comes back to a, a went to b for
want of anything better, and nothing is proposed. The thresholds were chosen on the embedded worlds with seed 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from mdpseg.label_space import LabelSpace

Kind = Literal["same as", "part of", "overlaps"]

MOST = 0.4  # of a class's pixels: "it is called b there"
BACK = 0.2  # of b's pixels that must come back to a for a to be a part of it
SOME = 0.3  # both ways, for an overlap
WHOLE = 0.8  # both ways: the same thing, even where other classes are parts of b


@dataclass(frozen=True)
class Relation:
    """``first`` kind ``second``: ids of two classes of different datasets.

    Attributes:
        first, second: global ids; of ``part of`` the first one is the part, else it is the smaller id.
        kind: what is proposed.
        score: 0..1. Same as: the smaller direction. Part of: the share of the part under the whole. Overlaps: the
            geometric mean of both.
        forward, back: f and g from first to second, see above.
    """

    first: int
    second: int
    kind: Kind
    score: float
    forward: float
    back: float


def catch_all_ids(space: LabelSpace) -> set[int]:
    """The datasets' catch-all classes. They compete for pixels, and that is all: they hold the rest, no thing."""
    return {space.names.index(f"{dataset}/{name}") for dataset, name in space.catch_alls.items()}


def propose(relative: Tensor, space: LabelSpace, known: Tensor) -> list[Relation]:
    """All relations that the evidence speaks for, best first.

    Args:
        relative: [K, K], see :meth:`mdpseg.atlas.evidence.Evidence.relative`.
        space: the K classes.
        known: bool [K], classes with a prototype whose pixels were met.
    """
    owner = space.dataset_of_class().tolist()
    catch_alls = catch_all_ids(space)
    judged = [k for k in range(space.num_classes) if bool(known[k]) and k not in catch_alls]
    table = relative.tolist()
    found = []
    for a in judged:
        for b in judged:
            if a < b and owner[a] != owner[b]:
                relation = _between(a, b, table, judged, owner)
                if relation is not None:
                    found.append(relation)
    return sorted(found, key=lambda r: (-r.score, r.first, r.second))


def _between(a: int, b: int, shares: list[list[float]], judged: list[int], owner: list[int]) -> Relation | None:
    forward, back = shares[a][b], shares[b][a]
    a_in_b = Relation(a, b, "part of", forward, forward, back)
    b_in_a = Relation(b, a, "part of", back, back, forward)
    smaller, larger = sorted((forward, back))
    if smaller >= MOST:
        if smaller < WHOLE and _is_whole_of_others(b, a, shares, judged, owner):
            return a_in_b
        if smaller < WHOLE and _is_whole_of_others(a, b, shares, judged, owner):
            return b_in_a
        return Relation(a, b, "same as", smaller, forward, back)
    if larger >= MOST and smaller >= BACK:
        return a_in_b if forward > back else b_in_a
    return Relation(a, b, "overlaps", (forward * back) ** 0.5, forward, back) if smaller >= SOME else None


def _is_whole_of_others(whole: int, part: int, shares: list[list[float]], judged: list[int], owner: list[int]) -> bool:
    """Whether more classes of ``part``'s dataset are parts of ``whole``: then ``part`` is but one of them."""
    return any(
        owner[k] == owner[part] and k != part and shares[k][whole] >= MOST and shares[whole][k] >= BACK for k in judged
    )


def unmatched(shares: Tensor, space: LabelSpace, known: Tensor) -> list[tuple[int, int, float]]:
    """Classes that another dataset has no class for: most of their pixels fall into its catch-all.

    Returns:
        (class, catch-all, share), in order of class.
    """
    catch_alls = catch_all_ids(space)
    owner = space.dataset_of_class().tolist()
    return [
        (k, rest, float(shares[k, rest]))
        for k in range(space.num_classes)
        for rest in sorted(catch_alls)
        if owner[k] != owner[rest] and k not in catch_alls and bool(known[k]) and float(shares[k, rest]) >= MOST
    ]
