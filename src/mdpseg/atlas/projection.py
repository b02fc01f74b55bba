"""Where classes lie on the map, and in which order they stand in the matrix.

The map is a least-squares scaling of the classes' distances (stress majorisation, SMACOF), started from principal
components. It is deterministic, has nothing to tune, and its distances mean something everywhere, which those of t-SNE
or UMAP do not. Short distances weigh more (1 / d^2), because one looks for classes that lie together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROUNDS = 300
_NEIGHBOURS = 5


def distances(vectors: Array) -> Array:
    """Euclidean distances [K, K] between rows [K, D]."""
    squares = (vectors**2).sum(1)
    between: Array = np.sqrt(np.clip(squares[:, None] + squares[None] - 2 * vectors @ vectors.T, 0, None))
    np.fill_diagonal(between, 0)
    return between


def scale_to_plane(vectors: Array) -> Array:
    """Points [K, 2] whose distances are as those of ``vectors`` [K, D], as nearly as they can be."""
    count = len(vectors)
    wanted = distances(vectors)
    centred = vectors - vectors.mean(0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((count, 2))
    points[:, : min(2, len(singular))] = (left * singular)[:, :2]
    if count < 3:
        return points
    floor = max(1e-3, float(np.median(wanted)) * 0.05)  # equal vectors must not outweigh all others
    weights = (1 - np.eye(count)) / np.maximum(wanted, floor) ** 2
    laplacian = np.diag(weights.sum(1)) - weights
    inverse = np.linalg.pinv(laplacian)
    for _ in range(_ROUNDS):
        now = distances(points)
        ratio = np.divide(weights * wanted, now, out=np.zeros_like(now), where=now > 1e-12)
        moved = inverse @ ((np.diag(ratio.sum(1)) - ratio) @ points)
        done = float(np.abs(moved - points).max()) < 1e-6
        points = moved
        if done:
            break
    return points


def neighbours_kept(vectors: Array, points: Array) -> float:
    """Share of each class's nearest classes that are also among its nearest on the map."""
    count = len(vectors)
    neighbours = min(_NEIGHBOURS, count - 1)
    if neighbours < 1:
        return 1.0
    kept = 0
    for there, here in zip(distances(vectors), distances(points), strict=True):
        kept += len({*there.argsort()[: neighbours + 1]} & {*here.argsort()[: neighbours + 1]}) - 1
    return max(0.0, kept / (count * neighbours))


@dataclass(frozen=True)
class Merge:
    """One knot of the dendrogram: ``left`` and ``right`` are leaves (below K) or earlier knots (K + number)."""

    left: int
    right: int
    height: float


def dendrogram(apart: Array) -> tuple[list[int], list[Merge]]:
    """Average linkage.

    Args:
        apart: [K, K] symmetric dissimilarities.

    Returns:
        The leaves in the order in which they stand below the tree, and its K - 1 knots from the lowest up.
    """
    count = len(apart)
    between = apart.astype(float).copy()
    np.fill_diagonal(between, np.inf)
    members = {i: [i] for i in range(count)}
    slot = {i: i for i in range(count)}  # row of `between` -> leaf or knot
    knots: list[Merge] = []
    for _ in range(count - 1):
        a, b = sorted(divmod(int(between.argmin()), count))
        left, right = slot[a], slot[b]
        knots.append(Merge(left, right, float(between[a, b])))
        sizes = len(members[left]), len(members[right])
        mean = (between[a] * sizes[0] + between[b] * sizes[1]) / sum(sizes)
        between[a], between[:, a] = mean, mean
        between[b], between[:, b] = np.inf, np.inf
        between[a, a] = np.inf
        slot[a] = count + len(knots) - 1
        members[slot[a]] = members.pop(left) + members.pop(right)
        del slot[b]
    return (next(iter(members.values())) if members else []), knots
