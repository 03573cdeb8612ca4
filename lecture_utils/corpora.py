"""Where texts come from: names, the novel (own file, cache, download, offline story), own files."""

import csv
import functools
import hashlib
import html
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from lecture_utils.downloads import File, cache_folder, fetch
from lecture_utils.files import DATA, read_table
from lecture_utils.story import Storyteller

COMMIT = "4509680428729da225a73a22008133660f92bb7e"
SITE = f"https://raw.githubusercontent.com/d0rj/RusLit/{COMMIT}/prose/"
# SHA-256 of the novel alone, its blanks left out.
NOVEL_LETTERS = "35aaf7254a6ac4faf6163eaac6892dcb4ea3577ff655db847a5834a9337ebd89"
SHORTEST = 1000  # words and marks that the labs need
# How files begin that are not plain text, in lower case.
FORMATS = {
    b"%pdf": "PDF",
    b"pk\x03\x04": "XLSX, DOCX, EPUB или архив",
    b"\xd0\xcf\x11\xe0": "XLS или DOC",
    rb"{\rtf": "RTF",
    b"<?xml": "FB2 или другой XML",
    b"<fictionbook": "FB2",
    b"<!doctype": "HTML",
    b"<html": "HTML",
    b"<head": "HTML",
    b"<body": "HTML",
    b"mime-version:": "MHTML",
    b"\\documentclass": "LaTeX",
}
STORY_TOKENS, STORY_SEED = 200_000, 0
# Thirty women and thirty men everybody knows; no name that is also a common noun («вера», «лев»).
STORY_NAMES = """
    алёна алиса анастасия анна варвара василиса дарья евгения екатерина елена елизавета зоя инна
    ирина ксения лариса лидия людмила марина мария наталья нина оксана ольга полина светлана софия
    тамара татьяна юлия александр алексей андрей антон артём борис василий виктор григорий дмитрий
    евгений егор иван игорь илья кирилл максим михаил никита николай олег павел пётр семён сергей
    степан тимофей фёдор юрий яков""".split()

# How the columns of a list of names are called, and what stands in the second.
HEADERS = dict.fromkeys(("name", "names", "first name", "имя", "имена"), "name")
# How else the column of a list of one's own may be called.
TITLES = {*HEADERS, *"surname title city town word слово слова название наименование".split()}
TITLES |= {"last name", *"фамилия фамилии город города река реки".split()}
HEADERS |= dict.fromkeys(("gender", "sex", "пол"), "gender")
GENDERS = {"": ""} | dict.fromkeys(
    "f female w woman girl ж жен женский женщина девочка".split(), "f"
)
GENDERS |= dict.fromkeys("m male man boy м муж мужской мужчина мальчик".split(), "m")


# Of a list of one's own: symbols of an entry at most, entries at least, distinct symbols at most.
LONGEST, FEWEST, MOST_SYMBOLS = 60, 20, 300


class CorpusError(ValueError):
    """A text cannot be used; the message is one Russian sentence: which file and what to do."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]  # all that a notebook shows


class Name(NamedTuple):
    """A first name in lower case, "f", "m" or "" (unknown), and whether it is the lecture's."""

    name: str
    gender: str
    lecture: bool


class Text(NamedTuple):
    """A corpus, its source ("file", "cache", "download" or "story") and a title to show.

    `is_known`: it is the novel or the tale, for which the labs assert what they tell.
    """

    text: str
    source: str
    title: str
    is_known: bool


