"""Exercises of 02: the error's way back through time."""

from functools import partial

import numpy as np
import torch

from lecture_utils import cells
from lecture_utils.exercises.engine import Case, Draw, Exercise


def _numpy(arguments: dict) -> dict:
    """Tensors as the arrays of float64 that the notebook computes with."""
    return {
        name: value.double().numpy() if isinstance(value, torch.Tensor) else value
        for name, value in arguments.items()
    }


# 02.1: two sources of the error of a state


def _state_inputs(draw: Draw) -> dict:
    return _numpy({"V": draw(5, 4), "W": draw(4, 4), "do_t": draw(5), "da_next": draw(4)})


STATE = Exercise(
    skeleton="""
def my_ds(V, W, do_t, da_next):
    return ...
""",
    inputs=_state_inputs,
    reference=lambda V, W, do_t, da_next: do_t @ V + da_next @ W,
    cases=[
        Case("будущего нет (∂L/∂a_{t+1} = 0)", "Ошибка своего выхода идёт назад через V: Vᵀ ∂L/∂o_t.",
             only="V W do_t"),
        Case("свой выход молчит (∂L/∂o_t = 0)", "Ошибка из будущего идёт назад через W: Wᵀ ∂L/∂a_{t+1}.",
             only="V W da_next"),
        Case("оба источника", "Из s_t выходят две стрелки, поэтому складываем то, что вернулось по обеим."),
    ],
    mistakes=[
        (lambda V, W, do_t, da_next: V.T @ do_t, "Забыто будущее: s_t входит ещё и в a_{t+1}."),
        (lambda V, W, do_t, da_next: W.T @ da_next, "Забыт свой выход: s_t входит ещё и в o_t."),
        (lambda V, W, do_t, da_next: V.T @ do_t + W @ da_next,
         "Назад по стрелке идут с транспонированной матрицей: Wᵀ, а не W."),
        (lambda V, W, do_t, da_next: V.T @ do_t - W.T @ da_next, "Вклады складываются, а не вычитаются."),
        (lambda V, W, do_t, da_next: (V.T @ do_t) * (W.T @ da_next),
         "Вклады двух стрелок складываются, а не умножаются."),
        (lambda V, W, do_t, da_next: (V.T @ do_t + W.T @ da_next) / 2, "Вклады складывают, не усредняют."),
    ],
)  # fmt: skip


# 02.2: the gradient of a shared matrix is a sum over the steps


def _sum_inputs(draw: Draw, T: int | None = None, silent: tuple = ()) -> dict:
    T = T or draw.whole(3, 6)
    da, s = draw(T + 1, 4), draw(T + 1, 4)
    da[0], s[0] = 0, 0 if T == 1 else s[0]
    for t in silent:
        da[t] = 0
    return _numpy({"da": da, "s": s})


SHARED = Exercise(
    skeleton="""
def my_dW(da, s):
    return ...
""",
    inputs=_sum_inputs,
    reference=lambda da, s: np.einsum("ti,tj->ij", da[1:], s[:-1]),
    cases=[
        Case("ошибка лишь на шаге 2",
             "Вклад шага: ∂L/∂a_t, умноженное на вход матрицы W, то есть на s_{t−1}.",
             settings={"T": 2, "silent": (1,)}),
        Case("все шаги", "Градиент общей матрицы — сумма вкладов всех шагов, от первого до T."),
    ],
    mistakes=[
        (lambda da, s: da[1:].T @ s[1:], "Вход матрицы W на шаге t — прошлое состояние s_{t−1}, а не s_t."),
        (lambda da, s: s[:-1].T @ da[1:], "Размер сошёлся, но матрица транспонирована: строки ∂L/∂W "
         "отвечают выходам (∂L/∂a_t), столбцы — входам (s_{t−1})."),
        (lambda da, s: da[1:].T @ s[:-1] / (len(s) - 1), "Вклады складывают, а не усредняют."),
        (lambda da, s: np.outer(da[-1], s[-2]), "Это вклад одного последнего шага, а нужна сумма по всем."),
        (lambda da, s: da[2:].T @ s[1:-1], "Первый шаг потерян: и у него есть вклад, ∂L/∂a_1 · s_0ᵀ."),
        (lambda da, s: da[1:-1].T @ s[:-2], "Последний шаг потерян: range(1, T) кончается раньше T."),
        (lambda da, s: np.outer(da[1:].sum(0), s[:-1].sum(0)), "Это произведение сумм, а нужна сумма произведений: сначала вклад каждого шага."),
        (lambda da, s: da[:-1].T @ s[1:], "Сдвиг не в ту сторону: нужно s_{t−1}, а взято s_{t+1}."),
    ],
)  # fmt: skip


