"""Exercises in a real JupyterLab: solved by typing; own copies made by a click."""

import shutil
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def cell_of(page, text):
    return page.locator(".jp-CodeCell", has_text=text)


def run(page, cell, expected):
    """Run the cell where the cursor stands; its output has to say what is expected."""
    page.keyboard.press("Control+Enter")
    cell.locator(".jp-OutputArea-output", has_text=expected).wait_for(timeout=60_000)


def test_an_exercise_solved_by_typing_goes_from_empty_to_wrong_to_right(open_notebook):
    source = nbformat.read(NOTEBOOKS / "02_unrolling.ipynb", as_version=4)
    cells = [c for c in source.cells if c.cell_type == "code"]
    exercise = next(c.source for c in cells if 'check("02.1"' in c.source)
    page = open_notebook([cells[0].source, exercise], "typing")
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    cell = cell_of(page, "def my_ds(")
    cell.locator(".jp-OutputArea-output", has_text="○ 02.1").wait_for(timeout=60_000)

    cell.locator(".cm-line", has_text="return ...").click()
    page.keyboard.press("End")
    for _ in "...":
        page.keyboard.press("Backspace")
    page.keyboard.type("V.T @ do_t")
    run(page, cell, "✗ 02.1")
    assert "Забыто будущее" in cell.locator(".jp-OutputArea-output").inner_text()
    page.keyboard.press("Enter")  # back into the cell, the cursor where it was
    page.keyboard.press("End")
    page.keyboard.type(" + W.T @ da_next")
    run(page, cell, "✓ 02.1")


def test_an_endless_loop_of_a_student_ends_in_a_live_kernel(open_notebook):
    loop = "def my_ds(*args):\n    while True:\n        pass"
    code = f'from lecture_utils.exercises import check\n{loop}\n\n\ncheck("02.1", my_ds)'
    page = open_notebook([code, "print('жив')"], "endless")
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".jp-OutputArea-output", has_text="цикл не кончается").wait_for(timeout=60_000)
    page.locator(".jp-OutputArea-output", has_text="жив").wait_for(timeout=60_000)


def test_a_click_makes_own_copies(open_notebook, lab, tmp_path):
    for path in NOTEBOOKS.glob("[0-9]*.ipynb"):
        shutil.copy(path, tmp_path)
    code = f"""from functools import partial
from pathlib import Path
from lecture_utils.exercises import start
from lecture_utils.figures import widgets
widgets.OwnNotebooks(partial(start, Path({str(tmp_path)!r})))"""
    page = open_notebook([code], "copies")
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    page.get_by_role("button", name="Сделать мои тетради").click(timeout=60_000)
    page.get_by_role("status").wait_for(timeout=30_000)
    made = sorted(path.name for path in tmp_path.glob("my_*.ipynb"))
    theory_and_labs = len([*NOTEBOOKS.glob("[0-9]*.ipynb")]) - 1  # 00 has no exercises
    assert len(made) == theory_and_labs
    assert page.get_by_role("status").inner_text().split("\n")[1:] == made
