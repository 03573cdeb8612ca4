"""What went wrong, in Russian: exceptions as a student meets them, and how an answer differs."""

import re
from math import floor, log10
from typing import NamedTuple

import numpy as np
from torch import Tensor


class Verdict(NamedTuple):
    """The state of an exercise, and what is told of it."""

    state: str
    text: str
    of_size: bool = False  # a hint of a case, which speaks of values, would mislead


# type of the exception, what its message says → what to tell; {0}, {1}… are the groups found
SENTENCES = [
    ("UnboundLocalError", r"variable '(\w+)'", "переменной «{0}» ещё ничего не присвоено"),
    ("NameError", r"name '(\w+)'", "имени «{0}» нет: опечатка или невыполненная ячейка?"),
    ("TypeError", r"unexpected keyword argument '(\w+)'", "аргумента «{0}» у функции нет, "
     "верните ей те имена аргументов, что были в заготовке"),
    ("TypeError", r"missing \d+ required.*?: (.+)", "вызвано без аргумента {0}"),
    ("TypeError", r"takes .* but (\d+) w", "функции передано {0} аргументов, это больше, чем ждёт"),
    ("TypeError", r"'NoneType'", "вместо числа или тензора попалось None: кто-то забыл return?"),
    ("TypeError", r"'builtin_function_or_method'|'method'", "похоже, забыты скобки вызова"),
    ("TypeError", r"'(\w+)' object is not callable", "{0} — не функция, а после него стоят скобки"),
    ("IndexError", r"", "номер вышел за край: такого элемента нет"),
    ("KeyError", r"(.+)", "такого ключа в словаре нет: {0}"),
    ("AttributeError", r"before Module.__init__", "сначала вызовите super().__init__()"),
    ("AttributeError", r"'(\w+)' object has no attribute '(\w+)'", "у {0} нет «{1}»"),
    ("ZeroDivisionError", r"", "деление на нуль"),
    ("RecursionError", r"", "функция без конца вызывает саму себя"),
    ("(ModuleNotFound|Import)Error", r"", "этого модуля здесь нет или он запрещён"),
    ("AssertionError", r"", "не выполнено условие assert"),
    ("NotImplementedError", r"not implemented for '(\w+)'", "для чисел вида {0} такой операции нет"),
    ("NotImplementedError", r"", "здесь осталась заготовка"),
    ("SystemExit", r"", "функция завершила программу, а должна вернуть ответ"),
    ("RuntimeError", r"shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)",
     "матрицы {0}×{1} и {2}×{3} не перемножить: {1} ≠ {2}. Не нужна ли транспонированная (.T)?"),
    ("RuntimeError", r"size mismatch, got input .*mat \((\d+)x(\d+)\), vec \((\d+)\)",
     "матрицу {0}×{1} на вектор длины {2} не умножить. Не нужна ли транспонированная (.T)?"),
    ("RuntimeError", r"inconsistent tensor size.*\[(\d+)\].*\[(\d+)\]",
     "у двух векторов разная длина, {0} и {1}: скалярно их не умножить"),
    ("RuntimeError", r"size of tensor a \((\d+)\) must match .* b \((\d+)\) at .*dimension (\d+)",
     "размеры по оси {2} не сходятся: {0} и {1}"),
    ("RuntimeError", r"does not require grad", "градиента тут нет: цепочка от потерь до весов "
     "прервана (detach, no_grad, item) или веса созданы без requires_grad"),
    ("RuntimeError", r"second time",
     "по одному графу назад идут дважды: отрежьте прошлое (detach)"),
    ("RuntimeError", r"stack expects each tensor to be equal size",
     "stack складывает тензоры одного размера, а здесь они разные: нужен ли torch.cat?"),
    ("RuntimeError", r"expects a non-empty", "список состояний пуст: цикл не сделал ни одного шага"),
    ("RuntimeError", r"modified by an inplace", "числа изменились раньше, чем по ним прошли назад: "
     "не стоит ли step до backward?"),
    ("RuntimeError", r"leaf Variable", "вес меняют на месте, пока torch следит за ним: "
     "оберните в torch.no_grad()"),
    ("RuntimeError", r"dtype|scalar type", "встретились числа разных типов (dtype)"),
    ("RuntimeError", r"shape '(.+)' is invalid for input of size (\d+)",
     "{1} чисел не разложить по размеру {0}"),
    ("ValueError", r"core dimension 0.*size (\d+) is different from (\d+)",
     "размеры множителей не сходятся: {1} и {0}. Не нужна ли транспонированная (.T)?"),
    ("ValueError", r"broadcast together with shapes (\(.*?\)) (\(.*?\))",
     "размеры {0} и {1} не сходятся"),
    ("ValueError", r"shapes (\(.*?\)) and (\(.*?\)) not aligned",
     "{0} и {1} не перемножить. Не нужна ли транспонированная (.T)?"),
    ("ValueError", r"unpack", "слева и справа от = разное число значений"),
]  # fmt: skip


