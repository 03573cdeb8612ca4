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
from functools import reduce
from importlib.util import find_spec
from mimetypes import guess_type
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, unquote

from lecture_utils.figures.style import STYLES
from lecture_utils.files import speak_on_any_console

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"
# TeX in words that latex2mathml knows; what browsers do not draw is made a text, to be refused.
TEX = {
    r"\\label\s*\{[^{}]*\}|\\(notag|nonumber)(?![a-zA-Z])|\\(begin|end)\s*\{equation\*?\}": "",
    r"(?<=[nd])\{(align(ed)?|flalign|align(ed)?at)\*?\}(\s*\{\d+\})?": "{align*}",
    r"(?<=[nd])\{(gather(ed)?|multline)\*?\}": "{displaylines}",
    r"\\tag(?![a-zA-Z])": r"\\qquad\\tag",
    r"(\\operatorname\*?\s*\{)\\?([a-zA-Z]+)(?:\\[,;: ]|~|\s|\b)\\?(?=[a-zA-Z]+\})": "\\1\\2\u2009",
    r"\\arg(?![a-zA-Z])\s*(?:\\(max|min)(?![a-zA-Z]))?": "\\\\operatorname*{arg\u2009\\1}",
    r"\\(max|min|lim|sup|inf)(?=\s*_)": r"\\operatorname*{\1}",
    r"(\\operatorname\*\s*\{[a-zA-Z\s]+\})(?=\s*_)": r"\1\\limits",
    r"\\operatorname\*?\s*\{([^{}]*[^a-zA-Z\s*{}][^{}]*)\}": r"\\mathop{\\mathrm{\1}}",
    r"\\(h(dash)?line|[bx]?cancel|operatorname(?!\*?\s*\{[a-zA-Z\s*]+\}))(?!\w)": r"\\text{\\\1}",
    r"(\{array\}\s*\{[^{}]*)\|": r"\1\\vline ",
    r"\\(?:text|mbox)\s*(\{[^{}]*\$)": r"\\hbox\1",
    r"(\\text\w*\s*\{[^{}]*)<": r"\1&#60;",
}


class ExportError(Exception):
    """What keeps the decks from being made, said in one Russian sentence."""


def slides_of(cells: list) -> list[list[SimpleNamespace]]:
    """Columns of slides of `parts` (cells shown at once) and `notes`, as the metadata say.

    slide opens a column, subslide a slide, fragment a part; skip is left out; "-" goes on.
    """
    columns = []
    for cell in cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type", "-")
        if kind == "notes" and columns:
            columns[-1][-1].notes.append(cell)
        if kind in ("skip", "notes"):
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


def mathml(formula: str, display: str = "block") -> str:
    """A formula in LaTeX as MathML."""
    from latex2mathml.commands import MATRICES
    from latex2mathml.converter import convert
    from latex2mathml.symbols_parser import convert_symbol

    sign = lambda said: f"&#x{code};" if (code := convert_symbol(said[0])) else said[0]
    known = reduce(lambda tex, rule: re.sub(*rule, tex), TEX.items(), formula)
    for name in re.findall(r"\\begin\s*\{([^{}]*)\}", known):
        if f"\\{name}" not in MATRICES:
            raise ExportError(f"окружение {name} на слайде не показать: возьмите aligned.")
    try:
        page = convert(known, display=display)
    except Exception as error:
        raise ExportError(f"не разобрана формула {formula}.") from error
    page = page.replace("<mo>&#x02202;</mo>", "<mi>∂</mi>").replace(r">\|<", ">‖<")
    page = page.replace("<mo>&#x0002F;</mo>", '<mo lspace="0" rspace="0">/</mo>')
    page = re.sub(r"\\([a-zA-Z]+|[^a-zA-Z])", sign, page)
    if left := re.search(r"\\[a-zA-Z]*|[{}$]|&(?!#)", re.sub("<[^<>]*>", " ", page)):
        raise ExportError(f"{left[0]} в формуле {formula} на слайде не показать: запишите иначе.")
    # a function and its argument without brackets stand apart
    return re.sub(r"(<mi>[a-z]{2,}</mi>)(?=<m[ins])", r'\1<mspace width="0.2em"/>', page)


