"""The losses, one file each. All return a scalar with a gradient path, and 0 where no pixel counts."""

from mdpseg.losses.pixel_to_pixel import pixel_to_pixel
from mdpseg.losses.pixel_to_prototype import pixel_to_prototype
from mdpseg.losses.pixel_to_region import pixel_to_region
from mdpseg.losses.sparse_coding import sparse_coding
from mdpseg.losses.union_cross_entropy import union_cross_entropy

__all__ = ["pixel_to_pixel", "pixel_to_prototype", "pixel_to_region", "sparse_coding", "union_cross_entropy"]