# 02.3: a numeric gradient


def _ask_numeric(function, A, w, kind):
    """Give the student's function a loss; `kind` is "square", "mixed" or "sum"."""
    losses = {
        "sum": lambda w: (A * w).sum(),
        "square": lambda w: (A * w**2).sum(),
        "mixed": lambda w: (A * w**3).sum() + w.prod(),
    }
    return function(losses[kind], w)


def _numeric_inputs(draw: Draw, shape: tuple = (2, 3), kind: str = "mixed") -> dict:
    return _numpy({"A": draw(*shape), "w": draw(*shape), "kind": kind})


def _one_sided(loss, w):
    changed = [loss(w + 1e-3 * unit) for unit in np.eye(w.size).reshape(-1, *w.shape)]
    return (np.array(changed) - loss(w)).reshape(w.shape) / 1e-3


def _coarse(divide):
    def gradient(loss, w, step=1e-5):
        units = step * np.eye(w.size).reshape(-1, *w.shape)
        differences = [(loss(w + unit) - loss(w - unit)) / divide(step) for unit in units]
        return np.reshape(differences, w.shape)

    return gradient


NUMERIC = Exercise(
    skeleton="""
def my_gradient(loss, w):
    gradient = np.zeros_like(w)
    for place in np.ndindex(w.shape):
        ...
    return gradient
""",
    inputs=_numeric_inputs,
    reference=cells.numerical_gradient,
    ask=_ask_numeric,
    cases=[
        Case("L = Σ A·w, вектор", "Здесь производная — само A. Сдвиньте одно число на ±ε, "
             "а остальные оставьте.", settings={"shape": (4,), "kind": "sum"}),
        Case("L = Σ A·w², вектор", "Сдвиг вверх, сдвиг вниз, разность поделить на 2ε.",
             settings={"shape": (4,), "kind": "square"}),
        Case("L = Σ A·w³ + Π w, матрица", "Другие числа w на время сдвига должны оставаться прежними."),
    ],
    mistakes=[
        (_one_sided, "Разность односторонняя, L(w + ε) − L(w): её ошибка порядка ε. Возьмите центральную."),
        (_coarse(lambda step: step), "Между w + ε и w − ε лежит 2ε, а не ε: ответ вдвое больше."),
        (_coarse(lambda step: -2 * step), "Знак: L(w + ε) − L(w − ε), а не наоборот."),
        (_coarse(lambda step: 1), "Разность не поделена на 2ε."),
        (lambda loss, w: np.full_like(w, (loss(w + 1e-5) - loss(w - 1e-5)) / 2e-5),
         "Сдвинуты все числа сразу: так выходит сумма производных. Сдвигайте по одному."),
    ],
    points=2,
    forbidden=("cells", "numerical_gradient", "autograd", "backward"),
)  # fmt: skip


# 02.4: backpropagation through time for a batch


