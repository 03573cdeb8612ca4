"""Answers to the exercises of 04."""

import numpy as np
import torch


def layer_after_layer(x, lower, upper):
    last = []
    for p in (lower, upper):
        s, states = torch.zeros_like(p.b).expand(len(x), -1), []
        for t in range(x.shape[1]):
            s = torch.tanh(p.b + s @ p.W.T + x[:, t] @ p.U.T)
            states.append(s)
        x = torch.stack(states, dim=1)
        last.append(s)
    return x, torch.stack(last)


def layers_in_numpy(x, lower, upper):
    x, last = x.numpy(), []
    for p in (lower, upper):
        U, W, b = p.U.numpy(), p.W.numpy(), p.b.numpy()
        states = np.zeros((len(x), x.shape[1] + 1, len(b)))
        for t in range(x.shape[1]):
            states[:, t + 1] = np.tanh(x[:, t] @ U.T + states[:, t] @ W.T + b)
        x = states[:, 1:]
        last.append(x[:, -1])
    return [x, np.array(last)]


def chain(p, x):
    s, states = torch.zeros(len(x), len(p.b), dtype=x.dtype), []
    for t in range(x.shape[1]):
        s = torch.tanh(x[:, t] @ p.U.T + s @ p.W.T + p.b)
        states.append(s)
    return torch.stack(states, 1)


def both_by_flipping(x, there, back):
    return torch.cat([chain(there, x), chain(back, x.flip(1)).flip(1)], -1)


def both_in_place(x, there, back):
    batch, T, _ = x.shape
    H = len(there.b)
    s = x.new_zeros(batch, T + 2, 2 * H)
    for t in range(1, T + 1):
        s[:, t, :H] = torch.tanh(x[:, t - 1] @ there.U.T + s[:, t - 1, :H] @ there.W.T + there.b)
    for t in range(T, 0, -1):
        s[:, t, H:] = torch.tanh(x[:, t - 1] @ back.U.T + s[:, t + 1, H:] @ back.W.T + back.b)
    return s[:, 1:-1]


def parameters_by_formula(size, hidden, layers, directions):
    first = hidden * (size + hidden + 2)
    upper = hidden * (directions * hidden + hidden + 2)
    return directions * (first + (layers - 1) * upper)


def parameters_by_layers(D, H, layers, directions):
    total = 0
    for layer in range(layers):
        inputs = D if layer == 0 else H * directions
        for _ in range(directions):
            total += np.prod((H, inputs)) + H**2 + H + H
    return total


def reverse_step_by_step(x, lengths):
    answer = x.clone()
    for n in range(len(x)):
        for t in range(lengths[n]):
            answer[n, t] = x[n, lengths[n] - 1 - t]
    return answer


def reverse_by_index(x, lengths):
    t = torch.arange(x.shape[1]).repeat(len(x), 1)
    back = lengths[:, None] - 1 - t
    return x[torch.arange(len(x))[:, None], torch.where(back >= 0, back, t)]


def last_by_loop(s, lengths):
    H = s.shape[2] // 2
    return torch.stack([torch.cat([s[n, k - 1, :H], s[n, 0, H:]]) for n, k in enumerate(lengths)])


def last_by_gather(s, lengths):
    H = s.shape[-1] // 2
    place = (lengths - 1).view(-1, 1, 1).expand(-1, 1, H)
    return np.hstack([s[..., :H].gather(1, place)[:, 0], s[:, 0, H:]])


def accuracy_by_mask(o, y, lengths):
    mask = torch.arange(y.shape[1])[None] < lengths[:, None]
    return ((o.argmax(-1) == y) * mask).sum() / mask.sum()


def accuracy_by_rows(o, y, lengths):
    rows = zip(o.numpy(), y.numpy(), lengths.numpy(), strict=True)
    return np.concatenate([guess[:n].argmax(1) == told[:n] for guess, told, n in rows]).mean()


def rows_one_by_one(x, lengths, there, back):
    H = len(there.b)
    s, last = x.new_zeros(*x.shape[:2], 2 * H), x.new_zeros(len(x), 2 * H)
    for n, length in enumerate(lengths.tolist()):
        s[n, :length] = both_by_flipping(x[n : n + 1, :length], there, back)[0]
        last[n] = torch.cat([s[n, length - 1, :H], s[n, 0, H:]])
    return s, last


def rows_by_reversing(x, lengths, there, back):
    right, left = (
        chain(there, x),
        reverse_by_index(chain(back, reverse_by_index(x, lengths)), lengths),
    )
    s = torch.cat([right, left], 2)
    mask = torch.arange(x.shape[1]) < lengths[:, None]
    return s * mask[..., None], last_by_loop(s, lengths)


