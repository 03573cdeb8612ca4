"""Answers to the exercises of 07."""

from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# Right


def encode_by_sorting_twice(train, words, min_count):
    counts = Counter(sorted(train))
    index = {"⟨unk⟩": 0}
    for word, count in counts.most_common():
        if count >= min_count:
            index[word] = len(index)
    return [index.get(word, 0) for word in words]


def windows_by_loop(ids, batch_size, seq_len):
    length = (len(ids) - 1) // batch_size
    starts = [k * length for k in range(batch_size)]
    windows = []
    for t in range(0, length, seq_len):
        n = min(seq_len, length - t)
        x = torch.stack([ids[s + t : s + t + n] for s in starts])
        y = torch.stack([ids[s + t + 1 : s + t + n + 1] for s in starts])
        windows.append([x, y])
    return windows


def perplexity_by_numpy(nats):
    total = sum(float(part.sum()) for part in nats)
    return np.exp(total / sum(len(part) for part in nats))


def train_by_hand(net, optimizer, windows, clip):
    h_c, losses = None, []
    for x, y in windows:
        if h_c is not None:
            h_c = h_c[0].detach(), h_c[1].detach()
        o, h_c = net(x, h_c)
        loss = F.nll_loss(o.flatten(0, 1), y.flatten())
        net.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        losses.append(loss.detach())
    return losses


def nucleus_by_loop(probs, p):
    kept, total = torch.zeros_like(probs), 0.0
    for k in reversed(probs.argsort().tolist()):
        kept[k] = probs[k]
        total += probs[k]
        if total >= p:
            break
    return kept / total


def nucleus_by_numpy(probs, p):
    probs = probs.numpy()
    order = np.argsort(-probs)
    n = np.searchsorted(np.cumsum(probs[order]), p) + 1
    kept = np.zeros_like(probs)
    kept[order[:n]] = probs[order[:n]]
    return kept / kept.sum()


def read_by_table(index, words):
    plain = str.maketrans("ёЁ", "еЕ")
    found = [index.get(word, index.get(word.translate(plain))) for word in words]
    return [index["⟨unk⟩"] if number is None else number for number in found]


def read_by_try(index, words):
    numbers = []
    for word in words:
        for form in (word, word.replace("ё", "е").replace("Ё", "Е"), "⟨unk⟩"):
            if form in index:
                numbers.append(index[form])
                break
    return numbers


def score_by_loop(net, windows):
    was_training = net.training
    net.eval()
    total, count, state = 0.0, 0, None
    with torch.no_grad():
        for x, y in windows:
            log_probs, state = net(x, state)
            total -= log_probs.gather(-1, y[..., None]).sum().item()
            count += y.numel()
    net.train(was_training)
    return np.exp(total / count)


def score_of_whole_text(net, windows):
    x, y = (torch.cat(parts, dim=1) for parts in zip(*windows, strict=True))
    mode, net = net.training, net.eval()
    with torch.inference_mode():
        loss = F.nll_loss(net(x)[0].flatten(0, 1), y.flatten())
    net.train(mode)
    return loss.exp()


RIGHT = {
    "07.1": [encode_by_sorting_twice],
    "07.2": [windows_by_loop],
    "07.3": [perplexity_by_numpy],
    "07.4": [train_by_hand],
    "07.5": [nucleus_by_loop, nucleus_by_numpy],
    "07.6": [read_by_table, read_by_try],
    "07.7": [score_by_loop, score_of_whole_text],
}

# Wrong


def spoilt_encode(what):
    def encode(train, words, min_count):
        counts = Counter(train + words if what == "leak" else train)
        kept = {w: n for w, n in counts.items() if n > min_count - (what != "more")}
        if what == "all":
            kept = counts
        order = sorted(kept, key=lambda w: (-counts[w], w))
        if what == "alphabet":
            order = sorted(kept)
        if what == "as met":
            order = [w for w, _ in counts.most_common() if w in kept]
        if what == "from 0":
            return [order.index(w) if w in order else 0 for w in words]
        index = {w: k + 1 for k, w in enumerate(order)}
        if what == "key":
            return [index[w] for w in words]
        if what == "lost":
            return [index[w] for w in words if w in index]
        return [index.get(w, len(index) + 1 if what == "last" else 0) for w in words]

    return encode