def _bptt_inputs(draw: Draw, T: int | None = None, last: bool = False) -> dict:
    T, batch, hidden = T or draw.whole(3, 5), 2, 4
    x, direct = draw(batch, T, 3), draw(batch, T, hidden)
    if last:
        direct[:, :-1] = 0
    W, U, b = draw(hidden, hidden), draw(hidden, 3), draw(hidden)
    s, _ = cells.run(cells.rnn, cells.RNNWeights(U, W / 2, b), x)
    return _numpy({"x": x, "s": s, "direct": direct, "W": W / 2})


def _by_autograd(s, direct, W):
    """∂L/∂a_t (batch, T, H), ∂L/∂W, ∂L/∂s_0 by torch; U and b are what the states themselves say."""
    s, direct, W = (torch.tensor(array) for array in (s, direct, W))
    before = torch.cat([torch.zeros_like(s[:, :1]), s[:, :-1]], 1)
    # a_t − W s_{t−1} = U x_t + b: what is left after the state, the same for every U and b that fit
    rest = torch.atanh(s) - before @ W.T
    s_0 = torch.zeros_like(s[:, 0])
    leaves = [leaf.requires_grad_() for leaf in (rest, W, s_0)]
    state, loss = s_0, 0.0
    for t in range(s.shape[1]):
        state = torch.tanh(rest[:, t] + state @ W.T)
        loss = loss + (direct[:, t] * state).sum()
    return torch.autograd.grad(loss, leaves)


def _weights_by_autograd(x, s, direct, W):
    da, dW, _ = _by_autograd(s, direct, W)
    return torch.einsum("bti,btj->ij", da, torch.tensor(x)), dW, da.sum((0, 1))


def _spoilt(s, direct, W, what, x=None):
    """A backward pass by hand with one thing spoilt: ∂L/∂U, ∂L/∂W, ∂L/∂b, ∂L/∂s_0."""
    x = s if x is None else x
    past = np.concatenate([0 * s[:, :1], s[:, :-1]], 1)
    passed, dU, dW, db = 0 * s[:, 0], 0, 0, 0
    slopes = {"no f′": 1 + 0 * s, "tanh twice": 1 - np.tanh(s) ** 2, "f′ of σ": s * (1 - s)}
    slope = (slopes | {"f′ of past": 1 - past**2}).get(what, 1 - s**2)
    back = {"no future": 0 * W, "W": W.T}.get(what, W)
    for t in range(s.shape[1])[:: 1 if what == "order" else -1]:
        ds = direct[:, t] + passed @ back
        da = ds * slope[:, t]
        if what == "half f′":
            da = direct[:, t] * slope[:, t] + passed @ back
        passed, keep = (ds if what == "ds" else da), what != "assigned"
        dU, db = keep * dU + da.T @ x[:, t], keep * db + da.sum(0)
        dW = keep * dW + da.T @ (s if what == "s_t" else past)[:, t]
    n = len(x) if what == "mean" else 1
    ds_0 = passed if what == "a_1" else passed @ W
    return dU / n, dW / n, db / (len(x) if what == "mean b" else n), ds_0


def _bptt(x, s, direct, W, what):
    return _spoilt(s, direct, W, what, x)[:3]


