"""exercises: right answers are found right, wrong ones are told what is wrong, nothing crashes."""

import importlib
import json
import linecache
import re
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import pytest
import torch
from answers import exercises_in
from answers.blind import BLIND

from lecture_utils.exercises import check, engine, progress, student
from lecture_utils.exercises.engine import MODULES, Case, Draw, Exercise, judge

FOLDER = Path(__file__).parent.parent / "notebooks"
ALL = engine.every()
ANSWERS = {name: importlib.import_module(f"answers.{module}") for name, module in MODULES.items()}
RIGHT, WRONG = (
    {
        number: found
        for module in ANSWERS.values()
        for number, found in getattr(module, kind).items()
    }
    for kind in ("RIGHT", "WRONG")
)


def written(source):
    """The last function or class of a text, with its source where Python looks for it."""
    name = f"<exercise {hash(source)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    space = {"np": np, "torch": torch, "nn": torch.nn}
    exec(compile(source, name, "exec"), space)
    return space[re.findall(r"^(?:def|class) (\w+)", source, re.MULTILINE)[-1]]


CELLS = {
    number: parts
    for path in sorted(FOLDER.glob("[0-9]*.ipynb"))
    for number, parts in exercises_in(path).items()
}
FOLDED = {number: solution for number, (_, _, solution) in CELLS.items() if solution}


def right_answers(number):
    folded = [written(FOLDED[number])] if number in FOLDED else []
    return [*folded, *RIGHT[number]]


each = pytest.mark.parametrize("number", ALL)
each_right = pytest.mark.parametrize(
    ("number", "which"), [(number, k) for number in ALL for k in range(len(right_answers(number)))]
)
each_wrong = pytest.mark.parametrize(
    ("number", "which"), [(number, k) for number in ALL for k in range(len(WRONG[number]))]
)


# In the notebooks


def test_every_exercise_stands_in_its_notebook_in_order():
    assert list(CELLS) == list(ALL)


@each
def test_the_statement_tells_title_minutes_and_difficulty(number):
    statement, _, _ = CELLS[number]
    assert re.search(rf"\*\*Упражнение {number}\. .+\*\* · \d+ минут\w* · ●+○*", statement)


@each
def test_the_skeleton_of_the_notebook_is_the_one_that_counts_as_not_begun(number):
    assert judge(ALL[number], written(CELLS[number][1].split("\n\n\ncheck(")[0]), 0).state == "○"


@pytest.mark.parametrize("notebook", MODULES)
def test_a_notebook_has_enough_to_write_and_homework_without_a_solution(notebook):
    numbers = [number for number in ALL if number.startswith(notebook)]
    longer = [n for n in numbers if n in FOLDED and len(FOLDED[n].strip().splitlines()) >= 6]
    assert len(numbers) >= 5 and len(longer) >= 2
    assert set(numbers) - FOLDED.keys()


@pytest.mark.parametrize("notebook", MODULES)
def test_the_notebook_tells_how_long_its_exercises_take(notebook):
    minutes = [re.search(r"\*\* · (\d+) минут", CELLS[n][0])[1] for n in CELLS if n[:2] == notebook]
    text = next(FOLDER.glob(f"{notebook}_*.ipynb")).read_text("utf-8")
    assert f"упражнения — ещё {sum(map(int, minutes))} минут" in text


def test_there_are_more_exercises_than_anyone_has():
    assert len(ALL) >= 38


# Right answers


@each
def test_two_ways_to_write_the_right_answer_are_known(number):
    assert len(right_answers(number)) >= 2


@each_right
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_right_answer_is_found_right(number, which, dtype):
    found = judge(ALL[number], right_answers(number)[which], 0, dtype)
    assert found.state == "✓", found


@pytest.mark.slow
@each_right
def test_a_right_answer_is_found_right_fifty_times(number, which):
    answer = right_answers(number)[which]
    for seed in range(1000, 1050):
        found = judge(ALL[number], answer, seed, (torch.float32, torch.float64)[seed % 2])
        assert found.state == "✓", (seed, found)


