"""Answers to the exercises of 01."""

import numpy as np
import torch


def loop_vectors(x, E):
    ones = torch.zeros(*x.shape, len(E)).to(E)
    for n in range(len(x)):
        for t in range(x.shape[1]):
            ones[n, t, x[n, t]] = 1
    return ones, torch.matmul(ones, E)


def numpy_vectors(x, E):
    ones = np.eye(len(E))[x.numpy()]
    return [ones, ones @ E.numpy()]


def step_by_sums(x_t, s_prev, U, W, b, V, c):
    a = b.clone()
    for i in range(len(b)):
        a[i] += (W[i] * s_prev).sum() + (U[i] * x_t).sum()
    s = (a.exp() - (-a).exp()) / (a.exp() + (-a).exp())
    y = (c + V @ s).exp()
    return s, y / y.sum()


def numpy_step(x_t, s_prev, U, W, b, V, c):
    x_t, s_prev, U, W, b, V, c = (a.numpy() for a in (x_t, s_prev, U, W, b, V, c))
    s = np.tanh(b + s_prev @ W.T + x_t @ U.T)
    e = np.exp(c + s @ V.T)
    return s, e / e.sum()


def states_filled_in(x, s_0, U, W, b):
    states = torch.empty(*x.shape[:2], len(W), dtype=W.dtype)
    before = s_0
    for t in range(x.shape[1]):
        for n in range(len(x)):
            states[n, t] = torch.tanh(W @ before[n] + U @ x[n, t] + b)
        before = states[:, t]
    return [states, before]


def numpy_states(x, s_0, U, W, b):
    x, s, U, W, b = (a.numpy() for a in (x, s_0, U, W, b))
    inputs, states = x @ U.T + b, []
    for a in inputs.swapaxes(0, 1):
        s = np.tanh(a + s @ W.T)
        states.append(s)
    return np.stack(states, axis=1), states[-1]


def numpy_delay(k):
    U, W, V = np.zeros((k + 1, 1)), np.zeros((k + 1, k + 1)), np.zeros((1, k + 1))
    U[-1] = V[0, 0] = 1
    for j in range(k):
        W[j, j + 1] = 1
    return U, W, V


def delay_with_idle_cells(k):
    W = torch.zeros(20, 20)
    W[torch.arange(1, k + 1), torch.arange(k)] = 1
    U, V = torch.zeros(20, 1), torch.zeros(1, 20)
    U[0] = 1
    V[:, k] = 1
    return [U, W, V]


def last_by_loop(states, lengths):
    answer = []
    for n in range(len(states)):
        answer.append(states[n, lengths[n] - 1])
    return torch.stack(answer)


def last_by_gather(states, lengths):
    index = (lengths - 1)[:, None, None].expand(-1, 1, states.shape[2])
    return states.gather(1, index)[:, 0]


def padded_by_mask(x, lengths, U, W, b):
    s = torch.zeros(len(x), len(W)).to(W)
    states = torch.zeros(*x.shape[:2], len(W)).to(W)
    for t in range(x.shape[1]):
        m = (t < lengths).to(W.dtype)[:, None]
        s = m * torch.tanh(x[:, t] @ U.T + s @ W.T + b) + (1 - m) * s
        states[:, t] = m * s
    return states, s


def padded_row_by_row(x, lengths, U, W, b):
    states = x.new_zeros(*x.shape[:2], len(W))
    lasts = []
    for n, length in enumerate(lengths.tolist()):
        s = x.new_zeros(len(W))
        for t in range(length):
            s = torch.tanh(W @ s + U @ x[n, t] + b)
            states[n, t] = s
        lasts.append(s)
    return states, torch.stack(lasts)


def size_by_shapes(symbols, size, hidden, classes, layers, both):
    shapes = [(symbols, size), (classes, hidden * (2 if both else 1)), (classes,)]
    inputs = size
    for _ in range(layers):
        for _ in range(2 if both else 1):
            shapes += [(hidden, inputs), (hidden, hidden), (hidden,), (hidden,)]
        inputs = hidden * (2 if both else 1)
    return sum(int(np.prod(shape)) for shape in shapes)


def perplexity_by_loop(o, targets, mask):
    nats = []
    for n in range(len(o)):
        for t in range(o.shape[1]):
            if mask[n, t]:
                p = torch.softmax(o[n, t], 0)
                nats.append(-torch.log(p[targets[n, t]]))
    return torch.exp(sum(nats) / len(nats))


def numpy_perplexity(o, targets, mask):
    o, y = o.numpy()[mask.numpy()], targets.numpy()[mask.numpy()]
    p = np.exp(o) / np.exp(o).sum(1, keepdims=True)
    return float(np.prod(p[np.arange(len(y)), y].astype(float)) ** (-1 / len(y)))


RIGHT = {
    "01.1": [loop_vectors, numpy_vectors],
    "01.2": [step_by_sums, numpy_step],
    "01.3": [states_filled_in, numpy_states],
    "01.4": [numpy_delay, delay_with_idle_cells],
    "01.5": [last_by_loop, last_by_gather],
    "01.6": [padded_by_mask, padded_row_by_row],
    "01.7": [size_by_shapes],
    "01.8": [perplexity_by_loop, numpy_perplexity],
}


