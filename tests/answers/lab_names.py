"""Answers to the exercises of 06."""

from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# Right


def alphabet_by_two_sorts(names, specials):
    counts = Counter(letter for name in names for letter in name)
    return list(specials) + sorted(sorted(counts), key=counts.get, reverse=True)


def pad_row_by_row(sequences):
    longest = max(len(row) for row in sequences)
    table = torch.zeros(len(sequences), longest, dtype=torch.long)
    for k, row in enumerate(sequences):
        table[k, : len(row)] = torch.tensor(row)
    return table[:, :-1], table[:, 1:], table[:, 1:] != 0


def pad_by_numpy(sequences):
    longest = max(map(len, sequences))
    table = np.array([row + (longest - len(row)) * [0] for row in sequences])
    return [table[:, :-1], table[:, 1:], table[:, 1:] > 0]


def loss_by_loop(log_probs, y, mask):
    total, count = 0, 0
    for k in range(y.shape[0]):
        for t in range(y.shape[1]):
            if mask[k, t]:
                total, count = total - log_probs[k, t, y[k, t]], count + 1
    return total / count


class InSequence(nn.Module):
    def __init__(self, symbols, size, hidden):
        super().__init__()
        self.out, self.cell = nn.Linear(hidden, symbols), nn.GRU(size, hidden, batch_first=True)
        self.table = nn.Embedding(symbols, size)

    def forward(self, x, state=None):
        outputs, state = self.cell(self.table(x), state)
        return F.log_softmax(self.out(outputs), dim=2), state


class TimeFirst(nn.Module):
    def __init__(self, symbols, size, hidden):
        super().__init__()
        self.E = nn.Embedding(symbols, size)
        self.rnn = nn.GRU(size, hidden)
        self.V = nn.Linear(hidden, symbols)

    def forward(self, x, state=None):
        if state is None:
            state = torch.zeros(1, len(x), self.rnn.hidden_size, dtype=self.E.weight.dtype)
        s, state = self.rnn(self.E(x.T), state)
        o = self.V(s).transpose(0, 1)
        return o - o.logsumexp(-1, keepdim=True), state


def step_with_cross_entropy(net, optimizer, x, y, mask, clip):
    net.zero_grad()
    loss = F.nll_loss(net(x)[0][mask], y[mask])
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), max_norm=clip)
    optimizer.step()
    return float(loss.detach())


def step_by_hand(net, optimizer, x, y, mask, clip):
    nats = -net(x)[0].gather(2, y.unsqueeze(2)).squeeze(2)
    loss = (nats * mask).sum() / mask.sum()
    for p in net.parameters():
        p.grad = None
    loss.backward()
    with torch.no_grad():
        norm = torch.sqrt(sum((p.grad**2).sum() for p in net.parameters()))
        for p in net.parameters():
            p.grad *= min(1, clip / norm)
    optimizer.step()
    return loss.item()


@torch.no_grad()
def name_until_break(net, start, end, limit):
    log_probs, state = net(torch.tensor(start)[None])
    name, symbol = [], log_probs[0, -1].argmax()
    while symbol != end and len(name) < limit:
        name.append(symbol)
        log_probs, state = net(symbol.view(1, 1), state)
        symbol = log_probs[0, -1].argmax()
    return name


def name_by_symbols(net, start, end, limit):
    state, name = None, []
    for symbol in start:
        log_probs, state = net(torch.tensor([[symbol]]), state)
    for _ in range(limit):
        symbol = int(log_probs[0, -1].max(0).indices)
        if symbol == end:
            break
        name += [symbol]
        log_probs, state = net(torch.tensor([[symbol]]), state)
    return name


def temperature_by_sum(log_probs, T):
    p = torch.exp((log_probs - log_probs.max(dim=-1, keepdim=True).values) / T)
    return p / p.sum(-1, keepdim=True)


def overfit_by_adam(net, x, y, mask):
    optimizer, losses = torch.optim.Adam(net.parameters(), lr=0.03), []
    for _ in range(200):
        losses.append(step_with_cross_entropy(net, optimizer, x, y, mask, 5))
    return losses


def overfit_until_small(net, x, y, mask):
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    losses = []
    while not losses or losses[-1] > 0.05:
        optimizer.zero_grad()
        loss = -net(x)[0][mask].gather(1, y[mask][:, None]).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses


RIGHT = {
    "06.1": [alphabet_by_two_sorts],
    "06.2": [pad_row_by_row, pad_by_numpy],
    "06.3": [loss_by_loop],
    "06.4": [InSequence, TimeFirst],
    "06.5": [step_with_cross_entropy, step_by_hand],
    "06.6": [name_until_break, name_by_symbols],
    "06.7": [temperature_by_sum],
    "06.8": [overfit_by_adam, overfit_until_small],
}

