"""Exercises that answer back: a student's function is run on fresh inputs and told what it lacks.

Four states: ○ not begun, ! cannot be checked, ✗ wrong, ✓ right. The right answer is never shown.
"""

import ast
import importlib
import inspect
import linecache
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from lecture_utils.exercises.told import Verdict, exception, fault, number_text
from lecture_utils.exercises.trial import attempt, home, pack, unpack

MODULES = {  # notebook → the module with its exercises
    "01": "rnn_theory",
    "02": "unrolling",
    "03": "exploding_gradients",
    "04": "deep_and_bidirectional",
    "05": "lstm_gates",
    "06": "lab_names",
    "07": "lab_novel",
    "08": "lab_series",
    "09": "after_lstm",
}


class Draw:
    """Inputs of one check, drawn anew from a seed."""

    def __init__(self, seed: int, dtype: torch.dtype = torch.float32):
        self.generator, self.dtype = torch.Generator().manual_seed(seed), dtype

    def __call__(self, *shape: int) -> Tensor:
        """Numbers of N(0, 1)."""
        return torch.randn(shape, generator=self.generator, dtype=torch.float64).to(self.dtype)

    def whole(self, low: int, high: int, *shape: int) -> int | Tensor:
        """Whole numbers from `low` to `high`, both included; one `int` without a shape."""
        drawn = torch.randint(low, high + 1, shape, generator=self.generator)
        return drawn if shape else drawn.item()


@dataclass(frozen=True)
class Case:
    """A case that isolates something: what it is, and the hint if it is the first to fail."""

    what: str
    hint: str
    only: str = ""  # names of the arguments that are not zero, by blanks; without: all are drawn
    settings: dict = field(default_factory=dict)  # for `inputs`


def call(function, **arguments):
    """The plain way to ask: the student may name the arguments otherwise."""
    return function(*arguments.values())


@dataclass(frozen=True)
class Exercise:
    """What is asked (the skeleton of the notebook), on what, and how an answer is judged."""

    skeleton: str
    inputs: Callable  # (draw, **settings) → {name of an argument: value}
    reference: Callable  # takes what the student's function takes
    cases: list[Case]  # from the simplest to the general one
    mistakes: list[tuple[Callable, str]] = field(default_factory=list)  # known ones, their hints
    # Asks the function for an answer that can be compared. Its text is sent to the grader's kernel,
    # so it imports what it needs itself.
    ask: Callable = call
    forbidden: tuple[str, ...] = ()  # names that would be the answer itself
    points: int = 1
    seconds: float = 2.0  # for one case

    @property
    def name(self) -> str:
        """Of the function or class that a student writes."""
        return ast.parse(self.skeleton).body[-1].name

    @property
    def trains(self) -> bool:
        """Whether it makes an optimizer: the first one loads torch._dynamo, for seconds."""
        return "optim" in inspect.getsource(self.ask)


def find(number: str) -> Exercise:
    """The exercise of a number such as "02.3". Raises ValueError."""
    module = MODULES.get(number.partition(".")[0])
    known = exercises(number[:2]) if module else {}
    if number not in known:
        raise ValueError(
            f"Упражнения {number} нет. Есть: {', '.join(known) or ', '.join(MODULES)}."
        )
    return known[number]


def exercises(notebook: str) -> dict[str, Exercise]:
    """Number → exercise, of a notebook such as "02"."""
    return importlib.import_module(f"lecture_utils.exercises.{MODULES[notebook]}").EXERCISES


def every() -> dict[str, Exercise]:
    """Number → exercise, of all the notebooks."""
    return {number: e for notebook in MODULES for number, e in exercises(notebook).items()}


# What is written


def definition(function: Callable) -> ast.AST | None:
    """The source of a function or class as a tree, None if it cannot be had."""
    source = "".join(linecache.getlines(home(function)))
    with suppress(SyntaxError):
        return find_definition(ast.parse(source), getattr(function, "__name__", ""))
    return None


def find_definition(tree: ast.AST, name: str) -> ast.AST | None:
    """The last definition of that name."""
    kinds = ast.FunctionDef | ast.ClassDef
    nodes = [n for n in ast.walk(tree) if isinstance(n, kinds) and n.name == name]
    return nodes[-1] if nodes else None


def _body(node: ast.AST) -> str:
    bare = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return ast.dump(ast.Module(bare, []))


def blanks(node: ast.AST) -> list[int]:
    """The lines where `...` still stands for something to be written; `x[..., 0]` is none."""
    indices = {
        id(part)
        for subscript in ast.walk(node)
        if isinstance(subscript, ast.Subscript)
        for part in ast.walk(subscript.slice)
    }
    return [
        part.lineno
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and part.value is ... and id(part) not in indices
    ]


