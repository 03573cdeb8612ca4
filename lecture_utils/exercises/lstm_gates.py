"""Exercises of 05: gates, the forget bias, the GRU, and cells whose weights are set by hand."""

import math
from functools import partial

import numpy as np
import torch
from torch.nn.functional import linear

from lecture_utils.exercises.engine import Case, Draw, Exercise

# 05.1: one gate

GATE = Exercise(
    skeleton="""
def my_gate(x_t, h, W_x, W_h, b):
    return ...
""",
    inputs=lambda draw: {"x_t": draw(2, 3), "h": draw(2, 4), "W_x": draw(4, 3), "W_h": draw(4, 4),
                         "b": draw(4)},
    reference=lambda x_t, h, W_x, W_h, b: torch.sigmoid(linear(x_t, W_x) + linear(h, W_h, b)),
    cases=[
        Case("входа и прошлого нет", "Без входа и прошлого вентиль равен σ(b).", only="b"),
        Case("только вход", "Вклад входа: строки пакета умножают справа, x_t @ W_x.T.", only="x_t W_x"),
        Case("только прошлое", "Вклад прошлого состояния: h @ W_h.T.", only="h W_h"),
        Case("всё вместе", "σ берут один раз, от суммы трёх слагаемых."),
    ],
    mistakes=[
        (lambda x_t, h, W_x, W_h, b: torch.tanh(x_t @ W_x.T + h @ W_h.T + b),
         "Вентиль — доля от 0 до 1, поэтому здесь σ, а tanh — у кандидата."),
        (lambda x_t, h, W_x, W_h, b: x_t @ W_x.T + h @ W_h.T + b, "Это ещё не доля: забыта σ."),
        (lambda x_t, h, W_x, W_h, b: torch.sigmoid(x_t @ W_x.T + b), "Вентиль не видит прошлого h."),
        (lambda x_t, h, W_x, W_h, b: torch.sigmoid(x_t @ W_x.T + h @ W_h.T), "Забыто смещение b."),
        (lambda x_t, h, W_x, W_h, b: torch.sigmoid(x_t @ W_x.T + h @ W_h + b),
         "Матрица W_h не транспонирована: h @ W_h.T."),
        (lambda x_t, h, W_x, W_h, b: torch.sigmoid(x_t @ W_x.T + h @ W_h.T) + b,
         "Смещение прибавляют до σ, а не после: иначе доля выйдет за 0 и 1."),
        (lambda x_t, h, W_x, W_h, b: torch.sigmoid(-(x_t @ W_x.T + h @ W_h.T + b)),
         "Знак: σ(a) = 1 / (1 + e^−a), минус в показателе потерян."),
        (lambda x_t, h, W_x, W_h, b: sum(torch.sigmoid(part) for part in (x_t @ W_x.T, h @ W_h.T, b)),
         "σ берут один раз, от суммы: иначе доля превысит единицу."),
        (lambda x_t, h, W_x, W_h, b: torch.sigmoid(x_t @ W_x.T) + torch.sigmoid(h @ W_h.T + b),
         "σ берут один раз, от суммы: иначе доля превысит единицу."),
    ],
    forbidden=("cells",),
)  # fmt: skip


# 05.2: the step of an LSTM, weights stacked as in torch


def _step_inputs(draw: Draw, i: int = 0, f: int = 0, o: int = 0, hidden: int = 3) -> dict:
    """A gate is forced open by +50 and shut by −50; 0 leaves it to the weights."""
    b = draw(4, hidden)
    for place, forced in enumerate((i, f, 0, o)):
        if forced:
            b[place] = forced
    sizes = {"x_t": (2, 5), "h": (2, hidden), "c": (2, hidden), "W_x": (4 * hidden, 5),
             "W_h": (4 * hidden, hidden)}  # fmt: skip
    return {name: draw(*shape) for name, shape in sizes.items()} | {"b": b.flatten()}


def _by_torch(x_t, h, c, W_x, W_h, b):
    return torch.lstm_cell(x_t, (h, c), W_x, W_h, b, torch.zeros_like(b))


