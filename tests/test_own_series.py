"""Notebook 08 runs to its end on whatever series a reader brings."""

from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "08_lab_series.ipynb"


def walk(days, sigma=0.02, start=70.0, seed=0):
    steps = np.random.default_rng(seed).normal(0, sigma, days)
    return start * np.exp(np.cumsum(steps))


def closes(path, days=500):
    """A currency: date and price as a spreadsheet saves them, the fewest days that are read."""
    dates = np.datetime64("2019-01-09") + np.arange(days)
    lines = [
        f"{str(d)[8:]}.{str(d)[5:7]}.{str(d)[:4]};{p:.4f}"
        for d, p in zip(dates, walk(days), strict=True)
    ]
    path.write_bytes("\r\n".join(["Дата;Курс", *lines]).encode("cp1251"))


def bars_of_the_day(path, days=900):
    """A share of great range, with days without trade and prices that stay as they were."""
    close = walk(days, 0.05, 3.0, seed=1).round(2)
    close[100:130] = close[99]
    dates = np.datetime64("2015-01-12") + np.arange(days)
    lines = ["<TICKER>,<DATE>,<OPEN>,<HIGH>,<LOW>,<CLOSE>"]
    for k, (day, c) in enumerate(zip(dates, close, strict=True)):
        high, low = (c, c) if k % 50 == 7 else (c + 0.05, c - 0.01)
        lines.append(f"X,{str(day).replace('-', '')},{low:.2f},{high:.2f},{low:.2f},{c:.2f}")
    path.write_text("\n".join(lines), "utf-8")


def huge_and_rising(path, days=700):
    """Prices of millions that only rise: the last part is all new to the net."""
    dates = np.datetime64("2018-01-01") + np.arange(days)
    prices = 3e6 * np.exp(0.002 * np.arange(days)) * walk(days, 0.004, 1.0, seed=2)
    lines = [f"{day},{price:.0f}" for day, price in zip(dates, prices, strict=True)]
    path.write_text("\n".join(["Date,Price", *lines]), "utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("make", [closes, bars_of_the_day, huge_and_rising])
def test_the_notebook_runs_to_its_end_on_a_series_of_one_s_own(make, tmp_path):
    make(own := tmp_path / "мой ряд.csv")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (cell,) = [c for c in notebook.cells if c.source.startswith("MY_SERIES = ")]
    cell.source = f"MY_SERIES = {str(own)!r}"
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    printed = [
        o.text for c in notebook.cells for o in c.get("outputs", []) if o.get("name") == "stdout"
    ]
    assert any(text.startswith("Дней ") for text in printed)
    assert not [
        o for c in notebook.cells for o in c.get("outputs", []) if o.get("name") == "stderr"
    ]
