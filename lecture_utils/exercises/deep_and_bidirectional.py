"""Exercises of 04: layers on layers, two directions, rows of different lengths."""

from functools import partial

import torch
from torch import Tensor, nn

from lecture_utils import cells
from lecture_utils.exercises.engine import Case, Draw, Exercise
from lecture_utils.exercises.rnn_theory import by_row, read_packed, torch_rnn

# Weights of a chain are a bag of U (hidden, input), W (hidden, hidden), b (hidden,).


def _chain(draw: Draw, inputs: int, hidden: int = 4) -> cells.RNNWeights:
    return cells.RNNWeights(draw(hidden, inputs), draw(hidden, hidden) / 2, draw(hidden))


def _lengths(draw: Draw, batch: int, T: int) -> Tensor:
    """The first row is full, the others shorter, as a batch has them."""
    return torch.cat([torch.tensor([T]), draw.whole(1, T - 1, batch - 1)])


# 04.1: two layers


def _stack_inputs(draw: Draw, T: int | None = None) -> dict:
    x = draw(2, T or draw.whole(3, 5), 3)
    return {"x": x, "lower": _chain(draw, 3), "upper": _chain(draw, 4)}


def _by_two_layers(x, lower, upper):
    return torch_rnn({"l0": lower, "l1": upper}, num_layers=2)(x)


def _stack(x, lower, upper, what):
    """Two layers with one thing spoilt."""
    W = {"shared": lower.W, "no past": 0 * upper.W}.get(what, upper.W)
    p = cells.RNNWeights(upper.U, W, 0 * upper.b if what == "no b" else upper.b)
    s_1 = s_2 = x.new_zeros(len(x), len(p.b))
    both = []
    for x_t in x.unbind(1):
        before = s_1
        W = lower.W if what == "not T" else lower.W.T
        s_1 = torch.tanh(x_t @ lower.U.T + s_1 @ W + lower.b)
        given, past = before if what == "late" else s_1, s_1 if what == "crossed" else s_2
        a = given @ p.U.T + past @ (p.W if what == "not T" else p.W.T) + p.b
        s_2 = a if what == "no f" else torch.tanh(a)
        both.append((s_1, s_2))
    lowers, uppers = (torch.stack(states, 1) for states in zip(*both, strict=True))
    states = lowers if what == "lower" else uppers
    last = {"upside down": (s_2, s_1), "upper": (s_2, s_2)}.get(what, (s_1, s_2))
    return states, torch.stack(last, 1 if what == "axis" else 0)


LAYERS = Exercise(
    skeleton="""
def my_two_layers(x, lower, upper):
    s_1 = s_2 = x.new_zeros(len(x), len(upper.b))
    states = []
    for x_t in x.unbind(1):
        ...
    return torch.stack(states, 1), torch.stack([s_1, s_2])
""",
    inputs=_stack_inputs,
    reference=_by_two_layers,
    cases=[
        Case("один шаг, только матрицы U", "s_1 = tanh(U_1 x), s_2 = tanh(U_2 s_1): вход верхнего "
             "слоя — состояние нижнего на том же шаге.", only="x U", settings={"T": 1}),
        Case("один шаг", "У каждого слоя своё смещение b.", settings={"T": 1}),
        Case("два шага", "Каждый слой помнит своё прошлое состояние: s_1 идёт через W нижнего, s_2 — через "
             "W верхнего.", settings={"T": 2}),
        Case("длинный ряд", "Наружу — состояния верхнего слоя на всех шагах и последние состояния обоих."),
    ],
    mistakes=[
        (partial(_stack, what="late"), "Верхний слой взял прошлое состояние нижнего, а нужно состояние того же шага: "
         "сначала s_1, потом s_2."),
        (partial(_stack, what="shared"), "У верхнего слоя своя матрица W, а взята W нижнего."),
        (partial(_stack, what="crossed"), "W верхнего слоя умножает его собственное прошлое s_2, а не s_1."),
        (partial(_stack, what="not T"), "W не транспонирована: строки пакета умножают справа, s @ W.T."),
        (partial(_stack, what="no past"), "Верхний слой не помнит прошлого: нет слагаемого с W."),
        (partial(_stack, what="no b"), "У верхнего слоя забыто смещение b."),
        (partial(_stack, what="no f"), "У верхнего слоя забыт tanh."),
        (partial(_stack, what="lower"), "Это состояния нижнего слоя, а наружу идут состояния верхнего."),
        (partial(_stack, what="upside down"), "Последние состояния перепутаны: сначала нижний слой, потом верхний."),
        (partial(_stack, what="upper"), "Последние состояния нужны обоих слоёв, а дважды взят верхний."),
        (partial(_stack, what="axis"), "Первая ось последних состояний — слой, а не пакет."),
    ],
    forbidden=("cells", "nn.RNN", "nn.RNNCell"),
    points=2,
)  # fmt: skip