def _step(x_t, h, c, W_x, W_h, b, *, order="ifgo", spoilt=""):
    """A step with the quarters in another order, or with one thing spoilt."""
    past = 0 if spoilt == "past" else h @ W_h.T
    a = dict(zip(order, (x_t @ W_x.T + past + b).chunk(4, 1), strict=True))
    i, f, o = (torch.sigmoid(a[name]) for name in "ifo")
    c_tilde = {"sigmoid": torch.sigmoid, "linear": lambda z: z}.get(spoilt, torch.tanh)(a["g"])
    f = {"keep": 1, "coupled": 1 - i}.get(spoilt, f)
    i = {"write": 1, "inverse": 1 - f}.get(spoilt, i)
    new = f * c + i * c_tilde
    shown = {"old": torch.tanh(c), "bare": new}.get(spoilt, torch.tanh(new))
    h_t = shown if spoilt == "show" else o * shown
    return (new, h_t) if spoilt == "swap" else (h_t, new)


STEP = Exercise(
    skeleton="""
def my_lstm_step(x_t, h, c, W_x, W_h, b):
    a = x_t @ W_x.T + h @ W_h.T + b
    i, f, g, o = a.chunk(4, dim=1)
    ...
    return h, c
""",
    inputs=_step_inputs,
    reference=_by_torch,
    cases=[
        Case("i закрыт, f и o открыты", "Ничего не пишем, всё храним и показываем: c_t = c_{t−1}, "
             "h_t = tanh(c_t).", settings={"i": -50, "f": 50, "o": 50}),
        Case("f закрыт, i и o открыты", "Старое стёрто: c_t — один кандидат, tanh третьей четверти.",
             settings={"i": 50, "f": -50, "o": 50}),
        Case("o закрыт, i и f открыты", "Память меняется, c_t = c_{t−1} + c̃_t, но не видна: h_t = 0.",
             settings={"i": 50, "f": 50, "o": -50}),
        Case("вентили между 0 и 1", "У i, f и o — σ, у кандидата tanh; c_t = f ⊙ c_{t−1} + i ⊙ c̃_t, "
             "h_t = o ⊙ tanh(c_t)."),
    ],
    mistakes=[
        (partial(_step, order="ifog"), "Порядок четвертей — i, f, g, o: кандидат третий, вентиль вывода последний."),
        (partial(_step, order="figo"), "Порядок четвертей — i, f, g, o: сначала вентиль записи, потом забывания."),
        (partial(_step, spoilt="sigmoid"), "Кандидат — содержание, ему нужны оба знака: tanh, а не σ."),
        (partial(_step, spoilt="linear"), "Кандидат не сжат: c̃_t = tanh(третьей четверти)."),
        (partial(_step, spoilt="bare"), "Перед выводом память сжимают: h_t = o ⊙ tanh(c_t)."),
        (partial(_step, spoilt="old"), "Показывают новую память: h_t = o ⊙ tanh(c_t), а взята прошлая c_{t−1}."),
        (partial(_step, spoilt="show"), "Вентиль вывода не использован: h_t = o ⊙ tanh(c_t)."),
        (partial(_step, spoilt="keep"), "Вентиль забывания не использован: c_{t−1} умножают на f."),
        (partial(_step, spoilt="write"), "Вентиль записи не использован: кандидата умножают на i."),
        (partial(_step, spoilt="coupled"), "Так устроены сцепленные вентили, f = 1 − i; у LSTM f свой."),
        (partial(_step, spoilt="inverse"), "Так устроены сцепленные вентили, i = 1 − f; у LSTM i свой."),
        (partial(_step, spoilt="past"), "Вентили не видят прошлого: забыто h @ W_h.T."),
        (partial(_step, spoilt="swap"), "Порядок в ответе: сначала h_t, потом c_t."),
    ],
    forbidden=("cells", "nn.LSTMCell", "nn.LSTM", "torch.lstm_cell", "torch.lstm"),
    points=2,
)  # fmt: skip


# 05.3 and 05.4: how long a memory lives for a forget bias, and the bias for a life


def _life_inputs(draw: Draw, b_f: float | None = None, share: float | None = None) -> dict:
    b_f = draw.whole(3, 40) / 10 if b_f is None else b_f
    return {"b_f": b_f, "share": draw.whole(1, 8) / 20 if share is None else share}


