"""The live writer in a real JupyterLab: words come one after another, the buttons are heard."""

from itertools import pairwise

import pytest

TEXT = ".live-writer div[style*=pre-wrap]"
LONGER = f"(size) => document.querySelector('{TEXT}').innerText.length > size"
READY = "import ipywidgets\nipywidgets.Label('widgets are ready')"
IMPORTS = """
from lecture_utils import probes
from lecture_utils.distributed import use_threads
from lecture_utils.figures import widgets
from lecture_utils.novel import load_pretrained

use_threads()
"""
WORDS = IMPORTS + "widgets.LiveWriter(*load_pretrained(), 'Левин')"
LETTERS = IMPORTS + "widgets.LiveWriter(*probes.load_letters(), 'Старик ')"


class Writer:
    """One live writer of a page."""

    def __init__(self, box):
        self.box, self.text = box, box.page.locator(TEXT)
        self.told, self.picture = box.get_by_role("status"), box.locator("img")

    def press(self, name: str):
        self.box.get_by_role("button", name=name).click()

    def begin_with(self, start: str):
        self.box.locator("input[type=text]").fill(start)

    def grown(self, times: int) -> list[str]:
        """The text each time that it has become longer, so many times."""
        seen = [self.text.inner_text()]
        while len(seen) <= times:
            self.box.page.wait_for_function(LONGER, arg=len(seen[-1]))
            seen.append(self.text.inner_text())
        return seen

    def ends(self):
        """It has written what it had to, or was stopped."""
        from playwright.sync_api import expect

        expect(self.box.get_by_role("button", name="дальше")).to_be_enabled(timeout=60_000)
        expect(self.box.get_by_role("button", name="стоп")).to_be_disabled()


@pytest.fixture
def writer(open_notebook, request):
    """The writer that the last of two cells shows."""
    page = open_notebook([READY, request.param], request.node.originalname)
    page.set_default_timeout(60_000)
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    box = page.locator(".live-writer")
    box.wait_for()
    return Writer(box)


@pytest.mark.parametrize("writer", [WORDS], indirect=True, ids=["words"])
def test_words_come_one_after_another_until_stop_and_go_on_from_there(writer):
    from playwright.sync_api import expect

    writer.begin_with("Анна сказала, что")
    for _ in range(4):
        writer.box.locator(".noUi-handle").first.press("ArrowLeft")
    expect(writer.box).to_contain_text("0.80")
    writer.press("дальше")
    expect(writer.text).to_contain_text("Анна сказала, что ")
    seen = writer.grown(5)
    assert all(later.startswith(text) for text, later in pairwise(seen))
    writer.press("стоп")
    writer.ends()
    stopped = writer.text.inner_text()
    assert len(stopped.split()) < 60  # of a hundred
    alt = writer.picture.get_attribute("alt")
    assert "неожиданность, биты" in alt and "Анна сказала, что" in alt and "Больше всего" in alt
    assert writer.picture.evaluate("image => image.naturalWidth") > 500

    before = writer.picture.get_attribute("src")
    writer.press("дальше")
    assert writer.grown(3)[-1].startswith(stopped)
    writer.press("стоп")
    writer.ends()
    expect(writer.picture).not_to_have_attribute("src", before)

    writer.press("сначала")
    expect(writer.box.get_by_role("button", name="стоп")).to_be_enabled()
    writer.press("стоп")
    writer.ends()
    assert len(writer.text.inner_text()) < len(stopped) + 200
    assert not writer.text.inner_text().startswith(stopped)


@pytest.mark.parametrize("writer", [LETTERS], indirect=True, ids=["letters"])
def test_letters_come_too_and_a_beginning_that_cannot_be_read_is_told(writer):
    from playwright.sync_api import expect

    writer.begin_with("")
    writer.press("дальше")
    expect(writer.told).to_contain_text("Начало пусто")
    writer.begin_with("Hello")
    writer.press("дальше")
    expect(writer.told).to_contain_text("Сеть не знает таких символов: «H»")
    writer.begin_with("Старая колдунья")
    writer.press("дальше")
    assert writer.grown(5)[-1].startswith("Старая колдунья")
    expect(writer.told).to_be_empty()
    writer.ends()
    assert len(writer.text.inner_text()) == len("Старая колдунья") + 100
    assert "неожиданность, биты" in writer.picture.get_attribute("alt")
