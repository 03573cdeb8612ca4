"""Exercises of 01: vectors of symbols, the node and its run over a batch, sizes, perplexity."""

from functools import partial

import torch
from torch import nn
from torch.nn.functional import cross_entropy, embedding, one_hot
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lecture_utils import cells
from lecture_utils.exercises.engine import Case, Draw, Exercise

# 01.1: one-hot times E


def _word_inputs(draw: Draw, shape: tuple = (2, 3), top: int = 4) -> dict:
    return {"x": draw.whole(0, top, *shape), "E": draw(5, 2)}


def _vectors(spoil):
    """The product with rows that are not quite one-hot."""

    def vectors(x, E):
        ones = spoil(x[..., None], torch.arange(len(E))).to(E.dtype)
        return ones, ones @ E

    return vectors


VECTORS = Exercise(
    skeleton="""
def my_vectors(x, E):
    ones = ...
    return ones, ...
""",
    inputs=_word_inputs,
    reference=lambda x, E: (one_hot(x, len(E)).to(E.dtype), embedding(x, E)),
    cases=[
        Case("одна буква", "Длина one-hot — число символов, len(E); единица стоит на месте номера.",
             settings={"shape": (1, 1)}),
        Case("последний символ не встретился", "Длина one-hot — len(E), каких бы номеров в x ни было.",
             settings={"top": 3}),
        Case("пакет слов", "У каждой буквы каждого слова — свой one-hot, ось символов последняя."),
    ],
    mistakes=[
        (_vectors(lambda x, k: x == k + 1), "Номера начинаются с нуля: у символа 0 единица на первом месте."),
        (_vectors(lambda x, k: x >= k), "Единица в one-hot одна, а здесь они стоят на всех местах до номера."),
        (_vectors(lambda x, k: (x == k) * x), "На месте номера должна стоять единица, а не сам номер."),
        (_vectors(lambda x, k: (x == k).any(1)), "У каждого шага свой one-hot, а не один на всё слово."),
        (lambda x, E: (embedding(x, E), one_hot(x, len(E))), "Порядок ответов: сначала one-hot, потом векторы."),
    ],
    forbidden=("one_hot", "embedding", "Embedding"),
)  # fmt: skip


# 01.2: one step of the node


def _step_inputs(draw: Draw) -> dict:
    weights = {"U": draw(4, 3), "W": draw(4, 4), "b": draw(4), "V": draw(5, 4), "c": draw(5)}
    return {"x_t": draw(3), "s_prev": draw(4), **weights}


def _step(x_t, s_prev, U, W, b, V, c, *, f=torch.tanh, h=lambda o: o.softmax(0), read="s"):
    a = b + W @ s_prev + U @ x_t
    s = f(a)
    return s, h(c + V @ {"s": s, "a": a, "before": s_prev}[read])


def _by_cell(x_t, s_prev, U, W, b, V, c):
    s = cells.rnn(cells.RNNWeights(U, W, b), x_t, s_prev)
    return s, torch.from_numpy(cells.output(cells.OutputWeights(V.numpy(), c.numpy()), s.numpy()))


