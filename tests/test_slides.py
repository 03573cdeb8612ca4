"""slides, figures.style: one style in three places, decks made of notebooks (no browser)."""

import base64
import html
import os
import re
import subprocess
import sys
from urllib.parse import quote, unquote, urlsplit

import ipywidgets as w
import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure

from lecture_utils import slides
from lecture_utils.figures import style, widgets
from lecture_utils.figures.diagrams import PALETTE
from lecture_utils.slides import ExportError, export, slides_of

v4 = nbformat.v4
CSS = (style.STYLES / "lecture.css").read_text("utf-8")


def text(source, kind, **metadata):
    return v4.new_markdown_cell(source, metadata={"slideshow": {"slide_type": kind}, **metadata})


def code(source, kind, outputs=(), **metadata):
    metadata |= {"slideshow": {"slide_type": kind}}
    return v4.new_code_cell(source, metadata=metadata, outputs=list(outputs))


def stored(data):
    return v4.new_output("display_data", data=data)


CELLS = [
    text("# Проба\n\n[← Содержание](00_contents.ipynb#toc)", "slide"),
    text("**Время:** 5–7 минут.", "skip"),
    text('<a id="x"></a>\n## Раздел\n\nФормула $a_t = \\tfrac12$.', "slide"),
    v4.new_raw_cell("Спросите зал.", metadata={"slideshow": {"slide_type": "notes"}}),
    text("$$\\begin{aligned} a &= b \\\\ c &= d \\end{aligned}$$", "fragment"),
    code("print('видно')", "subslide", [v4.new_output("stream", text="видно <b>\n")]),
    code("secret = 1", "subslide", [stored({"text/plain": "42"})], tags=["remove-input"]),
    code("widget", "subslide", [stored({slides.WIDGET: {}, "text/plain": "Живой рисунок"})]),
    code("1 / 0", "-", [v4.new_output("error", ename="ZeroDivisionError", evalue="a < b")]),
    v4.new_raw_cell("сырое"),
    text("Вопрос.\n\n<details><summary>Ответ</summary>\n\n**Да.**\n\n</details>", "-"),
]


@pytest.fixture
def notebook(tmp_path):
    path = tmp_path / "01_small.ipynb"
    nbformat.write(v4.new_notebook(cells=CELLS), path)
    return path


@pytest.fixture
def page(notebook, tmp_path):
    return (export([notebook], tmp_path / "decks").parent / "01_small.html").read_text("utf-8")