def _life(ratio):
    """A life from ln share and σ(b_f)."""

    def steps(b_f, share):
        with np.errstate(divide="ignore"):
            return float(ratio(np.log(share), 1 / (1 + np.exp(-b_f))))

    return steps


LIFE = Exercise(
    skeleton="""
def my_steps(b_f, share):
    return ...
""",
    inputs=_life_inputs,
    reference=lambda b_f, share: -math.log(share) / math.log1p(math.exp(-b_f)),
    cases=[
        Case("b_f = 0, share = ½", "σ(0) = ½, поэтому половина остаётся через один шаг.",
             settings={"b_f": 0.0, "share": 0.5}),
        Case("b_f = 0, share = ⅛", "½ · ½ · ½: восьмая часть остаётся через три шага.",
             settings={"b_f": 0.0, "share": 0.125}),
        Case("share = ½", "Доля за шаг — σ(b_f); решите σ(b_f)^k = ½.", settings={"share": 0.5}),
        Case("любые числа", "Решите σ(b_f)^k = share относительно k: прологарифмируйте обе части."),
    ],
    mistakes=[
        (_life(lambda log, f: np.log(0.5) / np.log(f)), "Это время половины, а share забыта."),
        (_life(lambda log, f: -log / np.log(f)), "Знак: оба логарифма отрицательны, а их отношение — нет."),
        (_life(lambda log, f: np.log(f) / log), "Дробь перевёрнута: чем ближе f к единице, тем шагов больше."),
        (_life(lambda log, f: log / np.log(1 - f)), "σ(b_f) — доля, которая остаётся, а не та, что теряется."),
        (_life(lambda log, f: (1 - np.exp(log)) / (1 - f)),
         "Каждый шаг память умножают на σ(b_f), а не вычитают из неё одно и то же."),
        (_life(lambda log, f: log / np.log(2) / np.log(f)), "Логарифмы взяты по разным основаниям."),
    ],
)  # fmt: skip


def _bias_inputs(draw: Draw, steps: int | None = None, share: float | None = None) -> dict:
    steps = draw.whole(3, 60) if steps is None else steps
    return {"steps": steps, "share": draw.whole(4, 16) / 20 if share is None else share}


def _by_halving(steps, share):
    low, high = -30.0, 30.0
    for _ in range(100):
        middle = (low + high) / 2
        if (1 + math.exp(-middle)) ** -steps < share:
            low = middle
        else:
            high = middle
    return middle


def _logit(f):
    return float(np.log(f / (1 - f)))


BIAS = Exercise(
    skeleton="""
def my_bias(steps, share):
    ...
""",
    inputs=_bias_inputs,
    reference=_by_halving,
    cases=[
        Case("один шаг, share = ½", "Половина за шаг — это σ(b_f) = ½, то есть b_f = 0.",
             settings={"steps": 1, "share": 0.5}),
        Case("один шаг", "Обратная к σ функция: если f = σ(b), то b = ln(f / (1 − f)).",
             settings={"steps": 1}),
        Case("share = ½", "Сначала доля за шаг: f = share^(1/steps), потом смещение по ней.",
             settings={"share": 0.5}),
        Case("любые числа", "f^steps = share, откуда f, а из f = σ(b_f) — смещение."),
    ],
    mistakes=[
        (lambda steps, share: share ** (1 / steps), "Это доля за шаг f, а нужно смещение, при котором σ(b_f) = f."),
        (lambda steps, share: -_logit(share ** (1 / steps)), "Знак: b = ln(f / (1 − f)); чем дольше память, тем больше b_f."),
        (lambda steps, share: 1 / (1 + math.exp(-(share ** (1 / steps)))),
         "Здесь нужна не σ, а обратная к ней: ln(f / (1 − f))."),
        (lambda steps, share: _logit(share**steps), "Доля за шаг — корень: share^(1/steps), а не share^steps."),
        (lambda steps, share: _logit(0.5 ** (1 / steps)), "Так доживёт половина, а share забыта."),
        (lambda steps, share: _logit(1 - (1 - share) / steps),
         "Потеря не делится на шаги поровну: память каждый шаг умножают на f, и f^steps = share."),
        (lambda steps, share: math.log(share ** (1 / steps)), "Логарифм доли — это ещё не смещение: f / (1 − f)."),
    ],
)  # fmt: skip


