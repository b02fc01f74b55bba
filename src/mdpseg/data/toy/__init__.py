"""The embedded worlds: three procedural datasets that need no download and whose truth is known."""

from mdpseg.data.toy.kinds import KINDS, WORLDS, correspondence, kinds_of
from mdpseg.data.toy.world import ToyWorld

__all__ = ["KINDS", "WORLDS", "ToyWorld", "correspondence", "kinds_of"]
