"""Coverage-guided fuzzing of the weights' reader: weights that fit their network, or one printable message.

Command: python fuzz/fuzz_weights.py -max_total_time=60 fuzz/corpus/weights
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mdpseg.weights", "mdpseg.label_space", "mdpseg.config"]):
    from mdpseg import weights
    from mdpseg.errors import UserError

PLACE = Path(tempfile.mkdtemp(prefix="mdpseg-fuzz-"), "weights.safetensors")
CONTENT = Path(__file__).with_name("corpus").joinpath("weights.safetensors").read_bytes()
HEADER_END = 8 + int.from_bytes(CONTENT[:8], "little")
WHOLE, BYTES = json.loads(CONTENT[8:HEADER_END]), len(CONTENT) - HEADER_END

# Laying out a network takes a tenth of a second, and most inputs name the same one.
_lay_out = weights.expected_tensors


@functools.lru_cache(maxsize=256)
def _laid_out(network: str, num_classes: int, head: str, prototypes: bool) -> dict:
    config = weights.NetworkConfig.model_validate_json(network)
    return _lay_out(config, num_classes, head, ("prototypes.vectors",) if prototypes else ())


def _expected(config, num_classes, head, names=()):
    prototypes = "prototypes.vectors" in names or "prototypes.present" in names
    return _laid_out(config.model_dump_json(), num_classes, head, prototypes)


weights.expected_tensors = _expected


def write(data: bytes) -> None:
    """Turns an input into a file.

    The bytes are the file. Where they begin with a brace, they are its header: the length is put before it, and tensors
    behind it. Where they begin with ``#``, their lines are the metadata network, label_space and head of a whole file.
    """
    if data[:1] == b"#":
        lines = data[1:].decode("utf-8", "replace").split("\n", 2)
        known = WHOLE["__metadata__"] | dict(zip(("network", "label_space", "head"), lines, strict=False))
        data = json.dumps(WHOLE | {"__metadata__": known}).encode()
    if data[:1] == b"{":
        PLACE.write_bytes(len(data).to_bytes(8, "little") + data)
        os.truncate(PLACE, 8 + len(data) + BYTES)  # the tensors are a hole in the file, read as zeros
    else:
        PLACE.write_bytes(data)


def one_input(data: bytes) -> None:
    """Reads one file."""
    write(data)
    try:
        stored = weights.load(PLACE)
    except UserError as error:
        message = str(error)
        assert message.isprintable(), message
        assert len(message) < 4000, len(message)
        return
    assert stored.label_space.num_classes >= 1
    assert all(tensor.numel() >= 0 for tensor in stored.state.values())


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