# 05.5: the forget bias of nn.LSTM


def _ask_biases(function, hidden, layers, both, b_f, look, seed):
    """A network goes through the function; return the sums of biases or what else was changed.

    `look`: "f" for the forget gates' sums, "rest" for 1 where biases of i, of g, of o or matrices
    are no more what they were.
    """
    import torch
    from torch import nn

    torch.manual_seed(seed)
    net = nn.LSTM(2, hidden, layers, bidirectional=both)
    before = {name: w.detach().clone() for name, w in net.named_parameters()}
    net = function(net, b_f)
    if not isinstance(net, nn.LSTM):
        return net
    f, moved = [], torch.zeros(4)
    for name, w in net.named_parameters():
        changed = (w != before[name]).view(4, -1).any(1)
        if name.startswith("weight"):
            moved[3] += changed.any()
            continue
        moved[:3] += changed[[0, 2, 3]]
        if name.startswith("bias_ih"):
            total = w + getattr(net, name.replace("_ih", "_hh"))
            f.append(total.view(4, hidden)[1])
    return torch.stack(f) if look == "f" else moved.clamp(max=1)


def _net_inputs(draw: Draw, layers: int = 1, both: bool = False, look: str = "f") -> dict:
    sizes = {"hidden": draw.whole(2, 4), "layers": layers, "both": both}
    return sizes | {"b_f": draw.whole(5, 40) / 10, "look": look, "seed": draw.whole(0, 10**6)}


def _by_difference(lstm, b_f):
    """The sum is made right by the one bias alone."""
    for name, bias in lstm.named_parameters():
        if name.startswith("bias_hh"):
            other = getattr(lstm, name.replace("_hh", "_ih"))
            forget = slice(lstm.hidden_size, 2 * lstm.hidden_size)
            bias.data[forget] = b_f - other.data[forget]
    return lstm


def _set_bias(ih=1.0, hh=0.0, quarter=1, width=1, kind="bias"):
    """What is put into the two biases (None: left alone), into which quarters and parameters."""

    def spoilt(lstm, b_f):
        H = lstm.hidden_size
        for name, w in lstm.named_parameters():
            share = ih if "_ih" in name else hh
            if share is not None and name.startswith(kind):
                w.data[quarter * H : (quarter + width) * H] = share * b_f
        return lstm

    return spoilt


def _partly(chosen):
    """Right, but only for the parameters whose name is chosen."""

    def spoilt(lstm, b_f):
        weights = {name: w.detach().clone() for name, w in lstm.named_parameters()}
        kept = {name: w for name, w in weights.items() if not chosen(name)}
        _by_difference(lstm, b_f).load_state_dict(kept, strict=False)
        return lstm

    return spoilt


FORGET = Exercise(
    skeleton="""
def my_forget_bias(lstm, b_f):
    H = lstm.hidden_size
    with torch.no_grad():
        for name, weight in lstm.named_parameters():
            ...
    return lstm
""",
    inputs=_net_inputs,
    reference=_by_difference,
    ask=_ask_biases,
    cases=[
        Case("один слой, вентиль забывания", "Считается сумма bias_ih + bias_hh на второй четверти, "
             "[H : 2 * H]: она и должна стать b_f."),
        Case("один слой, всё остальное", "Матрицы и смещения других вентилей должны остаться прежними: "
             "трогайте лишь вторую четверть смещений.", settings={"look": "rest"}),
        Case("три слоя", "Смещения есть у каждого слоя: bias_ih_l0, bias_ih_l1…", settings={"layers": 3}),
        Case("два слоя, два направления", "У обратной цепочки свои смещения, bias_ih_l0_reverse и другие.",
             settings={"layers": 2, "both": True}),
        Case("два слоя, всё остальное", "Изменилось лишнее.", settings={"layers": 2, "look": "rest"}),
    ],
    mistakes=[
        (_set_bias(hh=1.0), "Смещений два, и они складываются: вышло 2·b_f."),
        (_set_bias(hh=None), "Второе смещение, bias_hh, осталось случайным, а считается сумма."),
        (_set_bias(ih=None, hh=1.0), "Первое смещение, bias_ih, осталось случайным, а считается сумма."),
        (_set_bias(quarter=0), "Это четверть вентиля записи. Порядок в torch: i, f, g, o."),
        (_set_bias(quarter=2), "Это четверть кандидата. Порядок в torch: i, f, g, o, и f — вторая, [H : 2 * H]."),
        (_set_bias(quarter=0, width=4), "Задеты и другие четверти: трогать можно лишь вторую, [H : 2 * H], и в bias_ih, и в bias_hh."),
        (_partly(lambda name: "l0" in name), "Сделан лишь первый слой, а смещения есть у каждого."),
        (_partly(lambda name: name.endswith("l0")), "Сделан лишь первый слой, а смещения есть у каждого."),
        (_set_bias(kind=""), "Задеты и матрицы: выбирайте параметры, имя которых начинается с bias."),
        (_partly(lambda name: "reverse" not in name), "Обратная цепочка забыта: её смещения кончаются на _reverse."),
        (lambda lstm, b_f: lstm, "Сеть вернулась прежней: менять надо сами её параметры, на месте."),
    ],
    points=2,
)  # fmt: skip