def python(*arguments, **how):
    environment = os.environ | {"PYTHONPATH": str(slides.ROOT), "PYTHONUTF8": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", **how)


# One style


def test_a_notebook_is_shown_the_style_whatever_the_working_directory(tmp_path):
    command = "from lecture_utils.figures import style as p; p.setup(); print(p.style_html())"
    shown = python("-c", command, cwd=tmp_path)
    assert CSS in shown.stdout, shown.stderr


def test_the_garbage_collector_leaves_alone_what_a_notebook_has_loaded():
    code = "import gc; from lecture_utils.figures.style import setup; setup()"
    code += "; print(gc.get_freeze_count())"
    assert int(python("-c", code).stdout.splitlines()[-1]) > 10_000


def test_a_notebook_that_runs_its_first_cell_again_keeps_nothing_of_the_run_before():
    code = """
import gc, weakref
from lecture_utils.figures.style import setup

class Net:
    def __init__(self):
        self.itself = self  # only the collector frees a circle

gc.disable()
setup()
thrown_away, still_named = Net(), Net()
watched = [weakref.ref(thrown_away), weakref.ref(still_named)]
del thrown_away
setup()
del still_named
gc.collect()
print([net() for net in watched])
"""
    done = python("-c", code)
    assert done.stdout.splitlines()[-1] == "[None, None]", done.stderr


@pytest.mark.parametrize(
    "path", sorted(slides.NOTEBOOKS.glob("[0-9]*.ipynb")), ids=lambda path: path.stem
)
def test_every_notebook_shows_lab_the_style_of_the_file(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    styles = [o.data["text/html"] for c in cells for o in c.outputs if "<style" in str(o)]
    assert styles == [style.style_html()]


def test_live_slides_find_the_style_of_the_file_beside_the_notebooks():
    # jupyterlab-rise reads it before any cell is run: cp styles/lecture.css notebooks/rise.css
    assert (slides.NOTEBOOKS / "rise.css").read_text("utf-8") == CSS


def test_a_deck_carries_the_style_of_the_file(page):
    assert CSS in page


def test_colours_are_those_of_the_figures():
    figures = (style.STYLES / "lecture.mplstyle").read_text("utf-8").upper()
    known = set(PALETTE.values()) | {"#" + c for c in re.findall(r"\b[0-9A-F]{6}\b", figures)}
    names = dict(re.findall(r"--lecture-(\w+): (#\w{6});", CSS))
    assert {names[n] for n in ("input", "state", "output", "ink")} == {
        PALETTE[n] for n in ("input", "state", "output", "ink")
    }
    assert set(names.values()) <= known


# Slides


def shape(*kinds):
    """Slides as columns → slides → parts, each part as a word of its cells' letters."""
    cells = [text(letter, kind) for letter, kind in zip("abcdefg", kinds, strict=False)]
    return [
        [["".join(c.source for c in part.cells) for part in slide.parts] for slide in column]
        for column in slides_of(cells)
    ]


def test_slides_follow_the_metadata():
    assert shape("slide", "-", "subslide", "fragment", "-", "slide") == [
        [["ab"], ["c", "de"]],
        [["f"]],
    ]


def test_skipped_cells_are_left_out_and_a_deck_may_begin_anyhow():
    assert shape("skip", "-", "skip", "fragment", "subslide") == [[["b", "d"], ["e"]]]


# What a hearer has to see of each deck: the lesson, as code
SEEN = {
    "01_rnn_theory": ["a = b + W @ s + U @ x_t", "s @ W.T + x[:, t] @ U.T", "loss.backward()"],
    "02_unrolling": ["def bptt(", "s = s.detach()", "cells.numerical_gradient"],
    "03_exploding_gradients": ["g = J_t.T @ g", "def clip(", "state.detach()"],
    "04_deep_and_bidirectional": ["torch.cat([right, left.flip(1)], 2)"],
    "05_lstm_gates": ["def lstm(", "torch.allclose(h, expected", "torch.allclose(mine, torchs"],
    "06_lab_names": ["class Letters(nn.Module)", *"①②③④⑤", "def invent("],
    "08_lab_series": ["class SeriesNet(nn.Module)", *"①②③④⑤", "part.detach()", "def har("],
    "09_after_lstm": ["def attention(", "def combine(", "def scan(", "def delta_rule("],
    "07_lab_novel": ["class Words(nn.Module)", *"①②③④⑤", "def write(", "part.detach()"],
}


@pytest.mark.parametrize("name", SEEN)
def test_the_heart_of_the_lesson_is_seen_on_its_slides(name):
    cells = nbformat.read(slides.NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
    shown = [
        cell.source
        for column in slides_of(cells)
        for slide in column
        for part in slide.parts
        for cell in part.cells
        if cell.cell_type == "code"
        and not {"remove-input", "remove-cell"} & set(cell.metadata.get("tags", []))
    ]
    for piece in SEEN[name]:
        assert any(piece in source for source in shown), piece


def test_notes_belong_to_their_slide_and_are_not_on_it():
    [[slide]] = slides_of([text("a", "slide"), text("b", "notes"), text("c", "fragment")])
    assert [cell.source for cell in slide.notes] == ["b"]
    assert [part.fragment for part in slide.parts] == [False, True]


def test_formulas_are_mathml(page):
    assert page.count("<math") == 2 and "<mfrac>" in page and "<mtable" in page
    assert "\\tfrac" not in page and "$" not in re.sub(r"data:[^\"')]+|<style.*?</style>", "", page)


def test_code_and_outputs_are_shown_except_input_tagged_remove_input(page):
    assert "видно &lt;b&gt;" in page and "42" in page
    assert "ZeroDivisionError: a &lt; b" in page and "сырое" not in page
    assert "secret" not in page


def test_a_dead_widget_is_not_shown(page):
    assert "Живой рисунок" not in page


def test_a_widget_moves_through_pictures_where_its_cell_says_what_varies(tmp_path):
    cell = code("widgets.live_thermometer()", "slide", vary="rho")
    page = slides.cell_html(cell)
    assert page.count("<img") == 11 and page.count(" hidden>") == 10
    assert 'type="range" max="10" value="6"' in page and 'alt="ρ = 0,5"' in page
    with pytest.raises(ExportError, match="с ручкой absent"):
        slides.cell_html(code("widgets.live_thermometer()", "slide", vary="absent"))


@pytest.fixture
def moved(monkeypatch):
    """moved(control) → labels of the frames, the first shown, the values that were drawn."""

    def move(control):
        drawn = []

        def draw(x):
            drawn.append(x)
            return Figure(figsize=(1, 1))

        monkeypatch.setattr(widgets, "live", lambda: widgets.Live(draw, x=control), raising=False)
        page = slides.frames("widgets.live()", "x")
        images = re.findall(r'<img alt="(.*?)" src="data:image/png[^"]+"( hidden)?>', page)
        shown = [label for label, hidden in images if not hidden]
        assert f'max="{len(images) - 1}"' in page and f"<span>{shown[0]}</span>" in page
        return [label for label, _ in images], shown, drawn[1:]  # the first drew the widget itself

    return move


def test_a_slider_is_shown_at_up_to_eleven_even_places(moved):
    labels, shown, drawn = moved(w.FloatSlider(0.5, min=0, max=1, step=0.25, description="f"))
    assert labels == ["f = 0", "f = 0,25", "f = 0,5", "f = 0,75", "f = 1"]
    assert shown == ["f = 0,5"] and drawn == [0, 0.25, 0.5, 0.75, 1]
    labels, shown, drawn = moved(w.IntSlider(8, 0, 100, description="T"))
    assert drawn == list(range(0, 101, 10)) and all(type(value) is int for value in drawn)
    assert shown == ["T = 10"]  # the nearest


def test_a_log_slider_is_shown_at_even_exponents_with_its_true_values(moved):
    labels, shown, drawn = moved(w.FloatLogSlider(0.03, min=-3, max=1, step=0.5, description="η"))
    assert drawn == pytest.approx(10.0 ** np.arange(-3, 1.1, 0.5))
    assert labels[:4] == ["η = 0,001", "η = 0,00316", "η = 0,01", "η = 0,0316"]
    assert labels[-1] == "η = 10" and shown == ["η = 0,0316"]
    _, shown, drawn = moved(w.FloatLogSlider(4, base=2, min=0, max=3, step=1, description="n"))
    assert drawn == pytest.approx([1, 2, 4, 8]) and shown == ["n = 4"]


def test_a_list_is_shown_option_by_option(moved):
    options = {"один": (1,), "два": (1, 2), "<b>": ()}
    labels, shown, drawn = moved(w.Dropdown(options=options, value=(1, 2), description="ряд"))
    assert labels == ["ряд: один", "ряд: два", "ряд: &lt;b&gt;"] and shown == ["ряд: два"]
    assert drawn == [(1,), (1, 2), ()]


def test_a_box_is_shown_off_and_on(moved):
    labels, shown, drawn = moved(w.Checkbox(True, description="поровну"))
    assert (labels, shown) == (["поровну: нет", "поровну: да"], ["поровну: да"])
    assert drawn == [False, True]


def test_a_control_that_cannot_be_gone_through_is_named(moved):
    with pytest.raises(ExportError, match=r"ручку x \(Text\) не перебрать: нужен ползунок"):
        moved(w.Text("слово", description="текст"))


def test_a_place_that_cannot_be_drawn_is_named_with_its_reason(monkeypatch):
    def draw(x):
        if x > 1:
            raise ValueError("дальше нельзя.")
        return Figure(figsize=(1, 1))

    live = widgets.Live(draw, x=w.IntSlider(1, 0, 2, description="шагов"))
    monkeypatch.setattr(widgets, "live", lambda: live, raising=False)
    with pytest.raises(ExportError, match=r"^widgets\.live\(\), шагов = 2: дальше нельзя\.$"):
        slides.frames("widgets.live()", "x")


# Kinds of output


def shown(data, metadata=None):
    output = v4.new_output("display_data", data=data, metadata=metadata or {})
    return slides.cell_html(code("", "slide", [output]))


def source_of(page):
    mime, content = re.search(r'src="data:(.+?);base64,(.+?)"', page).groups()
    return mime, base64.b64decode(content)


SVG = "<svg xmlns='http://www.w3.org/2000/svg'><script>alert('ё')</script></svg>"


def test_a_drawing_is_a_picture_whose_scripts_cannot_run():
    page = shown({"image/svg+xml": SVG})
    assert source_of(page) == ("image/svg+xml", SVG.encode()) and "<svg" not in page
    page = shown({"image/svg+xml": "<svg viewBox='0 0 1 1'/>"})  # as one writes it inside HTML
    assert b"<svg xmlns=" in source_of(page)[1]


def test_a_photograph_is_shown():
    data = base64.b64encode(b"\xff\xd8").decode() + "\n"
    assert source_of(shown({"image/jpeg": data})) == ("image/jpeg", b"\xff\xd8")


@pytest.mark.parametrize("mime", ["image/png", "image/svg+xml", "image/jpeg"])
def test_a_picture_has_the_alternative_text_of_its_cell(mime):
    data = {mime: "AAAA", "text/plain": "Два <узла>"}
    assert 'alt="Кот &amp; пёс"' in shown(data, {mime: {"alt": "Кот & пёс"}})
    assert 'alt="Два &lt;узла&gt;"' in shown(data)
    assert 'alt=""' in shown(data | {"text/plain": "<IPython.core.display.SVG object>"})


@pytest.mark.parametrize(
    ("source", "display", "beside"),
    [
        (r"$\displaystyle \frac{a}{b}$", "inline", ""),
        ("$$x$$", "block", ""),
        (r"\begin{align} a &= b \\ c &= d \end{align}", "block", ""),
        (r"Если $x<y$, то да", "inline", "то да"),
        (r"Итого \[x\]", "block", "Итого"),
        (r"Итого \(x\)", "inline", "Итого"),
    ],
)
def test_latex_is_mathml_where_it_is_a_formula(source, display, beside):
    page = shown({"text/latex": source, "text/plain": "a/b"})
    assert f'display="{display}"' in page and beside in page
    assert not set("$\\") & set(page)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (r"\begin{tabular}{l} a < b \end{tabular}", "окружение tabular"),
        (r"$\unheardof{x}$", r"\unheardof в формуле"),
        ("$x_{$", "не разобрана формула"),
    ],
)
def test_latex_that_mathml_cannot_say_is_named(source, fault):
    with pytest.raises(ExportError, match=re.escape(fault)):
        shown({"text/latex": source})


def test_json_is_shown_as_text():
    data = {"text/plain": "<IPython.core.display.JSON object>"}
    page = shown(data | {"application/json": {"сеть": [1, None]}})
    assert "&quot;сеть&quot;: [" in page and "null" in page and "IPython" not in page


@pytest.mark.parametrize("mime", ["image/gif", "image/webp", "image/bmp"])
def test_every_picture_that_lab_knows_is_shown_without_its_name(mime):
    page = shown({mime: "AAAA", "text/plain": "<IPython.core.display.Image object>"})
    assert source_of(page) == (mime, bytes(3)) and "IPython" not in page
    assert source_of(shown({mime: "AAAA"})) == (mime, bytes(3))


@pytest.mark.parametrize(
    "data",
    [
        {"application/javascript": "1"},
        {"application/vnd.vegalite.v5+json": {}, "text/plain": "<VegaLite 5 object>"},
        {"application/geo+json": {}, "text/plain": "<IPython.display.GeoJSON object>"},
        {"application/pdf": "JV", "text/plain": "<a.b.Pdf object\n at 0x7f>"},
    ],
)
def test_an_output_is_never_told_by_the_name_of_its_object(data):
    with pytest.raises(ExportError, match=r"вывод вида application/.* на слайде не показать"):
        shown(data)


def test_what_lab_shows_by_its_name_or_not_at_all_is_so_on_a_slide():
    assert "&lt;object object at 0x7f&gt;" in shown({"text/plain": "<object object at 0x7f>"})
    assert shown({}) == '<div class="cell"></div>'


def test_the_richest_kind_of_an_output_is_shown():
    assert "<b>да</b>" in shown({"text/plain": "нет", "text/html": "<b>да</b>"})
    assert "<strong>да</strong>" in shown({"text/plain": "нет", "text/markdown": "**да**"})


# Terminal


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("  0%|  | 0/2\r 50%|# | 1/2\r100%|##| 2/2\n", "100%|##| 2/2"),
        ("\r  0%\r100%\nготово\n", "100%\nготово"),
        ("длинная строка\rкоротко", "коротко строка"),
        ("длинная строка\r\x1b[Kкоротко", "коротко"),
        ("строка\r\n и ещё\r\n", "строка\n и ещё"),
        ("раз\b\b\bдва, 1\b2", "два, 2"),
        ("\b1/2\b\b\b2/2", "2/2"),
        ("вне:  0%\n\rвнутри: 50%\x1b[A\rвне: 50%\n\rвнутри: 99%", "вне: 50%\nвнутри: 99%"),
        ("\x1b[31mкрасное\x1b[0m и нет", "красное и нет"),
        ("\x1b[1;38;2;255;0;0mцвет\x1b[39;49;00m", "цвет"),
        ("\x1b]8;;https://a.b\x07ссылка\x1b]8;;\x07\x1b[?25l\x1b(B", "ссылка"),
        ("\x1b[32m 50%\x1b[0m\r\x1b[32m100%\x1b[0m", "100%"),
    ],
)
def test_text_is_shown_as_a_terminal_leaves_it(said, seen):
    outputs = [
        v4.new_output("stream", name="stdout", text=said),
        v4.new_output("stream", name="stderr", text=said),
        v4.new_output("error", ename="E", evalue="", traceback=said.splitlines(keepends=False)),
        v4.new_output("execute_result", data={"text/plain": said}),
    ]
    if re.search("[\r\b]|\x1b.A", said):  # a traceback is stored line by line and has none
        del outputs[2]
    for output in outputs:
        page = slides.cell_html(code("", "slide", [output]))
        assert html.unescape(re.sub("<[^>]*>", "", page)).rstrip() == seen


