import csv

import numpy as np
from PIL import Image

from mdpseg.data.class_shares import ClassShares, draw_shares, shares_text, write_shares


def shares(names=("sky", "car", "dog"), counts=({0: 30, 1: 10, 255: 10}, {0: 20, 255: 30})):
    made = ClassShares("mine (train)", list(names))
    for count in counts:
        pixels = np.zeros(256, np.int64)
        for local, number in count.items():
            pixels[local] = number
        made.add(pixels)
    return made


def test_counts():
    assert shares().rows() == [("sky", 50, 50 / 60, 2), ("car", 10, 10 / 60, 1), ("dog", 0, 0.0, 0)]
    assert shares().absent() == ["dog"]
    assert shares().ignored() == 0.4
    assert shares(counts=[]).rows()[0] == ("sky", 0, 0.0, 0)
    assert shares(counts=[]).ignored() == 0


def test_the_terminal_sees_both_ends_of_a_long_table():
    text = shares_text(shares(), 10)
    assert [line.split()[0] for line in text.splitlines()] == ["sky", "car", "dog"]
    assert "83.3333%" in text
    many = shares([f"c{i}" for i in range(9)], [{i: 9 - i for i in range(9)}])
    lines = shares_text(many, 3).splitlines()
    assert [line.split()[0] for line in lines] == ["c0", "c1", "...", "c8"]
    assert "6 classes between" in lines[2]
    assert len(shares_text(many, 1).splitlines()) == 2


def test_the_table_and_the_picture(tmp_path):
    odd = ["a, b", 'c"d', "$\\frac$", "[/x]", "漢字"]
    both = [shares(), shares(odd, [{0: 5, 2: 5}])]
    write_shares(tmp_path / "classes.csv", both)
    with (tmp_path / "classes.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["sky", "car", "dog", *odd]
    assert rows[1] == {"dataset": "mine (train)", "class": "car", "pixels": "10", "share": "0.16666667", "images": "1"}
    draw_shares(tmp_path / "classes.png", both)
    with Image.open(tmp_path / "classes.png") as picture:
        assert picture.width > picture.height > 100