# 05.6: the step of a GRU, torch's variant


def _gru_inputs(draw: Draw, r: int = 0, z: int = 0, hidden: int = 3) -> dict:
    b_x = draw(3, hidden)
    for place, forced in enumerate((r, z)):
        if forced:
            b_x[place] = forced
    given = {"x_t": draw(2, 4), "h": draw(2, hidden), "W_x": draw(3 * hidden, 4)}
    rest = {"W_h": draw(3 * hidden, hidden), "b_x": b_x.flatten(), "b_h": draw(3 * hidden)}
    return given | rest


def _gru(x_t, h, W_x, W_h, b_x, b_h, *, order="rzn", spoilt=""):
    H = h.shape[1]
    x, past = (linear(*parts).split(H, 1) for parts in ((x_t, W_x, b_x), (h, W_h, b_h)))
    x, past = dict(zip(order, x, strict=True)), dict(zip(order, past, strict=True))
    if spoilt == "no b_h":
        past |= {gate: past[gate] - b_h.split(H)[order.index(gate)] for gate in "rz"}
    r, z = torch.sigmoid(x["r"] + past["r"]), torch.sigmoid(x["z"] + past["z"])
    place, W_n, b_n = order.index("n"), W_h.split(H)[order.index("n")], b_h.split(H)
    inside = {
        "paper": x["n"] + linear(r * h, W_n, b_n[place]),
        "outside": x["n"] + r * linear(h, W_n) + b_n[place],
        "no r": x["n"] + past["n"],
        "all": r * (x["n"] + past["n"]),
    }.get(spoilt, x["n"] + r * past["n"])
    n = torch.sigmoid(inside) if spoilt == "sigmoid" else torch.tanh(inside)
    return (1 - z) * h + z * n if spoilt == "mirror" else (1 - z) * n + z * h


GRU = Exercise(
    skeleton="""
def my_gru_step(x_t, h, W_x, W_h, b_x, b_h):
    ...
""",
    inputs=_gru_inputs,
    reference=lambda x_t, h, *weights: torch.gru_cell(x_t, h, *weights),
    cases=[
        Case("z = 1", "z_t хранит старое: при z = 1 состояние не меняется.", settings={"z": 50}),
        Case("z = 0, r = 0", "Прошлое сброшено: h_t = n_t = tanh(W_xn x_t + b_xn).",
             settings={"z": -50, "r": -50}),
        Case("z = 0, r = 1", "Сброс открыт: h_t = n_t = tanh(W_xn x_t + b_xn + W_hn h + b_hn).",
             settings={"z": -50, "r": 50}),
        Case("вентили между 0 и 1", "r ⊙ (W_hn h + b_hn) — внутри tanh; h_t = (1 − z) ⊙ n + z ⊙ h; у r и z — σ."),
    ],
    mistakes=[
        (partial(_gru, order="zrn"), "Порядок третей в torch: r, z, n."),
        (partial(_gru, spoilt="paper"), "Это вариант статьи: r умножает h до матрицы. В torch — после: r ⊙ (W_hn h + b_hn)."),
        (partial(_gru, spoilt="outside"), "Смещение b_hn стоит внутри скобки: r ⊙ (W_hn h + b_hn)."),
        (partial(_gru, spoilt="no b_h"), "У вентилей два смещения, и они складываются: забыто b_h."),
        (partial(_gru, spoilt="no r"), "Вентиль сброса не использован: r ⊙ (W_hn h + b_hn)."),
        (partial(_gru, spoilt="all"), "r гасит только прошлое, а вход W_xn x_t + b_xn — нет."),
        (partial(_gru, spoilt="sigmoid"), "У кандидата n — tanh, а не σ."),
        (partial(_gru, spoilt="mirror"), "z_t и 1 − z_t поменялись местами: z хранит старое."),
    ],
    forbidden=("cells", "nn.GRUCell", "nn.GRU", "torch.gru_cell", "torch.gru"),
    points=2,
)  # fmt: skip


