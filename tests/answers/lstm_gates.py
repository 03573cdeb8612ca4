"""Answers to the exercises of 05."""

import math

import numpy as np
import torch


def gate_by_loops(x_t, h, W_x, W_h, b):
    answer = torch.empty_like(h)
    for n in range(len(h)):
        for k in range(len(b)):
            answer[n, k] = 1 / (1 + torch.exp(-(W_x[k] @ x_t[n] + W_h[k] @ h[n] + b[k])))
    return answer


def gate_in_numpy(x_t, h, W_x, W_h, b):
    x_t, h, W_x, W_h, b = (part.numpy() for part in (x_t, h, W_x, W_h, b))
    return 1 / (1 + np.exp(-(np.hstack([x_t, h]) @ np.hstack([W_x, W_h]).T + b)))


def step_by_slices(x_t, h, c, W_x, W_h, b):
    H = h.shape[1]
    quarter = [slice(k * H, (k + 1) * H) for k in range(4)]
    i, f, g, o = (x_t @ W_x[q].T + h @ W_h[q].T + b[q] for q in quarter)
    memory = c * f.sigmoid() + i.sigmoid() * g.tanh()
    return [o.sigmoid() * memory.tanh(), memory]


def step_in_numpy(x_t, h, c, W_x, W_h, b):
    sigmoid = lambda z: 1 / (1 + np.exp(-z))
    a = np.asarray(x_t) @ np.asarray(W_x).T + np.asarray(h) @ np.asarray(W_h).T + np.asarray(b)
    i, f, g, o = np.split(a, 4, axis=1)
    c = sigmoid(f) * np.asarray(c) + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def forget_by_layers(lstm, b_f):
    H = lstm.hidden_size
    for layer in range(lstm.num_layers):
        for end in ["", "_reverse"] if lstm.bidirectional else [""]:
            for kind in ("ih", "hh"):
                getattr(lstm, f"bias_{kind}_l{layer}{end}").data[H : 2 * H].fill_(b_f / 2)
    return lstm


def forget_by_names(lstm, b_f):
    for name, bias in lstm.named_parameters():
        if "bias" in name:
            f = bias.detach().chunk(4)[1]
            f.copy_(torch.full_like(f, b_f if "ih" in name else 0.0))
    return lstm


def gru_by_rows(x_t, h, W_x, W_h, b_x, b_h):
    rows, H = [], h.shape[1]
    for x, past in zip(x_t, h, strict=True):
        from_x, from_h = W_x @ x + b_x, W_h @ past + b_h
        r, z = torch.sigmoid(from_x[: 2 * H] + from_h[: 2 * H]).split(H)
        n = torch.tanh(from_x[2 * H :] + r * from_h[2 * H :])
        rows.append(n + z * (past - n))
    return torch.stack(rows)


def counter_of_lists(alphabet, plus, minus):
    candidate = [60 * (letter == plus) - 60 * (letter == minus) for letter in alphabet]
    nothing = [0] * len(alphabet)
    return [nothing, nothing, candidate, nothing], [60, 60, 0, 0]


def counter_that_writes_on_demand(alphabet, plus, minus):
    W_x = np.zeros((4, len(alphabet)))
    for letter, sign in ((plus, 1), (minus, -1)):
        W_x[0, alphabet.index(letter)] = 100
        W_x[2, alphabet.index(letter)] = 40 * sign
    return W_x, np.array([-50, 50, 0, 50])


def latch(alphabet, plus, minus):
    W_x, b = torch.zeros(4, len(alphabet)), torch.tensor([50.0, 50.0, 0.0, 50.0])
    for letter, sign in ((plus, 1), (minus, -1)):
        W_x[1, alphabet.index(letter)] = -100  # f закрывается
        W_x[2, alphabet.index(letter)] = 50 * sign
    return W_x, b


