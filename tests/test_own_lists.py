"""Notebook 06 learns whatever list a reader brings: how it is read, learnt, kept and refused."""

import csv
import io
import random
import re
import unicodedata
from pathlib import Path

import matplotlib
import nbformat
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lecture_utils import corpora
from lecture_utils.corpora import CorpusError, read_list
from lecture_utils.models import LetterModel
from lecture_utils.sampling import sample_names
from lecture_utils.vocabulary import BEGIN, END, LIST_SPECIALS, Vocabulary

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "06_lab_names.ipynb"


def entries_of(first: str, middle: str, last: str, count: int) -> list[str]:
    """So many different entries, each put together of three parts; "+" stands for a blank."""
    rng, parts = random.Random(0), [part.split() for part in (first, middle, last)]
    made = {}
    while len(made) < count:
        made["".join(map(rng.choice, parts)).replace("+", " ")] = None
    return list(made)


SURNAMES = entries_of(
    "Иван Пет Сидор Кузнец Соловь Тимофе Щерб Ерём", "ч ов ен ин ак", "ов ин ко ский ук", 60
)
ENGLISH = entries_of(
    "Al Be Ca Da El Fre Ge Ha I Jo Ka Lo Mar Ni O Pa Ro Sa The Wi",
    "ra li na do be ri ver mo sti la ne ",
    "n na lle th rt s la ne ck y ne-Ann mond",
    2000,
)
TOWNS = entries_of(
    "Нижний+ Усть- Новый+ Старая+ Верхне Красно Бело",
    "горо ом таги лу каме ",
    "дск ль нск ги во",
    150,
)
MIXED = entries_of("O'Bri D’Ar 3 23 Mc Saint+", "and ne tag x ", "Me  Labs .io !", 60)
GREEK = entries_of("Αθη Θεσσα Πάτ Ηρά Λά Βό", "να λο ρα κλει ρι ", "ς νίκη κη α ος", 60)
KANA = entries_of("ピカ フシ ヒト ゼニ キャ", "チュ ギ カゲ ガ ター", "ウ ダネ メ ピー ン", 60)


def excel(entries: list[str]) -> bytes:
    """A sheet as Excel with Russian settings saves it: semicolons, CRLF, quotes where needed."""
    table = io.StringIO()
    rows = [(k, entry, 100 * k) for k, entry in enumerate(entries, 1)]
    csv.writer(table, delimiter=";").writerows([("№", "Населённый пункт", "Жителей"), *rows])
    return table.getvalue().encode("utf-8-sig")