STEP = Exercise(
    skeleton="""
def my_step(x_t, s_prev, U, W, b, V, c):
    a_t = ...
    s_t = ...
    o_t = ...
    y_t = ...
    return s_t, y_t
""",
    inputs=_step_inputs,
    reference=_by_cell,
    cases=[
        Case("есть только b", "Без входа и прошлого остаётся s_t = tanh(b).", only="b"),
        Case("есть только вход", "Вход приходит через U: слагаемое U x_t.", only="x_t U"),
        Case("есть только прошлое состояние", "Прошлое приходит через W: слагаемое W s_{t−1}.",
             only="s_prev W"),
        Case("есть только c", "Без состояния остаётся o_t = c, а y_t — softmax от него.", only="c"),
        Case("есть всё", "o_t = c + V s_t: выход читает новое состояние, ответ — softmax(o_t)."),
    ],
    mistakes=[
        (lambda x_t, s_prev, U, W, *rest: _step(x_t, s_prev, U, W.T, *rest), "W транспонирована, а в формуле W s_{t−1}."),
        (partial(_step, f=lambda a: a), "Забыта нелинейность: s_t = tanh(a_t)."),
        (partial(_step, f=torch.sigmoid), "Здесь f — tanh, а не σ."),
        (partial(_step, f=torch.relu), "Здесь f — tanh, а не ReLU."),
        (partial(_step, read="before"), "Выход читает прошлое состояние, а нужно новое: c + V s_t."),
        (partial(_step, read="a"), "Выход читает a_t, а нужно состояние s_t, то есть tanh(a_t)."),
        (partial(_step, h=lambda o: o), "Это o_t, ещё не ответ: забыт softmax."),
        (partial(_step, h=torch.sigmoid), "Ответ — softmax: вероятности в сумме дают единицу, а σ этого не обещает."),
        (partial(_step, h=lambda o: o.exp()), "Забыто деление на сумму: вероятности в сумме дают единицу."),
        (lambda *given: _step(*given)[::-1], "Порядок ответов: сначала s_t, потом y_t."),
    ],
    forbidden=("cells", "RNN", "RNNCell"),
)  # fmt: skip


# 01.3: the node over a batch of sequences


def _run_inputs(draw: Draw, T: int | None = None, batch: int = 3) -> dict:
    weights = {"U": draw(4, 2), "W": draw(4, 4), "b": draw(4)}
    return {"x": draw(batch, T or draw.whole(3, 5), 2), "s_0": draw(batch, 4), **weights}


def _run(x, s_0, U, W, b, *, W_back=False, start=True, carry=True, f=torch.tanh, order=1, more=0):
    s, states = s_0 if start else 0 * s_0, []
    for x_t in x.unbind(1)[::order]:
        a = b + s @ (W if W_back else W.T) + x_t @ U.T
        new = f(a) + more * s
        states.append(new)
        s = new if carry else s
    return torch.stack(states, 1), new


def _around(change):
    return lambda x, s_0, *weights: change(x, s_0, *_run(x, s_0, *weights))


STATES = Exercise(
    skeleton="""
def my_states(x, s_0, U, W, b):
    s, states = s_0, []
    for t in range(x.shape[1]):
        ...
    return ...
""",
    inputs=_run_inputs,
    reference=lambda x, s_0, U, W, b: cells.run(cells.rnn, cells.RNNWeights(U, W, b), x, s_0),
    cases=[
        Case("один шаг из нулевого состояния", "Строки пакета умножают справа: x_t @ U.T, и прибавляют b.",
             only="x U b", settings={"T": 1}),
        Case("один шаг, входа нет", "Первый шаг начинается с s_0: слагаемое s @ W.T.",
             only="s_0 W", settings={"T": 1, "batch": 1}),
        Case("два шага", "Состояние переходит с шага на шаг: второй начинается с s_1, а не с s_0.",
             settings={"T": 2}),
        Case("пакет рядов", "Состояния всех шагов сложите в один тензор: пакет, время, нейроны."),
    ],
    mistakes=[
        (partial(_run, start=False), "Начальное состояние s_0 забыто: первый шаг начат с нуля."),
        (partial(_run, carry=False), "Состояние не идёт с шага на шаг: каждый начинается с s_0."),
        (partial(_run, W_back=True), "Строки пакета умножают справа на Wᵀ: s @ W.T, а не s @ W."),
        (partial(_run, f=lambda a: a), "Забыта нелинейность: s_t = tanh(a_t)."),
        (partial(_run, f=torch.relu), "Здесь f — tanh, а не ReLU."),
        (partial(_run, order=-1), "Ряд прочитан с конца: время идёт от 0 до T − 1."),
        (partial(_run, more=1), "Новое состояние заменяет прошлое, а не прибавляется к нему."),
        (_around(lambda x, s_0, s, last: (s.transpose(0, 1), last)),
         "Оси: пакет первый, время второе. Это torch.stack(states, 1)."),
        (_around(lambda x, s_0, s, last: (torch.cat([s_0[:, None], s], 1), last)),
         "Само s_0 в ответ не входит: состояний столько же, сколько шагов."),
        (_around(lambda x, s_0, s, last: (torch.cat([s_0[:, None], s[:, :-1]], 1), last)),
         "Записано состояние до шага, а нужно после него."),
        (_around(lambda x, s_0, s, last: (s, s[-1])), "s[-1] — последний пример пакета, а нужен последний шаг."),
    ],
    forbidden=("cells", "RNN", "RNNCell"),
    points=2,
)  # fmt: skip


