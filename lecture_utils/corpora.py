"""Where texts come from: names, the novel (own file, cache, download, offline story), own files."""

import csv
import functools
import hashlib
import io
import os
import re
import threading
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from lecture_utils.files import DATA
from lecture_utils.story import Storyteller

NOVEL_COMMIT = "4509680428729da225a73a22008133660f92bb7e"
NOVEL_URL = f"https://raw.githubusercontent.com/d0rj/RusLit/{NOVEL_COMMIT}/"
NOVEL_URL += quote("prose/Tolstoy/Анна Каренина.txt")
NOVEL_SHA256 = "d2e7edc4ff420826de3c73307722deaf2b5905879a0a1cd95c5f87e3ae483a22"
NOVEL_BYTES = 3_189_203
# SHA-256 of the novel alone, its blanks left out.
NOVEL_LETTERS = "35aaf7254a6ac4faf6163eaac6892dcb4ea3577ff655db847a5834a9337ebd89"
SHORTEST = 1000  # words and marks that the labs need
# How files begin that are not plain text, in lower case.
FORMATS = {
    b"%pdf": "PDF",
    b"pk\x03\x04": "DOCX, EPUB или архив",
    b"\xd0\xcf\x11\xe0": "DOC",
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
HEADERS |= dict.fromkeys(("gender", "sex", "пол"), "gender")
GENDERS = {"": ""} | dict.fromkeys(
    "f female w woman girl ж жен женский женщина девочка".split(), "f"
)
GENDERS |= dict.fromkeys("m male man boy м муж мужской мужчина мальчик".split(), "m")


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


def _table(text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The columns and the numbered rows of a list in any of the forms of `read_names`."""
    lines = text.split("\n")
    told = re.fullmatch("sep=(.)", lines[0], re.IGNORECASE)  # the first line of some Excel files
    lines[0] = "" if told else lines[0]
    head = next((line for line in lines if _plain(line).strip(' ";,')), "").strip()
    table = csv.reader(
        (line + "\n" for line in lines),
        delimiter=told[1] if told else max(";\t,", key=head.count),
        skipinitialspace=True,
    )
    rows = [(table.line_num, [_plain(cell) for cell in row]) for row in table]
    rows = [(number, row) for number, row in rows if "".join(row).strip(",;")]
    first = rows[0][1] if rows else []
    if len(first) > 1 or HEADERS.keys() & first:
        return [HEADERS.get(cell, cell) for cell in first], rows[1:]
    return ["name"], rows


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


def storyteller() -> Storyteller:
    """Return the teller of the offline default; it knows the exact probability of a sentence."""
    return Storyteller([name[:2] for name in read_names() if name.name in STORY_NAMES])


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
        # U+202A stands before a path copied from the properties of a file in Windows.
        if own := os.path.expanduser(str(told or "").strip(" \t\n\xa0\"'«»“”„\u202a")):
            return story_text() if own == "story" else _own_text(own, name)
    return _fetch_novel(NOVEL_URL, NOVEL_SHA256, answer_seconds=6, total_seconds=180)


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


def _fetch_novel(url: str, sha256: str, answer_seconds: float, total_seconds: float) -> Text:
    import pooch

    folder = Path(os.environ.get("LECTURE_CACHE") or pooch.os_cache("lecture_utils")).expanduser()
    path = folder / "anna_karenina_raw.txt"
    download = functools.partial(_download, answer_seconds, total_seconds)
    pooch.get_logger().setLevel("WARNING")  # else it tells of the download in English
    try:
        source = "cache" if path.exists() and pooch.file_hash(path) == sha256 else "download"
        pooch.retrieve(url, sha256, path.name, folder, downloader=download)
    except (ConnectionError, ValueError) as error:  # ValueError is pooch's word for another hash
        reason = error if isinstance(error, ConnectionError) else "пришёл не тот файл (SHA-256)"
        print(
            f"Роман не скачался: {reason}; вместо него берём сказку, придуманную программой, "
            "а свой текст можно задать переменной LECTURE_NOVEL=/полный/путь/к/файлу.txt."
        )
        return story_text()
    except OSError as error:
        raise CorpusError(
            f"В папку «{folder}» нельзя записать роман: назовите другую в переменной "
            "LECTURE_CACHE или задайте свой файл (либо слово story) в LECTURE_NOVEL."
        ) from error
    return Text(strip_edition(read_text(path)), source, "Анна Каренина", True)


def _download(answer_seconds: float, total_seconds: float, url: str, file: str, _pooch) -> None:
    """Download in a thread: nothing else bounds name resolution and a server that drips bytes."""
    import pooch
    from requests import HTTPError
    from tqdm.auto import tqdm

    print(f"Скачиваем «Анну Каренину» (3 МБ) в папку «{Path(file).parent}».")
    # Uncompressed, so that the bar knows how much is to come.
    plain = pooch.HTTPDownloader(timeout=answer_seconds, headers={"Accept-Encoding": "identity"})
    body, failures, start = io.BytesIO(), [], time.monotonic()

    def work() -> None:
        try:
            plain(url, body, None)
        except HTTPError as error:
            failures.append(f"сервер ответил кодом {error.response.status_code}")
        except (OSError, ValueError):  # requests' errors are OSErrors; ValueError: body was closed
            failures.append("сервер недоступен или связь с ним оборвалась")

    thread = threading.Thread(target=work, name="novel-download", daemon=True)
    thread.start()
    with tqdm(total=NOVEL_BYTES, unit="Б", unit_scale=True, leave=False) as bar:
        while thread.is_alive():
            if time.monotonic() - start > (total_seconds if body.tell() else answer_seconds):
                body.close()  # stops the thread at its next write
                raise ConnectionError("сервер не отвечает или шлёт слишком медленно")
            bar.update(body.tell() - bar.n)
            thread.join(0.1)
    if failures:
        raise ConnectionError(failures[0])
    Path(file).write_bytes(body.getvalue())