KINDS = {
    "surnames": (SURNAMES, "\n".join(SURNAMES).encode()),
    "English": (ENGLISH, "\r\n".join(ENGLISH).encode("utf-8-sig")),
    "towns with blanks": (TOWNS, "\n".join(TOWNS).encode("cp1251")),
    "sheet of Excel": (TOWNS, excel(TOWNS)),
    "one column of Excel": (SURNAMES, "Фамилия\r\n{}\r\n".format("\r\n".join(SURNAMES)).encode()),
    "UTF-16 with tabs": (
        SURNAMES,
        "".join(f"{k}\t{name}\r\n" for k, name in enumerate(SURNAMES)).encode("utf-16"),
    ),
    "numbered": (TOWNS, "".join(f"{k}. {town}\n" for k, town in enumerate(TOWNS, 1)).encode()),
    "bullets": (GREEK, "".join(f"  • {name} \n\n" for name in GREEK).encode()),
    "apostrophes and digits": (MIXED, "\n".join(MIXED).encode()),
    "kana": (KANA, "\n".join(KANA).encode()),
    "one line": (SURNAMES, ", ".join(SURNAMES).encode()),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


# Reading


def test_a_list_in_a_file_is_read_as_it_is_written(kind, tmp_path):
    entries, raw = KINDS[kind]
    path = tmp_path / "мой список $.txt"
    path.write_bytes(raw)
    assert read_list(path) == read_list(f' "{path}"\n') == entries


@pytest.mark.parametrize("column", ["", "Населённый пункт", "населённый  ПУНКТ"])
def test_a_pasted_table_is_read_like_a_file(column):
    assert read_list(excel(TOWNS).decode("utf-8-sig"), column) == TOWNS


TABLE = [("id", "Область", "Город", "Код"), *((k, "Юг", t, "a") for k, t in enumerate(TOWNS))]


@pytest.mark.parametrize(
    ("table", "taken"),
    [
        (TABLE, "3 из 4"),  # a known header
        ([row[2:] for row in TABLE[1:]], "1 из 2"),  # no header: the first that has letters
        ([(row[0], row[2]) for row in TABLE[1:]], "2 из 2"),
        ([(row[0], row[2]) for row in [(1, 2, "Где"), *TABLE[1:]]], "2 из 2"),
    ],
)
def test_the_column_is_chosen_by_its_header_or_its_letters(table, taken, capsys):
    text = "\n".join(";".join(map(str, row)) for row in table)
    assert set(TOWNS) <= set(read_list(text)) <= {*TOWNS, "Где"}
    assert f"столбец {taken}" in capsys.readouterr().out


def test_a_column_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(CorpusError, match=r"Столбца «Река» нет.*Область, Город"):
        read_list("\n".join(";".join(map(str, row)) for row in TABLE), column="Река")


def test_what_was_read_and_what_was_left_out_is_told_in_a_line(capsys):
    read_list("\n".join([*SURNAMES, *SURNAMES[:3], "оченьдлинно" * 9]))
    told = capsys.readouterr().out
    assert re.fullmatch(r"Записей 60: .+… Не взято: повторов 3, .*60 символов 1\.\n", told)


def test_signs_that_nobody_sees_are_taken_off_and_letters_of_two_signs_put_together():
    spoilt = [f"\u200b{name}\xa0\u200f".replace("й", "и\u0306") for name in TOWNS]
    assert read_list("\n".join(spoilt)) == TOWNS


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("", r"Разных записей в списке 0.*не меньше 20: добавьте"),
        ("\n \n", "добавьте, по одной в строке"),
        ("нет-такого.csv", r"Файла «нет-такого.csv» нет: проверьте путь.*по записи в строке"),
        ("\n".join(SURNAMES[:19]), "Разных записей в списке 19, а нужно не меньше 20"),
        ("\n".join(SURNAMES[:7] * 100), r"7 \(повторов 693.*добавьте"),
        ("\n".join("а" * k for k in range(1, 50)), "из одного символа «а»: возьмите"),
        ("\n".join(chr(0x4E00 + k) * 2 for k in range(1000)), "символов в списке 1000.*буквами"),
        (
            "\n".join(" ".join(SURNAMES[k:]) for k in range(40)),
            r"длиннее 60 символов 40\).*добавьте",
        ),
        ("\n".join(["а" * 200_000, *SURNAMES]), "не читается после строки.*пишите по записи"),
        (ROOT, "не читается: укажите путь к текстовому файлу"),
    ],
)
def test_what_cannot_be_learnt_is_refused_by_one_sentence_that_says_what_to_do(source, told):
    with pytest.raises(CorpusError, match=told) as error:
        read_list(source)
    assert re.fullmatch(r"[А-ЯЁ][^\n]*[^.]\.", str(error.value)) or source == "\n \n"


def test_an_empty_file_and_a_workbook_are_refused(tmp_path):
    path = tmp_path / "a.txt"
    for raw, told in ((b"", "пуст"), (b"\r\n ", "пуст"), (b"PK\x03\x04\x14", "XLSX.*сохраните")):
        path.write_bytes(raw)
        with pytest.raises(CorpusError, match=told):
            read_list(path)


one_entry = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters='",;')).filter(
    lambda text: unicodedata.is_normalized("NFC", text) and corpora._plain(text)
)


@given(st.lists(st.lists(one_entry, min_size=1, max_size=3).map(" ".join), max_size=50))
def test_pasted_entries_come_back_each_once_or_a_sentence_says_why_not(entries):
    try:
        got = read_list("\n".join(entries))
    except CorpusError as error:
        kept = {entry for entry in entries if len(entry) <= 60}
        symbols = set("".join(kept))
        assert len(kept) <= 20 or len(symbols) == 1 or len(symbols) > 300
        assert re.search("[а-яё]{3}", str(error))
        return
    bare = [re.sub(r"^([-–—•*·]|\d+[.)]) ", "", entry) for entry in entries]
    of_short = lambda some: [entry for entry in dict.fromkeys(some) if len(entry) <= 60]
    header = corpora._plain(entries[0]) in corpora.TITLES
    assert got in (of_short(entries[header:]), of_short(bare))


@given(st.text())
def test_any_text_is_a_list_or_is_refused_by_a_sentence(text):
    try:
        entries = read_list(f"{text}\n" + "\n".join(SURNAMES))
    except CorpusError as error:
        assert re.search("[а-яё]{3}", str(error))
        return
    assert len(entries) == len(set(entries)) >= 20
    assert all(entry == " ".join(entry.split()) and len(entry) <= 60 for entry in entries)