def markdown(source: str) -> str:
    """HTML of a text: formulas as MathML, answers in boxes, links to other decks."""
    from mistune import HTMLRenderer
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        image = HTMLRenderer.image  # put inside later
        block_math = lambda self, text: mathml(text)
        inline_math = lambda self, text: mathml(text, "inline")
        latex_environment = lambda _, name, body: mathml(rf"\begin{{{name}}}{body}\end{{{name}}}")

    renderer = Renderer(escape=False, exclude_anchor_links=True)
    page = MarkdownWithMath(renderer=renderer).render(source)
    words = re.sub(r"(?s)<(code|pre|math)\b.*?</\1>", "", page)  # MathJax looks there too
    if word := re.search(r"\\(eqref|ref|begin|end)\s*\{.*?\}|(?<=jp-)Mermaid", words):
        raise ExportError(f"{word[0]} на слайде не показать: напишите иначе, хоть картинкой.")
    page = re.sub(r'(<code class="language-([^"]+)">)\2\n', r"\1", page)  # a language not known
    page = re.sub(r"(?s)(</summary>)(.*?)(</details>)", r'\1<div class="answer">\2</div>\3', page)
    page = re.sub(r"(<math(?:(?!<math).)*?</math>[.,:;?!)»]+)", r"<nobr>\1</nobr>", page)
    page = re.sub(r'href="(?:[^":?#]*/)?([^":?#/]+)\.ipynb(?=["?#])', r'href="\1.html', page)
    return f'<div class="cell jp-RenderedHTMLCommon">{page}</div>'


def _terminal(text: str) -> str:
    """HTML of a text as a terminal leaves it: what is written over is gone, colours are there."""
    from nbconvert.filters import ansi2html, strip_ansi

    text = re.sub(r"\x1b(\].*?(\x07|\x1b\\)|[()].|[^\[\]()])", "", text)
    while "\b" in text:
        text = re.sub("(?m)[^\b\n]\b|^\b+", "", text)
    lines, row = [""], 0
    for part in re.split(r"(\n|\r|\x1b\[A)", text):
        row = max(row + {"\n": 1, "\x1b[A": -1}.get(part, 0), 0)
        lines += [""] * (row + 1 - len(lines))
        if part not in ("", "\n", "\r", "\x1b[A"):
            old = "" if re.search(r"\x1b\[\d?K", part) else strip_ansi(lines[row])
            lines[row] = part + old[len(strip_ansi(part)) :]
    return ansi2html("\n".join(lines))


def _text(text: str) -> str:
    shown = _terminal(text) if re.search("[\b\r\x1b]", text) else html.escape(text)
    return f'<pre class="output">{shown}</pre>'


def _image(mime: str, output) -> str:
    """A picture inside the page; a drawing too, where no script of its own can run."""
    content, told = output.data[mime], output.data.get("text/plain", "")
    source = f"data:{mime};base64,{content.strip()}"
    if mime == "image/svg+xml":
        name = "" if "xmlns=" in content else ' xmlns="http://www.w3.org/2000/svg"'
        source = _inline(content.replace("<svg", f"<svg{name}", 1).encode(), mime)
    alt = output.metadata.get(mime, {}).get("alt", "" if told.startswith("<") else told)
    return f'<img alt="{html.escape(alt)}" src="{source}">'


PICTURES = [f"image/{kind}" for kind in ("png", "svg+xml", "jpeg", "gif", "webp", "bmp")]
KINDS = {  # of output, in order of preference; pictures come first
    "text/markdown": markdown,
    "text/html": str,
    "text/latex": lambda text: markdown(re.sub(r"(?<!\\)\\(?=[\[\]()])", r"\\\\", text)),
    "application/json": lambda data: _text(json.dumps(data, ensure_ascii=False, indent=1)),
    "text/plain": _text,
}


def _output(output) -> str:
    """HTML of one output."""
    if output.output_type == "stream":
        return _text(output.text.rstrip())
    if output.output_type == "error":
        return _text("\n".join(output.traceback) or f"{output.ename}: {output.evalue}")
    mime = next((mime for mime in (*PICTURES, *KINDS) if mime in output.data), "")
    is_name = mime == "text/plain" and re.fullmatch("(?s)<.*>", output.data[mime])
    if mime and not (is_name and len(output.data) > 1):
        return KINDS[mime](output.data[mime]) if mime in KINDS else _image(mime, output)
    if output.data:
        raise ExportError(
            f"вывод вида {', '.join(output.data)} на слайде не показать: дайте картинку."
        )
    return ""


def _positions(live, vary: str) -> tuple[list, list[str], int]:
    """Values of a control to be shown (eleven even ones of a slider), labels, its own place."""
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
    values = places = control.min + control.step * np.unique(np.linspace(0, steps, 11).round())
    if isinstance(control, w.FloatLogSlider):
        values, own = control.base**places, np.log(own) / np.log(control.base)
    values = values.astype(type(control.value)).tolist()
    labels = [f"{name} = {float(f'{value:.3g}'):g}".replace(".", ",") for value in values]
    return values, labels, int(np.abs(places - own).argmin())