def test_colours_of_a_terminal_are_those_of_the_style():
    page = slides.cell_html(code("", "-", [v4.new_output("stream", text="\x1b[1;31mнет <b>")]))
    [classes] = re.findall('<span class="(.*?)">нет &lt;b&gt;</span>', page)
    style = (slides.STYLES / "deck.css").read_text("utf-8")
    assert all(f".{name} " in style or f".{name}," in style for name in classes.split())


def test_a_traceback_is_shown_whole():
    lines = [
        "\x1b[31m-----\x1b[39m",
        "Cell \x1b[32mIn[1]\x1b[39m, line 1",
        "ZeroDivisionError: a < b",
    ]
    error = v4.new_output("error", ename="ZeroDivisionError", evalue="a < b", traceback=lines)
    page = slides.cell_html(code("1 / 0", "-", [error]))
    assert "In[1]" in page and "ZeroDivisionError: a &lt; b" in page and "\x1b" not in page


# Formulas


def leaks(page):
    """What of TeX a hearer would see."""
    return set("\\$&{}") & set(html.unescape(re.sub("<[^<>]*>|&#[^;]*;", "", page)))


ENVIRONMENTS = "align align* aligned gather gather* gathered multline equation equation* split"


@pytest.mark.parametrize("name", ENVIRONMENTS.split())
@pytest.mark.parametrize("written", ["{}", "$${}$$", "До\n\n{}\n\nи после.", "Вот {} здесь"])
def test_an_environment_is_a_formula_with_dollars_and_without(name, written):
    rows = "a &= b \\\\ c &< d" if "a" in name[:1] or name == "split" else "a = b \\\\ c < d"
    formula = f"\\begin{{{name}}} {rows} \\label{{eq:a}} \\end{{{name}}}"
    page = slides.markdown(written.format(formula))
    assert page.count("<math") == 1 and 'display="block"' in page and not leaks(page)
    assert page.count("<mtr>") == (0 if "equation" in name else 2) and "(1)" not in page


