"""Notebook 07 runs to its end on whatever text a reader brings."""

import ast
import html
import math
import random
import re
import subprocess
import sys
import unicodedata
import warnings
from collections import Counter
from itertools import pairwise
from pathlib import Path

import IPython.display
import matplotlib
import nbformat
import numpy as np
import pytest
from matplotlib.patches import Rectangle
from nbclient import NotebookClient
from nbconvert.filters import markdown2html

from lecture_utils import corpora
from lecture_utils.corpora import CorpusError
from lecture_utils.figures import plots
from lecture_utils.figures.style import literal
from lecture_utils.vocabulary import split_words

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "07_lab_novel.ipynb"
REAL = Path(__file__).parents[2] / "shared" / "data" / "tolstoy"  # beside the checkout, if at all
REAL_NAMES = ("Алёша горшок", "Праведный судья", "Метель", "Детство", "Казаки")

TALE = corpora.story_text().text[:40_000]
SENTENCES = TALE.splitlines()
WORDS = re.findall(r"\w+", TALE)
# Letters whose stress can be marked by a sign of its own.
STRESSED = re.sub("([аеиоуыэюя])(?=[а-яё]*[ ,.])", "\\1\u0301", TALE)


def made() -> dict[str, bytes]:
    """Texts of many kinds."""
    rng = random.Random(0)
    english = "It was the best of times, it was the worst of times; “well”, he said, don't go."
    ukrainian = "Реве та стогне Дніпр широкий, сердитий вітер завива, – «додолу верби гне високі»."
    several = lambda text, count: "\n".join(
        " ".join(rng.sample(text.split(), len(text.split()))) for _ in range(count)
    )
    chat = "\n".join(
        f"[{k % 28 + 1:02}.03.2024, {k % 24:02}:{k % 60:02}:07] {rng.choice('АБВ')}: "
        f"{rng.choice(SENTENCES).lower().rstrip('.')} 😀👍🏽 https://t.me/x?y={k % 9} #тег @друг ))"
        for k in range(400)
    )
    subtitles = "\n".join(
        f"{k}\n00:{k // 60:02}:{k % 60:02},000 --> 00:{k // 60:02}:{k % 60:02},900\n"
        f"<i>– {line}</i>\n"
        for k, line in enumerate(SENTENCES[:300])
    )
    verse = "\n".join(
        " ".join(WORDS[k : k + 4]) + ("\n" if k % 16 == 0 else ",") for k in range(0, 4000, 4)
    )
    signs = "\n".join(
        f"| $x_{k % 7}$ | *{rng.choice(WORDS)}* | `код` | <b> | [1] & ~ |" for k in range(600)
    )
    paper = "".join(rng.choice("天地人日月水火木金土") for _ in range(9000))  # no blank in it
    texts = {
        "one line": TALE.replace("\n", " "),
        "neither quotes nor capitals nor full stops": re.sub("[«».!?…]", "", TALE).lower(),
        "no quotes": re.sub("[«»]", "", TALE),
        "lower case": TALE.lower(),
        "no marks": " ".join(WORDS),
        "tokenised": re.sub(r"([^\w\s])", r" \1 ", TALE),
        "chat with dates": chat,
        "verse": verse,
        "subtitles": subtitles,
        "English": several(english, 200),
        "Ukrainian": several(ukrainian, 200),
        "stress marks": STRESSED,
        "letters taken apart": unicodedata.normalize("NFD", TALE),
        "no blanks": re.sub("。{2,}", "。", re.sub(".{60}", "\\g<0>。", paper * 9)),
        "20 KB": TALE.encode()[:20_000].decode(errors="ignore"),
        "signs of Markdown": signs,
        "1798 words": " ".join(split_words(TALE)[:1798]),
        "two sentences over and over": "Кот спал. Дом стоял.\n" * 1200,
    }
    return {name: text.encode() for name, text in texts.items()} | {
        "CRLF": TALE.replace("\n", "\r\n").encode("utf-8-sig"),
        "UTF-16": TALE.encode("utf-16"),
        "cp1251": TALE.encode("cp1251"),
    }


# The cells that measure the speed of the tricks take long and know nothing of the text.
CELLS = [
    cell
    for cell in nbformat.read(NOTEBOOK, 4).cells
    if cell.cell_type == "code" and not re.search("words_per_second|fast.items", cell.source)
]
OWN = "MY_FILE = "  # so begins the cell that a reader fills in


def with_file(path: Path | str) -> list[str]:
    """The notebook's code, cell by cell, when `path` is written into MY_FILE."""
    sources = [cell.source for cell in CELLS]
    (number,) = (k for k, source in enumerate(sources) if source.startswith(OWN))
    sources[number] = f"{OWN}{str(path)!r}"
    return sources


