import contextlib
import hashlib
import http.server
import os
import re
import socket
import subprocess
import sys
import threading
import time
import unicodedata
import urllib.parse
from collections import Counter
from pathlib import Path

import pooch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lecture_utils import corpora
from lecture_utils.corpora import (
    STORY_NAMES,
    STORY_SEED,
    STORY_TOKENS,
    CorpusError,
    Name,
    load_novel,
    prose_files,
    read_names,
    read_prose,
    read_text,
    story_text,
    storyteller,
    strip_edition,
)
from lecture_utils.downloads import File, cache_folder
from lecture_utils.files import read_table

PROSE = Path(__file__).parents[2] / "shared" / "data" / "tolstoy"  # beside the checkout, if at all

# Built like the raw file of the novel: title page, parts, footnote marks, afterword, endnotes.
NOVEL = """Часть первая




Всякому коту своя печь

I

Кот Василий,[1] не открывая глаз, слушал, как за окном идёт дождь[2]. «Конец», – подумал он.

Часть вторая

– Конец лету, – сказала хозяйка. Кот вздохнул и перевернулся на другой бок.[31]
"""
NOVEL += "И снова ему снилась сметана.\n" * 400
PLAIN = re.sub(r"\[\d+\]", "", NOVEL)
AFTERWORD = """О романе

Часть первая

Конец

1

Кот – животное.
"""
RAW = f"Неизвестный автор\n\nКот Василий\n\n\n{NOVEL}\n\n\n\n\nКонец\n\n\n\n{AFTERWORD}"
SHA256 = hashlib.sha256(RAW.encode()).hexdigest()

