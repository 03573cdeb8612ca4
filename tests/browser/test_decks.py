"""Exported decks in a real Chromium: what a lecture hall without internet sees."""

from pathlib import Path

import pytest

from lecture_utils import slides

HERE = Path(__file__).parent
NOTEBOOKS = sorted(slides.NOTEBOOKS.glob("[0-9]*.ipynb"))
FAULTS = (HERE / "slide.js").read_text("utf-8")
NOTES_DECK = "02_unrolling.html"
SHOW_FRAGMENTS = ".fragment { opacity: 1 !important; visibility: visible !important }"


@pytest.fixture(scope="session")
def decks(tmp_path_factory):
    output = tmp_path_factory.mktemp("decks")
    slides.export(NOTEBOOKS, output)
    return output


@pytest.fixture
def open_deck(browser, decks):
    """open_deck(address) → page from file://; `.said` lists complaints and outside requests."""
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


def test_a_slider_moves_the_picture_without_a_kernel(open_deck):
    page = open_deck("03_exploding_gradients.html")
    page.evaluate(
        "Reveal.slide(...Object.values(Reveal.getIndices("
        "document.querySelector('.frames').closest('section'))))"
    )
    slider = page.locator(".slides section.present .frames input")
    shown = page.locator(".slides section.present .frames img:not([hidden])")
    before, place = shown.get_attribute("src"), page.evaluate("JSON.stringify(Reveal.getIndices())")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert shown.count() == 1 and shown.get_attribute("src") != before
    assert shown.get_attribute("alt") == page.locator("section.present .frames span").inner_text()
    assert place == page.evaluate("JSON.stringify(Reveal.getIndices())")


def test_the_speaker_sees_notes_the_next_slide_and_a_clock(open_deck):
    page = open_deck(NOTES_DECK)
    place = page.evaluate(
        "Reveal.getIndices(document.querySelector('aside.notes').closest('section'))"
    )
    page.evaluate("({h, v}) => Reveal.slide(h, v)", place)
    notes = page.evaluate("Reveal.getSlideNotes()")
    with page.expect_popup() as popup:
        page.keyboard.press("s")
    speaker = popup.value
    speaker.wait_for_function("document.querySelector('.speaker-controls-notes .value')?.innerHTML")
    assert notes == speaker.locator(".speaker-controls-notes .value").inner_html()
    slides = [frame for frame in speaker.frames if NOTES_DECK in frame.url]
    assert len(slides) == 2  # this slide and the next one
    for frame in slides:
        frame.wait_for_function("window.Reveal?.isReady()")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    here = page.evaluate("JSON.stringify(Reveal.getIndices())")
    assert here == slides[0].evaluate("JSON.stringify(Reveal.getIndices())")
    assert not page.said


def test_escape_shows_the_overview_and_slides_are_numbered(open_deck):
    page = open_deck(NOTES_DECK)
    page.keyboard.press("Escape")
    page.wait_for_function("Reveal.isOverview()")
    page.keyboard.press("Escape")
    page.keyboard.press("Space")
    total = page.evaluate("Reveal.getTotalSlides()")
    assert page.locator(".slide-number").inner_text().split() == ["2", "/", str(total)]


def test_the_print_view_has_a_page_for_every_slide(open_deck):
    page = open_deck(f"{NOTES_DECK}?print-pdf")
    page.wait_for_selector("html.reveal-print .pdf-page")
    pages = page.locator(".pdf-page")
    assert pages.count() == page.evaluate("Reveal.getTotalSlides()")
    sizes = pages.evaluate_all("(all) => all.map((p) => [p.offsetWidth, p.offsetHeight])")
    assert {tuple(size) for size in sizes} == {(1280, 719)}  # reveal.js takes a pixel off
    pictures = page.locator(".pdf-page img:not([hidden])").evaluate_all(
        "(all) => all.map((i) => i.getBoundingClientRect().height)"
    )
    assert pictures and min(pictures) > 200
    pdf = page.pdf(prefer_css_page_size=True)
    assert pdf.count(b"/Type /Page\n") == pages.count()


def test_the_index_leads_to_every_deck_and_decks_to_one_another(open_deck, decks):
    page = open_deck("index.html")
    links = page.locator("a").evaluate_all("(all) => all.map((a) => a.href)")
    assert {Path(link.split("?")[0]).name for link in links} == {
        f"{n.stem}.html" for n in NOTEBOOKS
    }
    page.locator("td a").first.click()
    page.wait_for_function("window.Reveal?.isReady()")
    for deck in NOTEBOOKS:
        page = open_deck(f"{deck.stem}.html")
        for link in page.locator("a[href]").evaluate_all("(all) => all.map((a) => a.href)"):
            target, _, place = link.partition("#")
            if target.startswith("file:") and not place.startswith("/") and place != "toc":
                text = (decks / Path(target).name).read_text("utf-8")
                assert not place or f'id="{place}"' in text, (deck.stem, link)


def test_a_link_to_a_section_opens_its_slide(open_deck):
    page = open_deck(NOTES_DECK)
    anchor = page.evaluate("[...document.querySelectorAll('.slides a[id]')].at(-1).id")
    page.goto(f"{page.url.split('#')[0]}#{anchor}")
    page.reload()
    page.wait_for_function("window.Reveal?.isReady()")
    assert page.evaluate("(id) => !!Reveal.getCurrentSlide().querySelector(`[id=${id}]`)", anchor)