def latch_that_writes_on_demand(alphabet, plus, minus):
    write = np.array([letter in (plus, minus) for letter in alphabet]) * 1.0
    sign = np.array([letter == plus for letter in alphabet]) * 2.0 - 1
    return np.stack([80 * write - 40, 40 - 80 * write, 40 * sign, 0 * write]), np.zeros(4)


RIGHT = {
    "05.1": [gate_by_loops, gate_in_numpy],
    "05.2": [step_by_slices, step_in_numpy],
    "05.3": [lambda b, part: torch.log(torch.tensor(part)).item() / -math.log(1 + math.exp(-b))],
    "05.4": [
        lambda steps, part: -math.log(part ** (-1 / steps) - 1),
        lambda steps, part: torch.logit(torch.tensor(part, dtype=torch.float64) ** (1 / steps)),
    ],
    "05.5": [forget_by_layers, forget_by_names],
    "05.6": [gru_by_rows],
    "05.7": [counter_of_lists, counter_that_writes_on_demand],
    "05.8": [latch, latch_that_writes_on_demand],
}


def spoilt_step(what):
    def step(x_t, h, c, W_x, W_h, b):
        a = x_t @ W_x.T + b + (0 if what == "past" else h @ W_h.T)
        first, second, third, fourth = a.chunk(4, dim=1)
        i, f, g, o = first, second, third, fourth
        if what == "lecture order":
            i, f, o, g = first, second, third, fourth
        if what == "forget first":
            f, i, g, o = first, second, third, fourth
        i, f, o = torch.sigmoid(i), torch.sigmoid(f), torch.sigmoid(o)
        g = torch.sigmoid(g) if what == "sigmoid" else torch.tanh(g)
        before = c
        c = c + i * g if what == "no forgetting" else f * c + i * g
        c = f * before + g if what == "no writing" else c
        h = o * c if what == "bare" else o * torch.tanh(before if what == "old" else c)
        return (c, h) if what == "swapped" else h if what == "one" else (h, c)

    return step


def forget(put, names=("bias_ih", "bias_hh"), start=1, stop=2, only=""):
    def spoilt(lstm, b_f):
        H = lstm.hidden_size
        with torch.no_grad():
            for name, weight in lstm.named_parameters():
                if name.startswith(names) and only in name:
                    weight[start * H : stop * H] = put(name, b_f)
        return lstm

    return spoilt


def first_layer_only(lstm, b_f):
    H = lstm.hidden_size
    lstm.bias_ih_l0.data[H : 2 * H] = b_f
    lstm.bias_hh_l0.data[H : 2 * H] = 0
    return lstm


def without_reverse(lstm, b_f):
    for layer in range(lstm.num_layers):
        for kind, value in (("ih", b_f), ("hh", 0)):
            getattr(lstm, f"bias_{kind}_l{layer}").data[lstm.hidden_size : 2 * lstm.hidden_size] = (
                value
            )
    return lstm


def watched_by_torch(lstm, b_f):
    lstm.bias_ih_l0[lstm.hidden_size : 2 * lstm.hidden_size] = b_f
    return lstm


def a_copy(lstm, b_f):
    for name, weight in lstm.named_parameters():
        if "bias" in name:
            weight = weight.clone()
            weight[lstm.hidden_size : 2 * lstm.hidden_size] = b_f
    return lstm


def returns_nothing(lstm, b_f):
    forget_by_layers(lstm, b_f)