RUSSIAN = """Жил-был старый мельник, и была у него мельница на тихой реке. Каждое утро он
выходил на крыльцо, смотрел на воду и говорил: ну что ж, ещё один день! И шёл работать.
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    monkeypatch.delenv("LECTURE_NOVEL", raising=False)
    monkeypatch.setenv("LECTURE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "текст.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def message(path, reader=read_text):
    with pytest.raises(CorpusError) as caught:
        reader(path)
    return str(caught.value)


# --- any text file


def is_kept(text):
    return text.strip() and not text.startswith("\ufeff") and unicodedata.is_normalized("NFC", text)


any_text = st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t"))
russian_text = st.lists(
    st.sampled_from(
        ["ёлка", "зелёный", "«Ёж»", "–", "мама", "и", "ПЕРЕДАЧА", "Юля", "№ 5", "снова"]
    )
    | st.sampled_from(["ветер", "какой-то", "ещё!..", "\n", "моря,", "жильё", "OK", "поля?"]),
    min_size=1,
).map(" ".join)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@given(text=any_text.filter(is_kept))
def test_any_unicode_text_comes_back_as_written(tmp_path_factory, encoding, text):
    path = tmp_path_factory.getbasetemp() / "unicode.txt"
    path.write_bytes(text.encode(encoding))
    assert read_text(path) == text


@given(text=russian_text.filter(is_kept))
def test_russian_text_comes_back_from_cp1251(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "cp1251.txt"
    path.write_bytes(text.encode("cp1251"))
    assert read_text(path) == text


def test_big_endian_utf16_is_read_by_its_bom(file):
    assert read_text(file("\ufeffёж".encode("utf-16-be"))) == "ёж"


def test_a_few_letters_of_cp1251_are_enough(file):
    assert read_text(file("пётр".encode("cp1251"))) == "пётр"


def test_line_ends_become_newlines(file):
    assert read_text(file("раз\r\nдва\rтри\n")) == "раз\nдва\nтри\n"


def test_letters_made_of_two_characters_become_one(file):
    assert read_text(file(unicodedata.normalize("NFD", "ёжик зелёный"))) == "ёжик зелёный"


@pytest.mark.parametrize(
    "raw",
    [
        RUSSIAN.encode("koi8-r"),
        RUSSIAN.lower().encode("koi8-r"),
        RUSSIAN.encode("cp866"),
        RUSSIAN.encode("iso8859-5"),
        RUSSIAN.encode() + b"\xff",
        "Ёж и лиса".encode() + b"\xff",
        b"\xff\xfe" + RUSSIAN.encode("utf-16-le") + b"\x04",
    ],
    ids=["koi8-r", "koi8-r lower", "cp866", "iso8859-5", "utf-8", "short utf-8", "utf-16"],
)
def test_another_encoding_is_refused_and_utf8_advised(file, raw):
    path = file(raw)
    assert str(path) in message(path)
    assert "UTF-8" in message(path)


def test_the_line_where_utf8_breaks_is_told(file):
    assert "в строке 3" in message(file(RUSSIAN.encode() + b"\xd0\n"))


@pytest.mark.parametrize(
    "raw",
    [b"\x1f\x8b\x08\x02\x99" * 9, RUSSIAN.encode() + b"\0", RUSSIAN.encode("utf-16-le")],
    ids=["gzip", "zero byte", "utf-16 without BOM"],
)
def test_a_binary_file_is_refused(file, raw):
    path = file(raw)
    assert f"«{path}» двоичный" in message(path)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (rb"{\rtf1\ansi \u1050?\u1086?\u1090?}", "RTF"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><FictionBook>", "FB2"),
        (b"<FictionBook xmlns='x'>", "FB2"),
        (b"\n\n<!DOCTYPE html><html>", "HTML"),
        (b"<HTML><body>", "HTML"),
        (b"<head><title>", "HTML"),
        (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
        (b"PK\x03\x04\x14\0", "XLSX, DOCX, EPUB"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "XLS или DOC"),
        (b"MIME-Version: 1.0\n", "MHTML"),
        (b"\\documentclass{article}", "LaTeX"),
    ],
)
def test_another_format_is_named_and_how_to_save_as_text(file, raw, kind):
    path = file(raw + RUSSIAN.encode())
    assert re.search(f"«{path}» — это {kind}.*сохраните как текст .TXT. в UTF-8", message(path))


@pytest.mark.parametrize(
    "text",
    [
        "Як умру, то поховайте мене на могилі серед степу широкого на Вкраїні милій.",
        "Її ґанок, їжак і єнот: Щоб лани широкополі, і Дніпро, і кручі було видно.",
        "Мой родны кут, як ты мне мілы! Забыць цябе не маю сілы. Ўсё ў парадку.",
        "Ї",
    ],
)
def test_ukrainian_and_belarusian_come_back_from_cp1251(file, text):
    assert read_text(file(text.encode("cp1251"))) == text


@pytest.mark.parametrize("raw", [b"", b" \n\t\r\n", b"\xef\xbb\xbf", b"\xff\xfe"])
def test_an_empty_file_is_refused(file, raw):
    path = file(raw)
    assert f"«{path}» пуст" in message(path)


def test_an_absent_file_is_named(tmp_path):
    path = tmp_path / "нету.txt"
    assert f"«{path}» не найден" in message(path)


def test_a_folder_is_no_text(tmp_path):
    assert f"«{tmp_path}» не читается" in message(tmp_path)


# --- names


def test_the_course_has_the_103_names_of_the_lecture_and_many_more():
    names = read_names()
    assert Counter(name.gender for name in names if name.lecture) == {"f": 103}
    assert min(Counter(name.gender for name in names).values()) > 250


def test_the_lectures_own_format_is_read(file):
    names = [name.name for name in read_names() if name.lecture]
    path = file("\r\n".join(names).encode("cp1251"))
    assert read_names(path) == [Name(name, "", False) for name in names]


@given(names=st.lists(st.from_regex("[а-яё]{1,9}(-[а-яё]{1,9})?", fullmatch=True), min_size=1))
def test_one_name_a_line_each_kept_once_in_order(tmp_path_factory, names):
    path = tmp_path_factory.getbasetemp() / "names.txt"
    path.write_text("\n".join(["имя", *names]), encoding="utf-8")
    assert [name.name for name in read_names(path)] == list(dict.fromkeys(names))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("header", [("name", "gender", "lecture"), ("Имя", "Пол", "Lecture")])
@pytest.mark.parametrize(("f", "m"), ["fm", "жм", "ЖМ"])
def test_columns_are_found_by_their_header(file, separator, header, f, m):
    rows = [header, ("Анна", f, "1"), (" анна-мария", f, "0"), ("", "", ""), ("Женя", m, "")]
    path = file("\n".join(separator.join(row) for row in rows))
    assert read_names(path) == [
        Name("анна", "f", True),
        Name("анна-мария", "f", False),
        Name("женя", "m", False),
    ]


def test_columns_may_stand_in_any_order_quoted_and_with_others(file):
    path = file('id;пол;имя\n1;ж;"Ольга"\n2;;"Женя"\n')
    assert read_names(path) == [Name("ольга", "f", False), Name("женя", "", False)]


ANNA = [Name("анна", "f", False)]


@pytest.mark.parametrize(
    "content",
    [
        "имя;пол;доля\nАнна;Ж;0,5\n",
        'имя,пол,доля\nАнна,Ж,"0,5"\n',
        'имя;о себе;пол\n"Анна";"две;\nстроки и ""кавычки""";ж\n',
        "ID;Name;Sex\n1;Анна;Ж\n",
        "№\tИмя\tПол\n1\tАнна\tЖенский\n",
        "sep=;\r\nимя;пол\r\nАнна;Ж",
        "SEP=,\nимя,пол\nАнна,Ж",
        "\ufeffName, Gender\nAнна, Female\n".replace("A", "А"),
        " имя ; пол \n Анна ; жен. \n;\n;;\n".replace(";;\n", ""),
        "Имя;Пол\nАнна;девочка\n",
        "First name;Gender\nАнна;woman",
    ],
)
def test_tables_are_read_as_programs_save_them(file, content):
    assert read_names(file(content)) == ANNA


