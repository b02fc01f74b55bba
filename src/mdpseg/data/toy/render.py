"""From a scene to pixels: paint the surfaces, shade and texture them, and take their photograph."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mdpseg.data.toy.looks import Look
from mdpseg.data.toy.scene import Scene
from mdpseg.data.toy.textures import TILE, atlas

Field = NDArray[np.float32]
Numbers = NDArray[np.uint8]

FINE = 2  # the surfaces are painted this many times finer, and averaged, so that edges are smooth


def paint(scene: Scene) -> Numbers:
    """Paint the surfaces in order, each with its own number.

    Args:
        scene: at most 256 surfaces, the first covers everything.

    Returns:
        uint8 [FINE * H, FINE * W], the number of the surface that is seen there.
    """
    height, width = scene.size
    canvas = Image.new("L", (FINE * width, FINE * height))
    brush = ImageDraw.Draw(canvas)
    for number, surface in enumerate(scene.surfaces):
        brush.polygon((surface.points * FINE).ravel().tolist(), fill=number)
    return np.asarray(canvas)


def develop(scene: Scene, seen: Numbers, look: Look, rng: np.random.Generator) -> Numbers:
    """Shade and texture what is seen, and photograph it.

    Args:
        scene: the scene.
        seen: uint8 [FINE * H, FINE * W] of :func:`paint`.
        look: the world's look.
        rng: the sample's generator, for exposure, drift of white, blur and noise.

    Returns:
        uint8 [H, W, 3].
    """
    height, width = scene.size
    colours = np.array([surface.colour for surface in scene.surfaces], np.float32)  # [S, 3]
    corners = [colours[seen[dy::FINE, dx::FINE]] for dy in range(FINE) for dx in range(FINE)]
    light = _relief(scene, seen[::FINE, ::FINE], look)  # [H, W]
    image: Field = np.sum(corners, axis=0) * (light / len(corners))[..., None]  # [H, W, 3]
    image = _blur(image, float(rng.uniform(*look.blur)))
    white = rng.uniform(*look.gain) * rng.uniform(1 - look.tint, 1 + look.tint, 3)
    image *= white.astype(np.float32)
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    lens = 1 - look.vignette * (x * x + y * y) / 2
    if look.grain:
        lens = lens * (1 + look.grain * _paper(rng, height, width))
    image *= lens.astype(np.float32)[..., None]
    image += look.noise * rng.standard_normal((height, width, 3), dtype=np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)


def _relief(scene: Scene, seen: Numbers, look: Look) -> Field:
    """The brightness of each pixel from texture, light and shadow, around 1. float32 [H, W]."""
    height, width = scene.size
    table = np.array(
        [(s.thing, s.texture, *s.period, *s.origin, *s.centre, *s.slope) for s in scene.surfaces], np.float32
    ).T  # [10, S]
    thing, texture, period_x, period_y, origin_x, origin_y, centre_x, centre_y, slope_x, slope_y = table
    y, x = np.ogrid[:height, :width]
    x, y = x.astype(np.float32), y.astype(np.float32)
    # each of u, v, bright is linear in (x, y) a surface: offset and factor are looked up a pixel
    u = x * (TILE / period_x)[seen] - (origin_x * TILE / period_x)[seen]
    v = y * (TILE / period_y)[seen] - (origin_y * TILE / period_y)[seen]
    bright = x * slope_x[seen] + y * slope_y[seen] - (centre_x * slope_x + centre_y * slope_y)[seen]
    tile = texture.astype(np.intp)[seen] * TILE * TILE
    place = tile + (np.floor(v).astype(np.intp) % TILE) * TILE + np.floor(u).astype(np.intp) % TILE
    relief = (1 + np.clip(bright, -0.5, 0.5)) * (1 + look.texture * atlas().ravel()[place])
    return np.asarray(relief * _shadows(scene, thing.astype(np.uint8)[seen], look), np.float32)


def _shadows(scene: Scene, thing: Numbers, look: Look) -> Field:
    """How much light is left: below 1 where a thing's shadow falls on what is behind it. float32 [H, W]."""
    height, width = scene.size
    canvas = Image.new("L", (width, height))
    brush = ImageDraw.Draw(canvas)
    for shadow in scene.shadows:
        deep = 0.16 * shadow.half_width + 1
        box = (shadow.x - shadow.half_width, shadow.y - deep, shadow.x + shadow.half_width, shadow.y + deep)
        brush.ellipse(box, fill=shadow.thing)
    return np.where(np.asarray(canvas) > thing, np.float32(1 - look.shadow), np.float32(1))


def _blur(image: Field, side: float) -> Field:
    """Blur with the taps (side, 1 - 2 side, side) in both directions. float32 [H, W, 3]."""
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        before, after = (padded[:-2], padded[2:]) if axis == 0 else (padded[:, :-2], padded[:, 2:])
        image = np.asarray((1 - 2 * side) * image + side * (before + after), np.float32)
    return image


def _paper(rng: np.random.Generator, height: int, width: int) -> Field:
    """Blotches of two pixels, unit deviation. float32 [H, W]."""
    coarse = rng.standard_normal(((height + 1) // 2, (width + 1) // 2), dtype=np.float32)
    return coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