def exception(outcome: dict) -> str:
    """A sentence about the exception of a trial, with the student's own line."""
    name, message = outcome["error"], outcome["message"]
    place = f"строка {outcome['number']}, «{outcome['line']}»: " if outcome["number"] else ""
    for kind, pattern, sentence in SENTENCES:
        found = re.search(pattern, message) if re.fullmatch(kind, name) else None
        if found:
            return f"{place}{sentence.format(*found.groups())} ({name}: {message})"
    return f"{place}выполнение прервалось ({name}: {message})"


def _kind(value) -> str:
    if isinstance(value, Tensor | np.ndarray):
        return f"тензор размера {tuple(value.shape)}" if value.ndim else "число"
    if isinstance(value, list | tuple):
        return f"{len(value)} отдельных ответа, кортежем или списком" if value else "пустой список"
    names = {str: "строка", dict: "словарь", bool: "да или нет (bool)", type(None): "None"}
    return "число" if type(value) in (int, float) else names.get(type(value), type(value).__name__)


def number_text(value: float) -> str:
    """Two digits, with a decimal comma."""
    return f"{value:.2g}".replace(".", ",")


def fault(got, expected, types: bool = False) -> Verdict | None:
    """How an answer differs from the expected one: kind first, then size, then values.

    `types`: a mask has to be of bool, a table of numbers that are indices of whole numbers.
    """
    if got is None:
        return Verdict("!", "функция ничего не вернула (None). Есть ли в ней return?")
    numbers = Tensor | np.ndarray | float | int  # bool is an int
    if isinstance(expected, numbers) and isinstance(got, numbers):
        return _numeric_fault(np.asarray(got), np.asarray(expected), types)
    if isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        if len(got) != len(expected):
            return Verdict("✗", f"частей в ответе {len(got)}, а нужно {len(expected)}.")
        for place, pair in enumerate(zip(got, expected, strict=True), 1):
            if part := fault(*pair, types):
                return part._replace(text=f"часть {place}: {part.text}")
        return None
    if type(got) is not type(expected):
        kind = "тензор" if isinstance(got, Tensor) else type(got).__name__
        return Verdict("!", f"вернулось {kind}, а нужно: {_kind(expected)}.")
    return None if got == expected else Verdict("✗", f"ответ «{str(got)[:80]}» не тот.")


def _type_fault(kind: str, right: str) -> Verdict | None:
    """Numbers of a table that is to be an index or a mask have to be of that type."""
    if right == "b" and kind != "b":
        return Verdict("✗", "значения верны, но маска должна быть логической (dtype torch.bool).")
    if right in ("i", "u") and kind == "f":
        return Verdict("✗", "значения верны, но это номера: нужны целые (dtype torch.long).")
    return None


def _numeric_fault(got: np.ndarray, expected: np.ndarray, types: bool) -> Verdict | None:
    if got.shape != expected.shape:
        return Verdict("✗", f"размер ответа {got.shape}, а нужен {expected.shape}.", True)
    kind, right = got.dtype.kind, expected.dtype.kind if expected.ndim else "any"
    got, expected = got.astype(float), expected.astype(float)
    if np.isnan(got).any() and not np.isnan(expected).any():
        return Verdict("✗", "в ответе есть nan: деление нуля на нуль, логарифм нуля или минуса?")
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    if np.allclose(got, expected, rtol=1e-4, atol=1e-5 * scale + 1e-6, equal_nan=True):
        return _type_fault(kind, right) if types else None
    off = np.abs(np.subtract(got, expected, where=got != expected, out=np.zeros_like(got))).max()
    order = f"порядка {number_text(10.0 ** floor(log10(scale)))}" if scale else "здесь нули"
    return Verdict("✗", f"расхождение до {number_text(off)}, а верные числа {order}.")
