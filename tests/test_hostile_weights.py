"""Weights files from somebody else: refused with one message, nothing run, nothing allocated."""

import json
import struct

import pytest
import safetensors
import torch
from packaging.version import Version
from safetensors import safe_open
from safetensors.torch import load_file

from mdpseg import weights
from mdpseg.errors import UserError
from mdpseg.first_stage import start_network
from tests import hostile


@pytest.fixture
def good(pretrained):
    return pretrained / "weights.safetensors"


def refused(path, message):
    with pytest.raises(UserError, match=message) as error:
        weights.load(path)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1500
    # `init` takes other libraries' files too, and says of a file that is neither what it would need
    foreign = "holds no named tensors|cannot be read without running code|is in torch's old format"
    with pytest.raises(UserError, match=f"{message}|{foreign}"):
        start_network(str(path), None)


@pytest.mark.parametrize("old", [False, True])
def test_a_pickle_is_not_opened(old, tmp_path):
    path = hostile.pickled_weights(tmp_path / "w.pt", tmp_path / "ran", old)
    refused(path, "is a pickle, which could run code.*only safetensors is read")
    assert not (tmp_path / "ran").exists()
    torch.load(path, weights_only=False)  # the payload is real
    assert (tmp_path / "ran").is_dir()


@pytest.mark.parametrize("length", [2**22 + 1, 99_000_000, 2**40, 2**63, 2**64 - 1])
def test_absurd_header_lengths(length, tmp_path):
    refused(hostile.safetensors(tmp_path / "w", b"{}", length), "claims a header of")


@pytest.mark.parametrize(
    "header, data",
    [
        (b"{}", b""),
        (b"{", b""),
        (b"[]", b""),
        (b"{" * 50_000, b""),
        (b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4]}}', bytes(4)),
        (b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}', b""),
        (b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
         bytes(4)),
        (b'{"a":{"dtype":"X9","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
        (b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', bytes(4)),
        (b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', bytes(4)),
        (b"", b""),
    ],
)  # fmt: skip
def test_headers_that_lie(header, data, tmp_path):
    refused(
        hostile.safetensors(tmp_path / "w", header, data=data), "is not a safetensors file|was not written by mdpseg"
    )


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9])
def test_files_of_a_few_bytes(length, tmp_path):
    (tmp_path / "w").write_bytes(b"\x80\x02\x00\x00\x00\x00\x00\x00{"[:length])
    refused(tmp_path / "w", "is not a safetensors file|is a pickle")


def test_a_header_whose_length_begins_like_a_pickle_is_none(good, tmp_path):
    """640 and 896 bytes are 80 02 and 80 03 in the file; and the same for PK of an archive."""
    for length in (0x280, 0x380):
        header = b'{"__metadata__":{"format":"' + b"x" * (length - 30) + b'"}}'
        refused(hostile.safetensors(tmp_path / "w", header.ljust(length)), "was not written by mdpseg")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.new_zeros(3, 5), r"encoder\..* has shape \[3, 5\] instead of \["),
        (lambda t: t.to(torch.int8), r"is stored as I8 instead of torch.float32"),
        pytest.param(
            lambda t: t.to(torch.complex64),
            r"is stored as C64 instead of",
            marks=pytest.mark.skipif(Version(safetensors.__version__) < Version("0.7"), reason="cannot write complex"),
        ),
        (lambda t: t[..., None], "has shape"),
    ],
)
def test_wrong_shapes_and_kinds(change, message, good, tmp_path):
    tensors = load_file(good)
    name = next(name for name in tensors if name.startswith("encoder.") and tensors[name].ndim == 4)
    refused(hostile.rewritten(tmp_path / "w", good, {name: change(tensors[name])}), message)


def test_tensors_that_nobody_asked_for(good, tmp_path):
    extra = {"encoder.\x1b[2J" + "x" * 500: torch.zeros(1)}
    refused(hostile.rewritten(tmp_path / "w", good, extra), "has no place in its network")


