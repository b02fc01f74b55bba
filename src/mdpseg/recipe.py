"""Reads recipes: YAML, ``key=value`` overrides, and messages that name the nearest right key."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from mdpseg import yaml_text
from mdpseg.errors import UserError

Config = TypeVar("Config", bound=BaseModel)

# A message is for reading: so many faults at once, each of so many characters.
MOST_FAULTS = 5
LONGEST_FAULT = 400
LONGEST_VALUE = 100


def load(config: Config | Mapping[str, Any] | str | Path, kind: type[Config], overrides: Sequence[str] = ()) -> Config:
    """Makes a validated configuration.

    Args:
        config: a configuration, a dict, or the path of a YAML file.
        kind: which configuration is wanted.
        overrides: ``key=value`` with dots for depth (``optim.lr=0.1``, ``datasets.0.path=data/voc``); values are YAML.

    Raises:
        UserError: the file is missing or not YAML, a key is unknown (the nearest right one is named), a value is wrong.
    """
    if isinstance(config, kind) and not overrides:
        return config
    source = "the configuration"
    if isinstance(config, BaseModel):
        content: Any = config.model_dump(mode="json", exclude_unset=True)
    elif isinstance(config, (str, Path)):
        source = str(config)
        content = _read_yaml(Path(config))
    elif isinstance(config, Mapping):
        content = copy.deepcopy(dict(config))
    else:
        raise UserError(
            f"The configuration is {config!r:.100}; expected a dict, a {kind.__name__} or the path of a YAML file."
        )
    for override in overrides:
        _apply(content, override)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        faults = error.errors()
        more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        shown = "; ".join(_short(_explain(fault, kind)) for fault in faults[:MOST_FAULTS])
        raise UserError(f"{source}: {shown}{more}") from None


def load_any(path: Path, kinds: Mapping[str, type[BaseModel]], overrides: Sequence[str] = ()) -> BaseModel:
    """Makes the configuration of whichever command a recipe is for.

    Args:
        path: the YAML file.
        kinds: a key that only one command's recipes have -> their configuration.
        overrides: as for :func:`load`.

    Raises:
        UserError: it has none of the keys, or as :func:`load`.
    """
    content = _read_yaml(path)
    kind = next((kind for key, kind in kinds.items() if key in content), None)
    if kind is None:
        raise UserError(f"{path} has none of the keys {', '.join(kinds)}, by which recipes are told apart; add one.")
    return load(path, kind, overrides)


def dump(config: BaseModel) -> str:
    """The resolved recipe as YAML; :func:`load` reads it back to an equal configuration."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def flat(settings: BaseModel) -> dict[str, Any]:
    """All settings by their names with dots, as overrides have them; lists are split where they hold settings."""

    def unfold(content: Any, name: str) -> dict[str, Any]:
        if isinstance(content, list) and any(isinstance(part, dict) for part in content):
            content = dict(enumerate(content))
        if not isinstance(content, dict) or not content:
            return {name.removeprefix("."): content}
        return {key: leaf for part, value in content.items() for key, leaf in unfold(value, f"{name}.{part}").items()}

    return unfold(settings.model_dump(mode="json"), "")


def _read_yaml(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"No recipe at {path}; give the path of a YAML file.")
    content = yaml_text.read(path, str(path))
    if content is None:
        raise UserError(f"{path} is empty; expected settings, one `key: value` a line.")
    if not isinstance(content, dict):
        raise UserError(f"{path} holds {type(content).__name__}; expected settings, one `key: value` a line.")
    return content


def _apply(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"Override {override!r} is not of the form key=value, such as optim.lr=0.1.")
    try:
        value = yaml_text.parse(text)
    except yaml_text.BadYamlError:
        raise UserError(f"Override {_short(repr(override))}: the part after = is not a YAML value.") from None
    place: Any = content
    *parents, last = key.split(".")
    try:
        for part in parents:
            if isinstance(place, list):
                place = place[int(part)]
            else:
                if place.get(part) is None:
                    place[part] = {}
                elif part == "method" and isinstance(place[part], str):  # `method: mdp-paper`
                    place[part] = {"scheme": place[part]}
                place = place[part]
        if isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value
    except (ValueError, IndexError, AttributeError, TypeError):
        raise UserError(f"Override {override!r}: the recipe has no place {key!r}.") from None


def _explain(error: Any, kind: type[BaseModel]) -> str:
    location = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        allowed = list(_model_at(kind, error["loc"][:-1]).model_fields)
        near = difflib.get_close_matches(str(error["loc"][-1]), allowed, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(allowed)}."
        return f"unknown key {location!r}; {hint}"
    if error["type"] == "missing":
        return f"key {location!r} is missing; it is required"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{location}: {message}" if location else message
    if error["type"] == "int_parsing" and (whole := _whole(error["input"])) is not None:
        return f"{location} is {error['input']!r}: write {whole}"
    return f"{location} is {_short(repr(error['input']), LONGEST_VALUE)}: {message[0].lower() + message[1:]}"


def _whole(text: Any) -> int | None:
    """The whole number that ``1e3`` means, which YAML reads as text."""
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else None


def _short(text: str, most: int = LONGEST_FAULT) -> str:
    return text if len(text) <= most else f"{text[: most - 4]} ..."


def _model_at(kind: type[BaseModel], location: Sequence[str | int]) -> type[BaseModel]:
    for part in location:
        field = kind.model_fields.get(str(part))
        if field is None:  # an index in a list
            continue
        kind = _model_in(field.annotation) or kind
    return kind


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for argument in get_args(annotation) if (model := _model_in(argument))), None)
