import pytest

from mdpseg.data.download.get import LICENCE
from mdpseg.data.download.sources import SOURCES
from mdpseg.data.licence import licence_note


def test_nothing_is_known_of_a_bare_folder(tmp_path):
    assert licence_note("folder", tmp_path) == ""
    assert licence_note("folder", tmp_path / "gone") == ""
    assert licence_note("huggingface", None) == ""
    assert licence_note("toy", None) == "made by mdpseg (Apache-2.0)"


@pytest.mark.parametrize("name", SOURCES)
def test_what_data_get_writes_is_told_whole(name, tmp_path):
    (tmp_path / LICENCE).write_text(f"{SOURCES[name].licence}\n")
    assert licence_note("voc2012", tmp_path) == SOURCES[name].licence


def test_the_makers_own_words_go_before_ours(tmp_path):
    (tmp_path / LICENCE).write_text("ours\n")
    (tmp_path / "SOURCE.md").write_text("# Things\nfrom somewhere\n")
    assert licence_note("folder", tmp_path) == "ours"
    (tmp_path / "SOURCE.md").write_text("# Things\n- **Licence**: CC BY 4.0\n- Terms: cite us\nfrom somewhere\n")
    assert licence_note("folder", tmp_path) == "Licence: CC BY 4.0 Terms: cite us"


def test_a_sentence_is_told_to_its_end(tmp_path):
    (tmp_path / "SOURCE.md").write_text(
        "- from somewhere\n- Terms: Flickr's; annotations are free for\n  research\n- x\n"
    )
    assert licence_note("folder", tmp_path) == "Terms: Flickr's; annotations are free for research"


def test_a_list_of_files_has_its_note_beside_it(tmp_path):
    (tmp_path / LICENCE).write_text("CC0\n")
    (tmp_path / "train.csv").write_text("")
    assert licence_note("list", tmp_path / "train.csv") == "CC0"
    assert licence_note("list", tmp_path / "gone.csv") == ""  # may be another dataset's folder


def test_a_long_or_strange_note_becomes_one_line(tmp_path):
    (tmp_path / LICENCE).write_bytes(b"a\x1b[2Jb \xff\n\n" + b"word " * 200)
    note = licence_note("folder", tmp_path)
    assert note.startswith("a\\x1b[2Jb")
    assert note.isprintable()
    assert note.endswith(" ...")
    assert len(note) <= 400
    (tmp_path / LICENCE).write_bytes(b"x" * 70_000)
    assert licence_note("folder", tmp_path) == ""
