"""slides, figures.style: one style in three places, decks made of notebooks (no browser)."""

import base64
import html
import os
import re
import subprocess
import sys

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
    text("Спросите зал.", "notes"),
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
    "path", sorted(slides.NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem
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


def test_latex_is_mathml_where_it_is_a_formula_and_else_text():
    assert "<mfrac>" in shown({"text/latex": r"$\displaystyle \frac{a}{b}$", "text/plain": "a/b"})
    assert 'display="block"' in shown({"text/latex": "$$x$$"})
    table = r"\begin{tabular}{l} a < b \end{tabular}"
    for text in (table, r"$\unheardof{x}$", "$x_{$"):
        page = shown({"text/latex": text})
        assert "<math" not in page and html.escape(text) in page


def test_json_is_shown_as_text():
    data = {"text/plain": "<IPython.core.display.JSON object>"}
    page = shown(data | {"application/json": {"сеть": [1, None]}})
    assert "&quot;сеть&quot;: [" in page and "null" in page and "IPython" not in page


def test_the_richest_kind_of_an_output_is_shown():
    assert "<b>да</b>" in shown({"text/plain": "нет", "text/html": "<b>да</b>"})
    assert "<strong>да</strong>" in shown({"text/plain": "нет", "text/markdown": "**да**"})


def test_notes_are_for_the_speaker_and_answers_in_a_box(page):
    assert re.search(r'<aside class="notes[^>]*>.*Спросите зал', page)
    answer = r'<div class="answer">\s*<p><strong>Да\.</strong></p>'
    assert len(re.findall(answer, page)) == 2  # on the slide, shut, and in the notes


def test_links_lead_to_decks(page):
    assert 'href="00_contents.html#toc"' in page


def test_a_deck_asks_for_nothing(page):
    sources = re.findall(r'(?:src|href)="([^"#]{1,40})', page) + re.findall(r"url\((.{1,40})", page)
    assert all(source.startswith(("data:", "00_contents.html")) for source in sources)


def test_the_index_names_decks_and_their_time(notebook, tmp_path):
    index = export([notebook], tmp_path / "decks").read_text("utf-8")
    assert 'href="01_small.html"' in index and ">Проба<" in index and "5–7 минут" in index


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
    where = r"07_odd\.ipynb, ячейка «report\(\)»: вывод вида application/pdf .* не показать"
    with pytest.raises(ExportError, match=where):
        slides.deck(path)
    for kind in ("slide", "notes"):
        cells = [text("# Проба", "slide"), text("Вот $x_{$", kind)]
        nbformat.write(v4.new_notebook(cells=cells), path)
        with pytest.raises(ExportError, match=r"ячейка «Вот \$x_{\$»: не разобрана формула x_{\.$"):
            slides.deck(path)


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