def spoilt_windows(what):
    def windows(ids, batch_size, seq_len):
        n = len(ids) // batch_size if what == "wrap" else (len(ids) - 1) // batch_size
        next_ids = torch.cat([ids[1:], ids[:1]])
        if what == "mixed":
            x, y = (t[: n * batch_size].reshape(n, batch_size).T for t in (ids, next_ids))
        else:
            x, y = (t[: n * batch_size].reshape(batch_size, n) for t in (ids, next_ids))
        if what == "row wrap":
            y = torch.cat([x[:, 1:], x[:, :1]], 1)
        found = []
        for t in range(0, n - seq_len + 1 if what == "short" else n, seq_len):
            window = x[:, t : t + seq_len], y[:, t : t + seq_len]
            if what == "same":
                window = window[0], window[0]
            if what == "inside":
                window = window[0][:, :-1], window[0][:, 1:]
            found.append(window)
        return found

    return windows


def rows_of_one_window(ids, batch_size, seq_len):
    size, windows = batch_size * seq_len, []
    for t in range(0, len(ids) - size, size):
        x, y = ids[t : t + size], ids[t + 1 : t + size + 1]
        windows.append((x.view(batch_size, seq_len), y.view(batch_size, seq_len)))
    return windows


def spoilt_train(what):
    def train(net, optimizer, windows, clip):
        state, losses = None, []
        for x, y in windows:
            if what == "reset":
                state = None
            elif state is not None and what != "whole":
                state = tuple(part.detach() for part in state)
            log_probs, new = net(x, state)
            state = state if what == "old" else new
            nats = -log_probs.gather(2, y[:, :, None])
            loss = nats.sum() if what == "sum" else nats.mean()
            if what != "keep":
                optimizer.zero_grad()
            if what == "early":
                nn.utils.clip_grad_norm_(net.parameters(), clip)
            loss.backward()
            if what == "value":
                nn.utils.clip_grad_value_(net.parameters(), clip)
            elif what not in ("early", "unclipped"):
                nn.utils.clip_grad_norm_(net.parameters(), clip)
            if what != "no step":
                optimizer.step()
            losses.append(loss if what == "graph" else loss.item())
        return losses[-1:] if what == "last" else losses

    return train


def one_step_for_all(net, optimizer, windows, clip):
    state, total, losses = None, 0, []
    for x, y in windows:
        log_probs, state = net(x, state)
        loss = F.nll_loss(log_probs.flatten(0, 1), y.flatten())
        total, losses = total + loss, [*losses, loss.item()]
    optimizer.zero_grad()
    total.backward()
    nn.utils.clip_grad_norm_(net.parameters(), clip)
    optimizer.step()
    return losses


def spoilt_nucleus(what):
    def nucleus(probs, p):
        order = torch.arange(len(probs)) if what == "table" else probs.argsort()
        order = order if what in ("rare", "table") else order.flip(0)
        sums, kept = probs[order].cumsum(0), torch.zeros_like(probs)
        for k, word in enumerate(order):
            before = sums[k - 1] if k else 0
            if (sums[k] if what == "without" else before) < p:
                kept[word] = probs[word]
        if what == "one more" and (kept == 0).any():
            word = order[(kept > 0).sum()]
            kept[word] = probs[word]
        if what == "sorted":
            kept = kept[order]
        return kept if what == "unscaled" else kept / kept.sum()

    return nucleus


def spoilt_read(what):
    def read(index, words):
        numbers = []
        for word in words:
            word = word.lower() if what == "lower" else word
            plain = word.replace("ё", "е")
            plain = plain if what == "small" else plain.replace("Ё", "Е")
            if what == "always":
                word = plain
            if what == "key":
                numbers.append(index[word if word in index else plain])
            elif word in index:
                numbers.append(index[word])
            elif plain in index and what != "never":
                numbers.append(index[plain])
            elif what != "lost":
                numbers.append(0 if what == "zero" else index["⟨unk⟩"])
        return numbers

    return read


def spoilt_score(what):
    def score(net, windows):
        was, means, state, total, count = net.training, [], None, 0, 0
        if what != "train":
            net.eval()
        with torch.set_grad_enabled(what == "graph"):
            for x, y in windows:
                log_probs, new = net(x, state)
                state = None if what == "reset" else new
                nats = -log_probs.gather(2, y[:, :, None])
                means.append(nats.mean())
                total, count = total + nats.sum(), count + nats.numel()
        if what == "always":
            net.train()
        elif what != "eval":
            net.train(was)
        loss = sum(means) / len(means) if what == "means" else total / count
        return loss if what == "loss" else loss.exp()

    return score


