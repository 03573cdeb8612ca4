"""Grading the works of a group: answers are found by name, run apart, judged here.

No sandbox against malice (README says what to do about that): a student's code runs in a kernel of
its own with a limit on time and memory, and what it sends back is only compared.
"""

import ast
import csv
import hashlib
import inspect
import json
import random
import threading
import zipfile
from collections import defaultdict
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import nbformat
import psutil
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from traitlets.config import Config

import lecture_utils.exercises.trial as trial
from lecture_utils.exercises.engine import (
    Exercise,
    draw_cases,
    find,
    find_definition,
    reading,
    used,
    verdict,
)
from lecture_utils.exercises.homework import HomeworkError, points
from lecture_utils.files import written_whole

LARGEST = 50_000_000  # bytes of one notebook
LIBRARY = ("lecture_utils",)  # an answer is the student's own
DEFINITIONS = 20  # seconds for all that answers need beside them
# Statements that may define what an answer needs; loops and calls are left out.
DEFINING = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.Assign
DEFINING |= ast.AnnAssign | ast.AugAssign | ast.If | ast.Try

# What the kernel runs first: the text of trial.py, then the student's definitions one by one.
BEGIN = """
import json, linecache, sys, types
sys.modules["lecture_utils"] = None
_trial = types.ModuleType("trial")
exec({trial!r}, _trial.__dict__)
"""
DEFINE = """
import ast as _ast
for _name, _source, _kept in json.loads({cells!r}):
    linecache.cache[_name] = (len(_source), None, _source.splitlines(True), _name)
    _statements = _ast.parse(_source).body
    for _k in _kept:
        try:
            exec(compile(_ast.Module([_statements[_k]], []), _name, "exec"), globals())
        except Exception as _error:
            print(_name, type(_error).__name__, _error)
"""
ASK = """
{ask}
_outcomes = []
for _packed in json.loads({cases!r}):
    _outcomes.append(_trial.attempt({name}, {asked}, _packed, {seconds}))
    if "answer" not in _outcomes[-1]:
        break
display({{"application/json": _outcomes}}, raw=True)
"""


class Statement(NamedTuple):
    """A statement that may define what an answer needs, of a cell, at a place in it."""

    cell: int
    place: int
    node: ast.stmt
    binds: set[str]
    mentions: set[str]


@dataclass
class Work:
    """What one student handed in."""

    file: str
    cells: list[str] = field(default_factory=list)  # Python sources, as far as they can be read
    statements: list[Statement] = field(default_factory=list)
    name: str = ""
    group: str = ""
    faults: list[str] = field(default_factory=list)  # of its files
    results: dict = field(default_factory=dict)  # exercise → (points, reason of a loss)
    twins: list[str] = field(default_factory=list)  # works with the same answers


# Reading


def read_works(folder: Path) -> list[Work]:
    """Each notebook, archive or folder in `folder` is one work. Raises HomeworkError."""
    if not folder.is_dir():
        raise HomeworkError(f"папки {folder} нет.")
    works = []
    for path in sorted(folder.iterdir()):
        work = Work(path.name)
        if path.suffix == ".zip":
            _read_archive(path, work)
        elif path.is_dir():
            for part in sorted(path.rglob("*.ipynb")):
                if ".ipynb_checkpoints" not in part.parts:
                    _read_notebook(part.name, part.read_bytes(), work)
        elif path.suffix == ".ipynb":
            _read_notebook(path.name, path.read_bytes(), work)
        else:
            continue
        if not work.cells and not work.faults:
            work.faults.append("тетрадей нет")
        works.append(work)
    if not works:
        raise HomeworkError(f"в папке {folder} нет ни тетрадей (.ipynb), ни архивов (.zip).")
    return works


def _read_archive(path: Path, work: Work) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            for info in sorted(archive.infolist(), key=lambda info: info.filename):
                if info.filename.endswith(".ipynb") and "__MACOSX" not in info.filename:
                    with archive.open(info) as file:  # what it says of its size may be a lie
                        _read_notebook(info.filename, file.read(LARGEST + 1), work)
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        work.faults.append(f"{path.name}: архив не открыть ({error})")


def _read_notebook(name: str, content: bytes, work: Work) -> None:
    try:
        if len(content) > LARGEST:
            raise ValueError("файл слишком большой")
        notebook = nbformat.reads(content.decode("utf-8-sig"), as_version=4)
        sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    except Exception as error:  # not JSON, not a notebook: nbformat has many ways to say so
        work.faults.append(f"{name}: не тетрадь ({type(error).__name__})")
        return
    for source in map(_python, sources):
        if source is not None:
            for place, node in enumerate(ast.parse(source).body):
                _who(node, work)
                if isinstance(node, DEFINING):
                    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
                    work.statements.append(
                        Statement(len(work.cells), place, node, _binds(node), names)
                    )
            work.cells.append(source)