def read_text(path: str | Path) -> str:
    r"""Read UTF-8, UTF-16 with BOM or cp1251, as NFC with \n. CorpusError for any other file."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        why = "не найден" if isinstance(error, FileNotFoundError) else "не читается"
        raise CorpusError(f"Файл «{path}» {why}: укажите путь к текстовому файлу.") from error
    begins = raw[:500].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if kind := next((FORMATS[sign] for sign in FORMATS if begins.startswith(sign)), ""):
        raise CorpusError(
            f"Файл «{path}» — это {kind}, а нужен простой текст: откройте его в своей программе и "
            "сохраните как текст (TXT) в UTF-8."
        )
    bad_line = 0
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        bad_line = raw.count(b"\n", 0, error.start) + 1
        text = raw.decode("cp1251", errors="replace")
    if not text.strip():
        raise CorpusError(f"Файл «{path}» пуст: укажите файл с текстом.")
    if "\0" in text or len(re.findall(r"[\x01-\x08\x0e-\x1f\x7f]", text)) > len(text) / 100:
        raise CorpusError(f"Файл «{path}» двоичный: сохраните его как простой текст в UTF-8.")
    if bad_line and not _looks_russian(text):
        raise CorpusError(
            f"Кодировка файла «{path}» не распознана (UTF-8 сбивается в строке {bad_line}, а на "
            "русский текст в Windows-1251 не похоже): откройте его в редакторе и сохраните в UTF-8."
        )
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


def _looks_russian(text: str) -> bool:
    """Tell Russian, Ukrainian or Belarusian cp1251 from another encoding misread as cp1251."""
    letters = len(re.findall("[а-яёіїєґў]", text, re.IGNORECASE))
    # Of Russian letters 43 % are vowels; after KOI8-R misread as cp1251, 25 %.
    vowels = len(re.findall("[аеёиоуыэюяіїє]", text, re.IGNORECASE))
    foreign = len(re.findall("[^\0-\x7fа-яёА-ЯЁіїєґўІЇЄҐЎ«»„“”‘’–—…№§°©®™•·±€\xa0\xad]", text))
    amid_word = len(re.findall("[а-яё][А-ЯЁ]|[A-Za-z][а-яёА-ЯЁ]|[а-яёА-ЯЁ][A-Za-z]", text))
    has_vowels = letters < 40 or vowels > letters / 3
    return has_vowels and foreign <= letters / 50 and amid_word <= 1 + letters / 50


def read_names(path: str | Path = DATA / "names.csv") -> list[Name]:
    """Read first names, lower-cased, each once, in the order of the file.

    One name a line, or a table as spreadsheets save it: columns under a header of HEADERS, others
    are passed over; comma, semicolon or tab; quoted cells; encodings as for `read_text`. Stress
    marks and invisible signs are taken off. Raises CorpusError that tells all faults of the file.
    """
    columns, rows = _table(read_text(path))
    if "name" not in columns:
        raise CorpusError(f"В файле «{path}» нет столбца name: подпишите столбцы первой строкой.")
    names, faults = {}, []
    for number, row in rows:
        cells = {"gender": "", "lecture": "", **dict(zip(columns, row, strict=False))}
        name, gender = cells.get("name", ""), GENDERS.get(cells["gender"].rstrip("."))
        if len(row) != len(columns):
            faults.append(f"строка {number}: столбцов {len(row)}, а не {len(columns)}")
        elif not re.fullmatch("[а-яё]+(-[а-яё]+)*", name):
            signs = ", ".join(f"«{x}» U+{ord(x):04X}" for x in re.findall("[^а-яё-]", name))
            why = f": {signs}" if signs else ""
            faults.append(f"строка {number}: имя «{name}» (можно лишь русские буквы и дефис{why})")
        elif gender is None:
            faults.append(f"строка {number}: пол «{cells['gender']}» (нужен f или m, ж или м)")
        names.setdefault((name, gender), Name(name, gender or "", cells["lecture"] == "1"))
    if faults:
        more = f"; и ещё строк: {len(faults) - 20}" if len(faults) > 20 else ""
        raise CorpusError(f"Исправьте файл «{path}»: {'; '.join(faults[:20])}{more}.")
    if not names:
        raise CorpusError(f"В файле «{path}» нет ни одного имени: впишите по имени в строке.")
    return list(names.values())


def read_list(source: str | Path, column: str = "") -> list[str]:
    """Read a list of one's own, in any alphabet: each entry once, capitals and blanks as written.

    `source` is a path (encodings as for `read_text`) or the list itself, one entry a line; numbers
    or bullets that stand before every entry are taken off. Of a table it takes the `column` with
    this header, else the first with one of TITLES, else the first where most cells have letters.
    A line tells what was read. Raises CorpusError for what no network can learn.
    """
    path = given_path(source)
    is_file = os.path.exists(path)
    if path and not is_file and not re.search("[\n,;]", path):
        raise CorpusError(
            f"Файла «{path}» нет: проверьте путь, а сам список вставьте по записи в строке."
        )
    rows = [row for _, row in table_rows(read_text(path) if path and is_file else str(source))]
    cells, which = _column(rows, column)
    cells = [re.sub("[\xad\u200b\u200e\u200f\ufeff]", "", cell) for cell in cells]
    cells = [cell for c in cells if (cell := " ".join(unicodedata.normalize("NFC", c).split()))]
    mark = re.compile(r"(\d+[.)]|[-–—•*·])\s+")
    if all(map(mark.match, cells)):
        cells = [mark.sub("", cell, count=1) for cell in cells]
    entries = list(dict.fromkeys(cells))
    kept = [entry for entry in entries if len(entry) <= LONGEST]
    symbols = "".join(sorted(set("".join(kept))))
    twice, long = len(cells) - len(entries), len(entries) - len(kept)
    left = f"повторов {twice}, записей длиннее {LONGEST} символов {long}" if twice + long else ""
    if len(symbols) == 1:
        raise CorpusError(f"Весь список — из одного символа «{symbols}»: возьмите список слов.")
    if len(kept) < FEWEST:
        raise CorpusError(
            f"Разных записей в списке {len(kept)}{left and f' ({left})'}, а нужно не меньше "
            f"{FEWEST}: добавьте, по одной в строке."
        )
    if len(symbols) > MOST_SYMBOLS:
        raise CorpusError(
            f"Разных символов в списке {len(symbols)}, а выучить можно до {MOST_SYMBOLS}: возьмите "
            "язык с алфавитом или запишите иероглифы буквами."
        )
    print(f"Записей {len(kept)}{which}: {', '.join(kept[:3])}…{left and f' Не взято: {left}.'}")
    return kept


def _column(rows: list[list[str]], column: str) -> tuple[list[str], str]:
    """The cells that `read_list` takes from a table, and words that say which column it is."""
    if len(rows) < 2:
        return (rows[0] if rows else []), ""  # a list in one line
    columns = list(zip_longest(*rows, fillvalue=""))
    wanted = {_plain(column)} if column else TITLES
    named = [k for k, cell in enumerate(rows[0]) if _plain(cell) in wanted]
    if column and not named:
        raise CorpusError(f"Столбца «{column}» нет, а есть {', '.join(rows[0])}: назовите один.")
    letters = [[any(map(str.isalpha, cell)) for cell in cells] for cells in columns]
    texts = [k for k, has in enumerate(letters) if 2 * sum(has) > len(has)]
    place = [*named, *texts, 0][0]
    over_numbers = [has[0] and not any(has[1:]) for has in letters]
    which = f", столбец {place + 1} из {len(columns)}" if len(columns) > 1 else ""
    return list(columns[place][bool(named) or (any(over_numbers) and len(columns) > 1) :]), which


def _table(text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The columns and the numbered rows of a list in any of the forms of `read_names`."""
    rows = [(number, [_plain(cell) for cell in row]) for number, row in table_rows(text)]
    first = rows[0][1] if rows else []
    if len(first) > 1 or HEADERS.keys() & first:
        return [HEADERS.get(cell, cell) for cell in first], rows[1:]
    return ["name"], rows


