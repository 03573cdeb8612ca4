"""The look of the course in every notebook, its live slides and its figures."""

import gc
import re
from pathlib import Path

from lecture_utils.distributed import use_threads

STYLES = Path(__file__).resolve().parents[2] / "styles"


def style_html() -> str:
    """styles/lecture.css as the element that a notebook shows and live slides take over."""
    return f"<style>\n{(STYLES / 'lecture.css').read_text('utf-8')}</style>"


def literal(text: str) -> str:
    """`text` to be shown in Markdown as it is: no sign of it means a table, a formula or a tag."""
    return re.sub(r"[\\|*_$`<>&#~\[\]]", lambda sign: f"&#{ord(sign[0])};", text)


def comma(value: float, spec: str = ".2f") -> str:
    """The number as Russian writes it: formatted by `spec`, its point a comma, its minus long."""
    return f"{value:{spec}}".replace(".", ",").replace("-", "−")


def setup() -> None:
    """Give this notebook, its live slides and its figures the style of the course; one thread."""
    from IPython.display import HTML, display
    from matplotlib import style

    use_threads()
    style.use(STYLES / "lecture.mplstyle")
    display(HTML(style_html()))
    # What is loaded stays. Else, every ten redraws, a live picture waits for the garbage collector
    # to look through all of torch: 0.4 s in place of 0.1. Only once: where the cell is run again,
    # what the run before has made would stay for ever too.
    if gc.get_freeze_count() == 0:
        gc.collect()
        gc.freeze()