def _python(source: str) -> str | None:
    """A cell without magics, None if it is not Python; its lines keep their numbers."""
    lines = source.split("\n")
    while lines and lines[0].startswith("%%"):  # of %%time and the like the rest is Python
        lines[0] = ""
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        text = TransformerManager().transform_cell("\n".join(lines))
        ast.parse(text)
        return text
    return None


def _who(node: ast.stmt, work: Work) -> None:
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
        for target in node.targets:
            if getattr(target, "id", "") in ("name", "group") and node.value.value:
                setattr(work, target.id, " ".join(str(node.value.value).split()))


# What an answer needs


def _binds(statement: ast.stmt) -> set[str]:
    """The names that a statement gives a value at the top level."""
    bound, queue = set(), [statement]
    while queue:
        node = queue.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
            continue
        if isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            bound |= {part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)}
        queue += ast.iter_child_nodes(node)
    return bound


def needed(statements: list[Statement], names: set[str]) -> list[Statement]:
    """Those that the definitions of `names` rest on."""
    wanted, kept, more = set(names), [], True
    while more:
        more = [s for s in statements if s not in kept and (s.binds & wanted or "*" in s.binds)]
        kept += more
        wanted = wanted.union(*(statement.mentions for statement in more))
    return [statement for statement in statements if statement in kept]


# Running


class Lost(Exception):
    """A kernel that cannot go on; the message says why."""


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        for child in [*process.children(recursive=True), process]:
            with suppress(psutil.Error):
                child.kill()


class _Kernel:
    """A kernel that has defined what the answers rest on, with limits on time and memory."""

    def __init__(self, memory: float):
        config = Config({"KernelManager": {"transport_encryption": "auto"}})
        notebook = nbformat.v4.new_notebook()
        self.client = NotebookClient(notebook, allow_errors=True, config=config)
        self.memory, self.eaten, self.over = memory, False, threading.Event()

    @contextmanager
    def running(self):
        """The kernel runs in this block, and is dead after it with all that it has begun."""
        with self.client.setup_kernel():
            self.process = psutil.Process(self.client.km.provisioner.pid)
            threading.Thread(target=self._watch, daemon=True).start()
            try:
                yield
            finally:
                self.over.set()
                _kill(self.process)

    def _watch(self) -> None:
        while not self.over.wait(0.05):
            with suppress(psutil.Error):
                family = [self.process, *self.process.children(recursive=True)]
                if sum(member.memory_info().rss for member in family) > self.memory:
                    self.eaten = True
                    _kill(self.process)

    def run(self, source: str, seconds: float) -> list:
        """Outputs of a cell. Raises Lost."""
        self.client.timeout = int(seconds) + 1
        cell = nbformat.v4.new_code_cell(source)
        self.client.nb.cells = [cell]
        try:
            self.client.execute_cell(cell, 0)
        except CellTimeoutError:
            raise Lost("время вышло") from None
        except (DeadKernelError, RuntimeError):
            raise Lost("не хватило памяти" if self.eaten else "ядро упало") from None
        return cell.outputs

    def define(self, work: Work, asked: list[Exercise]) -> None:
        """Define what the answers to these exercises rest on."""
        kept = needed(work.statements, {exercise.name for exercise in asked})
        told = [
            (f"<ячейка {k + 1}>", source, [s.place for s in kept if s.cell == k])
            for k, source in enumerate(work.cells)
        ]
        self.run(BEGIN.format(trial=inspect.getsource(trial)), DEFINITIONS)
        if any(exercise.trains for exercise in asked):  # not in the time of an answer
            self.run("import torch._dynamo", DEFINITIONS)
        self.run(DEFINE.format(cells=json.dumps(told)), DEFINITIONS)

    def outcomes(self, exercise: Exercise, cases: list[dict]) -> list[dict]:
        """What the answer to an exercise gives in each case."""
        ask = exercise.ask
        text = ASK.format(
            ask=inspect.getsource(ask),
            asked=ask.__name__,
            cases=json.dumps(cases),
            name=exercise.name,
            seconds=exercise.seconds,
        )
        data = [o.get("data", {}) for o in self.run(text, (exercise.seconds + 1) * len(cases) + 2)]
        sent = [part["application/json"] for part in data if "application/json" in part]
        return sent[-1] if sent else [{"error": "нет ответа", "message": "", "number": None}]


def _judge(exercise: Exercise, cases: list[dict], outcomes: list[dict]) -> str:
    """The reason why an answer is not right, or ""."""
    try:
        found = verdict(exercise, cases, outcomes)
    except Exception as error:  # what a kernel sends may be anything
        return f"ответ не прочесть ({type(error).__name__})"
    return "" if found.state == "✓" else found.text.replace("\n", " ")


