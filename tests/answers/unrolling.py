"""Answers to the exercises of 02."""

import numpy as np
import torch


def loop_dW(da, s):
    dW = np.zeros((da.shape[1], s.shape[1]))
    for t in range(1, len(s)):
        for i in range(len(dW)):
            dW[i] += da[t, i] * s[t - 1]
    return dW


def torch_gradient(loss, w):
    flat, gradient = w.copy().reshape(-1), []
    for k in range(flat.size):
        sides = []
        for sign in (1, -1):
            moved = flat.copy()
            moved[k] += sign * 1e-4
            sides.append(loss(moved.reshape(w.shape)))
        gradient.append((sides[0] - sides[1]) / 2e-4)
    return torch.tensor(gradient).reshape(w.shape)


def bptt_by_all_errors_first(x, s, direct, W):
    batch, T, hidden = s.shape
    da = np.zeros((batch, T + 1, hidden))
    for t in range(T - 1, -1, -1):
        for n in range(batch):
            da[n, t] = (1 - s[n, t] ** 2) * (direct[n, t] + W.T @ da[n, t + 1])
    past = np.zeros_like(s)
    past[:, 1:] = s[:, :-1]
    da = da[:, :-1]
    dU, dW = (np.einsum("bti,btj->ij", da, given) for given in (x, past))
    return [dU, dW, da.sum(axis=(0, 1))]


def ds_0_by_loop(s, direct, W):
    da = np.zeros_like(s[:, 0])
    for t in range(s.shape[1] - 1, -1, -1):
        da = (1 - s[:, t] ** 2) * (direct[:, t] + da @ W)
    return da @ W


def ds_0_by_jacobians(s, direct, W):
    total = np.zeros_like(s[:, 0])
    for n in range(len(s)):
        J = np.eye(len(W))
        for t in range(s.shape[1]):
            J = np.diag(1 - s[n, t] ** 2) @ W @ J  # ∂s_t/∂s_0
            total[n] += J.T @ direct[n, t]
    return total


def truncated_by_tensors(x, e, U, W, k):
    state, losses = torch.zeros(1, len(W)).to(W), []
    for x_k, e_k in zip(x.split(k), e.split(k), strict=True):
        state, states = state.detach(), []
        for row in x_k:
            state = torch.tanh(state @ W.T + (U @ row)[None])
            states.append(state)
        loss = ((torch.cat(states) - e_k) ** 2).sum()
        loss.backward()
        losses.append(loss.detach())
    return sum(losses)


def truncated_by_hand(x, e, U, W, k):
    """Without autograd: each window's way back written out."""
    U.grad, W.grad = torch.zeros_like(U), torch.zeros_like(W)
    s, total = torch.zeros(len(W)).to(W), 0.0
    with torch.no_grad():
        for x_k, e_k in zip(x.split(k), e.split(k), strict=True):
            states = [s]
            for x_t in x_k:
                states.append(torch.tanh(W @ states[-1] + U @ x_t))
            da, s = torch.zeros_like(s), states[-1]
            for t in reversed(range(len(x_k))):
                off = states[t + 1] - e_k[t]
                da = (1 - states[t + 1] ** 2) * (2 * off + da @ W)
                U.grad += torch.outer(da, x_k[t])
                W.grad += torch.outer(da, states[t])
                total += (off @ off).item()
    return total


RIGHT = {
    "02.1": [lambda V, W, do_t, da_next: np.vstack([V, W]).T @ np.concatenate([do_t, da_next])],
    "02.2": [loop_dW, lambda da, s: da[1:].T @ s[:-1]],
    "02.3": [torch_gradient],
    "02.4": [bptt_by_all_errors_first],
    "02.5": [ds_0_by_loop, ds_0_by_jacobians],
    "02.6": [truncated_by_tensors, truncated_by_hand],
}


def forward_difference(loss, w):
    gradient = np.zeros_like(w)
    for place in np.ndindex(w.shape):
        moved = w.copy()
        moved[place] += 1e-3
        gradient[place] = (loss(moved) - loss(w)) / 1e-3
    return gradient


def difference_over(divisor, sign=1):
    def gradient(loss, w):
        answer = np.zeros_like(w)
        for place in np.ndindex(w.shape):
            up, down = w.copy(), w.copy()
            up[place] += 1e-5
            down[place] -= 1e-5
            answer[place] = sign * (loss(up) - loss(down)) / divisor
        return answer

    return gradient


def never_back(loss, w):
    gradient = np.zeros_like(w)
    for place in np.ndindex(w.shape):
        w[place] += 1e-5
        up = loss(w)
        w[place] -= 2e-5
        gradient[place] = (up - loss(w)) / 2e-5
    return gradient


