"""Answers to the exercises of 08."""

import numpy as np
import torch

# Right


def parts_by_loop(days, a, b, horizon):
    found = [], [], []
    for t in range(days - horizon):
        target = t + horizon
        found[(target >= a) + (target >= b)].append(t)
    return found


def ewma_by_list(v, decay):
    means = [v[0]]
    for value in v[1:]:
        means.append(means[-1] + (1 - decay) * (value - means[-1]))
    return np.array(means)


def har_by_normal_equations(v, train):
    sums = np.concatenate([[0], np.cumsum(v)])
    t = np.arange(len(v))
    columns = [np.ones(len(v))]
    for days in (1, 5, 22):
        start = np.maximum(t + 1 - days, 0)
        columns.append((sums[t + 1] - sums[start]) / (t + 1 - start))
    x = np.stack(columns, axis=1)
    seen = x[:train]
    return x @ np.linalg.solve(seen.T @ seen, seen.T @ v[1 : train + 1])


def learn_by_split(net, optimizer, x, y, window):
    h_c, losses = None, []
    for x_part, y_part in zip(x.split(window, dim=1), y.split(window, dim=1)):
        if h_c is not None:
            h_c = tuple(part.detach() for part in h_c)
        forecast, h_c = net(x_part, h_c)
        loss = torch.nn.functional.mse_loss(forecast, y_part)
        net.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def skill_by_loop(forecast, rival, y, block):
    found = []
    for k in range(0, len(y) - block + 1, block):
        days = slice(k, k + block)
        found.append(1 - ((forecast - y)[days] ** 2).sum() / ((rival - y)[days] ** 2).sum())
    return np.array(found)


def peek_by_noise(forecast, v):
    """The future after each day is replaced by noise, nearer and nearer."""
    random, farthest = np.random.default_rng(1), 0
    for border in range(1, len(v)):
        other = v.copy()
        other[border:] = random.normal(size=len(v) - border)
        changed = np.flatnonzero(np.abs(forecast(other) - forecast(v))[:border] > 1e-9)
        for t in changed:
            only = v.copy()
            for day in range(len(v) - 1, t, -1):
                only = v.copy()
                only[day] += 2
                if abs(forecast(only)[t] - forecast(v)[t]) > 1e-9:
                    farthest = max(farthest, day - int(t))
                    break
    return farthest


def peek_day_by_day(forecast, v):
    known, far = forecast(v), 0
    for day in range(len(v)):
        other = v.copy()
        other[day] -= 3.0
        for t in range(day):
            if abs(forecast(other)[t] - known[t]) > 1e-10:
                far = max(far, day - t)
                break
    return far


RIGHT = {
    "08.1": [parts_by_loop],
    "08.3": [ewma_by_list],
    "08.4": [har_by_normal_equations],
    "08.2": [learn_by_split],
    "08.5": [skill_by_loop],
    "08.6": [peek_by_noise, peek_day_by_day],
}

# Wrong


def spoilt_parts(what):
    def parts(days, a, b, horizon):
        shift = {"by day": 0, "no end": 0, "one": 1}.get(what, horizon)
        ends = [0, a - shift, b - shift, days - (0 if what in ("no end", "tail") else horizon)]
        if what == "one":
            ends[-1] = days - 1
        if what == "late":
            ends = [0, a - horizon + 1, b - horizon + 1, days - horizon + 1]
        found = [list(range(*pair)) for pair in zip(ends, ends[1:])]
        if what == "gap":
            found[1:] = [list(range(a, b - horizon)), list(range(b, days - horizon))]
        return found

    return parts


def spoilt_ewma(what):
    def ewma(v, decay):
        decay = 1 - decay if what == "swapped" else decay
        v = v[::-1] if what == "back" else v
        m, means = 0.0 if what == "zero" else v[0], []
        for k, x in enumerate(v):
            if what == "without":
                means.append(m)
            before = v[max(k - 1, 0)] if what == "yesterday" else m
            m = decay * before + (1 - decay) * x
            if what != "without":
                means.append(m)
        if what == "last":
            return m
        return np.array(means[::-1] if what == "back" else means)

    return ewma


def spoilt_har(what):
    def har(v, train):
        spans = {"two": [1, 5], "longer": [1, 6, 23]}.get(what, [1, 5, 22])
        rows = len(v) - 1 if what == "leak" else train
        move = {"yesterday": 0, "tomorrow": 2}.get(what, 1)
        x = []
        for t in range(len(v)):
            end = max(t + move, 1)
            row = [np.mean(v[max(0, end - k) : end]) for k in spans]
            x.append(row if what == "no constant" else [*row, 1.0])
        x = np.array(x)
        shift = {"today": 0, "two days": 2}.get(what, 1)
        w = np.linalg.lstsq(x[:rows], v[shift : rows + shift], rcond=None)[0]
        return x[:train] @ w if what == "short" else x @ w

    return har