# 04.2: both directions


def _both_inputs(draw: Draw, T: int | None = None) -> dict:
    x = draw(2, T or draw.whole(3, 5), 3)
    return {"x": x, "there": _chain(draw, 3), "back": _chain(draw, 3)}


def _by_two_chains(x, there, back):
    return torch_rnn({"l0": there, "l0_reverse": back}, bidirectional=True)(x)[0]


def _run(p, x, s=None):
    s, states = x.new_zeros(len(x), len(p.b)) if s is None else s, []
    for x_t in x.unbind(1):
        s = torch.tanh(x_t @ p.U.T + s @ p.W.T + p.b)
        states.append(s)
    return torch.stack(states, 1)


def _join(x, there, back, what):
    if what == "swapped weights":
        there, back = back, there
    if what == "one chain":
        back = there
    right = _run(there, x)
    left = _run(back, x.flip(1), right[:, -1] if what == "carried" else None)
    if what == "before":
        left = torch.cat([0 * left[:, :1], left[:, :-1]], 1)
    if what == "shifted":
        left = _run(back, x.flip(1).roll(1, 1))  # x[:, -t] begins with x[:, 0]
    left = {"not back": left, "not reversed": _run(back, x)}.get(what, left.flip(1))
    parts = [left, right] if what == "swapped" else [right, left]
    return torch.cat(parts, 1 if what == "axis" else 2) if what != "sum" else right + left


BOTH = Exercise(
    skeleton="""
def my_both(x, there, back):
    T = x.shape[1]
    right, left = [], []
    ...
    return torch.cat([torch.stack(right, 1), torch.stack(left, 1)], dim=2)
""",
    inputs=_both_inputs,
    reference=_by_two_chains,
    cases=[
        Case("один шаг", "Обе цепочки видят x_1; первые H чисел — цепочка there, остальные — back.",
             settings={"T": 1}),
        Case("два шага без памяти", "Без памяти обе половины шага t зависят только от x_t: состояния обратной "
             "цепочки надо вернуть в порядок времени.", only="x U b", settings={"T": 2}),
        Case("два шага", "Цепочка back начинает с конца: её прошлое — состояние шага t + 1.", settings={"T": 2}),
        Case("длинный ряд", "Две цепочки независимы: каждая начинает с нулей и идёт со своими весами."),
    ],
    mistakes=[
        (partial(_join, what="not back"), "Обратная цепочка стоит в порядке чтения, а не времени: переверните её состояния обратно."),
        (partial(_join, what="not reversed"), "Обе цепочки читают слева направо. Вторая должна начинать с последнего шага."),
        (partial(_join, what="swapped"), "Половины поменялись местами: сначала слева направо, потом справа налево."),
        (partial(_join, what="swapped weights"), "Веса перепутаны: слева направо идёт there, справа налево — back."),
        (partial(_join, what="one chain"), "У обратной цепочки свои веса, back, а взяты there."),
        (partial(_join, what="carried"), "Обратная цепочка начинает с нулей, а не с последнего состояния прямой."),
        (partial(_join, what="before"), "Обратная цепочка записана до шага, а её состояние нужно после него."),
        (partial(_join, what="shifted"), "Справа налево начинают с x[:, -1], а x[:, -0] — это первый шаг."),
        (partial(_join, what="sum"), "Состояния склеивают (cat), а не складывают: выходит 2H чисел."),
    ],
    forbidden=("cells", "nn.RNN", "nn.RNNCell"),
    points=2,
)  # fmt: skip


# 04.3: how many numbers such a network has


def _count_inputs(draw: Draw, layers: int = 1, directions: int = 1) -> dict:
    size = draw.whole(3, 9)
    hidden = size + draw.whole(1, 5)
    return {"size": size, "hidden": hidden, "layers": layers, "directions": directions}


def _by_counting(size, hidden, layers, directions):
    net = nn.RNN(size, hidden, layers, bidirectional=directions == 2, device="meta")
    return sum(w.numel() for w in net.parameters())


def _count(size, hidden, layers, directions, width=None, biases=2, ways=None, square=True):
    """Counted with another width of the upper layers' input, another number of biases or ways."""
    width = directions * hidden if width is None else width(size, hidden)
    sizes = [size] + (layers - 1) * [width]
    one = sum(hidden * (n + square * hidden + biases) for n in sizes)
    return one * (directions if ways is None else ways)


