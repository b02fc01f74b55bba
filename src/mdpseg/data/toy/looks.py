"""How each embedded world looks: its colours, and what its camera does to them.

Paints are shared by all things that can be painted, so that a colour does not tell the class.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Colour = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """The palette and the camera of one world. Colours are hex strings, several in one string.

    Attributes:
        paints: for vehicles, walls, roofs, clothes, sails, signs.
        leaf: for trees and bushes.
        grass: for meadows and hills.
        road: for roads.
        water: for water.
        sky: for the sky.
        glass: for panes.
        lamp: for headlights.
        pale: for plates, hubs, road marks.
        dark: for tyres, hair, poles.
        texture: how strongly textures show.
        shade: how strongly one side of a thing is darker than the other.
        shadow: how dark the shadow on the ground is.
        gain: lowest and highest exposure.
        tint: by how much a sample's white may drift, a channel.
        noise: deviation of the sensor's noise, 0 to 255.
        grain: strength of blotches that lie over the whole picture, 0 to 1.
        blur: lowest and highest weight of the blur's side taps, 0 to 0.33.
        vignette: how much darker the corners are.
        fade: colour that far things fade to.
        haze: how much they do.
    """

    paints: str
    leaf: str
    grass: str
    road: str
    water: str
    sky: str
    glass: str
    lamp: str
    pale: str
    dark: str
    texture: float
    shade: float
    shadow: float
    gain: tuple[float, float]
    tint: float
    noise: float
    grain: float
    blur: tuple[float, float]
    vignette: float
    fade: str
    haze: float

    def pick(self, rng: np.random.Generator, palette: str, jitter: float = 12.0) -> Colour:
        """Draw one colour of a palette, a little off. Returns float64 [3], 0 to 255."""
        colours = palette.split()
        return hex_colour(colours[rng.integers(len(colours))]) + rng.normal(0, jitter, 3)

    def paints_for(self, rng: np.random.Generator) -> dict[str, Colour]:
        """Draw the colours of one thing, by the names that `shapes.Part.paint` uses. Each float64 [3]."""
        return {
            "body": self.pick(rng, self.paints),
            "accent": self.pick(rng, self.paints),
            "leaf": self.pick(rng, self.leaf),
            "coat": self.pick(rng, _COATS),
            "skin": self.pick(rng, _SKINS, 6),
            "bark": self.pick(rng, _BARKS),
            "glass": self.pick(rng, self.glass),
            "lamp": self.pick(rng, self.lamp),
            "pale": self.pick(rng, self.pale),
            "dark": self.pick(rng, self.dark, 6),
        }


def hex_colour(code: str) -> Colour:
    """Read "ffa040" as float64 [3], 0 to 255."""
    return np.array(list(bytes.fromhex(code)), dtype=np.float64)


_SKINS = "f0c8a0 d9a066 a56a3c 6e4526"
_BARKS = "6b4a2f 8a6a4a 5a4a44 a08468"
_COATS = "c89a62 6b4a2f f0e6d6 4a4644 b8733a 9a9490"

LOOKS: dict[str, Look] = {
    # A faded travel poster: warm, matt, few tones, paper grain, no hard shadow.
    "coarse": Look(
        paints="d9573f e9a23b f3e3c3 2f7f86 8fb9a8 b5486b 6b4e71 c9b18a 51749a",
        leaf="7d8f3f a8a044 4f7358 cf8a3a 5f8a8a",
        grass="d8b96a b7a850 e0c78e a9b07a c79a5e",
        road="b59a86 d8c2a6 8d7f80 c4866a",
        water="5fa3a3 86b8b0 4f7f96 b9c4a4",
        sky="f6dfb4 f3c08a e8d9c4 a9cbc4 f0a884",
        glass="3f5f6b f4e9c8 7fa0a0",
        lamp="fff0c0",
        pale="fbf0d8 f0dcb8",
        dark="4a3a3c 5b4a4a",
        texture=0.22, shade=0.08, shadow=0.18, gain=(0.86, 1.06), tint=0.04,
        noise=3.0, grain=0.05, blur=(0.02, 0.10), vignette=0.05, fade="f6dfb4", haze=0.35,
    ),
    # A clear day and a good camera: saturated, crisp, strong textures, strong sun from one side.
    "fine": Look(
        paints="d7263d 1b75d0 f4f6f8 2a2e34 f7b801 2e9e5b 8e96a0 7a3fb0 f26b21 b08458",
        leaf="2f8f3a 57a83a 1f6b45 8fae2f d9892b",
        grass="5fae3c 86b84a 4a9450 b5b45a c9b878",
        road="6e7278 8d9096 55585e 9a8f84",
        water="2f86c8 3fa5b8 5a9ab0 3f7f8f",
        sky="4fa3ee 86c4f4 b8d4e8 d8e4ee 6f9fd8",
        glass="1e3a56 a8d4ee 46607a",
        lamp="fffbe0",
        pale="f8fafc e4e8ec",
        dark="1a1c20 2c2c30",
        texture=0.40, shade=0.22, shadow=0.45, gain=(0.82, 1.18), tint=0.05,
        noise=4.0, grain=0.0, blur=(0.0, 0.08), vignette=0.08, fade="c8dcee", haze=0.2,
    ),
    # Night in a rainy town: dark, blue and violet, lit panes, soft lens, noisy sensor, dark corners.
    "things": Look(
        paints="b03a7a 3a6fd0 d8d0f0 28b0b0 6a3fb8 e07a4a 3f4668 c8b050 8a2f4a",
        leaf="2a6a66 3f7a4a 5a4a8a 2f4f6f 7a5a6a",
        grass="2f4a5a 3a5a4a 4a4670 28404f 5a5058",
        road="3a3c58 54506a 2c2e44 4f4a4a",
        water="1f3f7a 2f5f86 3a3a7a 24606a",
        sky="1c1a4a 34306a 5a3a72 223a62 7a4a66",
        glass="ffd27a ffe9a8 8ad8f0 2a3050",
        lamp="fff6c8 ffe08a",
        pale="d8dcf4 c0b8e0",
        dark="141428 20203a",
        texture=0.36, shade=0.18, shadow=0.35, gain=(0.85, 1.4), tint=0.08,
        noise=11.0, grain=0.04, blur=(0.12, 0.26), vignette=0.3, fade="3a3a78", haze=0.3,
    ),
}  # fmt: skip
