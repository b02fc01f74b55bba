"""Coverage-guided fuzzing of the recipe's reader: a configuration, or one printable message; nothing else.

Command: python fuzz/fuzz_recipe.py -max_total_time=60 fuzz/corpus/recipe
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["yaml", "mdpseg"]):
    import yaml

    from mdpseg import config, recipe, yaml_text
    from mdpseg.errors import UserError

KINDS = {"datasets": config.PretrainConfig, "train": config.FinetuneConfig, "dataset": config.EvaluateConfig}
PLACE = Path(tempfile.mkdtemp(prefix="mdpseg-fuzz-"), "recipe.yaml")


def one_input(data: bytes) -> None:
    """The first line may be an override; the rest is the recipe."""
    head, _, text = data.partition(b"\n")
    override = head.decode("utf-8", "surrogateescape")
    PLACE.write_bytes(text)
    try:
        made = recipe.load_any(PLACE, KINDS, [override] if "=" in override else [])
    except UserError as error:
        message = str(error)
        assert message.isprintable(), message
        assert len(message) < 4000, len(message)
        return
    again = recipe.load(yaml_text.parse(recipe.dump(made)), type(made))
    assert yaml.safe_dump(again.model_dump(mode="json")) == yaml.safe_dump(made.model_dump(mode="json"))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