@pytest.mark.parametrize("header", ["Имена", "имя", "ИМЯ", "Name", "names", "\ufeffИмя\u00a0"])
def test_a_header_is_no_name(file, header):
    assert [name.name for name in read_names(file(f"{header}\nАнна\n"))] == ["анна"]


@pytest.mark.parametrize("gender", ["Мужской", "Male", "муж.", "М", "m.", "мальчик", "MAN"])
def test_genders_are_read_as_people_write_them(file, gender):
    assert read_names(file(f"имя;пол\nИван;{gender}")) == [Name("иван", "m", False)]


@pytest.mark.parametrize(
    "written",
    [
        "Анна\u00a0",
        "Анна\u200b",
        "\u0410\u0301нна",
        "\u200eАнна",
        "Ан\u00adна",
        "\u2009Анна\t",
        "анна\ufeff",
    ],
)
def test_blanks_stress_and_invisible_signs_are_taken_off(file, written):
    assert [name.name for name in read_names(file(f"имя\n{written}"))] == ["анна"]


def test_any_hyphen_joins_a_double_name(file):
    names = read_names(file("Анна\u2011Мария\nАнна - Мария\nАлексе\u0438\u0306"))
    assert [name.name for name in names] == ["анна-мария", "алексей"]


def test_repeats_are_dropped_but_a_name_may_have_two_genders(file):
    path = file("имя,пол\nженя,ж\nЖеня,м\nженя ,ж")
    assert read_names(path) == [Name("женя", "f", False), Name("женя", "m", False)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("анна\nанна2", "строка 2: имя «анна2» (можно лишь русские буквы и дефис: «2» U+0032)"),
        ("анна\n\nмария\nanna", "строка 4: имя «anna»"),
        ("aнна", "строка 1: имя «aнна» (можно лишь русские буквы и дефис: «a» U+0061)"),
        ("ольгa", "«a» U+0061"),
        ("анна\u0456", "«\u0456» U+0456"),
        ("анна мария", "строка 1: имя «анна мария» (можно лишь русские буквы и дефис: « » U+0020)"),
        ("имя,пол\n,ж", "строка 2: имя «»"),
        ("анна-", "строка 1: имя «анна-»"),
        ("cергей\nанна\nмарія\nпётр!", "строка 1: имя «cергей»"),
        ("cергей\nанна\nмарія\nпётр!", "строка 3: имя «марія»"),
        ("cергей\nанна\nмарія\nпётр!", "строка 4: имя «пётр!»"),
        ("имя;пол\nанна;ж\nиван;неизв.\nпётр;?", "строка 3: пол «неизв.»"),
        ("имя;пол\nанна;ж\nиван;неизв.\nпётр;?", "строка 4: пол «?»"),
        ("\n".join(f"a{k}" for k in range(50)), "и ещё строк: 30"),
        ("анна;ж\nиван;м", "нет столбца name"),
        ("пол,lecture\nж,1", "нет столбца name"),
        ("имя,пол\nанна,ж\nиван", "строка 3: столбцов 1, а не 2"),
        ("пол,имя\nж", "строка 2: столбцов 1, а не 2"),
        ("имя,пол\nанна,ж,1", "строка 2: столбцов 3, а не 2"),
        ("имя,пол\nанна,да", "строка 2: пол «да» (нужен f или m, ж или м)"),
        ("имя,пол\n", "нет ни одного имени"),
        (",;,\n;", "нет ни одного имени"),
    ],
)
def test_a_bad_list_of_names_is_refused_with_the_place(file, content, words):
    path = file(content)
    assert str(path) in message(path, read_names)
    assert words in message(path, read_names)