@pytest.mark.parametrize(
    ("formula", "seen"),
    [
        (r"\arg\max_w f(w)", "arg max w f(w)"),
        (r"\arg\min_{\theta} L", "arg min θ L"),
        (r"\arg z", "arg z"),
        (r"\operatorname*{arg\,max}_w", "arg max w"),
        (r"\operatorname*{\arg\max}_w", "arg max w"),
        (r"\operatorname{ранг} A", "ранг A"),
        (r"\operatorname {diag} \text{align}", "diag align"),
        (r"\argmax_w", "arg max w"),
        (r"a = b \label{eq:a}", "a = b"),
        (r"a = b \notag", "a = b"),
        (r"a = b \nonumber", "a = b"),
        (r"a = b \tag{7}", "a = b (7)"),
        (r"a = b \tag*{[7]}", "a = b [7]"),
        (r"\begin{align} a &= b \notag \\ c &= d \tag{7} \end{align}", "a = b c = d (7)"),
        (r"\begin{alignat}{2} a &= b & c &= d \end{alignat}", "a = b c = d"),
        (r"\begin{array}{lc} a & b \\ c & d \end{array}", "a b c d"),
        (r"\begin{cases} a & b \\ c & d \end{cases}", "{ a b c d"),
        (r"\bigl\{ x \bigr\} \Big\| y", "{ x } ‖ y"),
        (r"\bigl\langle x \bigr\rangle \big\lfloor y", "⟨ x ⟩ ⌊ y"),
        (r"\text{если $x>0$}", "если x>0"),
        (r"\text{a\_b, 5\%, a<b, если c<d}", "a_b, 5%, a<b, если c<d"),
        (r"\{x\} \_ \# \% \$ \& \backslash", "{x} _ # % $ & \\"),
    ],
)
def test_a_formula_says_what_it_says_in_lab(formula, seen):
    page = slides.mathml(formula)
    words = html.unescape(re.sub("<[^<>]*>", "", page))
    assert re.sub(r"\s", "", words) == re.sub(r"\s", "", seen)