def look_at(figure) -> None:
    """No axes are empty or crushed, and every number drawn is finite."""
    assert figure.axes
    for axes in figure.axes:
        if axes.get_label() == "<colorbar>":
            continue
        drawn = [line.get_xydata() for line in axes.lines]
        drawn += [path.vertices for each in axes.collections for path in each.get_paths()]
        drawn += [p.get_bbox().get_points() for p in axes.patches if isinstance(p, Rectangle)]
        assert drawn and all(len(points) and np.isfinite(points).all() for points in drawn)
        assert min(axes.get_window_extent().size) > 30, "its labels leave a picture no place"
    assert "nan" not in figure.get_label()


def run_all(path: Path, monkeypatch, steps: int, folder: Path) -> tuple[dict, list[str]]:
    """Run the notebook with `path` in MY_FILE, in `folder`; training is cut down to `steps`.

    Return the names it leaves and the texts it shows; every picture is looked at, every warning is
    an error. MY_FILE wins: LECTURE_NOVEL names the tale.
    """
    monkeypatch.setenv("LECTURE_NOVEL", "story")
    monkeypatch.setenv("LECTURE_STEPS", str(steps))
    monkeypatch.chdir(folder)
    matplotlib.use("agg")
    names, shown, png = {"__name__": "__main__"}, [], plots.png

    def png_and_look(figure, *args, **options):
        image = png(figure, *args, **options)
        look_at(figure)
        return image

    def display(value, **_):
        shown.append(value["text/plain"] if isinstance(value, dict) else told(value))

    monkeypatch.setattr(plots, "png", png_and_look)
    monkeypatch.setattr(IPython.display, "display", display)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("error", RuntimeWarning)
        for number, source in enumerate(with_file(path)):
            *body, last = ast.parse(source, f"cell {number}").body
            if isinstance(last, ast.Expr):
                exec(compile(ast.Module(body, []), f"cell {number}", "exec"), names)
                value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
                shown += [] if value is None else [told(value)]
            else:
                exec(compile(source, f"cell {number}", "exec"), names)
    return names, shown


def told(value) -> str:
    """What Jupyter would show of it, as text."""
    return value.data if isinstance(value, IPython.display.Markdown) else repr(value)


def check_the_lab(path, monkeypatch, capsys, folder) -> tuple[dict, str]:
    """Run it; return the names it leaves and all that it says."""
    names, shown = run_all(path, monkeypatch, 15, folder)
    said = "\n".join([*shown, capsys.readouterr().out])
    assert not re.search(r"\b(nan|inf)\b", said, re.IGNORECASE)
    assert not names["novel"].is_known and names["novel"].title == Path(path).name
    assert len(names["vocabulary"]) > 1
    assert all(1 < perplexity < math.inf for perplexity in names["final"].values())
    return names, said


# Of the kinds made, those that differ most; the others are tried by hand.
MOST = "one line", "no marks", "chat with dates", "subtitles", "Ukrainian", "UTF-16"


@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=[pytest.mark.thorough, pytest.mark.slow][k in MOST]) for k in made()],
)
def test_the_lab_runs_on_any_text(kind, tmp_path, monkeypatch, capsys):
    home = tmp_path / "Мария Ивановна" / "Мои книги"
    home.mkdir(parents=True)
    path = home / "мой текст $.txt"
    path.write_bytes(made()[kind])
    names, said = check_the_lab(path, monkeypatch, capsys, tmp_path)
    assert ("Кавычек «» в проверочной части мало" in said) == (not names["quoted"])
    assert "Пары верных и неверных форм есть только у сказки: опыт пропущен." in said
    assert "Грамматики этого текста программа не знает: опыт — только для сказки." in said


@pytest.mark.thorough
@pytest.mark.skipif(not REAL.is_dir(), reason="Tolstoy's prose is not beside the checkout")
@pytest.mark.parametrize("name", REAL_NAMES)
def test_the_lab_runs_on_real_books(name, tmp_path, monkeypatch, capsys):
    check_the_lab(REAL / f"{name}.txt", monkeypatch, capsys, tmp_path)