WRONG = {  # answer, what its hint must name
    "07.1": [
        (spoilt_encode("from 0"), "слова начинаются с 1"),
        (spoilt_encode("alphabet"), "чисто алфавитный"),
        (spoilt_encode("as met"), "most_common"),
        (spoilt_encode("leak"), "подсмотрела"),
        (spoilt_encode("more"), "не меньше: ≥"),
        (spoilt_encode("all"), "min_count не участвует"),
        (spoilt_encode("lost"), "Незнакомые слова пропали"),
        (spoilt_encode("last"), "последний номер"),
        (spoilt_encode("key"), "такого ключа в словаре нет"),
    ],
    "07.2": [
        (spoilt_windows("wrap"), "Последняя цель завернулась"),
        (spoilt_windows("row wrap"), "цель потока завернулась"),
        (spoilt_windows("mixed"), "вперемежку"),
        (spoilt_windows("short"), "короткое окно потеряно"),
        (spoilt_windows("same"), "Цель не сдвинута"),
        (spoilt_windows("inside"), "потеряна последняя цель"),
        (rows_of_one_window, "в той же строке следующего"),
    ],
    "07.3": [
        (lambda nats: np.exp(np.mean([float(part.mean()) for part in nats])), "Усреднены средние окон"),
        (lambda nats: np.mean([float(part.mean().exp()) for part in nats]), "Усреднены перплексии"),
        (lambda nats: torch.cat(nats).mean(), "Не хватает exp"),
        (lambda nats: 2 ** torch.cat(nats).mean(), "а не 2"),
        (lambda nats: torch.cat(nats).neg().mean().exp(), "Лишний минус"),
        (lambda nats: torch.exp(sum(part.sum() for part in nats)), "поделить на число слов"),
        (lambda nats: torch.cat([part.exp() for part in nats]).mean(), "сначала среднее"),
    ],
    "07.4": [
        (spoilt_train("reset"), "Состояние не перенесено"),
        (spoilt_train("old"), "Состояние не перенесено"),
        (spoilt_train("whole"), "отрежьте прошлое (detach)"),
        (spoilt_train("keep"), "Старые градиенты не забыты"),
        (spoilt_train("early"), "после backward"),
        (spoilt_train("unclipped"), "не отсечён"),
        (spoilt_train("value"), "clip_grad_norm_"),
        (spoilt_train("no step"), "step забыт"),
        (spoilt_train("sum"), "Потери — сумма"),
        (spoilt_train("graph"), "loss.item()"),
        (spoilt_train("last"), "лишь последнего окна"),
        (one_step_for_all, "Шаг один на все окна"),
    ],
    "07.5": [
        (spoilt_nucleus("without"), "Потеряно слово"),
        (spoilt_nucleus("one more"), "лишнее слово"),
        (spoilt_nucleus("unscaled"), "сумма уже не 1"),
        (spoilt_nucleus("rare"), "Порядок обратный"),
        (spoilt_nucleus("table"), "в порядке словаря"),
        (spoilt_nucleus("sorted"), "на свои места"),
        (lambda probs, p: (kept := probs * (probs >= p)) / kept.sum(), "к каждому слову"),
    ],
    "07.6": [
        (spoilt_read("always"), "заменена всегда"),
        (spoilt_read("small"), "Заглавная «Ё» забыта"),
        (spoilt_read("never"), "не сделана"),
        (spoilt_read("lower"), "приведены к строчным"),
        (spoilt_read("zero"), "а не всегда 0"),
        (spoilt_read("lost"), "Незнакомые слова пропали"),
        (spoilt_read("key"), "такого ключа в словаре нет"),
    ],
    "07.7": [
        (spoilt_score("train"), "Прореживание не выключено"),
        (spoilt_score("eval"), "осталась в режиме eval"),
        (spoilt_score("always"), "всегда остаётся в режиме train"),
        (spoilt_score("reset"), "Состояние не перенесено"),
        (spoilt_score("graph"), "torch.no_grad()"),
        (spoilt_score("means"), "Усреднены средние окон"),
        (spoilt_score("loss"), "Это потери"),
    ],
}  # fmt: skip
