"""The encoder as a folder that transformers' AutoModel opens: a TimmWrapperModel that gives feature maps."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

from mdpseg.export.source import Source
from mdpseg.files import write_text, write_whole


def write(source: Source, path: Path, part: str) -> str:
    """Writes the folder; returns the code that loads it."""
    import timm

    path.mkdir(parents=True, exist_ok=True)
    pretrained = timm.get_pretrained_cfg(source.encoder)
    config = {
        "architectures": ["TimmWrapperModel"],
        "model_type": "timm_wrapper",
        "architecture": source.encoder.split(".")[0],
        "model_args": source.timm_arguments(),
        "num_classes": 0,
        "pretrained_cfg": {
            "input_size": list(pretrained.input_size),
            "interpolation": pretrained.interpolation,
            **source.pixels(),
        },
    }
    state = {f"timm_model.{name}": tensor for name, tensor in source.encoder_state().items()}
    write_whole(
        path / "model.safetensors",
        lambda temporary: save_file(state, temporary, {"format": "pt", **source.metadata()}),
    )
    write_text(path / "config.json", json.dumps(config, indent=1) + "\n")
    return f"""from transformers import AutoModel

encoder = AutoModel.from_pretrained({str(path)!r})
maps = encoder(pixel_values).last_hidden_state  # one a stage
# its input: pixels from 0 to 1, minus {source.pixels()["mean"]}, divided by {source.pixels()["std"]}"""
