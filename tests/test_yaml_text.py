import time

import pytest
import yaml

from mdpseg import yaml_text
from mdpseg.errors import UserError
from mdpseg.yaml_text import BadYamlError, parse


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: 1",
        "- 1\n- x\n- 2.5\n- true\n- null",
        "a: {b: [1, 2]}",
        "a: 2001-02-03",
        "x: &x {y: 1}\nz: *x",
        '"a\\tb"',
    ],
)
def test_ordinary_yaml_is_what_the_safe_loader_makes_of_it(text):
    assert parse(text) == yaml.safe_load(text)


def test_aliases_and_merge_keys_may_be_used():
    assert parse("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]") == {
        "a": {"x": 1},
        "b": {"x": 1, "y": 2},
        "c": [{"x": 1}, {"x": 1}],
    }


def bomb(levels: int = 12, kind: str = "list") -> str:
    """Each level names the one before nine times: 9 ** levels values."""
    lines = ["a0: &a0 [lol]" if kind == "list" else "a0: &a0 {k: lol}"]
    for level in range(1, levels):
        names = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} " + (f"[{names}]" if kind == "list" else f"{{<<: [{names}]}}"))
    return "\n".join(lines)


REFUSED = {
    "aliases": (bomb(), r"aliases \(\*name\) written out it has more than"),
    "merge keys": (bomb(kind="merge"), "written out"),
    "long aliases": (f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 100)}]", "written out"),
    "an alias of itself": ("a: &a [*a]", "an alias stands inside what it names"),
    "nesting": ("[" * 5000, "nested too deeply"),
    "nested blocks": ("- " * 900 + "x", "nested too deeply"),
    "a decimal number": (f"a: {'1' * 5000}", "the number 11111111111111111111... has 5000 characters"),
    "a hexadecimal number": (f"a: 0x{'f' * 5000}", "has 5002 characters"),
    "a sexagesimal number": ("a: 1" + ":59" * 100_000, "has 300001 characters"),
    "a number by its tag": (f"a: !!float '{'1' * 500}'", "has 500 characters"),
    "a control character": ('a: "x\\x1b[2J"', r"holds the control character '\\x1b'"),
    "a line separator": ('a: "x\\Ly"', r"holds the control character '\\u2028'"),
    "a paragraph separator": ('a: "x\\Py"', r"holds the control character '\\u2029'"),
    "a null character": ('a: "x\\0"', r"'\\x00'"),
    "a key twice": ("a: 1\nb: 2\na: 3", "line 3 has 'a' twice"),
    "a date that is none": ("a: 2001-99-99", "does not fit its type.*month"),
    "an empty number": ("a: !!int ''", "does not fit its type"),
    "a bool that is none": ("a: !!bool x", "does not fit its type"),
    "a timestamp that is none": ("a: !!timestamp x", "does not fit its type"),
    "a Python call": ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
    "a list as a key": ("? [a]\n: b", "unhashable"),
    "no YAML": ("a: [1", "line 1"),
    "surrogates": ("a: \ud800", "special characters"),
}


@pytest.mark.parametrize("text, message", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(text, message):
    began = time.process_time()
    with pytest.raises(BadYamlError, match=message) as error:
        parse(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000
    assert time.process_time() - began < 10


def test_the_longest_number():
    assert parse("1" * 64) == int("1" * 64)
    with pytest.raises(BadYamlError, match="has 65 characters"):
        parse("1" * 65)


def test_a_file_is_named(tmp_path):
    (tmp_path / "a.yaml").write_text("a: [1")
    with pytest.raises(UserError, match=r"^merge file .*a\.yaml is not valid YAML: .*\.$"):
        yaml_text.read(tmp_path / "a.yaml", f"merge file {tmp_path / 'a.yaml'}")