# 01.4: a node, set by hand, that repeats its input k steps later


def _delay_inputs(draw: Draw, low: int, high: int) -> dict:
    k = draw.whole(low, high)
    return {"k": k, "x": draw(k + 4, 1).abs()}


def _ask_delay(function, k, x):
    """What a ReLU node with the student's weights answers to x (time, 1)."""
    import torch

    weights = function(k)
    if weights is None:
        return None
    if not isinstance(weights, tuple | list) or len(weights) != 3:
        raise TypeError("нужны три матрицы: U, W, V")
    U, W, V = (torch.as_tensor(w).to(x.dtype) for w in weights)
    s, answers = x.new_zeros(len(W)), []
    for x_t in x:
        s = torch.relu(W @ s + U @ x_t)
        answers.append(V @ s)
    return torch.cat(answers)


def _delay(k, spoil=lambda U, W, V: (U, W, V)):
    one = torch.eye(k + 1)
    return spoil(one[:, :1], torch.diag(torch.ones(k), -1), one[-1:])


def _delay_spoilt(spoil):
    return lambda k: _delay(k, spoil)


DELAY = Exercise(
    skeleton="""
def my_delay(k):
    U = ...
    W = ...
    V = ...
    return U, W, V
""",
    inputs=_delay_inputs,
    reference=_delay,
    ask=_ask_delay,
    cases=[
        Case("без опоздания, k = 0", "Хватит одного нейрона: он берёт вход, а V его читает.",
             settings={"low": 0, "high": 0}),
        Case("опоздание на шаг, k = 1", "Второй нейрон повторяет первый: единица в W на второй строке, "
             "в первом столбце.", settings={"low": 1, "high": 1}),
        Case("опоздание на k шагов", "Нужна цепочка: каждый нейрон повторяет предыдущий, V читает последний.",
             settings={"low": 2, "high": 4}),
        Case("длинное опоздание", "Нейронов в цепочке k + 1: размеры зависят от k.",
             settings={"low": 5, "high": 8}),
    ],
    mistakes=[
        (lambda k: _delay(max(k - 1, 0)), "Сеть спешит на шаг: нейронов нужно k + 1, первый ещё не опаздывает."),
        (lambda k: _delay(k + 1), "Сеть опаздывает на шаг больше, чем надо: первый нейрон не опаздывает вовсе."),
        (_delay_spoilt(lambda U, W, V: (U, W.T, V)), "Сдвиг не в ту сторону: строка W отвечает тому, кто читает, "
         "столбец — тому, кого читают."),
        (_delay_spoilt(lambda U, W, V: (U, W + torch.eye(len(W)), V)), "Нейрон копит старое: диагональ W должна быть нулём."),
        (_delay_spoilt(lambda U, W, V: (U, W, torch.ones_like(V))), "Сложились входы нескольких шагов: вход берёт "
         "только первый нейрон, а V читает только последний."),
        (_delay_spoilt(lambda U, W, V: (U, W, U.T)), "V читает первый нейрон: он вход только что взял. Нужен последний."),
        (_delay_spoilt(lambda U, W, V: (U, W / 2, V)), "По дороге число тает: в W нужны единицы."),
        (_delay_spoilt(lambda U, W, V: (U, torch.eye(len(W)), V)), "W = I хранит число на месте, а его надо передавать дальше."),
    ],
    points=2,
)  # fmt: skip


# 01.5: the last true state of each row of a padded batch


def _last_inputs(draw: Draw, low: int = 1, batch: int = 4) -> dict:
    T = 6  # the padding is longer than need be: every row has some
    return {"states": draw(batch, T, 3), "lengths": draw.whole(low, T - 1, batch)}