def spoilt_bptt(what):
    def bptt(x, s, direct, W):
        batch, T, hidden = s.shape
        past = np.concatenate([np.zeros((batch, 1, hidden)), s[:, :-1]], axis=1)
        dU, dW, db = np.zeros((hidden, 3)), np.zeros((hidden, hidden)), np.zeros(hidden)
        da = np.zeros((batch, hidden))
        for t in range(T)[:: -1 if what != "order" else 1]:
            future = {"transposed": da @ W.T, "future": 0 * da}.get(what, da @ W)
            ds = direct[:, t] + future
            da = {"tanh": ds, "twice": (1 - np.tanh(s[:, t]) ** 2) * ds}.get(
                what, (1 - s[:, t] ** 2) * ds
            )
            if what == "assigned":
                dU, dW, db = da.T @ x[:, t], da.T @ past[:, t], da.sum(0)
                continue
            dU += da.T @ x[:, t]
            dW += da.T @ (s if what == "now" else past)[:, t]
            db += da.sum(0)
        return (dU / batch, dW / batch, db / batch) if what == "mean" else (dU, dW, db)

    return bptt


def spoilt_ds_0(what):
    def ds_0(s, direct, W):
        da = np.zeros_like(s[:, 0])
        for t in reversed(range(s.shape[1])):
            own = direct[:, t] if what != "own" or t == s.shape[1] - 1 else 0
            ds = own + da @ (W.T if what == "transposed" else W)
            da = ds if what == "tanh" else ds * (1 - s[:, t] ** 2)
        if what == "early":
            return da
        return da @ W + (direct[:, 0] if what == "output" else 0)

    return ds_0


def spoilt_truncated(what):
    def truncated(x, e, U, W, k):
        total, s = 0.0, torch.zeros(len(W), dtype=W.dtype)
        for start in range(0, len(x), k):
            if what == "reset":
                s = torch.zeros_like(s)
            elif what != "whole":
                s = s.detach()
            loss = 0.0
            for x_t, e_t in zip(x[start : start + k], e[start : start + k], strict=True):
                s = torch.tanh(W @ (s.detach() if what == "steps" else s) + U @ x_t)
                loss = loss + ((s - e_t) ** 2).sum()
            loss = loss / k if what == "mean" else loss
            if what != "silent":
                loss.backward()
            total += loss.item()
        return total

    return truncated


WRONG = {  # answer, what its hint must name
    "02.1": [
        (lambda V, W, do_t, da_next: V.T @ do_t, "Забыто будущее"),
        (lambda V, W, do_t, da_next: da_next @ W, "Забыт свой выход"),
        (lambda V, W, do_t, da_next: do_t @ V + da_next @ W.T, "Wᵀ, а не W"),
        (lambda V, W, do_t, da_next: do_t @ V - da_next @ W, "не вычитаются"),
        (lambda V, W, do_t, da_next: V @ do_t + W.T @ da_next, "транспонированная"),
        (lambda V, W, do_t, da_next: V.T @ do_t + da_next, "через W"),
    ],
    "02.2": [
        (lambda da, s: da[1:].T @ s[1:], "s_{t−1}, а не s_t"),
        (lambda da, s: (da[1:].T @ s[:-1]).T, "транспонирована"),
        (lambda da, s: np.mean([np.outer(a, b) for a, b in zip(da[1:], s[:-1], strict=True)], 0), "не усредняют"),
        (lambda da, s: np.outer(da[-1], s[-2]), "одного последнего шага"),
        (lambda da, s: sum(np.outer(da[t], s[t - 1]) for t in range(1, len(s) - 1)), "Последний шаг потерян"),
        (lambda da, s: (da[1:] * s[:-1]).sum(0), "размер ответа (4,), а нужен (4, 4)"),
    ],
    "02.3": [
        (forward_difference, "Возьмите центральную"),
        (difference_over(1e-5), "вдвое больше"),
        (difference_over(2e-5, -1), "Знак"),
        (difference_over(1), "не поделена"),
        (never_back, "меняет на месте свой аргумент w"),
        (lambda loss, w: np.full_like(w, (loss(w + 1e-5) - loss(w - 1e-5)) / 2e-5), "по одному"),
    ],
    "02.4": [
        (spoilt_bptt("tanh"), "сквозь tanh"),
        (spoilt_bptt("twice"), "второй раз tanh"),
        (spoilt_bptt("future"), "из будущего потеряна"),
        (spoilt_bptt("transposed"), "da @ W, а не da @ W.T"),
        (spoilt_bptt("now"), "взято s_t"),
        (spoilt_bptt("mean"), "усреднять"),
        (spoilt_bptt("assigned"), "+="),
        (spoilt_bptt("order"), "из будущего в прошлое"),
    ],
    "02.5": [
        (spoilt_ds_0("early"), "остался ещё шаг"),
        (spoilt_ds_0("own"), "у каждого есть своя"),
        (spoilt_ds_0("transposed"), "da @ W, а не da @ W.T"),
        (spoilt_ds_0("tanh"), "сквозь tanh"),
        (spoilt_ds_0("output"), "своего выхода нет"),
    ],
    "02.6": [
        (spoilt_truncated("reset"), "обнулено"),
        (spoilt_truncated("steps"), "на каждом шаге"),
        (spoilt_truncated("whole"), "отрежьте прошлое (detach)"),
        (spoilt_truncated("mean"), "делить их на k"),
        (spoilt_truncated("silent"), "backward"),
    ],
}  # fmt: skip
