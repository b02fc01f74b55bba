"""Write `docs/settings.md` from the settings' own types, defaults and descriptions.

Run from anywhere: ``python docs/make_settings.py``.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mdpseg.config import EvaluateConfig, FinetuneConfig, PredictConfig, PretrainConfig, Settings

COMMANDS: dict[str, type[Settings]] = {
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
    "evaluate": EvaluateConfig,
    "predict": PredictConfig,
}
WORDS = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path"}
HEAD = """# Every setting

This page is generated from [`src/mdpseg/config`](../src/mdpseg/config/__init__.py) by `python docs/make_settings.py`;
do not edit it. A recipe is these settings in YAML. Any of them can be given behind it, too, with dots for depth:

    mdpseg pretrain pretrain.yaml optim.lr=0.02 datasets.0.path=data/voc

An unknown key is refused with the nearest right one. (P): published; (ours): not in the paper. `mdpseg predict` has no
recipe: its settings (`device=cuda:1`) stand behind the images, beside the options that `mdpseg predict --help` shows,
or in Python in `mdpseg.predict({...})`:

    mdpseg predict runs/fields data/fields/images/val --out masks "tiff={bands: [4, 3, 2], range: [0, 3000]}"
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    inside: dict[type[BaseModel], list[str]] = {}
    for command, model in COMMANDS.items():
        parts.append(section(f"mdpseg {command}", model))
        for name, nested in models_in(model):
            inside.setdefault(nested, []).append(f"`{name}` of {command}")
    parts += [section(heading(nested), nested, places) for nested, places in inside.items()]
    return "\n".join(parts)


def models_in(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """The models inside a model, at any depth, with their dotted names."""
    for name, field in model.model_fields.items():
        for nested in nested_models(field.annotation):
            yield prefix + name, nested
            yield from models_in(nested, f"{prefix}{name}.")


def nested_models(annotation: Any) -> list[type[BaseModel]]:
    """The models that a type mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in nested_models(argument)]


def heading(model: type[BaseModel]) -> str:
    """PretrainOptimConfig -> Pretrain optim."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in model.__name__)
    return words.removesuffix(" config").strip().capitalize()


def section(title: str, model: type[BaseModel], places: list[str] | None = None) -> str:
    """A heading, what the model is, where it stands, and a table of its fields."""
    about = f"{(model.__doc__ or '').strip().splitlines()[0]}"
    if places:
        about += f" Stands at {', '.join(places)}."
    lines = [f"## {title}", "", about, "", "| name | type | default | meaning |", "|---|---|---|---|"]
    lines += [row(model, name, field) for name, field in model.model_fields.items()]
    return "\n".join(lines) + "\n"


def row(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    """One line of a table.

    Raises:
        ValueError: the field says nothing of its meaning.
    """
    if not field.description:
        raise ValueError(f"{model.__name__}.{name} has no description; write one into src/mdpseg/config")
    cells = [f"`{name}`", type_text(field.annotation, field.metadata), default_text(field), field.description]
    return f"| {' | '.join(cells)} |"


def type_text(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """A type in words, with its bounds."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        text = type_text(arguments[0], arguments[1:])
    elif origin is Literal:
        values = [f"`{value}`" for value in arguments]
        text = " or ".join(filter(None, (", ".join(values[:-1]), values[-1])))
    elif origin in (Union, types.UnionType):
        text = " or ".join(type_text(argument, metadata) for argument in arguments if argument is not type(None))
    elif origin is list:
        text = f"list: {type_text(arguments[0])}"
    elif origin is tuple:
        text = f"[{', '.join(type_text(argument) for argument in arguments)}]"
    elif origin is dict:
        text = f"mapping: {type_text(arguments[0])} to {type_text(arguments[1])}"
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        text = f"[{heading(annotation).lower()}](#{heading(annotation).lower().replace(' ', '-')})"
    else:
        text = WORDS.get(annotation, "value") + (bounds(metadata) if annotation in (int, float) else "")
    return text


NOBODY_GETS_THERE = 1e6  # such limits are for slips of the pen; naming them would only be in the way


def bounds(metadata: Iterable[Any]) -> str:
    """Such as ``>= 0, < 1``, with a space before; or nothing."""
    parts = [part for item in metadata for part in getattr(item, "metadata", [item])]  # a Field holds several
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    limits = [(sign, getattr(part, key)) for part in parts for key, sign in signs.items() if hasattr(part, key)]
    found = [f"{sign} {limit:g}" for sign, limit in limits if limit < NOBODY_GETS_THERE]
    return f" {', '.join(found)}" if found else ""


def default_text(field: FieldInfo) -> str:
    """The default as a recipe writes it."""
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return "**required**"
    if default is None or default == Path():
        return "-"
    if isinstance(default, BaseModel):
        return "its own"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{list(default)}`" if isinstance(default, tuple) else f"`{default}`"


if __name__ == "__main__":
    Path(__file__).with_name("settings.md").write_text(page(), encoding="utf-8")
