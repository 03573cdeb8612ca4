"""What a student calls: `check` an answer, see the `progress`, kept in a small file."""

import json
import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lecture_utils.exercises.engine import MODULES, exercises, find, judge
from lecture_utils.files import written_whole

FILE = Path(__file__).resolve().parents[2] / ".progress.json"
STATES = "○!✗✓"  # a state never falls: what was right once stays so
_here: dict[str, str] = {}  # what this process has seen


def _file() -> Path | None:
    """Where it is kept; None where LECTURE_PROGRESS is empty: tests and stored outputs."""
    named = os.environ.get("LECTURE_PROGRESS")
    return FILE if named is None else Path(named) if named else None


def states() -> dict[str, str]:
    """Number of an exercise → its best state so far."""
    kept, file = {}, _file()
    with suppress(OSError, ValueError):  # not there or damaged: begun anew
        kept = json.loads(file.read_text("utf-8")) if file else {}
    kept = kept if isinstance(kept, dict) else {}
    known = {number: state for number, state in kept.items() if state in list(STATES)}
    for number, state in _here.items():
        known[number] = max(state, known.get(number, "○"), key=STATES.index)
    return known


def remember(number: str, state: str) -> None:
    """Keep the state of an exercise, if it is better than the one before."""
    _here[number] = max(state, _here.get(number, "○"), key=STATES.index)
    if file := _file():
        try:
            with written_whole(file, "w", encoding="utf-8") as whole:
                json.dump(states(), whole, ensure_ascii=False, sort_keys=True)
        except OSError as error:
            print(f"Успехи не записать в {file} ({error.strerror}): запомню до конца сеанса.")


def check(number: str, function: Callable, seed: int | None = None) -> None:
    """Check the answer to an exercise, say what it lacks, remember its state.

    Inputs are drawn anew at each check; `seed` repeats the inputs of an earlier one.
    """
    exercise = find(number)
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    found = judge(exercise, function, seed)
    remember(number, found.state)
    print(f"{found.state} {number} {exercise.name} — {found.text}")
    if found.state == "✗":
        print(f"Те же числа ещё раз: check({number!r}, {exercise.name}, seed={seed})")


def progress(notebook: str | None = None) -> None:
    """Say what of a notebook ("02"), or of all of them, is solved."""
    known = states()
    for name in [notebook] if notebook else MODULES:
        marks = {number: known.get(number, "○") for number in exercises(name)}
        shown = "  ".join(f"{state} {number}" for number, state in marks.items())
        solved = list(marks.values()).count("✓")
        print(f"{shown}   решено {solved} из {len(marks)}")
