"""`ToyWorld`: an embedded world as a dataset, with the interface of the readers."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mdpseg.data.readers.pairs import IGNORED, Sample
from mdpseg.data.toy.compose import compose
from mdpseg.data.toy.kinds import CATCH_ALL, KINDS, TAXONOMIES, WORLDS, check_world
from mdpseg.data.toy.looks import LOOKS
from mdpseg.data.toy.render import FINE, develop, paint
from mdpseg.data.toy.scene import Scene
from mdpseg.errors import UserError

SPLITS: tuple[str, ...] = ("train", "val")
SMALLEST = 32


class ToyWorld:
    """A procedural segmentation dataset, made on the fly.

    ``reader[i]`` is a :class:`~mdpseg.data.readers.pairs.Sample` that follows from (world, split, seed,
    i) and the size alone; `count` only says where the dataset ends.

    Args:
        world: "coarse" (wide classes, a faded poster), "fine" (narrow classes, a clear day) or "things" (some
            things before a catch-all background, a rainy night; a thin void border around the things).
        split: "train" or "val"; they share no sample.
        count: number of samples.
        size: side of the square image, or (height, width), at least 32.
        seed: not negative; another seed is another dataset of the same world.
        name: the dataset's name; by default "toy-" and the world.

    Attributes:
        classes: class names in the order of their local ids.
        catch_all: name of the catch-all class, or None.
        name: the dataset's name.
        label_set: whose ids the masks hold: the dataset's own.

    Raises:
        UserError: unknown world or split, no samples, a size below 32, a negative seed.
    """

    def __init__(
        self,
        world: str,
        *,
        split: str = "train",
        count: int = 500,
        size: int | tuple[int, int] = 128,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        check_world(world)
        if split not in SPLITS:
            raise UserError(f"world {world!r} has no split {split!r}; choose one of {', '.join(SPLITS)}")
        if count < 1:
            raise UserError(f"world {world!r} needs at least one sample, but count is {count}")
        height, width = (size, size) if isinstance(size, int) else size
        if min(height, width) < SMALLEST:
            raise UserError(f"world {world!r} needs images of at least {SMALLEST} pixels a side, but size is {size}")
        if seed < 0:
            raise UserError(f"world {world!r} needs a seed of 0 or more, but seed is {seed}")
        self.world = world
        self.split = split
        self.count = count
        self.size = (height, width)
        self.seed = seed
        self.name = name or f"toy-{world}"
        self.label_set: str | None = self.name
        self.classes = list(TAXONOMIES[world])
        self.catch_all = CATCH_ALL[world]
        self._look = LOOKS[world]
        self._kinds = [kind for kind in KINDS if any(kind in group for group in TAXONOMIES[world].values())]
        self._class_of_kind = _class_table(world)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        number = range(self.count)[index]
        rng = self._generator(number)
        scene = compose(rng, self._kinds, self._look, self.size)
        seen = paint(scene)
        image = develop(scene, seen, self._look, rng)  # [H, W, 3]
        mask = self._label(scene, seen[::FINE, ::FINE])  # [H, W]
        return Sample(
            image=torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            mask=torch.from_numpy(mask),
            id=self.id(number),
        )

    def id(self, index: int) -> str:
        """The sample's name inside its world."""
        return f"{self.world}-{self.split}-{self.seed}-{range(self.count)[index]:05d}"

    def image(self, index: int) -> torch.Tensor:
        """The image alone, uint8 [3, H, W]."""
        return self[index].image

    def paths(self, index: int) -> tuple[Path, ...]:
        """None: the images are made on the fly."""
        return ()

    def _generator(self, number: int) -> np.random.Generator:
        """The generator of one sample, the same in every process and on every machine."""
        key = (WORLDS.index(self.world), SPLITS.index(self.split), self.seed, number)
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))

    def _label(self, scene: Scene, seen: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The mask of what is seen, uint8 [H, W]; with void borders around things if there is a catch-all."""
        kinds = np.array([surface.kind for surface in scene.surfaces])
        mask: NDArray[np.uint8] = self._class_of_kind[kinds][seen]
        if self.catch_all is not None:
            edge = np.zeros(mask.shape, bool)
            edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
            edge[:-1] |= mask[:-1] != mask[1:]
            mask[edge] = IGNORED
        return mask


def _class_table(world: str) -> NDArray[np.uint8]:
    """From kind to local id, uint8 [len(KINDS)]; a kind that the world does not know gets 255."""
    table = np.full(len(KINDS), IGNORED, np.uint8)
    for number, kinds in enumerate(TAXONOMIES[world].values()):
        table[[KINDS.index(kind) for kind in kinds]] = number
    return table
