"""Seconds that each notebook takes to run, kernel start included, and all of them together.

LECTURE_NOVEL=story python tests/benchmarks/bench_notebooks.py
"""

import argparse
import os
import time
from pathlib import Path

import nbformat
from machine import options_of
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"


def main() -> None:
    options_of(argparse.ArgumentParser(description=__doc__.split("\n")[0]))
    os.environ.setdefault("LECTURE_NOVEL", "story")
    seconds = {}
    for path in sorted(FOLDER.glob("[0-9]*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": FOLDER}})
        begun = time.perf_counter()
        client.execute()
        seconds[path.stem] = time.perf_counter() - begun
        print(f"{path.stem}: {seconds[path.stem]:.0f} s", flush=True)
    print(f"all {len(seconds)} notebooks: {sum(seconds.values()):.0f} s (at most 300)")


if __name__ == "__main__":
    main()
