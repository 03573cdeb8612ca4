"""Live slides (jupyterlab-rise) over a running kernel: Alt+R, the style of the course, widgets."""

import nbformat
import pytest

from lecture_utils import presentation

KERNEL_ANSWERS = """
    jupyterapp.shell.currentWidget.sessionContext.isReady
    && jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === "idle"
"""
NOTEBOOK = presentation.NOTEBOOKS / "02_unrolling.ipynb"
WIDGET_SLIDE = """
    const picture = document.querySelector(".widget-image");
    const places = [];
    for (let s = picture.closest("section"); s; s = s.parentElement.closest("section"))
        places.unshift([...s.parentElement.querySelectorAll(":scope > section")].indexOf(s));
    location.hash = `#/slide-${places.join("-")}`;
"""


@pytest.fixture
def slides(open_notebook):
    """The frame of the live slides of a notebook that was run in Lab."""
    page = open_notebook(nbformat.read(NOTEBOOK, as_version=4), "live")
    page.set_default_timeout(60_000)
    page.wait_for_function(KERNEL_ANSWERS)
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector(".jp-OutputArea .widget-image")
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    page.locator(".jp-Notebook").first.focus()
    page.keyboard.press("Alt+r")
    frame = page.wait_for_selector('iframe[src*="/rise/"]').content_frame()
    frame.wait_for_selector(".reveal.ready .widget-image", state="attached")
    return frame


def test_the_style_is_there_and_a_slider_moves_the_picture(slides):
    assert presentation.style_html() in slides.content()
    title = slides.locator("h1").first
    assert title.evaluate("(e) => getComputedStyle(e).textTransform") == "none"

    slides.evaluate(f"() => {{{WIDGET_SLIDE}}}")
    slider = slides.locator(".noUi-target").first
    slider.wait_for(state="visible")
    picture = slides.locator(".widget-image").first.element_handle()
    before = picture.get_attribute("src")
    box = slider.bounding_box()
    slider.click(position={"x": 0.9 * box["width"], "y": box["height"] / 2})
    slides.wait_for_function("([img, src]) => img.src !== src", arg=[picture, before])
