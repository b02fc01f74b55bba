"""Plain safetensors: the tensors by our names (encoder.model., decoder., head.), or the encoder's by timm's."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from mdpseg.export.source import Source
from mdpseg.files import write_whole


def write(source: Source, path: Path, part: str) -> str:
    """Writes the tensors; returns the code that loads them."""
    state = source.encoder_state() if part == "encoder" else source.state()
    write_whole(path, lambda temporary: save_file(state, temporary, source.metadata()))
    return f"""from safetensors import safe_open

with safe_open({str(path)!r}, "pt") as file:
    metadata = file.metadata()  # network, pixels, head, classes: JSON each
    tensors = {{name: file.get_tensor(name) for name in file.keys()}}"""