# --- the edition around the novel


def test_only_the_novel_itself_is_kept():
    assert strip_edition(RAW) == PLAIN


def test_a_stripped_novel_stays_as_it_is():
    assert strip_edition(PLAIN) == PLAIN


@pytest.mark.parametrize(
    "text",
    [
        "Просто рассказ[1].\nКонец\nПослесловие[2]\n",
        "Часть первая\nРассказ без конца[1].\n",
        "Конец\n\nЧасть первая\nВсё наоборот[1].\n",
        "Часть первая и Конец в одной строке[1].\n\nКонец – делу венец.\n",
        "Часть первая\nПролог.\nКонец\n\n" + "А тут вся книга.[1] " * 9,
    ],
)
def test_a_text_of_another_build_is_kept_whole(text):
    assert strip_edition(text) == text


# --- parts of any text


LINES = "".join(f"Строка номер {k}.\n" for k in range(1000))


@pytest.mark.parametrize(
    "text",
    [
        LINES,
        "Кот спал. " * 3000,
        "кот спал " * 3000 + "\n",
        "словобезпробелов" * 1000,
        LINES.replace("\n", "\n\n"),
        "Длинный абзац без конца. " * 2000 + "\n" + "И ещё один такой же. " * 2000,
        "я\n" * 5000,
        "",
        "а",
    ],
)
def test_any_text_is_cut_into_eight_tenths_and_two(text):
    parts = corpora.cut(text)
    assert "".join(parts) == text
    for part, share in zip(parts, (0.8, 0.1, 0.1), strict=True):
        assert abs(len(part) - share * len(text)) <= 0.021 * len(text) + 1


def test_a_cut_tears_neither_a_line_nor_a_word():
    for text, end in ((LINES, "\n"), ("Кот спал. " * 3000, " ")):
        train, valid, _ = corpora.cut(text)
        assert train.endswith(end) and valid.endswith(end)


@given(text=any_text)
def test_cutting_loses_nothing(text):
    assert "".join(corpora.cut(text)) == text


def test_too_short_a_text_is_told_with_its_length_and_the_length_needed():
    with pytest.raises(CorpusError, match=r"В тексте 254 слов и знаков.*не меньше 1000"):
        corpora.check_words(["слово", "."] * 127)
    with pytest.raises(CorpusError, match="ни одно слово не повторяется"):
        corpora.check_words([f"слово{k}" for k in range(2000)], ["слово"] * 200)
    corpora.check_words(["слово", "."] * 400, ["слово"] * 100, ["слово"] * 100)


# --- the story


def test_the_story_knows_thirty_names_of_each_gender():
    genders = Counter(name.gender for name in read_names() if name.name in STORY_NAMES)
    assert genders == {"f": 30, "m": 30}


def test_the_story_is_what_the_storyteller_tells():
    sentences = storyteller().tell(STORY_TOKENS, STORY_SEED)
    assert story_text().text.splitlines() == [sentence.text for sentence in sentences]


def test_the_story_is_as_long_as_promised():
    num_tokens = len(re.findall(r"\w+(?:-\w+)*|[^\w\s]", story_text().text))
    assert STORY_TOKENS <= num_tokens < STORY_TOKENS + 200


# --- LECTURE_NOVEL


def test_nothing_of_ones_own_text_is_cut_off(file, monkeypatch):
    monkeypatch.setenv("LECTURE_NOVEL", str(file(RAW.encode("cp1251"))))
    assert load_novel() == (RAW, "file", "текст.txt", False)


