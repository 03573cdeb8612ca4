"""Exercises of 08: a series of prices, from an honest split in time to the search for a leak."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from lecture_utils.exercises.engine import Case, Draw, Exercise
from lecture_utils.models import detach


def _walk(draw: Draw, days: int) -> np.ndarray:
    """A series (days,) that wanders, as volatility does."""
    return 0.3 * np.cumsum(draw(days).double().numpy()) + draw(days).double().numpy()


# 08.1: parts in order of time


def _parts_inputs(draw: Draw, horizon: int = 0) -> dict:
    a, b, rest = (draw.whole(8, 14) for _ in range(3))
    return {"days": a + b + rest, "a": a, "b": a + b, "horizon": horizon or draw.whole(2, 5)}


def _ranges(*ends) -> list:
    return [list(range(first, last)) for first, last in ends]


def _parts(days, a, b, horizon):
    return _ranges((0, a - horizon), (a - horizon, b - horizon), (b - horizon, days - horizon))


SPLIT = Exercise(
    skeleton="""
def my_parts(days, a, b, horizon):
    ...
""",
    inputs=_parts_inputs,
    reference=_parts,
    cases=[
        Case("на день вперёд", "Строка t принадлежит той части, где лежит её цель — день t + 1.",
             settings={"horizon": 1}),
        Case("на пять дней вперёд", "Цель строки t — день t + horizon.", settings={"horizon": 5}),
        Case("любой срок", "Цель строки t — день t + horizon; у последних строк цели нет."),
    ],
    mistakes=[
        (lambda days, a, b, horizon: _ranges((0, a), (a, b), (b, days - horizon)), "Части нарезаны по дню, когда "
         "спрашивают. Но цели последних строк обучения лежат уже в средней части: это утечка."),
        (lambda days, a, b, horizon: _ranges((0, a), (a, b), (b, days)), "Части нарезаны по дню, когда спрашивают: "
         "цели последних строк обучения лежат уже в средней части, а у последних строк ряда цели нет вовсе."),
        (lambda days, a, b, horizon: _parts(days, a, b, 1), "Срок не учтён: цель лежит через horizon дней, а не "
         "на следующий день."),
        (lambda days, a, b, horizon: _ranges((0, a - horizon), (a, b - horizon), (b, days - horizon)), "Потеряны "
         "первые строки частей: их цель лежит в этой части, а всё, что нужно для прогноза, вечером уже известно."),
        (lambda days, a, b, horizon: _ranges((0, a - horizon + 1), (a - horizon + 1, b - horizon + 1),
         (b - horizon + 1, days - horizon + 1)), "Граница сдвинута на строку: день a — уже не обучение."),
        (lambda days, a, b, horizon: _ranges((0, a - horizon), (a - horizon, b - horizon), (b - horizon, days)),
         "У последних строк ряда цели нет: день t + horizon ещё не наступил."),
    ],
    forbidden=("parts",),
)  # fmt: skip


# 08.2: carried state, truncated backpropagation


def _learn_inputs(draw: Draw, days: int = 7, window: int = 3) -> dict:
    x, y = draw(2, days, 2), draw(2, days)
    return {"x": x.float(), "y": y.float(), "window": window, "seed": draw.whole(0, 10**6)}


def _ask_learn(function, x, y, window, seed):
    """The losses and the weights of an LSTM drawn from a seed."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 1)

        def forward(self, x, state=None):
            h, state = self.rnn(2 * x, state)
            return 3 * self.head(h)[..., 0], state

    torch.manual_seed(seed)
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    losses = function(net, optimizer, x, y, window)
    if not isinstance(losses, list | tuple):
        return losses
    with_graph = any(isinstance(loss, torch.Tensor) and loss.requires_grad for loss in losses)
    told = "тензоры вместе с графом" if with_graph else [float(loss) for loss in losses]
    return [told, torch.cat([weight.detach().flatten() for weight in net.parameters()])]


def _learned(net, optimizer, x, y, window, *, carry=detach, forget=True, step=True, mean=Tensor.mean,
             number=Tensor.item, tail=True):  # fmt: skip
    """Training over windows with one thing spoilt; without `carry` every window starts anew."""
    state, losses = None, []
    for t in range(0, x.shape[1] if tail else x.shape[1] - window + 1, window):
        forecast, state = net(x[:, t : t + window], carry(state) if carry else None)
        loss = mean((forecast - y[:, t : t + window]) ** 2)
        if forget:
            optimizer.zero_grad()
        loss.backward()
        if step:
            optimizer.step()
        losses.append(number(loss))
    return losses