def used(node: ast.AST, forbidden: tuple[str, ...]) -> str:
    """The first forbidden name that a piece of code uses, or ""."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    names |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    names |= {n.name.split(".")[-1] for n in ast.walk(node) if isinstance(n, ast.alias)}
    return next((name for name in forbidden if name.split(".")[-1] in names), "")


def reading(exercise: Exercise, node: ast.AST) -> Verdict | None:
    """What can be said of an answer before it is run."""
    if _body(node) == _body(ast.parse(exercise.skeleton).body[-1]):
        return Verdict("○", "не начато: впишите решение вместо многоточия и выполните ещё раз.")
    if lines := blanks(node):
        return Verdict("!", f"ещё не всё: в строке {lines[0]} осталось многоточие.")
    if name := used(node, exercise.forbidden):
        return Verdict("!", f"здесь это нужно написать самому, а не взять готовое: {name}.")
    return None


# What comes out


def draw_cases(exercise: Exercise, seed: int, dtype=torch.float32) -> list[dict]:
    """The packed inputs of each case."""
    draw, drawn = Draw(seed, dtype), []
    for case in exercise.cases:
        arguments = exercise.inputs(draw, **case.settings)
        if case.only:
            _zero(arguments, case.only.split())
        drawn.append({name: pack(value) for name, value in arguments.items()})
    return drawn


def _zero(arguments: dict, kept: list[str]) -> None:
    for name, value in arguments.items():
        if hasattr(value, "_asdict"):
            _zero(value._asdict(), kept)
        elif name not in kept and isinstance(value, Tensor | np.ndarray):
            value[...] = 0


def verdict(exercise: Exercise, inputs: list[dict], outcomes: list[dict]) -> Verdict:
    """Judge the outcomes of the trials (one per case, fewer if one could not be run)."""
    if "answer" not in outcomes[-1]:
        return _trouble(exercise, outcomes[-1])
    expected = [unpack(_answer(exercise, exercise.reference, given)) for given in inputs]
    answers = [unpack(outcome["answer"]) for outcome in outcomes]
    changed = sorted({name for outcome in outcomes for name in outcome["changed"]})
    spoilt = f"функция меняет на месте свой аргумент {', '.join(changed)}: работайте с копией."
    for case, answer, right in zip(exercise.cases, answers, expected, strict=True):
        if found := fault(answer, right, types=True):
            hint = _known_mistake(exercise, inputs, answers)
            if not hint and found.state == "✗" and not found.of_size:
                hint = case.hint
            parts = [f"{case.what}: {found.text}", hint, changed and f"Ещё {spoilt}"]
            return found._replace(text="\n".join(filter(None, parts)))
    if changed:
        return Verdict("✗", f"ответ верен, но {spoilt}")
    return Verdict("✓", "верно.")


def _answer(exercise: Exercise, function: Callable, packed: dict):
    with torch.random.fork_rng(devices=[]):
        arguments = {name: unpack(value) for name, value in packed.items()}
        return pack(exercise.ask(function, **arguments))


def _known_mistake(exercise: Exercise, inputs: list[dict], answers: list) -> str:
    """The hint of the known mistake that gives these very answers in every case, or ""."""
    for mistake, hint in exercise.mistakes:
        same = (unpack(_answer(exercise, mistake, given)) for given in inputs)
        # A mistake need not be able to answer every case.
        with suppress(RuntimeError, ValueError, IndexError, TypeError):
            if not any(fault(*pair) for pair in zip(answers, same, strict=True)):
                return hint
    return ""


def _trouble(exercise: Exercise, outcome: dict) -> Verdict:
    if "error" in outcome:
        return Verdict("!", exception(outcome))
    text = f"за {number_text(exercise.seconds)} с ответа нет: похоже, цикл не кончается."
    if not outcome["timeout"]:
        text += " Остановить его не удалось: нажмите ■, а если не поможет, перезапустите ядро."
    return Verdict("!", text)


def judge(exercise: Exercise, function: Callable, seed: int, dtype=torch.float32) -> Verdict:
    """Check a function on inputs drawn from a seed."""
    if not callable(function):
        kind = type(function).__name__
        return Verdict("!", f"дайте саму функцию {exercise.name}, без скобок вызова, а не {kind}.")
    node = definition(function)
    if node and (before := reading(exercise, node)):
        return before
    if exercise.trains:  # ended by the time limit, that import would break the process
        importlib.import_module("torch._dynamo")
    inputs, outcomes = draw_cases(exercise, seed, dtype), []
    for given in inputs:
        outcomes.append(attempt(function, exercise.ask, given, exercise.seconds))
        if "answer" not in outcomes[-1]:
            break
    return verdict(exercise, inputs, outcomes)
