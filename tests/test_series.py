"""series: any table of prices is read or refused in a sentence; no forecast knows the future."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import market

from lecture_utils.corpora import CorpusError
from lecture_utils.metrics import block_means
from lecture_utils.series import (
    FEWEST_DAYS,
    Series,
    lagged,
    least_squares,
    log_range,
    parts,
    read_series,
)

DAYS = np.datetime64("2010-01-11") + np.arange(FEWEST_DAYS)
RANDOM = np.random.default_rng(0)
CLOSE = np.round(1444.78 * np.exp(np.cumsum(RANDOM.normal(0, 0.01, FEWEST_DAYS))), 2)


def iso(day):
    return str(day)


def russian(day):
    year, month, date = str(day).split("-")
    return f"{date}.{month}.{year}"


def packed(day):
    return str(day).replace("-", "")


def slashes(day):
    year, month, date = str(day).split("-")
    return f"{date}/{month}/{year[2:]}"


def rows(line, days=DAYS, close=CLOSE):
    """A line of a table for each day; open, high, low are made of the close."""
    for day, c in zip(days, close, strict=True):
        yield line.format(
            iso=iso(day), ru=russian(day), packed=packed(day), slashes=slashes(day),
            o=f"{c - 1:.2f}", h=f"{c + 3:.2f}", l=f"{c - 2:.2f}", c=f"{c:.2f}",
            comma=f"{c:.2f}".replace(".", ","), ho=f"{c + 3:.2f}".replace(".", ","),
            lo=f"{c - 2:.2f}".replace(".", ","), op=f"{c - 1:.2f}".replace(".", ","),
            thousands=f"{c:,.2f}", blanks=f"{c:,.2f}".replace(",", "\xa0").replace(".", ","),
        )  # fmt: skip


DIALECTS = {  # name → header, line, line end, encoding, has it a range
    "as the file of the course": (
        "date,open,high,low,close", "{iso},{o},{h},{l},{c}", "\n", "utf-8", True,
    ),
    "date and close": ("Date,Close", "{iso},{c}", "\n", "utf-8", False),
    "spreadsheet in Russian": (
        "Дата;Открытие;Максимум;Минимум;Закрытие",
        "{ru};{op};{ho};{lo};{comma}", "\r\n", "cp1251", True,
    ),
    "with BOM and tabs": ("Дата\tЦена закрытия", "{ru}\t{comma}", "\r\n", "utf-8-sig", False),
    "export of an exchange": (
        "<TICKER>;<PER>;<DATE>;<TIME>;<OPEN>;<HIGH>;<LOW>;<CLOSE>;<VOL>",
        "IMOEX;D;{packed};000000;{o};{h};{l};{c};123", "\r\n", "ascii", True,
    ),
    "export with dd/mm/yy": (
        "<TICKER>,<DATE>,<CLOSE>", "IMOEX,{slashes},{c}", "\n", "ascii", False,
    ),
    "archive of the exchange": (
        "history\n\nBOARDID;SECID;TRADEDATE;CLOSE;OPEN;HIGH;LOW;VALUE",
        "SNDX;IMOEX;{iso};{c};{o};{h};{l};1", "\n", "cp1251", True,
    ),
    "thousands in quotes": (
        '"Date","Price","Vol."', '"{ru}","{thousands}","1.2B"', "\n", "utf-8", False,
    ),
    "blanks in numbers": ("дата;курс;", "{ru};{blanks};", "\n", "utf-16", False),
    "with a time": ("Date;Close;Note", "{iso}T00:00:00;{c};", "\n", "utf-8", False),
    "years first, full stops": ("day\tdate\tclose", "x\t{iso}\t{c}", "\r", "utf-8", False),
}  # fmt: skip


@pytest.fixture
def written(tmp_path):
    def write(header, lines, end="\n", encoding="utf-8"):
        path = tmp_path / "мой ряд.csv"
        path.write_bytes((end.join([header, *lines]) + end).encode(encoding))
        return path

    return write


@pytest.mark.parametrize("dialect", DIALECTS)
def test_ten_dialects_are_read(dialect, written):
    header, line, end, encoding, has_range = DIALECTS[dialect]
    series = read_series(written(header.replace("\n", end), rows(line), end, encoding))
    assert (series.dates == DAYS).all() and np.allclose(series.close, CLOSE)
    if has_range:
        assert np.allclose(series.high - series.low, 5) and np.allclose(series.open, CLOSE - 1)
    else:
        assert np.allclose(series.high - series.low, np.abs(np.diff(CLOSE, prepend=CLOSE[0])))


def test_the_newest_day_may_stand_on_top_as_investors_sites_export_it(written):
    line = '"{ru}","{comma}","{op}","{ho}","{lo}","1,81M","-8,54%"'
    header = '"Дата","Цена","Откр.","Макс.","Мин.","Объём","Изм. %"'
    series = read_series(written(header, [*rows(line)][::-1], "\n", "utf-8-sig"))
    assert (series.dates == DAYS).all() and np.allclose(series.close, CLOSE)
    assert np.allclose(series.high - series.low, 5)


def test_the_path_may_be_in_quotes_and_what_was_read_is_told(written, capsys):
    path = written("date,close", rows("{iso},{c}"))
    assert (read_series(f' "{path}" ').close == CLOSE).all()
    assert capsys.readouterr().out.startswith("Дней 500: 2010-01-11 — 2011-05-25")


LINES = list(rows("{iso};{comma}"))
SPOILT = {  # what is wrong → lines, what the sentence must say
    "unsorted": (
        [*LINES[:7], LINES[8], LINES[7], *LINES[9:]], "день 18.01.2010 стоит не по порядку",
    ),
    "doubled": ([*LINES[:9], LINES[8], *LINES[9:]], "день 19.01.2010 повторяется"),
    "every hour": ([f"{day}T{h}:00;3" for day in DAYS[:50] for h in range(10, 20)],
                   "день 11.01.2010 повторяется: .* выгрузите дневные"),
    "zero": ([*LINES[:4], "2010-01-15;0,00", *LINES[5:]], "строка 6: цена 0,00 не больше нуля"),
    "negative": ([*LINES[:4], "2010-01-15;-3,2", *LINES[5:]], "строка 6: цена -3,2 не больше нуля"),
    "no price": ([*LINES[:4], "2010-01-15;", *LINES[5:]], "строка 6: цены нет"),
    "no number": ([*LINES[:4], "2010-01-15;н/д", *LINES[5:]], "строка 6: цена «н/д» не читается"),
    "nan": ([*LINES[:4], "2010-01-15;nan", *LINES[5:]], "строка 6: цена «nan» не читается"),
    "infinite": ([*LINES[:4], "2010-01-15;inf", *LINES[5:]], "строка 6: цена «inf» не читается"),
    "no day": ([*LINES[:4], "15 января;3", *LINES[5:]], "строка 6: день «15 января» не читается"),
    "no such day": ([*LINES[:4], "2010-02-30;3", *LINES[5:]], "день «2010-02-30» не читается"),
    "a day too few": (LINES[1:], "дней 499, а нужно не меньше 500"),
    "a cell too many": ([*LINES[:4], "2010-01-15;3;7", *LINES[5:]], "столбцов 3, а в заголовке 2"),
    "a cell too few": ([*LINES[:4], "2010-01-15", *LINES[5:]], "столбцов 1, а в заголовке 2"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_wrong_is_told_with_its_row_in_one_sentence(what, written):
    lines, told = SPOILT[what]
    with pytest.raises(CorpusError, match=told) as refused:
        read_series(written("date;close", lines))
    assert str(refused.value).count(". ") == 0 and str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("день недели;сумма", "нет столбцов date и close"),
        ("date;volume", "нет столбцов date и close"),
        ("2010-01-10;1444,78", "нет столбцов date и close"),
    ],
)
def test_a_table_without_titles_is_refused(header, told, written):
    with pytest.raises(CorpusError, match=told):
        read_series(written(header, LINES))


def test_a_decimal_comma_between_commas_is_not_read_as_two_columns(written):
    with pytest.raises(CorpusError, match="столбцов 3, а в заголовке 2"):
        read_series(written("date,close", rows("{iso},{comma}")))


def test_high_and_low_exchanged_are_noticed(written):
    with pytest.raises(CorpusError, match="строка 2: минимум дня больше максимума"):
        read_series(written("date;open;low;high;close", rows("{iso};{o};{h};{l};{c}")))


def test_no_file_and_another_format_are_told(tmp_path):
    with pytest.raises(CorpusError, match="не найден"):
        read_series(tmp_path / "нет.csv")
    (book := tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(CorpusError, match="XLSX"):
        read_series(book)


# The series of the course


def test_the_index_is_the_one_of_the_readme():
    series = read_series()
    assert len(series.dates) == 3036
    assert (str(series.dates[0]), str(series.dates[-1])) == ("2010-01-11", "2022-01-28")
    quiet = series.high == series.low
    assert series.dates[quiet].astype(str).tolist() == ["2022-01-07"]
    inside = [
        (series.low <= price) & (price <= series.high) for price in (series.open, series.close)
    ]
    assert np.all(inside)


def test_the_range_of_a_day_without_trade_counts_as_the_least():
    price = np.array([100.0, 100.0])
    series = Series(DAYS[:2], price, np.array([101.0, 100.0]), np.array([99.0, 100.0]), price)
    assert np.allclose(log_range(series), [np.log(np.log(101 / 99)), np.log(1e-4)])


def test_what_is_lagged_stands_behind():
    assert lagged(np.arange(4), 3).tolist() == [[0, 0, 0], [1, 0, 0], [2, 1, 0], [3, 2, 1]]


@given(st.integers(10, 5000))
def test_every_day_but_the_first_is_asked_in_one_part(days):
    rows = parts(days)
    assert rows[0].start == 0 and rows[-1].stop == days - 1
    assert all(before.stop == after.start for before, after in pairwise(rows))
    for part, border in zip(rows, (0.7, 0.85, 1), strict=True):
        assert part.stop - 1 + 1 <= int(days * border) - 1  # the last day asked lies in the part


def test_least_squares_finds_the_weights_and_a_ridge_makes_them_small():
    x = RANDOM.normal(size=(300, 3))
    y = x @ [1.0, -2.0, 0.5] + 3
    assert np.allclose(least_squares(x, y, slice(0, 200)), y)
    assert least_squares(x, y, slice(0, 200), ridge=10.0).std() < 0.2 * y.std()


def test_the_bootstrap_of_blocks_is_wider_where_neighbours_are_alike():
    alike = np.repeat(RANDOM.normal(size=100), 20)
    narrow, wide = (block_means(alike, block).std() for block in (1, 60))
    assert wide > 3 * narrow
    assert block_means(alike).mean() == pytest.approx(alike.mean(), abs=0.05)


# No forecast knows the future


def another_future(seed, border):
    """v and r of the index, and the same with noise from the day `border` on."""
    v, r, _, _, _ = market.volatility("traded")
    random, noisy_v, noisy_r = np.random.default_rng(seed), v.copy(), r.copy()
    noisy_v[border:] = random.normal(-4, 3, len(v) - border)
    noisy_r[border:] = random.normal(0, 0.1, len(v) - border)
    return (v, r), (noisy_v, noisy_r)


def asked(v):
    return np.append(v[1:], np.nan)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(2700, 3000))
def test_no_forecast_of_a_rival_changes_when_the_future_is_noise(seed, border):
    rows = parts(3035)
    (v, r), (noisy_v, noisy_r) = another_future(seed, border)
    true, noisy = (market.rivals(a, b, asked(a), rows) for a, b in ((v, r), (noisy_v, noisy_r)))
    for model in true:
        assert np.allclose(true[model][:border], noisy[model][:border], atol=1e-9), model


def peeks(border, shift=1, rows=None, epochs=1):
    """How far a net's forecasts of the days before `border` change when all from it on is noise."""
    forecasts = []
    for v, r in another_future(1, border):
        x, y = np.stack([v, r], 1), np.append(v[shift:], np.full(shift, np.nan))
        found, _ = market.learn_series(
            "lstm", x, y[:, None], rows or parts(len(v)), 0, epochs=epochs
        )
        forecasts.append(found[:border, 0])
    return np.abs(np.subtract(*forecasts)).max()


TRAIN, MIDDLE, LAST = parts(3035)
DAY_AFTER = {"training": TRAIN.stop + 1, "middle": MIDDLE.stop + 1}  # the first that is not in it


def test_a_net_learns_from_the_training_part_alone():
    assert peeks(DAY_AFTER["training"]) < 1e-6


def test_a_net_is_chosen_without_the_last_part():
    assert peeks(DAY_AFTER["middle"], epochs=4) < 1e-6


def test_a_planted_leak_is_found_target_shifted_wrongly():
    assert peeks(DAY_AFTER["training"], shift=5) > 1e-3


def test_a_planted_leak_is_found_training_targets_beyond_the_border():
    rows = slice(0, TRAIN.stop + 80), slice(TRAIN.stop + 80, MIDDLE.stop), LAST
    assert peeks(DAY_AFTER["training"], rows=rows) > 1e-3


def test_a_planted_leak_is_found_scaler_fitted_on_everything(monkeypatch):
    monkeypatch.setattr(
        market, "level_and_spread", lambda a, rows: (np.nanmean(a, 0), np.nanstd(a, 0))
    )
    assert peeks(DAY_AFTER["training"]) > 1e-3
