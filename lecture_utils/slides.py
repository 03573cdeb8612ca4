"""Offline slides made of all notebooks.

`python -m lecture_utils.slides` writes one self-contained page a notebook and an index:
reveal.js, the style, the pictures and a font for formulas are inside, formulas are MathML.
"""

import argparse
import base64
import html
import json
import os
import re
import sys
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

from lecture_utils.figures.style import STYLES

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"


class ExportError(Exception):
    """What keeps the decks from being made, said in one Russian sentence."""


def slides_of(cells: list) -> list[list[SimpleNamespace]]:
    """Columns of slides of `parts` (cells shown at once) and `notes`, as the metadata say.

    slide opens a column, subslide a slide, fragment a part; skip is left out; "-" goes on.
    """
    columns = []
    for cell in cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type", "-")
        if kind == "skip" or (kind == "notes" and not columns):
            continue
        if kind == "notes":
            columns[-1][-1].notes.append(cell)
            continue
        if kind == "slide" or not columns:
            columns.append([])
        if kind in ("slide", "subslide") or not columns[-1]:
            columns[-1].append(SimpleNamespace(parts=[], notes=[]))
        slide = columns[-1][-1]
        if kind != "-" or not slide.parts:
            slide.parts.append(SimpleNamespace(fragment=kind == "fragment", cells=[]))
        slide.parts[-1].cells.append(cell)
    return columns


def mathml(formula: str, display: str = "inline") -> str:
    """A formula in LaTeX as MathML."""
    from latex2mathml.converter import convert

    try:
        page = convert(formula.replace("{aligned}", "{align*}"), display=display)
    except Exception as error:
        raise ExportError(f"не разобрана формула {formula}.") from error
    page = page.replace("<mo>&#x02202;</mo>", "<mi>∂</mi>").replace(r">\|<", ">‖<")
    page = page.replace("<mo>&#x0002F;</mo>", '<mo lspace="0" rspace="0">/</mo>')
    # a function and its argument without brackets stand apart
    return re.sub(r"(<mi>[a-z]{2,}</mi>)(?=<m[ins])", r'\1<mspace width="0.2em"/>', page)


