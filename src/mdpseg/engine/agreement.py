"""Whether the processes of a run agree on recipe and data; on several machines each may have read its own."""

from __future__ import annotations

from typing import Any

from mdpseg import ranks
from mdpseg.config import WITHOUT_EFFECT, RunConfig
from mdpseg.errors import UserError
from mdpseg.recipe import flat

# Of WITHOUT_EFFECT, what decides when the processes wait for each other.
_WHEN = {"log_every", "checkpoint_every", "resume"}
# What may have another path on another machine; the data are compared by their classes and sizes.
_PATHS = {"init", "merge", "datasets", "train", "val"}


def refuse_disagreement(config: RunConfig, data: tuple[list[str], list[int]]) -> None:
    """Compares with process 0; every process must call it.

    Args:
        config: the recipe.
        data: names of all classes, and how many images each dataset has.

    Raises:
        UserError: names the first difference. Other labels, other images or a step more would not show otherwise.
    """
    if ranks.count() == 1:
        return
    beside = (WITHOUT_EFFECT - _WHEN) | _PATHS
    own: dict[str, Any] = {name: value for name, value in flat(config).items() if name.split(".")[0] not in beside}
    own |= {"number of classes": len(data[0]), "images in its datasets": data[1]}
    own |= {f"class {number}": name for number, name in enumerate(data[0])}
    first, *others = ranks.objects(own)
    for rank, theirs in enumerate(others, 1):
        for name in {**first, **theirs}:
            if first.get(name) != theirs.get(name):
                raise UserError(
                    f"Process {rank} of the run has {name} {theirs.get(name)!r:.80}, process 0 "
                    f"{first.get(name)!r:.80}; give every machine the same recipe and data."
                )