def _learned_at_once(net, optimizer, x, y, window):
    return _learned(net, optimizer, x, y, x.shape[1])


LEARN = Exercise(
    skeleton="""
def my_learn(net, optimizer, x, y, window):
    state, losses = None, []
    for t in range(0, x.shape[1], window):
        ...
    return losses
""",
    inputs=_learn_inputs,
    reference=_learned,
    ask=_ask_learn,
    cases=[
        Case("одно окно", "Потери — средний квадрат ошибки по окну; потом забыть, назад, шаг.", settings={"days": 3}),
        Case("два окна", "Второе окно начинает с состояния, которым кончилось первое; градиент первого забыт.",
             settings={"days": 6}),
        Case("последнее окно короче", "Потери записывают для каждого окна, и для короткого тоже."),
    ],
    mistakes=[
        (partial(_learned, carry=None), "Состояние не перенесено: каждое окно начинает с нуля, будто до него ничего "
         "не было."),
        (partial(_learned, forget=False), "Старые градиенты не забыты: перед backward нужен optimizer.zero_grad()."),
        (partial(_learned, step=False), "Веса не изменились: step забыт, стоит до backward или "
         "градиент стёрт перед ним."),
        (partial(_learned, mean=Tensor.sum), "Потери — сумма, а нужно среднее."),
        (partial(_learned, number=lambda loss: loss), "Потери сложены вместе с графом: возьмите loss.item()."),
        (partial(_learned, tail=False), "Последнее, короткое окно потеряно."),
        (_learned_at_once, "Шаг один на весь ряд: окна не нарезаны."),
    ],
    points=3,
)  # fmt: skip


# 08.3: the exponentially weighted mean


def _ewma_inputs(draw: Draw, days: int = 9, decay: float = 0.0) -> dict:
    return {"v": draw(days).double().numpy() + 2, "decay": decay or draw.whole(60, 95) / 100}


def _ewma(v, decay, *, first=None, today=True):
    mean, means = v[0] if first is None else first, []
    for t in range(len(v)):
        if not today:
            means.append(mean)
        mean = decay * mean + (1 - decay) * v[t]
        if today:
            means.append(mean)
    return np.array(means)


def _adjusted(v, decay):
    """The weights of the days that are there are made to sum to one."""
    weights = decay ** np.arange(len(v))
    return np.array([np.average(v[: t + 1], weights=weights[: t + 1][::-1]) for t in range(len(v))])


EWMA = Exercise(
    skeleton="""
def my_ewma(v, decay):
    means = np.zeros(len(v))
    ...
    return means
""",
    inputs=_ewma_inputs,
    reference=_ewma,
    cases=[
        Case("один день", "В первый день среднее — сам этот день.", settings={"days": 1}),
        Case("два дня", "m₁ = decay·m₀ + (1 − decay)·v₁.", settings={"days": 2}),
        Case("много дней", "Каждое среднее делают из предыдущего среднего и сегодняшнего дня."),
    ],
    mistakes=[
        (lambda v, decay: _ewma(v, 1 - decay), "Веса переставлены: decay — у прошлого среднего, 1 − decay — "
         "у сегодняшнего дня."),
        (partial(_ewma, first=0.0), "Счёт начат с нуля, а в первый день среднее — сам этот день."),
        (partial(_ewma, today=False), "Сегодняшний день пропущен: вечером дня t он уже известен."),
        (lambda v, decay: _ewma(v[::-1], decay)[::-1], "Время идёт назад: в среднее попало будущее."),
        (_adjusted, "Веса поделены на их сумму, как в pandas при adjust=True; здесь нужна простая рекурсия."),
        (lambda v, decay: _ewma(v, decay)[-1], "Нужно среднее на вечер каждого дня, а не только последнего."),
        (lambda v, decay: np.concatenate([v[:1], decay * v[:-1] + (1 - decay) * v[1:]]), "Взят вчерашний день, а нужно "
         "вчерашнее среднее."),
    ],
)  # fmt: skip


# 08.4: HAR by least squares


def _har_inputs(draw: Draw, days: int = 90, level: float = -4.0) -> dict:
    return {"v": _walk(draw, days) + level, "train": draw.whole(50, 60)}


def _har(v, train, *, shift=1, rows=None, constant=True, spans=(1, 5, 22), until=1):
    """HAR with one thing spoilt; `until` 0 leaves today out of its means."""
    ends = [max(t + until, 1) for t in range(len(v))]
    mean = lambda days: (
        days.mean() if len(days) else np.nan
    )  # tomorrow of the last day is not there
    x = np.array([[mean(v[max(0, end - k) : end]) for k in spans] for end in ends])
    if constant:
        x = np.column_stack([np.ones(len(v)), x])
    rows = rows or train
    weights = np.linalg.lstsq(x[:rows], v[shift : rows + shift], rcond=None)[0]
    return x @ weights


