"""The backdrop of a scene: sky, hills, meadow, water and road."""

import numpy as np

from mdpseg.data.toy.kinds import KINDS
from mdpseg.data.toy.looks import Colour, Look, hex_colour
from mdpseg.data.toy.scene import Scene, Surface
from mdpseg.data.toy.shapes import Points
from mdpseg.data.toy.textures import TEXTURES

# Texture of a kind of backdrop and the size (x, y) of its tile, in shorter sides of the picture.
_COVERS: dict[str, tuple[str, float, float]] = {
    "sky": ("cloud", 1.3, 0.8),
    "grass": ("tuft", 0.45, 0.45),
    "water": ("ripple", 0.8, 0.4),
    "road": ("gravel", 0.5, 0.5),
}


def add_backdrop(scene: Scene, rng: np.random.Generator, look: Look, horizon: float, wet: bool) -> tuple[float, float]:
    """Fill an empty scene with a backdrop.

    Args:
        scene: receives the surfaces.
        rng: the sample's generator.
        look: the world's look.
        horizon: y of the horizon, in pixels.
        wet: whether there is water.

    Returns:
        Top and bottom of the water, in pixels; both the horizon when there is none.
    """
    height, width = scene.size
    ground = height - horizon
    meadow = look.pick(rng, look.grass)
    everything = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float64)
    _add(scene, rng, "sky", everything, look.pick(rng, look.sky), fall=rng.uniform(0.0, 0.35))
    if rng.random() < 0.6:
        far = meadow + (hex_colour(look.fade) - meadow) * look.haze
        _add(scene, rng, "grass", _hills(rng, scene.size, horizon), far)
    _add(scene, rng, "grass", _band(rng, scene.size, horizon, 2 * height), meadow, fall=0.1)
    shore = (horizon, horizon)
    if wet:
        top = horizon + ground * float(rng.choice((0.0, 0.5)))
        shore = (top, top + ground * float(rng.uniform(0.28, 0.45)))
        _add(scene, rng, "water", _band(rng, scene.size, *shore), look.pick(rng, look.water), fall=0.4)
    lake = shore[0] > horizon  # else the sea, from the horizon on, or dry land
    _add_road(scene, rng, look, *((horizon, shore[0]) if lake else (shore[1], height)))
    return shore


def _add_road(scene: Scene, rng: np.random.Generator, look: Look, top: float, bottom: float) -> None:
    """Add a road between two heights: across, or into the depth, or (one time in four) none."""
    height, width = scene.size
    style = rng.random()
    if style < 0.25:
        return
    colour, mark = look.pick(rng, look.road), look.pick(rng, look.pale)
    if style < 0.65:
        near = top + (bottom - top) * rng.uniform(0.75, 1.0)
        far = top + (bottom - top) * rng.uniform(0.1, 0.35)
        _add(scene, rng, "road", _band(rng, scene.size, far, near), colour)
        middle, thick = (far + near) / 2, 0.008 * height
        for x in np.arange(rng.uniform(-0.1, 0.1), 1, 0.2) * width:
            dash = np.array([(x, middle - thick), (x + 0.1 * width, middle - thick),
                             (x + 0.1 * width, middle + thick), (x, middle + thick)])  # fmt: skip
            _add(scene, rng, "road", dash, mark)
        return
    eye, foot, spread = rng.uniform((0.2, 0.1, 0.2), (0.8, 0.9, 0.5)) * width

    def stripe(start: float, stop: float, half: float) -> Points:
        """A piece of the road from depth `start` to `stop`, 0 the horizon and 1 the near end."""
        left, right = [eye + (foot + side * half - eye) * np.array((start, stop)) for side in (-1, 1)]
        y = top + (bottom - top) * np.array((start, stop))
        return np.array([(left[0], y[0]), (right[0], y[0]), (right[1], y[1]), (left[1], y[1])])

    _add(scene, rng, "road", stripe(0.06, 1.0, spread), colour)
    for start in (0.15, 0.27, 0.45, 0.74):
        _add(scene, rng, "road", stripe(start, start * 1.3, 0.04 * spread), mark)


def _band(rng: np.random.Generator, size: tuple[int, int], top: float, bottom: float) -> Points:
    """A strip across the picture between two heights, edges slightly slanted. [4, 2]."""
    height, width = size
    a, b = rng.uniform(-0.02, 0.02, 2) * height
    return np.array([(0, top - a), (width, top + a), (width, bottom + b), (0, bottom - b)])


def _hills(rng: np.random.Generator, size: tuple[int, int], horizon: float) -> Points:
    """A wavy ridge above the horizon, closed below the picture. [N, 2]."""
    height, width = size
    x = np.linspace(0, width, 13)
    waves, phase, rise = rng.uniform((4, 0, 0.04), (9, 6, 0.1))
    y = horizon - min(size) * rise * (1 + 0.8 * np.sin(x / width * waves + phase))
    return np.concatenate([np.stack([x, y], axis=1), [(width, height), (0, height)]])


def _add(
    scene: Scene, rng: np.random.Generator, kind: str, points: Points, colour: Colour, *, fall: float = 0.0
) -> None:
    """Add one surface of the backdrop, `fall` brighter at the bottom of the picture than at the top."""
    texture, tile_x, tile_y = _COVERS[kind]
    unit = min(scene.size)
    x, y = rng.uniform(0, unit, 2)
    scene.surfaces.append(
        Surface(
            points=points,
            kind=KINDS.index(kind),
            thing=0,
            colour=colour,
            texture=TEXTURES.index(texture),
            period=(tile_x * unit, tile_y * unit),
            origin=(x, y),
            centre=(
                0.0,
                0.3 * scene.size[0] if kind == "sky" else float(points[:, 1].clip(0, scene.size[0]).mean()),
            ),
            slope=(0.0, fall / scene.size[0]),
        )
    )
