"""checks: what a student is told about the installation and about each exercise."""

import platform
import re
import sys
import tomllib
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

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


HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def told(tmp_path, capsys):
    """told(requirements, requires_python) → what `installation` says of such a course, by line."""

    def tell(requirements, requires_python=">=3"):
        (tmp_path / "requirements.txt").write_text(requirements, encoding="utf-8")
        (tmp_path / "pyproject.toml").write_text(
            f'[project]\nrequires-python = "{requires_python}"\n', encoding="utf-8"
        )
        checks.installation(tmp_path)
        return capsys.readouterr().out.splitlines()

    return tell


def test_this_very_installation_is_complete(capsys):
    checks.installation()
    assert capsys.readouterr().out.startswith("Всё на месте")


def test_a_package_that_is_absent_or_old_is_named_with_the_cure(told):
    absent, old, cure = told("no-such-package==2.0\ntorch==1.0.0  # old\n-e .\n")
    assert absent == "no-such-package: нужна версия 2.0, а установлена никакая"
    assert old.startswith("torch: нужна версия 1.0.0, а установлена 2.")
    assert "pip install -r requirements.txt" in cure


def test_comments_empty_lines_options_and_a_build_s_name_do_not_matter(told, monkeypatch):
    monkeypatch.setattr(checks.metadata, "version", {"torch": "2.13.0+cpu"}.__getitem__)
    requirements = "# torch==1.0\n\n-r other.txt\n--pre\ntorch==2.13.0 # networks\n-e .\n"
    assert told(requirements) == ["Всё на месте: пакеты тех версий, с которыми курс проверен."]


def test_of_two_versions_the_one_for_this_python_is_asked(told):
    here = f'torch==1.0.0 ; python_version == "{HERE}"\n'
    elsewhere = f'torch==2.0.0 ; python_version != "{HERE}"\n'
    for requirements in (here + elsewhere, elsewhere + here):
        about_torch, _cure = told(requirements)
        assert about_torch.startswith("torch: нужна версия 1.0.0,")


def test_a_package_for_another_python_is_not_missed(told):
    assert told('no-such-package==2.0 ; python_version < "3"\n')[0].startswith("Всё на месте")


def test_a_range_of_versions_is_kept(told):
    assert told("torch>=2,<99\nnumpy\n")[0].startswith("Всё на месте")
    assert told("torch<2,>=1\n")[0].startswith("torch: нужна версия <2,>=1, а установлена 2.")


@pytest.mark.parametrize("supported", [">=3.99", "<3.11", ">=3.9,<3.11"])
def test_of_a_python_outside_only_that_is_said(told, supported):
    about_python, cure = told("no-such-package==2.0\n", supported)
    assert (
        about_python == f"Python {platform.python_version()} курсу не подходит, нужен {supported}."
    )
    assert "README" in cure


@pytest.mark.parametrize("package", ["hypothesis", "playwright", "ruff"])
def test_what_only_tests_need_is_not_asked_of_a_student(package):
    assert package not in (checks.COURSE / "requirements.txt").read_text("utf-8")
    assert package in (checks.COURSE / "tests" / "requirements.txt").read_text("utf-8")


# An unsatisfiable pin would hide from pip what the last line says: which Pythons are supported.
OUTSIDE = ["3.9", "3.10", "3.16"]


@pytest.mark.parametrize("python", OUTSIDE)
@pytest.mark.parametrize("name", ["requirements.txt", "tests/requirements.txt"])
def test_no_pin_is_left_on_which_pip_could_fail_on_a_python_outside(name, python):
    lines = (checks.COURSE / name).read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if "==" in line and line[0] != "#"]
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    assert pins
    for pin in pins:
        if pin.marker is None or pin.marker.evaluate(environment):
            wheel = metadata.distribution(pin.name)
            assert SpecifierSet(wheel.metadata["Requires-Python"]).contains(f"{python}.0")
            assert re.search(r"^Tag: (\S+\.)?py3-none-", wheel.read_text("WHEEL"), re.MULTILINE), (
                pin
            )


@pytest.mark.parametrize("python", OUTSIDE)
def test_these_pythons_are_outside(python):
    project = tomllib.loads((checks.COURSE / "pyproject.toml").read_text("utf-8"))["project"]
    assert not SpecifierSet(project["requires-python"]).contains(f"{python}.0")