NOT_TEXTS = {
    "a page of the web": "<!DOCTYPE html><p>Жил-был царь.</p>".encode(),
    "RTF": rb"{\rtf1\ansi\ansicpg1251 \'c6\'e8\'eb-\'e1\'fb\'eb}",
    "DOCX": b"PK\x03\x04\x14\x00\x06\x00[Content_Types].xml",
    "DOC": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512),
}
REFUSED = {name: (raw, "нужен простой текст.*сохраните как") for name, raw in NOT_TEXTS.items()}
REFUSED |= {
    "no text": (b" \n", "пуст: укажите файл с текстом"),
    "two hundred words": (
        " ".join(TALE.split()[:200]).encode(),
        r"В тексте 2\d\d слов и знаков.*не меньше 1000",
    ),
    "no word twice": (
        " ".join(f"слово{k}" for k in range(1500)).encode(),
        "ни одно слово не повторяется: учиться по нему нечему",
    ),
    "no word twice in the part to learn from": (
        (" ".join(f"слово{k}" for k in range(1500)) + " конец" * 100).encode(),
        "ни одно слово не повторяется: учиться по нему нечему",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_is_of_no_use_is_told_by_a_sentence(kind, tmp_path, monkeypatch):
    raw, why = REFUSED[kind]
    (tmp_path / "мой.txt").write_bytes(raw)
    with pytest.raises(CorpusError, match=why):
        run_all(tmp_path / "мой.txt", monkeypatch, 15, tmp_path)


def test_a_student_sees_the_sentence_and_no_traceback(tmp_path):
    """In a real kernel; of the notebook, the cells up to the one that reads the text."""
    sources = with_file(r"C:\Книги\мой.txt")
    end = next(k for k, source in enumerate(sources) if "load_novel(MY_FILE)" in source)
    run = in_a_kernel(sources[: end + 1], tmp_path, allow_errors=True)
    (error,) = run[-1].outputs
    assert error.traceback == [
        r"MY_FILE: файла «C:\Книги\мой.txt» нет, укажите полный путь или story."
    ]


def in_a_kernel(sources: list[str], folder: Path, **options) -> list:
    """The cells, run in a fresh kernel in `folder`."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    options |= {"timeout": 900, "startup_timeout": 300}
    NotebookClient(notebook, resources={"metadata": {"path": str(folder)}}, **options).execute()
    return notebook.cells


def cell_with(text: str) -> str:
    (source,) = (cell.source for cell in CELLS if text in cell.source)
    return source


def printed(cell) -> str:
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout")


@pytest.mark.slow
def test_the_network_is_saved_and_writes_on_in_a_new_kernel(tmp_path, monkeypatch):
    monkeypatch.setenv("LECTURE_STEPS", "30")
    path = tmp_path / "наш чат.txt"
    path.write_bytes(made()["chat with dates"])
    first = in_a_kernel(with_file(path), tmp_path)
    save, read = cell_with("save_model("), cell_with("load_model(")
    (line,) = re.findall(r"net_file = '.+'", printed(first[with_file(path).index(save)]))
    later = in_a_kernel([line, read], tmp_path)[-1]
    assert printed(later) == printed(first[with_file(path).index(read)])
    assert len(split_words(printed(later))) >= 40


@pytest.mark.slow
def test_what_the_command_has_trained_writes_on_by_the_same_lines(tmp_path):
    (tmp_path / "мой.txt").write_bytes(made()["cp1251"])
    command = [sys.executable, "-m", "lecture_utils.novel", "--corpus", "мой.txt", "--steps", "5"]
    subprocess.run([*command, "--output", "мой.pt"], cwd=tmp_path, check=True)
    cells = in_a_kernel(["net_file = 'мой.pt'", cell_with("load_model(")], tmp_path)
    assert len(split_words(printed(cells[-1]))) >= 40


def five_megabytes() -> bytes:
    """A million words and marks of sixty thousand made-up words, as often as Zipf's law says."""
    rng = random.Random(0)
    syllables = [a + b for a in "бвгдклмнпрст" for b in "аеиоу"]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(60_000)]
    drawn = rng.choices(words, [1 / k for k in range(1, 60_001)], k=900_000)
    lines = (" ".join(drawn[k : k + 9]).capitalize() + "." for k in range(0, len(drawn), 9))
    return "\n".join(lines).encode("cp1251")[:5_000_000]


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="no module resource")
def test_five_megabytes_take_less_than_two_gigabytes_of_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("LECTURE_STEPS", "15")
    path = tmp_path / "длинный.txt"
    path.write_bytes(five_megabytes())
    assert path.stat().st_size > 4_900_000
    peak = "import resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    cells = in_a_kernel([*with_file(path), peak], tmp_path)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(printed(cells[-1])) * unit < 2 * 2**30


def test_letters_without_capitals_and_marks_unseen_cost_a_finite_sum():
    (source,) = (
        cell.source
        for cell in nbformat.read(NOTEBOOK, 4).cells
        if "def capital_nats" in cell.source
    )
    names = {"Counter": Counter, "pairwise": pairwise, "math": math}
    exec(source, names)
    for train, words in [("аа", "аБ"), ("аа", ".а"), ("АБ", "аб"), ("аб.А", "АБ"), ("а.", "..")]:
        assert 0 < names["capital_nats"](train, words) < 10


SIGNS = r"| * _ $x^2$ ` ``` < > & &amp; # ~ [a](b) \ ![c](d) <b> 1. $$ \( \begin{align}"


@pytest.mark.parametrize("text", [SIGNS, *SIGNS.split()])
def test_signs_of_markdown_are_shown_as_they_are(text):
    page = markdown2html(f"| a |\n|---|\n| {literal(text)} |\n")
    (cell,) = re.findall("<td>(.*?)</td>", page, re.DOTALL)
    assert html.unescape(cell).strip() == text and "<" not in cell


def test_a_dollar_in_a_text_breaks_no_picture():
    words = ["$", "$x^", "a_{$", "\\frac", "%", "$$"]
    plots.png(plots.over_text(range(6), words, [True, False] * 3, y_label="c"))
    plots.png(plots.distributions({"сеть": [0.2] * 6}, words))