def frames(call: str, vary: str) -> str:
    """HTML of a widget that moves without a kernel: pictures under a slider.

    `call` makes a `widgets.Live`; its control `vary` moves, the others stay as they begin.
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
    is_note = cell.metadata.get("slideshow", {}).get("slide_type") == "notes"
    if "remove-cell" in tags or (cell.cell_type == "raw" and not is_note):
        return ""
    if cell.cell_type in ("markdown", "raw"):
        return markdown(cell.source)
    outputs = [o for o in cell.outputs if WIDGET not in o.get("data", {})]
    if "vary" in cell.metadata:
        return frames(cell.source.splitlines()[-1], cell.metadata["vary"])
    if cell.outputs and not outputs:
        return ""  # a widget is dead without a kernel; a still picture stands beside it
    shows = [] if "remove-input" in tags or not cell.source else [cell.source]
    shows = [*map(Highlight2HTML(pygments_lexer="python"), shows), *map(_output, outputs)]
    return f'<div class="cell">{"".join(shows)}</div>' if shows else ""


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None:
        raise ExportError(f"нет пакета {name}: выполните pip install -r requirements.txt.")
    return Path(spec.submodule_search_locations[0])


def _inline(data: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def third_party() -> dict[str, str]:
    """reveal.js and the font for formulas from installed packages, ready for the template."""
    from fontTools import subset

    reveal = _package("sphinx_revealjs") / "_static/revealjs"
    source = _package("ziamath") / "fonts/STIXTwoMath-Regular.ttf"
    # STIX Two Math (SIL Open Font License) with the characters of our formulas only
    blocks = "--unicodes=20-17F,2B0-3FF,2000-23FF,27E0-29FF,1D400-1D7FF"
    with tempfile.TemporaryDirectory() as folder:
        font = Path(folder, "math.woff")
        how = ["--flavor=woff", "--layout-features=*", blocks]
        subset.main([str(source), f"--output-file={font}", *how])
        return {
            "reveal_css": (reveal / "dist/reveal.css").read_text("utf-8"),
            "reveal_js": _inline((reveal / "dist/reveal.js").read_bytes(), "text/javascript"),
            "notes_js": _inline((reveal / "plugin/notes/notes.js").read_bytes(), "text/javascript"),
            "math_font": _inline(font.read_bytes(), "font/woff"),
        }


def _address(url: str, cell, folder: Path) -> str:
    """What lies at an address, named in a cell of a notebook in `folder`, as a data URI."""
    name = unquote(re.split("[?#]", url)[0])
    for mime, data in cell.get("attachments", {}).get(name.partition("attachment:")[2], {}).items():
        return f"data:{mime};base64,{data}"
    mime, path = guess_type("x" + os.path.splitext(name)[1], strict=False)[0] or "", folder / name
    is_shown = re.match("(image|audio|video)/", mime) and not re.match(r"[\w+.-]+:|//", url)
    if not (is_shown and os.path.isfile(path) and os.access(path, os.R_OK)):
        raise ExportError(f"«{unquote(url)}» не показать: нужен файл с картинкой рядом с тетрадью.")
    return _inline(path.read_bytes(), mime)


def _inside(page: str, cell, folder: Path) -> str:
    """The page of a cell with all that it loads put inside."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(page, "html.parser")
    before = str(soup)
    for tag in soup.find_all(True):
        style = tag.get("style", "") + (tag.get_text() if tag.name == "style" else "")
        if outer := re.search(r"(?:url\(|@import)\s*[\"']?(?!data:|#)[^)\"']*", style):
            raise ExportError(f"стиль с {outer[0]} на слайд не взять: впишите его целиком.")
        names = {"src", "srcset", "srcdoc", "poster", "data", "background", "xlink:href"}
        names |= {"href"} if tag.name in ("base", "link", "image", "use") else set()
        for name in names & tag.attrs.keys():
            if not tag[name].startswith(("data:", "#")):
                tag[name] = _address(tag[name], cell, folder)
    return page if str(soup) == before else str(soup)


def _read(path: Path):
    """The notebook of a file."""
    import nbformat

    try:
        nbformat.validate(notebook := nbformat.read(path, as_version=4))
        return notebook
    except FileNotFoundError:
        raise ExportError(f"тетради {path} нет.") from None
    except Exception as error:  # not JSON, not a notebook: nbformat has many ways to say so
        raise ExportError(
            f"{path} не похож на тетрадь Jupyter ({type(error).__name__})."
        ) from error


