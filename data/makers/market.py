"""Makers for notebook 08: the index of the Moscow Exchange, and markets made up."""

import math
from collections.abc import Iterator
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import nn

from lecture_utils import metrics
from lecture_utils.models import LAYERS, detach
from lecture_utils.series import Series, lagged, least_squares, log_range, parts, read_series
from makers import SEEDS

SERIES_NETS = ("rnn", "gru", "lstm")
RIDGES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def squares(forecast: np.ndarray, y: np.ndarray, rows: slice) -> np.ndarray:
    """Squared errors of a forecast on some rows."""
    return (forecast - y)[rows] ** 2


def chosen(forecasts: dict, y: np.ndarray, middle: slice) -> np.ndarray:
    """The forecast that is best on the middle part."""
    return min(forecasts.values(), key=lambda f: squares(f, y, middle).mean())


def mean_of_days(v: np.ndarray, days: int) -> np.ndarray:
    """The mean of today and the days before it, `days` in all."""
    return lagged(v, days).mean(1)


def ewma(v: np.ndarray, decay: float) -> np.ndarray:
    """Exponentially weighted mean of today and all days before it."""
    mean = v.copy()
    for t in range(1, len(v)):
        mean[t] = decay * mean[t - 1] + (1 - decay) * v[t]
    return mean


def har(v: np.ndarray) -> np.ndarray:
    """Features of HAR (days, 3): today, the mean of a week, of a month (Corsi 2009)."""
    return np.stack([mean_of_days(v, days) for days in (1, 5, 22)], axis=1)


def rivals(v, r, y, rows) -> dict[str, np.ndarray]:
    """Forecasts (days,) of those who are no nets; choices are made on the middle part."""
    train, middle, _ = rows
    twenty = np.hstack([lagged(v, 20), lagged(r, 20)])
    with_falls = np.hstack([har(v), har(np.minimum(r, 0))])
    return {
        "yesterday": v,
        "mean": mean_of_days(v, 22),
        "ewma": chosen({d: ewma(v, d) for d in np.arange(0.5, 1, 0.02)}, y, middle),
        "har": least_squares(har(v), y, train),
        "har_falls": least_squares(with_falls, y, train),
        "ridge": chosen({k: least_squares(twenty, y, train, k) for k in RIDGES}, y, middle),
    }


def garch(r: np.ndarray, y: np.ndarray, train: slice) -> np.ndarray | None:
    """Forecasts of y by ln σ of GARCH(1,1), which sees returns only; None without arch."""
    try:
        from arch import arch_model
    except ImportError:
        return None
    percent = 100 * r
    model = arch_model(percent[train], mean="Constant", vol="GARCH", p=1, q=1)
    mu, omega, alpha, beta = model.fit(disp="off").params
    variance = np.empty(len(r))  # of the next day
    before = percent[train].var()
    for t, value in enumerate(percent):
        before = variance[t] = omega + alpha * (value - mu) ** 2 + beta * before
    return least_squares(np.log(variance)[:, None] / 2, y, train)


def one_epoch(net, head, optimizer, windows) -> None:
    """Truncated BPTT over pairs of windows x, y (streams, time, …), the state carried."""
    weights, state = [*net.parameters(), *head.parameters()], None
    for x, y in windows:
        h, state = net(x, detach(state))
        optimizer.zero_grad()
        (head(h) - y).square().mean().backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()