@pytest.mark.parametrize("sign", [r"\arg\max", r"\operatorname*{arg\,max}", r"\max", r"\lim"])
def test_what_stands_below_a_sign_in_lab_stands_below_it_on_a_slide(sign):
    for display in ("block", "inline"):  # in a line the browser moves it aside, as TeX does
        page = slides.mathml(rf"{sign}_w f", display)
        assert '<munder><mo movablelimits="true">' in page and "<mi>w</mi></munder>" in page


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (r"$\eqref{eq:a}$", r"\eqref в формуле"),
        (r"$$a \ref{b}$$", r"\ref в формуле"),
        (r"По \eqref{eq:a} видно", r"\eqref{eq:a} на слайде"),
        (r"<div>По \ref{eq:a} видно</div>", r"\ref{eq:a} на слайде"),
        (r"\begin{Vmatrix} a \end{Vmatrix}", r"\begin{Vmatrix} на слайде"),
        (r"$a \newline b$", r"\newline в формуле"),
        (r"$$\hline$$", r"\hline в формуле"),
        (r"$$\begin{array}{c} a \\ \hline b \end{array}$$", r"\hline в формуле"),
        (r"$$\begin{array}{c|c} a & b \end{array}$$", r"\vline в формуле"),
        (r"$\abs{x}$", r"\abs в формуле"),
        (r"$\cancel{x}$", r"\cancel в формуле"),
        (r"$\operatorname{a_{b}}$", r"\operatorname в формуле"),
        (r"$\R$", r"\R в формуле \R"),
        (r"$$a & b$$", "& в формуле"),
        (r"$\text{a {b} c}$", "{ в формуле"),
        (r"$$\begin{prooftree} a \end{prooftree}$$", "окружение prooftree"),
        (r"\begin{eqnarray} a &=& b \end{eqnarray}", "окружение eqnarray"),
        ("```mermaid\ngraph TD\n```", "Mermaid на слайде"),
    ],
)
def test_what_a_slide_cannot_say_is_named(source, fault):
    with pytest.raises(ExportError, match=re.escape(fault)):
        slides.markdown(source)