# 05.7 and 05.8: the weights of one cell set by hand


def _ask_cell(function, alphabet, plus, minus, text):
    """The memory after each letter, one digit after the comma, of a cell that does not see its h."""
    import torch

    weights = function(alphabet, plus, minus)
    if weights is None:
        return None
    W_x, b = (torch.as_tensor(part, dtype=torch.float64) for part in weights)
    for name, part, shape in (("W_x", W_x, (4, len(alphabet))), ("b", b, (4,))):
        if tuple(part.shape) != shape:
            raise ValueError(f"размер {name} — {tuple(part.shape)}, а нужен {shape}")
    memory, zero = [], torch.zeros(1, 1, dtype=torch.float64)
    h, c = zero, zero
    for letter in text:
        x_t = torch.tensor([[float(letter == known) for known in alphabet]], dtype=torch.float64)
        h, c = torch.lstm_cell(x_t, (h, c), W_x, zero.expand(4, 1), b, torch.zeros_like(b))
        memory.append(c.item())
    return torch.tensor(memory).round(decimals=1)


def _cell_inputs(draw: Draw, pattern: str = "") -> dict:
    """`pattern` of + − · for the letter that adds, that takes, a stranger; without: drawn."""
    pattern = pattern or "+" * 9 + "".join("+-··"[k] for k in draw.whole(0, 3, 40))
    alphabet = "".join("абвгд"[k] for k in torch.randperm(5, generator=draw.generator))
    alphabet = alphabet[: draw.whole(3, 5)]
    plus, minus, stranger = (alphabet[k] for k in torch.randperm(3, generator=draw.generator))
    text = "".join({"+": plus, "-": minus, "·": stranger}[mark] for mark in pattern)
    return {"alphabet": alphabet, "plus": plus, "minus": minus, "text": text}


def _hand(order="ifgo", signs=(1, -1), size=1000.0, letter=None, **biases):
    """A cell by hand: biases of i, f, g, o, and the weights of plus and minus to the candidate.

    `letter`: what plus and minus add to i and to f.
    """
    biases = {"i": size, "f": size, "g": 0.0, "o": size} | biases

    def weights(alphabet, plus, minus):
        W_x = torch.zeros(4, len(alphabet))
        for column, sign in zip(map(alphabet.index, (plus, minus)), signs, strict=True):
            W_x[order.index("g"), column] = sign * size
            for gate, weight in (letter or {}).items():
                W_x[order.index(gate), column] = weight
        return W_x, torch.tensor([biases[gate] for gate in order])

    return weights


