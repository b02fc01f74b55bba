from pathlib import Path

import pytest
from pydantic import ValidationError

from mdpseg import config
from mdpseg.config import (
    AugmentConfig,
    DatasetConfig,
    EvalConfig,
    EvaluateConfig,
    FinetuneConfig,
    PretrainConfig,
    Settings,
)
from mdpseg.errors import UserError
from mdpseg.recipe import load
from tests import tiny

RECIPES = Path(__file__).parents[1] / "recipes"

MODELS = [m for m in vars(config).values() if isinstance(m, type) and issubclass(m, Settings)]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_unknown_keys_are_refused_everywhere(model):
    with pytest.raises(ValidationError) as error:
        model.model_validate({"nonsense": 1})
    assert "extra_forbidden" in {e["type"] for e in error.value.errors()}


def test_the_numbers_of_the_paper_are_its_recipes():
    method = load(RECIPES / "paper" / "mdp-voc+ade20k.yaml", PretrainConfig).method
    assert (method.temperature, method.bank_size, method.sparse_k, method.sparse_weight) == (0.07, 4096, 3, 0.1)
    assert (method.bank, method.prototypes, method.denominator) == ("class", "bank", "all")
    assert (method.sparse_coding, method.mixing, method.supervised_share) == ("pull", "both", 0)


@pytest.mark.parametrize(
    "iterations, at, steps",
    [
        (40, [0.1, 1.0], [4, 40]),
        (40, [4, 40], [4, 40]),
        (3, [0.1, 1.0], [1, 3]),
        (10, [1.0, 0.5], [5, 10]),
        (10, [0.5, 5], [5]),
        (10, [], []),
    ],
)
def test_evaluation_steps(iterations, at, steps):
    made = FinetuneConfig.model_validate(tiny.finetuning("a", iterations=iterations, evaluate_at=at))
    assert made.evaluation_steps() == steps


@pytest.mark.parametrize("at", [[0], [-1], [11], [0.5, 100]])
def test_an_evaluation_that_would_never_happen_is_refused(at):
    with pytest.raises(ValidationError, match="evaluate_at"):
        FinetuneConfig.model_validate(tiny.finetuning("a", iterations=10, evaluate_at=at))


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"evaluate_at": [1.5]}, "1.5; expected a share"),
        ({"evaluate_at": [0.5, True]}, "evaluate_at holds true; expected numbers"),
        ({"eval": {"stride": 64}}, "no window whose step it is"),
        ({"eval": {"scales": [75, 100]}}, "less than or equal to 8"),
        ({"seed": 10**23}, "seed"),
    ],
    ids=str,
)
def test_values_that_mean_something_else(settings, said):
    with pytest.raises(ValidationError, match=said):
        FinetuneConfig.model_validate(tiny.finetuning("a", **{"iterations": 10, **settings}))


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"augment": {"flip": True}}, "flip is true; expected a number"),
        ({"optim": {"clip": False}}, "clip is false; expected a number"),
        ({"augment": {"scale": [True, 2]}}, "scale holds true; expected numbers"),
        ({"batch_size": True}, "batch_size is true"),
        ({"batch_size": 2**63}, "less than or equal to"),
        ({"augment": {"crop": 10**17}}, "less than or equal to"),
        ({"optim": {"lr": 1e308}}, "less than or equal to"),
        ({"augment": {"scale": [1e-300, 1e300]}}, "low <= high <= 1000"),
    ],
    ids=str,
)
def test_numbers_that_nobody_means(settings, said):
    with pytest.raises(ValidationError, match=said):
        FinetuneConfig.model_validate(tiny.finetuning("a", **settings))


def test_true_and_false_where_they_are_meant():
    made = FinetuneConfig.model_validate(tiny.finetuning("a", deterministic=True, eval={"flip": True}))
    assert (made.deterministic, made.eval.flip) == (True, True)


@pytest.mark.parametrize("crop", [1, 33, 100])
def test_crop_is_a_multiple_of_32(crop):
    with pytest.raises(ValidationError, match="multiple of 32"):
        AugmentConfig(crop=crop)


@pytest.mark.parametrize("scale", [(0, 1), (2, 1), (-1, 1)])
def test_scale_rises(scale):
    with pytest.raises(ValidationError, match="low"):
        AugmentConfig(scale=scale)


def test_what_each_reader_needs():
    with pytest.raises(ValidationError, match="world"):
        DatasetConfig(name="a", reader="toy")
    with pytest.raises(ValidationError, match="path"):
        DatasetConfig(name="a", reader="voc2012")
    with pytest.raises(ValidationError, match="images"):
        DatasetConfig(name="a", reader="folder", images="x", masks="y")
    assert DatasetConfig(name="a", reader="folder", images="x", masks="y", classes=["p"]).path is None


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"reader": "voc2012", "count": 100}, "`count`, which is for reader toy, not voc2012.*subset: {count: N}"),
        ({"reader": "ade20k", "classes": ["p"]}, "`classes`, which is for reader folder or list"),
        ({"reader": "folder", "url": "https://a.b"}, "`url`, which is for reader shards"),
        ({"reader": "cityscapes", "masks": "m"}, "`masks`, which is for reader folder"),
        ({"reader": "folder", "classes": [1, 2]}, "classes holds 1; expected names, in quotes"),
        ({"reader": "folder", "classes": 5}, "classes is 5; expected the path"),
    ],
    ids=str,
)
def test_a_setting_that_its_reader_does_not_look_at_or_understand(settings, said):
    with pytest.raises(ValidationError, match=said):
        DatasetConfig.model_validate({"name": "a", "path": "x", **settings})