def table_rows(text: str) -> list[tuple[int, list[str]]]:
    """The numbered rows of a table, or of a list, that are not empty."""
    lines = text.split("\n")
    told = re.fullmatch("sep=([;,|\t])", lines[0], re.I)  # the first line of some Excel files
    lines[0] = "" if told else lines[0]
    head = next((line for line in lines if _plain(line).strip(' ";,')), "").strip()
    table = csv.reader(
        (line + "\n" for line in lines),
        delimiter=told[1] if told else max(";\t,", key=head.count),
        quoting=csv.QUOTE_NONE if text.count('"') % 2 else csv.QUOTE_MINIMAL,
        skipinitialspace=True,
    )
    try:
        rows = [(table.line_num, row) for row in table]
    except csv.Error as error:
        raise CorpusError(
            f"Список не читается после строки {table.line_num}: пишите по записи в строке."
        ) from error
    return [(number, row) for number, row in rows if _plain("".join(row)).strip(",;")]


def _plain(cell: str) -> str:
    """A cell in lower case without stress marks, invisible signs and needless blanks."""
    seen = "".join(sign for sign in cell if unicodedata.category(sign) not in ("Mn", "Cf"))
    return re.sub(r"\s*[-\u2010\u2011]\s*", "-", " ".join(seen.lower().split()))


