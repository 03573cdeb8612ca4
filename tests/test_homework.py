"""homework: copies for students, and a grader that nothing handed in can stop or fool."""

import csv
import os
import zipfile
from pathlib import Path

import nbformat
import pytest
from answers import exercises_in

from lecture_utils.exercises import homework
from lecture_utils.exercises.__main__ import main
from lecture_utils.exercises.engine import MODULES, exercises

FOLDER = Path(__file__).parent.parent / "notebooks"


def notebook(*sources, name="", group=""):
    who = f"name = {name!r}\ngroup = {group!r}"
    cells = [nbformat.v4.new_code_cell(source) for source in (who, *sources)]
    return nbformat.v4.new_notebook(cells=cells)


def folded(number):
    """The published solution of an exercise."""
    return exercises_in(next(FOLDER.glob(f"{number[:2]}_*.ipynb")))[number][2]


IMPORTS = "import numpy as np\nimport torch\nfrom torch import nn"
SOLVED = ("02.1", "02.2", "02.3")


@pytest.fixture
def group(tmp_path):
    """group(work=notebook, …) → rows of the table, by file."""
    (tmp_path / "works").mkdir()
    table = tmp_path / "points.csv"
    table.write_text(
        "упражнение;функция;баллы\n02.1;my_ds;1\n02.2;my_dW;2,5\n02.3;my_gradient;4\n02.6;x;0\n",
        "utf-8",
    )

    def run(seed="1", **works):
        for name, work in works.items():
            if isinstance(work, str):
                (tmp_path / "works" / f"{name}.ipynb").write_text(work, "utf-8")
            else:
                nbformat.write(work, tmp_path / "works" / f"{name}.ipynb")
        return graded(tmp_path, table, seed)

    run.folder = tmp_path / "works"
    run.table = table
    return run


def graded(tmp_path, table, seed="1"):
    output = tmp_path / "grades.csv"
    arguments = ["grade", str(tmp_path / "works"), "--points", str(table), "--seed", seed]
    assert main([*arguments, "--output", str(output), "--memory", "1"]) == 0
    with open(output, encoding="utf-8-sig", newline="") as file:
        return {
            row["файл"].removesuffix(".ipynb"): row for row in csv.DictReader(file, delimiter=";")
        }


# A student's copies


@pytest.fixture
def copies(tmp_path):
    for path in homework.course():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_own_copies_are_made_once_and_never_written_over(copies):
    assert homework.start(copies).startswith("Готово")
    made = sorted(path.name for path in copies.glob("my_*.ipynb"))
    assert made == [f"my_{path.name}" for path in homework.course()]
    (copies / made[0]).write_text("solved", "utf-8")
    assert homework.start(copies).startswith("Уже были и не тронуты")
    assert (copies / made[0]).read_text("utf-8") == "solved"


def test_own_copies_are_notebooks_that_lead_to_each_other(copies):
    homework.start(copies)
    first = nbformat.read(copies / "my_02_unrolling.ipynb", as_version=4)
    nbformat.validate(first)
    text = "\n".join(cell.source for cell in first.cells)
    assert "](my_03_exploding_gradients.ipynb" in text and "](00_contents.ipynb" in text
    assert "](03_exploding_gradients.ipynb" not in text


def test_tests_slides_and_git_do_not_see_own_copies():
    root = FOLDER.parent
    assert "notebooks/my_*" in (root / ".gitignore").read_text("utf-8").split()
    assert "--ignore-glob=*/my_*" in (root / "pyproject.toml").read_text("utf-8")


# To hand out


def test_homework_has_no_solutions_but_fields_for_name_and_group(tmp_path, capsys):
    assert main(["make", str(tmp_path / "out")]) == 0
    made = sorted((tmp_path / "out").glob("[0-9]*.ipynb"))
    assert [path.name for path in made] == [path.name for path in homework.course()]
    for path in made:
        nbformat.validate(read := nbformat.read(path, as_version=4))
        text = "\n".join(cell.source for cell in read.cells)
        assert "<summary>Решение</summary>" not in text
        first = next(iter(exercises(path.name[:2])), None)
        assert first is None or f'check("{first}"' in text
        assert '\ngroup = ""' in text
    rows = (tmp_path / "out" / "points.csv").read_text("utf-8-sig").splitlines()
    assert len(rows) == 1 + sum(len(exercises(name)) for name in MODULES)


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "points.csv").write_text("of last year", "utf-8")
    assert main(["make", str(tmp_path)]) == 2
    assert "уже есть points.csv" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["points.csv"]


# Grading: honest works


