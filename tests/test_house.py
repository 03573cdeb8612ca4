"""The house: arrows between modules go one way, names are not shared, sizes serve reading."""

import ast
import re
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lecture_utils"
FILES = {  # module → its file
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
WINGS = ("figures", "exercises")
APART = {"lecture_utils.slides"}  # neither core nor a wing: it exports the notebooks


def in_wing(module: str, wing: str) -> bool:
    return f"{module}.".startswith(f"lecture_utils.{wing}.")


CORE = {m for m in FILES if not any(in_wing(m, wing) for wing in WINGS)} - APART


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text("utf-8"))


@cache
def imported(module: str) -> frozenset[str]:
    """The modules of the package that a module imports anywhere, inside functions too."""
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: name the module from its root, as all others do"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found & FILES.keys())


def lines(module: str) -> int:
    return len(FILES[module].read_text("utf-8").splitlines())


def test_all_modules_are_seen_and_their_imports_too():
    assert "lecture_utils.figures.plots" in imported("lecture_utils.figures.widgets")
    assert "lecture_utils.figures.widgets" in imported("lecture_utils.slides")  # in a function
    assert {"lecture_utils.cells", "lecture_utils.training"} < CORE


# Arrows


def test_no_module_imports_itself_by_a_way_round():
    try:
        TopologicalSorter({module: imported(module) for module in FILES}).prepare()
    except CycleError as error:
        pytest.fail(" ← ".join(error.args[1]))


@pytest.mark.parametrize("module", sorted(CORE))
def test_the_core_knows_neither_figures_nor_exercises_nor_slides(module):
    assert imported(module) <= CORE


@pytest.mark.parametrize("module", sorted(m for m in FILES if in_wing(m, "exercises")))
def test_exercises_do_without_figures(module):
    assert not {m for m in imported(module) if in_wing(m, "figures")}


# Names


def public_names(module: str):
    """What a module defines itself, at its top level."""
    for node in tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (target.id for target in targets if isinstance(target, ast.Name))
            yield from (name for name in names if not name.startswith("_"))


def test_a_public_name_of_core_and_figures_means_one_thing():
    homes = defaultdict(set)
    for module in CORE | {m for m in FILES if in_wing(m, "figures")}:
        for name in public_names(module):
            homes[name].add(module)
    shared = {name: where for name, where in homes.items() if len(where) > 1 and name != "main"}
    assert shared == {}  # main is the entrance of a command line


# The map


@pytest.mark.parametrize("module", sorted(m for m in FILES if m.count(".")))
def test_the_maps_of_the_readme_and_of_the_package_name_every_module(module):
    readme = (PACKAGE.parent / "README.md").read_text("utf-8").split("## How it hangs together")[1]
    name = module.split(".")[-1]
    assert f"`{name}`" in readme.split("\n## ")[0]
    assert module.count(".") > 1 or re.search(
        rf"\b{name}\b", ast.get_docstring(tree("lecture_utils"))
    )


# Sizes


@pytest.mark.parametrize("module", FILES)
def test_a_function_can_be_read_at_a_glance(module):
    functions = [
        node
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = {node.name: node.end_lineno - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > 40} == {}


@pytest.mark.parametrize(("part", "limit"), [("core", 3430), ("figures", 1500)])
def test_a_wing_stays_small(part, limit):
    modules = CORE if part == "core" else [m for m in FILES if in_wing(m, part)]
    sizes = {module: lines(module) for module in modules}
    assert sum(sizes.values()) <= limit, sizes
