"""Wrong answers written from the statements alone: three readers, ten exercises each."""

import math

import numpy as np
import torch
from torch import nn


def ex_01_3_a(x, s_0, U, W, b):
    s, states = s_0, []
    for t in range(x.shape[1]):
        s = torch.tanh(x[:, t] @ U.T + s @ W + b)
        states.append(s)
    return torch.stack(states, dim=1), s


def ex_01_3_b(x, s_0, U, W, b):
    s, states = s_0, []
    for t in range(x.shape[1]):
        states.append(s)
        s = torch.tanh(x[:, t] @ U.T + s @ W.T + b)
    return torch.stack(states, dim=1), s


def ex_01_3_c(x, s_0, U, W, b):
    s, states = torch.zeros_like(s_0), []
    for t in range(x.shape[1]):
        s = torch.tanh(x[:, t] @ U.T + s @ W.T + b)
        states.append(s)
    return torch.stack(states, dim=1), s


def ex_01_3_d(x, s_0, U, W, b):
    inputs = x @ U.T + b  # сразу для всех шагов
    s, states = s_0, []
    for t in range(x.shape[1]):
        s = torch.tanh(inputs[:, t] + s_0 @ W.T)
        states.append(s)
    return torch.stack(states, dim=1), s


def ex_01_3_e(x, s_0, U, W, b):
    s, states = s_0, []
    for t in range(x.shape[1]):
        s = torch.tanh(x[:, t] @ U.T + s @ W.T + b)
        states.append(s)
    return torch.stack(states), s


def ex_01_3_f(x, s_0, U, W, b):
    s, states = s_0, []
    for t in range(x.shape[1]):
        s[:] = torch.tanh(x[:, t] @ U.T + s @ W.T + b)
        states.append(s.clone())
    return torch.stack(states, dim=1), s.clone()


def ex_01_5_a(states, lengths):
    rows = torch.arange(states.shape[0])
    return states[rows, lengths]


def ex_01_5_b(states, lengths):
    return states[:, lengths - 1]


def ex_01_5_c(states, lengths):
    n = int(lengths[0])
    return states[:, n - 1]


def ex_01_5_d(states, lengths):
    longest = int(lengths.max())
    return states[:, :longest][:, -1]


def ex_01_5_e(states, lengths):
    out = []
    for row, n in zip(states, lengths):
        out.append(row[: int(n)].mean(dim=0))
    return torch.stack(out)


def ex_01_5_f(states, lengths):
    lengths -= 1
    return states[torch.arange(len(states)), lengths]


def ex_02_2_a(da, s):
    return da[1:].T @ s[1:]


def ex_02_2_b(da, s):
    return s[:-1].T @ da[1:]


def ex_02_2_c(da, s):
    T = len(da) - 1
    return da[1:].T @ s[:-1] / T


def ex_02_2_d(da, s):
    T = len(da) - 1
    dW = 0
    for t in range(1, T):
        dW = dW + da[t][:, None] * s[t - 1][None, :]
    return dW


def ex_02_2_e(da, s):
    T = len(da) - 1
    dW = 0
    for t in range(1, T + 1):
        dW = da[t][:, None] * s[t - 1][None, :]
    return dW


def ex_02_2_f(da, s):
    return da[1:].sum(0)[:, None] * s[:-1].sum(0)[None, :]


def ex_03_2_a(x, s_0, U, W, b):
    s, product = s_0, torch.eye(len(s_0), dtype=s_0.dtype)
    for x_t in x:
        s = torch.tanh(U @ x_t + W @ s + b)
        product = product @ (torch.diag(1 - s**2) @ W)
    return product


def ex_03_2_b(x, s_0, U, W, b):
    s, product = s_0, torch.eye(len(s_0), dtype=s_0.dtype)
    for x_t in x:
        s = torch.tanh(U @ x_t + W @ s + b)
        J = (1 - s**2) * W
        product = J @ product
    return product


def ex_03_2_c(x, s_0, U, W, b):
    s, product = s_0, torch.eye(len(s_0), dtype=s_0.dtype)
    for x_t in x:
        product = torch.diag(1 - s**2) @ W @ product
        s = torch.tanh(U @ x_t + W @ s + b)
    return product


def ex_03_2_d(x, s_0, U, W, b):
    s, product = s_0, torch.eye(len(s_0), dtype=s_0.dtype)
    for x_t in x:
        a = U @ x_t + W @ s + b
        s = torch.tanh(a)
        product = torch.diag(1 - a**2) @ W @ product
    return product


def ex_03_2_e(x, s_0, U, W, b):
    s, product = s_0, torch.eye(len(s_0), dtype=s_0.dtype)
    for x_t in x:
        s = torch.tanh(U @ x_t + W @ s + b)
        J = (1 - s**2)[:, None] * W.T
        product = J @ product
    return product


def ex_03_2_f(x, s_0, U, W, b):
    s, product = s_0, W
    for x_t in x:
        s = torch.tanh(U @ x_t + W @ s + b)
        J = (1 - s**2)[:, None] * W
        product = J @ product
    return product


def ex_03_7_a(grads, threshold):
    norm = torch.sqrt(sum((g**2).sum() for g in grads))
    clipped = []
    for g in grads:
        n = g.norm()
        clipped.append(g * (threshold / n) if n > threshold else g.clone())
    return clipped, norm


def ex_03_7_b(grads, threshold):
    norm = sum(g.norm() for g in grads)
    scale = threshold / norm if norm > threshold else 1.0
    return [g * scale for g in grads], norm


def ex_03_7_c(grads, threshold):
    norm = torch.sqrt(sum((g**2).sum() for g in grads))
    return [g * threshold / norm for g in grads], norm


def ex_03_7_d(grads, threshold):
    norm = torch.cat([g.reshape(-1) for g in grads]).norm()
    if norm > threshold:
        for g in grads:
            g *= threshold / norm
    return grads, norm


def ex_03_7_e(grads, threshold):
    norm = torch.cat([g.reshape(-1) for g in grads]).norm()
    clipped = list(grads)
    if norm > threshold:
        clipped = [g * (threshold / norm) for g in grads]
        norm = torch.cat([g.reshape(-1) for g in clipped]).norm()
    return clipped, norm


def ex_03_7_f(grads, threshold):
    norm = sum((g**2).sum() for g in grads)
    scale = min(1.0, float(threshold / norm))
    return [g * scale for g in grads], norm


def ex_04_2_a(x, there, back):
    T = x.shape[1]
    right, left = [], []
    U, W, b = there
    s = x.new_zeros(x.shape[0], W.shape[0])
    for t in range(T):
        s = torch.tanh(x[:, t] @ U.T + s @ W.T + b)
        right.append(s)
    U, W, b = back
    s = x.new_zeros(x.shape[0], W.shape[0])
    for t in range(T - 1, -1, -1):
        s = torch.tanh(x[:, t] @ U.T + s @ W.T + b)
        left.append(s)
    return torch.cat([torch.stack(right, 1), torch.stack(left, 1)], dim=2)


def ex_04_2_b(x, there, back):
    T = x.shape[1]
    right, left = [], []
    U, W, b = there
    s = x.new_zeros(x.shape[0], W.shape[0])
    for t in range(T):
        s = torch.tanh(x[:, t] @ U.T + s @ W.T + b)
        right.append(s)
    U, W, b = back
    for t in range(T - 1, -1, -1):
        s = torch.tanh(x[:, t] @ U.T + s @ W.T + b)
        left.append(s)
    left.reverse()
    return torch.cat([torch.stack(right, 1), torch.stack(left, 1)], dim=2)


def ex_04_2_c(x, there, back):
    T = x.shape[1]
    right, left = [], []
    U, W, b = there
    s = x.new_zeros(x.shape[0], W.shape[0])
    for t in range(T):
        s = torch.tanh(x[:, t] @ U.T + s @ W.T + b)
        right.append(s)
    s = x.new_zeros(x.shape[0], W.shape[0])
    for t in reversed(range(T)):
        s = torch.tanh(x[:, t] @ U.T + s @ W.T + b)
        left.insert(0, s)
    return torch.cat([torch.stack(right, 1), torch.stack(left, 1)], dim=2)


def ex_04_2_d(x, there, back):
    T = x.shape[1]
    right, left = [], []
    U1, W1, b1 = there
    U2, W2, b2 = back
    s1 = x.new_zeros(x.shape[0], W1.shape[0])
    s2 = x.new_zeros(x.shape[0], W2.shape[0])
    for t in range(T):
        s1 = torch.tanh(x[:, t] @ U1.T + s1 @ W1.T + b1)
        s2 = torch.tanh(x[:, -t] @ U2.T + s2 @ W2.T + b2)
        right.append(s1)
        left.insert(0, s2)
    return torch.cat([torch.stack(right, 1), torch.stack(left, 1)], dim=2)


def ex_04_2_e(x, there, back):
    T = x.shape[1]
    right, left = [], []
    U, W, b = there
    s = x.new_zeros(x.shape[0], W.shape[0])
    for t in range(T):
        s = torch.tanh(x[:, t] @ U.T + s @ W.T + b)
        right.append(s)
    U, W, b = back
    s = x.new_zeros(x.shape[0], W.shape[0])
    for t in reversed(range(T)):
        left.insert(0, s)
        s = torch.tanh(x[:, t] @ U.T + s @ W.T + b)
    return torch.cat([torch.stack(right, 1), torch.stack(left, 1)], dim=2)


