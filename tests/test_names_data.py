"""What `data/names.csv` promises to those who train on it."""

import csv
import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest

PATH = Path(__file__).parents[1] / "data" / "names.csv"
RAW = PATH.read_bytes()
ROWS = list(csv.DictReader(RAW.decode("utf-8").splitlines()))
ALPHABET = "-абвгдеёжзийклмнопрстуфхцчшщъыьэюя"
# Of the lecture's 103 names, sorted by code point and joined with "\n", in UTF-8.
LECTURE_SHA256 = "0a7e4ddcd436c1403c6e507401a809205fcb65740df4b12a05a1a34695000333"


def names(gender=None, lecture=None):
    return [
        row["name"]
        for row in ROWS
        if gender in (None, row["gender"]) and lecture in (None, row["lecture"])
    ]


def test_file_is_utf8_without_bom_with_lf_line_ends():
    assert not RAW.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in RAW
    assert RAW.endswith(b"\n") and not RAW.endswith(b"\n\n")


def test_header_and_three_fields_in_every_line():
    header, *lines = RAW.decode("utf-8").splitlines()
    assert header == "name,gender,lecture"
    assert [line for line in lines if not re.fullmatch(r"[^,\s]+,[fm],[01]", line)] == []


def test_lecture_names_are_exactly_those_of_the_lecture():
    lecture = sorted(names(lecture="1"))
    assert len(lecture) == 103
    assert hashlib.sha256("\n".join(lecture).encode()).hexdigest() == LECTURE_SHA256


def test_all_lecture_names_are_womens():
    assert names(gender="m", lecture="1") == []


def test_at_least_600_other_names():
    assert len(names(lecture="0")) >= 600


@pytest.mark.parametrize("gender", ["f", "m"])
def test_each_gender_has_at_least_250_other_names(gender):
    assert len(names(gender, lecture="0")) >= 250


def test_genders_are_roughly_balanced():
    assert 0.4 <= len(names("f")) / len(ROWS) <= 0.6


def test_names_are_lower_case_russian_letters_with_single_inner_hyphens():
    assert [name for name in names() if not re.fullmatch(r"[а-яё]+(-[а-яё]+)*", name)] == []


def test_no_name_occurs_twice_within_a_gender():
    counts = Counter((row["gender"], row["name"]) for row in ROWS)
    assert [pair for pair, count in counts.items() if count > 1] == []


def test_lines_are_sorted_by_gender_then_by_the_russian_alphabet():
    keys = [(row["gender"], [ALPHABET.index(letter) for letter in row["name"]]) for row in ROWS]
    assert keys == sorted(keys)


@pytest.mark.parametrize("gender", ["f", "m"])
@pytest.mark.parametrize("symbol, at_least", [("ё", 5), ("й", 5), ("-", 8)])
def test_rare_symbols_occur_in_both_genders(gender, symbol, at_least):
    assert sum(symbol in name for name in names(gender)) >= at_least


@pytest.mark.parametrize(
    "plain", ["алена", "матрена", "фекла", "артем", "семен", "петр", "федор", "парфен"]
)
def test_yo_is_written_where_it_is_pronounced(plain):
    assert plain not in names()
    assert plain in {name.replace("ё", "е") for name in names()}


def test_nearly_all_womens_names_end_as_russian_ones_do():
    womens = names("f")
    assert sum(name[-1] in "аяь" for name in womens) >= 0.95 * len(womens)


def test_most_mens_names_do_not_end_so():
    mens = names("m")
    assert sum(name[-1] in "аяь" for name in mens) <= 0.15 * len(mens)
