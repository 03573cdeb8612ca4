"""Checks of the exercises: run the student's function, say «Верно» or what differs."""

from collections.abc import Callable

import torch


def _compare(function: Callable, reference: Callable, cases: list[tuple]) -> None:
    for arguments in cases:
        got, expected = function(*arguments), reference(*arguments)
        if got is None or got is ...:
            print("Пока пусто: впишите решение вместо … и верните его словом return.")
            return
        got = torch.as_tensor(got)
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