def ex_04_2_f(x, there, back):
    T = x.shape[1]
    right, left = [], []
    U, W, b = there
    s = x.new_zeros(x.shape[0], W.shape[0])
    for t in range(T):
        s = torch.tanh(x[:, t] @ U.T + s @ W.T + b)
        right.append(s)
    U, W, b = back
    s = x.new_zeros(x.shape[0], W.shape[0])
    for t in range(T - 1, 0, -1):
        s = torch.tanh(x[:, t] @ U.T + s @ W.T + b)
        left.append(s)
    left.reverse()
    return torch.cat([torch.stack(right, 1), torch.stack(left, 1)], dim=2)


def ex_04_5_a(s, lengths):
    H = s.shape[2] // 2
    return torch.cat([s[:, -1, :H], s[:, 0, H:]], dim=1)


def ex_04_5_b(s, lengths):
    return s[torch.arange(len(s)), lengths - 1]


def ex_04_5_c(s, lengths):
    H = s.shape[2] // 2
    rows = torch.arange(len(s))
    forward = s[rows, lengths - 1, :H]
    backward = s[:, 0, H:]
    return torch.cat([backward, forward], dim=1)


def ex_04_5_d(s, lengths):
    H = s.shape[2] // 2
    rows = torch.arange(len(s))
    return torch.cat([s[rows, lengths, :H], s[:, 0, H:]], dim=1)


def ex_04_5_e(s, lengths):
    H = s.shape[2] // 2
    last = int(lengths[0]) - 1
    return torch.cat([s[:, last, :H], s[:, 0, H:]], dim=1)


def ex_04_5_f(s, lengths):
    H = s.shape[2] // 2
    out = []
    for row, n in zip(s, lengths):
        out.append(torch.cat([row[int(n) - 1, :H], row[-1, H:]]))
    return torch.stack(out)


def ex_05_2_a(x_t, h, c, W_x, W_h, b):
    a = x_t @ W_x.T + h @ W_h.T + b
    i, f, g, o = a.chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * c
    return h, c


def ex_05_2_b(x_t, h, c, W_x, W_h, b):
    a = x_t @ W_x.T + h @ W_h.T + b
    i, f, g, o = a.chunk(4, dim=1)
    h = torch.sigmoid(o) * torch.tanh(c)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return h, c


def ex_05_2_c(x_t, h, c, W_x, W_h, b):
    a = x_t @ W_x.T + h @ W_h.T + b
    i, f, g, o = a.chunk(4, dim=1)
    c = i.sigmoid() * c + f.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return h, c


def ex_05_2_d(x_t, h, c, W_x, W_h, b):
    a = x_t @ W_x.T + h @ W_h.T + b
    i, f, g, o = torch.sigmoid(a).chunk(4, dim=1)
    c = f * c + i * g
    h = o * torch.tanh(c)
    return h, c


def ex_05_2_e(x_t, h, c, W_x, W_h, b):
    a = x_t @ W_x.T + h @ W_h.T + b
    i, f, g, o = a.chunk(4, dim=1)
    c *= torch.sigmoid(f)
    c += torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return h, c


def ex_05_2_f(x_t, h, c, W_x, W_h, b):
    a = x_t @ W_x.T + h @ W_h.T + b
    i, f, g, o = a.chunk(4, dim=1)
    keep = torch.sigmoid(f)
    c = keep * c + (1 - keep) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return h, c


def ex_06_5_a(net, optimizer, x, y, mask, clip):
    log_probs, _ = net(x)
    picked = log_probs.gather(2, y[:, :, None])[:, :, 0]
    loss = -(picked * mask).sum() / mask.sum()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), clip)
    optimizer.step()
    return loss.item()


def ex_06_5_b(net, optimizer, x, y, mask, clip):
    log_probs, _ = net(x)
    picked = log_probs.gather(2, y.unsqueeze(2)).squeeze(2)
    loss = -(picked * mask).sum() / mask.sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    nn.utils.clip_grad_norm_(net.parameters(), clip)
    return loss.item()


def ex_06_5_c(net, optimizer, x, y, mask, clip):
    log_probs, _ = net(x)
    picked = log_probs.gather(2, y.unsqueeze(2)).squeeze(2)
    loss = -(picked * mask).mean()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), clip)
    optimizer.step()
    return loss.item()


def ex_06_5_d(net, optimizer, x, y, mask, clip):
    log_probs, _ = net(x)
    picked = log_probs.gather(2, y[:, :, None])[:, :, 0]
    loss = -picked[mask.bool()].mean()
    loss.backward()
    optimizer.zero_grad()
    nn.utils.clip_grad_norm_(net.parameters(), clip)
    optimizer.step()
    return loss.item()


def ex_06_5_e(net, optimizer, x, y, mask, clip):
    log_probs, _ = net(x)
    picked = log_probs.gather(2, y[:, :, None])[:, :, 0]
    per_row = -(picked * mask).sum(dim=1) / mask.sum(dim=1)
    loss = per_row.mean()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), clip)
    optimizer.step()
    return loss.item()


def ex_06_5_f(net, optimizer, x, y, mask, clip):
    log_probs, _ = net(x)
    picked = log_probs.gather(2, y[:, :, None])[:, :, 0]
    loss = -(picked * mask).sum() / mask.sum()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_value_(net.parameters(), clip)
    optimizer.step()
    return loss.item()


def ex_07_5_a(probs, p):
    order = (-probs).argsort()
    total = probs[order].cumsum(0)
    keep = order[total < p]
    out = probs * 0
    out[keep] = probs[keep]
    return out / out.sum()


def ex_07_5_b(probs, p):
    total = probs.cumsum(0)
    k = int((total < p).sum()) + 1
    out = probs * 0
    out[:k] = probs[:k]
    return out / out.sum()


def ex_07_5_c(probs, p):
    order = (-probs).argsort()
    ranked = probs[order]
    k = int((ranked.cumsum(0) < p).sum()) + 1
    ranked[k:] = 0
    return ranked / ranked.sum()


def ex_07_5_d(probs, p):
    order = (-probs).argsort()
    k = int((probs[order].cumsum(0) < p).sum()) + 1
    probs[order[k:]] = 0
    return probs / probs.sum()


def ex_07_5_e(probs, p):
    order = (-probs).argsort()
    out = probs * 0
    total = 0.0
    for j in order:
        out[j] = probs[j]
        total += float(probs[j])
        if total >= p:
            break
    return out / p


def ex_07_5_f(probs, p):
    order = (-probs).argsort()
    out = probs * 0
    total = 0.0
    for j in order:
        out[j] = probs[j]
        total += float(probs[j])
        if total >= p:
            break
    return out


def ex_01_8_a(o, targets, mask):
    log_p = torch.log_softmax(o, -1)
    right = log_p.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return math.exp(right[mask.bool()].mean().item())


def ex_01_8_b(o, targets, mask):
    log_p = torch.log_softmax(o, dim=-1)
    right = log_p.gather(2, targets[:, :, None])[:, :, 0]
    return torch.exp(-(right * mask).mean()).item()


def ex_01_8_c(o, targets, mask):
    log_p = torch.log_softmax(o, -1)
    words = []
    for i in range(len(o)):
        nats = [-log_p[i, t, targets[i, t]].item() for t in range(o.shape[1]) if mask[i, t]]
        if nats:
            words.append(sum(nats) / len(nats))
    return math.exp(sum(words) / len(words))


def ex_01_8_d(o, targets, mask):
    log_p = torch.log_softmax(o, 1)
    right = log_p.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return math.exp(-right[mask.bool()].mean().item())


def ex_01_8_e(o, targets, mask):
    log_p = o.log_softmax(-1)
    best = log_p.max(-1).values
    return math.exp(-best[mask.bool()].mean().item())


def ex_01_8_f(o, targets, mask):
    log_p = torch.log_softmax(o, -1)
    total, count = 0.0, 0
    for i in range(o.shape[0]):
        for t in range(o.shape[1]):
            if mask[i, t]:
                total += math.exp(-log_p[i, t, targets[i, t]].item())
                count += 1
    return total / count


def ex_02_6_a(x, e, U, W, k):
    total, s = 0.0, torch.zeros(len(W), dtype=W.dtype)
    for start in range(0, len(x), k):
        loss = 0.0
        for x_t, e_t in zip(x[start : start + k], e[start : start + k]):
            s = torch.tanh(W @ s + U @ x_t)
            loss = loss + ((s - e_t) ** 2).sum()
        loss.backward()
        total += loss.item()
    return total


def ex_02_6_b(x, e, U, W, k):
    total, s = 0.0, torch.zeros(len(W), dtype=W.dtype)
    for start in range(0, len(x), k):
        loss = 0.0
        for t in range(start, min(start + k, len(x))):
            s = torch.tanh(W @ s + U @ x[t])
            loss = loss + ((s - e[t]) ** 2).sum()
        loss.backward(retain_graph=True)
        total += loss.item()
    return total


def ex_02_6_c(x, e, U, W, k):
    total = 0.0
    for start in range(0, len(x), k):
        s = torch.zeros(len(W), dtype=W.dtype)
        loss = 0.0
        for x_t, e_t in zip(x[start : start + k], e[start : start + k]):
            s = torch.tanh(W @ s + U @ x_t)
            loss = loss + ((s - e_t) ** 2).sum()
        loss.backward()
        total += loss.item()
    return total


def ex_02_6_d(x, e, U, W, k):
    total, s = 0.0, torch.zeros(len(W), dtype=W.dtype)
    for start in range(0, len(x), k):
        losses = []
        for t in range(start, min(start + k, len(x))):
            s = torch.tanh(W @ s.detach() + U @ x[t])
            losses.append((s - e[t]).pow(2).sum())
        loss = torch.stack(losses).sum()
        loss.backward()
        total += loss.item()
    return total