COUNTER = Exercise(
    skeleton="""
def my_counter(alphabet, plus, minus):
    W_x, b = torch.zeros(4, len(alphabet)), torch.zeros(4)
    ...
    return W_x, b
""",
    inputs=_cell_inputs,
    reference=_hand(),
    ask=_ask_cell,
    cases=[
        Case("одна буква plus", "Нужны i ≈ 1 (большое b_i) и c̃ ≈ +1: большой вес этой буквы в строке g.",
             settings={"pattern": "+"}),
        Case("одна буква minus", "Нужен c̃ ≈ −1: у буквы minus большой отрицательный вес в строке g.",
             settings={"pattern": "-"}),
        Case("посторонняя буква", "На ней счёт стоит: c̃ = tanh(0) = 0. Смещение кандидата оставьте нулём.",
             settings={"pattern": "··"}),
        Case("plus два раза", "Счёт должен копиться: f ≈ 1, то есть большое b_f.",
             settings={"pattern": "++"}),
        Case("длинная строка", "Вентили и кандидат недостаточно насыщены: за полсотни букв потери "
             "видны. Возьмите веса побольше."),
    ],
    mistakes=[
        (_hand(order="ifog"), "Строки стоят в порядке i, f, g, o: кандидат третий."),
        (_hand(order="ifog", o=0.0), "Строки стоят в порядке i, f, g, o: кандидат третий, а не последний."),
        (_hand(f=0.0), "b_f = 0 — это f = ½: счёт каждый шаг тает вдвое."),
        (_hand(i=0.0), "b_i = 0 — это i = ½: буква прибавляет лишь половину."),
        (_hand(i=0.0, f=0.0), "Нулевые смещения — это i = f = ½: и пишется, и хранится половина."),
        (_hand(f=-1000.0), "Вентиль забывания закрыт: память стирается на каждой букве. Открыт — значит, помнит."),
        (_hand(signs=(-1, 1)), "Знаки наоборот: plus прибавляет, minus отнимает."),
        (_hand(signs=(1, 1)), "minus тоже прибавляет: ему нужен отрицательный вес."),
        (_hand(signs=(1, 0)), "Буква minus ничего не отнимает."),
        (_hand(signs=(1e-3, -1e-3)), "Вес 1 у кандидата — это tanh(1) ≈ 0,76: до единицы далеко."),
        (_hand(g=1000.0), "Смещение кандидата велико: и посторонняя буква прибавляет единицу."),
    ],
    forbidden=("cells",),
    points=3,
)  # fmt: skip

LATCH = Exercise(
    skeleton="""
def my_latch(alphabet, plus, minus):
    ...
""",
    inputs=_cell_inputs,
    reference=_hand(letter={"f": -2000.0}),
    ask=_ask_cell,
    cases=[
        Case("одна буква plus", "Пишем +1: i ≈ 1 и c̃ ≈ +1.", settings={"pattern": "+"}),
        Case("одна буква minus", "Пишем −1: i ≈ 1 и c̃ ≈ −1.", settings={"pattern": "-"}),
        Case("plus, потом посторонние", "На посторонней букве память стоит: f ≈ 1, а i · c̃ = 0.",
             settings={"pattern": "+····"}),
        Case("plus два раза", "Перед записью старое стирают: на букве plus нужен f ≈ 0.",
             settings={"pattern": "++"}),
        Case("plus, потом minus", "Перед записью старое стирают: и на букве minus нужен f ≈ 0.",
             settings={"pattern": "+-"}),
        Case("длинная строка", "Память должна стоять на +1 или −1: возьмите веса побольше."),
    ],
    mistakes=[
        (_hand(), "Это счётчик: старое не стирается. Пусть f закрывается на буквах plus и minus."),
        (_hand(f=-1000.0), "f закрыт всегда, поэтому память живёт один шаг: закройте его только на plus и minus."),
        (_hand(f=0.0, letter={"f": -1000.0}), "На посторонних буквах f = σ(0) = ½: им нужно большое b_f."),
        (_hand(letter={"f": -1000.0}), "На plus и minus f = σ(0) = ½: вес буквы должен пересилить смещение b_f."),
        (_hand(i=0.0, letter={"f": -2000.0}), "b_i = 0 — это i = ½: записана половина."),
        (_hand(g=1000.0, letter={"f": -2000.0}), "Смещение кандидата пишет и на посторонних буквах."),
        (_hand(signs=(-1, 1), letter={"f": -2000.0}), "Знаки наоборот: plus — это +1."),
        (_hand(order="ifog", letter={"f": -2000.0}), "Строки стоят в порядке i, f, g, o: кандидат третий."),
        (_hand(order="ifog", o=0.0, letter={"f": -2000.0}),
         "Строки стоят в порядке i, f, g, o: кандидат третий, а не последний."),
    ],
    forbidden=("cells",),
    points=3,
)  # fmt: skip


EXERCISES = {
    "05.1": GATE,
    "05.2": STEP,
    "05.3": LIFE,
    "05.4": BIAS,
    "05.5": FORGET,
    "05.6": GRU,
    "05.7": COUNTER,
    "05.8": LATCH,
}