def test_the_language_of_a_fence_is_not_its_first_line():
    assert ">x\n<" in slides.markdown("```псевдокод\nx\n```")


def test_code_may_speak_of_tex():
    page = slides.markdown("`\\eqref{a}`\n\n```latex\n\\begin{tabular} \\ref{b}\n```")
    assert "eqref" in page and "tabular" in page


# What a page loads


PIXEL = base64.b64decode("R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==")


@pytest.fixture
def inside(tmp_path):
    """inside(cell) → HTML of a deck of the cell; beside its notebook lie files of these names."""
    folder = tmp_path / "тетради"
    names = (
        "pic.png a/схема сети.svg п.jpeg b.gif c.webp a#1.png 5%.png v.mp4 s.mp3 x.js x.css p.html"
    )
    for name in [*names.replace("схема ", "схема_").split(), "../up.png"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name.replace("схема_", "схема ")).write_bytes(PIXEL)

    def made(cell):
        path = folder / "07_odd.ipynb"
        cells = [text("# Проба", "slide"), nbformat.from_dict(cell)]
        nbformat.write(v4.new_notebook(cells=cells), path)
        [[slide]] = slides.deck(path).columns
        return "".join(part.html for part in slide.parts) + slide.notes

    return made


@pytest.mark.parametrize(
    ("source", "mime"),
    [
        ("![x](pic.png)", "image/png"),
        ('![x](pic.png "подпись")', "image/png"),
        ("[![x](pic.png)](https://a.b)", "image/png"),
        ("![x][1]\n\n[1]: pic.png", "image/png"),
        ("| a |\n|---|\n| ![x](./pic.png) |", "image/png"),
        ("<details><summary>Ответ</summary>\n\n![x](pic.png)\n\n</details>", "image/png"),
        ("![x](<a/схема сети.svg>)", "image/svg+xml"),
        ("![x](a/схема%20сети.svg)", "image/svg+xml"),
        ("![x](п.jpeg)", "image/jpeg"),
        ("![x](b.gif?raw=true)", "image/gif"),
        ("![x](a%231.png)", "image/png"),
        ("![x](5%25.png)", "image/png"),
        ("![x](../up.png)", "image/png"),
        ('<img src="pic.png">', "image/png"),
        ("Вот <img width=5 src='c.webp' alt=x> она", "image/webp"),
        ("<IMG SRC=pic.png />", "image/png"),
        ('<video src="v.mp4" controls></video>', "video/mp4"),
        ('<video controls><source src="v.mp4"></video>', "video/mp4"),
        ('<audio src="s.mp3"></audio>', "audio/mpeg"),
        ('<svg><image href="pic.png"/></svg>', "image/png"),
        ('<picture><source srcset="c.webp"></picture>', "image/webp"),
        ('<object data="pic.png"></object>', "image/png"),
    ],
)
@pytest.mark.parametrize("kind", ["-", "notes"])
def test_a_file_that_a_cell_shows_is_inside_the_page(inside, source, mime, kind):
    page = inside(text(source, kind))
    found = re.findall('="data:(.+?);base64,(.+?)"', page)
    assert set(found) == {(mime, base64.b64encode(PIXEL).decode())}


def test_a_file_that_an_output_shows_is_inside_the_page(inside):
    for data in ({"text/html": "<img src=pic.png>"}, {"text/markdown": "![x](pic.png)"}):
        assert 'src="data:image/png;base64,' in inside(code("", "-", [stored(data)]))


