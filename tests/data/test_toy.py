from itertools import product

import numpy as np
import pytest
import torch

from mdpseg.data.readers.pairs import IGNORED, Sample
from mdpseg.data.toy import KINDS, WORLDS, ToyWorld, correspondence, kinds_of
from mdpseg.data.toy.compose import FEWEST, MOST, compose
from mdpseg.data.toy.kinds import TAXONOMIES
from mdpseg.data.toy.looks import LOOKS
from mdpseg.data.toy.render import paint
from mdpseg.data.toy.scene import Scene
from mdpseg.data.toy.shapes import SHAPES
from mdpseg.data.toy.textures import TEXTURES, TILE, atlas
from mdpseg.errors import UserError

MANY = 200


@pytest.fixture(scope="module")
def samples():
    """200 samples of each world: images [200, 3, 96, 96] and masks [200, 96, 96]."""
    made = {}
    for world in WORLDS:
        reader = ToyWorld(world, count=MANY, size=96)
        drawn = [reader[i] for i in range(MANY)]
        made[world] = torch.stack([s.image for s in drawn]), torch.stack([s.mask for s in drawn])
    return made


def equal(a, b):
    return torch.equal(a.image, b.image) and torch.equal(a.mask, b.mask) and a.id == b.id


@pytest.mark.parametrize("world", WORLDS)
def test_it_is_a_reader(world):
    reader = ToyWorld(world, count=3, size=(48, 80))
    sample = reader[0]
    assert isinstance(sample, Sample)
    assert len(reader) == 3
    assert reader.name == f"toy-{world}"
    assert sample.image.shape == (3, 48, 80)
    assert sample.mask.shape == (48, 80)
    assert sample.image.dtype == sample.mask.dtype == torch.uint8
    assert len({s.id for s in reader}) == 3  # and iteration ends
    assert equal(reader[-1], reader[2])
    with pytest.raises(IndexError):
        reader[3]


def test_names_and_catch_all():
    assert ToyWorld("fine", name="mine").name == "mine"
    assert [ToyWorld(world).catch_all for world in WORLDS] == [None, None, "background"]
    for world in WORLDS:
        classes = ToyWorld(world).classes
        assert classes == list(TAXONOMIES[world])
        assert len(set(classes)) == len(classes)


@pytest.mark.parametrize("world", WORLDS)
def test_a_sample_follows_from_its_numbers_alone(world):
    one, two = ToyWorld(world, count=9, size=64), ToyWorld(world, count=500, size=64)
    forward = [one[i] for i in range(9)]
    backward = [two[i] for i in reversed(range(9))][::-1]
    assert all(equal(a, b) for a, b in zip(forward, backward, strict=True))


@pytest.mark.parametrize("world", WORLDS)
def test_seeds_splits_and_numbers_differ(world):
    keys = list(product(("train", "val"), (0, 1, 2), range(8)))
    images = {ToyWorld(world, split=p, seed=s, size=32)[i].image.numpy().tobytes() for p, s, i in keys}
    assert len(images) == len(keys)


def test_worlds_do_not_share_scenes(samples):
    masks = [masks[0] == 0 for _, masks in samples.values()]
    assert not torch.equal(masks[0], masks[1])


@pytest.mark.parametrize("world", WORLDS)
def test_masks_hold_classes_and_each_class_has_its_share(world, samples):
    _, masks = samples[world]
    counts = torch.bincount(masks.flatten().long(), minlength=256)
    known = len(ToyWorld(world).classes)
    assert counts[known:IGNORED].sum() == 0
    share = counts[:known] / masks.numel()
    assert (share > 0.003).all(), dict(zip(ToyWorld(world).classes, share.tolist(), strict=True))


def test_only_the_world_with_a_catch_all_has_void_and_little_of_it(samples):
    void = {world: (masks == IGNORED).float().mean().item() for world, (_, masks) in samples.items()}
    assert void["coarse"] == void["fine"] == 0
    assert 0.01 < void["things"] < 0.1


def test_void_separates_the_classes(samples):
    _, masks = samples["things"]
    left, right = masks[:, :, :-1], masks[:, :, 1:]
    assert ((left == right) | (left == IGNORED) | (right == IGNORED)).all()


def test_worlds_differ_in_look(samples):
    means = {world: images.float().mean((0, 2, 3)) for world, (images, _) in samples.items()}
    for a, b in (("coarse", "fine"), ("coarse", "things"), ("fine", "things")):
        assert (means[a] - means[b]).abs().max() > 20
    red, _, blue = means["coarse"]
    assert red > blue  # a warm poster
    red, _, blue = means["things"]
    assert red < blue  # a blue night


