"""Live slides (jupyterlab-rise) over a running kernel: Alt+R, the style of the course, widgets."""

import shutil

import nbformat
import pytest

from lecture_utils import slides

NOTEBOOK = slides.NOTEBOOKS / "02_unrolling.ipynb"
PICTURE = ".widget-html img"
GO_TO_PICTURE = """(selector) => {
    const places = [];
    let section = document.querySelector(selector).closest("section");
    for (; section; section = section.parentElement.closest("section")) {
        const beside = section.parentElement.querySelectorAll(":scope > section");
        places.unshift([...beside].indexOf(section));
    }
    location.hash = `#/slide-${places.join("-")}`;
}"""


def look(slides):
    """Case and size of the title, size of the text."""
    slides.wait_for_selector(".reveal.ready h1", state="attached")
    style = "(e) => [getComputedStyle(e).textTransform, getComputedStyle(e).fontSize]"
    return slides.evaluate(f"['h1', 'p'].map((tag) => ({style})(document.querySelector(tag)))")


@pytest.fixture
def slides(open_notebook, request):
    """The frame of the live slides of a notebook that was run in Lab."""
    page = open_notebook(nbformat.read(NOTEBOOK, as_version=4), request.node.name)
    page.set_default_timeout(60_000)
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector(PICTURE)
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    page.locator(".jp-Notebook").first.focus()
    page.keyboard.press("Alt+r")
    frame = page.wait_for_selector('iframe[src*="/rise/"]').content_frame()
    frame.wait_for_selector(f".reveal.ready {PICTURE}", state="attached")
    return frame


def test_a_notebook_not_yet_run_has_the_style_too(browser, lab):
    address, token, work = lab
    shutil.copy(NOTEBOOK, work / "fresh.ipynb")
    shutil.copy(NOTEBOOK.parent / "rise.css", work)
    page = browser.new_page()
    page.goto(f"{address}/rise/fresh.ipynb?token={token}")
    assert look(page) == [["none", "56px"], ["none", "28px"]]
    page.close()


def test_the_style_is_there_and_a_slider_moves_the_picture(slides):
    assert look(slides) == [["none", "56px"], ["none", "28px"]]

    slides.evaluate(GO_TO_PICTURE, PICTURE)
    slider = slides.locator(".noUi-target").first
    slider.wait_for(state="visible")
    picture = slides.locator(PICTURE).first.element_handle()
    before, box = picture.get_attribute("src"), slider.bounding_box()
    slider.click(position={"x": 0.9 * box["width"], "y": box["height"] / 2})
    slides.wait_for_function(
        "([selector, src]) => document.querySelector(selector).src !== src", arg=[PICTURE, before]
    )


def test_a_folded_note_is_readable_in_the_presenter_s_view(slides):
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    note = next(c for c in cells if c.metadata.slideshow.slide_type == "notes")
    assert note.metadata.jupyter.source_hidden
    slides.evaluate("location.hash = '#/slide-0-0'")
    with slides.page.expect_popup() as popup:
        slides.locator("body").press("t")
    # The view loads the slides twice more, with a kernel each, before it tells the note.
    shown = popup.value.locator(".speaker-controls-notes .value")
    shown.filter(has_text=note.source).wait_for(timeout=120_000)
    assert shown.inner_text().split() == note.source.split()  # once, and whole
    popup.value.close()