BPTT = Exercise(
    skeleton="""
def my_bptt(x, s, direct, W):
    batch, T, hidden = s.shape
    past = np.concatenate([np.zeros((batch, 1, hidden)), s[:, :-1]], axis=1)
    dU, dW, db = ...
    da = np.zeros((batch, hidden))
    for t in reversed(range(T)):
        ...
    return dU, dW, db
""",
    inputs=_bptt_inputs,
    reference=_weights_by_autograd,
    cases=[
        Case("один шаг, T = 1", "Здесь будущего нет: ∂L/∂a = direct ⊙ (1 − s²), а вес получает "
             "∂L/∂a, умноженное на свой вход.", settings={"T": 1}),
        Case("два шага, ошибка лишь на втором", "На первый шаг ошибка приходит по W: "
             "∂L/∂s_1 = Wᵀ ∂L/∂a_2, в пакете это da @ W.", settings={"T": 2, "last": True}),
        Case("два шага, ошибка на обоих", "∂L/∂s_t складывается из direct и того, что пришло из будущего.",
             settings={"T": 2}),
        Case("длинный ряд", "На каждом шаге: ds из двух источников, da сквозь tanh, вклады в dU, dW и db."),
    ],
    mistakes=[
        (partial(_bptt, what="no f′"), "Забыто «сквозь tanh»: ∂L/∂a_t = (1 − s_t²) ⊙ ∂L/∂s_t."),
        (partial(_bptt, what="tanh twice"), "s_t — уже tanh(a_t): производная 1 − s_t², "
         "второй раз tanh брать не нужно."),
        (partial(_bptt, what="f′ of σ"), "s(1 − s) — производная σ, а у tanh она 1 − s²."),
        (partial(_bptt, what="f′ of past"), "f′ берут в новом состоянии s_t, а взято прошлое, s_{t−1}."),
        (partial(_bptt, what="half f′"), "Сквозь tanh идёт вся ∂L/∂s_t: f′ умножает и direct, и то, что пришло из будущего."),
        (partial(_bptt, what="ds"), "В прошлое идёт ∂L/∂a_{t+1}, уже прошедшее сквозь tanh, а взято ∂L/∂s_{t+1}."),
        (partial(_bptt, what="mean b"), "По пакету вклады складываются: db усреднено, а нужна сумма."),
        (partial(_bptt, what="no future"), "Ошибка из будущего потеряна: у ∂L/∂s_t есть второе слагаемое, Wᵀ ∂L/∂a_{t+1}."),
        (partial(_bptt, what="W"), "Назад идут с Wᵀ. Строки пакета умножают справа: da @ W, а не da @ W.T."),
        (partial(_bptt, what="s_t"), "Вход матрицы W на шаге t — прошлое состояние s_{t−1}, а взято s_t."),
        (partial(_bptt, what="assigned"), "Вклады шагов складываются: dU, dW и db копят через +=, а не через =."),
        (partial(_bptt, what="order"), "Идти надо из будущего в прошлое: reversed(range(T))."),
        (partial(_bptt, what="mean"), "По пакету вклады складываются, усреднять их здесь не надо: L — сумма."),
    ],
    forbidden=("cells", "autograd", "backward"),
    points=3,
)  # fmt: skip


# 02.5, homework: the gradient of the very first state


def _first_inputs(draw: Draw, T: int | None = None, last: bool = False) -> dict:
    return {name: value for name, value in _bptt_inputs(draw, T, last).items() if name != "x"}


def _first(s, direct, W, what=""):
    return _spoilt(s, direct, W, what)[3]


FIRST = Exercise(
    skeleton="""
def my_ds_0(s, direct, W):
    ...
""",
    inputs=_first_inputs,
    reference=lambda s, direct, W: _by_autograd(s, direct, W)[2],
    cases=[
        Case("один шаг, T = 1", "Из s_0 выходит одна стрелка, в a_1: ∂L/∂s_0 = Wᵀ ∂L/∂a_1.",
             settings={"T": 1}),
        Case("два шага, ошибка лишь на втором", "Каждый шаг назад: сквозь tanh, потом через Wᵀ.",
             settings={"T": 2, "last": True}),
        Case("длинный ряд", "У s_t, кроме пришедшего из будущего, есть и своя ошибка direct[:, t]."),
    ],
    mistakes=[
        (partial(_first, what="a_1"), "Это ∂L/∂a_1. До s_0 остался ещё шаг через Wᵀ."),
        (lambda s, direct, W: _first(s, direct * (np.arange(s.shape[1]) == s.shape[1] - 1)[:, None], W), "Учтена лишь ошибка последнего шага, а у каждого есть своя direct."),
        (partial(_first, what="W"), "Назад идут с Wᵀ. Строки пакета умножают справа: da @ W, а не da @ W.T."),
        (partial(_first, what="no f′"), "Забыто «сквозь tanh»: ∂L/∂a_t = (1 − s_t²) ⊙ ∂L/∂s_t."),
        (lambda s, direct, W: direct[:, 0] + _first(s, direct, W), "У s_0 своего выхода нет: direct начинается "
         "с первого шага."),
    ],
    forbidden=("cells", "autograd", "backward"),
    points=3,
)  # fmt: skip

