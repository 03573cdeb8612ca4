"""Prices day by day: read from a table, and what was known of them in the evening of each day."""

import re
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lecture_utils.corpora import CorpusError, given_path, read_text, table_rows
from lecture_utils.files import DATA

COLUMNS = {  # what a column may be called, in lower case, without <> and a full stop
    "date": "date, tradedate, дата, день, дата торгов, data".split(", "),
    "open": "open, откр, открытие, цена открытия".split(", "),
    "high": "high, max, макс, максимум, максимальная цена".split(", "),
    "low": "low, min, мин, минимум, минимальная цена".split(", "),
    "close": "close, закр, закрытие, цена закрытия, price, цена, курс, curs".split(", "),
}
FORMS = "%Y-%m-%d %d.%m.%Y %Y%m%d %d/%m/%Y %Y.%m.%d %Y/%m/%d %d.%m.%y %d/%m/%y %y%m%d".split()
FEWEST_DAYS = 500


class Series(NamedTuple):
    """Days (days,) of datetime64[D] in order and the prices (days,) of each; low ≤ high."""

    dates: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray


def read_series(path: str | Path = DATA / "imoex_daily.csv") -> Series:
    """Read a table of days with their closing prices, or with open, high, low and close.

    Columns go by their titles, days by FORMS, the oldest or the newest first; decimal commas,
    delimiters and encodings are those of exchanges and spreadsheets. Of closing prices alone, a day
    reaches from the close before to its own. Raises CorpusError: what is wrong in which row.
    """
    rows, places = table_rows(read_text(path := given_path(path))), {}
    while rows and not places:
        head, places = rows[0][1], _places(rows.pop(0)[1])
    if not places:
        raise CorpusError(f"В «{path}» нет столбцов date и close: подпишите их первой строкой.")
    table = []
    for number, row in rows:
        try:
            if len(row) < len(head) or any(row[len(head) :]):
                raise ValueError(f"столбцов {len(row)}, а в заголовке {len(head)}")
            day, *prices = (row[place].strip() for place in places.values())
            table.append((_day(day), *map(_price, prices)))
            if len(prices) == 4 and not table[-1][3] <= table[-1][2]:
                raise ValueError("минимум дня больше максимума: не перепутаны ли столбцы?")
        except ValueError as error:
            raise CorpusError(f"Исправьте файл «{path}», строка {number}: {error}.") from None
    if table and table[0][0] > table[-1][0]:  # the newest day on top, as some sites export it
        table.reverse()
    for before, after in pairwise(row[0] for row in table):
        if after <= before:
            why = "повторяется: уберите лишнюю строку, а вместо цен по часам выгрузите дневные"
            why = why if after == before else "стоит не по порядку: упорядочьте дни"
            raise CorpusError(f"Исправьте файл «{path}»: день {after:%d.%m.%Y} {why}.")
    if len(table) < FEWEST_DAYS:
        raise CorpusError(f"В «{path}» дней {len(table)}, а нужно не меньше {FEWEST_DAYS}.")
    dates, *prices = (np.array(column) for column in zip(*table, strict=True))
    dates, close, before = dates.astype("datetime64[D]"), prices[-1], lagged(prices[-1], 2)[:, 1]
    closes_only = before, np.maximum(before, close), np.minimum(before, close), close
    pause = np.diff(dates).astype(int).max()
    print(f"Дней {len(dates)}: {dates[0]} — {dates[-1]}, самый долгий перерыв {pause} дн.")
    return Series(dates, *(prices if len(prices) == 4 else closes_only))


def _places(row: list[str]) -> dict[str, int]:
    """Column → its place, {} if this row is no header; open, high, low all or none."""
    titles = [cell.lower().strip(" .<>") for cell in row]
    found = {
        name: next(titles.index(title) for title in called if title in titles)
        for name, called in COLUMNS.items()
        if set(called) & set(titles)
    }
    if not {"date", "close"} <= found.keys():
        return {}
    return found if len(found) == 5 else {name: found[name] for name in ("date", "close")}


def _day(cell: str) -> datetime:
    for form in FORMS:
        try:
            return datetime.strptime(re.split("[T ]", cell)[0], form)
        except ValueError:
            continue
    raise ValueError(f"день «{cell}» не читается, нужно 2010-01-31 или 31.01.2010")


def _price(cell: str) -> float:
    plain = re.sub(r"[\s']", "", cell)
    if "," in plain and "." in plain:  # 1,444.78 or 1.444,78
        plain = plain.replace(min(",.", key=plain.rfind), "")
    if not re.fullmatch(r"[-−]?\d+([.,]\d*)?", plain):
        raise ValueError(f"цена «{cell}» не читается" if plain else "цены нет")
    if plain[0] in "-−" or not float(plain.replace(",", ".")):
        raise ValueError(f"цена {cell} не больше нуля, а от неё нужен логарифм")
    return float(plain.replace(",", "."))


def log_range(series: Series, least: float = 1e-4) -> np.ndarray:
    """Volatility of each day (days,): ln ln(high/low); a range under `least` counts as `least`."""
    return np.log(np.maximum(np.log(series.high / series.low), least))


def lagged(v: np.ndarray, count: int) -> np.ndarray:
    """(days, count): v today, the day before, …; before the first day stands its value."""
    return np.stack([np.concatenate([v[:1].repeat(k), v])[: len(v)] for k in range(count)], axis=1)


def parts(days: int, shares: tuple = (0.7, 0.85)) -> list[slice]:
    """Rows t of training, middle and last part: the part of day t + 1, which t is asked about."""
    a, b = (int(days * share) for share in shares)
    return [slice(0, a - 1), slice(a - 1, b - 1), slice(b - 1, days - 1)]


def least_squares(x: np.ndarray, y: np.ndarray, train: slice, ridge: float = 0.0) -> np.ndarray:
    """Forecasts (days,) of y (days,) from x (days, features), scaled and fitted on `train` only.

    `ridge` is the price of a squared weight, a row.
    """
    mean, spread = x[train].mean(0), x[train].std(0) + 1e-12
    x, level = (x - mean) / spread, y[train].mean()
    square = x[train].T @ x[train] + ridge * len(x[train]) * np.eye(x.shape[1])
    return level + x @ np.linalg.solve(square, x[train].T @ (y[train] - level))