def learn_series(cell, x, y, rows, seed, epochs=60, units=16, streams=8, window=50, rate=0.005):
    """Forecasts (days, targets) of a net that read x (days, features); those of its best epoch.

    Truncated BPTT on streams of the training part, the state carried; chosen on the middle part.
    """
    torch.manual_seed(seed)
    train, middle, _ = rows
    scale = lambda a, level, spread: torch.tensor((a - level) / spread, dtype=torch.float32)
    level, spread = level_and_spread(y, train)
    inputs, targets = scale(x, *level_and_spread(x, train)), scale(y, level, spread)
    length = train.stop // streams
    cut_up = lambda a: a[: streams * length].view(streams, length, -1).split(window, 1)
    net, head = LAYERS[cell](x.shape[1], units, batch_first=True), nn.Linear(units, y.shape[1])
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=rate)
    best, kept = math.inf, None
    for _ in range(epochs):
        one_epoch(net, head, optimizer, zip(cut_up(inputs), cut_up(targets), strict=True))
        with torch.no_grad():
            forecast = head(net(inputs[None])[0])[0]
        loss = (forecast - targets)[middle].square().mean().item()
        if loss < best:
            best, kept = loss, (forecast.numpy() * spread + level, state_of(net, head))
    return kept


def level_and_spread(a: np.ndarray, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column (columns,), of these rows only."""
    return a[rows].mean(0), a[rows].std(0)


def state_of(*modules) -> list[dict]:
    """Copies of the weights of modules."""
    return [{name: w.clone() for name, w in m.state_dict().items()} for m in modules]


def volatility(days: str):
    """What is known each evening, what is asked, and the parts: v, r, y, rows, dates.

    `days`: "all", or "traded" without those on which high = low.
    """
    series = read_series()
    if days == "traded":
        series = Series(*(column[series.high > series.low] for column in series))
    v, r = log_range(series), np.diff(np.log(series.close), prepend=np.log(series.close[0]))
    return v, r, np.append(v[1:], np.nan), parts(len(v)), series.dates


def series_row(experiment, model, value, *, days="traded", seed="", part="last", step=1, values=()):
    """A row of the table; `values` (time,) are those that `value` is the mean of."""
    row = {"experiment": experiment, "days": days, "model": model, "seed": seed, "part": part}
    ends = np.quantile(metrics.block_means(values), (0.025, 0.975)) if len(values) else ()
    low, high = (f"{end:.5f}" for end in ends) if len(values) else ("", "")
    return row | {"step": step, "value": f"{value:.5f}", "low": low, "high": high}


def all_forecasts(v, r, y, rows, seeds=SEEDS) -> dict[tuple, np.ndarray]:
    """(model, seed) → forecasts (days,); the mean of a net's seeds stands under seed «mean»."""
    found = {(model, ""): forecast for model, forecast in rivals(v, r, y, rows).items()}
    if (by_garch := garch(r, y, rows[0])) is not None:
        found["garch", ""] = by_garch
    for cell in SERIES_NETS:
        for seed in seeds:
            forecast, _ = learn_series(cell, np.stack([v, r], 1), y[:, None], rows, seed)
            found[cell, seed] = forecast[:, 0]
        found[cell, "mean"] = np.mean([found[cell, seed] for seed in seeds], axis=0)
    return found


def best_rival(found: dict, y: np.ndarray, middle: slice) -> str:
    """The model without a net that is best on the middle part."""
    names = [model for model, _ in found if model not in SERIES_NETS]
    return min(names, key=lambda model: squares(found[model, ""], y, middle).mean())


def series_errors(days: str) -> Iterator[dict]:
    """Errors of all on the middle and on the last part; what the nets gain; the risk of a fall."""
    v, r, y, rows, _ = volatility(days)
    found = all_forecasts(v, r, y, rows)
    for (model, seed), forecast in found.items():
        for part, where in zip(("train", "middle", "last"), rows, strict=True):
            loss = squares(forecast, y, where)
            yield series_row("error", model, loss.mean(), days=days, seed=seed, part=part)
    rival = best_rival(found, y, rows[1])
    for cell in SERIES_NETS:
        nets = [squares(found[cell, seed], y, rows[2]) for seed in SEEDS]
        for seed, loss in [
            ("", np.mean(nets, 0)),
            ("mean", squares(found[cell, "mean"], y, rows[2])),
        ]:
            gain = squares(found[rival, ""], y, rows[2]) - loss
            name = f"{rival} - {cell}"
            yield series_row("gain", name, gain.mean(), days=days, seed=seed, values=gain)
    if days == "traded":
        yield from series_risk({**found, ("constant", ""): np.zeros_like(v)}, r, rows)


def series_risk(found: dict, r: np.ndarray, rows) -> Iterator[dict]:
    """Share of days beyond the forecast 5 % quantile, and the quantile loss in percent."""
    train, _, last = rows
    after = np.append(r[1:], np.nan)
    for (model, seed), forecast in found.items():
        quantile = np.exp(forecast) * np.quantile((after / np.exp(forecast))[train], 0.05)
        beyond = (after < quantile)[last]
        yield series_row("risk", model, beyond.mean(), seed=seed, values=beyond)
        loss = 100 * ((0.05 - (after < quantile)) * (after - quantile))[last]
        yield series_row("quantile_loss", model, loss.mean(), seed=seed, values=loss)


def series_origins(years=range(2016, 2022)) -> Iterator[dict]:
    """Errors year after year: learned before, chosen on the year before, scored on the year."""
    v, r, y, _, dates = volatility("traded")
    gains = {cell: [] for cell in SERIES_NETS}
    for year in years:
        starts = np.searchsorted(dates, [np.datetime64(f"{year + k}-01-01") for k in (-1, 0, 1)])
        a, b, c = (int(start) - 1 for start in starts)
        rows = slice(0, a), slice(a, b), slice(b, min(c, len(v) - 1))
        found = all_forecasts(v, r, y, rows)
        for (model, seed), forecast in found.items():
            loss = squares(forecast, y, rows[2])
            yield series_row("origin", model, loss.mean(), seed=seed, part=year)
        rival = squares(found[best_rival(found, y, rows[1]), ""], y, rows[2])
        for cell in SERIES_NETS:
            nets = [squares(found[cell, seed], y, rows[2]) for seed in SEEDS]
            gains[cell].append(rival - np.mean(nets, 0))
    for cell, parts_of in gains.items():
        gain = np.concatenate(parts_of)
        yield series_row("origin_gain", cell, gain.mean(), part="all years", values=gain)


def series_steps(longest: int = 20, seeds=SEEDS) -> Iterator[dict]:
    """Errors 1…20 days ahead of v from v alone: each day asked directly, or step by step."""
    v, _, _, (train, middle, last), _ = volatility("traded")
    y = np.stack([np.append(v[k:], np.full(k, np.nan)) for k in range(1, longest + 1)], 1)
    rows = [slice(part.start, part.stop - longest + 1) for part in (train, middle, last)]
    found = {("mean", ""): np.repeat(mean_of_days(v, 22)[:, None], longest, 1)}
    direct = [least_squares(har(v), y[:, k], rows[0]) for k in range(longest)]
    found["har_direct", ""] = np.stack(direct, 1)
    for seed in seeds:
        found["lstm_direct", seed], _ = learn_series("lstm", v[:, None], y, rows, seed)
        one, weights = learn_series("lstm", v[:, None], y[:, :1], (train, middle, last), seed)
        found["lstm_steps", seed] = step_by_step(v, weights, train, one, longest)
    for (model, seed), forecast in found.items():
        for k in range(longest):
            loss = squares(forecast[:, k], y[:, k], rows[2])
            yield series_row("steps", model, loss.mean(), seed=seed, step=k + 1)
    of = lambda model, seed, k: squares(found[model, seed][:, k], y[:, k], rows[2])
    for k in range(longest):
        nets = np.mean([of("lstm_steps", seed, k) for seed in seeds], 0)
        gain = of("har_direct", "", k) - nets
        yield series_row(
            "steps_gain", "har_direct - lstm_steps", gain.mean(), step=k + 1, values=gain
        )


def step_by_step(v, weights, train, one, longest: int) -> np.ndarray:
    """Forecasts (days, longest) of an LSTM that reads, after today, its own answers."""
    units = weights[1]["weight"].shape[1]
    net, head = nn.LSTM(1, units, batch_first=True), nn.Linear(units, 1)
    net.load_state_dict(weights[0])
    head.load_state_dict(weights[1])
    seen, target = v[train], v[1 : train.stop + 1]
    scale = lambda a: torch.tensor((a - seen.mean()) / seen.std(), dtype=torch.float32)[
        :, None, None
    ]
    with torch.no_grad():
        states, state = [], None
        for x in scale(v):
            states.append(state := net(x[None], state)[1])
        state = tuple(torch.cat(part, 1) for part in zip(*states, strict=True))  # every evening's
        answers = []
        for _ in range(longest):
            answers.append(head(state[0][0])[:, 0].numpy() * target.std() + target.mean())
            state = net(scale(answers[-1]), state)[1]
    assert np.allclose(answers[0], one[:, 0], atol=1e-4)
    return np.stack(answers, 1)


LEAKS = ("early", "honest", "minmax", "shuffled", "today")


def learn_price(close, leak: str, seed: int, window=20, units=16, epochs=25) -> dict[tuple, float]:
    """RMSE in points of an LSTM on the price and of yesterday's price, on what it has seen and not.

    As such forecasts are made of `close` (days,): windows of prices between 0 and 1, 0.85 of them
    to learn, the rest to judge; "early": 0.7 to learn, the same to judge. `leak`: "minmax" of all
    days; "shuffled" windows; "today" stands in the window and is asked.
    """
    torch.manual_seed(seed)
    windows = np.lib.stride_tricks.sliding_window_view(close, window + 1)
    order = np.arange(len(windows))
    if leak == "shuffled":
        order = np.random.default_rng(seed).permutation(order)
    learned = 0.7 if leak == "early" else 0.85
    train, test = order[: int(learned * len(order))], order[int(0.85 * len(order)) :]
    known = close if leak == "minmax" else windows[train]
    low, high = known.min(), known.max()
    scaled_prices = torch.tensor((windows - low) / (high - low)).float()[..., None]
    inputs = scaled_prices[:, 1:] if leak == "today" else scaled_prices[:, :-1]
    targets = scaled_prices[:, -1, 0]
    net, head = nn.LSTM(1, units, batch_first=True), nn.Linear(units, 1)
    weights = [*net.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(weights, lr=0.01)
    answer = lambda part: head(net(inputs[part])[0][:, -1])[:, 0]
    for _ in range(epochs):
        for part in torch.tensor(train)[torch.randperm(len(train))].split(128):
            optimizer.zero_grad()
            (answer(part) - targets[part]).square().mean().backward()
            optimizer.step()
    with torch.no_grad():
        forecast = answer(slice(None)).numpy() * (high - low) + low
    rmse = lambda f, part: float(np.sqrt(np.mean((f - windows[:, -1])[part] ** 2)))
    models = {"lstm": forecast, "yesterday": windows[:, -2]}
    where = {"train": train, "last": test}
    return {(m, p): rmse(models[m], where[p]) for m, p in product(models, where)}


def series_leaks() -> Iterator[dict]:
    """The beautiful forecast of the price, honest and with each leak."""
    close = read_series().close
    for leak, seed in product(LEAKS, SEEDS):
        for (model, part), value in learn_price(close, leak, seed).items():
            yield series_row("leak", model, value, days=leak, seed=seed, part=part)


WORLDS = ("straight", "bent")  # whether a fall of today raises the volatility of tomorrow


def made_markets(world: str, count: int, days: int, seed: int) -> tuple[np.ndarray, ...]:
    """Simulated v, r and true ln σ (count, days) of markets that all follow one law.

    ln σ is a slow and a fast autoregression; v is ln σ and the noise of a range. That is all of the
    law of the world "straight"; in the world "bent" a fall beyond half a σ raises the fast one.
    """
    random = np.random.default_rng(seed)
    slow, fast, found = np.zeros(count), np.zeros(count), []
    for _ in range(days + 300):
        level = slow + fast - 4.4
        z, r_scale = random.normal(size=count), 0.62 * np.exp(level)
        found.append((level + 0.29 * random.normal(size=count), r_scale * z, level))
        shock = (world == "bent") * (0.18 * np.maximum(-z - 0.5, 0) - 0.06)
        slow = 0.985 * slow + 0.05 * random.normal(size=count)
        fast = 0.85 * fast + shock + 0.1 * random.normal(size=count)
    return tuple(np.array(part).T[:, 300:] for part in zip(*found, strict=True))


def learn_markets(v, r, asked_v, asked_r, seed, epochs=80, learned=2100) -> np.ndarray:
    """Forecasts (markets, days) for other markets of an LSTM of 16 that learned from all of v, r.

    As `learn_series`: eight streams a market, windows of 50; chosen on the days after `learned`,
    every fourth epoch.
    """
    torch.manual_seed(seed)
    level, spread, size = v.mean(), v.std(), r.std()
    scale = lambda v, r: torch.tensor(np.stack([(v - level) / spread, r / size], -1)).float()
    x, fresh = scale(v, r), scale(asked_v, asked_r)
    net, head = nn.LSTM(2, 16, batch_first=True), nn.Linear(16, 1)
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=0.005)
    length, best = (learned - 1) // 8, math.inf
    streams = lambda a: a[:, : 8 * length].reshape(8 * len(v), length, -1).split(50, 1)
    for epoch in range(1, epochs + 1):
        one_epoch(net, head, optimizer, zip(streams(x), streams(x[:, 1:, :1]), strict=True))
        if epoch % 4:
            continue
        with torch.no_grad():
            error = head(net(x[:, :-1])[0]) - x[:, 1:, :1]
            if (loss := error[:, learned - 1 :].square().mean().item()) < best:
                best, forecast = loss, head(net(fresh)[0])[..., 0].numpy() * spread + level
    return forecast


def series_markets(counts=(1, 16), seeds=SEEDS, epochs=80) -> Iterator[dict]:
    """The same net and linear rivals that learned from one market or from 16, on thirty others."""
    falls = lambda v, r: np.hstack([har(v), har(np.minimum(r, 0))])
    features = {
        "har_falls": falls,
        "har_scaled_falls": lambda v, r: falls(v, r / np.exp(v)),
        "ridge": lambda v, r: np.hstack([lagged(v, 20), lagged(r, 20)]),
    }
    for world in WORLDS:
        asked_v, asked_r, truth = made_markets(world, 30, 550, 10**6)
        loss = lambda forecast: ((forecast - asked_v)[:, 101:] ** 2).mean()  # noqa: B023
        yield series_row("market", "oracle", loss(truth), days=world)
        for count, seed in product(counts, seeds):
            v, r, _ = made_markets(world, count, 2500, seed)
            row = partial(series_row, "market", days=world, seed=seed, part=count)
            for model, of in features.items():
                seen = np.concatenate([of(*pair)[:-1] for pair in zip(v, r, strict=True)])
                fresh = [of(*pair)[:-1] for pair in zip(asked_v, asked_r, strict=True)]
                y = np.append(v[:, 1:].ravel(), np.full(30 * 549, np.nan))
                x, known = np.concatenate([seen, *fresh]), slice(0, len(seen))
                found = least_squares(x, y, known, 0.001)[len(seen) :].reshape(30, 549)
                yield row(model, loss(np.hstack([asked_v[:, :1], found])))
            found = learn_markets(v, r, asked_v, asked_r, seed, epochs)[:, :-1]
            yield row("lstm", loss(np.hstack([asked_v[:, :1], found])))


def series():
    """Rows of data/series.csv."""
    yield from series_leaks()
    for days in ("all", "traded"):
        yield from series_errors(days)
    yield from series_steps()
    yield from series_origins()
    yield from series_markets()