def test_right_wrong_and_missing_answers_get_their_points_and_reasons(group, capsys):
    right = notebook(IMPORTS, *map(folded, SOLVED), name="Анна  Орлова", group="ПИ-1")
    half = notebook(IMPORTS, folded("02.1"), "def my_dW(da, s):\n    return da[1:].T @ s[1:]")
    rows = group(right=right, half=half)
    assert [rows["right"][key] for key in ("имя", "группа", "02.1", "02.2", "02.3", "сумма")] == [
        "Анна Орлова", "ПИ-1", "1", "2,5", "4", "7,5",
    ]  # fmt: skip
    assert rows["right"]["за что снято"] == ""
    assert rows["half"]["сумма"] == "1"
    assert (
        "02.2: все шаги" in rows["half"]["за что снято"]
        or "s_{t−1}" in rows["half"]["за что снято"]
    )
    assert "02.3: my_gradient нет" in rows["half"]["за что снято"]
    assert "02.6" not in rows["right"]  # no points in the table


def test_the_same_seed_gives_the_same_table(group):
    wrong = notebook(IMPORTS, "def my_ds(V, W, do_t, da_next):\n    return V.T @ do_t * 1.01")
    assert group(wrong=wrong) == group(wrong=wrong)


def test_answers_are_found_wherever_students_put_them(group):
    scattered = notebook(
        "%matplotlib inline\nimport numpy as np\n!pip list",
        "def my_ds(V, W, do_t, da_next):\n    return 0",  # the last definition wins
        "%%time\ndef my_ds(V, W, do_t, da_next):\n"
        "    return helper(V, do_t) + FACTOR * helper(W, da_next)",
        "FACTOR = 1.0\ncheck('02.1', my_ds)",
        "def helper(M, error):\n    return M.T @ error",
        "this is not Python",
        "while True:\n    pass",
        "%%bash\nrm -rf nothing",
    )
    assert group(scattered=scattered)["scattered"]["02.1"] == "1"


def test_an_answer_that_trains_a_network_is_graded_in_time(group):
    group.table.write_text("a;b;c\n06.5;my_training_step;3\n", "utf-8")
    assert group(trained=notebook(IMPORTS, folded("06.5")))["trained"]["06.5"] == "3"


def test_archives_and_folders_are_works_too(group):
    content = nbformat.writes(notebook(IMPORTS, folded("02.1"), name="Пётр"))
    with zipfile.ZipFile(group.folder / "one.zip", "w") as archive:
        archive.writestr("работа/02.ipynb", content)
        archive.writestr("../../evil.ipynb", content)
        archive.writestr("__MACOSX/02.ipynb", "rubbish")
    (group.folder / "two" / "inner").mkdir(parents=True)
    (group.folder / "two" / "inner" / "a.ipynb").write_text(content, "utf-8")
    (group.folder / "broken.zip").write_bytes(b"PK\x03\x04rubbish")
    (group.folder / "notes.txt").write_text("not a work", "utf-8")
    rows = group()
    assert rows["one.zip"]["02.1"] == rows["two"]["02.1"] == "1"
    assert "архив не открыть" in rows["broken.zip"]["за что снято"]
    assert len(rows) == 3 and not (group.folder.parent.parent / "evil.ipynb").exists()


def test_the_same_long_answer_of_two_students_is_listed(group):
    renamed = folded("02.3").replace("shift", "moved").replace("gradient[", "gradient  [")
    rows = group(first=notebook(IMPORTS, folded("02.3")), second=notebook(IMPORTS, renamed))
    assert rows["first"]["одинаковые ответы"] == "02.3: second.ipynb"
    assert rows["second"]["одинаковые ответы"] == "02.3: first.ipynb"


# Grading: works that want to break it


DS = "def my_ds(V, W, do_t, da_next):\n    "
TRICKS = {
    "exits": f"import os\n{DS}os._exit(0)",
    "endless": f"{DS}while True:\n        pass",
    "greedy": f"{DS}x = []\n    while True:\n        x.append(bytearray(10**7))",
    "library": f"from lecture_utils import cells\n{DS}return cells.bptt(V)",
    "hidden": f"{DS}from lecture_utils.exercises import unrolling\n"
    "    return unrolling.STATE.reference(V, W, do_t, da_next)",
    "by_name": f"import importlib\n{DS}"
    "module = importlib.import_module('lecture_' + 'utils.exercises.unrolling')\n"
    "    return module.STATE.reference(V, W, do_t, da_next)",
    "overwrites": f"import torch, numpy as np, builtins\n{DS}"
    "torch.allclose = np.allclose = lambda *a, **k: True\n"
    "    builtins.print = lambda *a: None\n    return 0 * W[0]",
    "forges": f"from IPython.display import display\n{DS}"
    "display({'application/json': [{'answer': 'ok', 'changed': []}] * 3}, raw=True)\n"
    "    print('✓ 02.1')\n    return True",
    "stores": f"{DS}return [0.1, 0.2, 0.3, 0.4]",
    "empty": f"{DS}return ...",
    "equal": f"class Any:\n    __eq__ = lambda self, other: True\n{DS}return Any()",
    "shuts": f"import sys\n{DS}sys.stdout = sys.stderr = None\n    sys.exit(0)",
}