def _fill(slide: SimpleNamespace, path: Path, cells: list) -> None:
    """Give a slide of the notebook at `path`, made of `cells`, the HTML of its parts and notes."""

    def page(cell):
        try:
            return _inside(cell_html(cell), cell, path.parent)
        except ExportError as error:
            line = cell.source.strip().partition("\n")[0]
            place = f"{path.name}, ячейка {cells.index(cell) + 1}"
            raise ExportError(f"{place} («{line}»): {error}") from error

    for part in slide.parts:
        part.html = "\n".join(filter(None, map(page, part.cells)))
    slide.parts = [part for part in slide.parts if part.html]
    answers = re.findall(r'(?s)<div class="answer">.*?</div>', "".join(p.html for p in slide.parts))
    slide.notes = "\n".join([*map(page, slide.notes), *answers])
    slide.is_title = slide.parts and "<h1" in slide.parts[0].html
    slide.has_heading = slide.parts and re.search("<h[1-4]", slide.parts[0].html)


def deck(path: Path) -> SimpleNamespace:
    """The deck of a notebook: file name, title, time as its text says, columns of slides."""
    cells = _read(path).cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    time = re.search(r"\*\*Время:\*\* (\d+(?:–\d+)? минут\w*)", "\n".join(texts))
    columns = []
    for column in slides_of(cells):
        for slide in column:
            _fill(slide, path, cells)
        if column := [slide for slide in column if slide.parts]:
            columns.append(column)
            section = re.search("<h[12].*?>(.*?)</h", column[0].parts[0].html)
        for slide in column:
            slide.section = section[1] if section and not slide.has_heading else ""
    shown = "".join(part.html for column in columns for slide in column for part in slide.parts)
    title = re.search("(?s)<h1.*?>(.*?)</h1>", shown)
    title = re.sub("<[^>]*>", "", title[1]) if title else html.escape(path.stem)
    file, time, count = quote(f"{path.stem}.html"), time[1] if time else "", sum(map(len, columns))
    return SimpleNamespace(file=file, title=title, time=time, columns=columns, slides=count)


def export(notebooks: list[Path], output: Path) -> Path:
    """Write the decks of the notebooks and index.html into the folder `output`; returns the index.

    Files are written aside and then renamed. Raises ExportError: before any work is done if the
    folder cannot be written, at the end with the faults of all notebooks that have no deck.
    """
    from jinja2 import Environment, FileSystemLoader
    from tqdm import tqdm

    if not notebooks:
        raise ExportError(f"в папке {NOTEBOOKS} нет ни одной тетради.")
    pages = Environment(loader=FileSystemLoader(STYLES))
    styles = {f"{n}_css": (STYLES / f"{n}.css").read_text("utf-8") for n in ("lecture", "deck")}
    styles |= third_party()
    names = ["index", *(path.stem.casefold() for path in notebooks)]
    decks, faults = [], []
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output, prefix=".") as aside:
            for path in tqdm(notebooks, desc="слайды", unit="тетрадь"):
                try:
                    if names.count(path.stem.casefold()) > 1:
                        raise ExportError(f"имя {path} занято другими слайдами: переименуйте её.")
                    decks.append(deck(path))
                except ExportError as error:
                    faults.append(str(error))
                    continue
                page = pages.get_template("deck.html").render(vars(decks[-1]) | styles)
                Path(aside, f"{path.stem}.html").write_text(page, "utf-8")
            index = pages.get_template("index.html").render(decks=decks, **styles)
            Path(aside, "index.html").write_text(index, "utf-8")
            for page in Path(aside).iterdir() if decks else ():
                os.replace(page, output / page.name)
    except OSError as error:
        raise ExportError(f"в папку {output} нельзя писать ({error.strerror}).") from error
    if faults:
        raise ExportError("\n".join(faults))
    return output / "index.html"


def main(arguments: list[str] | None = None) -> int:
    """Command line; 2 if the decks could not be made."""
    speak_on_any_console()
    parser = argparse.ArgumentParser("lecture_utils.slides", description="Слайды без сети.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="тетради (без них все)")
    parser.add_argument("--output", type=Path, default=ROOT / "decks", help="куда (decks)")
    options = parser.parse_args(arguments)
    try:
        index = export(options.notebooks or sorted(NOTEBOOKS.glob("[0-9]*.ipynb")), options.output)
    except ExportError as error:
        print(f"Слайды не сделаны: {error}", file=sys.stderr)
        return 2
    print(f"Готово, откройте в браузере: {index.resolve().as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