def spoilt_gru(what):
    def step(x_t, h, W_x, W_h, b_x, b_h):
        W_xr, W_xz, W_xn = W_x.chunk(3)
        W_hr, W_hz, W_hn = W_h.chunk(3)
        b_xr, b_xz, b_xn = b_x.chunk(3)
        b_hr, b_hz, b_hn = b_h.chunk(3)
        r = torch.sigmoid(x_t @ W_xr.T + b_xr + h @ W_hr.T + b_hr)
        z = torch.sigmoid(x_t @ W_xz.T + b_xz + h @ W_hz.T + b_hz)
        if what == "order":
            r, z = z, r
        n = x_t @ W_xn.T + b_xn + r * (h @ W_hn.T + b_hn)
        if what == "paper":
            n = x_t @ W_xn.T + b_xn + (r * h) @ W_hn.T + b_hn
        if what == "bias":
            n = x_t @ W_xn.T + b_xn + r * (h @ W_hn.T) + b_hn
        if what == "no reset":
            n = x_t @ W_xn.T + b_xn + h @ W_hn.T + b_hn
        n = torch.sigmoid(n) if what == "sigmoid" else torch.tanh(n)
        return (1 - z) * h + z * n if what == "mirror" else (1 - z) * n + z * h

    return step


def cell(i=50.0, f=50.0, g=0.0, plus_g=50.0, minus_g=-50.0, letters=None, rows=(0, 1, 2)):
    def weights(alphabet, plus, minus):
        W_x, b = torch.zeros(4, len(alphabet)), torch.zeros(4)
        for row, value in zip(rows, (i, f, g), strict=True):
            b[row] = value
        p, m = alphabet.index(plus), alphabet.index(minus)
        W_x[rows[2], p], W_x[rows[2], m] = plus_g, minus_g
        if letters is not None:
            W_x[rows[1], [p, m]] = letters
        return W_x, b

    return weights


def transposed(alphabet, plus, minus):
    W_x, b = counter_that_writes_on_demand(alphabet, plus, minus)
    return W_x.T, b