COUNT = Exercise(
    skeleton="""
def my_parameters(size, hidden, layers, directions):
    ...
""",
    inputs=_count_inputs,
    reference=_by_counting,
    cases=[
        Case("один слой, одно направление", "U — hidden × size, W — hidden × hidden и два смещения по hidden."),
        Case("один слой, два направления", "У каждого направления все свои веса.", settings={"directions": 2}),
        Case("три слоя, одно направление", "Вход второго и третьего слоя — состояние, его длина hidden.",
             settings={"layers": 3}),
        Case("три слоя, два направления", "Второй слой читает состояния обеих цепочек: его вход — 2·hidden.",
             settings={"layers": 3, "directions": 2}),
    ],
    mistakes=[
        (partial(_count, biases=1), "Смещение посчитано одно, а у torch их два, bias_ih и bias_hh."),
        (partial(_count, biases=0), "Забыты смещения: их два по hidden чисел."),
        (partial(_count, width=lambda size, hidden: hidden), "Второй слой читает состояния обеих цепочек: "
         "при двух направлениях его вход — 2·hidden, а не hidden."),
        (partial(_count, width=lambda size, hidden: size), "Вход верхних слоёв — состояния нижних, а не x."),
        (partial(_count, ways=1), "Посчитано одно направление: у второго свои веса."),
        (partial(_count, square=False), "Забыта матрица W, hidden × hidden."),
    ],
    forbidden=("cells", "nn.RNN", "parameters"),
)  # fmt: skip


# 04.4: a padded batch the other way round


def _reverse_inputs(draw: Draw, batch: int = 4, T: int = 6, full: bool = False) -> dict:
    lengths = torch.full((batch,), T) if full else _lengths(draw, batch, T)
    return {"x": draw(batch, T, 2), "lengths": lengths}


def _by_places(x, lengths):
    t = torch.arange(x.shape[1])
    places = torch.where(t < lengths[:, None], lengths[:, None] - 1 - t, t)
    return x.gather(1, places[..., None].expand_as(x))


REVERSE = Exercise(
    skeleton="""
def my_reverse(x, lengths):
    ...
""",
    inputs=_reverse_inputs,
    reference=_by_places,
    cases=[
        Case("один полный ряд", "Без хвоста это обычный flip по оси времени.",
             settings={"batch": 1, "full": True}),
        Case("полные ряды", "Переворачивают время (вторую ось), а ряды остаются на своих местах.",
             settings={"full": True}),
        Case("ряды разной длины", "Переверните у ряда n первые lengths[n] шагов, а хвост оставьте."),
    ],
    mistakes=[
        (lambda x, lengths: x.flip(1), "Хвост оказался впереди: каждый ряд переворачивают по его собственной длине."),
        (lambda x, lengths: x.flip(0), "Перевёрнут порядок рядов в пакете, а нужен порядок шагов."),
        (lambda x, lengths: x.flip(2), "Перевёрнуты признаки внутри шага, а нужны сами шаги."),
        (by_row(lambda row, n: torch.cat([row[:n].flip(0), 0 * row[n:]])), "Хвост обнулён, а его надо оставить как был."),
        (by_row(lambda row, n: torch.cat([row[:n].flip(0), row[n:].flip(0)])), "Хвост тоже перевёрнут, а его надо оставить."),
        (by_row(lambda row, n: torch.cat([row[: n - 1].flip(0), row[n - 1 :]])),
         "Последний шаг ряда остался на месте: первые n шагов — это [:n]."),
        (by_row(lambda row, n: torch.cat([row[:n].flip(1), row[n:]])), "Перевёрнуты признаки внутри шага, а нужны сами шаги."),
        (by_row(lambda row, n: torch.stack([row[max(t, n - 1 - t)] if t < n else row[t] for t in range(len(row))])),
         "Вторая половина ряда прочитана из уже переписанного: читайте из x, пишите в копию."),
        (lambda x, lengths: x, "Ничего не перевёрнуто."),
    ],
    points=1,
)  # fmt: skip


# 04.5: the state that has read everything


def _last_inputs(draw: Draw, batch: int = 4, T: int = 5, full: bool = False) -> dict:
    lengths = torch.full((batch,), T) if full else _lengths(draw, batch, T)
    return {"s": draw(batch, T, 6), "lengths": lengths}