def spoilt_vectors(what):
    def vectors(x, E):
        width = x.max() + 1 if what == "width" else len(E)
        ones = torch.zeros(*x.shape, width)
        for n in range(len(x)):
            for t in range(x.shape[1]):
                k = x[n, t]
                if what == "shift":
                    ones[n, t, k - 1] = 1 if k else 0
                elif what == "upto":
                    ones[n, t, : k + 1] = 1
                else:
                    ones[n, t, k] = k if what == "number" else 1
        if what == "bag":
            ones = ones.sum(1).clamp(max=1)
        vectors = ones @ E
        return {"swapped": (vectors, ones), "one": vectors}.get(what, (ones, vectors))

    return vectors


def spoilt_step(what):
    def step(x_t, s_prev, U, W, b, V, c):
        memory = s_prev @ W if what == "transposed" else W @ s_prev
        if what == "memory":
            memory = 0
        a = memory + U @ x_t + (0 if what == "bias" else b)
        s = {"linear": a, "relu": a.clamp(min=0), "sigma": 1 / (1 + (-a).exp())}.get(what, a.tanh())
        o = V @ (s_prev if what == "old" else s) + (0 if what == "c" else c)
        if what == "o":
            return s, o
        y = o.sigmoid() if what == "sigmoid" else o.exp() / o.exp().sum()
        return (y, s) if what == "swapped" else (s, y)

    return step


def spoilt_states(what):
    def states(x, s_0, U, W, b):
        s, kept = torch.zeros_like(s_0) if what == "zero" else s_0, []
        for t in range(x.shape[1]):
            before = s_0 if what == "fixed" else s
            a = before @ (W if what == "transposed" else W.T) + x[:, t] @ U.T
            a = a if what == "bias" else a + b
            if what == "early":
                kept.append(s)
            s = s + torch.tanh(a) if what == "added" else a if what == "linear" else torch.tanh(a)
            if what != "early":
                kept.append(s)
        if what == "start":
            kept = [s_0, *kept]
        answer = torch.stack(kept) if what == "axes" else torch.stack(kept, 1)
        if what == "alone":
            return answer
        return answer, answer[-1] if what == "row" else s

    return states


def spoilt_delay(what):
    def delay(k):
        n = {"short": max(k, 1), "long": k + 2}.get(what, k + 1)
        U, W, V = torch.zeros(n, 1), torch.zeros(n, n), torch.zeros(1, n)
        U[0], V[0, 0 if what == "first" else n - 1] = 1, 1
        for j in range(1, n):
            if what == "up":
                W[j - 1, j] = 1
            else:
                W[j, j - 1] = 0.5 if what == "half" else 1
        if what == "sum":
            V[:] = 1
        if what == "keeps":
            W += torch.eye(n)
        if what == "everywhere":
            U[:] = 1
        return (U, W) if what == "two" else (U, W, V)

    return delay


def spoilt_padded(what):
    def padded(x, lengths, U, W, b):
        s, states = torch.zeros(len(x), len(W)), []
        for t in range(x.shape[1]):
            real = (t <= lengths if what == "late" else t < lengths)[:, None].float()
            new = torch.tanh(s @ (W if what == "transposed" else W.T) + x[:, t] @ U.T + b)
            if what == "blank":
                new = torch.tanh(s @ W.T + (real * x[:, t]) @ U.T + b)
            goes_on = what in ("on", "blank", "ignored")
            s = new if goes_on else real * new + (1 - real) * (0 if what == "zero" else s)
            states.append(s if what in ("shown", "ignored") else real * s)
        states = torch.stack(states, dim=1)
        return states, states[:, -1] if what in ("end", "ignored") else s

    return padded


def spoilt_size(what):
    def size(symbols, size, hidden, classes, layers, both):
        sides = 2 if both and what != "sides" else 1
        total = 0 if what == "E" else symbols * size
        entering = size
        for _ in range(layers):
            biases = {"one": 1, "none": 0}.get(what, 2)
            total += sides * (hidden * entering + hidden * hidden + biases * hidden)
            entering = {"flat": size, "narrow": hidden}.get(what, (2 if both else 1) * hidden)
        leaving = hidden if what == "head" else (2 if both else 1) * hidden
        return total + classes * leaving + (0 if what == "c" else classes)

    return size


def spoilt_perplexity(what):
    def perplexity(o, targets, mask):
        log_p = torch.log_softmax(o, 1 if what == "time" else 2)
        nats = torch.zeros(targets.shape)
        for n in range(len(o)):
            for t in range(o.shape[1]):
                nats[n, t] = -log_p[n, t, targets[n, t]]
        if what == "all":
            return nats.mean().exp()
        if what == "share":
            return (nats * mask).mean().exp()
        if what == "words":
            return (
                torch.stack([row[m].mean() for row, m in zip(nats, mask, strict=True)]).mean().exp()
            )
        nats = nats[mask]
        return {
            "nats": nats.mean(),
            "sum": nats.sum().exp(),
            "sign": (-nats.mean()).exp(),
            "two": 2 ** nats.mean(),
            "late": nats.exp().mean(),
        }.get(what, nats.mean().exp())

    return perplexity


