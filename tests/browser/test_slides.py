"""Exported decks in a real Chromium: what a lecture hall without internet sees."""

from pathlib import Path

import pytest

from lecture_utils import presentation

HERE = Path(__file__).parent
NOTEBOOKS = sorted(presentation.NOTEBOOKS.glob("*.ipynb"))
FAULTS = (HERE / "slide.js").read_text("utf-8")
SHOW_FRAGMENTS = ".fragment { opacity: 1 !important; visibility: visible !important }"


@pytest.fixture(scope="session")
def decks(tmp_path_factory):
    output = tmp_path_factory.mktemp("decks")
    presentation.export(NOTEBOOKS, output)
    return output


@pytest.fixture
def open_deck(browser, decks):
    """open_deck(address) → page of a deck from file://, with all it said and asked for in `.said`."""
    pages = []

    def open_page(address):
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.said = []
        page.on("console", lambda m: m.type in ("error", "warning") and page.said.append(m.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        here = (decks.as_uri(), "data:", "about:", "blob:")
        page.on("request", lambda r: r.url.startswith(here) or page.said.append(r.url))
        page.goto(f"{decks.as_uri()}/{address}")
        if not address.startswith("index"):
            page.wait_for_function("window.Reveal?.isReady()")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_slide_fits_and_can_be_read(notebook, open_deck, tmp_path):
    page = open_deck(f"{notebook.stem}.html")
    page.add_style_tag(content=SHOW_FRAGMENTS)
    page.evaluate("document.fonts.ready")
    slides = page.evaluate("Reveal.getSlides().map((slide) => Reveal.getIndices(slide))")
    faults = []
    for place in slides:
        page.evaluate("({h, v}) => Reveal.slide(h, v)", place)
        found = page.evaluate(FAULTS)
        if found:
            name = f"{place['h'] + 1}.{place['v'] + 1}"
            picture = tmp_path / f"{name}.png"
            page.screenshot(path=picture)
            faults.append(f"slide {name} ({picture}): " + "; ".join(found))
    assert len(slides) > 1
    assert not faults, "\n" + "\n".join(faults)
    assert not page.said, page.said