HAR = Exercise(
    skeleton="""
def my_har(v, train):
    ...
    return forecast
""",
    inputs=_har_inputs,
    reference=_har,
    cases=[
        Case("ряд вокруг нуля", "Признаки дня t — v сегодня, среднее за 5 и за 22 дня, считая и сегодня; в начале "
             "ряда — по стольким дням, сколько есть. Веса учат на строках до train.", settings={"level": 0.0}),
        Case("ряд далеко от нуля", "Кроме трёх весов нужна постоянная: столбец единиц."),
        Case("длинный ряд", "Прогноз нужен на вечер каждого дня, и после train тоже.", settings={"days": 150}),
    ],
    mistakes=[
        (lambda v, train: _har(v, train, rows=len(v) - 1), "Веса подобраны по всему ряду: это утечка. Учат только "
         "строки от 0 до train − 1."),
        (partial(_har, constant=False), "Нет постоянной: добавьте столбец единиц."),
        (partial(_har, shift=0), "Цель — сегодняшний день, а он и так среди признаков. Цель строки t — v[t + 1]."),
        (partial(_har, shift=2), "Цель сдвинута на два дня, а строка t отвечает за v[t + 1]."),
        (partial(_har, until=0), "Сегодняшний день пропущен: вечером дня t он уже известен."),
        (partial(_har, until=2), "В среднее попал завтрашний день: это утечка. Срез v[…: t + 1] кончается днём t."),
        (partial(_har, spans=(1, 5)), "Потеряно среднее за 22 дня."),
        (partial(_har, spans=(1, 6, 23)), "Дней в средних на один больше: срез начинается с t − 4 и с t − 21."),
        (lambda v, train: _har(v, train)[:train], "Прогноз есть только на обучении, а нужен на вечер каждого дня."),
    ],
    forbidden=("least_squares",),
    points=3,
)  # fmt: skip


# 08.5: skill against a rival


def _skill_inputs(draw: Draw, days: int = 0, block: int = 5) -> dict:
    days = days or block * draw.whole(3, 5) + draw.whole(1, block - 1)
    y = draw(days).double().numpy()
    worse = [y + size * draw(days).double().numpy() for size in (0.5, 0.8)]
    return {"forecast": worse[0], "rival": worse[1], "y": y, "block": block}