TWO_BOOKS = "Предисловие.\n\nЧасть первая\n\n" + "Слово. " * 900 + "\nКонец\n\n"
TWO_BOOKS += "Часть вторая\n\n" + "Дело. " * 900 + "\nКонец\n"


def test_a_text_that_is_built_like_the_novel_is_kept_whole(file, monkeypatch):
    monkeypatch.setenv("LECTURE_NOVEL", str(file(TWO_BOOKS)))
    assert load_novel().text == TWO_BOOKS


@pytest.mark.parametrize("brought", [RAW, PLAIN, PLAIN.replace("\n", "\r\n")])
def test_the_novel_is_known_by_its_letters_in_a_file_too(file, monkeypatch, brought):
    letters = hashlib.sha256("".join(PLAIN.split()).encode()).hexdigest()
    monkeypatch.setattr(corpora, "NOVEL_LETTERS", letters)
    monkeypatch.setenv("LECTURE_NOVEL", str(file(brought.encode())))
    assert load_novel() == (PLAIN, "file", "Анна Каренина", True)


@pytest.mark.parametrize("written", ['"{}"', " {} ", "'{}'", '"{}" ', "«{}»", "\t{}"])
def test_quotes_and_blanks_around_a_path_are_taken_off(file, monkeypatch, written):
    monkeypatch.setenv("LECTURE_NOVEL", written.format(file(PLAIN)))
    assert load_novel().text == PLAIN


def test_ones_own_novel_may_be_named_from_the_current_folder(file, monkeypatch):
    monkeypatch.chdir(file(PLAIN).parent)
    monkeypatch.setenv("LECTURE_NOVEL", "текст.txt")
    assert load_novel().text == PLAIN


def test_the_word_story_asks_for_the_story_and_nothing_is_printed(monkeypatch, capsys):
    monkeypatch.setenv("LECTURE_NOVEL", "story")
    assert load_novel() is story_text()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["нет.txt", "/нет/такого/файла.txt"])
def test_an_absent_novel_is_told_with_the_variable(monkeypatch, name):
    monkeypatch.setenv("LECTURE_NOVEL", name)
    with pytest.raises(CorpusError, match=f"LECTURE_NOVEL: файла «{name}» нет.* полный путь"):
        load_novel()


def test_a_bad_novel_is_an_error_not_a_reason_for_the_story(file, monkeypatch):
    monkeypatch.setenv("LECTURE_NOVEL", str(file(b"")))
    with pytest.raises(CorpusError, match="пуст"):
        load_novel()


# --- cache and download


