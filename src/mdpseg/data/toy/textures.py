"""The textures of the embedded worlds: one atlas of seamless tiles, shared by all worlds.

A kind of thing keeps its texture family in every world; a world changes only how strongly the texture shows.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tile = NDArray[np.float32]
Field = NDArray[Any]  # a tile before it is clipped and cast

TILE = 64
_Y: Tile
_X: Tile
_Y, _X = np.mgrid[0:TILE, 0:TILE].astype(np.float32)


def _noise(rng: np.random.Generator, reach_y: int, reach_x: int) -> Tile:
    """Seamless noise smoothed by a box of the given reach, twice; zero mean, unit deviation. [TILE, TILE]."""
    field = rng.standard_normal((TILE, TILE), dtype=np.float32)
    for _ in range(2):
        field = np.mean([np.roll(field, s, 0) for s in range(-reach_y, reach_y + 1)], axis=0)
        field = np.mean([np.roll(field, s, 1) for s in range(-reach_x, reach_x + 1)], axis=0)
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def _cells(rng: np.random.Generator, height: int, width: int, shift: int) -> tuple[Tile, Tile, Tile]:
    """A wall of cells, odd rows shifted: place in the cell (y, x), random tone a cell. Each [TILE, TILE]."""
    row = (_Y // height).astype(int)
    x = (_X + shift * (row % 2)) % TILE
    tone = rng.uniform(-1, 1, (TILE // height, TILE // width)).astype(np.float32)
    return _Y % height, x % width, tone[row, (x // width).astype(int)]


def _brick(rng: np.random.Generator) -> Field:
    y, x, tone = _cells(rng, 8, 16, 8)
    return np.where((y < 2) | (x < 2), -1.0, 0.35 + 0.5 * tone)


def _shingle(rng: np.random.Generator) -> Field:
    y, x, tone = _cells(rng, 8, 8, 4)
    return np.where(np.abs(x - 4) > 5 - y / 2, -1.0, (y - 3) / 6 + 0.3 * tone)


def _windows(rng: np.random.Generator) -> Field:
    y, x, tone = _cells(rng, 16, 16, 0)
    return np.where((y > 4) & (y < 13) & (x > 3) & (x < 13), np.where(tone > 0.4, 1.0, -1.0), 0.15)


def _corrugated(rng: np.random.Generator) -> Field:
    return np.asarray(np.where(_X % 8 < 3, -0.9, 0.5) + 0.1 * _noise(rng, 1, 1), np.float32)


def _plank(rng: np.random.Generator) -> Field:
    return np.asarray(np.where(_Y % 16 < 3, -1.0, 0.3) + 0.2 * _noise(rng, 0, 4), np.float32)


def _fabric(rng: np.random.Generator) -> Field:
    return np.asarray(np.where(_Y % 16 < 8, -0.8, 0.8) + 0.1 * _noise(rng, 1, 1), np.float32)


def _ripple(rng: np.random.Generator) -> Field:
    return np.sin(2 * np.pi * _Y * 6 / TILE + 1.3 * _noise(rng, 3, 9)) * 0.8 + 0.25 * _noise(rng, 0, 3)


def _fur(rng: np.random.Generator) -> Field:
    streaks = _noise(rng, 0, 4)
    return np.stack([np.roll(line, y) for y, line in enumerate(streaks)]) * 0.45  # slanted


def _leaf(rng: np.random.Generator) -> Field:
    return np.asarray(np.tanh(1.6 * _noise(rng, 2, 2)) * 0.9, np.float32)


def _metal(rng: np.random.Generator) -> Field:
    return np.cos(2 * np.pi * _Y / TILE) * 0.7 + 0.05 * _noise(rng, 1, 1)


_RECIPES: dict[str, Callable[[np.random.Generator], Field]] = {
    "plain": lambda rng: 0.1 * _noise(rng, 2, 2),
    "brick": _brick,
    "shingle": _shingle,
    "windows": _windows,
    "corrugated": _corrugated,
    "plank": _plank,
    "fabric": _fabric,
    "ripple": _ripple,
    "fur": _fur,
    "leaf": _leaf,
    "metal": _metal,
    "tuft": lambda rng: 0.45 * _noise(rng, 4, 0),
    "bark": lambda rng: 0.6 * _noise(rng, 6, 1),
    "gravel": lambda rng: 0.4 * _noise(rng, 0, 0),
    "cloud": lambda rng: np.clip(0.5 * _noise(rng, 4, 8), -0.15, 1),
}

TEXTURES: tuple[str, ...] = tuple(_RECIPES)


@cache
def atlas() -> Tile:
    """All tiles, in the order of `TEXTURES`, made once a process from fixed seeds.

    Returns:
        float32 [T, TILE, TILE], values in [-1, 1], seamless at the borders.
    """
    tiles = [make(np.random.Generator(np.random.Philox(number))) for number, make in enumerate(_RECIPES.values())]
    return np.asarray(np.clip(np.stack(tiles), -1, 1), np.float32)