def by_row(choose):
    """A batch put together from what `choose` makes of each row and its length."""
    return lambda x, lengths: torch.stack(
        [choose(row, n) for row, n in zip(x, lengths.tolist(), strict=True)]
    )


LAST = Exercise(
    skeleton="""
def my_last(states, lengths):
    return ...
""",
    inputs=_last_inputs,
    reference=by_row(lambda s, n: s[n - 1]),
    cases=[
        Case("один ряд, дополненный", "Ряд кончился на шаге lengths; дальше — дополнение, его состояния не в счёт.",
             settings={"batch": 1}),
        Case("пакет рядов разной длины", "У каждого ряда свой последний шаг: нужны два номера, ряда и шага."),
    ],
    mistakes=[
        (lambda s, lengths: s[:, -1], "Это состояние после дополнения, а нужно после последней настоящей буквы."),
        (by_row(lambda s, n: s[n]), "Шаги нумеруются с нуля: последний из n — шаг n − 1, а взят уже шаг дополнения."),
        (lambda s, lengths: s[:, lengths - 1], "Так каждый ряд спрошен обо всех длинах. К номерам шагов нужны "
         "номера рядов: torch.arange(len(states))."),
        (lambda s, lengths: s[:, lengths.max() - 1], "У всех рядов взят один и тот же шаг, а длина у каждого своя."),
        (by_row(lambda s, n: s[:n].mean(0)), "Это среднее состояние, а нужно последнее."),
        (by_row(lambda s, n: s[:n].max(0).values), "Это наибольшие числа по времени, а нужно последнее состояние."),
        (lambda s, lengths: s[:, 0], "Это состояние после первого шага, а нужно последнее."),
    ],
)  # fmt: skip


# 01.6, homework: a padded batch read as if there were no padding


def _padded_inputs(draw: Draw, low: int = 1, high: int = 5, batch: int = 3, T: int = 5) -> dict:
    weights = {"U": draw(4, 2), "W": draw(4, 4), "b": draw(4)}
    return {"x": draw(batch, T, 2), "lengths": draw.whole(low, high, batch), **weights}


def torch_rnn(chains: dict[str, cells.RNNWeights], **how) -> nn.RNN:
    """nn.RNN with the weights of chains; a key is the end of torch's names, such as "l0"."""
    hidden, size = chains["l0"].U.shape
    net = nn.RNN(size, hidden, batch_first=True, dtype=chains["l0"].U.dtype, **how)
    weights = {}
    for place, p in chains.items():
        both = {"weight_ih": p.U, "weight_hh": p.W, "bias_ih": p.b, "bias_hh": 0 * p.b}
        weights |= {f"{name}_{place}": w for name, w in both.items()}
    net.load_state_dict(weights)
    return net


def read_packed(net: nn.RNN, x, lengths):
    """All states of a padded batch, zero over the padding, and the last states of the chains."""
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    states, last = net(packed)
    return pad_packed_sequence(states, batch_first=True, total_length=x.shape[1])[0], last


def _by_packing(x, lengths, U, W, b):
    states, last = read_packed(torch_rnn({"l0": cells.RNNWeights(U, W, b)}), x, lengths)
    return states, last[0]


def _padded(x, lengths, U, W, b, *, shown="zero", last="true", late=0, stop="state", W_back=False):
    s, states = x.new_zeros(len(x), len(W)), []
    for t in range(x.shape[1]):
        is_real = (t < lengths + late)[:, None]
        given = x[:, t] * is_real if stop == "input" else x[:, t]
        new = torch.tanh(b + s @ (W if W_back else W.T) + given @ U.T)
        frozen = {"state": s, "zero": 0 * s}.get(stop, new)
        s = torch.where(is_real, new, frozen)
        states.append(s if shown == "all" else s * is_real)
    states = torch.stack(states, 1)
    return states, states[:, -1] if last == "end" else s