RIGHT = {
    "04.1": [layer_after_layer, layers_in_numpy],
    "04.2": [both_by_flipping, both_in_place],
    "04.3": [parameters_by_formula, parameters_by_layers],
    "04.4": [reverse_step_by_step, reverse_by_index],
    "04.5": [last_by_loop, last_by_gather],
    "04.6": [accuracy_by_mask, accuracy_by_rows],
    "04.7": [rows_one_by_one, rows_by_reversing],
}


def spoilt_layers(what):
    def two_layers(x, lower, upper):
        s_1 = s_2 = x.new_zeros(len(x), len(upper.b))
        states, lowers = [], []
        for x_t in x.unbind(1):
            W, b = lower.W if what == "W" else upper.W, 0 if what == "b" else upper.b
            if what == "order":
                s_2 = torch.tanh(s_1 @ upper.U.T + s_2 @ W.T + b)
                s_1 = torch.tanh(x_t @ lower.U.T + s_1 @ lower.W.T + lower.b)
            else:
                given = x_t if what == "x" else None
                s_1 = torch.tanh(x_t @ lower.U.T + s_1 @ lower.W.T + lower.b)
                given = s_1 if given is None else given
                a = given @ upper.U.T + (s_1 if what == "past" else s_2) @ W.T + b
                s_2 = a if what == "tanh" else torch.tanh(a)
            states.append(s_2)
            lowers.append(s_1)
        last = {"swapped": [s_2, s_1], "top": [s_2]}.get(what, [s_1, s_2])
        return torch.stack(lowers if what == "lower" else states, 1), torch.stack(last)

    return two_layers


def spoilt_both(what):
    def both(x, there, back):
        if what == "weights":
            there, back = back, there
        right = chain(there, x)
        left = chain(there if what == "same" else back, x.flip(1) if what != "forward" else x)
        if what not in ("reading", "forward"):
            left = left.flip(1)
        if what == "rows":
            left = chain(back, x.flip(0)).flip(0)
        if what == "sum":
            return right + left
        return torch.cat([left, right] if what == "halves" else [right, left], 2)

    return both


def carried(x, there, back):
    right = left = x.new_zeros(len(x), len(there.b))
    states, T = x.new_zeros(len(x), x.shape[1], 2 * len(there.b)), x.shape[1]
    for t in range(T):
        right = torch.tanh(x[:, t] @ there.U.T + right @ there.W.T + there.b)
        states[:, t, : len(there.b)] = right
    left = right
    for t in reversed(range(T)):
        left = torch.tanh(x[:, t] @ back.U.T + left @ back.W.T + back.b)
        states[:, t, len(there.b) :] = left
    return states


def reversed_rows(row_of):
    def reverse(x, lengths):
        return torch.stack([row_of(row, int(n)) for row, n in zip(x, lengths, strict=True)])

    return reverse


def reverse_on_the_spot(x, lengths):
    for n, length in enumerate(lengths):
        x[n, :length] = x[n, :length].flip(0)
    return x


def spoilt_rows(what):
    def rows(x, lengths, there, back):
        H = len(there.b)
        s, last = x.new_zeros(*x.shape[:2], 2 * H), x.new_zeros(len(x), 2 * H)
        for n, length in enumerate(lengths.tolist()):
            row = x[n : n + 1, : x.shape[1] if what == "tails" else length]
            right, left = chain(there, row)[0], chain(back, row.flip(1))[0].flip(0)
            if what == "reading":
                left = left.flip(0)
            s[n, : len(right)] = torch.cat([right, left], 1)
            last[n] = torch.cat([right[-1], left[-1 if what == "start" else 0]])
            if what == "halves":
                last[n] = last[n].roll(H)
        return s, last

    return rows


def padded_start(x, lengths, there, back):
    s = both_by_flipping(x, there, back) * (torch.arange(x.shape[1]) < lengths[:, None])[..., None]
    return s, last_by_loop(both_by_flipping(x, there, back), lengths)


def tails_left(x, lengths, there, back):
    left = reverse_by_index(chain(back, reverse_by_index(x, lengths)), lengths)
    s = torch.cat([chain(there, x), left], 2)
    return s, last_by_loop(s, lengths)


def last_over_the_tail(x, lengths, there, back):
    s, last = rows_by_reversing(x, lengths, there, back)
    H = len(there.b)
    return s, torch.cat([chain(there, x)[:, -1], last[:, H:]], 1)