def test_a_check_is_quick():
    times = {}
    for number, exercise in ALL.items():
        judge(exercise, answer := right_answers(number)[0], 0)  # what is loaded once
        start = perf_counter()
        judge(exercise, answer, 1)
        times[number] = perf_counter() - start
    print({number: round(t, 3) for number, t in times.items()})  # seen with `pytest -s`
    assert len(times) == len(ALL) and median(times.values()) < 1  # no timing: only that none hangs


# Wrong answers


@each
def test_five_wrong_answers_are_known(number):
    assert len(WRONG[number]) >= 5


@each_wrong
def test_a_wrong_answer_is_refused_with_a_hint_that_names_its_fault(number, which):
    answer, fault = WRONG[number][which]
    found = judge(ALL[number], answer, 0)
    assert found.state in "!✗" and fault in found.text, found


def test_wrong_answers_written_blind_are_all_refused_and_nine_in_ten_named():
    """Of people who had seen the statement only; a fragment is what names the fault."""
    found = [
        (judge(replace(ALL[number], seconds=0.5), answer, 5), fault, named)
        for number, answers in BLIND.items()
        for answer, fault, named in answers
    ]
    assert all(verdict.state in "!✗" for verdict, _, _ in found)
    missed = [(fault, verdict.text) for verdict, fault, named in found if named not in verdict.text]
    print(f"named: {1 - len(missed) / len(found):.0%} of {len(found)}", *missed, sep="\n")
    assert len(found) >= 60 and len(missed) <= len(found) / 10


@each
def test_every_known_mistake_is_told_by_its_own_hint(number):
    for mistake, hint in ALL[number].mistakes:
        found = judge(ALL[number], mistake, 3)
        assert found.state != "✓" and hint in found.text, (hint, found)


@each
def test_a_skeleton_half_filled_is_not_called_untouched(number):
    exercise = ALL[number]
    head, _, body = exercise.skeleton.strip().partition("\n")
    indent = re.match(" *", body)[0] or "    "
    found = judge(exercise, written(f"{head}\n{indent}started = 1\n{body}\n"), 0)
    assert found.state == "!" and "многоточие" in found.text


@each
def test_a_table_of_stored_answers_is_refused(number):
    exercise, right = ALL[number], right_answers(number)[0]
    stored = []

    def learn(*arguments):
        stored.append(right(*arguments))
        return stored[-1]

    def repeat(*arguments):
        stored.append(stored.pop(0))
        return stored[-1]

    if isinstance(right, type):
        pytest.skip("a class has no answer to be stored")
    assert judge(exercise, learn, 1).state == "✓"
    assert judge(exercise, repeat, 2).state != "✓"


@each
@pytest.mark.parametrize("answer", [None, "строка", ..., object()])
def test_what_is_no_answer_cannot_be_checked(number, answer):
    if isinstance(answer, str) and exercise_answers_by_text(number):
        pytest.skip("here a string is an answer, only a wrong one")
    found = judge(ALL[number], lambda *arguments: answer, 0)
    assert found.state in "!✗" and re.search("[а-яё]{3}", found.text)
    if answer is None and not issubclass(type(right_answers(number)[0]), type):
        assert found.state == "!" and "return" in found.text


def exercise_answers_by_text(number):
    return number in {"06.6"}


@each
def test_an_exception_is_told_in_russian_with_the_student_s_own_line(number):
    name = ALL[number].name
    keyword = ALL[number].skeleton.strip().split()[0]
    source = f"def {name}(*arguments):\n    x = 0\n    return undefined + x\n"
    if keyword == "class":
        source = f"class {name}(nn.Module):\n    def __init__(self, *sizes):\n        undefined\n"
    found = judge(ALL[number], written(source), 0)
    assert found.state == "!" and "имени «undefined» нет" in found.text
    assert "строка 3" in found.text