def test_colour_alone_does_not_tell_the_class(samples):
    images, masks = samples["fine"]
    pixels = images.permute(0, 2, 3, 1).float()  # [N, H, W, 3]
    half = MANY // 2
    known = len(ToyWorld("fine").classes)
    means = torch.stack([pixels[:half][masks[:half] == c].mean(0) for c in range(known)])  # [K, 3]
    guess = torch.cdist(pixels[half:].reshape(-1, 3), means).argmin(1)
    truth = masks[half:].flatten()
    hits = [((guess == c) & (truth == c)).sum() / ((guess == c) | (truth == c)).sum() for c in range(known)]
    assert torch.stack(hits).mean() < 0.2


def test_every_kind_is_named_or_left_out_at_most_once_a_world():
    for world in WORLDS:
        named = [kind for group in TAXONOMIES[world].values() for kind in group]
        assert len(named) == len(set(named))
        assert set(named) <= set(KINDS)
    assert {kind for w in WORLDS for group in TAXONOMIES[w].values() for kind in group} == set(KINDS)
    assert set(SHAPES) < set(KINDS)


def test_correspondence_is_equality_of_kinds():
    for a, b in product(WORLDS, WORLDS):
        same = correspondence(a, b)
        assert same == {(x, y) for y, x in correspondence(b, a)}
        for x, y in product(TAXONOMIES[a], TAXONOMIES[b]):
            assert ((x, y) in same) == (kinds_of(a, x) == kinds_of(b, y))
    assert correspondence("coarse", "coarse") == {(c, c) for c in TAXONOMIES["coarse"]}


def test_correspondence_as_one_would_say_it():
    assert correspondence("coarse", "fine") == {(c, c) for c in ("sky", "water", "person")}
    assert correspondence("coarse", "things") == {("person", "person")}
    assert correspondence("fine", "things") == {(c, c) for c in ("car", "bus", "person", "dog", "tree")}
    assert kinds_of("fine", "car") < kinds_of("coarse", "vehicle")
    assert kinds_of("things", "background") & kinds_of("coarse", "ground")


def scene(world, number, size=(96, 96)):
    kinds = [kind for group in TAXONOMIES[world].values() for kind in group]
    return compose(np.random.default_rng(number), kinds, LOOKS[world], size)


def things(drawn):
    """The number of the thing at each pixel."""
    return np.array([surface.thing for surface in drawn.surfaces])[paint(drawn)]


@pytest.mark.parametrize("world", WORLDS)
def test_scenes_are_within_bounds(world):
    for number in range(60):
        drawn = scene(world, number)
        assert len(drawn.surfaces) <= 256  # their numbers are uint8
        assert FEWEST <= max(s.thing for s in drawn.surfaces) <= MOST
        order = [s.thing for s in drawn.surfaces]
        assert order == sorted(order)  # the nearest last
        assert (paint(Scene(drawn.size, drawn.surfaces[:1])) == 0).all()


def test_near_things_cover_far_ones():
    covered = 0
    for number in range(30):
        drawn = scene("fine", number)
        far = [s for s in drawn.surfaces if s.thing <= 1]
        alone = (things(Scene(drawn.size, far)) == 1).sum()
        seen = (things(drawn) == 1).sum()
        assert seen <= alone
        covered += seen < alone
    assert covered > 10


def test_scale_varies():
    heights = [np.ptp(s.points[:, 1]) for n in range(60) for s in scene("fine", n).surfaces if s.thing]
    assert np.quantile(heights, 0.9) > 3 * np.quantile(heights, 0.1)


@pytest.mark.parametrize("kind", SHAPES)
def test_shapes_stand_on_the_ground_and_are_one_high(kind):
    for number in range(20):
        shape = SHAPES[kind](np.random.default_rng(number))
        points = np.concatenate([part.points for part in shape])
        assert points[:, 1].min() >= -1e-9
        assert 0.8 < points[:, 1].max() < 1.2
        assert {part.texture for part in shape} <= set(TEXTURES)


def test_the_atlas_has_a_different_tile_for_each_texture():
    tiles = atlas()
    assert tiles.shape == (len(TEXTURES), TILE, TILE)
    assert np.abs(tiles).max() <= 1
    assert len({tile.tobytes() for tile in tiles}) == len(TEXTURES)


@pytest.mark.parametrize(
    "world, options, words",
    [
        ("moon", {}, "'moon'.*coarse, fine, things"),
        ("fine", {"split": "test"}, "'test'.*train, val"),
        ("fine", {"count": 0}, "at least one.*0"),
        ("fine", {"size": 31}, "at least 32.*31"),
        ("fine", {"size": (64, 16)}, "at least 32.*16"),
        ("fine", {"seed": -1}, "seed.*-1"),
    ],
)
def test_what_it_refuses(world, options, words):
    with pytest.raises(UserError, match=words):
        ToyWorld(world, **options)


def test_unknown_names_are_refused():
    with pytest.raises(UserError, match="'moon'"):
        kinds_of("moon", "car")
    with pytest.raises(UserError, match=r"'vehicle'.*car, truck"):
        kinds_of("fine", "vehicle")
    with pytest.raises(UserError, match="'moon'"):
        correspondence("fine", "moon")