def spoilt_learn(what):
    def learn(net, optimizer, x, y, window):
        state, losses = None, []
        window = x.shape[1] if what == "whole" else window
        for t in range(0, x.shape[1] - (window - 1 if what == "short" else 0), window):
            if what == "reset":
                state = None
            elif state is not None and what != "graph of all":
                state = tuple(part.detach() for part in state)
            if what != "keep" and what != "erased":
                optimizer.zero_grad()
            forecast, new = net(x[:, t : t + window], state)
            state = None if what == "old" else new
            error = (forecast - y[:, t : t + window]) ** 2
            loss = error.sum() if what == "sum" else error.mean()
            loss.backward()
            if what == "erased":
                optimizer.zero_grad()
            if what != "no step":
                optimizer.step()
            losses.append(loss if what == "with graph" else loss.item())
        return losses

    return learn


def spoilt_skill(what):
    def skill(forecast, rival, y, block):
        count = len(y) // block
        size = (lambda e: np.abs(e)) if what == "abs" else (lambda e: e**2)
        if what == "whole":
            return np.array([1 - np.mean((forecast - y) ** 2) / np.mean((rival - y) ** 2)])[:count]
        if what == "tail":
            cut = lambda e: [
                part.mean() for part in np.array_split(size(e), range(block, len(e), block))
            ]
        elif what == "mixed":
            cut = lambda e: [size(e)[: count * block][k::count].mean() for k in range(count)]
        else:
            cut = lambda e: [size(e[k * block : (k + 1) * block]).mean() for k in range(count)]
        ours, theirs = np.array(cut(forecast - y)), np.array(cut(rival - y))
        if what == "inverse":
            ours, theirs = theirs, ours
        if what == "days":
            days = 1 - size(forecast - y) / size(rival - y)
            return days[: count * block].reshape(count, block).mean(1)
        ratio = ours / theirs
        return ratio if what == "ratio" else 1 - (np.sqrt(ratio) if what == "root" else ratio)

    return skill


def spoilt_peek(what):
    def peek(forecast, v):
        found = 0
        for day in [0] if what == "first" else range(len(v)):
            other = v.copy()
            other[day] += 1
            change = np.abs(forecast(other) - forecast(v))
            for t in np.flatnonzero(change > (0.15 if what == "rough" else 1e-9)):
                far = int(day - t)
                far = {"past": -far, "both": abs(far)}.get(what, far)
                far += {"more": 1, "less": -1}.get(what, 0)
                found = max(found, far)
        return found > 0 if what == "yes" else found

    return peek


WRONG = {  # answer, what its hint must name
    "08.1": [
        (spoilt_parts("by day"), "это утечка"),
        (spoilt_parts("no end"), "цели нет вовсе"),
        (spoilt_parts("one"), "Срок не учтён"),
        (spoilt_parts("gap"), "Потеряны"),
        (spoilt_parts("late"), "сдвинута на строку"),
        (spoilt_parts("tail"), "ещё не наступил"),
    ],
    "08.3": [
        (spoilt_ewma("swapped"), "Веса переставлены"),
        (spoilt_ewma("zero"), "начат с нуля"),
        (spoilt_ewma("without"), "Сегодняшний день пропущен"),
        (spoilt_ewma("back"), "Время идёт назад"),
        (spoilt_ewma("yesterday"), "вчерашнее среднее"),
        (spoilt_ewma("last"), "каждого дня"),
    ],
    "08.4": [
        (spoilt_har("leak"), "по всему ряду"),
        (spoilt_har("no constant"), "столбец единиц"),
        (spoilt_har("today"), "среди признаков"),
        (spoilt_har("two days"), "на два дня"),
        (spoilt_har("yesterday"), "Сегодняшний день пропущен"),
        (spoilt_har("tomorrow"), "завтрашний день"),
        (spoilt_har("two"), "Потеряно среднее за 22"),
        (spoilt_har("longer"), "на один больше"),
        (spoilt_har("short"), "только на обучении"),
    ],
    "08.2": [
        (spoilt_learn("reset"), "Состояние не перенесено"),
        (spoilt_learn("old"), "Состояние не перенесено"),
        (spoilt_learn("graph of all"), "отрежьте прошлое (detach)"),
        (spoilt_learn("keep"), "Старые градиенты не забыты"),
        (spoilt_learn("erased"), "стёрт перед ним"),
        (spoilt_learn("no step"), "step забыт"),
        (spoilt_learn("sum"), "Потери — сумма"),
        (spoilt_learn("with graph"), "loss.item()"),
        (spoilt_learn("short"), "короткое окно потеряно"),
        (spoilt_learn("whole"), "окна не нарезаны"),
    ],
    "08.5": [
        (spoilt_skill("inverse"), "переставлены"),
        (spoilt_skill("ratio"), "единица минус"),
        (spoilt_skill("root"), "Взяты корни"),
        (spoilt_skill("abs"), "модули"),
        (spoilt_skill("mixed"), "вразбивку"),
        (spoilt_skill("tail"), "отбросить"),
        (spoilt_skill("days"), "Усреднены отношения"),
        (spoilt_skill("whole"), "один на весь ряд"),
    ],
    "08.6": [
        (spoilt_peek("yes"), "а не да или нет"),
        (spoilt_peek("past"), "помнит прошлое"),
        (spoilt_peek("both"), "помнить прошлое можно"),
        (spoilt_peek("more"), "На день больше"),
        (spoilt_peek("less"), "На день меньше"),
        (spoilt_peek("first"), "только первый день"),
        (spoilt_peek("rough"), "допуск слишком велик"),
    ],
}  # fmt: skip