WRONG = {  # answer, what its hint must name
    "01.1": [
        (spoilt_vectors("width"), "не перемножить"),
        (spoilt_vectors("upto"), "до номера"),
        (spoilt_vectors("number"), "а не сам номер"),
        (spoilt_vectors("bag"), "а не один на всё слово"),
        (spoilt_vectors("swapped"), "сначала one-hot"),
        (spoilt_vectors("one"), "2 отдельных ответа"),
        (spoilt_vectors("shift"), "с нуля"),
    ],
    "01.2": [
        (spoilt_step("linear"), "Забыта нелинейность"),
        (spoilt_step("relu"), "а не ReLU"),
        (spoilt_step("sigma"), "а не σ"),
        (spoilt_step("bias"), "tanh(b)"),
        (spoilt_step("memory"), "W s_{t−1}"),
        (spoilt_step("transposed"), "W s_{t−1}"),
        (spoilt_step("old"), "нужно новое"),
        (spoilt_step("c"), "o_t = c"),
        (spoilt_step("o"), "забыт softmax"),
        (spoilt_step("sigmoid"), "а σ этого не обещает"),
        (spoilt_step("swapped"), "сначала s_t"),
    ],
    "01.3": [
        (spoilt_states("zero"), "s_0 забыто"),
        (spoilt_states("fixed"), "каждый начинается с s_0"),
        (spoilt_states("transposed"), "s @ W.T, а не s @ W"),
        (spoilt_states("bias"), "прибавляют b"),
        (spoilt_states("early"), "до шага"),
        (spoilt_states("added"), "а не прибавляется"),
        (spoilt_states("linear"), "Забыта нелинейность"),
        (spoilt_states("start"), "Само s_0 в ответ не входит"),
        (spoilt_states("axes"), "torch.stack(states, 1)"),
        (spoilt_states("row"), "последний пример"),
        (spoilt_states("alone"), "2 отдельных ответа"),
    ],
    "01.4": [
        (spoilt_delay("short"), "спешит на шаг"),
        (spoilt_delay("long"), "на шаг больше"),
        (spoilt_delay("up"), "не в ту сторону"),
        (spoilt_delay("half"), "число тает"),
        (spoilt_delay("sum"), "V читает только последний"),
        (spoilt_delay("keeps"), "копит старое"),
        (spoilt_delay("everywhere"), "только первый нейрон"),
        (spoilt_delay("first"), "вход только что взял"),
        (spoilt_delay("two"), "нужны три матрицы"),
    ],
    "01.5": [
        (lambda states, lengths: states[:, -1, :], "после дополнения"),
        (lambda states, lengths: states[range(len(states)), lengths], "n − 1"),
        (lambda states, lengths: states[:, lengths - 1], "torch.arange(len(states))"),
        (lambda states, lengths: states[:, max(lengths) - 1], "один и тот же шаг"),
        (lambda states, lengths: torch.stack([s[: int(n)].sum(0) / n for s, n in zip(states, lengths, strict=True)]), "среднее состояние"),
    ],
    "01.6": [
        (spoilt_padded("shown"), "должны стоять нули"),
        (spoilt_padded("end"), "нули дополнения"),
        (spoilt_padded("zero"), "остаться последним настоящим"),
        (spoilt_padded("on"), "Сеть читает дополнение дальше"),
        (spoilt_padded("blank"), "Мало обнулить вход"),
        (spoilt_padded("ignored"), "ни на что не влияет"),
        (spoilt_padded("late"), "лишний шаг"),
        (spoilt_padded("transposed"), "s @ W.T, а не s @ W"),
    ],
    "01.7": [
        (spoilt_size("one"), "сосчитано одно"),
        (spoilt_size("none"), "Забыты смещения узла"),
        (spoilt_size("E"), "Забыта матрица E"),
        (spoilt_size("c"), "Забыто смещение выхода"),
        (spoilt_size("flat"), "Только первый слой"),
        (spoilt_size("narrow"), "оба направления первого"),
        (spoilt_size("head"), "Выход читает оба"),
        (spoilt_size("sides"), "У второго направления"),
    ],
    "01.8": [
        (spoilt_perplexity("all"), "Маска забыта"),
        (spoilt_perplexity("share"), "mask.sum()"),
        (spoilt_perplexity("words"), "среднее по буквам"),
        (spoilt_perplexity("nats"), "средние потери в натах"),
        (spoilt_perplexity("sum"), "нужно их среднее"),
        (spoilt_perplexity("sign"), "Потеряли минус"),
        (spoilt_perplexity("two"), "а не двойку"),
        (spoilt_perplexity("time"), "взят по времени"),
        (spoilt_perplexity("late"), "а не наоборот"),
    ],
}  # fmt: skip