@pytest.mark.parametrize("trick", ["exits", "greedy", "forges", "shuts"])  # all: the slow test
def test_a_trick_gets_nothing_and_costs_only_its_own_exercise(group, trick):
    rows = group(trick=notebook(IMPORTS, TRICKS[trick], folded("02.2"), folded("02.3")))
    assert rows["trick"]["02.1"] == "0" and rows["trick"]["за что снято"].startswith("02.1: ")
    assert rows["trick"]["02.2"] == "2,5" and rows["trick"]["02.3"] == "4"


def test_what_is_no_notebook_is_told_and_stops_nothing(group):
    broken = ["", "{", "[]", '{"cells": 5}', "null", '{"nbformat": 99}']
    rows = group(**{f"b{k}": text for k, text in enumerate(broken)}, z=notebook(folded("02.1")))
    assert all("не тетрадь" in rows[f"b{k}"]["за что снято"] for k in range(len(broken)))
    assert rows["z"]["02.1"] == "1"


def test_a_kernel_that_dies_while_definitions_are_made_loses_that_work_only(group):
    deadly = notebook("import os\nX = os._exit(0)\ndef my_ds(V, W, do_t, da_next):\n    return X")
    rows = group(deadly=deadly, fine=notebook(IMPORTS, folded("02.1")))
    assert rows["deadly"]["сумма"] == "0" and rows["fine"]["02.1"] == "1"


def test_a_name_that_a_spreadsheet_would_compute_is_made_harmless(group):
    row = group(formula=notebook(folded("02.1"), name="=HYPERLINK(1)"))["formula"]
    assert row["имя"] == "'=HYPERLINK(1)"


# Errors of the lecturer


@pytest.mark.parametrize(
    ("table", "told"),
    [("a;b;c\n99.9;x;1\n", "Упражнения 99.9 нет"), ("a;b;c\n02.1;x;много\n", "строка 2")],
)
def test_a_wrong_table_of_points_is_refused_before_any_work(group, capsys, table, told):
    group.table.write_text(table, "utf-8")
    assert main(["grade", str(group.folder), "--points", str(group.table)]) == 2
    assert told in capsys.readouterr().err


def test_an_empty_folder_and_none_at_all_are_told(tmp_path, capsys):
    for folder, told in [(tmp_path, "нет ни тетрадей"), (tmp_path / "no", "нет.")]:
        assert main(["grade", str(folder)]) == 2
        assert told in capsys.readouterr().err


@pytest.mark.slow
def test_a_group_of_all_kinds_is_graded_twice_alike_and_nothing_is_lost(group):
    answers = [folded(number) for number in SOLVED]
    works = {}
    count = int(os.environ.get("HOMEWORK_WORKS", 32))  # a hundred take five minutes
    for k in range(count):
        kind = [*TRICKS, "right", "broken", "nothing", "half"][k % (len(TRICKS) + 4)]
        name = f"w{k:02}_{kind}"
        if kind == "right":
            works[name] = notebook(IMPORTS, *answers, name=f"Студент {k}")
        elif kind == "broken":
            works[name] = "{" * k
        elif kind == "nothing":
            works[name] = notebook()
        elif kind == "half":
            works[name] = notebook(IMPORTS, answers[0], "def my_dW(da, s):\n    return da.T @ s")
        else:
            works[name] = notebook(IMPORTS, TRICKS[kind], *answers[1:])
    rows = group(**works)
    assert len(rows) == count
    expected = {"right": "7,5", "broken": "0", "nothing": "0", "half": "1"}
    for name, row in rows.items():
        assert row["сумма"] == expected.get(name.partition("_")[2], "6,5"), (name, row)
    for path in sorted(group.folder.iterdir())[8:]:
        path.unlink()
    again = group()
    assert len(again) == 8
    for name, row in again.items():  # whose answers are the same depends on the group
        twins = "одинаковые ответы"
        assert {**row, twins: ""} == {**rows[name], twins: ""}
