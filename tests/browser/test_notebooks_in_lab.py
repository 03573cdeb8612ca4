"""The widgets of every notebook in a real JupyterLab: every control moves a picture."""

import ast
import re
import symtable
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9]*.ipynb"))
# Nothing is awaited here: Playwright waits for a promise without any limit of time.
RUN_ALL = """() => {
    const end = (how) => { window.finished = String(how) };
    jupyterapp.commands.execute("notebook:run-all-cells").then(end, end);
}"""
CONNECTION = """() => {
    const { status, connectionStatus } =
        jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    return `kernel ${status}, ${connectionStatus}`;
}"""
LIVE = ".widget-vbox:has(> .widget-hbox):has(> .widget-html img)"


def run_all(page):
    from playwright.sync_api import TimeoutError

    page.evaluate(RUN_ALL)
    try:
        page.wait_for_function("window.finished", timeout=480_000)
    except TimeoutError:
        prompts = page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()
        raise AssertionError(f"still running: {prompts}, {page.evaluate(CONNECTION)}") from None
    errors = page.locator(".jp-OutputArea-output[data-mime-type*='error']").all_inner_texts()
    assert (errors, page.evaluate("window.finished")) == ([], "true")


class Widget:
    """One live widget of a page."""

    def __init__(self, box):
        self.box, self.image = box, box.locator("img")

    def must_change(self, what: str, action):
        """Do something to a control; the picture has to become another one."""
        before = self.image.get_attribute("src")  # all its bytes
        action()
        for _ in range(200):
            if self.image.get_attribute("src") != before:
                return
            self.box.page.wait_for_timeout(50)
        raise AssertionError(f"the picture stands still: {what}")

    def controls(self):
        """Name → actions, each of which has to change the picture; the last leads back."""
        for slider in self.box.locator(".widget-slider").all():
            handle = slider.locator(".noUi-handle")
            at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
            keys = ["ArrowLeft", "ArrowRight"] if at_end else ["ArrowRight", "ArrowLeft"]
            yield slider, [lambda key=key, handle=handle: handle.press(key) for key in keys]
        for box in self.box.locator("input[type=checkbox]").all():
            yield box, [box.click, box.click]
        for select in self.box.locator("select").all():
            others = range(1, select.locator("option").count())
            yield select, [lambda k=k, s=select: s.select_option(index=k) for k in [*others, 0]]
        for text in self.box.locator("input[type=text]").all():
            phrases = ["Кот спал.", text.input_value()]

            def write(phrase, text=text):
                text.fill(phrase)
                text.press("Enter")

            yield text, [lambda phrase=phrase: write(phrase) for phrase in phrases]


def play(box):
    """Answer every name of a quiz in turn by mouse and by keyboard, up to the score."""
    from playwright.sync_api import expect

    count = int(re.search(r"1 из (\d+):", box.inner_text())[1])
    for place in range(1, count + 1):
        expect(box).to_contain_text(f"{place} из {count}:")
        button = box.get_by_role("button").nth(place % 2)
        button.click() if place % 3 else button.press("Enter")
        expect(box.get_by_role("status")).to_contain_text(f"из {place}.")
    expect(box).to_contain_text(re.compile(r"Вы угадали \d+ %"))
    assert all(button.is_disabled() for button in box.get_by_role("button").all())


def invent(box):
    """Type a beginning, move the slider, press «ещё»: each time there are other inventions."""
    from playwright.sync_api import expect

    first = box.locator("td:first-child")  # inventions, under their heading
    start, more = box.locator("input[type=text]"), box.get_by_role("button", name="ещё")
    seen = [first.all_inner_texts()]

    def expect_others():
        expect(first).not_to_have_text(seen[-1])
        seen.append(first.all_inner_texts())
        assert len(seen[-1]) == 21

    start.fill("Нов")
    start.press("Enter")
    expect_others()
    assert all(name.startswith("Нов") for name in seen[-1][1:])
    box.locator(".noUi-handle").press("ArrowRight")
    expect_others()
    more.click()
    expect_others()
    start.fill("Новый Q")  # what the network cannot read is told, the table stays
    start.press("Enter")
    expect(box.get_by_role("status")).to_contain_text("«Q»; пишите её буквами")
    assert first.all_inner_texts() == seen[-1]


def write(box):
    """Let a writer write some words and stop it: they are coloured."""
    from playwright.sync_api import expect

    start = box.locator("input[type=text]").input_value()
    box.get_by_role("button", name="дальше").click()
    expect(box).to_contain_text(re.compile(rf"{re.escape(start)}\s*(\S+ ){{3}}"), timeout=30_000)
    box.get_by_role("button", name="стоп").click()
    expect(box.locator("img[alt*=неожиданность]")).to_be_visible(timeout=30_000)


def what_widgets_need(notebook):
    """The notebook without the code that its widgets do not rest on: nbval runs all of it."""
    wanted, kept = set(), []
    for cell in reversed(notebook.cells):
        if cell.cell_type == "code":
            mentions, makes = names(cell.source)
            if not (makes & wanted or re.search(r"\bwidgets\.|\bcheck\(", cell.source)):
                continue
            wanted |= mentions
        kept.append(cell)
    notebook.cells = kept[::-1]
    return notebook


def names(source) -> tuple[set[str], set[str]]:
    """The names that a cell mentions, and those that it gives a value, whole or in part."""
    nodes, table = list(ast.walk(ast.parse(source))), symtable.symtable(source, "cell", "exec")
    mentions = {node.id for node in nodes if isinstance(node, ast.Name)}
    makes = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    for node in nodes:
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            makes |= {part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)}
    return mentions, makes


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs_and_every_control_of_its_widgets_moves_the_picture(open_notebook, path):
    notebook = what_widgets_need(nbformat.read(path, as_version=4))
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    live = [
        source
        for source in sources
        if re.search(r"^widgets\.live_\w+\(.*\)\Z", source, re.MULTILINE)
    ]
    page = open_notebook(notebook, path.stem)
    run_all(page)
    page.wait_for_function(f"document.querySelectorAll('{LIVE}').length == {len(live)}")
    for box in page.locator(LIVE).all():
        widget = Widget(box)
        controls = list(widget.controls())
        assert len(controls) == box.locator("> .widget-hbox > *").count()  # all kinds are known
        for control, actions in controls:
            for action in actions:
                widget.must_change(f"{path.stem}: {control}", action)
    quizzes = page.locator(".name-quiz").all()
    assert len(quizzes) == sum("widgets.NameQuiz(" in source for source in sources)
    for quiz in quizzes:
        play(quiz)
    inventors = page.locator(".inventor").all()
    assert len(inventors) == sum("widgets.Inventor(" in source for source in sources)
    for box in inventors:
        invent(box)
    writers = page.locator(".live-writer").all()
    assert len(writers) == sum("widgets.LiveWriter(" in source for source in sources)
    for writer in writers:
        write(writer)
