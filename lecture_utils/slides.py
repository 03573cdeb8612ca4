"""Offline slides made of all notebooks.

`python -m lecture_utils.slides` writes one self-contained page a notebook and an index:
reveal.js, the style, the pictures and a font for formulas are inside, formulas are MathML.
"""

import argparse
import base64
import html
import os
import re
import sys
import tempfile
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


def markdown(source: str) -> str:
    """HTML of a text: formulas as MathML, answers in boxes, links to other decks."""
    from latex2mathml.converter import convert
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    def mathml(text, display="inline"):
        try:
            formula = convert(text.replace("{aligned}", "{align*}"), display=display)
        except Exception as error:
            raise ExportError(f"не разобрана формула {text}") from error
        formula = formula.replace("<mo>&#x02202;</mo>", "<mi>∂</mi>").replace(r">\|<", ">‖<")
        formula = formula.replace("<mo>&#x0002F;</mo>", '<mo lspace="0" rspace="0">/</mo>')
        # a function and its argument without brackets stand apart
        return re.sub(r"(<mi>[a-z]{2,}</mi>)(?=<m[ins])", r'\1<mspace width="0.2em"/>', formula)

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


def _output(output) -> str:
    """HTML of one output."""
    if output.output_type == "stream":
        return f'<pre class="output">{html.escape(output.text.rstrip())}</pre>'
    if output.output_type == "error":
        return f'<pre class="output">{html.escape(f"{output.ename}: {output.evalue}")}</pre>'
    data = output.data
    if "image/png" in data:
        alt = html.escape(output.metadata.get("image/png", {}).get("alt", ""))
        return f'<img alt="{alt}" src="data:image/png;base64,{data["image/png"].strip()}">'
    if "text/markdown" in data:
        return markdown(data["text/markdown"])
    return data.get("text/html") or f'<pre class="output">{html.escape(data["text/plain"])}</pre>'


def frames(call: str, vary: str) -> str:
    """HTML of a widget that moves without a kernel: up to eleven pictures under a slider.

    `call` is the line that makes a `widgets.Live` without arguments, `vary` the name of the
    control whose range is shown; the other controls stay as they begin.
    """
    import numpy as np
    from matplotlib import style

    from lecture_utils.figures import plots, widgets

    maker = re.fullmatch(r"widgets\.(\w+)\(\)", call)
    live = maker and getattr(widgets, maker[1], lambda: None)()
    if live is None or vary not in live.controls:
        raise ExportError(f"нет живого рисунка {call} с ручкой {vary}.")
    values = {name: control.value for name, control in live.controls.items()}
    slider = live.controls[vary]
    steps = round((slider.max - slider.min) / slider.step)
    shown = slider.min + slider.step * np.unique(np.linspace(0, steps, 11).round())
    start = int(np.abs(shown - slider.value).argmin())
    images, labels = "", [f"{slider.description} = {v:g}".replace(".", ",") for v in shown]
    for place, (label, value) in enumerate(zip(labels, shown, strict=True)):
        with style.context(STYLES / "lecture.mplstyle"):
            figure = live.draw(**values | {vary: type(slider.value)(value)})
            image = _inline(plots.png(figure), "image/png")
        hidden = "" if place == start else " hidden"
        images += f'<img alt="{label}" src="{image}"{hidden}>'
    return (
        f'<div class="cell frames"><label><span>{labels[start]}</span><input type="range" '
        f'max="{len(shown) - 1}" value="{start}"></label>{images}</div>'
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


def deck(path: Path) -> SimpleNamespace:
    """The deck of a notebook: file name, title, time as its text says, columns of slides."""
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise ExportError(f"тетради {path} нет.") from None
    except Exception as error:  # not JSON, not a notebook: nbformat has many ways to say so
        raise ExportError(
            f"{path} не похож на тетрадь Jupyter ({type(error).__name__})."
        ) from error
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    title = re.search(r"^# (.+)", "\n".join(texts), re.M)
    time = re.search(r"\*\*Время:\*\* (\d+(?:–\d+)? минут\w*)", "\n".join(texts))
    columns = slides_of(notebook.cells)
    for slide in (slide for column in columns for slide in column):
        for part in slide.parts:
            part.html = "\n".join(filter(None, map(cell_html, part.cells)))
        slide.parts = [part for part in slide.parts if part.html]
        slide.is_title = slide.parts and "<h1" in slide.parts[0].html
        notes = [markdown(cell.source) for cell in slide.notes]
        for part in slide.parts:
            notes += re.findall(r'(?s)<div class="answer">.*?</div>', part.html)
        slide.notes = "\n".join(notes)
        slide.has_heading = slide.parts and re.search("<h[1-4]", slide.parts[0].html)
    columns = [[slide for slide in column if slide.parts] for column in columns]
    columns = [column for column in columns if column]
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
