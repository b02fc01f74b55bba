import pickle
import zipfile

import pytest
import torch

from mdpseg import torch_file


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "x.ckpt"
    torch.save({"a": torch.arange(1000), "step": 3}, path)
    return path


def test_what_was_saved_is_read(saved):
    read = torch_file.read(saved)
    assert read["step"] == 3
    assert torch.equal(read["a"], torch.arange(1000))


def test_a_packed_file_is_not_inflated(saved):
    """A gigabyte of zeros packs into a megabyte."""
    with zipfile.ZipFile(saved) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match="compressed"):
        torch_file.read(saved)


def test_a_changed_bit_is_seen(saved):
    content = bytearray(saved.read_bytes())
    place = content.index(torch.arange(1000).numpy().tobytes()[:64])
    content[place + 8] ^= 1
    saved.write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        torch_file.read(saved)


def test_whatever_a_damaged_directory_makes_of_the_zip_reader(saved):
    whole = saved.read_bytes()
    start = whole.rindex(b"PK\1\2")
    seen = set()
    for place in range(start, len(whole)):
        for bit in (0, 7):
            content = bytearray(whole)
            content[place] ^= 1 << bit
            saved.write_bytes(content)
            try:
                torch_file.read(saved)
            except ValueError as error:
                seen.add(str(error))
    assert "BadZipFile" in seen
    assert len(seen) > 1  # EOFError, OSError and the like


def test_a_payload_is_not_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").mkdir, ())

    torch.save({"a": Payload()}, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match="UnpicklingError"):
        torch_file.read(tmp_path / "x.ckpt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps({"a": 1})])
def test_another_kind_of_file(content, tmp_path):
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match="BadZipFile"):
        torch_file.read(tmp_path / "x.ckpt")


def test_a_zip_file_behind_another_one(saved, tmp_path):
    """torch would read what stands first, in its old format, of which nothing was checked."""
    torch.save({"a": 1}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    (tmp_path / "x.ckpt").write_bytes((tmp_path / "old.ckpt").read_bytes() + saved.read_bytes())
    with pytest.raises(ValueError, match="BadZipFile"):
        torch_file.read(tmp_path / "x.ckpt")


def test_an_encrypted_file(saved):
    content = saved.read_bytes()
    local, central = content.index(b"PK\3\4"), content.index(b"PK\1\2")
    saved.write_bytes(with_flag(with_flag(content, local + 6), central + 8))
    with pytest.raises(ValueError, match="RuntimeError"):
        torch_file.read(saved)


def with_flag(content, place):
    """The general flags of a zip's entry, with that of encryption."""
    return content[:place] + bytes([content[place] | 1]) + content[place + 1 :]


def test_a_file_that_is_cut_off(saved):
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(ValueError, match="BadZipFile"):
        torch_file.read(saved)


def test_the_ending_of_the_name_does_not_choose_the_reader(saved):
    assert torch_file.read(saved.rename(saved.with_suffix(".safetensors")))["step"] == 3