class Site(http.server.ThreadingHTTPServer):
    """A server on loopback; the address chooses how it behaves."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.num_requests = 0
        self.is_open = True

    def url(self, behaviour):
        return f"http://127.0.0.1:{self.server_port}/{behaviour}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.num_requests += 1
        raw = RAW.encode()
        if self.path == "/missing":
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(10**7 if "drip" in self.path else len(raw)))
        self.end_headers()
        if self.path == "/other":
            self.wfile.write(raw[::-1])
        elif self.path == "/cut":
            self.wfile.write(raw[:-100])
        elif self.path == "/slow":
            for start in range(0, len(raw), 3000):
                time.sleep(0.2)
                self.wfile.write(raw[start : start + 3000])
        elif self.path == "/stall":
            self.wfile.write(raw[:-100])
            self.drip(b"")
        elif self.path == "/drip-bytes":
            self.drip(b".")
        elif self.path == "/drip-blocks":
            self.drip(b"." * 2000)
        else:
            self.wfile.write(raw)

    def drip(self, block):
        with contextlib.suppress(ConnectionError):  # the client has left
            while self.server.is_open:
                self.wfile.write(block)
                time.sleep(0.05)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.is_open = False
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def fetch(url, answer_seconds=5.0, total_seconds=20.0):
    file = File(url, cache_folder() / "novel.txt", len(RAW.encode()), SHA256)
    seconds = {"answer_seconds": answer_seconds, "total_seconds": total_seconds}
    return corpora._fetch_novel(file, **seconds)


def test_the_novel_is_downloaded_into_the_cache_and_stripped(site, cache, capsys):
    assert fetch(site.url("novel")) == (PLAIN, "download", "Анна Каренина", True)
    assert [path.read_bytes() for path in cache.iterdir()] == [RAW.encode()]
    assert re.fullmatch(rf"Скачиваем .*«{re.escape(str(cache))}»\.\n", capsys.readouterr().out)


def test_the_second_time_it_comes_from_the_cache_without_the_server(site, capsys):
    fetch(site.url("novel"))
    capsys.readouterr()
    assert fetch(site.url("novel")) == (PLAIN, "cache", "Анна Каренина", True)
    assert site.num_requests == 1
    assert capsys.readouterr() == ("", "")


def test_a_damaged_file_in_the_cache_is_replaced(site, cache):
    fetch(site.url("novel"))
    (path,) = cache.iterdir()
    path.write_bytes(RAW.encode()[:-1])
    assert fetch(site.url("novel")).source == "download"
    assert path.read_bytes() == RAW.encode()


def test_a_damaged_file_in_the_cache_is_never_used(site, cache):
    fetch(site.url("novel"))
    (path,) = cache.iterdir()
    path.write_bytes(RAW.encode()[:-1])
    assert fetch(site.url("missing")).source == "story"


def test_pooch_does_not_tell_of_the_download_in_english(site, caplog, monkeypatch):
    monkeypatch.setattr(pooch.get_logger(), "handlers", [caplog.handler])
    fetch(site.url("novel"))
    assert caplog.records == []


def test_a_slow_line_is_borne_with(site):
    start = time.monotonic()
    assert fetch(site.url("slow"), answer_seconds=1.0).source == "download"
    assert time.monotonic() - start > 1.0


@pytest.mark.parametrize(
    ("behaviour", "seconds", "reason"),
    [
        ("missing", (5, 20), "сервер ответил кодом 404"),
        ("other", (5, 20), "пришёл не тот файл"),
        ("cut", (5, 20), "связь с ним оборвалась"),
        ("stall", (1, 20), "связь с ним оборвалась"),
        ("drip-bytes", (0.5, 20), "сервер не отвечает"),
        ("drip-blocks", (5, 1), "шлёт слишком медленно"),
    ],
)
def test_a_failed_download_leaves_no_trace_and_the_story_steps_in(
    site, cache, capsys, behaviour, seconds, reason
):
    start = time.monotonic()
    assert fetch(site.url(behaviour), *seconds).source == "story"
    assert time.monotonic() - start < 15
    assert list(cache.iterdir()) == []
    begin, why = capsys.readouterr().out.splitlines()
    assert begin.startswith("Скачиваем")
    assert reason in why
    assert "LECTURE_NOVEL=" in why


def test_a_download_given_up_stops_in_the_background_too(site):
    fetch(site.url("drip-blocks"), answer_seconds=0.5, total_seconds=0.5)
    for thread in threading.enumerate():
        if thread.name == "download":
            thread.join(5)
            assert not thread.is_alive()


def test_a_host_that_never_answers_is_not_waited_for(capsys):
    story_text()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        text = fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/", answer_seconds=0.3)
        assert time.monotonic() - start < 10
    assert text.source == "story"
    assert "Роман не скачался: сервер не" in capsys.readouterr().out


@pytest.mark.parametrize("url", ["http://127.0.0.1:{}/", "http://nowhere.invalid/"])
def test_without_a_network_the_story_steps_in(capsys, url):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert fetch(url.format(port), answer_seconds=2.0).source == "story"
    assert "Роман не скачался: сервер не" in capsys.readouterr().out


def test_an_unwritable_cache_is_told_before_anything_is_downloaded(site, file, monkeypatch):
    folder = file("не папка") / "cache"
    monkeypatch.setenv("LECTURE_CACHE", str(folder))
    with pytest.raises(CorpusError, match=f"«{re.escape(str(folder))}».*LECTURE_CACHE"):
        fetch(site.url("novel"))
    assert site.num_requests == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_cache_without_the_right_to_write_is_told(site, cache):
    cache.mkdir(mode=0o500)
    with pytest.raises(CorpusError, match="LECTURE_CACHE"):
        fetch(site.url("novel"))


def test_without_lecture_novel_the_fixed_edition_is_looked_for(cache, monkeypatch):
    cache.mkdir()
    (cache / "anna_karenina_raw.txt").write_bytes(RAW.encode())
    known = corpora._novel_file()._replace(sha256=SHA256)
    monkeypatch.setattr(corpora, "_novel_file", lambda: known)
    assert load_novel() == (PLAIN, "cache", "Анна Каренина", True)


# --- all prose of an author


class Shelf(Handler):
    """Serves texts by their paths; those in `server.missing` are not there."""

    def do_GET(self):
        path = urllib.parse.unquote(self.path)
        self.server.asked.append(path)
        if path in self.server.missing:
            return self.send_error(404)
        body = path.encode() * 1000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def shelf(site, cache):
    """Three files of a server, none of them in the cache yet."""
    site.RequestHandlerClass, site.asked, site.missing = Shelf, [], set()
    paths = ["/Тишь.txt", "/Гладь.txt", "/Том 1. Благодать.txt"]
    return site, [
        File(site.url(urllib.parse.quote(path[1:])), cache / "author" / path[1:],
             len(path.encode()) * 1000, hashlib.sha256(path.encode() * 1000).hexdigest())
        for path in paths
    ]  # fmt: skip


def test_the_texts_of_an_author_are_downloaded_once(shelf, capsys):
    site, files = shelf
    texts = read_prose(files, "три повести")
    assert list(texts) == ["Тишь", "Гладь", "Том 1. Благодать"]
    assert texts["Тишь"] == "/Тишь.txt" * 1000
    told = capsys.readouterr().out
    assert told.startswith("Скачиваем три повести (1 МБ) в папку «")
    assert read_prose(files, "три повести") == texts and len(site.asked) == 3
    assert capsys.readouterr().out == ""


def test_a_download_that_broke_off_goes_on_with_what_is_missing(shelf):
    site, files = shelf
    site.missing = {"/Гладь.txt"}
    with pytest.raises(CorpusError, match=r"три повести \(сервер ответил кодом 404\).*сохранено"):
        read_prose(files, "три повести")
    site.missing, site.asked = set(), []
    assert len(read_prose(files, "три повести")) == 3
    assert "/Тишь.txt" not in site.asked and len(site.asked) == 2


def test_files_brought_by_hand_need_no_network(shelf):
    site, files = shelf
    for file in files:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_bytes(f"/{file.path.name}".encode() * 1000)
    assert len(read_prose(files, "три повести")) == 3 and not site.asked


def test_a_damaged_file_is_downloaded_anew(shelf):
    site, files = shelf
    read_prose(files, "три повести")
    files[1].path.write_bytes(b"?")
    assert read_prose(files, "три повести")["Гладь"] == "/Гладь.txt" * 1000
    assert len(site.asked) == 4


def test_an_author_who_is_not_there_is_told_with_those_who_are():
    with pytest.raises(CorpusError, match=r"«homer» в собрании нет: выберите blok.*tolstoy"):
        prose_files("homer")


def test_the_table_of_prose_names_every_text_once_by_its_hash():
    rows = read_table("prose")
    assert len({(row["author"], row["title"]) for row in rows}) == len(rows) > 200
    assert all(re.fullmatch("[0-9a-f]{64}", row["sha256"]) for row in rows)
    assert all(int(row["bytes"]) > 500 for row in rows)


@pytest.mark.skipif(not PROSE.is_dir(), reason="Tolstoy's prose is not beside the checkout")
def test_the_table_fits_the_files(monkeypatch):
    files = {file.path.name: file for file in prose_files("tolstoy")}
    assert len(files) == 42
    for path in PROSE.glob("*.txt"):
        assert files[path.name]._replace(path=path).is_there()


@pytest.mark.parametrize(
    ("raw", "clean"),
    [("&quot;Да&quot;&nbsp;&mdash; нет", '"Да" — нет'),
     ("слово[12] и{3} дело[а]", "слово и дело[а]"),
     ("за\u0301мок", "замок"), ("а\xa0б\x7f", "а б"), ("и\u0306", "й")],
)  # fmt: skip
def test_signs_of_editors_are_taken_off(raw, clean):
    assert corpora._clean(raw) == clean


def test_the_addresses_are_percent_encoded():
    for file in prose_files("chekhov"):
        assert re.fullmatch(r"https://[\w./%-]+\.txt", file.url, re.ASCII)


def test_importing_loads_neither_pooch_nor_torch():
    code = "import sys, lecture_utils.corpora; print({'pooch', 'torch', 'numpy'} & {*sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"