def ex_02_6_e(x, e, U, W, k):
    total, s = 0.0, torch.zeros(len(W), dtype=W.dtype)
    for start in range(0, len(x), k):
        U.grad = None
        W.grad = None
        s = s.detach()
        loss = 0.0
        for x_t, e_t in zip(x[start : start + k], e[start : start + k]):
            s = torch.tanh(W @ s + U @ x_t)
            loss = loss + ((s - e_t) ** 2).sum()
        loss.backward()
        total += loss.item()
    return total


def ex_02_6_f(x, e, U, W, k):
    total, s = 0.0, torch.zeros(len(W), dtype=W.dtype)
    for start in range(0, len(x), k):
        if start + k > len(x):
            break
        s = s.detach()
        states = []
        for x_t in x[start : start + k]:
            s = torch.tanh(W @ s + U @ x_t)
            states.append(s)
        loss = ((torch.stack(states) - e[start : start + k]) ** 2).sum()
        loss.backward()
        total += loss.item()
    return total


def ex_03_1_a(x_t, s_prev, U, W, b):
    s_t = torch.tanh(U @ x_t + W @ s_prev + b)
    return (1 - s_t**2) * W


def ex_03_1_b(x_t, s_prev, U, W, b):
    s_t = torch.tanh(U @ x_t + W @ s_prev + b)
    return torch.diag(1 - s_t**2) @ W.T


def ex_03_1_c(x_t, s_prev, U, W, b):
    s_t = U @ x_t + W @ s_prev + b
    return torch.diag(1 - s_t**2) @ W


def ex_03_1_d(x_t, s_prev, U, W, b):
    s_t = torch.tanh(U @ x_t + W @ s_prev)
    return (1 - s_t**2).unsqueeze(1) * W


def ex_03_1_e(x_t, s_prev, U, W, b):
    return torch.diag(1 - s_prev**2) @ W


def ex_03_1_f(x_t, s_prev, U, W, b):
    s_t = torch.tanh(U @ x_t + W @ s_prev + b)
    J = torch.zeros_like(W)
    for i in range(len(W)):
        J[i] = (1 - s_t[i]) * W[i]
    return J


def ex_03_5_a(net, rho):
    with torch.no_grad():
        q, _ = torch.linalg.qr(rho * torch.randn_like(net.weight_hh_l0))
        net.weight_hh_l0.copy_(q)
    return net


def ex_03_5_b(net, rho):
    with torch.no_grad():
        _, q = torch.linalg.qr(torch.randn_like(net.weight_hh_l0))
        net.weight_hh_l0.copy_(rho * q)
    return net


def ex_03_5_c(net, rho):
    with torch.no_grad():
        W = net.weight_hh_l0
        Q = torch.linalg.qr(torch.randn(W.shape, dtype=W.dtype)).Q
        W = rho * Q
    return net


def ex_03_5_d(net, rho):
    with torch.no_grad():
        q, _ = torch.linalg.qr(torch.randn_like(net.weight_hh_l0))
        net.weight_hh_l0.copy_(rho * q)


def ex_03_5_e(net, rho):
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.startswith("weight"):
                nn.init.orthogonal_(p, gain=rho)
    return net


def ex_03_5_f(net, rho):
    with torch.no_grad():
        q = torch.randn_like(net.weight_hh_l0)
        q = q / q.norm(dim=0, keepdim=True)
        net.weight_hh_l0.copy_(rho * q)
    return net


def ex_04_1_a(x, lower, upper):
    s_1 = s_2 = x.new_zeros(len(x), len(upper.b))
    states = []
    for x_t in x.unbind(1):
        s_1, s_2 = (
            torch.tanh(x_t @ lower.U.T + s_1 @ lower.W.T + lower.b),
            torch.tanh(s_1 @ upper.U.T + s_2 @ upper.W.T + upper.b),
        )
        states.append(s_2)
    return torch.stack(states, 1), torch.stack([s_1, s_2])


def ex_04_1_b(x, lower, upper):
    def step(p, inp, s):
        return torch.tanh(inp @ p.U.T + s @ p.W + p.b)

    s_1 = s_2 = x.new_zeros(len(x), len(upper.b))
    states = []
    for x_t in x.unbind(1):
        s_1 = step(lower, x_t, s_1)
        s_2 = step(upper, s_1, s_2)
        states.append(s_2)
    return torch.stack(states, 1), torch.stack([s_1, s_2])


def ex_04_1_c(x, lower, upper):
    s_1 = s_2 = x.new_zeros(len(x), len(upper.b))
    states = []
    for x_t in x.unbind(1):
        s_1 = torch.tanh(x_t @ lower.U.T + s_1 @ lower.W.T + lower.b)
        s_2 = torch.tanh(s_1 @ upper.U.T + s_1 @ upper.W.T + upper.b)
        states.append(s_2)
    return torch.stack(states, 1), torch.stack([s_1, s_2])


def ex_04_1_d(x, lower, upper):
    s_1 = s_2 = x.new_zeros(len(x), len(upper.b))
    states = []
    for x_t in x.unbind(1):
        s_1 = torch.tanh(x_t @ lower.U.T + s_1 @ lower.W.T + lower.b)
        s_2 = s_1 @ upper.U.T + s_2 @ upper.W.T + upper.b
        states.append(s_2)
    return torch.stack(states, 1), torch.stack([s_1, s_2])


def ex_04_1_e(x, lower, upper):
    s_1 = s_2 = x.new_zeros(len(x), len(upper.b))
    states = []
    for x_t in x.unbind(1):
        s_1 = torch.tanh(x_t @ lower.U.T + s_1 @ lower.W.T + lower.b)
        s_2 = torch.tanh(s_1 @ upper.U.T + s_2 @ upper.W.T + upper.b)
        states.append(s_2)
    return torch.stack(states, 1), torch.stack([s_2, s_1])


def ex_04_1_f(x, lower, upper):
    s_1 = s_2 = x.new_zeros(len(x), len(upper.b))
    states = []
    for x_t in x.unbind(1):
        s_1 = torch.tanh(x_t @ lower.U.T + s_1 @ lower.W.T + lower.b)
        s_2 = torch.tanh(x_t @ upper.U.T + s_2 @ upper.W.T + upper.b)
        states.append(s_2)
    return torch.stack(states, 1), torch.stack([s_1, s_2])


def ex_04_6_a(o, y, lengths):
    return (o.argmax(-1) == y).float().mean().item()


def ex_04_6_b(o, y, lengths):
    hit = o.argmax(-1) == y
    real = torch.arange(y.shape[1])[None] <= lengths[:, None]
    return hit[real].float().mean().item()


def ex_04_6_c(o, y, lengths):
    shares = []
    for o_i, y_i, n in zip(o, y, lengths.tolist()):
        shares.append((o_i[:n].argmax(-1) == y_i[:n]).float().mean().item())
    return sum(shares) / len(shares)


def ex_04_6_d(o, y, lengths):
    hit = o.argmax(-1) == y
    real = torch.arange(y.shape[1]) < lengths[:, None]
    return (hit & real).float().mean().item()


def ex_04_6_e(o, y, lengths):
    hit = o.argmax(1) == y
    real = torch.arange(y.shape[1]) < lengths[:, None]
    return hit[real].float().mean().item()


def ex_04_6_f(o, y, lengths):
    rows = torch.arange(len(y))
    last = lengths - 1
    return (o[rows, last].argmax(-1) == y[rows, last]).float().mean().item()