def markdown(source: str) -> str:
    """HTML of a text: formulas as MathML, answers in boxes, links to other decks."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        block_math = lambda self, text: mathml(text, "block")
        inline_math = lambda self, text: mathml(text)

    renderer = Renderer(escape=False, exclude_anchor_links=True)
    page = MarkdownWithMath(renderer=renderer).render(source)
    box = r'</summary><div class="answer">\1</div></details>'
    page = re.sub(r"(?s)</summary>(.*?)</details>", box, page)
    page = re.sub(r"(<math(?:(?!<math).)*?</math>[.,:;?!)»]+)", r"<nobr>\1</nobr>", page)
    page = re.sub(r'href="([\w-]+)\.ipynb', r'href="\1.html', page)
    return f'<div class="cell jp-RenderedHTMLCommon">{page}</div>'


def _text(text: str) -> str:
    return f'<pre class="output">{html.escape(text)}</pre>'


def _latex(source: str) -> str:
    """A formula between dollars as MathML; what MathML cannot say, as text."""
    formula = re.fullmatch(r"\s*(\$\$?)([^$]+)\1\s*", source)
    try:
        page = mathml(formula[2], "block") if formula else ""
    except ExportError:
        page = ""
    is_said = page and "\\" not in page  # a command that is not known stays as it is
    return page if is_said else _text(source)


def _image(mime: str, output) -> str:
    """A picture inside the page; a drawing too, where no script of its own can run."""
    content, told = output.data[mime], output.data.get("text/plain", "")
    if mime == "image/svg+xml":
        if "xmlns=" not in content:
            content = content.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        source = _inline(content.encode(), mime)
    else:
        source = f"data:{mime};base64,{content.strip()}"
    alt = output.metadata.get(mime, {}).get("alt", "" if told.startswith("<") else told)
    return f'<img alt="{html.escape(alt)}" src="{source}">'


# Kinds of output in order of preference.
KINDS = {mime: partial(_image, mime) for mime in ("image/png", "image/svg+xml", "image/jpeg")}
KINDS |= {
    "text/markdown": lambda output: markdown(output.data["text/markdown"]),
    "text/html": lambda output: output.data["text/html"],
    "text/latex": lambda output: _latex(output.data["text/latex"]),
    "application/json": lambda output: _text(
        json.dumps(output.data["application/json"], ensure_ascii=False, indent=1)
    ),
    "text/plain": lambda output: _text(output.data["text/plain"]),
}


def _output(output) -> str:
    """HTML of one output."""
    if output.output_type == "stream":
        return _text(output.text.rstrip())
    if output.output_type == "error":
        return _text(f"{output.ename}: {output.evalue}")
    for mime, show in KINDS.items():
        if mime in output.data:
            return show(output)
    found = ", ".join(output.data) or "без данных"
    raise ExportError(f"вывод вида {found} на слайде не показать: выведите картинку или текст.")


def _positions(live, vary: str) -> tuple[list, list[str], int]:
    """Values of a control to be shown, their labels, and the place of its own value.

    Up to eleven places of a slider, evenly spread (on a log slider by the exponent), all options
    of a list, both states of a box.
    """
    import ipywidgets as w
    import numpy as np

    control = live.controls[vary]
    own, name = control.value, control.description
    if isinstance(control, w.Checkbox):
        return [False, True], [f"{name}: нет", f"{name}: да"], int(own)
    if isinstance(control, w.Dropdown | w.RadioButtons | w.Select | w.SelectionSlider):
        control.unobserve(live.redraw, names="value")
        values, labels, start = [], [], control.index or 0
        for place in range(len(control.options)):
            control.index = place
            values.append(control.value)
            labels.append(f"{name}: {control.label}")
        return values, labels, start
    if not isinstance(control, w.IntSlider | w.FloatSlider | w.FloatLogSlider):
        kinds = "ползунок, список или флажок"
        raise ExportError(f"ручку {vary} ({type(control).__name__}) не перебрать: нужен {kinds}.")
    steps = round((control.max - control.min) / control.step)
    places = control.min + control.step * np.unique(np.linspace(0, steps, 11).round())
    if isinstance(control, w.FloatLogSlider):
        start = np.abs(places - np.log(own) / np.log(control.base)).argmin()
        values = (control.base**places).tolist()
        shown = [float(f"{value:.3g}") for value in values]
    else:
        start = np.abs(places - own).argmin()
        values = shown = [type(own)(place) for place in places.tolist()]
    return values, [f"{name} = {v:g}".replace(".", ",") for v in shown], int(start)


def frames(call: str, vary: str) -> str:
    """HTML of a widget that moves without a kernel: pictures under a slider.

    `call` is the line that makes a `widgets.Live` without arguments, `vary` the name of the
    control that moves; the other controls stay as they begin.
    """
    from matplotlib import style

    from lecture_utils.figures import plots, widgets

    maker = re.fullmatch(r"widgets\.(\w+)\(\)", call)
    live = maker and getattr(widgets, maker[1], lambda: None)()
    if live is None or vary not in live.controls:
        raise ExportError(f"нет живого рисунка {call} с ручкой {vary}.")
    fixed = {name: control.value for name, control in live.controls.items()}
    values, labels, start = _positions(live, vary)
    labels, images = [html.escape(label) for label in labels], ""
    for place, (label, value) in enumerate(zip(labels, values, strict=True)):
        with style.context(STYLES / "lecture.mplstyle"):
            try:
                image = _inline(plots.png(live.draw(**fixed | {vary: value})), "image/png")
            except ValueError as error:
                raise ExportError(f"{call}, {label}: {error}") from error
        hidden = "" if place == start else " hidden"
        images += f'<img alt="{label}" src="{image}"{hidden}>'
    return (
        f'<div class="cell frames"><label><span>{labels[start]}</span><input type="range" '
        f'max="{len(labels) - 1}" value="{start}"></label>{images}</div>'
    )


def cell_html(cell) -> str:
    """HTML of a cell; tags `remove-input` and `remove-cell` do what they say, widgets are out."""
    from nbconvert.filters import Highlight2HTML

    tags = cell.metadata.get("tags", [])
    if "remove-cell" in tags:
        return ""
    if cell.cell_type == "markdown":
        return markdown(cell.source)
    if cell.cell_type != "code":
        return ""
    outputs = [o for o in cell.outputs if WIDGET not in o.get("data", {})]
    if "vary" in cell.metadata:
        return frames(cell.source.splitlines()[-1], cell.metadata["vary"])
    if cell.outputs and not outputs:
        return ""  # a widget is dead without a kernel; a still picture stands beside it
    shows = [] if "remove-input" in tags else [cell.source]
    shows = [Highlight2HTML(pygments_lexer="python")(source) for source in shows if source]
    shows += map(_output, outputs)
    return f'<div class="cell">{"".join(shows)}</div>' if shows else ""


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None:
        raise ExportError(f"нет пакета {name}: выполните pip install -r requirements.txt.")
    return Path(spec.submodule_search_locations[0])


def _inline(data: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def _math_font() -> bytes:
    """STIX Two Math (SIL Open Font License) with the characters of our formulas only."""
    from fontTools import subset

    source = _package("ziamath") / "fonts/STIXTwoMath-Regular.ttf"
    blocks = "20-17F,2B0-3FF,2000-23FF,27E0-29FF,1D400-1D7FF"
    with tempfile.TemporaryDirectory() as folder:
        font = Path(folder, "math.woff")
        options = ["--flavor=woff", "--layout-features=*", f"--unicodes={blocks}"]
        subset.main([str(source), f"--output-file={font}", *options])
        return font.read_bytes()


def third_party() -> dict[str, str]:
    """reveal.js and the font for formulas from installed packages, ready for the template."""
    reveal = _package("sphinx_revealjs") / "_static/revealjs"
    return {
        "reveal_css": (reveal / "dist/reveal.css").read_text("utf-8"),
        "reveal_js": _inline((reveal / "dist/reveal.js").read_bytes(), "text/javascript"),
        "notes_js": _inline((reveal / "plugin/notes/notes.js").read_bytes(), "text/javascript"),
        "math_font": _inline(_math_font(), "font/woff"),
    }


def _read(path: Path):
    """The notebook of a file."""
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise ExportError(f"тетради {path} нет.") from None
    except Exception as error:  # not JSON, not a notebook: nbformat has many ways to say so
        kind = type(error).__name__
        raise ExportError(f"{path} не похож на тетрадь Jupyter ({kind}).") from error


def _fill(slide: SimpleNamespace, name: str) -> None:
    """Give a slide of the notebook `name` the HTML of its parts and notes."""

    def page(cell, show):
        try:
            return show(cell)
        except ExportError as error:
            line = cell.source.partition("\n")[0]
            raise ExportError(f"{name}, ячейка «{line}»: {error}") from error

    for part in slide.parts:
        part.html = "\n".join(filter(None, (page(cell, cell_html) for cell in part.cells)))
    slide.parts = [part for part in slide.parts if part.html]
    notes = [page(cell, lambda cell: markdown(cell.source)) for cell in slide.notes]
    for part in slide.parts:
        notes += re.findall(r'(?s)<div class="answer">.*?</div>', part.html)
    slide.notes = "\n".join(notes)
    slide.is_title = slide.parts and "<h1" in slide.parts[0].html
    slide.has_heading = slide.parts and re.search("<h[1-4]", slide.parts[0].html)


def deck(path: Path) -> SimpleNamespace:
    """The deck of a notebook: file name, title, time as its text says, columns of slides."""
    cells = _read(path).cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    title = re.search(r"^# (.+)", "\n".join(texts), re.M)
    time = re.search(r"\*\*Время:\*\* (\d+(?:–\d+)? минут\w*)", "\n".join(texts))
    columns = []
    for column in slides_of(cells):
        for slide in column:
            _fill(slide, path.name)
        column = [slide for slide in column if slide.parts]
        if column:
            columns.append(column)
    for column in columns:
        section = re.search("<h[12].*?>(.*?)</h", column[0].parts[0].html)
        for slide in column:
            slide.section = section[1] if section and not slide.has_heading else ""
    return SimpleNamespace(
        file=f"{path.stem}.html",
        title=title[1] if title else path.stem,
        time=time[1] if time else "",
        columns=columns,
        slides=sum(map(len, columns)),
    )


def export(notebooks: list[Path], output: Path) -> Path:
    """Write the decks of the notebooks and index.html into the folder `output`; returns the index.

    Files are written aside and then renamed. Raises ExportError, before any work is done if the
    folder cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader
    from tqdm import tqdm

    if not notebooks:
        raise ExportError(f"в папке {NOTEBOOKS} нет ни одной тетради.")
    pages = Environment(loader=FileSystemLoader(STYLES))
    styles = {f"{n}_css": (STYLES / f"{n}.css").read_text("utf-8") for n in ("lecture", "deck")}
    styles |= third_party()
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output, prefix=".") as aside:
            decks = []
            for path in tqdm(notebooks, desc="слайды", unit="тетрадь"):
                decks.append(deck(path))
                page = pages.get_template("deck.html").render(vars(decks[-1]) | styles)
                Path(aside, decks[-1].file).write_text(page, "utf-8")
            index = pages.get_template("index.html").render(decks=decks, **styles)
            Path(aside, "index.html").write_text(index, "utf-8")
            for page in Path(aside).iterdir():
                os.replace(page, output / page.name)
    except OSError as error:
        raise ExportError(f"в папку {output} нельзя писать ({error.strerror}).") from error
    return output / "index.html"


def main(arguments: list[str] | None = None) -> int:
    """Command line; 2 if the decks could not be made."""
    parser = argparse.ArgumentParser("lecture_utils.slides", description="Слайды без сети.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="тетради (без них все)")
    parser.add_argument("--output", type=Path, default=ROOT / "decks", help="куда (decks)")
    options = parser.parse_args(arguments)
    try:
        index = export(options.notebooks or sorted(NOTEBOOKS.glob("*.ipynb")), options.output)
    except ExportError as error:
        print(f"Слайды не сделаны: {error}", file=sys.stderr)
        return 2
    print(f"Готово, откройте в браузере: {index.resolve().as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