WRONG = {  # answer, what its hint must name
    "05.1": [
        (lambda x_t, h, W_x, W_h, b: torch.tanh(b + x_t @ W_x.T + h @ W_h.T), "σ, а tanh — у кандидата"),
        (lambda x_t, h, W_x, W_h, b: b + x_t @ W_x.T + h @ W_h.T, "забыта σ"),
        (lambda x_t, h, W_x, W_h, b: (x_t @ W_x.T + b).sigmoid(), "не видит прошлого"),
        (lambda x_t, h, W_x, W_h, b: (x_t @ W_x.T + h @ W_h.T).sigmoid(), "Забыто смещение"),
        (lambda x_t, h, W_x, W_h, b: (b + x_t @ W_x.T + h @ W_h).sigmoid(), "не транспонирована"),
        (lambda x_t, h, W_x, W_h, b: (W_x @ x_t + W_h @ h + b).sigmoid(), "транспонированная"),
        (lambda x_t, h, W_x, W_h, b: (h @ W_h.T + b).sigmoid(), "Вклад входа"),
        (lambda x_t, h, W_x, W_h, b: 1 / (1 + torch.exp(x_t @ W_x.T + h @ W_h.T + b)), "минус в показателе"),
    ],
    "05.2": [
        (spoilt_step("lecture order"), "кандидат третий"),
        (spoilt_step("forget first"), "сначала вентиль записи"),
        (spoilt_step("sigmoid"), "tanh, а не σ"),
        (spoilt_step("no forgetting"), "забывания не использован"),
        (spoilt_step("no writing"), "записи не использован"),
        (spoilt_step("bare"), "память сжимают"),
        (spoilt_step("old"), "взята прошлая"),
        (spoilt_step("past"), "не видят прошлого"),
        (spoilt_step("swapped"), "сначала h_t, потом c_t"),
        (spoilt_step("one"), "2 отдельных ответа"),
    ],
    "05.3": [
        (lambda b, share: math.log(0.5) / math.log(1 / (1 + math.exp(-b))), "share забыта"),
        (lambda b, share: -math.log(share) / math.log(1 / (1 + math.exp(-b))), "Знак"),
        (lambda b, share: math.log(1 / (1 + math.exp(-b))) / math.log(share), "перевёрнута"),
        (lambda b, share: math.log(share) / math.log(1 / (1 + math.exp(b))), "а не та, что теряется"),
        (lambda b, share: (1 - share) * (1 + math.exp(b)), "умножают на σ(b_f)"),
        (lambda b, share: math.log2(share) / math.log(1 / (1 + math.exp(-b))), "разным основаниям"),
        (lambda b, share: math.log(share) / math.log(b), "ValueError"),
    ],
    "05.4": [
        (lambda steps, share: share ** (1 / steps), "Это доля за шаг"),
        (lambda steps, share: math.log(share ** (-1 / steps) - 1), "Знак"),
        (lambda steps, share: 1 / (1 + math.exp(-(share ** (1 / steps)))), "обратная к ней"),
        (lambda steps, share: -math.log(share**-steps - 1), "корень"),
        (lambda steps, share: -math.log(2 ** (1 / steps) - 1), "share забыта"),
        (lambda steps, share: -math.log(1 / (1 - (1 - share) / steps) - 1), "не делится"),
        (lambda steps, share: math.log(share) / steps, "ещё не смещение"),
    ],
    "05.5": [
        (forget(lambda name, b_f: b_f), "вышло 2·b_f"),
        (forget(lambda name, b_f: b_f, "bias_ih"), "bias_hh, осталось случайным"),
        (forget(lambda name, b_f: b_f, "bias_hh"), "bias_ih, осталось случайным"),
        (forget(lambda name, b_f: b_f / 2, start=0, stop=1), "четверть вентиля записи"),
        (forget(lambda name, b_f: b_f * ("ih" in name), start=0, stop=1), "Порядок в torch"),
        (forget(lambda name, b_f: b_f * ("ih" in name), start=2, stop=3), "четверть кандидата"),
        (forget(lambda name, b_f: b_f * ("ih" in name), start=0, stop=4), "другие четверти"),
        (forget(lambda name, b_f: b_f / 2, names=("bias", "weight")), "матрицы"),
        (first_layer_only, "лишь первый слой"),
        (without_reverse, "Обратная цепочка забыта"),
        (watched_by_torch, "torch.no_grad()"),
        (a_copy, "вернулась прежней"),
        (returns_nothing, "return"),
    ],
    "05.6": [
        (spoilt_gru("order"), "r, z, n"),
        (spoilt_gru("paper"), "вариант статьи"),
        (spoilt_gru("bias"), "внутри скобки"),
        (spoilt_gru("no reset"), "сброса не использован"),
        (spoilt_gru("sigmoid"), "tanh, а не σ"),
        (spoilt_gru("mirror"), "поменялись местами"),
    ],
    "05.7": [
        (cell(rows=(0, 1, 3)), "кандидат третий"),
        (cell(f=0.0), "тает вдвое"),
        (cell(i=0.0), "лишь половину"),
        (cell(i=0.0, f=0.0), "половина"),
        (cell(f=-50.0), "стирается на каждой букве"),
        (cell(plus_g=-50.0, minus_g=50.0), "Знаки наоборот"),
        (cell(minus_g=0.0), "ничего не отнимает"),
        (cell(minus_g=50.0), "тоже прибавляет"),
        (cell(plus_g=1.0, minus_g=-1.0), "tanh(1)"),
        (cell(i=5.0, f=5.0, plus_g=5.0, minus_g=-5.0), "недостаточно насыщены"),
        (cell(g=50.0, plus_g=50.0, minus_g=-100.0), "посторонняя буква"),
        (transposed, "размер W_x"),
    ],
    "05.8": [
        (cell(), "Это счётчик"),
        (cell(f=-50.0), "живёт один шаг"),
        (cell(f=0.0, letters=-50.0), "большое b_f"),
        (cell(letters=-50.0), "должен пересилить"),
        (cell(i=0.0, letters=-100.0), "записана половина"),
        (cell(plus_g=-50.0, minus_g=50.0, letters=-100.0), "Знаки наоборот"),
        (cell(g=50.0, minus_g=-100.0, letters=-100.0), "посторонней букве"),
        (cell(letters=-100.0, minus_g=0.0), "c̃ ≈ −1"),
    ],
}  # fmt: skip