def test_prototypes_of_another_size(good, tmp_path):
    tensors = load_file(good)
    assert "prototypes.vectors" in tensors
    wrong = {"prototypes.vectors": tensors["prototypes.vectors"][:-1].clone()}
    refused(hostile.rewritten(tmp_path / "w", good, wrong), "prototypes.vectors has shape")


def test_a_network_that_fits_no_memory(good, tmp_path):
    with safe_open(good, "pt") as file:
        known = file.metadata()["network"]
    refused(hostile.rewritten(tmp_path / "w", good, network=hostile.huge_network(known)), "instead of")


@pytest.mark.parametrize(
    "metadata, message",
    [
        ({"label_space": hostile.deep_json()}, "damaged metadata: they are nested too deeply"),
        ({"network": hostile.deep_json()}, "damaged metadata"),
        ({"network": "null"}, "damaged metadata"),
        ({"network": '{"embedding_dim": 1000000000000000000000}'}, "damaged metadata.*65536"),
        ({"network": '{"encoder": "[*?"}'}, r"names a network that cannot be made: timm has no encoder '\[\*\?'"),
        ({"network": '{"encoder": "mixer_s32_224"}'}, "names a network that cannot be made"),
        ({"network": '{"encoder": "resnet18."}'}, r"cannot be made: timm has no encoder 'resnet18\.'"),
        ({"network": '{"encoder": "convnext_tiny_in22ft1k"}'}, "cannot be made: timm has no encoder"),
        ({"network": '{"encoder": "dla34", "decoder": "deeplabv3"}'}, "cannot be made: .*dla34 .*cannot be dilated"),
        ({"label_space": "null"}, "damaged metadata"),
        ({"label_space": '{"classes": {"a": 3}, "catch_alls": {}, "catch_all_as": "class"}'}, "damaged metadata"),
        ({"label_space": '{"classes": {"a": [1, 2]}, "catch_alls": {}, "catch_all_as": "class"}'}, "has a class 1;"),
        (
            {"label_space": '{"classes": {"a": ["x\\u001b[2J"]}, "catch_alls": {}, "catch_all_as": "class"}'},
            "plain text",
        ),
        ({"label_space": '{"classes": {"a": [[]]}, "catch_alls": {}, "catch_all_as": "class"}'}, r"has a class \[\];"),
        (
            {"label_space": json.dumps({"classes": {"a": ["c"] * 10**5}, "catch_alls": {}, "catch_all_as": "class"})},
            "255",
        ),
        ({"label_space": '{"classes": {"a": ["b"]}, "catch_alls": [], "catch_all_as": "class"}'}, "damaged|instead of"),
        ({"label_space": '{"classes": {"a": ["b"]}, "catch_alls": {}, "catch_all_as": ["x"]}'}, "damaged metadata"),
    ],
)
def test_metadata_that_lie(metadata, message, good, tmp_path):
    refused(hostile.rewritten(tmp_path / "w", good, **metadata), message)


@pytest.mark.parametrize("name", ["head", "network", "label_space"])
def test_metadata_that_are_missing(name, good, tmp_path):
    content = good.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    del header["__metadata__"][name]
    path = hostile.safetensors(tmp_path / "w", json.dumps(header).encode(), data=content[8 + length :])
    refused(path, f"damaged metadata: '{name}'")


def test_a_classifier_whose_classes_are_not_its_rows(finetuned, tmp_path):
    source = finetuned / "weights.safetensors"
    space = '{"classes": {"a": ["only"]}, "catch_alls": {}, "catch_all_as": "class"}'
    refused(hostile.rewritten(tmp_path / "w", source, label_space=space), r"head\.1\.\w+ has shape .* instead of \[1")


def test_class_names_are_no_markup(finetuned, tmp_path):
    from io import StringIO

    from rich.console import Console

    from mdpseg.engine.scores import Scores

    buffer = StringIO()
    Console(file=buffer).print(Scores(0.5, 0.5, {"[/x]": 0.5, "[bold]": None}, 3).table())
    assert "[/x]" in buffer.getvalue()
    assert "[bold]" in buffer.getvalue()
