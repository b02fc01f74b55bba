"""What the embedded worlds are made of, and what each world calls it.

Under all three worlds lie the same *kinds* of things. A world names groups of kinds; so whether two classes
of two worlds are the same thing, one a part of the other, or strangers, is known exactly and not guessed.
"""

from mdpseg.errors import UserError

KINDS: tuple[str, ...] = (
    *("sky", "road", "grass", "water"),  # what fills the picture
    *("house", "tower", "tree", "bush"),  # what stands
    *("car", "truck", "bus", "boat", "person", "dog", "sign"),  # what moves, and the sign
)

TAXONOMIES: dict[str, dict[str, tuple[str, ...]]] = {
    "coarse": {
        "sky": ("sky",),
        "ground": ("road", "grass"),
        "water": ("water",),
        "building": ("house", "tower"),
        "vegetation": ("tree", "bush"),
        "vehicle": ("car", "truck", "bus", "boat"),
        "person": ("person",),
    },
    "fine": {kind: (kind,) for kind in KINDS if kind not in {"boat", "sign"}},
    "things": {
        "background": ("sky", "road", "grass", "water", "house", "tower", "bush"),
        **{kind: (kind,) for kind in ("car", "bus", "boat", "person", "dog", "tree", "sign")},
    },
}

CATCH_ALL: dict[str, str | None] = {"coarse": None, "fine": None, "things": "background"}

WORLDS: tuple[str, ...] = tuple(TAXONOMIES)


def check_world(world: str) -> None:
    """Raise a UserError unless `world` is one of `WORLDS`."""
    if world not in WORLDS:
        raise UserError(f"there is no embedded world {world!r}; choose one of {', '.join(WORLDS)}")


def kinds_of(world: str, class_name: str) -> frozenset[str]:
    """Give the kinds of things that a world calls by one class name.

    Args:
        world: one of `WORLDS`.
        class_name: a class of that world.

    Returns:
        The kinds under the class, a non-empty subset of `KINDS`. Two classes are the same thing when these
        sets are equal, one is part of the other when its set is a subset, and they overlap when the sets
        intersect.

    Raises:
        UserError: for an unknown world or class.
    """
    check_world(world)
    if class_name not in TAXONOMIES[world]:
        raise UserError(f"world {world!r} has no class {class_name!r}; its classes are {', '.join(TAXONOMIES[world])}")
    return frozenset(TAXONOMIES[world][class_name])


def correspondence(world_a: str, world_b: str) -> set[tuple[str, str]]:
    """List the pairs of classes of two worlds that are the same thing.

    Args:
        world_a: one of `WORLDS`.
        world_b: one of `WORLDS`.

    Returns:
        Pairs (class of `world_a`, class of `world_b`) whose kinds are equal; so not ("vehicle", "car").

    Raises:
        UserError: for an unknown world.
    """
    check_world(world_a)
    check_world(world_b)
    return {
        (a, b) for a in TAXONOMIES[world_a] for b in TAXONOMIES[world_b] if kinds_of(world_a, a) == kinds_of(world_b, b)
    }