@each
def test_an_endless_loop_is_ended(number):
    def endless(*arguments):
        while True:
            pass

    found = judge(replace(ALL[number], seconds=0.05), endless, 0)
    assert found.state == "!" and "цикл не кончается" in found.text and "■" not in found.text


@each
def test_an_argument_changed_in_place_is_noticed(number):
    right = right_answers(number)[0]
    if isinstance(right, type):
        pytest.skip("a class has no arguments of its own")
    spoilt = []

    def spoil(*arguments):
        answer = right(*arguments)
        for value in arguments:
            if isinstance(value, torch.Tensor | np.ndarray) and value.size:
                with torch.no_grad():
                    value += 1
                spoilt.append(value)
            elif isinstance(value, list):
                value.append(value[-1])
                spoilt.append(value)
        return answer

    found = judge(ALL[number], spoil, 0)
    assert (
        found.state == "✓" if not spoilt else "меняет на месте" in found.text or found.state == "!"
    )


# The engine on an exercise of its own


DOUBLE = Exercise(
    skeleton="def my_double(x):\n    return ...\n",
    inputs=lambda draw, n=3: {"x": draw(n)},
    reference=lambda x: 2 * x,
    cases=[Case("всё нуль", "нуль вдвое — нуль", only="-"), Case("вектор", "умножьте на два")],
    mistakes=[(lambda x: x**2, "это квадрат")],
    forbidden=("torch.add",),
    seconds=0.2,
)


@pytest.fixture(autouse=True)
def nothing_solved(monkeypatch, tmp_path):
    monkeypatch.setenv("LECTURE_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.setattr(student, "_here", {})
    monkeypatch.setattr(student, "find", lambda number: DOUBLE)
    return tmp_path / "progress.json"


def test_right_and_wrong_and_empty_are_told_apart(capsys):
    for source, state in [
        ("return ...", "○"),
        ('"""Docstring."""\n    return ...', "○"),
        ("y = 2 * x\n    return ...", "!"),
        ("return (2 * x)[..., :]", "✓"),
        ("return x + x", "✓"),
        ("return 3 * x", "✗"),
    ]:
        answer = written(f"def my_double(x):\n    {source}\n")
        check("0", answer)
        assert capsys.readouterr().out.startswith(f"{state} 0 my_double — ")


def test_a_wrong_answer_is_told_how_far_off_it_is_and_how_to_repeat_it_not_what_is_right(capsys):
    check("0", lambda x: x * 2 + 0.5 * (x != 0), seed=7)
    told = capsys.readouterr().out
    assert "расхождение до 0,5" in told and "порядка 1" in told
    assert "check('0', my_double, seed=7)" in told
    right = 2 * Draw(7)(3)
    assert not any(f"{number:.3f}" in told for number in right.tolist())


def test_the_same_seed_gives_the_same_inputs_and_each_check_new_ones():
    seen = []
    for seed in (1, 1, None, None):
        check("0", lambda x: seen.append(x.tolist()) or 2 * x, seed)
    at = [tuple(x) for x in seen[1::2]]
    assert at[0] == at[1] and len(set(at)) == 3


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda x: x[:2], "размер ответа (2,), а нужен (3,)"),
        (lambda x: (2 * x).tolist(), "вернулось list, а нужно: тензор размера (3,)"),
        (lambda x: {1, 2}, "вернулось set, а нужно: тензор размера (3,)"),
        (lambda x: x / 0, "nan"),
        (lambda x: x**2, "это квадрат"),
        (lambda x: x.mul_(2), "меняет на месте свой аргумент x"),
        (lambda x: torch.zeros(3, 2) @ x, "матрицу 3×2 на вектор длины 3 не умножить"),
        (
            lambda x: torch.zeros(2, 3) @ torch.zeros(2, 3),
            "матрицы 2×3 и 2×3 не перемножить: 3 ≠ 2",
        ),
        (lambda x: x + torch.zeros(2), "размеры по оси 0 не сходятся: 3 и 2"),
        (lambda x: x[7], "номер вышел за край"),
        (lambda x: x.no_such_thing, "у Tensor нет «no_such_thing»"),
        (lambda x: {}["a"], "такого ключа"),
        (lambda x: 1 / 0, "деление на нуль"),
        (lambda x, y: x, "вызвано без аргумента 'y'"),
        (lambda: 0, "это больше, чем ждёт"),
        (lambda x: exit(), "функция завершила программу"),
        (lambda x: x.sum().backward(), "градиента тут нет"),
        (lambda x: None + x, "попалось None"),
    ],
)
def test_what_can_go_wrong_is_told(answer, told):
    found = judge(DOUBLE, answer, 0)
    assert found.state in "!✗" and told in found.text


