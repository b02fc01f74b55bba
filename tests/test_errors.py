import pickle
from pathlib import Path

from mdpseg.errors import BadFileError, UserError, printable


def test_a_message_is_one_printable_line():
    assert str(UserError("file a\nmdpseg: all is well\x1b[2J\u202e")) == (r"file a\nmdpseg: all is well\x1b[2J\u202e")
    assert str(UserError("Größe × 漢字 🙂")) == "Größe × 漢字 🙂"
    printable("\udcff").encode()  # bytes of a file name that are no UTF-8


def test_a_bad_file_travels_between_processes():
    fault = BadFileError("voc", Path("a/b.png"), "size", "b.png is small", "make it large")
    again = pickle.loads(pickle.dumps(fault))
    assert str(again) == str(fault) == "voc: b.png is small; make it large."
    assert vars(again) == vars(fault)
    assert isinstance(fault, UserError)