def strip_edition(raw: str) -> str:
    """Keep the novel alone: from the line «Часть первая» up to the line «Конец», no marks [32].

    A text without these two lines, or with less than half of it between them, is kept as it is.
    """
    novel = re.search(r"(?ms)^Часть первая$.*?(?=^Конец$)", raw)
    is_whole = novel and len(novel[0]) > len(raw) / 2
    return re.sub(r"\[\d+\]", "", novel[0]).rstrip() + "\n" if is_whole else raw


def storyteller(features: Mapping | None = None) -> Storyteller:
    """The teller of the offline default, or of other `features` (`Storyteller`)."""
    return Storyteller([name[:2] for name in read_names() if name.name in STORY_NAMES], features)


@functools.cache
def story_text() -> Text:
    """Return the offline default: at least STORY_TOKENS tokens, one sentence a line."""
    sentences = storyteller().tell(STORY_TOKENS, STORY_SEED)
    return Text("".join(f"{sentence.text}\n" for sentence in sentences), "story", "Сказка", True)


def cut(text: str) -> tuple[str, str, str]:
    """The first eight tenths of a text, the ninth and the last.

    Cut where a line ends, or at a blank if none ends within 2 % of the text before.
    """
    places = []
    for end in (len(text) * 8 // 10, len(text) * 9 // 10):
        near = end - len(text) // 50
        places.append(text.rfind("\n", near, end) + 1 or text.rfind(" ", near, end) + 1 or end)
    a, b = places
    return text[:a], text[a:b], text[b:]


def check_words(train: Sequence[str], *rest: Sequence[str]) -> None:
    """Raises CorpusError if these words and marks, a part each, are too few to learn from."""
    count = len(train) + sum(map(len, rest))
    if count < SHORTEST:
        raise CorpusError(
            f"В тексте {count} слов и знаков, а для работы нужно не меньше {SHORTEST}: "
            "возьмите текст подлиннее."
        )
    if len(set(train)) == len(train):
        raise CorpusError("В тексте ни одно слово не повторяется: учиться по нему нечему.")


def load_novel(my_file: str | Path = "") -> Text:
    """Return the text of the words lab: one's own as it is, the novel without what editors added.

    `my_file` (a path, or "story"; MY_FILE of the notebook) → LECTURE_NOVEL (the same) → cache
    (LECTURE_CACHE names another folder) → download → offline default, announced with the reason.
    Quotes and blanks round a path are taken off. Raises CorpusError: unusable file or cache.
    """
    for name, told in ("MY_FILE", my_file), ("LECTURE_NOVEL", os.environ.get("LECTURE_NOVEL", "")):
        if own := given_path(told or ""):
            return story_text() if own == "story" else _own_text(own, name)
    return _fetch_novel(_novel_file())


def given_path(told: str | Path) -> str:
    """A path as people write it down, without quotes and blanks round it."""
    # U+202A stands before a path copied from the properties of a file in Windows.
    return os.path.expanduser(str(told).strip(" \t\r\n\xa0\"'«»“”„\u202a"))


def _own_text(own: str, name: str) -> Text:
    """The text at the path `own`, which stood in `name`."""
    if not os.path.exists(own):
        if re.search(r"[\0-\x1f]", own):  # as in "C:\texts\new.txt"
            raise CorpusError(
                f"{name}: это не путь к файлу; если в нём есть обратная черта, поставьте перед "
                "кавычками букву r, а если это сам текст, сохраните его в файл."
            )
        raise CorpusError(f"{name}: файла «{own[:200]}» нет, укажите полный путь или story.")
    text = read_text(own)
    for novel in dict.fromkeys((text, strip_edition(text))):
        letters = "".join(novel.split()).encode()
        if hashlib.sha256(letters).hexdigest() == NOVEL_LETTERS:
            return Text(novel, "file", "Анна Каренина", True)
    return Text(text, "file", Path(own).name, False)


def _novel_file() -> File:
    (novel,) = (file for file in prose_files("tolstoy") if file.path.stem == "Анна Каренина")
    return novel._replace(path=cache_folder() / "anna_karenina_raw.txt")


def _fetch_novel(file: File, **seconds: float) -> Text:
    try:
        source = "download" if fetch([file], "«Анну Каренину»", **seconds) else "cache"
    except ConnectionError as reason:
        print(
            f"Роман не скачался: {reason}; вместо него берём сказку, придуманную программой, "
            "а свой текст можно задать переменной LECTURE_NOVEL=/полный/путь/к/файлу.txt."
        )
        return story_text()
    except OSError as error:
        raise CorpusError(
            f"В папку «{file.path.parent}» нельзя записать роман: назовите другую в переменной "
            "LECTURE_CACHE или задайте свой файл (либо слово story) в LECTURE_NOVEL."
        ) from error
    return Text(strip_edition(read_text(file.path)), source, "Анна Каренина", True)


def prose_files(author: str) -> list[File]:
    """The texts of an author in the collection that the novel is from: table data/prose.csv."""
    rows = read_table("prose")
    authors = sorted({row["author"] for row in rows})
    if author not in authors:
        raise CorpusError(f"Автора «{author}» в собрании нет: выберите {', '.join(authors)}.")
    folder = cache_folder() / author
    return [
        File(
            SITE + quote(f"{author.capitalize()}/{row['title']}.txt"),
            folder / f"{row['title']}.txt",
            int(row["bytes"]),
            row["sha256"],
        )
        for row in rows
        if row["author"] == author
    ]


def read_prose(files: Sequence[File], about: str) -> dict[str, str]:
    """Texts by title, without notes' marks and stress; what the cache lacks is downloaded.

    Raises CorpusError: no network, or a cache that cannot be written.
    """
    try:
        fetch(files, about)
    except ConnectionError as reason:
        raise CorpusError(
            f"Не скачалось: {about} ({reason}). Что успело прийти, сохранено: повторите, когда "
            "будет интернет, или положите файлы собрания в папку "
            f"«{files[0].path.parent}»."
        ) from reason
    except OSError as error:
        raise CorpusError(
            f"В папку «{files[0].path.parent}» нельзя писать: назовите другую в переменной "
            "LECTURE_CACHE."
        ) from error
    return {file.path.stem: _clean(read_text(file.path)) for file in files}


def _clean(raw: str) -> str:
    """A text as printed: no marks of notes, no stress, signs of HTML read."""
    text = re.sub(r"\[\d+\]|\{\d+\}|[\u0300\u0301\x7f\xad]", "", html.unescape(raw))
    return unicodedata.normalize("NFC", text.replace("\xa0", " "))