def test_what_is_forbidden_is_not_run():
    answer = written(
        "def my_double(x):\n    from torch import add as plus\n    return plus(x, x)\n"
    )
    assert judge(DOUBLE, answer, 0).state == "!"
    assert "torch.add" in judge(DOUBLE, answer, 0).text


def test_a_result_instead_of_a_function_is_explained():
    assert "без скобок" in judge(DOUBLE, torch.zeros(3), 0).text


def swallow(is_over):
    while not is_over.is_set():
        try:
            while not is_over.is_set():
                pass
        except BaseException:
            pass


def test_a_loop_that_swallows_every_exception_is_ended_or_left_to_the_button():
    is_over = threading.Event()
    found = judge(DOUBLE, lambda x: swallow(is_over), 0)
    is_over.set()  # left running it would slow down every test after this one five times
    assert found.state == "!"


def test_no_answer_of_the_tests_above_runs_on():
    answers = [thread for thread in threading.enumerate() if "(work)" in thread.name]
    for thread in answers:
        thread.join(10)
    assert not any(thread.is_alive() for thread in answers)


def test_random_numbers_of_the_notebook_stay_as_they_were():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    judge(DOUBLE, lambda x: torch.manual_seed(1) and 2 * x, 0)
    assert torch.equal(torch.rand(2), expected)


def test_an_unknown_number_is_refused_with_those_that_are_there():
    with pytest.raises(ValueError, match=r"Упражнения 02\.99 нет.*02\.1"):
        engine.find("02.99")
    with pytest.raises(ValueError, match="Упражнения 42 нет"):
        engine.find("42")


# Progress


def test_progress_keeps_the_best_state_in_a_file(nothing_solved, capsys, monkeypatch):
    student.remember("02.1", "✗")
    student.remember("02.1", "✓")
    student.remember("02.1", "!")
    student.remember("02.2", "○")
    monkeypatch.setattr(student, "_here", {})  # another session
    progress("02")
    told = capsys.readouterr().out
    assert told.startswith("✓ 02.1  ○ 02.2") and "решено 1 из " in told


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"02.1": 5, "02.2": "x"}', "\x00"])
def test_a_damaged_file_does_no_harm(nothing_solved, content):
    nothing_solved.write_text(content, "utf-8")
    student.remember("02.3", "✓")
    assert json.loads(nothing_solved.read_text("utf-8")) == {"02.3": "✓"}


def test_a_file_that_cannot_be_written_is_told_and_forgotten(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("LECTURE_PROGRESS", str(tmp_path / "no" / "such" / "folder"))
    student.remember("02.1", "✓")
    assert "не записать" in capsys.readouterr().out
    assert student.states() == {"02.1": "✓"}


def test_all_notebooks_are_counted(capsys):
    progress()
    assert len(capsys.readouterr().out.splitlines()) == len(MODULES)


def test_nothing_of_a_developer_s_is_touched_by_tests_and_stored_outputs():
    settings = (FOLDER.parent / ".ci" / "execute.py").read_text("utf-8")
    assert 'os.environ["LECTURE_PROGRESS"] = ""' in settings
    ignored = (FOLDER.parent / ".gitignore").read_text("utf-8").split()
    assert {".progress.json", "notebooks/my_*"} <= set(ignored)


def test_the_name_of_a_function_belongs_to_one_exercise():
    assert max(Counter(exercise.name for exercise in ALL.values()).values()) == 1