WRONG = {  # answer, what its hint must name
    "04.1": [
        (spoilt_layers("order"), "сначала s_1, потом s_2"),
        (spoilt_layers("W"), "своя матрица W"),
        (spoilt_layers("b"), "забыто смещение"),
        (spoilt_layers("past"), "собственное прошлое s_2"),
        (spoilt_layers("tanh"), "забыт tanh"),
        (spoilt_layers("lower"), "состояния нижнего слоя"),
        (spoilt_layers("swapped"), "сначала нижний слой"),
        (spoilt_layers("top"), "часть 2: размер ответа (1, 2, 4), а нужен (2, 2, 4)"),
        (spoilt_layers("x"), "не перемножить"),
    ],
    "04.2": [
        (spoilt_both("reading"), "порядке чтения, а не времени"),
        (spoilt_both("forward"), "читают слева направо"),
        (spoilt_both("halves"), "Половины поменялись местами"),
        (spoilt_both("weights"), "Веса перепутаны"),
        (spoilt_both("same"), "свои веса, back"),
        (spoilt_both("sum"), "склеивают"),
        (carried, "начинает с нулей"),
    ],
    "04.3": [
        (lambda D, H, layers, ways: ways * (H * (D + H + 1) + (layers - 1) * H * (ways * H + H + 1)), "Смещение посчитано одно"),
        (lambda D, H, layers, ways: ways * (H * (D + H + 2) + (layers - 1) * H * (H + H + 2)), "2·hidden, а не hidden"),
        (lambda D, H, layers, ways: ways * layers * H * (D + H + 2), "а не x"),
        (lambda D, H, layers, ways: H * (D + H + 2) + (layers - 1) * H * (ways * H + H + 2), "Посчитано одно направление"),
        (lambda D, H, layers, ways: ways * (H * (D + H) + (layers - 1) * H * (ways * H + H)), "Забыты смещения"),
        (lambda D, H, layers, ways: ways * (H * (D + 2) + (layers - 1) * H * (ways * H + 2)), "Забыта матрица W"),
    ],
    "04.4": [
        (lambda x, lengths: torch.flip(x, [1]), "Хвост оказался впереди"),
        (lambda x, lengths: torch.flip(x, [0]), "порядок рядов в пакете"),
        (lambda x, lengths: torch.flip(x, [2]), "Перевёрнуты признаки"),
        (reversed_rows(lambda row, n: torch.cat([row[:n].flip(0), torch.zeros_like(row[n:])])), "Хвост обнулён"),
        (reversed_rows(lambda row, n: torch.cat([row[:n].flip(0), row[n:].flip(0)])), "Хвост тоже перевёрнут"),
        (reversed_rows(lambda row, n: torch.cat([row[: n - 1].flip(0), row[n - 1 :]])), "Последний шаг ряда остался"),
        (reverse_on_the_spot, "меняет на месте свой аргумент x"),
        (lambda x, lengths: x.flip(1)[:, : lengths.max() - 1], "размер ответа"),
    ],
    "04.5": [
        (lambda s, lengths: s[:, -1], "Взят последний шаг пакета"),
        (lambda s, lengths: s[torch.arange(len(s)), lengths - 1], "только начала"),
        (lambda s, lengths: torch.cat([s[:, -1, :3], s[:, 0, 3:]], 1), "состояние над хвостом"),
        (lambda s, lengths: s[:, 0], "прочла лишь x_1"),
        (lambda s, lengths: torch.cat([s[:, 0, :3], s[torch.arange(len(s)), lengths - 1, 3:]], 1), "Концы перепутаны"),
        (lambda s, lengths: last_by_loop(s, lengths).roll(3, 1), "Половины поменялись"),
        (lambda s, lengths: last_by_loop(s, lengths - 1), "Ошибка на единицу"),
        (lambda s, lengths: last_by_loop(s, lengths + 1), "номер вышел за край"),
    ],
    "04.6": [
        (lambda o, y, lengths: (o.argmax(2) == y).float().mean(), "нужна маска"),
        (lambda o, y, lengths: ((o.argmax(2) == y) * (torch.arange(9) < lengths[:, None])).float().mean(), "поделены на все места"),
        (lambda o, y, lengths: (o.argmax(2) == y).sum() / lengths.sum(), "вычтены из знаменателя"),
        (lambda o, y, lengths: np.mean([(g[:n].argmax(1) == t[:n]).float().mean() for g, t, n in zip(o, y, lengths, strict=True)]), "среднее по рядам"),
        (lambda o, y, lengths: ((o.argmax(2) == y) * (torch.arange(9) < lengths[:, None])).sum().item(), "а нужна доля"),
        (lambda o, y, lengths: (o.argmax(2) == y)[torch.arange(9) <= lengths[:, None]].double().mean(), "первый шаг хвоста"),
        (lambda o, y, lengths: (o.argmax(2) != y)[torch.arange(9) < lengths[:, None]].double().mean(), "доля ошибок"),
        (lambda o, y, lengths: (o.argmax(1) == y).float().mean(), "размеры по оси 1 не сходятся"),
    ],
    "04.7": [
        (padded_start, "начала с хвоста"),
        (spoilt_rows("reading"), "не возвращены в порядок времени"),
        (spoilt_rows("start"), "на первом шаге, а не на последнем"),
        (spoilt_rows("halves"), "сначала прямая цепочка"),
        (spoilt_rows("tails"), "над хвостом — нули"),
        (tails_left, "должны быть нулями"),
        (last_over_the_tail, "взято над хвостом"),
    ],
}  # fmt: skip
