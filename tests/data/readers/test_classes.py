import pytest
import yaml

from mdpseg.data.readers.classes import read_classes
from mdpseg.errors import UserError

from .files import write_lines


def written(tmp_path, content):
    path = tmp_path / "classes.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_text(tmp_path):
    path = write_lines(tmp_path / "classes.txt", ["# two classes", "sky", "", "  traffic light "])
    listed = read_classes(path, "d")
    assert (listed.names, listed.colours, listed.ignore) == (["sky", "traffic light"], None, None)


def test_yaml_names_and_python_list(tmp_path):
    for names in (["sky", "car"], [{"name": "sky"}, {"name": "car"}], {"classes": ["sky", "car"]}):
        assert read_classes(written(tmp_path, names), "d").names == ["sky", "car"]
    assert read_classes(["sky", "car"], "d").names == ["sky", "car"]
    assert read_classes(("sky", "car"), "d").names == ["sky", "car"]


def test_yaml_colours(tmp_path):
    path = written(
        tmp_path,
        "classes:\n- {name: sky, color: [1, 2, 255]}\n- {name: car, color: '#0a0B10'}\nignore_color: [0, 0, 0]\n",
    )
    listed = read_classes(path, "d")
    assert listed.colours == [(1, 2, 255), (10, 11, 16)]
    assert listed.ignore == (0, 0, 0)
    bare = read_classes(written(tmp_path, [{"name": "sky", "color": [1, 2, 3]}]), "d")
    assert (bare.colours, bare.ignore) == ([(1, 2, 3)], None)


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "has no classes"),
        ([], "has no classes"),
        (["sky", "car", "sky"], "names class 'sky' more than once"),
        ([str(i) for i in range(256)], "has 256 classes; .* at most 255"),
        ("just text", "is not a list"),
        ("- no\n- sky\n", "False is not a class.* in quotes"),
        ("- sky\n- ''\n", "'' is not a class"),
        ([{"colour": [1, 2, 3], "name": "sky"}], "'colour'.* is not a class; expected"),
        ([{"name": "sky", "color": [1, 2]}], r"'sky': \[1, 2\] is not a color"),
        ([{"name": "sky", "color": [1, 2, 256]}], "256.* is not a color"),
        ([{"name": "sky", "color": "#12345"}], "'#12345' is not a color"),
        ([{"name": "sky", "color": "#12345g"}], "'#12345g' is not a color"),
        ([{"name": "sky", "color": [1, 2, 3]}, {"name": "car"}], "class 'car' has no color"),
        (
            [{"name": "a", "color": [1, 2, 3]}, {"name": "b", "color": "#010203"}],
            r"color \[1, 2, 3\] more than once",
        ),
        (
            {"classes": [{"name": "a", "color": [0, 0, 0]}], "ignore_color": [0, 0, 0]},
            r"\[0, 0, 0\] more than once",
        ),
        (
            {"classes": ["a"], "ignore_color": [0, 0, 0]},
            "has an ignore_color, but its classes have no colors",
        ),
        ({"names": ["a"]}, "has no key 'names'"),
        ("- [unclosed", "is not valid YAML"),
        ("!!python/object/apply:os.system ['true']", "is not valid YAML"),
    ],
)
def test_wrong_yaml(tmp_path, content, message):
    with pytest.raises(UserError, match=rf"d: class list .*classes\.yaml.*{message}"):
        read_classes(written(tmp_path, content), "d")


def test_wrong_text(tmp_path):
    with pytest.raises(UserError, match=r"d: class list .*gone\.txt cannot be read"):
        read_classes(tmp_path / "gone.txt", "d")
    with pytest.raises(UserError, match=r"gone\.yaml cannot be read"):
        read_classes(tmp_path / "gone.yaml", "d")
    with pytest.raises(UserError, match=r"none\.txt has no classes"):
        read_classes(write_lines(tmp_path / "none.txt", ["# nobody"]), "d")
    with pytest.raises(UserError, match="class list names class 'a' more than once"):
        read_classes(["a", "b", "a"], "d")
