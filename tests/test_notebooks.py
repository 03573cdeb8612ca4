"""notebooks: what a reader relies on before a cell is run, and that any cell may be run again."""

import copy
import re
import tomllib
from pathlib import Path
from statistics import median

import nbformat
import pytest
from answers import CHECK, exercises_in
from nbclient import NotebookClient

from lecture_utils.exercises.engine import MODULES

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.ipynb"))

# notebook → reason → first lines of the cells whose stored output nbval does not compare
NOT_COMPARED = tomllib.loads((Path(__file__).parent / "not_compared.toml").read_text("utf-8"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_the_lecture_and_its_author_are_named(notebook):
    prose = "\n".join(cell.source for cell in text_cells(notebook))
    assert "С. В. Макрушин" in prose and "Финансовый университет" in prose


# A notebook stripped of its outputs would pass nbval for nothing


def test_every_cell_was_run_in_order_from_a_fresh_kernel(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


def test_every_cell_that_shows_something_has_its_output_stored(notebook):
    shows = re.compile(r"^(print\(|plots\.show\(|Markdown\(|check\(|progress\()", re.MULTILINE)
    for cell in code_cells(notebook):
        if shows.search(cell.source):
            assert cell.outputs, cell.source


def test_no_errors_and_no_red_text_are_stored(notebook):
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert all(output.output_type != "error" for output in outputs)
    assert all(output.get("name") != "stderr" for output in outputs)


def test_every_stored_picture_has_an_alternative_text(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                assert re.search("[а-яё]{3}", output.metadata["image/png"]["alt"])


def test_cells_not_compared_are_listed_with_their_reason(path, notebook):
    tagged = [
        cell.source.split("\n")[0]
        for cell in code_cells(notebook)
        if {"nbval-ignore-output", "nbval-skip"} & set(cell.metadata.get("tags", []))
    ]
    listed = NOT_COMPARED.get(path.stem, {}).values()
    assert sorted(tagged) == sorted(line for lines in listed for line in lines)


def test_the_state_of_widgets_is_not_stored(notebook):
    assert "widgets" not in notebook.metadata


# Form


def test_code_cells_are_short(notebook):
    lengths = [len(cell.source.splitlines()) for cell in code_cells(notebook)]
    assert max(lengths) <= 20 and median(lengths) <= 8


def test_text_cells_are_short(notebook):
    for cell in text_cells(notebook):
        prose = re.sub(r"```.*?```|\$.*?\$|<[^>]+>|\]\([^)]*\)", " ", cell.source, flags=re.DOTALL)
        assert len(re.findall(r"\w+", prose)) <= 90, cell.source


def test_every_cell_knows_its_place_in_the_slides(notebook):
    kinds = {"slide", "subslide", "fragment", "skip", "notes", "-"}
    assert all(cell.metadata["slideshow"]["slide_type"] in kinds for cell in notebook.cells)


def test_a_lecturer_s_note_is_folded_and_whole_in_the_presenter_s_view(notebook):
    """Raw cells: «Run All» unfolds Markdown. Of a folded cell the view shows the first line."""
    notes = [c for c in notebook.cells if c.metadata.slideshow.slide_type == "notes"]
    assert notes
    for note in notes:
        assert note.cell_type == "raw" and note.metadata.jupyter.source_hidden, note.source
        assert note.source.startswith("Лектору. ") and "\n" not in note.source
        assert not re.search(r"\*\*|\$|`|\]\(", note.source), note.source  # shown as it is written
        assert len(note.source.split()) <= 90


PLUMBING = re.compile(r"# [А-ЯЁ]")  # what it does


def test_what_is_folded_says_in_its_first_line_what_it_does(notebook):
    for cell in code_cells(notebook):
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            assert PLUMBING.match(cell.source), cell.source


def test_letter_yo_is_written(notebook):
    forgotten = re.compile(
        r"\b(ее|еще|все же|всем(у?) счет|счет|учет|идет|дает|берет|ведет|найдем|пойдем|начнем|"
        r"возьмем|трех|четырех|объем|прием|подъем|обучен(?=ной)|вперед|твердо|черн|легк(?=ий))\b",
        re.IGNORECASE,
    )
    for cell in text_cells(notebook):
        assert not forgotten.search(cell.source), cell.source


def test_every_link_leads_somewhere(path, notebook):
    texts = "\n".join(cell.source for cell in text_cells(notebook))
    anchors = set(re.findall(r'<a id="([^"]+)">', texts))
    for target in re.findall(r"\]\(([^)\s]+)\)", texts):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif not target.startswith("http"):
            file, _, anchor = target.partition("#")
            assert (FOLDER / file).exists(), target
            if anchor:
                other = (FOLDER / file).read_text("utf-8")
                assert f'<a id=\\"{anchor}\\">' in other, target


def test_the_notebook_leads_to_the_contents_and_its_sections_back_to_the_list(path, notebook):
    texts = [cell.source for cell in text_cells(notebook)]
    if path.stem != "00_contents":
        assert "(00_contents.ipynb)" in texts[0]
    sections = re.findall(r'<a id="(.+?)"></a>\n## ', "\n".join(texts))
    listed = re.findall(r"\]\(#(.+?)\)", next(t for t in texts if 'id="toc"' in t))
    assert sections == listed


def test_the_contents_list_every_section_of_every_notebook():
    contents = (FOLDER / "00_contents.ipynb").read_text("utf-8")
    for path in NOTEBOOKS[1:]:
        cells = text_cells(nbformat.read(path, as_version=4))
        sections = re.findall(
            r'<a id="(.+?)"></a>\n## (?:\d+\. )?(.+)', "\n".join(c.source for c in cells)
        )
        for anchor, heading in sections:
            assert f"[{heading}]({path.name}#{anchor})" in contents


# Running


def comparable(outputs):
    """What must be the same when a cell is run again: everything but widgets and bars."""
    kept = []
    for output in copy.deepcopy(outputs):
        data = output.get("data", {})
        if "application/vnd.jupyter.widget-view+json" not in data:
            output.pop("execution_count", None)
            if kept and "text" in output and output.get("name") == kept[-1].get("name"):
                kept[-1]["text"] += output["text"]  # what is printed may come in pieces
            else:
                kept.append(output)
    return kept


def solved(source, solutions):
    """The cell of an exercise with a right answer in place of its skeleton, or None.

    That of the fold; of homework, which has none, the one that the tests know.
    """
    if not (call := CHECK.search(source)):
        return None
    number, name = call.groups()
    answer = solutions[number] or (
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"from answers.{MODULES[number[:2]]} import RIGHT\n"
        f'{name} = RIGHT["{number}"][0]\n'
    )
    return f"{answer}\n{call[0]}"


@pytest.mark.slow
def test_every_cell_can_be_run_twice_with_the_same_result_exercises_empty_and_solved(
    path, notebook, monkeypatch
):
    solutions = {number: parts[2] for number, parts in exercises_in(path).items()}
    monkeypatch.setenv("LECTURE_STEPS", "100")
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(FOLDER)}})
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type == "code":
                first = comparable(client.execute_cell(cell, index).outputs)
                if answer := solved(cell.source, solutions):
                    assert first[0]["text"].startswith("○ ")
                    cell = nbformat.v4.new_code_cell(answer)
                    notebook.cells[index] = cell
                    told = comparable(client.execute_cell(cell, index).outputs)
                    assert told[0]["text"].startswith("✓ "), told
                    continue  # what follows runs with the solution
                again = comparable(client.execute_cell(cell, index).outputs)
                assert first == again, cell.source