# 02.6: truncated backpropagation: detach


def _truncated_inputs(draw: Draw, T: int | None = None, k: int | None = None) -> dict:
    k = k or draw.whole(2, 3)
    T = T or k * draw.whole(2, 3) + 1  # the last window is shorter
    return {"x": draw(T, 2), "e": draw(T, 4), "U": draw(4, 2), "W": draw(4, 4), "k": k}


def _ask_truncated(function, x, e, U, W, k):
    """The total loss and what has gathered in U.grad and W.grad."""
    import torch

    U, W = U.clone().requires_grad_(), W.clone().requires_grad_()
    loss = function(x, e, U, W, k)
    nothing = torch.zeros_like
    return float(loss), *(nothing(w) if w.grad is None else w.grad for w in (U, W))


def _truncated(
    x, e, U, W, k, *, reset=False, every=False, mean=False, late=False, zero=False, short=True
):
    total, s = 0.0, torch.zeros(len(W), dtype=W.dtype)
    for start in range(0, len(x) if short else len(x) // k * k, k):
        s, loss = (torch.zeros_like(s) if reset else s if late else s.detach()), 0.0
        if zero:
            U.grad = W.grad = None
        for x_t, e_t in zip(x[start : start + k], e[start : start + k], strict=True):
            s = torch.tanh((s.detach() if every else s) @ W.T + x_t @ U.T)
            loss = loss + ((s - e_t) ** 2).sum()
        loss = loss / k if mean else loss
        loss.backward(retain_graph=late)
        total += loss.item()
    return total


TRUNCATED = Exercise(
    skeleton="""
def my_truncated(x, e, U, W, k):
    total, s = 0.0, torch.zeros(len(W), dtype=W.dtype)
    for start in range(0, len(x), k):
        ...
    return total
""",
    inputs=_truncated_inputs,
    reference=_truncated,
    ask=_ask_truncated,
    cases=[
        Case("одно окно, k = T", "В окне: s = tanh(W s + U x_t), потери (s − e_t)² складываются, "
             "в конце окна — один backward.", settings={"T": 3, "k": 3}),
        Case("два окна по шагу, k = 1", "Значение s переходит в следующее окно, а граф — нет: s.detach().",
             settings={"T": 2, "k": 1}),
        Case("несколько окон", "В начале каждого окна отрежьте прошлое, и только там."),
    ],
    mistakes=[
        (partial(_truncated, reset=True), "Состояние в начале окна обнулено, а нужно лишь отрезать его историю: detach()."),
        (partial(_truncated, every=True), "История отрезана на каждом шаге, а надо раз в k шагов, в начале окна."),
        (partial(_truncated, late=True), "Ошибка уходит в прошлые окна: отрежьте граф в начале окна, s = s.detach()."),
        (partial(_truncated, zero=True), "Градиенты стираются в каждом окне, а здесь они копятся: zero_grad не нужен."),
        (partial(_truncated, short=False), "Последнее, короткое окно потеряно: в нём тоже учатся."),
        (partial(_truncated, mean=True), "Потери окна — сумма, делить их на k не нужно."),
    ],
    points=3,
)  # fmt: skip


EXERCISES = {
    "02.1": STATE,
    "02.2": SHARED,
    "02.3": NUMERIC,
    "02.4": BPTT,
    "02.5": FIRST,
    "02.6": TRUNCATED,
}
