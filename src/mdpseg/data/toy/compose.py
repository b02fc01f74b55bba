"""The composition of a scene: which things, where, how large, in which order of depth."""

from collections.abc import Sequence

import numpy as np

from mdpseg.data.toy.backdrop import add_backdrop
from mdpseg.data.toy.kinds import KINDS
from mdpseg.data.toy.looks import Look, hex_colour
from mdpseg.data.toy.scene import Scene, Shadow, Surface
from mdpseg.data.toy.shapes import SHAPES
from mdpseg.data.toy.textures import TEXTURES

FEWEST, MOST = 3, 7  # things in a scene

# How tall a thing is in the middle of the ground, in shorter sides of the picture.
_HEIGHTS = {
    "car": 0.22, "truck": 0.33, "bus": 0.32, "boat": 0.40, "person": 0.40, "dog": 0.25,
    "tree": 0.60, "bush": 0.22, "house": 0.46, "tower": 0.74, "sign": 0.46,
}  # fmt: skip

# How often a thing is drawn; the small ones more often, so that each class has its share of the pixels.
_WEIGHTS = {
    "car": 1.5, "truck": 1.1, "bus": 1.1, "boat": 1.2, "person": 2.4, "dog": 1.7,
    "tree": 1.2, "bush": 1.6, "house": 1.0, "tower": 1.0, "sign": 1.8,
}  # fmt: skip

# Where a thing may stand, from the horizon (0) to the lower edge of the picture (1); boats stand on water.
_PLACES = {"house": (0.05, 0.45), "tower": (0.03, 0.3), "tree": (0.1, 0.85)}
_ANYWHERE = (0.2, 0.97)


def compose(rng: np.random.Generator, kinds: Sequence[str], look: Look, size: tuple[int, int]) -> Scene:
    """Draw one scene.

    Args:
        rng: the sample's own generator; the scene follows from its state alone.
        kinds: the kinds that the world knows; those of the backdrop are always there.
        look: the world's look.
        size: (height, width).

    Returns:
        The scene, its things numbered from 1, the farthest, to the nearest.
    """
    height, width = size
    scene = Scene(size)
    things = [kind for kind in kinds if kind in SHAPES]
    weights = np.array([_WEIGHTS[kind] for kind in things])
    chosen = rng.choice(len(things), int(rng.integers(FEWEST, MOST + 1)), p=weights / weights.sum())
    wet = bool(rng.random() < 0.4) or "boat" in [things[k] for k in chosen]
    horizon = height * float(rng.uniform(0.3, 0.5))
    shore = add_backdrop(scene, rng, look, horizon, wet)
    sun = float(rng.choice((-1, 1))) * look.shade
    placed = sorted((_foot(rng, things[k], horizon, shore, height), things[k]) for k in chosen)
    for thing, (foot, kind) in enumerate(placed, start=1):
        nearness = (foot - horizon) / (height - horizon)
        tall = _HEIGHTS[kind] * min(size) * (0.62 + 0.75 * nearness) * float(rng.uniform(0.8, 1.25))
        x = width * float(rng.uniform(0.05, 0.95))
        haze = look.haze * max(0.0, 0.8 - 1.6 * nearness)
        _add_thing(scene, rng, look, kind, thing=thing, x=x, foot=foot, tall=tall, sun=sun, haze=haze)
    return scene


def _foot(rng: np.random.Generator, kind: str, horizon: float, shore: tuple[float, float], height: int) -> float:
    """Where a thing of this kind stands: y in pixels."""
    if kind == "boat":
        return shore[0] + float(rng.uniform(0.4, 1.0)) * (shore[1] - shore[0])
    foot = horizon + float(rng.uniform(*_PLACES.get(kind, _ANYWHERE))) * (height - horizon)
    if shore[0] < foot < shore[1] and kind not in _PLACES:  # out of the water, to its nearer end that is land
        drift = float(rng.uniform(0, 0.15)) * (height - horizon)
        return shore[0] - drift if shore[0] > horizon else shore[1] + drift
    return foot


def _add_thing(
    scene: Scene,
    rng: np.random.Generator,
    look: Look,
    kind: str,
    *,
    thing: int,
    x: float,
    foot: float,
    tall: float,
    sun: float,
    haze: float,
) -> None:
    """Add one thing, `tall` pixels high, standing at (x, foot); `sun` lights one side more than the other."""
    facing = -1 if rng.random() < 0.5 else 1
    paints = look.paints_for(rng)
    fade = hex_colour(look.fade)
    origin = (x + float(rng.uniform(0, tall)), foot)
    grain = float(rng.uniform(0.8, 1.25))
    shape = SHAPES[kind](rng)
    half = tall * max(float(np.abs(part.points[:, 0]).max()) for part in shape)
    for part in shape:
        period = tall * grain / part.repeats
        colour = paints[part.paint]
        scene.surfaces.append(
            Surface(
                points=part.points * (facing * tall, -tall) + (x, foot),
                kind=KINDS.index(kind),
                thing=thing,
                colour=colour + (fade - colour) * haze,
                texture=TEXTURES.index(part.texture),
                period=(period, period),
                origin=origin,
                centre=(x, foot - tall / 2),
                slope=(sun / half, -0.3 * look.shade / tall),
            )
        )
    if kind != "boat":
        scene.shadows.append(Shadow(thing, x - np.sign(sun) * 0.15 * half, foot, half * 1.05))
