"""Answers to the exercises of 09."""

import torch

# Right


def attention_by_torch_einsum(q, K, V):
    scores = torch.einsum("bd,btd->bt", q, K) / q.shape[1] ** 0.5
    e = (scores - scores.max(1, keepdim=True).values).exp()
    w = e / e.sum(1, keepdim=True)
    return torch.einsum("bt,btv->bv", w, V), w


def attention_row_by_row(q, K, V):
    found = [((K[n] @ q[n]) / K.shape[2] ** 0.5).softmax(0) for n in range(len(q))]
    return torch.stack([w @ v for w, v in zip(found, V)]), torch.stack(found)


def causal_by_rows(scores):
    w = torch.zeros_like(scores)
    for t in range(scores.shape[1]):
        w[:, t, : t + 1] = scores[:, t, : t + 1].softmax(-1)
    return w


def causal_after_softmax_and_divided(scores):
    w = scores.softmax(-1).tril()
    return w / w.sum(-1, keepdim=True)


def combine_step_by_step(first, then):
    a, b = first
    return [then[0] * a, then[0] * b + then[1]]


def rounds_place_by_place(a, b):
    rounds, step = [], 1
    while step < len(a):
        new_a, new_b = a.clone(), b.clone()
        for t in range(step, len(a)):
            new_a[t] = a[t] * a[t - step]
            new_b[t] = a[t] * b[t - step] + b[t]
        a, b, step = new_a, new_b, 2 * step
        rounds.append(b)
    return rounds


def memory_by_plus(K, V, beta):
    S = torch.zeros(V.shape[1], K.shape[1], dtype=K.dtype)
    for t in range(len(K)):
        S = S + beta[t] * torch.outer(V[t] - S @ K[t], K[t])
    return S


def parity_by_where(x):
    one = torch.ones_like(x)
    return torch.where(x > 0, -one, one), torch.where(x > 0, one, 0 * one)


def parity_by_table(x):
    return torch.tensor([1.0, -1.0])[x.long()], torch.tensor([0.0, 1.0])[x.long()]


RIGHT = {
    "09.1": [attention_by_torch_einsum, attention_row_by_row],
    "09.2": [causal_by_rows, causal_after_softmax_and_divided],
    "09.3": [combine_step_by_step],
    "09.4": [rounds_place_by_place],
    "09.5": [parity_by_where, parity_by_table],
    "09.6": [memory_by_plus],
}

# Wrong


def spoilt_attention(what):
    def attention(q, K, V):
        d = {"no root": 1, "d": 16, "time": K.shape[1]}.get(what, q.shape[1])
        scores = torch.stack([K[n] @ q[n] for n in range(len(q))]) / d**0.5
        scores = -scores if what == "minus" else scores
        w = scores if what == "no softmax" else scores.softmax(0 if what == "batch" else 1)
        if what == "hard":
            w = torch.zeros_like(scores).scatter(1, scores.argmax(1, keepdim=True), 1.0)
        w = scores.sigmoid() if what == "sigmoid" else w
        mixed = torch.einsum("bt,btv->bv", w, K if what == "keys" else V)
        return w if what == "one" else (w, mixed) if what == "order" else (mixed, w)

    return attention


def spoilt_causal(what):
    def causal(scores):
        time = scores.shape[1]
        if what == "after":
            return scores.softmax(2).tril()
        if what == "open":
            return scores.softmax(2)
        shift = {"strict": 0, "one ahead": 2}.get(what, 1)
        t = torch.arange(time)
        is_later = t[None] - t[:, None] >= shift
        is_later = is_later.T if what == "past" else is_later
        filled = scores.clone()
        filled[:, is_later] = {"zero": 0.0, "small": -1.0}.get(what, float("-inf"))
        return filled if what == "scores" else filled.softmax(1 if what == "columns" else 2)

    return causal


def spoilt_combine(what):
    def combine(first, then):
        (a, b), (c, d) = (then, first) if what == "order" else (first, then)
        together = {"sum": a + c, "second": c}.get(what, a * c)
        added = {"plain": b + d, "all": c * (b + d), "own": a * b + d}.get(what, c * b + d)
        return (added, together) if what == "swapped" else (together, added)

    return combine


