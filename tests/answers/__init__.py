"""Right and wrong answers to the exercises, as students write them, and those of the notebooks."""

import re
from pathlib import Path

import nbformat

CHECK = re.compile(r'^check\("(.+?)", (\w+)\)', re.MULTILINE)
FOLD = re.compile(r"(?s)<summary>Решение</summary>\s+```python\n(.+?)```")


def exercises_in(path: Path) -> dict[str, tuple[str, str, str | None]]:
    """Number → statement, the cell with the skeleton, the folded solution (homework has none)."""
    cells, found = nbformat.read(path, as_version=4).cells, {}
    for k, cell in enumerate(cells):
        if cell.cell_type == "code" and (call := CHECK.search(cell.source)):
            assert call[1] not in found and call[1][:2] == path.stem[:2]
            fold = FOLD.search(cells[k + 1].source)
            found[call[1]] = (cells[k - 1].source, cell.source, fold and fold[1])
    return found
