"""Notebook 07 runs to its end on whatever text a reader brings."""

import html
import math
import random
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import matplotlib
import nbformat
import pytest
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
    texts = {
        "one line": TALE.replace("\n", " "),
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
        "signs of Markdown": signs,
        "1798 words": " ".join(split_words(TALE)[:1798]),
        "two sentences over and over": "Кот спал. Дом стоял.\n" * 1200,
    }
    return {name: text.encode() for name, text in texts.items()} | {
        "CRLF": TALE.replace("\n", "\r\n").encode("utf-8-sig"),
        "UTF-16": TALE.encode("utf-16"),
        "cp1251": TALE.encode("cp1251"),
    }


def run_all(path: Path, monkeypatch, steps: int) -> dict:
    """The notebook's code, cell by cell, on this text; training cut down to `steps`.

    Left out is what takes long and knows nothing of the text: the speed of the tricks.
    """
    monkeypatch.setenv("LECTURE_NOVEL", str(path))
    monkeypatch.setenv("LECTURE_STEPS", str(steps))
    matplotlib.use("agg")
    names = {"__name__": "__main__"}
    for number, cell in enumerate(nbformat.read(NOTEBOOK, 4).cells):
        if cell.cell_type == "code" and not re.search("words_per_second|fast.items", cell.source):
            exec(compile(cell.source, f"cell {number}", "exec"), names)
    return names


@pytest.mark.slow
@pytest.mark.parametrize("kind", made())
def test_the_lab_runs_on_any_text(kind, tmp_path, monkeypatch):
    path = tmp_path / "мой текст $.txt"
    path.write_bytes(made()[kind])
    names = run_all(path, monkeypatch, steps=15)
    assert not names["novel"].is_known and len(names["vocabulary"]) > 1
    assert all(perplexity > 1 for perplexity in names["final"].values())


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="Tolstoy's prose is not beside the checkout")
@pytest.mark.parametrize("name", REAL_NAMES)
def test_the_lab_runs_on_real_books(name, monkeypatch):
    names = run_all(REAL / f"{name}.txt", monkeypatch, steps=15)
    assert all(perplexity > 1 for perplexity in names["final"].values())


def test_two_hundred_words_are_refused_by_a_sentence(tmp_path, monkeypatch):
    path = tmp_path / "short.txt"
    path.write_text(" ".join(TALE.split()[:200]), encoding="utf-8")
    with pytest.raises(CorpusError, match=r"В тексте 2\d\d слов и знаков.*не меньше 1000"):
        run_all(path, monkeypatch, steps=15)


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