PADDED = Exercise(
    skeleton="""
def my_padded(x, lengths, U, W, b):
    ...
""",
    inputs=_padded_inputs,
    reference=_by_packing,
    cases=[
        Case("ряд без дополнения", "Пока ряд не кончился, всё как обычно: s_t = tanh(b + W s_{t−1} + U x_t).",
             settings={"low": 3, "high": 3, "batch": 1, "T": 3}),
        Case("ряд с дополнением", "Ряд кончился: в ответе нули, а состояние остаётся последним настоящим.",
             settings={"low": 2, "high": 3, "batch": 1}),
        Case("пакет рядов разной длины", "Кончился ли ряд, у каждого примера решается отдельно."),
    ],
    mistakes=[
        (partial(_padded, shown="all"), "Состояние верное, но на местах дополнения в ответе должны стоять нули."),
        (partial(_padded, stop="zero"), "Вместо последнего состояния — нули дополнения: когда ряд кончился, оно должно "
         "остаться последним настоящим."),
        (partial(_padded, stop=None), "Сеть читает дополнение дальше, и последнее состояние портится: остановите его."),
        (partial(_padded, stop="input"), "Мало обнулить вход: W и b меняют состояние и на дополнении. Остановите его."),
        (partial(_padded, stop=None, shown="all", last="end"), "Дополнение прочитано как обычные буквы: lengths ни на что не влияет."),
        (partial(_padded, late=1), "Прочитан лишний шаг: настоящие шаги — те, где t < lengths, считая с нуля."),
        (partial(_padded, late=-1), "Последняя настоящая буква потеряна: шаг lengths − 1 ещё настоящий."),
        (partial(_padded, W_back=True), "Строки пакета умножают справа на Wᵀ: s @ W.T, а не s @ W."),
    ],
    forbidden=("cells", "RNN", "RNNCell", "pack_padded_sequence", "pack_sequence"),
    points=3,
)  # fmt: skip


# 01.7: how many weights


def _size_inputs(draw: Draw, layers: int = 1, both: bool = False, most: int = 5) -> dict:
    names = ("symbols", "size", "hidden", "classes")
    sizes = {name: draw.whole(2 + k, most + 2 * k) for k, name in enumerate(names)}
    layers = layers or draw.whole(2, 4)
    return {**sizes, "layers": layers, "both": both}


def _counted(symbols, size, hidden, classes, layers, both):
    rnn = nn.RNN(size, hidden, layers, bidirectional=both)
    head = nn.Linear((1 + both) * hidden, classes)
    parts = (nn.Embedding(symbols, size), rnn, head)
    return sum(w.numel() for part in parts for w in part.parameters())


def _formula(symbols, size, hidden, classes, layers, both, **how):
    """The formula with one thing spoilt."""
    how = {"E": 1, "biases": 2, "c": 1, "deep": True, "wide": True, "head": True, **how}
    sides = 1 + both
    deeper = sides * hidden if how["wide"] else hidden
    inputs = [size] + (layers - 1) * [deeper if how["deep"] else size]
    node = sum(hidden * (n + hidden + how["biases"]) for n in inputs)
    read = sides * hidden if how["head"] else hidden
    return symbols * size * how["E"] + how.get("sides", sides) * node + classes * (read + how["c"])


SIZE = Exercise(
    skeleton="""
def my_size(symbols, size, hidden, classes, layers, both):
    total = ...
    ...
    return total
""",
    inputs=_size_inputs,
    reference=_counted,
    cases=[
        Case("один слой, одно направление", "E: symbols·size. Узел: U, W и два смещения. Выход: V и c."),
        Case("один слой, оба направления", "У каждого направления свои U, W и смещения, а выход читает оба: 2·hidden.",
             settings={"both": True}),
        Case("несколько слоёв", "Второй слой читает состояния первого: его U размера hidden × hidden.",
             settings={"layers": 0}),
        Case("слои и направления вместе", "Второй слой читает оба направления первого: его U — hidden × 2·hidden.",
             settings={"layers": 0, "both": True}),
    ],
    mistakes=[
        (partial(_formula, biases=1), "У torch в каждом слое два смещения, bias_ih и bias_hh, а сосчитано одно."),
        (partial(_formula, biases=0), "Забыты смещения узла: у torch их в каждом слое два."),
        (partial(_formula, E=0), "Забыта матрица E: symbols·size чисел, и они тоже учатся."),
        (partial(_formula, c=0), "Забыто смещение выхода c: ещё classes чисел."),
        (partial(_formula, deep=False), "Только первый слой читает векторы букв; вход остальных — состояния слоя под ними."),
        (partial(_formula, wide=False), "Вход второго слоя — оба направления первого: 2·hidden, а не hidden."),
        (partial(_formula, head=False), "Выход читает оба направления: V размера classes × 2·hidden."),
        (partial(_formula, sides=1), "У второго направления свои веса: узлов вдвое больше."),
    ],
    forbidden=("RNN", "parameters", "numel"),
    points=2,
)  # fmt: skip


