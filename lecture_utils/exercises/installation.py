"""Is everything installed that the course needs, in the versions it was tried with?"""

import platform
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

COURSE = Path(__file__).resolve().parents[2]


def _asked(folder: Path) -> list[Requirement]:
    """What requirements.txt asks of this Python: its markers may leave a line to another."""
    lines = (folder / "requirements.txt").read_text("utf-8").splitlines()
    packages = [line.split(" #")[0] for line in lines if line and line[0] not in "#- "]
    asked = map(Requirement, packages)
    return [package for package in asked if not package.marker or package.marker.evaluate()]


def report(folder: Path = COURSE) -> None:
    """Say whether the Python is a supported one and every package of the version tested is there.

    `folder` is the course's, with requirements.txt and pyproject.toml.
    """
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    python, supported = platform.python_version(), project["requires-python"]
    if not SpecifierSet(supported).contains(python, prereleases=True):
        print(f"Python {python} курсу не подходит, нужен {supported}.")
        print("Создайте окружение подходящим Python, как сказано в README, и откройте курс в нём.")
        return
    other = []
    for package in _asked(folder):
        try:
            found = metadata.version(package.name)
        except metadata.PackageNotFoundError:
            found = "никакая"
        if found == "никакая" or not package.specifier.contains(found, prereleases=True):
            needed = str(package.specifier).removeprefix("==") or "любая"
            other.append(f"{package.name}: нужна версия {needed}, а установлена {found}")
    if other:
        print(*other, sep="\n")
        print("Выполните в папке курса: pip install -r requirements.txt — и перезапустите ядро.")
    else:
        print("Всё на месте: пакеты тех версий, с которыми курс проверен.")