# Wrong


def spoilt_pad(what):
    def pad(sequences):
        longest = max(map(len, sequences))
        if what == "in place":
            for row in sequences:
                row += [0] * (longest - len(row))
        table = torch.tensor([row + [0] * (longest - len(row)) for row in sequences])
        x, y = table[:, :-1], table[:, 1:]
        lengths = torch.tensor([len(row) for row in sequences])[:, None]
        mask = torch.arange(longest - 1) < lengths - int(what != "mask of x")
        mask = mask if what != "inverse" else y == 0
        mask = mask if what != "all" else y >= 0
        if what == "unshifted":
            return table, table, table != 0
        return (x, table[:, :-1], mask) if what == "same" else (x, y, mask)

    return pad


def spoilt_network(what):
    class Letters(nn.Module):
        def __init__(self, vocab_size, embedding_size, hidden_size):
            if what != "super":
                super().__init__()
            self.E = nn.Embedding(vocab_size, embedding_size)
            kind = nn.LSTM if what == "lstm" else nn.GRU
            self.rnn = kind(embedding_size, hidden_size, batch_first=what != "time first")
            if what == "wide":
                self.V = nn.Linear(embedding_size, vocab_size)
            else:
                self.V = nn.Linear(hidden_size, vocab_size)

        def forward(self, x, state=None):
            s, new = self.rnn(self.E(x), None if what == "forget" else state)
            o = self.V(s)
            o = {"logits": o, "probs": o.softmax(-1), "axis": o.log_softmax(1)}.get(
                what, o.log_softmax(-1)
            )
            if what == "alone":
                return o
            return o, {"all": s, "old": state}.get(what, new)

    return Letters


def spoilt_step(what):
    def step(net, optimizer, x, y, mask, clip):
        log_probs, _ = net(x)
        nats = -log_probs.gather(-1, y[:, :, None])[:, :, 0]
        loss = nats.mean() if what == "padding" else nats[mask].mean()
        loss = nats[mask].sum() if what == "sum" else loss
        if what == "first":
            optimizer.step()
        if what not in ("keep", "late"):
            optimizer.zero_grad()
        if what == "early":
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        if what == "before":
            optimizer.step()
        loss.backward()
        if what == "late":
            optimizer.zero_grad()
        if what == "value":
            nn.utils.clip_grad_value_(net.parameters(), clip)
        elif what not in ("early", "unclipped", "after"):
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        if what not in ("first", "before", "no step"):
            optimizer.step()
        if what == "after":
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        return loss if what == "graph" else loss.item()

    return step


def spoilt_name(what):
    def name(net, start, end, limit):
        name, x, state = [], torch.tensor([start]), None
        for _ in range(limit):
            if what == "reread":
                x, state = torch.tensor([start + name]), None
            log_probs, new = net(x, state)
            state = state if what == "forget" else new
            scores = log_probs[0, 0 if what == "first" else -1]
            symbol = (scores.argmin() if what == "worst" else scores.argmax()).item()
            if what == "end":
                name.append(symbol)
            if symbol == end and what != "deaf":
                break
            if what != "end":
                name.append(symbol)
            x = torch.tensor([symbol] if what == "flat" else [[symbol]])
        return start + name if what == "start" else name

    return name


def spoilt_overfit(what):
    def overfit(net, x, y, mask):
        if what == "copy":
            import copy

            net = copy.deepcopy(net)
        optimizer, losses = torch.optim.Adam(net.parameters(), lr=0.02), []
        for _ in range(20):
            log_probs, _ = net(x)
            nats = -log_probs.gather(-1, y[:, :, None])[:, :, 0]
            loss = {"padding": nats.mean(), "sum": nats[mask].sum()}.get(what, nats[mask].mean())
            optimizer.zero_grad()
            loss.backward()
            if what != "no step":
                optimizer.step()
            losses.append(loss.item())
        return None if what == "none" else losses[1:] if what == "second" else losses

    return overfit


