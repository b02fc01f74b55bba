import json

import pytest

from mdpseg.data.readers.json_file import PackedJson, entries, read_json
from mdpseg.errors import UserError
from tests import hostile


@pytest.mark.parametrize(
    "text, said",
    [
        ("{", "Expecting property name"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": ' + "9" * 10_000 + "}", "limit"),
        (hostile.deep_json(), "nested too deeply"),
        ("[1]", "is a list; expected an object"),
        ("", "not valid JSON"),
    ],
)
def test_what_is_refused(tmp_path, text, said):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=said):
        read_json(tmp_path / "a.json", "here a.json")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="here cannot be read"):
        read_json(tmp_path / "a.json", "here")
    (tmp_path / "a.json").write_text('{"a": 1}')
    assert read_json(tmp_path / "a.json", "here") == {"a": 1}
    with pytest.raises(UserError, match="more than 4 bytes"):
        read_json(tmp_path / "a.json", "here", 4)


@pytest.mark.parametrize("value", [None, {}, [3], [{"id": "1"}], [{"id": True}], [{}]])
def test_entries_have_their_fields(value):
    with pytest.raises(UserError, match=r"here.*things"):
        entries({"things": value}, "things", {"id": int}, "here")
    assert entries({"things": [{"id": 1}]}, "things", {"id": int}, "here") == [{"id": 1}]


def test_packed_values_come_back():
    values = [[1, "ä", None], [], {"a": [1.5]}]
    packed = PackedJson(values)
    assert [packed[i] for i in range(3)] == values
    assert json.dumps(packed[0]) == json.dumps(values[0])