def _one_by_one(place, parts=("there", "back")):
    """For each row: the first half at one place of time, the second at another."""

    def last(s, lengths):
        half, rows = s.shape[2] // 2, []
        for row, n in zip(s, lengths, strict=True):
            there, back = place(int(n), len(row))
            halves = {"there": row[there, :half], "back": row[back, half:]}
            rows.append(torch.cat([halves[part] for part in parts]))
        return torch.stack(rows)

    return last


LAST = Exercise(
    skeleton="""
def my_summary(s, lengths):
    H = s.shape[2] // 2
    ...
""",
    inputs=_last_inputs,
    reference=_one_by_one(lambda n, T: (n - 1, 0)),
    cases=[
        Case("один ряд без хвоста", "Прямая цепочка кончает на последнем шаге, обратная — на первом.",
             settings={"batch": 1, "full": True}),
        Case("пакет без хвостов", "Размер ответа — (пакет, 2H).", settings={"full": True}),
        Case("ряды разной длины", "Прямая цепочка ряда n кончает на шаге lengths[n] − 1, а обратная — всё равно на нулевом."),
    ],
    mistakes=[
        (_one_by_one(lambda n, T: (T - 1, T - 1)), "Взят последний шаг пакета: там хвост, а обратная цепочка ещё ничего не прочла."),
        (_one_by_one(lambda n, T: (n - 1, n - 1)), "Обратная цепочка на последнем шаге только начала: её последнее состояние — на первом шаге."),
        (_one_by_one(lambda n, T: (T - 1, 0)), "У коротких рядов взято состояние над хвостом: прямая цепочка кончает на lengths[n] − 1."),
        (_one_by_one(lambda n, T: (0, n - 1)), "Концы перепутаны: прямая кончает последним шагом, обратная — первым."),
        (_one_by_one(lambda n, T: (0, 0)), "На первом шаге прямая цепочка прочла лишь x_1."),
        (_one_by_one(lambda n, T: (n - 2, 0)), "Ошибка на единицу: последний шаг ряда — lengths[n] − 1."),
        (_one_by_one(lambda n, T: (min(n, T - 1), 0)), "Ошибка на единицу: последний шаг ряда — lengths[n] − 1."),
        (_one_by_one(lambda n, T: (n - 1, 0), ("back", "there")), "Половины поменялись местами: сначала прямая цепочка."),
    ],
    forbidden=("cells",),
    points=2,
)  # fmt: skip


# 04.6: accuracy without the tails


def _accuracy_inputs(draw: Draw, tail: str = "", row: str = "") -> dict:
    """`tail`: its labels are "right" or "wrong"; `row`: the shortest row is so, the rest wrong."""
    o = draw(5, 9, 4)
    guess, lengths = o.argmax(2), _lengths(draw, 5, 9)
    y, wrong = draw.whole(0, 3, 5, 9), (guess + 1) % 4
    y[:, ::2] = guess[:, ::2]  # about half are right
    known = torch.arange(9) < lengths[:, None]
    if tail:
        y = torch.where(known, y, guess if tail == "right" else wrong)
    if row:
        lengths[-1], y = 1, wrong
        y[-1] = guess[-1]
    return {"o": o, "y": y, "lengths": lengths}


def _known(lengths, T):
    return torch.arange(T) < lengths[:, None]


def _place_by_place(o, y, lengths):
    right = [
        int(o[n, t].argmax()) == int(y[n, t])
        for n, length in enumerate(lengths.tolist())
        for t in range(length)
    ]
    return sum(right) / len(right)


def _accuracy(share):
    """From what is right (batch, time) and the places that count."""
    return lambda o, y, lengths: share((o.argmax(2) == y), _known(lengths, y.shape[1])).item()