WRONG = {  # answer, what its hint must name
    "06.1": [
        (lambda names, specials: [*specials, *sorted(set("".join(names)))], "чисто алфавитный"),
        (lambda names, specials: [*specials, *set("".join(names))], "У set порядок"),
        (lambda names, specials: [*specials, *(a for a, _ in Counter("".join(names)).most_common())], "most_common"),
        (lambda names, specials: [*specials, *sorted(set("".join(names)), key=lambda a: ("".join(names).count(a), a))],
         "Порядок обратный"),
        (lambda names, specials: alphabet_by_two_sorts(names, []), "Служебные символы забыты"),
        (lambda names, specials: alphabet_by_two_sorts(names, []) + specials, "а не последними"),
        (lambda names, specials: [*specials, *dict.fromkeys("".join(names))], "в каком встретились"),
    ],
    "06.2": [
        (spoilt_pad("mask of x"), "построена по входу"),
        (spoilt_pad("inverse"), "перевёрнута"),
        (spoilt_pad("all"), "всюду истинна"),
        (spoilt_pad("unshifted"), "Сдвига нет"),
        (spoilt_pad("same"), "Цель не сдвинута"),
        (spoilt_pad("in place"), "меняет на месте свой аргумент sequences"),
        (lambda sequences: torch.tensor(sequences), "ValueError"),
    ],
    "06.3": [
        (lambda log_probs, y, mask: F.nll_loss(log_probs.flatten(0, 1), y.flatten()), "маска забыта"),
        (lambda log_probs, y, mask: -(log_probs.gather(2, y[..., None])[..., 0] * mask).mean(), "занижены"),
        (lambda log_probs, y, mask: F.nll_loss(log_probs[mask], y[mask], reduction="sum"), "Это сумма"),
        (lambda log_probs, y, mask: log_probs[mask].gather(1, y[mask][:, None]).mean(), "минус"),
        (lambda log_probs, y, mask: F.nll_loss(log_probs[~mask], y[~mask]), "перевёрнута"),
        (lambda log_probs, y, mask: -torch.stack([
            F.nll_loss(row[m], t[m]) for row, t, m in zip(log_probs, y, mask, strict=True)
        ]).mean().neg(), "короткое имя весит больше"),
        (lambda log_probs, y, mask: F.nll_loss(log_probs[mask], y[mask], reduction="none"), "размер ответа"),
    ],
    "06.4": [
        (spoilt_network("super"), "super().__init__()"),
        (spoilt_network("time first"), "batch_first=True"),
        (spoilt_network("wide"), "nn.Linear размер weight не тот"),
        (spoilt_network("lstm"), "слоёв nn.GRU в сети 0"),
        (spoilt_network("forget"), "Состояние не дошло"),
        (spoilt_network("logits"), "не хватает log_softmax"),
        (spoilt_network("probs"), "нужны их логарифмы"),
        (spoilt_network("axis"), "взят по времени"),
        (spoilt_network("alone"), "вернуть двоих"),
        (spoilt_network("all"), "состояния всех шагов"),
        (spoilt_network("old"), "новое состояние, а вернул None"),
    ],
    "06.5": [
        (spoilt_step("padding"), "вошёл заполнитель"),
        (spoilt_step("sum"), "Потери — сумма"),
        (spoilt_step("keep"), "Старые градиенты не забыты"),
        (spoilt_step("late"), "Веса не изменились"),
        (spoilt_step("before"), "стоит до backward"),
        (spoilt_step("first"), "не стоит ли step до backward"),
        (spoilt_step("no step"), "step забыт"),
        (spoilt_step("unclipped"), "не отсечён"),
        (spoilt_step("early"), "после backward"),
        (spoilt_step("after"), "до step"),
        (spoilt_step("value"), "clip_grad_norm_"),
        (spoilt_step("graph"), "loss.item()"),
    ],
    "06.6": [
        (spoilt_name("forget"), "Состояние потеряно"),
        (spoilt_name("reread"), "читается заново"),
        (spoilt_name("end"), "конца попал в имя"),
        (spoilt_name("deaf"), "Конец не остановил"),
        (spoilt_name("worst"), "нужен argmax"),
        (spoilt_name("first"), "после первого символа"),
        (spoilt_name("flat"), "сеть ждёт x размера (1, время), а дано (1,)"),
        (spoilt_name("start"), "Начало попало в ответ"),
    ],
    "06.7": [
        (lambda log_probs, T: torch.softmax(T * log_probs, -1), "умножен на T"),
        (lambda log_probs, T: log_probs.exp() ** (1 / T), "Сумма не равна 1"),
        (lambda log_probs, T: torch.softmax(log_probs.exp() / T, -1), "поделены вероятности"),
        (lambda log_probs, T: log_probs.softmax(-1), "не участвует"),
        (lambda log_probs, T: torch.softmax(log_probs / T, 0), "последняя ось"),
        (lambda log_probs, T: (p := log_probs.exp() ** (1 / T)) / p.sum(-1, keepdim=True), "Делите логарифмы"),
        (lambda log_probs, T: (log_probs / T).log_softmax(-1), "нужны вероятности"),
    ],
    "06.8": [
        (spoilt_overfit("padding"), "заполнитель"),
        (spoilt_overfit("sum"), "это сумма"),
        (spoilt_overfit("no step"), "Нет шага оптимизатора"),
        (spoilt_overfit("copy"), "обучалась другая сеть"),
        (spoilt_overfit("short"), "обучайте дольше"),
        (spoilt_overfit("second"), "до первого шага"),
        (spoilt_overfit("none"), "return"),
    ],
}  # fmt: skip
