from pathlib import Path

import pytest
import yaml

from mdpseg.config import EvaluateConfig, FinetuneConfig, PredictConfig, PretrainConfig
from mdpseg.errors import UserError
from mdpseg.recipe import dump, flat, load
from tests import tiny

RECIPES = Path(__file__).parents[1] / "recipes"


def kind_of(content: dict) -> type:
    if "datasets" in content:
        return PretrainConfig
    if "train" in content:
        return FinetuneConfig
    return PredictConfig if "images" in content else EvaluateConfig


@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*.yaml")), ids=lambda path: str(path.relative_to(RECIPES)))
def test_every_recipe_of_the_repository_is_valid_and_opens_with_its_command(path):
    kind = kind_of(yaml.safe_load(path.read_text()))
    config = load(path, kind)
    assert isinstance(config, kind)
    head = path.read_text().split("\n\n")[0]
    assert head.startswith("#")
    assert "mdpseg " in path.read_text().partition("out:")[0]


def test_there_are_recipes():
    assert list(RECIPES.rglob("*.yaml"))


@pytest.mark.parametrize(
    "content, kind",
    [
        (tiny.pretraining(Path("runs/a")), PretrainConfig),
        (tiny.finetuning(Path("runs/b"), evaluate_at=[2, 1.0]), FinetuneConfig),
        ({"weights": "w", "dataset": tiny.toy("fine")}, EvaluateConfig),
    ],
)
def test_a_dumped_recipe_loads_to_an_equal_configuration(content, kind, tmp_path):
    config = load(content, kind)
    (tmp_path / "recipe.yaml").write_text(dump(config))
    assert load(tmp_path / "recipe.yaml", kind) == config
    assert dump(load(tmp_path / "recipe.yaml", kind)) == dump(config)


def test_overrides_reach_every_depth_and_lists():
    config = load(
        tiny.pretraining(Path("a")),
        PretrainConfig,
        ["seed=7", "optim.lr=1e-3", "datasets.1.count=5", "datasets.0.subset.seed=3", "augment.scale=[1, 1]", "out=b"],
    )
    assert config.seed == 7
    assert config.optim.lr == 0.001
    assert [dataset.count for dataset in config.datasets] == [8, 5]
    assert config.datasets[0].subset.seed == 3
    assert config.augment.scale == (1.0, 1.0)
    assert config.out == Path("b")


def test_an_override_of_one_setting_leaves_the_defaults_beside_it():
    """`optim` has other defaults in pretraining than in fine-tuning; setting one of them must not reset the rest."""
    plain, changed = (
        load(tiny.pretraining(Path("a")), PretrainConfig, overrides).optim for overrides in ([], ["optim.lr=0.3"])
    )
    assert changed == plain.model_copy(update={"lr": 0.3})
    plain, changed = (
        load(tiny.finetuning(Path("a")), FinetuneConfig, overrides).optim for overrides in ([], ["optim.lr=0.3"])
    )
    assert changed == plain.model_copy(update={"lr": 0.3})


def test_overrides_do_not_change_what_the_caller_gave():
    content = tiny.pretraining(Path("a"))
    before = yaml.safe_dump(content)
    load(content, PretrainConfig, ["augment.crop=64", "datasets.0.count=1"])
    assert yaml.safe_dump(content) == before
    config = load(content, PretrainConfig)
    assert load(config, PretrainConfig, ["augment.crop=64"]).augment.crop == 64
    assert config.augment.crop == 32


def test_of_many_faults_the_first_are_told():
    with pytest.raises(UserError, match=r"; and 2 more$") as error:
        load(tiny.pretraining(Path("a")), PretrainConfig, [f"unheard{i}=1" for i in range(7)])
    assert str(error.value).count("unknown key") == 5


def test_a_long_value_is_cut():
    with pytest.raises(UserError, match=r"optim\.lr is 'x{95} \.\.\.: ") as error:
        load(tiny.pretraining(Path("a")), PretrainConfig, [f"optim.lr={'x' * 1000}"])
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("text", ["1e300", "12e-1", "many"])
def test_a_text_that_means_no_whole_number_is_not_rewritten(text):
    with pytest.raises(UserError, match=f"iterations is '{text}': input should be a valid integer"):
        load(tiny.pretraining(Path("a")), PretrainConfig, [f"iterations={text}"])


def test_an_override_below_what_is_left_empty_or_is_a_name():
    assert load(tiny.pretraining(Path("a"), optim=None), PretrainConfig, ["optim.lr=0.3"]).optim.lr == 0.3
    method = load(tiny.pretraining(Path("a"), method="mdp-paper"), PretrainConfig, ["method.bank_size=7"]).method
    assert (method.scheme, method.bank_size) == ("mdp-paper", 7)