# 01.8: perplexity under a mask


def _perplexity_inputs(draw: Draw, flat: bool = False, padded: bool = True) -> dict:
    batch, T, n = 3, 6, 5
    lengths = torch.tensor([1, 3, 5]) + draw.whole(0, 1, batch) if padded else torch.tensor([T] * 3)
    return {
        "o": draw(batch, T, n) * 2 * (not flat),
        "targets": draw.whole(0, n - 1, batch, T),
        "mask": torch.arange(T) < lengths[:, None],
    }


def _nats(o, targets, dim=-1):
    return -o.log_softmax(dim).gather(-1, targets[..., None])[..., 0]  # (batch, time)


PERPLEXITY = Exercise(
    skeleton="""
def my_perplexity(o, targets, mask):
    log_p = ...
    ...
    return ...
""",
    inputs=_perplexity_inputs,
    reference=lambda o, targets, mask: cross_entropy(o[mask], targets[mask]).exp(),
    cases=[
        Case("сеть не знает ничего", "Все выходы равны: вероятность каждой из n букв 1/n, а перплексия n.",
             settings={"flat": True, "padded": False}),
        Case("ответа ждут на каждом шаге", "Потери буквы — минус логарифм вероятности верной. Среднее, потом exp.",
             settings={"padded": False}),
        Case("ответа ждут не везде", "В среднее входят лишь те шаги, где mask — истина."),
    ],
    mistakes=[
        (lambda o, y, mask: _nats(o, y).mean().exp(), "Маска забыта: в среднее попали шаги, где ответа не ждут."),
        (lambda o, y, mask: (_nats(o, y) * mask).mean().exp(), "Сумма верная, но делить надо на число шагов "
         "с ответом, mask.sum(), а не на все."),
        (lambda o, y, mask: _nats(o, y)[mask].mean(), "Это L, средние потери в натах; перплексия — e в этой степени."),
        (lambda o, y, mask: _nats(o, y)[mask].sum().exp(), "Потери сложены, а нужно их среднее."),
        (lambda o, y, mask: (-_nats(o, y)[mask].mean()).exp(), "Потеряли минус: потери — это −ln вероятности."),
        (lambda o, y, mask: 2 ** _nats(o, y)[mask].mean(), "Наты возводят в степень e, а не двойку: логарифм натуральный."),
        (lambda o, y, mask: _nats(o, y, 1)[mask].mean().exp(), "softmax взят по времени, а нужен по символам: последняя ось."),
        (lambda o, y, mask: _nats(o, y)[mask].exp().mean(), "Сначала среднее потерь, потом exp, а не наоборот."),
        (lambda o, y, mask: ((_nats(o, y) * mask).sum(1) / mask.sum(1)).mean().exp(),
         "Это среднее по словам: короткое весит столько же, сколько длинное. Нужно среднее по буквам."),
    ],
    forbidden=("cross_entropy", "CrossEntropyLoss"),
    points=2,
)  # fmt: skip


EXERCISES = {
    "01.1": VECTORS,
    "01.2": STEP,
    "01.3": STATES,
    "01.4": DELAY,
    "01.5": LAST,
    "01.6": PADDED,
    "01.7": SIZE,
    "01.8": PERPLEXITY,
}
