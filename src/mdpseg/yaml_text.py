"""YAML that nobody vouches for: plain values, of bounded size, and one kind of error for every fault."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import yaml

from mdpseg.errors import UserError
from mdpseg.text_file import read_text

# Aliases (`*name`) stand for what they name at no cost, until somebody copies or prints it: a kilobyte may unfold to
# terabytes. So it is counted how long the text would be with every alias written out.
LARGEST_UNFOLDED = 2**22
LONGEST_NUMBER = 64
_CONTROL = ("Cc", "Zl", "Zp")
_EACH_VALUE = 8  # what a value counts beside its own characters


class BadYamlError(ValueError):
    """A text that is no YAML, or none that a person would write; the message says where or why."""


def read(path: Path, where: str) -> Any:
    """Reads a YAML file.

    Args:
        path: the file.
        where: what and which it is, for messages.

    Raises:
        UserError: it cannot be read, or :func:`parse` refuses it.
    """
    try:
        return parse(read_text(path, where))
    except BadYamlError as error:
        raise UserError(f"{where} is not valid YAML: {error}.") from None


def parse(text: str) -> Any:
    """The value of a YAML document: mappings, lists, texts, numbers; no tag makes or runs anything else.

    Raises:
        BadYamlError: it is no YAML, has a key twice, a value does not fit its tag, or it is hostile: aliases that
            unfold without bound or name themselves, nesting without end, endless numbers, control characters.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _unfolded(node, {})
        return loader.construct_document(node)
    except (BadYamlError, yaml.YAMLError) as error:
        raise BadYamlError(" ".join(str(error).replace(' in "<unicode string>",', " in").split())) from None
    except RecursionError:
        raise BadYamlError("it is nested too deeply") from None
    except Exception as error:  # PyYAML lets through whatever int(), date() or a look-up raise on a wrong value
        raise BadYamlError(f"a value does not fit its type ({' '.join(str(error).split())})") from None
    finally:
        if loader is not None:
            loader.dispose()


class _Loader(yaml.SafeLoader):
    """The safe loader, which makes no numbers of unbounded length: they take quadratic time, and cannot be printed."""

    def number(self, node: yaml.ScalarNode) -> Any:
        """An integer or a float."""
        if len(node.value) > LONGEST_NUMBER:
            raise BadYamlError(f"the number {node.value[:20]}... has {len(node.value)} characters")
        whole = node.tag == "tag:yaml.org,2002:int"
        return self.construct_yaml_int(node) if whole else self.construct_yaml_float(node)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.number)


def _unfolded(node: yaml.Node, known: dict[int, int | None]) -> int:
    """How many characters a node has with all aliases written out; aliases are one node in several places."""
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise BadYamlError("an alias stands inside what it names")
        return size
    if isinstance(node, yaml.ScalarNode):
        _refuse_control_characters(node.value)
        return _EACH_VALUE + len(node.value)
    known[id(node)] = None  # not finished
    parts = node.value
    if isinstance(node, yaml.MappingNode):
        _refuse_equal_keys(node)
        parts = [part for pair in node.value for part in pair]
    size = _EACH_VALUE + sum(_unfolded(part, known) for part in parts)
    if size > LARGEST_UNFOLDED:
        raise BadYamlError(f"with its aliases (*name) written out it has more than {LARGEST_UNFOLDED} characters")
    known[id(node)] = size
    return size


def _refuse_equal_keys(node: yaml.MappingNode) -> None:
    """YAML itself would drop the first of two equal ones in silence."""
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value in seen:
            raise BadYamlError(f"line {key.start_mark.line + 1} has {key.value!r:.60} twice; keep one of both")
        seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)


def _refuse_control_characters(text: str) -> None:
    wrong = next((c for c in text if unicodedata.category(c) in _CONTROL and c not in "\n\t"), None)
    if wrong is not None:
        raise BadYamlError(f"the text {text[:20]!r} holds the control character {wrong!r}")