def test_an_entry_that_was_written_out_whole_is_read_again():
    made = DatasetConfig(name="a", reader="voc2012", path="x")
    assert DatasetConfig.model_validate(made.model_dump(mode="json")) == made


def test_an_unlabelled_folder_needs_its_images_only():
    assert DatasetConfig(name="a", reader="folder", images="x", unlabelled=True).path is None
    assert DatasetConfig(name="a", reader="folder", path="x", unlabelled=True).images is None
    with pytest.raises(ValidationError, match=r"`path` \(or `images`\)"):
        DatasetConfig(name="a", reader="folder", unlabelled=True)
    with pytest.raises(ValidationError, match="needs `path`"):
        DatasetConfig(name="a", reader="ade20k", images="x", unlabelled=True)


BARE = tiny.toy("things", unlabelled=True)


@pytest.mark.parametrize(
    "kind, recipe",
    [
        (FinetuneConfig, tiny.finetuning("a", train=BARE)),
        (FinetuneConfig, tiny.finetuning("a", val=BARE)),
        (EvaluateConfig, {"weights": "w", "dataset": BARE}),
    ],
)
def test_an_unlabelled_dataset_where_labels_are_needed(kind, recipe):
    with pytest.raises(UserError, match=r"'things' is unlabelled, but its labels are needed.*remove"):
        load(recipe, kind)


@pytest.mark.parametrize(
    "datasets, method, expected",
    [
        ([BARE], {}, "all datasets are unlabelled"),
        ([tiny.toy("fine"), BARE], {"objective": "supervised"}, "method.objective 'supervised' has no prototypes"),
        ([tiny.toy("fine"), BARE], {"objective": "multihead", "bank": "none"}, "method.objective 'multihead'"),
        ([tiny.toy("fine"), BARE], {"bank": "none"}, "method.bank 'none' has no prototypes"),
    ],
)
def test_an_unlabelled_dataset_that_nothing_can_be_made_of(datasets, method, expected):
    with pytest.raises(UserError, match=expected):
        load(tiny.pretraining("a", datasets=datasets, method=method), PretrainConfig)


@pytest.mark.parametrize("method", [{}, {"bank": "region"}, "mdp-paper"])
def test_an_unlabelled_dataset_beside_a_labelled_one(method):
    config = load(tiny.pretraining("a", datasets=[BARE, tiny.toy("fine")], method=method), PretrainConfig)
    assert [dataset.unlabelled for dataset in config.datasets] == [True, False]


@pytest.mark.parametrize("name", ["", "a/b", "a b"])
def test_a_dataset_name_can_stand_before_a_slash(name):
    with pytest.raises(ValidationError):
        DatasetConfig(name=name, reader="toy", world="fine")


def test_two_datasets_of_one_name_are_refused():
    with pytest.raises(ValidationError, match="two datasets are named 'fine'"):
        PretrainConfig.model_validate(tiny.pretraining("a", datasets=[tiny.toy("fine"), tiny.toy("fine")]))


def test_a_window_that_leaves_gaps_is_refused():
    """Pixels between the windows would have no score at all."""
    with pytest.raises(ValidationError, match="stride"):
        EvalConfig(window=64, stride=65)
    assert EvalConfig(window=64, stride=64).stride == 64


def test_the_defaults_of_a_config_are_its_own():
    one = PretrainConfig.model_validate(tiny.pretraining("a"))
    one.optim.lr = 99.0
    assert PretrainConfig.model_validate(tiny.pretraining("a")).optim.lr != 99.0


def test_the_published_scheme_is_a_word_and_may_be_changed():
    recipe = {**tiny.pretraining(Path("x")), "method": "mdp-paper"}
    paper = PretrainConfig.model_validate(recipe).method
    assert (paper.supervised_share, paper.denominator, paper.bank_size, paper.mixing) == (0, "all", 4096, "both")
    assert paper.momentum == 0.99
    changed = load(recipe, PretrainConfig, ["method.momentum=0.999"]).method
    assert changed == paper.model_copy(update={"momentum": 0.999})
    with pytest.raises(UserError, match=r"method.scheme is 'paper'"):
        load({**recipe, "method": "paper"}, PretrainConfig)


def test_off_needs_no_quotes(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    dataset = "{name: a, reader: folder, path: a}"
    recipe.write_text(f"out: run\ndatasets: [{dataset}]\niterations: 1\nmethod: {{mixing: off}}\n")
    method = load(recipe, PretrainConfig, ["method.sparse_coding=off"]).method
    assert (method.mixing, method.sparse_coding) == ("off", "off")
    with pytest.raises(UserError, match=r"mixing is True"):
        load(recipe, PretrainConfig, ["method.mixing=on"])
