"""Sums over pixels x keys whose matrix of logits never stands whole: value and gradient in one pass, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from mdpseg.losses.one_pass import Gradients, one_pass
from mdpseg.losses.products import columns_by_columns, pieces, rows_by_columns, rows_by_rows
from mdpseg.losses.reduction import rows_at_once

# A probability above it has all its bits; below it float32 loses some, and in the end is 0.
_FAINT = 1e-30


class Terms(NamedTuple):
    """What a step makes of a chunk of logits."""

    values: Tensor  # float32 [n], the loss terms
    by_logits: Tensor  # float32 [n, m], their gradient, as it goes to the embeddings
    by_moved: Tensor | None = None  # float32 [n, moved], as it goes to the group's moved keys; None: by_logits itself


# step(logits [n, m], room [n, m], pixels [n]); it may write into the first two, and give one of them back.
Step = Callable[[Tensor, Tensor, Tensor], Terms]


class Group(NamedTuple):
    """Pixels whose logits run over the same keys, and what to do with these logits."""

    pixels: Tensor  # int64 [n], rows of the embeddings
    columns: Tensor  # int64 [m], rows of the keys
    step: Step
    moved: Tensor | None = None  # int64, which rows of the keys the terms move; None: all of columns


def streamed_sum(
    embeddings: Tensor, keys: Tensor, groups: Sequence[Group], weights: Tensor, temperature: float
) -> Tensor:
    """The weighted sum of the loss terms that the groups' steps make of logits v.k / tau.

    A step says what the gradient by its logits is, so the forward pass leaves the gradients ready, and a chunk of
    logits is forgotten when the next one comes. They are float32, whatever the inputs' dtypes and autocast.

    Args:
        embeddings: v, [N, D], any float dtype.
        keys: k, [M, D], any float dtype.
        groups: each pixel is in at most one of them.
        weights: float32 [N], without gradient.
        temperature: tau.

    Returns:
        A float32 scalar with a gradient path to embeddings and keys.
    """
    compute = partial(_sum_and_gradients, groups=groups, weights=weights, temperature=temperature)
    return one_pass(compute, embeddings, keys)


def log_normaliser(logits: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax of the rows of ``logits`` [n, m], written into ``room`` [n, m], and log sum exp [n]."""
    probabilities = torch.softmax(logits, 1, out=room)
    return probabilities, _normaliser(logits, probabilities)


def _normaliser(logits: Tensor, probabilities: Tensor) -> Tensor:
    """Log sum exp [n]."""
    # log p = logit - log sum exp, taken where p cannot underflow: two passes less than logsumexp takes
    return logits.amax(1) - probabilities.amax(1).log()


def cross_entropy_rows(logits: Tensor, room: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the rows of ``logits`` [n, m] with the columns ``own`` int64 [n, 1], and its gradient.

    Returns:
        The terms [n], and their gradient by the logits [n, m], which is written into ``room``.
    """
    probabilities = torch.softmax(logits, 1, out=room)
    likely = probabilities.gather(1, own)[:, 0]  # [n]
    if logits.device.type == "cpu" and bool((likely > _FAINT).all()):  # elsewhere the question would hold the run up
        terms = -likely.log()  # two passes less
    else:
        terms = _normaliser(logits, probabilities) - logits.gather(1, own)[:, 0]
    return terms, probabilities.scatter_add_(1, own, probabilities.new_full(own.shape, -1.0))


def _sum_and_gradients(
    inputs: tuple[Tensor, ...],
    needs: tuple[bool, ...],
    groups: Sequence[Group],
    weights: Tensor,
    temperature: float,
) -> tuple[Tensor, Gradients]:
    embeddings, keys = inputs
    dim, float32 = embeddings.shape[1], torch.float32
    total = weights.new_zeros(())
    by_embeddings = _zero_outside(embeddings, groups) if needs[0] else None
    by_keys = torch.zeros_like(keys, dtype=float32, memory_format=torch.contiguous_format) if needs[1] else None
    columns = None
    with torch.autocast(embeddings.device.type, enabled=False):  # it would take the products in bfloat16
        for group in groups:
            if group.columns is not columns:
                columns = group.columns
                chosen = keys[columns].float() / temperature  # [m, D]
                rows = rows_at_once(max(len(columns), dim), embeddings.device)
            moved = columns if group.moved is None else group.moved
            by_moved = None if by_keys is None else chosen.new_zeros(len(moved), dim)
            # written over by each chunk
            sizes = pieces(len(group.pixels), rows, embeddings.device)
            most = max(sizes, default=0)
            logits_room, room = (chosen.new_empty(most, len(chosen)) for _ in range(2))
            gathered, part_room = embeddings.new_empty(most, dim), chosen.new_empty(most, dim)
            for pixels in torch.split(group.pixels, sizes):
                count, place = len(pixels), _place(pixels)
                v, w = _rows_of(embeddings, place, gathered[:count]).float(), weights[place]  # [n, D], [n]
                logits = rows_by_rows(v, chosen, logits_room[:count])  # [n, m]
                terms = group.step(logits, room[:count], pixels)
                total += w.dot(terms.values)
                if by_moved is not None:
                    slope = terms.by_logits if terms.by_moved is None else terms.by_moved
                    by_moved += columns_by_columns(slope, torch.mul(v, w[:, None], out=part_room[:count]))
                if by_embeddings is not None:  # weighted after the product: D columns, not m
                    part = rows_by_columns(terms.by_logits, chosen, part_room[:count]).mul_(w[:, None])
                    _write_rows(by_embeddings, place, part)
            if by_keys is not None and by_moved is not None:
                by_keys.index_add_(0, moved, by_moved, alpha=1 / temperature)
    return total, (by_embeddings, by_keys)


def _place(pixels: Tensor) -> Tensor | slice:
    """Pixels int64 [n], as a slice where they follow one another, whose rows need no copy.

    On the CPU only: elsewhere the run would have to wait for the answer.
    """
    if pixels.device.type == "cpu" and bool((pixels.diff() == 1).all()):
        first = int(pixels[0])
        return slice(first, first + len(pixels))
    return pixels


def _rows_of(matrix: Tensor, place: Tensor | slice, room: Tensor) -> Tensor:
    """Rows [n, D], which must not be changed: a view of the matrix, or a copy in ``room``."""
    return matrix[place] if isinstance(place, slice) else torch.index_select(matrix, 0, place, out=room)


def _write_rows(matrix: Tensor, place: Tensor | slice, rows: Tensor) -> None:
    if isinstance(place, slice):
        matrix[place] = rows
    else:
        matrix.index_copy_(0, place, rows.to(matrix.dtype))


def _zero_outside(embeddings: Tensor, groups: Sequence[Group]) -> Tensor:
    """Room for the gradient by the embeddings [N, D], 0 already where no group has the pixel."""
    if embeddings.device.type != "cpu":  # the host would have to wait for how many these are
        return torch.zeros_like(embeddings, memory_format=torch.contiguous_format)
    gradient = torch.empty_like(embeddings, memory_format=torch.contiguous_format)
    outside = torch.ones(len(embeddings), dtype=torch.bool)
    for group in groups:
        outside[group.pixels] = False
    return gradient.index_fill_(0, outside.nonzero()[:, 0], 0.0)
