"""Checks: is everything installed, and of the exercises («Верно» or what differs)."""

import copy
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import torch

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements.txt"


def installation(requirements: Path = REQUIREMENTS) -> None:
    """Say whether every package of requirements.txt is there in the version tested."""
    pins = re.findall(r"^([\w-]+)==([\w.]+)", requirements.read_text("utf-8"), re.MULTILINE)
    other = []
    for name, version in pins:
        try:
            found = metadata.version(name).split("+")[0]  # torch says 2.13.0+cpu
        except metadata.PackageNotFoundError:
            found = "никакая"
        if found != version:
            other.append(f"{name}: нужна версия {version}, а установлена {found}")
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
