"""checks: what a student is told about the installation and about each exercise."""

import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
import torch

from lecture_utils.exercises import checks

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
CALL = re.compile(r"^checks\.(\w+)\((\w+)\)", re.MULTILINE)


def exercises():
    """(check, code of the printed solution, name of its function) of every notebook."""
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        for cell, after in pairwise(cells):
            if cell.cell_type == "code" and (call := CALL.search(cell.source)):
                solution = re.search(r"```python\n(.+?)```", after.source, re.DOTALL)
                yield pytest.param(*call.groups(), solution and solution[1], id=call[1])


@pytest.mark.parametrize(("check", "name", "solution"), [*exercises()])
def test_the_solution_printed_in_the_notebook_is_found_right(check, name, solution, capsys):
    namespace = {"torch": torch}
    exec(solution, namespace)
    getattr(checks, check)(namespace[name])
    assert capsys.readouterr().out == "Верно!\n"


@pytest.mark.parametrize(("check", "name", "solution"), [*exercises()])
def test_an_empty_exercise_is_told_what_to_do(check, name, solution, capsys):
    getattr(checks, check)(lambda *arguments: ...)
    assert "впишите решение" in capsys.readouterr().out


WRONG = {
    "temperature": lambda log_probs, T: torch.softmax(log_probs, dim=-1),
    "masked_mean": lambda nats, mask: nats.mean(),
    "top_k": lambda probs, k: probs.topk(k).values,
    "streams": lambda ids, batch_size: ids[: len(ids) // batch_size * batch_size],
}


@pytest.mark.parametrize("check", WRONG)
def test_a_wrong_answer_is_shown_beside_the_right_one(check, capsys):
    getattr(checks, check)(WRONG[check])
    told = capsys.readouterr().out
    assert re.search(r"Не сошлось.*Нужно|Размер ответа .*, а нужен", told, re.DOTALL)


def test_an_answer_may_not_change_what_it_is_checked_against(capsys):
    def cheat(probs, k):
        probs[:] = 0
        probs[0] = 1
        return probs

    checks.top_k(cheat)
    assert "Не сошлось" in capsys.readouterr().out


def test_an_answer_that_is_no_tensor_is_named(capsys):
    checks.streams(lambda ids, batch_size: [ids[:5], ids[5:10]])
    assert capsys.readouterr().out == "Верните тензор, а не list.\n"


def test_every_check_is_used_by_an_exercise():
    assert {case.values[0] for case in exercises()} - {"installation"} == set(WRONG)


def test_this_very_installation_is_complete(capsys):
    checks.installation()
    assert capsys.readouterr().out.startswith("Всё на месте")


def test_a_package_that_is_absent_or_old_is_named_with_the_cure(tmp_path, capsys):
    asked = tmp_path / "requirements.txt"
    asked.write_text("torch==1.0.0  # old\nno-such-package==2.0\n-e .\n", encoding="utf-8")
    checks.installation(asked)
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("torch: нужна версия 1.0.0, а установлена 2.")
    assert told[1] == "no-such-package: нужна версия 2.0, а установлена никакая"
    assert "pip install -r requirements.txt" in told[2]
