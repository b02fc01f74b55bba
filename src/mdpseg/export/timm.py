"""The encoder as timm's feature extractor: the maps that decoders use, by the names that timm gives it."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from mdpseg.errors import UserError
from mdpseg.export.source import Source
from mdpseg.files import write_whole


def write(source: Source, path: Path, part: str) -> str:
    """Writes the encoder; returns the code that loads it.

    Raises:
        UserError: timm would not know the file for what it is.
    """
    if path.suffix != ".safetensors":
        raise UserError(f"{path}: timm knows the format by the name; call it {path.name}.safetensors.")
    state = source.encoder_state()
    write_whole(path, lambda temporary: save_file(state, temporary, source.metadata()))
    arguments = ", ".join(f"{name}={value!r}" for name, value in source.timm_arguments().items())
    return f"""import timm

encoder = timm.create_model({source.encoder!r}, {arguments}, checkpoint_path={str(path)!r}).eval()
# its input: pixels from 0 to 1, minus {source.pixels()["mean"]}, divided by {source.pixels()["std"]}"""
