"""What holds for any recipe: it loads to a configuration that round-trips, or is refused with one readable message."""

import string

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from mdpseg import yaml_text
from mdpseg.config import EvaluateConfig, FinetuneConfig, PredictConfig, PretrainConfig
from mdpseg.errors import UserError
from mdpseg.recipe import dump, load

KINDS = [PretrainConfig, FinetuneConfig, EvaluateConfig, PredictConfig]


def keys_of(model, found=None):
    """All names of settings, at every depth."""
    found = set() if found is None else found
    for name, field in model.model_fields.items():
        found.add(name)
        for inner in [field.annotation, *getattr(field.annotation, "__args__", ())]:
            if hasattr(inner, "model_fields"):
                keys_of(inner, found)
    return found


KEYS = sorted(set().union(*(keys_of(kind) for kind in KINDS)))
WORDS = [
    "toy",
    "folder",
    "voc2012",
    "fine",
    "coarse",
    "mdp",
    "mdp-paper",
    "region",
    "both",
    "auto",
    "cpu",
    "fpn",
    "a/b",
]

# PyYAML writes some of its own line breaks (such as U+0085) so that it reads them as spaces.
texts = st.text(st.characters(exclude_characters="\x85\u2028\u2029", exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 300),
        st.integers(),
        st.floats(),
        st.sampled_from(WORDS),
        texts,
        st.just(float("nan")),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(string.ascii_letters, max_size=6)), inner, max_size=4),
    ),
    max_leaves=12,
)
toys = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b", "c"]), "reader": st.just("toy"), "world": st.just("fine")},
    optional={"count": st.integers(-1, 50), "size": st.integers(0, 256), "unlabelled": st.booleans(), "split": values},
)
nearly = st.fixed_dictionaries(
    {"out": st.just("runs/x"), "datasets": st.lists(toys, max_size=3)},
    optional=dict.fromkeys(("seed", "optim", "method", "augment", "network", "workers", "sampling", "init"), values),
)


def loads_or_is_refused(content, kind, overrides=()):
    try:
        config = load(content, kind, overrides)
    except UserError as error:
        message = str(error)
        assert message.isprintable()
        assert 10 < len(message) < 4000
        return None
    again = load(yaml.safe_load(dump(config)), kind)
    assert dump(again) == dump(config)
    return config


@given(content=st.dictionaries(st.sampled_from(KEYS), values, max_size=8), kind=st.sampled_from(KINDS))
def test_any_settings(content, kind):
    loads_or_is_refused(content, kind)


@given(content=nearly)
def test_nearly_right_pretrainings(content):
    config = loads_or_is_refused(content, PretrainConfig)
    if config is not None:
        assert len({dataset.name for dataset in config.datasets}) == len(config.datasets)
        assert config.augment.crop % 32 == 0
        assert config.augment.scale[0] <= config.augment.scale[1]
        assert not all(dataset.unlabelled for dataset in config.datasets)


@given(
    key=st.lists(st.sampled_from([*KEYS, "0", "1", "-1", "", "x"]), min_size=1, max_size=4).map(".".join),
    value=st.one_of(st.text(max_size=20), values.map(str)),
)
def test_any_override(key, value):
    content = {"out": "x", "datasets": [{"name": "a", "reader": "toy", "world": "fine"}]}
    loads_or_is_refused(content, PretrainConfig, [f"{key}={value}"])


@given(learning_rate=st.floats(1e-8, 10), seed=st.integers(0, 2**40), crop=st.integers(1, 8))
def test_what_is_in_range_arrives_as_it_is(learning_rate, seed, crop):
    content = {"out": "x", "datasets": [{"name": "a", "reader": "toy", "world": "fine"}], "seed": seed}
    config = loads_or_is_refused(
        content | {"optim": {"lr": learning_rate}, "augment": {"crop": 32 * crop}}, PretrainConfig
    )
    assert (config.seed, config.optim.lr, config.augment.crop) == (seed, learning_rate, 32 * crop)


def parsed_or_refused(text):
    try:
        return yaml_text.parse(text)
    except yaml_text.BadYamlError as error:
        reason = error
    assert "\n" not in str(reason)
    return reason


@pytest.mark.parametrize(
    "override", ["evaluate_at=[.nan]", "augment.scale=[1, .inf]", "optim.lr=.inf", "eval.scales=[.inf]"]
)
def test_numbers_without_end_are_refused(override):
    content = {"out": "x", "train": {"name": "a", "reader": "toy", "world": "fine"}}
    with pytest.raises(UserError, match="finite"):
        load(content, FinetuneConfig, [override])


@given(text=st.text(alphabet=st.sampled_from("ab:,-[]{}&*!?|>'\"%@`#~<=.0123 \n\t\\"), max_size=60))
def test_any_text_is_a_value_or_refused(text):
    parsed_or_refused(text)


@given(value=values)
def test_what_is_dumped_is_parsed_to_the_same(value):
    text = yaml.safe_dump(value, allow_unicode=True)
    parsed = parsed_or_refused(text)
    assume(not isinstance(parsed, yaml_text.BadYamlError) or "character" not in str(parsed))  # refused on purpose
    assert yaml.safe_dump(parsed, allow_unicode=True) == text


def test_the_strategies_reach_both_ends():
    """A property that only ever sees refused input proves little."""
    outcomes = set()

    @given(content=nearly)
    def collect(content):
        outcomes.add(loads_or_is_refused(content, PretrainConfig) is None)

    collect()
    assert outcomes == {True, False}
    with pytest.raises(UserError):
        load({"out": "x"}, PretrainConfig)
