"""Writes the inputs that fuzzing starts from: the repository's recipes, and the headers of small weights files."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from mdpseg import weights
from mdpseg.config import NetworkConfig
from mdpseg.label_space import LabelSpace
from mdpseg.network import SegmentationNetwork

HERE = Path(__file__).parent
SPACE = LabelSpace.concatenate({"a": ["p", "rest"], "b": ["q"]}, catch_alls={"a": "rest"})


def main() -> None:
    """Writes corpus/recipe and corpus/weights beside this file."""
    recipes, stored = HERE / "corpus" / "recipe", HERE / "corpus" / "weights"
    for folder in (recipes, stored):
        folder.mkdir(parents=True, exist_ok=True)
    for path in (HERE.parent / "recipes").rglob("*.yaml"):
        (recipes / path.name).write_text("optim.lr=0.1\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    (recipes / "aliases").write_text("\na: &a {x: 1}\ndatasets: [{<<: *a, name: b}]\nout: !!str 1\n")

    network = SegmentationNetwork(NetworkConfig(encoder="mobilenetv3_small_050", embedding_dim=4, decoder_channels=32))
    network.set_projection()
    made = weights.Weights(
        network.config, network.state_dict(), SPACE, "projection", torch.zeros(3, 4), torch.ones(3, dtype=torch.bool)
    )
    weights.save(HERE / "corpus" / "weights.safetensors", made)
    content = (HERE / "corpus" / "weights.safetensors").read_bytes()
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    metadata = json.loads(header)["__metadata__"]
    (stored / "header").write_bytes(header.strip())
    (stored / "short-header").write_bytes(json.dumps({"__metadata__": metadata}).encode())
    (stored / "first-bytes").write_bytes(content[:300])
    (stored / "metadata").write_text("\n".join(["#" + metadata["network"], metadata["label_space"], metadata["head"]]))


if __name__ == "__main__":
    main()