def spoilt_rounds(what):
    def rounds(a, b):
        found, step = [b] if what == "start" else [], 1
        end = len(a) // 2 + 1 if what == "short" else len(a)
        while step < end:
            left_a, left_b, right_a, right_b = a[:-step], b[:-step], a[step:], b[step:]
            new = right_b + right_a * left_b
            if what == "order":
                new = left_b + left_a * right_b
            if what == "plain":
                new = left_b + right_b
            if what == "in place":
                a, b = a.clone(), b.clone()
                for t in range(step, len(a)):
                    b[t] += a[t] * b[t - step]
                    a[t] = a[t] * a[t - step]
            else:
                b = torch.cat([b[:step], new])
                a = a if what == "factors" else torch.cat([a[:step], right_a * left_a])
            found.append(b)
            step = step + 1 if what == "by one" else 2 * step
        return found[-1:] if what == "last" else found

    return rounds


def spoilt_memory(what):
    def memory(K, V, beta):
        S = torch.zeros(V.shape[1], K.shape[1], dtype=K.dtype)
        for k, v, b in zip(K, V, beta):
            if what == "late":
                old = (S + v[:, None] * k[None]) @ k
            else:
                old = S @ k
            change = {
                "plain": b * v,
                "whole": v - old,
                "new only": b * v - old,
                "plus": b * (v + old),
            }.get(what, b * (v - old))
            S = change[:, None] * k if what == "clean" else S + change[:, None] * k
        return S.T if what == "turned" else S

    return memory


def spoilt_parity(what):
    def parity(x):
        return {
            "count": (1, x),
            "forget": (1 - x, x),
            "no bias": (1 - 2 * x, 0),
            "always": (-1, x),
            "other": (2 * x - 1, 1 - x),
            "last": (0, x),
            "minus": (1 - 2 * x, -x),
        }[what]

    return parity


WRONG = {  # answer, what its hint must name
    "09.1": [
        (spoilt_attention("no root"), "не поделены на √d"),
        (spoilt_attention("d"), "поделены на d"),
        (spoilt_attention("time"), "из числа ключей"),
        (spoilt_attention("batch"), "поперёк пакета"),
        (spoilt_attention("no softmax"), "забыт softmax"),
        (spoilt_attention("minus"), "лишний минус"),
        (spoilt_attention("hard"), "нужна смесь"),
        (spoilt_attention("sigmoid"), "а не σ"),
        (spoilt_attention("keys"), "нужны значения V"),
        (spoilt_attention("order"), "размер ответа"),
        (spoilt_attention("one"), "2 отдельных ответа"),
    ],
    "09.2": [
        (spoilt_causal("strict"), "Диагональ оставляют"),
        (spoilt_causal("one ahead"), "правее диагонали"),
        (spoilt_causal("zero"), "e⁰ = 1"),
        (spoilt_causal("small"), "вес у них остался"),
        (spoilt_causal("after"), "после softmax"),
        (spoilt_causal("past"), "Закрыто прошлое"),
        (spoilt_causal("columns"), "по столбцам"),
        (spoilt_causal("scores"), "забыт softmax"),
        (spoilt_causal("open"), "маски нет"),
    ],
    "09.3": [
        (spoilt_combine("order"), "Шаги переставлены"),
        (spoilt_combine("plain"), "просто сложены"),
        (spoilt_combine("sum"), "перемножаются"),
        (spoilt_combine("second"), "первого шага потерян"),
        (spoilt_combine("swapped"), "Порядок в ответе"),
        (spoilt_combine("all"), "никто не умножает"),
        (spoilt_combine("own"), "её умножает второй шаг"),
    ],
    "09.4": [
        (spoilt_rounds("factors"), "Множители остались прежними"),
        (spoilt_rounds("by one"), "должен удваиваться"),
        (spoilt_rounds("short"), "Последнего круга не хватает"),
        (spoilt_rounds("order"), "Шаги переставлены"),
        (spoilt_rounds("plain"), "просто сложены"),
        (spoilt_rounds("in place"), "из прежних"),
        (spoilt_rounds("last"), "список по кругам"),
        (spoilt_rounds("start"), "лишнее начало"),
    ],
    "09.5": [
        (spoilt_parity("count"), "Это счётчик"),
        (spoilt_parity("forget"), "Множитель от 0 до 1"),
        (spoilt_parity("no bias"), "у нуля знака нет"),
        (spoilt_parity("always"), "Знак меняет и нуль"),
        (spoilt_parity("other"), "переставлены"),
        (spoilt_parity("last"), "последний бит"),
        (spoilt_parity("minus"), "Знак прибавки"),
    ],
    "09.6": [
        (spoilt_memory("plain"), "не стёрто"),
        (spoilt_memory("whole"), "Доля b не использована"),
        (spoilt_memory("new only"), "только у нового"),
        (spoilt_memory("plus"), "вычитают, а не прибавляют"),
        (spoilt_memory("clean"), "память стёрта"),
        (spoilt_memory("late"), "после записи"),
        (spoilt_memory("turned"), "размер ответа"),
    ],
}