@pytest.mark.parametrize("name", ["a.png", "снимок экрана.png", "a b#1.png"])
@pytest.mark.parametrize("written", ["![x](attachment:{})", '<img src="attachment:{}">'])
def test_a_picture_pasted_into_a_cell_is_inside_the_page(inside, name, written):
    content = base64.b64encode(PIXEL).decode()
    attached = {"чужая.png": {"image/png": "AAAA"}, name: {"image/png": content}}
    page = inside(text(written.format(quote(name)), "-") | {"attachments": attached})
    assert source_of(page) == ("image/png", PIXEL)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("![x](absent.png)", "absent.png"),
        ("![x](нет.png)", "нет.png"),
        ("<img src='absent.png'>", "absent.png"),
        ("![x](attachment:absent.png)", "absent.png"),
        ("![x](https://a.b/c.png)", "https://a.b/c.png"),
        ("![x](//a.b/c.png)", "//a.b/c.png"),
        ("![x](http://[)", "http://["),
        ("![x](file:///c.png)", "file:///c.png"),
        ("![x](a)", "a"),
        ("![x]()", ""),
        (f"![x]({'a' * 5000}.png)", "aaa.png"),
        ("![x](a%00.png)", "a\0.png"),
        ("<base href='https://a.b/'>", "https://a.b/"),
        ("<table background='absent.png'></table>", "absent.png"),
        ("<iframe srcdoc='<img src=pic.png>'></iframe>", "<img src=pic.png>"),
        ("<iframe src='https://a.b'></iframe>", "https://a.b"),
        ("<iframe src='p.html'></iframe>", "p.html"),
        ("<script src='x.js'></script>", "x.js"),
        ("<script src='https://a.b/c.js'></script>", "https://a.b/c.js"),
        ("<link rel=stylesheet href='x.css'>", "x.css"),
        ("<video poster='absent.png'></video>", "absent.png"),
        ("<img srcset='pic.png 1x, big.png 2x'>", "pic.png 1x, big.png 2x"),
        ("<p style='background: url(pic.png)'>x</p>", "url(pic.png"),
        ("<style>@import 'https://a.b/c.css';</style>", "@import 'https://a.b/c.css"),
    ],
)
def test_what_cannot_be_put_inside_is_named_with_its_cell(inside, source, named):
    where = re.escape(f"07_odd.ipynb, ячейка 2 («{source}»): ") + f".*{re.escape(named)}"
    with pytest.raises(ExportError, match=where):
        inside(text(source, "-"))
    where = where.replace(re.escape(source), "show\\(\\)")
    if "attachment" not in source and source.startswith("<"):
        with pytest.raises(ExportError, match=where):
            inside(code("show()", "-", [stored({"text/html": source})]))


def test_links_and_what_is_inside_already_stay_as_they_are(inside):
    source = "[a](https://a.b) [б](данные.csv) <img src='data:image/png;base64,AAAA'> `<img src=x>`"
    source += "\n\n<p style='background: url(data:image/png;base64,AAAA)'>x</p> $a<b$"
    page = inside(text(source, "-"))
    assert slides.markdown(source) in page


def test_notes_are_for_the_speaker_and_answers_in_a_box(page):
    assert re.search(r'<aside class="notes[^>]*>.*Спросите зал', page)
    answer = r'<div class="answer">\s*<p><strong>Да\.</strong></p>'
    assert len(re.findall(answer, page)) == 2  # on the slide, shut, and in the notes


@pytest.mark.parametrize(
    ("link", "deck"),
    [
        ("00_contents.ipynb#toc", "00_contents.html#toc"),
        ("./00_contents.ipynb", "00_contents.html"),
        ("../main/00_contents.ipynb", "00_contents.html"),
        ("Лекция%20%232.ipynb#x", "%D0%9B%D0%B5%D0%BA%D1%86%D0%B8%D1%8F%20%232.html#x"),
        ("https://a.b/c.ipynb", "https://a.b/c.ipynb"),
    ],
)
def test_links_lead_to_decks(link, deck):
    assert f'href="{deck}"' in slides.markdown(f"[x]({link})")


def test_a_deck_asks_for_nothing(page):
    sources = re.findall(r'(?:src|href)="([^"#]{1,40})', page) + re.findall(r"url\((.{1,40})", page)
    assert all(source.startswith(("data:", "00_contents.html")) for source in sources)


def test_the_index_names_decks_and_their_time(notebook, tmp_path):
    index = export([notebook], tmp_path / "decks").read_text("utf-8")
    assert 'href="01_small.html"' in index and ">Проба<" in index and "5–7 минут" in index


NAMES = ["Лекция #2", "100%", "a?b", "a&b", "a'b", "a b", "a%20b", "<b>", '"a"']


def test_the_index_leads_to_a_deck_of_any_name(tmp_path):
    for name in NAMES:
        nbformat.write(v4.new_notebook(cells=[text("Проба", "slide")]), tmp_path / f"{name}.ipynb")
    index = export(sorted(tmp_path.glob("*.ipynb")), tmp_path / "decks").read_text("utf-8")
    found = re.findall('<a href="(.*?)">(.*?)</a>', index)
    links = {unquote(urlsplit(link).path): html.unescape(title) for link, title in found[::2]}
    assert links == {f"{name}.html": name for name in NAMES}
    assert all((tmp_path / "decks" / name).is_file() for name in links)


@pytest.mark.parametrize(
    ("sources", "title"),
    [
        (["```python\n# x\n```\n\n# Да"], "Да"),
        (["    # x\n\nкод", "# Да"], "Да"),
        (["~~~\n# x\n~~~", "Да\n==="], "Да"),
        (["<!--\n# x\n-->", "# Да & **нет** `<b>`"], "Да &amp; нет &lt;b&gt;"),
        (["## Раздел", "# Сеть $h_t$"], "Сеть ht"),
        (["```\n# x\n```"], "07_odd"),
    ],
)
def test_a_title_is_a_heading_that_is_seen(tmp_path, sources, title):
    path = tmp_path / "07_odd.ipynb"
    nbformat.write(v4.new_notebook(cells=[text(source, "slide") for source in sources]), path)
    assert slides.deck(path).title == title