ACCURACY = Exercise(
    skeleton="""
def my_accuracy(o, y, lengths):
    ...
""",
    inputs=_accuracy_inputs,
    reference=_place_by_place,
    cases=[
        Case("на хвостах случайно угадано всё", "Места хвоста в счёт не идут: маска — номер шага меньше длины.",
             settings={"tail": "right"}),
        Case("на хвостах всё мимо", "Делить надо на число настоящих мест, а не на всё.",
             settings={"tail": "wrong"}),
        Case("верен лишь ряд из одного шага", "Доля берётся по всем настоящим местам сразу.",
             settings={"row": "right"}),
        Case("случайный пакет", "Доля верных среди мест, где шаг меньше длины ряда."),
        Case("ещё один", "Доля верных среди мест, где шаг меньше длины ряда."),
    ],
    mistakes=[
        (_accuracy(lambda right, known: right.float().mean()), "Хвосты посчитаны наравне с рядами: нужна маска."),
        (_accuracy(lambda right, known: (right & known).float().mean()),
         "Верные посчитаны без хвостов, а поделены на все места, с хвостами."),
        (_accuracy(lambda right, known: right.sum() / known.sum()), "Хвосты вычтены из знаменателя, но не из верных."),
        (_accuracy(lambda right, known: ((right & known).sum(1) / known.sum(1)).mean()),
         "Это среднее по рядам: короткий ряд весит столько же, сколько длинный. Нужна доля по всем местам."),
        (lambda o, y, lengths: _accuracy(lambda right, known: right[known].float().mean())(
            *(part[torch.arange(len(y)), lengths - 1][:, None] for part in (o, y)), lengths),
         "Спрошен лишь последний шаг каждого ряда, а в счёт идут все настоящие."),
        (_accuracy(lambda right, known: (right & known).sum()), "Это число верных, а нужна доля."),
        (_accuracy(lambda right, known: 1 - right[known].float().mean()), "Это доля ошибок."),
        (_accuracy(lambda right, known: (right | ~known).float().mean()), "Хвосты засчитаны как верные."),
        (lambda o, y, lengths: (o.argmax(2) == y)[torch.arange(9) <= lengths[:, None]].float().mean().item(),
         "В счёт попал первый шаг хвоста: настоящие шаги — от 0 до lengths − 1."),
    ],
    points=2,
)  # fmt: skip


# 04.7, homework: both directions over rows of different lengths


def _rows_inputs(draw: Draw, batch: int = 3, T: int = 5, full: bool = False) -> dict:
    lengths = torch.full((batch,), T) if full else _lengths(draw, batch, T)
    x = draw(batch, T, 3)
    return {"x": x, "lengths": lengths, "there": _chain(draw, 3), "back": _chain(draw, 3)}


def _by_packing(x, lengths, there, back):
    net = torch_rnn({"l0": there, "l0_reverse": back}, bidirectional=True)
    s, last = read_packed(net, x, lengths)
    return s, torch.cat([*last], 1)


def _rows_wrongly(x, lengths, there, back, what):
    if what == "flip":
        right, left = _run(there, x), _run(back, x.flip(1)).flip(1)
    else:
        right, left = _run(there, x), _run(back, _by_places(x, lengths))
        left = left if what == "not back" else _by_places(left, lengths)
    s = torch.cat([right, left], 2)
    s = s if what == "tails" else s * _known(lengths, x.shape[1])[..., None]
    rows = torch.arange(len(x))
    ends = -1 if what == "end" else lengths - 1
    last = [right[rows, ends], left[rows, lengths - 1 if what == "start" else 0]]
    return s, torch.cat(last[::-1] if what == "swapped" else last, 1)


ROWS = Exercise(
    skeleton="""
def my_bidirectional(x, lengths, there, back):
    ...
""",
    inputs=_rows_inputs,
    reference=_by_packing,
    cases=[
        Case("один ряд без хвоста", "Без хвоста это обычный двунаправленный проход и два последних состояния.",
             settings={"batch": 1, "full": True}),
        Case("пакет без хвостов", "Размеры: (пакет, время, 2H) и (пакет, 2H).", settings={"full": True}),
        Case("ряды разной длины", "Обратная цепочка каждого ряда начинает с его собственного конца; над хвостом — нули."),
    ],
    mistakes=[
        (partial(_rows_wrongly, what="flip"), "Обратная цепочка начала с хвоста: переворачивайте каждый ряд по его длине."),
        (partial(_rows_wrongly, what="not back"), "Состояния обратной цепочки не возвращены в порядок времени."),
        (partial(_rows_wrongly, what="tails"), "Над хвостами состояния должны быть нулями."),
        (partial(_rows_wrongly, what="end"), "Последнее состояние прямой цепочки взято над хвостом, а не на шаге lengths[n] − 1."),
        (partial(_rows_wrongly, what="start"), "Последнее состояние обратной цепочки — на первом шаге, а не на последнем."),
        (partial(_rows_wrongly, what="swapped"), "В последних состояниях сначала прямая цепочка, потом обратная."),
    ],
    forbidden=("cells", "nn.RNN", "nn.RNNCell", "pack_padded_sequence"),
    points=3,
)  # fmt: skip


EXERCISES = {
    "04.1": LAYERS,
    "04.2": BOTH,
    "04.3": COUNT,
    "04.4": REVERSE,
    "04.5": LAST,
    "04.6": ACCURACY,
    "04.7": ROWS,
}
