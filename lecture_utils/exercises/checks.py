"""Checks: is everything installed, and of the exercises («Верно» or what differs)."""

import copy
import platform
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

COURSE = Path(__file__).resolve().parents[2]


def _asked(folder: Path) -> list[Requirement]:
    """What requirements.txt asks of this Python: its markers may leave a line to another."""
    lines = (folder / "requirements.txt").read_text("utf-8").splitlines()
    packages = [line.split(" #")[0] for line in lines if line and line[0] not in "#- "]
    asked = map(Requirement, packages)
    return [package for package in asked if not package.marker or package.marker.evaluate()]


def installation(folder: Path = COURSE) -> None:
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


def _compare(function: Callable, reference: Callable, cases: list[tuple]) -> None:
    for arguments in cases:
        got, expected = function(*copy.deepcopy(arguments)), reference(*arguments)
        if got is None or got is ...:
            print("Пока пусто: впишите решение вместо … и верните его словом return.")
            return
        try:
            got = torch.as_tensor(got)
        except (TypeError, ValueError, RuntimeError):
            print(f"Верните тензор, а не {type(got).__name__}.")
            return
        if got.shape != expected.shape:
            print(f"Размер ответа {tuple(got.shape)}, а нужен {tuple(expected.shape)}.")
            return
        if not torch.allclose(got.to(expected), expected, atol=1e-5):
            shown = ", ".join(str(argument) for argument in arguments)
            print(f"Не сошлось. Аргументы: {shown}.\nВаш ответ: {got}.\nНужно: {expected}.")
            return
    print("Верно!")


def temperature(function: Callable) -> None:
    """Check `f(log_probs, T)` → probabilities at temperature T."""
    log_probs = torch.tensor([0.5, 0.3, 0.2]).log()
    reference = lambda z, T: torch.softmax(z / T, dim=-1)
    _compare(
        function, reference, [(log_probs, 1.0), (log_probs, 0.5), (log_probs.repeat(2, 1), 3.0)]
    )


def masked_mean(function: Callable) -> None:
    """Check `f(nats, mask)` → mean over the cells where the mask is true."""
    nats = torch.tensor([[1.0, 2.0, 9.0], [3.0, 9.0, 9.0]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    _compare(function, lambda n, m: n[m].mean(), [(nats, mask), (nats, ~mask)])


def top_k(function: Callable) -> None:
    """Check `f(probs, k)` → the k largest probabilities, scaled to sum 1."""

    def reference(probs, k):
        kept = torch.where(probs >= probs.sort().values[-k], probs, 0)
        return kept / kept.sum()

    probs = torch.tensor([0.1, 0.4, 0.2, 0.25, 0.05])
    _compare(function, reference, [(probs, 1), (probs, 3), (probs, 5)])


def streams(function: Callable) -> None:
    """Check `f(ids, batch_size)` → inputs (batch_size, time) of parallel streams."""

    def reference(ids, batch_size):
        time = (len(ids) - 1) // batch_size
        return torch.stack([ids[k * time : (k + 1) * time] for k in range(batch_size)])

    _compare(function, reference, [(torch.arange(12), 2), (torch.arange(13), 3)])