def test_decks_are_made_anew_over_old_ones_and_nothing_else_stays(notebook, tmp_path):
    for _ in range(2):
        export([notebook], tmp_path / "decks")
    names = sorted(path.name for path in (tmp_path / "decks").iterdir())
    assert names == ["01_small.html", "index.html"]


# Errors, before anything is written


def run(*arguments):
    return python("-m", "lecture_utils.slides", *map(str, arguments))


def test_the_command_says_where_the_decks_are(notebook, tmp_path):
    done = run(notebook, "--output", tmp_path / "here")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "here/index.html").as_uri() in done.stdout
    assert "1/1" in done.stderr  # progress


def test_a_missing_notebook_is_named(tmp_path):
    failed = run(tmp_path / "absent.ipynb", "--output", tmp_path / "decks")
    assert failed.returncode == 2 and "absent.ipynb нет" in failed.stderr
    assert not list((tmp_path / "decks").iterdir())


def test_a_file_that_is_no_notebook_is_named(tmp_path):
    (tmp_path / "bad.ipynb").write_text("{", "utf-8")
    failed = run(tmp_path / "bad.ipynb", "--output", tmp_path / "decks")
    assert failed.returncode == 2 and "bad.ipynb не похож на тетрадь" in failed.stderr


def test_a_folder_that_cannot_be_written_is_named(notebook, tmp_path):
    (tmp_path / "file").write_text("")
    failed = run(notebook, "--output", tmp_path / "file/decks")
    assert failed.returncode == 2 and "нельзя писать" in failed.stderr


def test_what_cannot_be_shown_is_named_with_its_notebook_and_cell(tmp_path):
    path = tmp_path / "07_odd.ipynb"
    cells = [
        text("# Проба", "slide"),
        code("report()\n1", "-", [stored({"application/pdf": "JV"})]),
    ]
    nbformat.write(v4.new_notebook(cells=cells), path)
    where = r"07_odd\.ipynb, ячейка 2 \(«report\(\)»\): вывод вида application/pdf .* не показать"
    with pytest.raises(ExportError, match=where):
        slides.deck(path)
    for kind in ("slide", "notes"):
        cells = [text("# Проба", "slide"), text("Вот $x_{$", kind)]
        nbformat.write(v4.new_notebook(cells=cells), path)
        with pytest.raises(
            ExportError, match=r"ячейка 2 \(«Вот \$x_{\$»\): не разобрана формула x_{\.$"
        ):
            slides.deck(path)


def test_a_fault_of_one_notebook_does_not_stop_the_others(notebook, tmp_path):
    paths = [tmp_path / name for name in ("02_odd.ipynb", "03_bad.ipynb", "04_same.ipynb")]
    cells = [text("# Проба", "slide"), text("![x](absent.png)", "-")]
    nbformat.write(v4.new_notebook(cells=cells), paths[0])
    paths[1].write_text('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{}]}')
    (tmp_path / "a").mkdir()
    paths += [tmp_path / "a/index.ipynb"]
    for path in paths[2:]:
        path.write_bytes(notebook.read_bytes())
    failed = run(*paths, notebook, "--output", tmp_path / "decks")
    assert failed.returncode == 2 and "Traceback" not in failed.stderr
    faults = failed.stderr.split("Слайды не сделаны: ")[1].splitlines()
    named = ["02_odd.ipynb, ячейка 2", "03_bad.ipynb не похож", "index.ipynb занято"]
    assert len(faults) == 3 and all(
        name in fault for name, fault in zip(named, faults, strict=True)
    )
    names = sorted(path.name for path in (tmp_path / "decks").iterdir())
    assert names == ["01_small.html", "04_same.html", "index.html"]
    assert "02_odd" not in (tmp_path / "decks/index.html").read_text("utf-8")


def test_two_notebooks_of_one_name_are_told_apart_or_refused(notebook, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/01_SMALL.ipynb").write_bytes(notebook.read_bytes())
    with pytest.raises(ExportError, match=r"01_SMALL\.ipynb занято"):
        export([notebook, tmp_path / "a/01_SMALL.ipynb"], tmp_path / "decks")


def test_a_missing_package_is_named(notebook, tmp_path):
    program = (
        "import sys; from lecture_utils import slides as p\n"
        "p.find_spec = lambda name: None\n"
        f"sys.exit(p.main([{str(notebook)!r}, '--output', {str(tmp_path / 'decks')!r}]))"
    )
    failed = python("-c", program)
    assert failed.returncode == 2 and "requirements.txt" in failed.stderr


def test_no_notebooks_at_all_is_an_error(tmp_path):
    with pytest.raises(ExportError, match="ни одной тетради"):
        export([], tmp_path)
