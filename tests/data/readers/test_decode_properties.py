"""What holds for any mask, and for any damage to a file: it is read, or it is a bad file; nothing else is raised."""

import io
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from mdpseg.data.readers.decode import read_colours, read_ids, read_image
from mdpseg.data.readers.pairs import Pair, PairReader, id_table
from mdpseg.errors import BadFileError

masks = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("drawn")


@given(mask=masks, palette=st.booleans())
def test_ids_come_back_as_they_were_written(mask, palette):
    with tempfile.TemporaryDirectory() as place:
        picture = Image.fromarray(mask, "P" if palette else "L")
        if palette:
            picture.putpalette(list(range(256)) * 3)
        picture.save(Path(place, "m.png"))
        assert np.array_equal(read_ids(Path(place, "m.png"), "d").numpy(), mask)


@given(mask=masks, table=st.dictionaries(st.integers(0, 255), st.one_of(st.integers(0, 9), st.just(255))))
def test_a_reader_maps_every_id_or_refuses_the_mask(mask, table):
    with tempfile.TemporaryDirectory() as place:
        Image.fromarray(mask).save(Path(place, "x.png"))
        pair = Pair("x", Path(place, "x.png"), Path(place, "x.png"))
        reader = PairReader([pair], [str(i) for i in range(10)], id_table(table), name="d")
        outside = sorted(set(mask.ravel().tolist()) - set(table))
        if outside:
            with pytest.raises(BadFileError, match=f"has id {outside[0]}") as error:
                reader.mask(0)
            assert (error.value.kind, error.value.file) == ("id", pair.mask)
        else:
            expected = [[table[value] for value in row] for row in mask.tolist()]
            assert reader.mask(0).tolist() == expected


def encoded(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)
    mode, options = {
        "JPEG": ("RGB", {}),
        "progressive": ("RGB", {"progressive": True}),
        "WEBP": ("RGB", {}),
        "lossless": ("RGB", {"lossless": True}),
        "PNG": ("RGB", {}),
        "grey PNG": ("L", {}),
        "palette PNG": ("P", {}),
    }[kind]
    buffer = io.BytesIO()
    name = {"progressive": "JPEG", "lossless": "WEBP"}.get(kind, kind.rsplit(maxsplit=1)[-1])
    Image.fromarray(pixels).convert(mode).save(buffer, name, **options)
    return buffer.getvalue()


FILES = {kind: encoded(kind) for kind in ("JPEG", "progressive", "WEBP", "lossless", "PNG", "grey PNG", "palette PNG")}


def read_or_fault(read, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read(path, "d")
        except BadFileError as fault:
            return fault


@settings(max_examples=400)
@given(
    kind=st.sampled_from(sorted(FILES)),
    cut=st.one_of(st.none(), st.integers(0, 2000)),
    changes=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=6),
    tail=st.binary(max_size=8),
)
def test_a_damaged_file_is_read_or_is_a_bad_file(kind, cut, changes, tail, folder):
    content = bytearray(FILES[kind])
    for place, value in changes:
        content[place % len(content)] = value
    path = folder / "damaged"
    path.write_bytes(bytes(content[:cut]) + tail)
    for read in (read_image, read_ids, read_colours):
        made = read_or_fault(read, path)
        if isinstance(made, BadFileError):
            assert made.file == path
            assert str(made).isprintable()
            continue
        assert made.dtype == torch.uint8
        assert made.ndim == (2 if read is read_ids else 3)
        assert made.numel() > 0


@given(
    content=st.binary(max_size=200),
    start=st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"]),
)
def test_bytes_that_are_no_image(content, start, folder):
    path = folder / "bytes"
    path.write_bytes(start + content)
    with pytest.raises(BadFileError):
        read_image(path, "d")