def ex_05_6_a(x_t, h, W_x, W_h, b_x, b_h):
    x_z, x_r, x_n = (x_t @ W_x.T + b_x).chunk(3, -1)
    h_z, h_r, h_n = (h @ W_h.T + b_h).chunk(3, -1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


def ex_05_6_b(x_t, h, W_x, W_h, b_x, b_h):
    x_r, x_z, x_n = (x_t @ W_x.T + b_x).chunk(3, -1)
    h_r, h_z, h_n = (h @ W_h.T + b_h).chunk(3, -1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return z * n + (1 - z) * h


def ex_05_6_c(x_t, h, W_x, W_h, b_x, b_h):
    W_xr, W_xz, W_xn = W_x.chunk(3)
    W_hr, W_hz, W_hn = W_h.chunk(3)
    b_xr, b_xz, b_xn = b_x.chunk(3)
    b_hr, b_hz, b_hn = b_h.chunk(3)
    r = torch.sigmoid(x_t @ W_xr.T + b_xr + h @ W_hr.T + b_hr)
    z = torch.sigmoid(x_t @ W_xz.T + b_xz + h @ W_hz.T + b_hz)
    n = torch.tanh(x_t @ W_xn.T + b_xn + (r * h) @ W_hn.T + b_hn)
    return (1 - z) * n + z * h


def ex_05_6_d(x_t, h, W_x, W_h, b_x, b_h):
    H = h.shape[-1]
    g_x = x_t @ W_x.T + b_x + b_h
    g_h = h @ W_h.T
    r = torch.sigmoid(g_x[:, :H] + g_h[:, :H])
    z = torch.sigmoid(g_x[:, H : 2 * H] + g_h[:, H : 2 * H])
    n = torch.tanh(g_x[:, 2 * H :] + r * g_h[:, 2 * H :])
    return (1 - z) * n + z * h


def ex_05_6_e(x_t, h, W_x, W_h, b_x, b_h):
    W_xr, W_xz, W_xn = W_x.chunk(3)
    W_hr, W_hz, W_hn = W_h.chunk(3)
    b_xr, b_xz, b_xn = b_x.chunk(3)
    _, _, b_hn = b_h.chunk(3)
    r = torch.sigmoid(x_t @ W_xr.T + h @ W_hr.T + b_xr)
    z = torch.sigmoid(x_t @ W_xz.T + h @ W_hz.T + b_xz)
    n = torch.tanh(x_t @ W_xn.T + b_xn + r * (h @ W_hn.T + b_hn))
    return (1 - z) * n + z * h


def ex_05_6_f(x_t, h, W_x, W_h, b_x, b_h):
    x_r, x_z, x_n = (x_t @ W_x.T + b_x).chunk(3, -1)
    h_r, h_z, h_n = (h @ W_h.T + b_h).chunk(3, -1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    h *= z
    h += (1 - z) * n
    return h


def ex_06_6_a(net, start, end, limit):
    name, x, state = [], torch.tensor([start]), None
    for _ in range(limit):
        log_probs, state = net(x, state)
        c = log_probs[0, -1].argmax().item()
        name.append(c)
        if c == end:
            break
        x = torch.tensor([[c]])
    return name


def ex_06_6_b(net, start, end, limit):
    name, x, state = [], torch.tensor([start]), None
    for _ in range(limit):
        log_probs, _ = net(x, state)
        c = log_probs[0, -1].argmax().item()
        if c == end:
            break
        name.append(c)
        x = torch.tensor([[c]])
    return name


def ex_06_6_c(net, start, end, limit):
    name, x, state = [], torch.tensor([start]), None
    for _ in range(limit):
        log_probs, state = net(x, state)
        c = log_probs[0, -1].argmax().item()
        if c == end:
            break
        name.append(c)
        x = torch.cat([x, torch.tensor([[c]])], dim=1)
    return name


def ex_06_6_d(net, start, end, limit):
    name, x, state = [], torch.tensor([start]), None
    for _ in range(limit):
        log_probs, state = net(x, state)
        c = int(log_probs[0, 0].argmax())
        if c == end:
            break
        name.append(c)
        x = torch.tensor([[c]])
    return name


def ex_06_6_e(net, start, end, limit):
    name, x, state = [], torch.tensor([start]), None
    while len(start) + len(name) < limit:
        log_probs, state = net(x, state)
        c = log_probs[0, -1].argmax().item()
        if c == end:
            break
        name.append(c)
        x = torch.tensor([[c]])
    return name


def ex_06_6_f(net, start, end, limit):
    name, x, state = start, torch.tensor([start]), None
    n = len(start)
    for _ in range(limit):
        log_probs, state = net(x, state)
        c = log_probs[0, -1].argmax().item()
        if c == end:
            break
        name.append(c)
        x = torch.tensor([[c]])
    return name[n:]


def ex_07_2_a(ids, batch_size, seq_len):
    windows = []
    n = (len(ids) - 1) // batch_size
    x = ids[: batch_size * n].reshape(n, batch_size).T
    y = ids[1 : batch_size * n + 1].reshape(n, batch_size).T
    for i in range(0, n, seq_len):
        windows.append((x[:, i : i + seq_len], y[:, i : i + seq_len]))
    return windows


def ex_07_2_b(ids, batch_size, seq_len):
    windows = []
    n = len(ids) // batch_size
    streams = ids[: batch_size * n].reshape(batch_size, n)
    for i in range(0, n - 1, seq_len):
        j = min(i + seq_len, n - 1)
        windows.append((streams[:, i:j], streams[:, i + 1 : j + 1]))
    return windows


def ex_07_2_c(ids, batch_size, seq_len):
    windows = []
    n = (len(ids) - 1) // batch_size
    x = ids[: batch_size * n].reshape(batch_size, n)
    y = ids[1 : batch_size * n + 1].reshape(batch_size, n)
    for i in range(0, n - seq_len + 1, seq_len):
        windows.append((x[:, i : i + seq_len], y[:, i : i + seq_len]))
    return windows


def ex_07_2_d(ids, batch_size, seq_len):
    windows = []
    n = len(ids) // batch_size
    x = ids[: batch_size * n].reshape(batch_size, n)
    y = ids[1 : batch_size * n + 1].reshape(batch_size, n)
    for i in range(0, n, seq_len):
        windows.append((x[:, i : i + seq_len], y[:, i : i + seq_len]))
    return windows


def ex_07_2_e(ids, batch_size, seq_len):
    windows = []
    n = (len(ids) - 1) // batch_size
    x = ids[: batch_size * n].reshape(batch_size, n)
    y = x.roll(-1, dims=1)
    for x_w, y_w in zip(x.split(seq_len, dim=1), y.split(seq_len, dim=1)):
        windows.append((x_w, y_w))
    return windows


def ex_07_2_f(ids, batch_size, seq_len):
    windows = []
    n = (len(ids) - 1) // batch_size
    x = ids[: batch_size * n].reshape(batch_size, n).T
    y = ids[1 : batch_size * n + 1].reshape(batch_size, n).T
    for i in range(0, n, seq_len):
        windows.append((x[i : i + seq_len], y[i : i + seq_len]))
    return windows


def ex_07_3_a(nats):
    return math.exp(sum(w.mean().item() for w in nats) / len(nats))


def ex_07_3_b(nats):
    return sum(w.mean().exp().item() for w in nats) / len(nats)


def ex_07_3_c(nats):
    return math.exp(torch.stack(nats).mean().item())


def ex_07_3_d(nats):
    return torch.cat(nats).exp().mean().item()


def ex_07_3_e(nats):
    total, count = 0.0, 0
    for w in nats:
        total += w.sum().item()
        count += len(w)
    return total / count


def ex_07_3_f(nats):
    return 2 ** torch.cat(nats).mean().item()


def ex_01_2_a(x_t, s_prev, U, W, b, V, c):
    a_t = U @ x_t + W @ s_prev
    s_t = np.tanh(a_t)
    o_t = V @ s_t + c
    e = np.exp(o_t - o_t.max())
    y_t = e / e.sum()
    return s_t, y_t


def ex_01_2_b(x_t, s_prev, U, W, b, V, c):
    a_t = b + U @ x_t + s_prev @ W
    s_t = np.tanh(a_t)
    o_t = c + V @ s_t
    y_t = np.exp(o_t) / np.exp(o_t).sum()
    return s_t, y_t


def ex_01_2_c(x_t, s_prev, U, W, b, V, c):
    a_t = b + W @ s_prev + U @ x_t
    s_t = np.tanh(a_t)
    o_t = c + V @ a_t
    e = np.exp(o_t)
    y_t = e / e.sum()
    return s_t, y_t


def ex_01_2_d(x_t, s_prev, U, W, b, V, c):
    a_t = b + W @ s_prev + U @ x_t
    s_t = np.tanh(a_t)
    o_t = c + V @ s_t
    y_t = np.exp(o_t)
    return s_t, y_t


def ex_01_2_e(x_t, s_prev, U, W, b, V, c):
    a_t = b + W @ s_prev + U @ x_t
    s_t = np.tanh(a_t)
    o_t = c + V @ s_prev
    e = np.exp(o_t)
    y_t = e / e.sum()
    return s_t, y_t


def ex_01_2_f(x_t, s_prev, U, W, b, V, c):
    a_t = b + W @ x_t + U @ s_prev
    s_t = np.tanh(a_t)
    o_t = c + V @ s_t
    e = np.exp(o_t)
    y_t = e / e.sum()
    return s_t, y_t


def ex_01_7_a(symbols, size, hidden, classes, layers, both):
    total = symbols * size
    d = 2 if both else 1
    inp = size
    for _ in range(layers):
        total += d * (inp * hidden + hidden * hidden + hidden)
        inp = d * hidden
    total += d * hidden * classes + classes
    return total


def ex_01_7_b(symbols, size, hidden, classes, layers, both):
    d = 1 + int(both)
    total = symbols * size
    for layer in range(layers):
        inp = size if layer == 0 else hidden
        total += d * hidden * (inp + hidden + 2)
    return total + classes * (d * hidden + 1)


def ex_01_7_c(symbols, size, hidden, classes, layers, both):
    d = 2 if both else 1
    total = symbols * size
    total += d * hidden * (size + hidden + 2)
    total += (layers - 1) * d * hidden * (d * hidden + hidden + 2)
    total += hidden * classes + classes
    return total


def ex_01_7_d(symbols, size, hidden, classes, layers, both):
    d = 2 if both else 1
    total = symbols * size
    total += layers * d * hidden * (size + hidden + 2)
    total += d * hidden * classes + classes
    return total


def ex_01_7_e(symbols, size, hidden, classes, layers, both):
    d = 2 if both else 1
    total = 0
    for layer in range(layers):
        inp = size if layer == 0 else d * hidden
        total += d * (inp * hidden + hidden**2 + 2 * hidden)
    total += d * hidden * classes + classes
    return total


def ex_01_7_f(symbols, size, hidden, classes, layers, both):
    d = 2 if both else 1
    total = symbols * size
    inp = size
    for _ in range(layers):
        total += d * hidden * (inp + hidden + 2)
        inp = d * hidden
    total += inp * classes
    return total


def ex_02_1_a(V, W, do_t, da_next):
    return V.T @ do_t + W @ da_next


def ex_02_1_b(V, W, do_t, da_next):
    return V.T @ do_t


def ex_02_1_c(V, W, do_t, da_next):
    return V @ do_t + W.T @ da_next


def ex_02_1_d(V, W, do_t, da_next):
    return (do_t @ V) * (da_next @ W)


def ex_02_1_e(V, W, do_t, da_next):
    return do_t @ V + da_next


def ex_02_1_f(V, W, do_t, da_next):
    own = V.T @ do_t
    future = W.T @ da_next
    return (own + future) / 2


def ex_02_4_a(x, s, direct, W):
    batch, T, hidden = s.shape
    past = np.concatenate([np.zeros((batch, 1, hidden)), s[:, :-1]], axis=1)
    dU, dW, db = np.zeros((hidden, x.shape[2])), np.zeros((hidden, hidden)), np.zeros(hidden)
    da = np.zeros((batch, hidden))
    for t in reversed(range(T)):
        ds = direct[:, t] + da @ W.T
        da = ds * (1 - s[:, t] ** 2)
        dU += da.T @ x[:, t]
        dW += da.T @ past[:, t]
        db += da.sum(axis=0)
    return dU, dW, db


def ex_02_4_b(x, s, direct, W):
    batch, T, hidden = s.shape
    dU, dW, db = np.zeros((hidden, x.shape[2])), np.zeros((hidden, hidden)), np.zeros(hidden)
    da = np.zeros((batch, hidden))
    for t in reversed(range(T)):
        ds = direct[:, t] + da @ W
        da = ds * (1 - s[:, t] ** 2)
        dU += da.T @ x[:, t]
        dW += da.T @ s[:, t]
        db += da.sum(axis=0)
    return dU, dW, db


def ex_02_4_c(x, s, direct, W):
    batch, T, hidden = s.shape
    past = np.concatenate([np.zeros((batch, 1, hidden)), s[:, :-1]], axis=1)
    dU, dW, db = np.zeros((hidden, x.shape[2])), np.zeros_like(W), np.zeros(hidden)
    da = np.zeros((batch, hidden))
    for t in reversed(range(T)):
        direct[:, t] += da @ W
        da = direct[:, t] * (1 - s[:, t] ** 2)
        dU += np.einsum("ni,nj->ij", da, x[:, t])
        dW += np.einsum("ni,nj->ij", da, past[:, t])
        db += da.sum(axis=0)
    return dU, dW, db


def ex_02_4_d(x, s, direct, W):
    batch, T, hidden = s.shape
    past = np.concatenate([np.zeros((batch, 1, hidden)), s[:, :-1]], axis=1)
    dU, dW, db = np.zeros((hidden, x.shape[2])), np.zeros((hidden, hidden)), np.zeros(hidden)
    da = np.zeros((batch, hidden))
    for t in reversed(range(T)):
        da = direct[:, t] * (1 - s[:, t] ** 2) + da @ W
        for n in range(batch):
            dU += np.outer(da[n], x[n, t])
            dW += np.outer(da[n], past[n, t])
            db += da[n]
    return dU, dW, db


def ex_02_4_e(x, s, direct, W):
    batch, T, hidden = s.shape
    past = np.concatenate([np.zeros((batch, 1, hidden)), s[:, :-1]], axis=1)
    dU, dW, db = np.zeros((hidden, x.shape[2])), np.zeros((hidden, hidden)), np.zeros(hidden)
    da = np.zeros((batch, hidden))
    for t in reversed(range(T)):
        ds = direct[:, t] + da @ W
        da = ds * (1 - s[:, t] ** 2)
        dU += da.T @ x[:, t]
        dW += da.T @ past[:, t]
        db += da.mean(axis=0)
    return dU, dW, db


def ex_02_4_f(x, s, direct, W):
    batch, T, hidden = s.shape
    past = np.concatenate([np.zeros((batch, 1, hidden)), s[:, :-1]], axis=1)
    dU, dW, db = np.zeros((hidden, x.shape[2])), np.zeros((hidden, hidden)), np.zeros(hidden)
    da = np.zeros((batch, hidden))
    for t in reversed(range(T)):
        ds = direct[:, t] + da @ W
        da = ds * (1 - past[:, t] ** 2)
        dU += da.T @ x[:, t]
        dW += da.T @ past[:, t]
        db += da.sum(axis=0)
    return dU, dW, db


def ex_03_3_a(W):
    return torch.linalg.eigvals(W).real.max().item()


def ex_03_3_b(W):
    return torch.linalg.eigvals(W).real.abs().max().item()


def ex_03_3_c(W):
    return torch.linalg.svdvals(W).max().item()


def ex_03_3_d(W):
    return float(np.abs(np.linalg.eigvalsh(np.asarray(W))).max())


def ex_03_3_e(W):
    return torch.linalg.eigvals(W).abs()[0].item()


def ex_03_3_f(W):
    return abs(torch.linalg.eigvals(W).max()).item()


def ex_04_4_a(x, lengths):
    return x.flip(1)


def ex_04_4_b(x, lengths):
    out = x
    for n, k in enumerate(lengths):
        out[n, :k] = x[n, :k].flip(0)
    return out


def ex_04_4_c(x, lengths):
    out = torch.zeros_like(x)
    for n in range(len(x)):
        k = int(lengths[n])
        out[n, :k] = x[n, :k].flip(0)
    return out


def ex_04_4_d(x, lengths):
    out = x.clone()
    for n, k in enumerate(lengths):
        k = int(k)
        out[n, :k] = x[n, :k].flip(1)
    return out


def ex_04_4_e(x, lengths):
    out = x.clone()
    for n in range(x.shape[0]):
        k = int(lengths[n])
        for t in range(k):
            out[n, t] = out[n, k - 1 - t]
    return out


def ex_04_4_f(x, lengths):
    out = x.clone()
    for n in range(x.shape[0]):
        k = int(lengths[n])
        for t in range(k):
            out[n, t] = x[n, k - t]
    return out


def ex_05_1_a(x_t, h, W_x, W_h, b):
    return torch.sigmoid(x_t @ W_x.T + h @ W_h + b)


def ex_05_1_b(x_t, h, W_x, W_h, b):
    return torch.tanh(x_t @ W_x.T + h @ W_h.T + b)


def ex_05_1_c(x_t, h, W_x, W_h, b):
    return torch.sigmoid(W_x @ x_t + W_h @ h + b)


def ex_05_1_d(x_t, h, W_x, W_h, b):
    return torch.sigmoid(x_t @ W_x.T) + torch.sigmoid(h @ W_h.T) + torch.sigmoid(b)


def ex_05_1_e(x_t, h, W_x, W_h, b):
    z = x_t @ W_x.T + h @ W_h.T + b
    return 1 / (1 + torch.exp(z))


def ex_05_1_f(x_t, h, W_x, W_h, b):
    return torch.sigmoid(x_t @ W_x.T + h @ W_h.T) + b


def ex_05_5_a(lstm, b_f):
    H = lstm.hidden_size
    with torch.no_grad():
        for name, weight in lstm.named_parameters():
            if "bias" in name:
                weight[H : 2 * H] = b_f
    return lstm


def ex_05_5_b(lstm, b_f):
    H = lstm.hidden_size
    with torch.no_grad():
        for name, weight in lstm.named_parameters():
            if name.startswith("bias_ih"):
                weight[H : 2 * H].fill_(b_f)
    return lstm


def ex_05_5_c(lstm, b_f):
    H = lstm.hidden_size
    with torch.no_grad():
        for name, weight in lstm.named_parameters():
            if name.endswith("_reverse"):
                continue
            if "bias_ih" in name:
                weight[H : 2 * H] = b_f
            elif "bias_hh" in name:
                weight[H : 2 * H] = 0
    return lstm


def ex_05_5_d(lstm, b_f):
    H = lstm.hidden_size
    with torch.no_grad():
        for name, weight in lstm.named_parameters():
            if name.startswith("bias_ih"):
                weight[H : 2 * H] = b_f
            if name.startswith("bias_hh"):
                weight.zero_()
    return lstm


def ex_05_5_e(lstm, b_f):
    H = lstm.hidden_size
    with torch.no_grad():
        for name, weight in lstm.named_parameters():
            if "bias" in name:
                weight[:H] = b_f / 2
    return lstm


def ex_05_5_f(lstm, b_f):
    H = lstm.hidden_size
    with torch.no_grad():
        for name, weight in lstm.named_parameters():
            if "bias" in name:
                weight[H : 2 * H] = b_f / 2


def ex_06_2_a(sequences):
    longest = max(len(row) for row in sequences)
    table = torch.tensor([list(row) + [0] * (longest - len(row)) for row in sequences])
    x = table[:, :-1]
    y = table[:, 1:]
    mask = x != 0
    return x, y, mask


def ex_06_2_b(sequences):
    longest = max(len(row) for row in sequences)
    for row in sequences:
        while len(row) < longest:
            row.append(0)
    table = torch.tensor(sequences)
    x, y = table[:, :-1], table[:, 1:]
    mask = y != 0
    return x, y, mask


def ex_06_2_c(sequences):
    longest = max(len(row) for row in sequences)
    table = torch.tensor([[0] * (longest - len(row)) + list(row) for row in sequences])
    x, y = table[:, :-1], table[:, 1:]
    mask = y != 0
    return x, y, mask


def ex_06_2_d(sequences):
    longest = max(map(len, sequences))
    table = torch.zeros(len(sequences), longest, dtype=torch.long)
    for i, row in enumerate(sequences):
        table[i, : len(row)] = torch.tensor(row)
    x, y = table[:, :-1], table[:, 1:]
    mask = y == 0
    return x, y, mask


def ex_06_2_e(sequences):
    longest = max(map(len, sequences))
    table = torch.zeros(len(sequences), longest)
    for i, row in enumerate(sequences):
        for j, number in enumerate(row):
            table[i, j] = number
    x, y = table[:, :-1], table[:, 1:]
    mask = y != 0
    return x, y, mask


def ex_06_2_f(sequences):
    longest = len(sequences[0])
    table = torch.zeros(len(sequences), longest, dtype=torch.long)
    for i, row in enumerate(sequences):
        for j, number in enumerate(row):
            table[i, j] = number
    x, y = table[:, :-1], table[:, 1:]
    mask = y != 0
    return x, y, mask


def ex_07_4_a(net, optimizer, windows, clip):
    state, losses = None, []
    for x, y in windows:
        log_probs, state = net(x, state)
        loss = -log_probs.gather(-1, y.unsqueeze(-1)).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
    return losses


def ex_07_4_b(net, optimizer, windows, clip):
    state, losses = None, []
    for x, y in windows:
        state = None
        log_probs, state = net(x, state)
        loss = -log_probs.gather(-1, y.unsqueeze(-1)).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        state = tuple(part.detach() for part in state)
        losses.append(loss.item())
    return losses


def ex_07_4_c(net, optimizer, windows, clip):
    state, losses = None, []
    for x, y in windows:
        log_probs, state = net(x, state)
        state = (state[0].detach(), state[1].detach())
        loss = nn.functional.nll_loss(log_probs.flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        nn.utils.clip_grad_norm_(net.parameters(), clip)
        losses.append(loss.item())
    return losses


def ex_07_4_d(net, optimizer, windows, clip):
    state, losses = None, []
    for x, y in windows:
        log_probs, state = net(x, state)
        state = tuple(v.detach() for v in state)
        loss = nn.functional.nll_loss(log_probs.flatten(0, 1), y.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
    return losses


def ex_07_4_e(net, optimizer, windows, clip):
    state, losses = None, []
    for x, y in windows:
        log_probs, state = net(x, state)
        h, c = state
        state = h.detach(), c.detach()
        loss = -log_probs.gather(-1, y[..., None]).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(net.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
    return losses


def ex_07_4_f(net, optimizer, windows, clip):
    state, losses = None, []
    for x, y in windows:
        log_probs, state = net(x, state)
        h, c = state
        state = h.detach(), torch.zeros_like(c)
        loss = -log_probs.gather(-1, y[..., None]).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
    return losses


BLIND = {  # answer, what is wrong with it, what the verdict says of that
    "01.2": [
        (ex_01_2_a, 'забыто смещение b', 'Без входа и прошлого остаётся s_t = tanh(b).'),
        (ex_01_2_b, 'W транспонирована (s_prev @ W)', 'W транспонирована, а в формуле W s_{t−1}.'),
        (ex_01_2_c, 'выход читает a_t, а не s_t', 'Выход читает a_t, а нужно состояние s_t, то есть tanh(a_t).'),
        (ex_01_2_d, 'softmax без деления на сумму', 'Забыто деление на сумму: вероятности в сумме дают единицу.'),
        (ex_01_2_e, 'выход читает прошлое состояние s_prev', 'Выход читает прошлое состояние, а нужно новое: c + V s_t.'),
        (ex_01_2_f, 'U и W перепутаны местами', 'матрицу 4×4 на вектор длины 3 не умножить. Не нужна ли транспонированн'),
    ],
    "01.3": [
        (ex_01_3_a, 'W не транспонирована: s @ W', 'Строки пакета умножают справа на Wᵀ: s @ W.T, а не s @ W.'),
        (ex_01_3_b, 'состояние записано до шага: ряд сдвинут на один', 'Записано состояние до шага, а нужно после него.'),
        (ex_01_3_c, 'начинает с нулей, а не с s_0', 'Начальное состояние s_0 забыто: первый шаг начат с нуля.'),
        (ex_01_3_d, 'на каждом шаге берёт s_0 вместо прошлого состояния', 'Состояние не идёт с шага на шаг: каждый начинается с s_0.'),
        (ex_01_3_e, 'stack по оси 0: (time, batch, H)', 'Оси: пакет первый, время второе. Это torch.stack(states, 1).'),
        (ex_01_3_f, 'портит s_0 на месте', 'ответ верен, но функция меняет на месте свой аргумент s_0: работайте с'),
    ],
    "01.5": [
        (ex_01_5_a, 'lengths вместо lengths - 1', 'Шаги нумеруются с нуля: последний из n — шаг n − 1, а взят уже шаг доп'),
        (ex_01_5_b, 'индекс без номеров рядов: (batch, batch, H)', 'Так каждый ряд спрошен обо всех длинах. К номерам шагов нужны номера р'),
        (ex_01_5_c, 'всем рядам длина первого', 'У каждого ряда свой последний шаг: нужны два номера, ряда и шага.'),
        (ex_01_5_d, 'всем рядам длина самого длинного', 'У всех рядов взят один и тот же шаг, а длина у каждого своя.'),
        (ex_01_5_e, 'среднее по настоящим шагам вместо последнего', 'Это среднее состояние, а нужно последнее.'),
        (ex_01_5_f, 'портит lengths на месте', 'ответ верен, но функция меняет на месте свой аргумент lengths: работай'),
    ],
    "01.7": [
        (ex_01_7_a, 'одно смещение вместо двух', 'У torch в каждом слое два смещения, bias_ih и bias_hh, а сосчитано одн'),
        (ex_01_7_b, 'второй слой читает только одно направление', 'Вход второго слоя — оба направления первого: 2·hidden, а не hidden.'),
        (ex_01_7_c, 'выход читает только одно направление', 'Выход читает оба направления: V размера classes × 2·hidden.'),
        (ex_01_7_d, 'все слои читают вход размера size', 'Только первый слой читает векторы букв; вход остальных — состояния сло'),
        (ex_01_7_e, 'забыта таблица Embedding', 'Забыта матрица E: symbols·size чисел, и они тоже учатся.'),
        (ex_01_7_f, 'забыто смещение выхода', 'Забыто смещение выхода c: ещё classes чисел.'),
    ],
    "01.8": [
        (ex_01_8_a, 'забыт минус перед средним логарифмом', 'Потеряли минус: потери — это −ln вероятности.'),
        (ex_01_8_b, 'делит на все места, а не только на места под маской', 'Сумма верная, но делить надо на число шагов с ответом, mask.sum(), а н'),
        (ex_01_8_c, 'среднее по словам от средних по слову', 'Это среднее по словам: короткое весит столько же, сколько длинное. Нуж'),
        (ex_01_8_d, 'log_softmax по времени, а не по символам', 'softmax взят по времени, а нужен по символам: последняя ось.'),
        (ex_01_8_e, 'берёт наибольшую вероятность вместо вероятности верной буквы', 'Потери буквы — минус логарифм вероятности верной. Среднее, потом exp.'),
        (ex_01_8_f, 'усредняет exp, а не берёт exp от среднего', 'Сначала среднее потерь, потом exp, а не наоборот.'),
    ],
    "02.1": [
        (ex_02_1_a, 'W не транспонирована', 'Назад по стрелке идут с транспонированной матрицей: Wᵀ, а не W.'),
        (ex_02_1_b, 'забыто будущее', 'Забыто будущее: s_t входит ещё и в a_{t+1}.'),
        (ex_02_1_c, 'V не транспонирована', 'размеры множителей не сходятся: 4 и 5. Не нужна ли транспонированная ('),
        (ex_02_1_d, 'произведение вместо суммы', 'Вклады двух стрелок складываются, а не умножаются.'),
        (ex_02_1_e, 'da_next прибавлена без W', 'Ошибка из будущего идёт назад через W: Wᵀ ∂L/∂a_{t+1}.'),
        (ex_02_1_f, 'среднее вместо суммы', 'Вклады складывают, не усредняют.'),
    ],
    "02.2": [
        (ex_02_2_a, 'берёт s_t вместо s_{t-1}', 'Вход матрицы W на шаге t — прошлое состояние s_{t−1}, а не s_t.'),
        (ex_02_2_b, 'ответ транспонирован', 'Размер сошёлся, но матрица транспонирована: строки ∂L/∂W отвечают выхо'),
        (ex_02_2_c, 'среднее по шагам вместо суммы', 'Вклады складывают, а не усредняют.'),
        (ex_02_2_d, 'потерян последний шаг T', 'Последний шаг потерян: range(1, T) кончается раньше T.'),
        (ex_02_2_e, 'перезаписывает вместо того, чтобы копить', 'Это вклад одного последнего шага, а нужна сумма по всем.'),
        (ex_02_2_f, 'произведение сумм вместо суммы произведений', 'Это произведение сумм, а нужна сумма произведений: сначала вклад каждо'),
    ],
    "02.4": [
        (ex_02_4_a, 'назад через W.T вместо W (строки пакета)', 'Назад идут с Wᵀ. Строки пакета умножают справа: da @ W, а не da @ W.T.'),
        (ex_02_4_b, 'dW берёт s_t вместо прошлого состояния', 'Вход матрицы W на шаге t — прошлое состояние s_{t−1}, а взято s_t.'),
        (ex_02_4_c, 'портит direct на месте', 'ответ верен, но функция меняет на месте свой аргумент direct: работайт'),
        (ex_02_4_d, "будущее не умножено на производную tanh", "f′ умножает и direct"),
        (ex_02_4_e, 'db усреднён по пакету, а не просуммирован', 'По пакету вклады складываются: db усреднено, а нужна сумма.'),
        (ex_02_4_f, 'производная tanh взята в прошлом состоянии', 'f′ берут в новом состоянии s_t, а взято прошлое, s_{t−1}.'),
    ],
    "02.6": [
        (ex_02_6_a, 'забыт detach между окнами (падает на втором backward)', 'по одному графу назад идут дважды: отрежьте прошлое (detach) (RuntimeE'),
        (ex_02_6_b, 'вместо detach стоит retain_graph: история не обрезана', 'Ошибка уходит в прошлые окна: отрежьте граф в начале окна, s = s.detac'),
        (ex_02_6_c, 'состояние обнуляется в каждом окне', 'Состояние в начале окна обнулено, а нужно лишь отрезать его историю: d'),
        (ex_02_6_d, 'detach на каждом шаге, а не на границе окна', 'История отрезана на каждом шаге, а надо раз в k шагов, в начале окна.'),
        (ex_02_6_e, 'градиенты стираются перед каждым окном', 'Градиенты стираются в каждом окне, а здесь они копятся: zero_grad не н'),
        (ex_02_6_f, 'последнее короткое окно отброшено', 'Последнее, короткое окно потеряно: в нём тоже учатся.'),
    ],
    "03.1": [
        (ex_03_1_a, 'умножены столбцы W вместо строк', 'На f′ умножены столбцы W, а diag(f′) слева умножает строки: (1 − s²)[:'),
        (ex_03_1_b, 'W транспонирована', 'В якобиане W стоит как есть: Wᵀ нужна, когда ведут назад ошибку.'),
        (ex_03_1_c, 'забыт tanh в состоянии', 'В s_t забыт tanh: производная — 1 − s_t², а не 1 − a_t².'),
        (ex_03_1_d, 'забыто смещение b', 'В a_t забыто смещение b.'),
        (ex_03_1_e, 'производная взята в s_prev, а не в s_t', 'Производную берут в новом состоянии s_t, а не в прошлом.'),
        (ex_03_1_f, '1 - s вместо 1 - s²', 'Производная tanh — 1 − s², квадрат потерян.'),
    ],
    "03.2": [
        (ex_03_2_a, 'новый множитель справа', 'Порядок обратный: получилось J_1 J_2 … J_T, а поздний множитель должен'),
        (ex_03_2_b, 'производная умножает столбцы W, а не строки', 'f′ умножает строки W, а не столбцы: diag(1 − s_t²) стоит слева.'),
        (ex_03_2_c, 'производная от прошлого состояния', 'Производная взята в прошлом состоянии: J_t считают по новому, s_t.'),
        (ex_03_2_d, '1 - a² вместо 1 - s²', 'f′ выражена через a_t: производная tanh(a) — это 1 − s_t², а не 1 − a_'),
        (ex_03_2_e, 'W транспонирована в якобиане', 'В якобиане W стоит как есть: Wᵀ нужна, когда ведут назад ошибку.'),
        (ex_03_2_f, 'начинает с W вместо единичной: лишний множитель', 'Произведение начато с W, и множитель лишний: начните с единичной матри'),
    ],
    "03.3": [
        (ex_03_3_a, 'наибольшая действительная часть вместо модуля', 'Модуля нет: взята вещественная часть, и знак не отброшен.'),
        (ex_03_3_b, 'модуль только действительной части', 'Взята вещественная часть, а у комплексного числа нужен модуль.'),
        (ex_03_3_c, 'наибольшее сингулярное число', 'Это σ_max, наибольшее сингулярное число, а нужны собственные.'),
        (ex_03_3_d, 'eigvalsh: W считается симметричной', 'eigvalsh — для симметричных матриц, а W не симметрична: возьмите eigva'),
        (ex_03_3_e, 'модуль первого числа, а не наибольший', 'Взято первое по счёту число, а нужно наибольшее по модулю.'),
        (ex_03_3_f, 'сначала max комплексных, потом модуль', 'для чисел вида ComplexFloat такой операции нет (NotImplementedError: "'),
    ],
    "03.5": [
        (ex_03_5_a, 'rho умножена до QR и потому пропадает', 'Матрица ортогональна, но ρ забыто: WᵀW вышло I, а нужно ρ²I.'),
        (ex_03_5_b, 'взята R вместо Q', 'Нужна случайная ортогональная матрица, WᵀW = I: возьмите Q из QR-разло'),
        (ex_03_5_c, 'переназначено имя, вес сети не изменён', 'W осталась прежней: новую надо записать в net.weight_hh_l0 на месте, ч'),
        (ex_03_5_d, 'забыт return net', 'функция ничего не вернула (None). Есть ли в ней return?'),
        (ex_03_5_e, 'заменена и матрица U', 'здесь это нужно написать самому, а не взять готовое: orthogonal_.'),
        (ex_03_5_f, 'столбцы лишь нормированы, матрица не ортогональна', 'Нужна случайная ортогональная матрица, WᵀW = I: возьмите Q из QR-разло'),
    ],
    "03.7": [
        (ex_03_7_a, 'отсекает каждый тензор по своей норме', 'Каждый тензор отсечён по своей норме, и направление изменилось: норма '),
        (ex_03_7_b, 'сумма норм вместо общей нормы', 'Нормы тензоров сложены, а складывать надо квадраты.'),
        (ex_03_7_c, 'множит всегда: короткий градиент растягивается', 'Короткий градиент удлинён до порога, а должен остаться как есть.'),
        (ex_03_7_d, 'портит grads на месте', 'ответ верен, но функция меняет на месте свой аргумент grads: работайте'),
        (ex_03_7_e, 'возвращает норму после отсечения', 'Вернуть надо норму до отсечения: после него она всегда не больше порог'),
        (ex_03_7_f, 'забыт корень', 'Это квадрат нормы: забыт корень.'),
    ],
    "04.1": [
        (ex_04_1_a, 'верхний слой видит прошлое состояние нижнего', 'Верхний слой взял прошлое состояние нижнего, а нужно состояние того же'),
        (ex_04_1_b, 'W не транспонирована', 'W не транспонирована: строки пакета умножают справа, s @ W.T.'),
        (ex_04_1_c, 'W верхнего слоя умножает s_1 вместо s_2', 'W верхнего слоя умножает его собственное прошлое s_2, а не s_1.'),
        (ex_04_1_d, 'забыт tanh в верхнем слое', 'У верхнего слоя забыт tanh.'),
        (ex_04_1_e, 'последние состояния в обратном порядке', 'Последние состояния перепутаны: сначала нижний слой, потом верхний.'),
        (ex_04_1_f, 'верхний слой читает x_t вместо s_1', 'матрицы 2×3 и 4×4 не перемножить: 3 ≠ 4. Не нужна ли транспонированная'),
    ],
    "04.2": [
        (ex_04_2_a, 'обратная цепочка в порядке чтения, а не времени', 'Обратная цепочка стоит в порядке чтения, а не времени: переверните её '),
        (ex_04_2_b, 'обратная цепочка начинает с конца прямой, не с нулей', 'Обратная цепочка начинает с нулей, а не с последнего состояния прямой.'),
        (ex_04_2_c, 'веса there у обеих цепочек', 'У обратной цепочки свои веса, back, а взяты there.'),
        (ex_04_2_d, 'x[:, -t]: чтение справа сдвинуто на один', 'Справа налево начинают с x[:, -1], а x[:, -0] — это первый шаг.'),
        (ex_04_2_e, 'обратное состояние записано до шага', 'Обратная цепочка записана до шага, а её состояние нужно после него.'),
        (ex_04_2_f, 'обратная цепочка не дочитала шаг 0', 'список состояний пуст: цикл не сделал ни одного шага (RuntimeError: st'),
    ],
    "04.4": [
        (ex_04_4_a, 'перевёрнут весь ряд вместе с хвостом', 'Хвост оказался впереди: каждый ряд переворачивают по его собственной д'),
        (ex_04_4_b, 'меняет сам x', 'ответ верен, но функция меняет на месте свой аргумент x: работайте с к'),
        (ex_04_4_c, 'хвост обнулён', 'Хвост обнулён, а его надо оставить как был.'),
        (ex_04_4_d, 'перевёрнута ось признаков, а не времени', 'Перевёрнуты признаки внутри шага, а нужны сами шаги.'),
        (ex_04_4_e, 'читает из уже переписанной копии', 'Вторая половина ряда прочитана из уже переписанного: читайте из x, пиш'),
        (ex_04_4_f, 'сдвиг на единицу: k - t вместо k - 1 - t', 'номер вышел за край: такого элемента нет (IndexError: index 6 is out o'),
    ],
    "04.5": [
        (ex_04_5_a, 'прямая цепочка взята в конце дополнения', 'У коротких рядов взято состояние над хвостом: прямая цепочка кончает н'),
        (ex_04_5_b, 'обратная цепочка взята на последней букве, а не на первой', 'Обратная цепочка на последнем шаге только начала: её последнее состоян'),
        (ex_04_5_c, 'обратная цепочка стоит первой', 'Половины поменялись местами: сначала прямая цепочка.'),
        (ex_04_5_d, 'lengths вместо lengths - 1', 'номер вышел за край: такого элемента нет (IndexError: index 5 is out o'),
        (ex_04_5_e, 'всем рядам длина первого', 'У коротких рядов взято состояние над хвостом: прямая цепочка кончает н'),
        (ex_04_5_f, 'обратная цепочка взята на последнем шаге пакета', 'Прямая цепочка кончает на последнем шаге, обратная — на первом.'),
    ],
    "04.6": [
        (ex_04_6_a, 'хвосты не отброшены', 'Хвосты посчитаны наравне с рядами: нужна маска.'),
        (ex_04_6_b, '<= вместо <: лишний шаг хвоста', 'В счёт попал первый шаг хвоста: настоящие шаги — от 0 до lengths − 1.'),
        (ex_04_6_c, 'среднее долей по рядам вместо доли по всем местам', 'Это среднее по рядам: короткий ряд весит столько же, сколько длинный. '),
        (ex_04_6_d, 'делит на все места, включая хвосты', 'Верные посчитаны без хвостов, а поделены на все места, с хвостами.'),
        (ex_04_6_e, 'argmax по времени, а не по классам', 'размеры по оси 1 не сходятся: 4 и 9 (RuntimeError: The size of tensor '),
        (ex_04_6_f, 'считает только последний шаг каждого ряда', 'Спрошен лишь последний шаг каждого ряда, а в счёт идут все настоящие.'),
    ],
    "05.1": [
        (ex_05_1_a, 'W_h не транспонирована', 'Матрица W_h не транспонирована: h @ W_h.T.'),
        (ex_05_1_b, 'tanh вместо сигмоиды', 'Вентиль — доля от 0 до 1, поэтому здесь σ, а tanh — у кандидата.'),
        (ex_05_1_c, 'матрица слева, как без пакета', 'матрицы 4×3 и 2×3 не перемножить: 3 ≠ 2. Не нужна ли транспонированная'),
        (ex_05_1_d, 'сигмоида от каждого слагаемого отдельно', 'σ берут один раз, от суммы: иначе доля превысит единицу.'),
        (ex_05_1_e, 'в сигмоиде потерян минус', 'Знак: σ(a) = 1 / (1 + e^−a), минус в показателе потерян.'),
        (ex_05_1_f, 'смещение прибавлено после сигмоиды', 'Смещение прибавляют до σ, а не после: иначе доля выйдет за 0 и 1.'),
    ],
    "05.2": [
        (ex_05_2_a, 'забыт tanh от c в h', 'Перед выводом память сжимают: h_t = o ⊙ tanh(c_t).'),
        (ex_05_2_b, 'h посчитан по старому c', 'Показывают новую память: h_t = o ⊙ tanh(c_t), а взята прошлая c_{t−1}.'),
        (ex_05_2_c, 'перепутаны ворота i и f', 'Порядок четвертей — i, f, g, o: сначала вентиль записи, потом забывани'),
        (ex_05_2_d, 'кандидат через сигмоиду вместо tanh', 'Кандидат — содержание, ему нужны оба знака: tanh, а не σ.'),
        (ex_05_2_e, 'портит c на месте', 'ответ верен, но функция меняет на месте свой аргумент c: работайте с к'),
        (ex_05_2_f, '1 - f вместо ворот i', 'Так устроены сцепленные вентили, i = 1 − f; у LSTM i свой.'),
    ],
    "05.5": [
        (ex_05_5_a, 'b_f в обоих смещениях: сумма 2·b_f', 'Смещений два, и они складываются: вышло 2·b_f.'),
        (ex_05_5_b, 'bias_hh не обнулён', 'Второе смещение, bias_hh, осталось случайным, а считается сумма.'),
        (ex_05_5_c, 'обратное направление пропущено', 'Обратная цепочка забыта: её смещения кончаются на _reverse.'),
        (ex_05_5_d, 'bias_hh обнулён целиком', 'Задеты и другие четверти: трогать можно лишь вторую, [H : 2 * H], и в '),
        (ex_05_5_e, 'четверть вентиля входа вместо забывания', 'Это четверть вентиля записи. Порядок в torch: i, f, g, o.'),
        (ex_05_5_f, 'забыт return', 'функция ничего не вернула (None). Есть ли в ней return?'),
    ],
    "05.6": [
        (ex_05_6_a, 'порядок вентилей z, r вместо r, z', 'Порядок третей в torch: r, z, n.'),
        (ex_05_6_b, 'z и 1 - z переставлены', 'z_t и 1 − z_t поменялись местами: z хранит старое.'),
        (ex_05_6_c, 'r умножает h до матрицы, как в статье', 'Это вариант статьи: r умножает h до матрицы. В torch — после: r ⊙ (W_h'),
        (ex_05_6_d, 'b_hn вынесено из-под r', 'Смещение b_hn стоит внутри скобки: r ⊙ (W_hn h + b_hn).'),
        (ex_05_6_e, 'у вентилей забыто смещение b_h', 'У вентилей два смещения, и они складываются: забыто b_h.'),
        (ex_05_6_f, 'портит аргумент h на месте', 'ответ верен, но функция меняет на месте свой аргумент h: работайте с к'),
    ],
    "06.2": [
        (ex_06_2_a, 'маска по x, а не по y', 'Маска построена по входу, а нужна по цели: иначе в потери попадёт один'),
        (ex_06_2_b, 'дополняет сами списки', 'ответ верен, но функция меняет на месте свой аргумент sequences: работ'),
        (ex_06_2_c, 'нули слева, а не справа', 'Дополните строки нулями справа; маска ложна там, где цель — заполнител'),
        (ex_06_2_d, 'маска наоборот', 'Маска перевёрнута: истина там, где цель настоящая.'),
        (ex_06_2_e, "таблица дробная, а не целая", "нужны целые"),
        (ex_06_2_f, 'длина первой строки вместо самой длинной', 'номер вышел за край: такого элемента нет (IndexError: index 5 is out o'),
    ],
    "06.5": [
        (ex_06_5_a, 'не забыты старые градиенты', 'Старые градиенты не забыты: перед backward нужен optimizer.zero_grad()'),
        (ex_06_5_b, 'отсечение после шага', 'Градиент не отсечён: clip_grad_norm_ зовут после backward и до step.'),
        (ex_06_5_c, 'делит на все места, а не на сумму маски', 'В потери входят только клетки, где маска истинна.'),
        (ex_06_5_d, 'zero_grad после backward', 'Веса не изменились: step забыт, стоит до backward — или градиенты стёр'),
        (ex_06_5_e, 'среднее по рядам от средних, а не по всей маске', 'Усреднено по именам, а нужно по всем символам сразу.'),
        (ex_06_5_f, 'отсекает числа, а не норму', 'Отсечено каждое число по отдельности: направление градиента изменилось'),
    ],
    "06.6": [
        (ex_06_6_a, 'знак конца попадает в имя', 'Символ конца попал в имя: выходите из цикла до append.'),
        (ex_06_6_b, 'состояние не передаётся дальше', 'Состояние потеряно: сеть помнит лишь последнюю букву. Передавайте ей s'),
        (ex_06_6_c, 'скармливает всё начало заново вместе с состоянием', 'Новую букву сеть читает вместе с прежним состоянием: net(x, state).'),
        (ex_06_6_d, 'берёт предсказание первого места, а не последнего', 'Буква выбрана после первого символа начала, а нужна после последнего: '),
        (ex_06_6_e, 'limit считает и буквы начала', 'Новых букв не больше limit: начало в счёт не идёт.'),
        (ex_06_6_f, 'дописывает буквы в сам список start', 'ответ верен, но функция меняет на месте свой аргумент start: работайте'),
    ],
    "07.2": [
        (ex_07_2_a, 'слова разложены по потокам вперемежку', 'Слова разложены по строкам вперемежку, а поток — это кусок текста подр'),
        (ex_07_2_b, 'последнее слово каждого потока не бывает входом', 'Последнее слово каждого потока стало только целью, а цель ему — первое'),
        (ex_07_2_c, 'последнее короткое окно отброшено', 'Последнее, короткое окно потеряно.'),
        (ex_07_2_d, 'длина потока без вычета последнего слова (падает, когда делится нацело)', "4 чисел не разложить по размеру [1, 5] (RuntimeError: shape '[1, 5]' i"),
        (ex_07_2_e, 'roll: последняя цель потока — его же первое слово', 'Последняя цель потока завернулась к его началу, а нужно настоящее след'),
        (ex_07_2_f, 'окна транспонированы: (время, пакет)', 'размер ответа (4, 1), а нужен (1, 4).'),
    ],
    "07.3": [
        (ex_07_3_a, 'среднее средних по окнам', 'Усреднены средние окон: слова короткого окна так весят больше других.'),
        (ex_07_3_b, 'среднее перплексий окон', 'Усреднены перплексии окон, а усредняют логарифмы.'),
        (ex_07_3_c, 'stack вместо cat: падает на окнах разной длины', 'stack складывает тензоры одного размера, а здесь они разные: нужен ли '),
        (ex_07_3_d, 'среднее exp вместо exp от среднего', 'Порядок: сначала среднее, потом exp.'),
        (ex_07_3_e, 'забыта экспонента', 'Это потери, среднее −ln p. Не хватает exp.'),
        (ex_07_3_f, 'степень двойки вместо степени e', 'Логарифм натуральный: основание e, а не 2.'),
    ],
    "07.4": [
        (ex_07_4_a, 'состояние не отсоединено', 'по одному графу назад идут дважды: отрежьте прошлое (detach) (RuntimeE'),
        (ex_07_4_b, 'состояние сбрасывается в каждом окне', 'Состояние не перенесено (или обнулено): каждое окно начинает с нуля, б'),
        (ex_07_4_c, 'градиент отсекается после шага', 'Градиент не отсечён: clip_grad_norm_ зовут после backward и до step.'),
        (ex_07_4_d, 'забыт zero_grad', 'Старые градиенты не забыты: перед backward нужен optimizer.zero_grad()'),
        (ex_07_4_e, 'отсечение по значению, а не по норме', 'Отсечено каждое число по отдельности: нужна норма, clip_grad_norm_.'),
        (ex_07_4_f, 'c не переходит в следующее окно', 'Второе окно начинает с состояния, которым кончилось первое; градиенты '),
    ],
    "07.5": [
        (ex_07_5_a, 'слово, на котором достигли p, выброшено', 'Потеряно слово, на котором сумма переходит через p: без него доли p не'),
        (ex_07_5_b, 'копит без сортировки, в порядке словаря', 'Сумма копится в порядке словаря: сначала отсортируйте по убыванию.'),
        (ex_07_5_c, 'ответ остался в порядке убывания', 'Слова остались в порядке вероятности: верните их на свои места (scatte'),
        (ex_07_5_d, 'портит probs на месте', 'ответ верен, но функция меняет на месте свой аргумент probs: работайте'),
        (ex_07_5_e, 'делит на p, а не на сумму оставшихся', 'Поделено на p, а оставшаяся сумма обычно больше p: разделите на неё.'),
        (ex_07_5_f, 'не приведено к сумме 1', 'Оставлены верные слова, но сумма уже не 1: разделите на неё.'),
    ],
}  # fmt: skip