def test_an_override_of_the_scheme_brings_its_defaults_along():
    content = tiny.pretraining(Path("a"), method={})
    overrides = ["method.scheme=mdp-paper"]
    assert load(load(content, PretrainConfig), PretrainConfig, overrides) == load(content, PretrainConfig, overrides)


def test_all_settings_by_their_names_with_dots():
    settings = flat(load(tiny.pretraining(Path("a")), PretrainConfig))
    assert settings["datasets.1.name"] == "fine"
    assert settings["augment.scale"] == [0.5, 2.0]
    assert settings["loggers"] == []
    assert "datasets" not in settings


def test_a_configuration_is_taken_as_it_is():
    config = load(tiny.pretraining(Path("a")), PretrainConfig)
    assert load(config, PretrainConfig) is config


@pytest.mark.parametrize("override", ["seed", "=3", "", "datasets.9.count=1", "datasets.x.count=1"])
def test_a_bad_override_is_named(override):
    with pytest.raises(UserError, match="Override") as error:
        load(tiny.pretraining(Path("a")), PretrainConfig, [override])
    assert repr(override) in str(error.value)


def test_an_override_that_is_no_yaml():
    with pytest.raises(UserError, match="not a YAML value"):
        load(tiny.pretraining(Path("a")), PretrainConfig, ["augment.scale=[1,"])


@pytest.mark.parametrize(
    "override, nearest",
    [
        ("iteration=3", "iterations"),
        ("optim.learning=3", "lr"),
        ("method.denominater=all", "denominator"),
        ("datasets.1.coumt=3", "count"),
        ("datasets.0.subset.fracton=0.5", "fraction"),
        ("network.decodr=fpn", "decoder"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_right_one(override, nearest):
    with pytest.raises(UserError, match="unknown key") as error:
        load(tiny.pretraining(Path("a")), PretrainConfig, [override])
    message = str(error.value)
    assert repr(override.partition("=")[0]) in message
    assert nearest in message.partition("unknown key")[2].partition(";")[2]
    assert "\n" not in message


@pytest.mark.parametrize(
    "override, shown",
    [
        ("batch_size=0", ["batch_size", "0"]),
        ("augment.crop=100", ["100", "32"]),
        ("augment.scale=[2, 1]", ["scale", "[2.0, 1.0]"]),
        ("network.decoder=fpm", ["network.decoder", "'fpm'", "fpn"]),
        ("optim.lr=fast", ["optim.lr", "'fast'"]),
        ("method.momentum=1", ["method.momentum", "1"]),
        ("datasets.1.name=coarse", ["coarse", "two datasets"]),
        ("datasets=[]", ["datasets"]),
        ("datasets.0.world=", ["coarse", "world"]),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(override, shown):
    with pytest.raises(UserError) as error:
        load(tiny.pretraining(Path("a")), PretrainConfig, [override])
    for part in shown:
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_key_is_named(tmp_path):
    path = tiny.write_recipe(tmp_path / "r.yaml", {"datasets": [tiny.toy("fine")]})
    with pytest.raises(UserError, match=r"r\.yaml.*'out' is missing"):
        load(path, PretrainConfig)


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\ta: 1", "- 1\n- 2", "", "just words"])
def test_a_file_that_is_no_recipe(text, tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"r\.yaml") as error:
        load(path, PretrainConfig)
    assert "\n" not in str(error.value)


def test_a_whole_number_that_yaml_reads_as_text_is_answered_with_how_to_write_it():
    with pytest.raises(UserError, match="iterations is '1e3': write 1000"):
        load(tiny.pretraining("a"), PretrainConfig, ["iterations=1e3"])


def test_what_is_wrong_deep_inside_says_where():
    with pytest.raises(UserError, match=r"augment\.crop: crop is 100"):
        load(tiny.pretraining("a"), PretrainConfig, ["augment.crop=100"])


def test_what_is_no_configuration():
    with pytest.raises(UserError, match="The configuration is 3; expected a dict, a PretrainConfig or the path"):
        load(3, PretrainConfig)


def test_a_recipe_that_is_not_there_or_is_binary(tmp_path):
    with pytest.raises(UserError, match="No recipe at"):
        load(tmp_path / "none.yaml", PretrainConfig)
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UserError, match="not UTF-8 text"):
        load(tmp_path / "r.yaml", PretrainConfig)
