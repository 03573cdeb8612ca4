"""installation: what a student is told of it."""

import platform
import re
import sys
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from lecture_utils.exercises import installation

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def told(tmp_path, capsys):
    """told(requirements, requires_python) → what `installation` says of such a course, by line."""

    def tell(requirements, requires_python=">=3"):
        (tmp_path / "requirements.txt").write_text(requirements, encoding="utf-8")
        (tmp_path / "pyproject.toml").write_text(
            f'[project]\nrequires-python = "{requires_python}"\n', encoding="utf-8"
        )
        installation.report(tmp_path)
        return capsys.readouterr().out.splitlines()

    return tell


def test_this_very_installation_is_complete(capsys):
    installation.report()
    assert capsys.readouterr().out.startswith("Всё на месте")


def test_a_package_that_is_absent_or_old_is_named_with_the_cure(told):
    absent, old, cure = told("no-such-package==2.0\ntorch==1.0.0  # old\n-e .\n")
    assert absent == "no-such-package: нужна версия 2.0, а установлена никакая"
    assert old.startswith("torch: нужна версия 1.0.0, а установлена 2.")
    assert "pip install -r requirements.txt" in cure


def test_comments_empty_lines_options_and_a_build_s_name_do_not_matter(told, monkeypatch):
    monkeypatch.setattr(installation.metadata, "version", {"torch": "2.13.0+cpu"}.__getitem__)
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
    assert package not in (installation.COURSE / "requirements.txt").read_text("utf-8")
    assert package in (installation.COURSE / "tests" / "requirements.txt").read_text("utf-8")


# An unsatisfiable pin would hide from pip what the last line says: which Pythons are supported.
OUTSIDE = ["3.9", "3.10", "3.16"]


@pytest.mark.parametrize("python", OUTSIDE)
@pytest.mark.parametrize("name", ["requirements.txt", "tests/requirements.txt"])
def test_no_pin_is_left_on_which_pip_could_fail_on_a_python_outside(name, python):
    lines = (installation.COURSE / name).read_text("utf-8").splitlines()
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
    project = tomllib.loads((installation.COURSE / "pyproject.toml").read_text("utf-8"))["project"]
    assert not SpecifierSet(project["requires-python"]).contains(f"{python}.0")