# The lists of the course

ALPHABET = " -абвгдеёжзийклмнопрстуфхцчшщъыьэюя"


@pytest.mark.parametrize(("name", "least"), [("towns", 500), ("rivers", 250)])
def test_the_lists_of_the_course_are_sorted_each_once_with_capitals(name, least):
    raw = (ROOT / "data" / f"{name}.txt").read_bytes()
    entries = raw.decode("utf-8").removesuffix("\n").split("\n")
    assert b"\r" not in raw and len(entries) == len(set(entries)) >= least
    assert entries == sorted(entries, key=lambda e: [ALPHABET.index(sign) for sign in e.lower()])
    word = "([А-ЯЁ][а-яё]+|на)"
    assert [e for e in entries if not re.fullmatch(f"{word}([ -]{word})*", e)] == []
    assert read_list(ROOT / "data" / f"{name}.txt") == entries


@pytest.mark.parametrize(
    ("name", "with_yo"),
    [
        ("towns", "Артём Белёв Берёзовский Будённовск Королёв Орёл Пугачёв Щёлково Озёрск Плёс"),
        ("rivers", "Осётр Псёл Хопёр Олёкма Оленёк Дёма Тёша"),
    ],
)
def test_yo_is_written_in_the_lists(name, with_yo):
    entries = (ROOT / "data" / f"{name}.txt").read_text("utf-8").split("\n")
    assert set(with_yo.split()) <= set(entries)
    without = {word.replace("ё", "е") for word in with_yo.split()}
    assert not without & set(entries)


# A network of a list


@pytest.fixture
def letters():
    return Vocabulary.build("".join(TOWNS), specials=LIST_SPECIALS)


@pytest.fixture
def net(letters):
    torch.manual_seed(1)
    return LetterModel(len(letters), cell="gru")


def test_an_entry_is_framed_by_begin_and_end(letters):
    assert letters.decode(letters.encode_name("Усть-Каме")) == [BEGIN, *"Усть-Каме", END]
    with pytest.raises(ValueError):
        letters.encode_name("Усть", "f")


def test_inventions_keep_capitals_and_blanks_of_the_beginning_and_hold_letters_only(net, letters):
    invented = sample_names(net, letters, 300, prefix="Нижний К", max_length=9)
    assert all(name.startswith("Нижний К") for name in invented)
    assert {sign for name in invented for sign in name} <= set("".join(TOWNS))


def test_an_unknown_letter_of_the_beginning_is_named_with_the_alphabet(net, letters):
    with pytest.raises(ValueError, match=r"«Q»; пишите её буквами: «.*»"):
        sample_names(net, letters, 3, prefix="Q")


# The notebook


def cells() -> list[str]:
    """The imports of the notebook and the code of the section, cell by cell."""
    sources = [cell.source for cell in nbformat.read(NOTEBOOK, 4).cells]
    begin = next(k for k, source in enumerate(sources) if source.startswith('<a id="list">'))
    end = next(k for k, source in enumerate(sources) if source.startswith('<a id="exercises">'))
    kinds = [cell.cell_type for cell in nbformat.read(NOTEBOOK, 4).cells]
    places = [k for k in range(begin, end) if kinds[k] == "code"]
    return [next(s for s in sources if s.startswith("import ")), *(sources[k] for k in places)]


# Of the kinds, those that the lab promises; the others are tried by hand.
PROMISED = "surnames", "English", "towns with blanks", "sheet of Excel"


@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=[pytest.mark.thorough, pytest.mark.slow][k in PROMISED]) for k in KINDS],
)
def test_the_cell_of_the_notebook_learns_any_list(kind, tmp_path, monkeypatch):
    entries, raw = KINDS[kind]
    path = tmp_path / "список.csv"
    path.write_bytes(raw)
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    names = {"__name__": "__main__"}
    for number, source in enumerate(cells()):
        mine = re.sub("^MY_LIST = .*", f"MY_LIST = {str(path)!r}", source, flags=re.MULTILINE)
        exec(compile(mine, f"cell {number}", "exec"), names)
    assert names["entries"] == entries
    run, inventor = names["run"], names["inventor"]
    assert run.best < run.valid_loss[0] or len(run.valid_loss) == 1
    assert len(inventor.rows) == 20 and run.seconds < 35
    assert sum(not note for *_, note in inventor.rows) >= 5  # new ones, whatever the list


def test_the_notebook_asks_for_a_list_in_one_place():
    assert sum("MY_LIST = " in source for source in cells()) == 1
