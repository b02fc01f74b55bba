"""The shapes of the things in the embedded worlds: one short function a kind, shared by all worlds.

A shape is a list of parts in painting order. Its coordinates are in units of its own height: x to the right
with the middle at 0, y upwards from the ground at 0 to the top at 1. Every call varies the proportions.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


class Part(NamedTuple):
    """One polygon of a shape.

    Attributes:
        points: [N, 2] corners (x, y).
        paint: which of the object's colours fills it, a name in `looks.Look.paints_for`.
        texture: a name in `textures.TEXTURES`.
        repeats: how often the texture's tile repeats over the object's height.
    """

    points: Points
    paint: str
    texture: str = "plain"
    repeats: float = 1.0


Shape = list[Part]

_ANGLES = np.linspace(0, 2 * np.pi, 14, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)  # [14, 2]


def _box(x0: float, y0: float, x1: float, y1: float) -> Points:
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def _oval(x: float, y: float, rx: float, ry: float | None = None) -> Points:
    return np.array((x, y)) + _CIRCLE * (rx, rx if ry is None else ry)


def _poly(*corners: tuple[float, float]) -> Points:
    return np.array(corners)


def _wheels(radius: float, *places: float) -> Shape:
    tyres = [Part(_oval(x, radius, radius), "dark") for x in places]
    return tyres + [Part(_oval(x, radius, radius * 0.45), "pale") for x in places]


def car(rng: np.random.Generator) -> Shape:
    """A low body, a cabin with two panes, two wheels."""
    half, hood, cabin = rng.uniform((1.0, 0.45, 0.5), (1.25, 0.58, 0.75))
    back = -0.55 * half * rng.uniform(0.9, 1.5)
    body = _poly(
        (-half, 0.17),
        (half, 0.17),
        (half, hood - 0.12),
        (half * 0.8, hood),
        (-half * 0.92, hood),
        (-half, 0.4),
    )
    roof = _poly((back - 0.25, hood - 0.02), (back, 1), (cabin * 0.6, 1), (cabin + 0.15, hood - 0.02))
    middle = (back + cabin * 0.6) / 2
    return [
        Part(roof, "body", "metal"),
        Part(body, "body", "metal"),
        Part(
            _poly(
                (back - 0.1, hood + 0.03),
                (back + 0.06, 0.9),
                (middle - 0.05, 0.9),
                (middle - 0.05, hood + 0.03),
            ),
            "glass",
        ),
        Part(
            _poly((middle + 0.05, hood + 0.03), (middle + 0.05, 0.9), (cabin * 0.55, 0.9), (cabin, hood + 0.03)),
            "glass",
        ),
        Part(_box(half * 0.88, hood - 0.25, half, hood - 0.12), "lamp"),
        *_wheels(0.22, -half * 0.58, half * 0.6),
    ]


def truck(rng: np.random.Generator) -> Shape:
    """A corrugated cargo box behind a cab, three wheels."""
    length, cab, load = rng.uniform((1.2, 0.4, 0.85), (1.6, 0.5, 1.0))
    front = length / 2
    split = front - cab
    return [
        Part(_box(-front, 0.14, front, 0.26), "dark"),
        Part(_box(-front, 0.22, split - 0.04, load), "accent", "corrugated", 1.3),
        Part(
            _poly((split, 0.16), (front, 0.16), (front, 0.45), (front - 0.1, 0.74), (split, 0.74)),
            "body",
            "metal",
        ),
        Part(
            _poly((split + 0.1, 0.46), (front - 0.04, 0.46), (front - 0.13, 0.67), (split + 0.1, 0.67)),
            "glass",
        ),
        Part(_box(front - 0.07, 0.22, front, 0.31), "lamp"),
        *_wheels(0.14, -front + 0.2, -front + 0.52, front - 0.22),
    ]


def bus(rng: np.random.Generator) -> Shape:
    """A long box with a row of panes, a door and a stripe, two wheels."""
    half = rng.uniform(0.95, 1.25)
    count = int(rng.integers(4, 6))
    edges = np.linspace(-half + 0.08, half - 0.38, count + 1)
    panes = [Part(_box(a + 0.03, 0.52, b - 0.03, 0.83), "glass") for a, b in pairwise(edges)]
    return [
        Part(
            _poly((-half, 0.12), (half, 0.12), (half, 0.9), (half - 0.08, 1), (-half + 0.05, 1), (-half, 0.94)),
            "body",
            "metal",
        ),
        Part(_box(-half, 0.34, half, 0.44), "accent"),
        *panes,
        Part(_box(half - 0.34, 0.16, half - 0.12, 0.83), "glass"),
        Part(_box(half - 0.07, 0.52, half, 0.85), "glass"),
        *_wheels(0.15, -half * 0.6, half * 0.42),
    ]


def boat(rng: np.random.Generator) -> Shape:
    """A planked hull under striped sails."""
    half, deck, lean = rng.uniform((0.42, 0.2, -0.1), (0.62, 0.28, 0.1))
    return [
        Part(_box(lean - 0.025, deck, lean + 0.025, 1), "bark"),
        Part(
            _poly((lean + 0.05, deck + 0.06), (lean + 0.05, 0.98), (half * 0.95, deck + 0.1)),
            "accent",
            "fabric",
            1.6,
        ),
        Part(_poly((lean - 0.05, deck + 0.06), (lean - 0.05, 0.86), (-half * 0.75, deck + 0.06)), "pale"),
        Part(
            _poly((-half * 0.72, 0), (half * 0.7, 0), (half * 1.1, deck + 0.05), (-half, deck)),
            "body",
            "plank",
            3.0,
        ),
    ]


def person(rng: np.random.Generator) -> Shape:
    """Head, striped shirt, two arms, two legs."""
    step, arm, wide = rng.uniform((0.03, 0.03, 0.11), (0.14, 0.16, 0.15))
    hip = wide * 0.85
    return [
        Part(_poly((-hip, 0.5), (-0.01, 0.5), (-step + 0.05, 0), (-step - 0.07, 0)), "accent"),
        Part(_poly((0.01, 0.5), (hip, 0.5), (step + 0.08, 0), (step - 0.05, 0)), "accent"),
        Part(
            _poly((-wide, 0.8), (-wide - arm - 0.04, 0.48), (-wide - arm + 0.04, 0.46), (-wide + 0.06, 0.7)),
            "skin",
        ),
        Part(
            _poly((wide, 0.8), (wide + arm + 0.04, 0.48), (wide + arm - 0.04, 0.46), (wide - 0.06, 0.7)),
            "skin",
        ),
        Part(
            _poly(
                (-hip, 0.46),
                (hip, 0.46),
                (wide, 0.76),
                (wide * 0.6, 0.83),
                (-wide * 0.6, 0.83),
                (-wide, 0.76),
            ),
            "body",
            "fabric",
            2.0,
        ),
        Part(_oval(0, 0.9, 0.085, 0.1), "skin"),
        Part(_poly((-0.09, 0.91), (-0.08, 0.99), (0, 1.02), (0.08, 0.99), (0.09, 0.91), (0, 0.95)), "dark"),
    ]


def dog(rng: np.random.Generator) -> Shape:
    """A furry body on four legs, head with ear and snout, tail up."""
    half, tail = rng.uniform((0.5, 0.05), (0.68, 0.3))
    coat = ("coat", "fur", 2.0)
    legs = [_box(x - 0.06, 0, x + 0.06, 0.45) for x in (-half + 0.1, -half + 0.3, half - 0.32, half - 0.12)]
    return [
        *(Part(leg, *coat) for leg in legs),
        Part(
            _poly((-half + 0.1, 0.6), (-half - 0.18, 0.7 + tail), (-half - 0.24, 0.66 + tail), (-half, 0.48)),
            *coat,
        ),
        Part(_oval(0, 0.52, half, 0.2), *coat),
        Part(_poly((half - 0.3, 0.5), (half - 0.02, 0.5), (half + 0.12, 0.8), (half - 0.12, 0.9)), *coat),
        Part(_oval(half + 0.06, 0.82, 0.2, 0.16), *coat),
        Part(_oval(half + 0.26, 0.77, 0.13, 0.09), *coat),
        Part(_poly((half - 0.12, 0.95), (half + 0.02, 1), (half, 0.68), (half - 0.1, 0.66)), "dark"),
        Part(_oval(half + 0.37, 0.79, 0.04), "dark"),
    ]


def tree(rng: np.random.Generator) -> Shape:
    """A trunk under a crown of leaves: round, or tiered like a fir."""
    trunk = Part(_poly((-0.06, 0), (0.06, 0), (0.04, 0.6), (-0.04, 0.6)), "bark", "bark", 1.5)
    if rng.random() < 0.3:
        tiers = [(0.18, 0.6, 0.28), (0.38, 0.8, 0.23), (0.58, 1.0, 0.17)]
        return [trunk, *(Part(_poly((-w, y), (w, y), (0, top)), "leaf", "leaf", 2.5) for y, top, w in tiers)]
    blobs = rng.uniform((-0.2, 0.52, 0.13), (0.2, 0.78, 0.2), (5, 3))
    crown = [Part(_oval(0, 0.7, 0.24, 0.28), "leaf", "leaf", 2.5)]
    return [trunk, *crown, *(Part(_oval(x, y, r), "leaf", "leaf", 2.5) for x, y, r in blobs)]


def bush(rng: np.random.Generator) -> Shape:
    """A low, wide heap of leaves that sits on the ground."""
    count = int(rng.integers(3, 6))
    places = np.linspace(-0.75, 0.75, count) * rng.uniform(0.7, 1.1)
    heaps = [_oval(x, 0.4, 0.48, rng.uniform(0.4, 0.6)) for x in places]
    return [Part(np.maximum(heap, (-9, 0)), "leaf", "leaf", 1.2) for heap in heaps]


def house(rng: np.random.Generator) -> Shape:
    """Brick walls under a shingled gable roof, a door and windows."""
    half, eaves, ridge = rng.uniform((0.45, 0.5, 0.1), (0.75, 0.62, 0.6))
    chimney = half * rng.uniform(0.2, 0.5)
    roof = _poly((-half - 0.08, eaves), (half + 0.08, eaves), (half * ridge, 1), (-half * ridge, 1))
    windows = [_box(x - 0.09, 0.24, x + 0.09, 0.44) for x in (-half * 0.62, half * 0.62)]
    return [
        Part(_box(chimney - 0.05, 0.7, chimney + 0.06, 1.05), "body", "brick", 1.5),
        Part(_box(-half, 0, half, eaves), "body", "brick", 1.2),
        Part(roof, "accent", "shingle", 1.2),
        *(Part(window, "glass") for window in windows),
        Part(_box(-0.08, 0, 0.08, 0.34), "bark", "bark"),
    ]


def tower(rng: np.random.Generator) -> Shape:
    """A tall block with a grid of windows, stepped or with a mast on top."""
    half, step = rng.uniform((0.14, 0.72), (0.26, 0.92))
    inner = half * rng.uniform(0.55, 0.8)
    return [
        Part(_box(-0.012, 0.9, 0.012, 1.08), "dark"),
        Part(_box(-inner, step - 0.05, inner, 1), "body", "windows", 2.5),
        Part(_box(-half, 0, half, step), "body", "windows", 2.5),
        Part(_box(-half - 0.02, step - 0.03, half + 0.02, step), "pale"),
    ]


def sign(rng: np.random.Generator) -> Shape:
    """A plate with a rim and a bar, on a pole: round, three-cornered, octagonal or square."""
    corners = int(rng.choice((3, 4, 8, 14)))
    angles = np.pi / 2 + (corners != 3) * np.pi / corners + np.arange(corners) * 2 * np.pi / corners
    plate = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centre = np.array((0, 0.78))
    return [
        Part(_box(-0.025, 0, 0.025, 0.75), "dark"),
        Part(centre + plate * 0.23, "pale"),
        Part(centre + plate * 0.18, "body"),
        Part(_box(-0.09, 0.75, 0.09, 0.8), "pale"),
    ]


SHAPES: dict[str, Callable[[np.random.Generator], Shape]] = {
    maker.__name__: maker for maker in (car, truck, bus, boat, person, dog, tree, bush, house, tower, sign)
}