def _blocks(values, block):
    return values[: len(values) // block * block].reshape(-1, block)


def _skill(forecast, rival, y, block, *, power=2, cut=_blocks):
    ours, theirs = (cut(np.abs(f - y) ** power, block).mean(1) for f in (forecast, rival))
    return 1 - ours / theirs


def _interleaved(values, block):
    count = len(values) // block
    return values[: count * block].reshape(block, count).T


def _with_tail(forecast, rival, y, block):
    starts = range(0, len(y), block)
    mse = lambda f: np.array([np.mean((f - y)[k : k + block] ** 2) for k in starts])
    return 1 - mse(forecast) / mse(rival)


SKILL = Exercise(
    skeleton="""
def my_skill(forecast, rival, y, block):
    return ...
""",
    inputs=_skill_inputs,
    reference=_skill,
    cases=[
        Case("один блок", "Выигрыш — это 1 − MSE прогноза / MSE соперника: 0 — поровну, 1 — без ошибок.",
             settings={"days": 5}),
        Case("три блока", "Блок — это block дней подряд; у каждого блока свой выигрыш.", settings={"days": 15}),
        Case("с хвостом", "Последние дни, которых на целый блок не хватает, отбросьте."),
    ],
    mistakes=[
        (lambda forecast, rival, y, block: _skill(rival, forecast, y, block), "Прогноз и соперник переставлены: "
         "делят на ошибку соперника."),
        (lambda forecast, rival, y, block: 1 - _skill(forecast, rival, y, block), "Это отношение ошибок; выигрыш — "
         "единица минус отношение."),
        (lambda forecast, rival, y, block: 1 - np.sqrt(1 - _skill(forecast, rival, y, block)), "Взяты корни, RMSE; "
         "выигрыш считают по MSE."),
        (partial(_skill, power=1), "Взяты модули ошибок, а нужны квадраты."),
        (partial(_skill, cut=_interleaved), "В блок попали дни вразбивку, а нужны дни подряд."),
        (_with_tail, "Хвост короче блока надо отбросить."),
        (lambda forecast, rival, y, block: (1 - _blocks((forecast - y) ** 2, block) / _blocks((rival - y) ** 2, block))
         .mean(1), "Усреднены отношения дней: один день, где соперник угадал, решает всё. Сначала средние, "
         "потом отношение."),
        (lambda forecast, rival, y, block: _skill(forecast, rival, y, len(y)), "Выигрыш один на весь ряд, а нужен "
         "у каждого блока."),
    ],
    points=2,
)  # fmt: skip


# 08.6: the planted leak


def _peek_inputs(draw: Draw, kind: str = "ahead", days: int = 30) -> dict:
    return {"v": _walk(draw, days), "kind": kind, "far": draw.whole(5, 9)}


def _ask_peek(function, v, kind, far):
    """What the function answers of a forecast that peeks `far` days ahead, or as far as `kind`."""
    import numpy as np

    def mean_around(v, before, after):
        edges = v[:1].repeat(before), v, v[-1:].repeat(after)
        width = before + 1 + after
        return np.convolve(np.concatenate(edges), np.full(width, 1 / width), "valid")

    def honest(v):
        return mean_around(v, 3, 0)

    def ahead(v):
        return honest(v) + 0.4 * np.concatenate([v, v[-1:].repeat(far)])[far:]

    def centred(v):
        return mean_around(v, far, far)

    def scaled(v):
        return honest((v - v.mean()) / v.std())

    forecast = {"honest": honest, "ahead": ahead, "centred": centred, "scaled": scaled}[kind]
    return function(forecast, v)


def _changes(forecast, v, days, size: float = 1.0) -> list[tuple[int, int]]:
    """Pairs (day changed, day whose forecast changed)."""
    before, pairs = forecast(v), []
    for day in days:
        other = v.copy()
        other[day] += size
        changed = np.abs(forecast(other) - before) > 1e-9
        pairs += [(day, t) for t in np.flatnonzero(changed).tolist()]
    return pairs


def _peek(forecast, v, *, of=lambda day, t: day - t, days=None):
    pairs = _changes(forecast, v, range(len(v)) if days is None else days)
    return max([of(day, t) for day, t in pairs if of(day, t) > 0], default=0)


def _peek_roughly(forecast, v):
    """Only a change as large as the series itself is seen."""
    before, found = forecast(v), 0
    for day in range(len(v)):
        other = v.copy()
        other[day] += 1
        seen = np.flatnonzero(np.abs(forecast(other) - before) > 0.15)
        found = max([found, *(day - seen)])
    return int(found)


PEEK = Exercise(
    skeleton="""
def my_peek(forecast, v):
    ...
""",
    inputs=_peek_inputs,
    reference=_peek,
    ask=_ask_peek,
    cases=[
        Case("честный прогноз", "Здесь прогноз знает только прошлое: ответ 0.", settings={"kind": "honest"}),
        Case("подсмотрен один день впереди", "Измените один день и посмотрите, какие прогнозы до него изменились.",
             settings={"kind": "ahead"}),
        Case("среднее взято по обе стороны", "Ищите самый дальний день впереди, от которого зависит прогноз.",
             settings={"kind": "centred"}),
        Case("масштаб взят по всему ряду", "Тогда прогноз первого дня зависит и от последнего, хоть и слабо: сравнивайте "
             "с малым допуском, вроде 1e-9.", settings={"kind": "scaled"}),
    ],
    mistakes=[
        (lambda forecast, v: int(_peek(forecast, v) > 0), "Ответ — на сколько дней вперёд, а не да или нет."),
        (partial(_peek, of=lambda day, t: t - day), "Найдено, как далеко прогноз помнит прошлое. Это не утечка: "
         "ищите прогнозы, которые изменились раньше изменённого дня."),
        (partial(_peek, of=lambda day, t: abs(t - day)), "В счёт попало и прошлое: помнить прошлое можно, "
         "подсматривать вперёд нельзя."),
        (partial(_peek, of=lambda day, t: day - t + 1), "На день больше: прогноз дня t вправе знать день t."),
        (partial(_peek, of=lambda day, t: day - t - 1), "На день меньше: день t + 1 — уже будущее."),
        (partial(_peek, days=[0]), "Изменён только первый день, а до него прогнозов нет."),
        (_peek_roughly, "Слабая зависимость не замечена: допуск слишком велик."),
    ],
    points=3,
)  # fmt: skip


EXERCISES = {
    "08.1": SPLIT,
    "08.2": LEARN,
    "08.3": EWMA,
    "08.4": HAR,
    "08.5": SKILL,
    "08.6": PEEK,
}
