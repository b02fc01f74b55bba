"""A scene: coloured polygons in painting order, the nearest last, and the shadows that things cast."""

from dataclasses import dataclass, field
from typing import NamedTuple

from mdpseg.data.toy.looks import Colour
from mdpseg.data.toy.shapes import Points


class Surface(NamedTuple):
    """One polygon of the picture and how to shade it. Lengths are pixels of the picture, colours 0 to 255.

    Attributes:
        points: [N, 2] corners (x, y), y downwards.
        kind: index into `kinds.KINDS`.
        thing: number of the thing it belongs to; 0 is the backdrop, larger is nearer.
        colour: [3].
        texture: index into `textures.TEXTURES`.
        period: length of one texture tile (x, y).
        origin: where a tile begins (x, y).
        centre: where the shading is neutral (x, y).
        slope: relative brightness gained a pixel (x, y).
    """

    points: Points
    kind: int
    thing: int
    colour: Colour
    texture: int
    period: tuple[float, float]
    origin: tuple[float, float]
    centre: tuple[float, float]
    slope: tuple[float, float]


class Shadow(NamedTuple):
    """An oval on the ground at (x, y), cast by a thing on whatever lies behind that thing."""

    thing: int
    x: float
    y: float
    half_width: float


@dataclass
class Scene:
    """What one picture shows.

    Attributes:
        size: (height, width) in pixels.
        surfaces: at most 256, in painting order; the first covers the whole picture.
        shadows: at most one a thing.
    """

    size: tuple[int, int]
    surfaces: list[Surface] = field(default_factory=list)
    shadows: list[Shadow] = field(default_factory=list)