def grade_work(work: Work, worth: dict[str, float], seed: int, memory: float) -> None:
    """Fill in the results of a work; whatever its code does, the others go on."""
    reasons = {number: _before_running(work, number) for number in worth}
    ready = [number for number in worth if not reasons[number]]
    while ready:  # a kernel that died is begun anew; who dies first in a new one has lost
        kernel, asked, fresh = _Kernel(memory), None, True
        try:
            with kernel.running():
                kernel.define(work, [find(number) for number in ready])
                while ready:
                    asked = ready[0]
                    exercise = find(asked)
                    cases = draw_cases(exercise, seed)
                    reasons[asked] = _judge(exercise, cases, kernel.outcomes(exercise, cases))
                    ready, fresh = ready[1:], False
        except Lost as lost:
            if asked and fresh:
                reasons[asked], ready = str(lost), ready[1:]
            elif not asked:  # it died of the definitions
                reasons |= dict.fromkeys(ready, f"определения: {lost}")
                ready = []
    work.results = {
        number: (0.0 if reasons[number] else points_of, reasons[number])
        for number, points_of in worth.items()
    }


def _before_running(work: Work, number: str) -> str:
    """Why an answer is not run at all, or ""."""
    exercise = find(number)
    kept = needed(work.statements, {exercise.name})
    if not any(exercise.name in statement.binds for statement in kept):
        return f"{exercise.name} нет"
    code = ast.Module([statement.node for statement in kept], [])
    node = find_definition(code, exercise.name)
    if node and (found := reading(exercise, node)):
        return found.text
    imports = [n for n in ast.walk(code) if isinstance(n, ast.Import | ast.ImportFrom)]
    modules = {getattr(n, "module", None) or a.name for n in imports for a in n.names}
    if any(module.split(".")[0] in LIBRARY for module in modules):
        return "взято из lecture_utils, а здесь нужно написать самому."
    if name := used(code, exercise.forbidden):
        return f"взято готовое ({name}), а здесь нужно написать самому."
    return ""


def find_twins(works: list[Work], worth: dict[str, float]) -> None:
    """Works whose longer answers are the same but for names, comments and blanks."""
    alike = defaultdict(list)
    for work in works:
        code = ast.Module([statement.node for statement in work.statements], [])
        for number in worth:
            exercise = find(number)
            node = find_definition(code, exercise.name)
            if node and len(ast.unparse(node).splitlines()) >= 6 and not reading(exercise, node):
                alike[number, _fingerprint(node)].append(work)
    for (number, _), group in alike.items():
        for work in group:
            others = [other.file for other in group if other is not work]
            work.twins += [f"{number}: {file}" for file in others]


def _fingerprint(node: ast.AST) -> str:
    node, order = deepcopy(node), {}
    for part in ast.walk(node):
        for place in ("id", "arg"):
            if isinstance(getattr(part, place, None), str):
                setattr(part, place, order.setdefault(getattr(part, place), f"n{len(order)}"))
    return hashlib.sha256(ast.dump(node).encode()).hexdigest()


def grade(folder: Path, table: Path | None, seed: int | None, memory: float, output: Path) -> None:
    """Grade the works in `folder`, print the table, write it to `output`. Raises HomeworkError."""
    worth, works = points(table), read_works(folder)
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    for place, work in enumerate(works, 1):
        grade_work(work, worth, seed, memory * 2**30)
        total = sum(got for got, _ in work.results.values())
        print(f"{place:3} из {len(works)}  {total:6g}  {work.file}  {work.name}", flush=True)
    find_twins(works, worth)
    try:
        with written_whole(output, "w", encoding="utf-8-sig", newline="") as file:
            _write(csv.writer(file, delimiter=";"), works, worth)
    except OSError as error:
        raise HomeworkError(f"таблицу {output} не записать ({error.strerror}).") from error
    print(f"Таблица: {output}. Те же числа ещё раз: --seed {seed}")


def _write(rows, works: list[Work], worth: dict[str, float]) -> None:
    rows.writerow(["файл", "имя", "группа", *worth, "сумма", "за что снято", "одинаковые ответы"])
    for work in works:
        got = [f"{work.results[number][0]:g}".replace(".", ",") for number in worth]
        total = f"{sum(p for p, _ in work.results.values()):g}".replace(".", ",")
        lost = [f"{number}: {reason}" for number, (_, reason) in work.results.items() if reason]
        lost = work.faults + lost
        who = [work.file, work.name, work.group]
        rows.writerow(
            [*map(_harmless, who), *got, total, _harmless("\n".join(lost)), "\n".join(work.twins)]
        )


def _harmless(text: str) -> str:
    """A cell that a spreadsheet would take for a formula is made a text."""
    return f"'{text}" if text[:1] in "=+-@\t\r" and text else text
