"""The classes' colours: the same name has the same colour in every taxonomy."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable

Colour = tuple[int, int, int]

_GOLDEN = 0.381966  # of the circle: hues that follow each other lie far apart
_FIRST_HUE = 0.58
_TONES = ((0.52, 0.70), (0.38, 0.75), (0.68, 0.65))  # lightness, saturation
_BACKGROUND = (140, 140, 140)


def colours_of(names: Iterable[str]) -> dict[str, Colour]:
    """A colour for each different name, in the order of their first appearance; ``background`` is grey."""
    found: dict[str, Colour] = {}
    for name in dict.fromkeys(names):
        if name == "background":
            found[name] = _BACKGROUND
            continue
        place = len(found) - ("background" in found)
        lightness, saturation = _TONES[place % len(_TONES)]
        red, green, blue = colorsys.hls_to_rgb((_FIRST_HUE + place * _GOLDEN) % 1, lightness, saturation)
        found[name] = round(255 * red), round(255 * green), round(255 * blue)
    return found


def as_hex(colour: Colour) -> str:
    """Such as ``#0757a8``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
