"""Answers to the exercises of 03."""

import numpy as np
import torch


def jacobian_by_diag(x_t, s_prev, U, W, b):
    a = W @ s_prev + U @ x_t + b
    return torch.diag(1 / torch.cosh(a) ** 2) @ W


def numpy_jacobian(x_t, s_prev, U, W, b):
    x_t, s_prev, U, W, b = (a.numpy() for a in (x_t, s_prev, U, W, b))
    J, s = np.zeros_like(W), np.tanh(b + W @ s_prev + U @ x_t)
    for i in range(len(s)):
        for j in range(len(s)):
            J[i, j] = (1 - s[i] ** 2) * W[i, j]
    return J


def long_by_list(x, s_0, U, W, b):
    states = [s_0]
    for x_t in x:
        states.append(torch.tanh(W @ states[-1] + U @ x_t + b))
    factors = [torch.diag(1 - s**2) @ W for s in states[1:]]
    return torch.linalg.multi_dot(factors[::-1]) if len(factors) > 1 else factors[0]


def numpy_long(x, s_0, U, W, b):
    x, s, U, W, b = (a.double().numpy() for a in (x, s_0, U, W, b))
    columns = np.eye(len(s))  # what a shift of each number of s_0 has become
    for t in range(len(x)):
        s = np.tanh(W @ s + U @ x[t] + b)
        columns = np.diag(1 - s**2) @ (W @ columns)
    return columns


def radius_by_max(W):
    return max(abs(z) for z in np.linalg.eigvals(W.numpy()))


def radius_in_torch(W):
    z = torch.linalg.eig(W).eigenvalues
    return torch.sqrt(z.real**2 + z.imag**2).max()


def thermometer_forward_and_back(x, g, U, W, b):
    s, slopes = torch.zeros_like(b), []
    for t in range(len(x)):
        s = torch.sigmoid(W @ s + U @ x[t] + b)
        slopes.append(s * (1 - s))
    norms = [g.norm()]
    for slope in reversed(slopes):
        g = (slope * g) @ W
        norms.insert(0, g.norm())
    return torch.stack(norms)


def numpy_thermometer(x, g, U, W, b):
    x, g, U, W, b = (a.double().numpy() for a in (x, g, U, W, b))
    T = len(x)
    s, norms = np.zeros((T + 1, len(b))), np.zeros(T + 1)
    for t in range(1, T + 1):
        s[t] = 1 / (1 + np.exp(-(b + W @ s[t - 1] + U @ x[t - 1])))
    norms[T] = np.sqrt(g @ g)
    for t in range(T, 0, -1):
        J = np.diag(s[t] * (1 - s[t])) @ W
        g = J.T @ g
        norms[t - 1] = np.linalg.norm(g)
    return norms


def start_by_svd(net, rho):
    U, _, Vh = torch.linalg.svd(net.weight_hh_l0.detach())
    net.weight_hh_l0.data = rho * U @ Vh
    return net


def start_by_gram_schmidt(net, rho):
    rows = []
    for row in torch.randn_like(net.weight_hh_l0).detach().double():
        for other in rows:
            row = row - (row @ other) * other
        rows.append(row / row.norm())
    W = rho * torch.stack(rows).to(net.weight_hh_l0)
    net.weight_hh_l0 = torch.nn.Parameter(W.detach())
    return net


def rho_by_formula(norm, T, factor):
    return (factor / norm(1)) ** (1 / T)


def rho_by_logs(norm, T, factor):
    rho = 1.0
    for _ in range(5):
        rho *= np.exp((np.log(factor) - np.log(norm(rho))) / T)
    return torch.tensor(rho)


def clip_by_cat(grads, threshold):
    norm = torch.cat([g.reshape(-1) for g in grads]).norm()
    if norm <= threshold:
        return grads, norm
    return [g / norm * threshold for g in grads], norm


def clip_by_loop(grads, threshold):
    total = 0.0
    for g in grads:
        for value in g.flatten().tolist():
            total += value**2
    norm = total**0.5
    scale = threshold / norm if norm > threshold else 1
    clipped = []
    for g in grads:
        clipped.append(scale * g.numpy())
    return tuple(clipped), norm


RIGHT = {
    "03.1": [jacobian_by_diag, numpy_jacobian],
    "03.2": [long_by_list, numpy_long],
    "03.3": [radius_by_max, radius_in_torch],
    "03.4": [thermometer_forward_and_back, numpy_thermometer],
    "03.5": [start_by_svd, start_by_gram_schmidt],
    "03.6": [rho_by_formula, rho_by_logs],
    "03.7": [clip_by_cat, clip_by_loop],
}


def spoilt_jacobian(what):
    def jacobian(x_t, s_prev, U, W, b):
        a = W @ s_prev + (0 if what == "input" else U @ x_t) + (0 if what == "bias" else b)
        s = torch.tanh(a)
        slope = {
            "sigma": s * (1 - s),
            "twice": 1 - torch.tanh(s) ** 2,
            "square": 1 - s,
            "old": 1 - s_prev**2,
        }.get(what, 1 - s**2)
        D = torch.diag(slope)
        return {
            "columns": slope * W,
            "right": W @ D,
            "transposed": W.T @ D,
            "linear": W,
            "diag": D,
        }.get(what, D @ W)

    return jacobian


def spoilt_long(what):
    def long(x, s_0, U, W, b):
        s = torch.zeros_like(s_0) if what == "zero" else s_0
        P = torch.zeros(len(s), len(s)) if what == "sum" else torch.eye(len(s))
        for x_t in x:
            new = torch.tanh(b + W @ s + U @ x_t)
            J = torch.diag(1 - new**2) @ W
            if what == "linear":
                J = W
            if what == "before":
                J = torch.diag(1 - s**2) @ W
            s = s if what == "fixed" else new
            P = {"order": P @ J, "star": P * J, "sum": P + J, "last": J}.get(what, J @ P)
        return P.T if what == "transposed" else P

    return long


def spoilt_thermometer(what):
    def thermometer(x, g, U, W, b):
        states = [torch.zeros(len(b))]
        for x_t in x:
            a = b + W @ states[-1] + U @ x_t
            states.append(torch.tanh(a) if what == "tanh" else torch.sigmoid(a))
        norms = [g.norm()]
        for t in range(len(x), 0, -1):
            s = states[t - 1 if what == "neighbour" else t]
            slope = {"slope": 1 - s**2, "tanh": 1 - s**2, "linear": 1.0}.get(what, s * (1 - s))
            g = (W if what == "W" else W.T) @ (slope * g)
            norms.append(g.norm())
        if what == "reversed":
            return torch.stack(norms)
        norms = torch.stack(norms[::-1])
        return {"short": norms[1:], "squares": norms**2, "open": norms[:-1]}.get(what, norms)

    return thermometer


def spoilt_start(what):
    def start(net, rho):
        with torch.no_grad():
            W = net.weight_hh_l0
            Q = torch.linalg.qr(torch.randn(4, 4))[0].to(W)
            if what == "identity":
                W.copy_(torch.eye(4) * rho)
            elif what == "radius":
                W.mul_(rho / np.abs(np.linalg.eigvals(W.numpy())).max())
            elif what == "gaussian":
                W.normal_(0, rho / 2)
            elif what == "lost":
                W = rho * Q
            else:
                W.copy_(
                    {"plain": Q, "square": Q * rho * rho, "divided": Q / rho}.get(what, Q * rho)
                )
            if what == "all":
                net.weight_ih_l0.copy_(torch.linalg.qr(torch.randn(4, 2))[0])
        return net

    return start


def start_without_no_grad(net, rho):
    net.weight_hh_l0.copy_(rho * torch.linalg.qr(torch.randn(4, 4))[0])
    return net


def spoilt_bisection(norm, T, factor):
    low, high = 0.0, 3.0
    for _ in range(50):
        rho = (low + high) / 2
        if norm(rho) < factor:
            high = rho
        else:
            low = rho
    return rho


def spoilt_clip(what):
    def clip(grads, threshold):
        norm = sum((g**2).sum() for g in grads) ** 0.5
        if what == "sum":
            norm = sum(torch.linalg.norm(g) for g in grads)
        if what == "square":
            norm = sum((g**2).sum() for g in grads)
        if what == "value":
            return [torch.clip(g, -threshold, threshold) for g in grads], norm
        if what == "own":
            return [g * threshold / g.norm() if g.norm() > threshold else g for g in grads], norm
        clipped = []
        for g in grads:
            if what == "always":
                clipped.append(g / norm * threshold)
            elif what == "unit" and norm > threshold:
                clipped.append(g / norm)
            elif norm > threshold:
                clipped.append(g * (threshold / norm))
            else:
                clipped.append(g)
        if what == "after":
            norm = sum((g**2).sum() for g in clipped) ** 0.5
        return clipped if what == "alone" else (clipped, norm)

    return clip


def clip_in_place(grads, threshold):
    norm = sum((g**2).sum() for g in grads) ** 0.5
    for g in grads:
        if norm > threshold:
            g *= threshold / norm
    return grads, norm


WRONG = {  # answer, what its hint must name
    "03.1": [
        (spoilt_jacobian("columns"), "умножены столбцы"),
        (spoilt_jacobian("right"), "умножены столбцы"),
        (spoilt_jacobian("transposed"), "транспонирована"),
        (spoilt_jacobian("linear"), "Забыта нелинейность"),
        (spoilt_jacobian("diag"), "Это ∂s_t/∂a_t"),
        (spoilt_jacobian("sigma"), "производная σ"),
        (spoilt_jacobian("twice"), "второй раз tanh"),
        (spoilt_jacobian("square"), "квадрат потерян"),
        (spoilt_jacobian("old"), "в новом состоянии"),
        (spoilt_jacobian("input"), "нужны все слагаемые"),
    ],
    "03.2": [
        (spoilt_long("order"), "Порядок обратный"),
        (spoilt_long("star"), "по элементам"),
        (spoilt_long("sum"), "Якобианы сложены"),
        (spoilt_long("last"), "один последний"),
        (spoilt_long("linear"), "Забыта нелинейность"),
        (spoilt_long("fixed"), "не идёт с шага на шаг"),
        (spoilt_long("transposed"), "транспонировано"),
        (spoilt_long("before"), "в прошлом состоянии"),
        (spoilt_long("zero"), "s_0 забыто"),
    ],
    "03.3": [
        (lambda W: np.linalg.norm(W, 2), "наибольшее сингулярное"),
        (lambda W: (W**2).sum().sqrt(), "Фробениуса"),
        (lambda W: torch.linalg.eigvals(W).real.max(), "знак не отброшен"),
        (lambda W: np.abs(np.linalg.eigvals(W.numpy()).real).max(), "у комплексного числа"),
        (lambda W: np.abs(np.linalg.eigvalsh(W.numpy())).max(), "не симметрична"),
        (lambda W: torch.linalg.eigvals(W).abs()[0], "Взято первое"),
        (lambda W: W.abs().max(), "самой матрицы"),
        (lambda W: torch.linalg.eigvals(W).max(), "комплексные"),
    ],
    "03.4": [
        (spoilt_thermometer("slope"), "производная tanh"),
        (spoilt_thermometer("tanh"), "а не tanh"),
        (spoilt_thermometer("linear"), "Забыта нелинейность"),
        (spoilt_thermometer("W"), "а здесь W"),
        (spoilt_thermometer("neighbour"), "соседнего шага"),
        (spoilt_thermometer("reversed"), "Порядок обратный"),
        (spoilt_thermometer("short"), "Нет шага 0"),
        (spoilt_thermometer("open"), "Нет шага T"),
        (spoilt_thermometer("squares"), "забыт корень"),
    ],
    "03.5": [
        (spoilt_start("identity"), "должно быть случайным"),
        (spoilt_start("radius"), "не ортогональна"),
        (spoilt_start("gaussian"), "возьмите Q"),
        (spoilt_start("lost"), "осталась прежней"),
        (spoilt_start("plain"), "ρ забыто"),
        (spoilt_start("square"), "умножено на ρ²"),
        (spoilt_start("divided"), "а не поделить"),
        (spoilt_start("all"), "Менять надо одну W"),
        (start_without_no_grad, "torch.no_grad()"),
    ],
    "03.6": [
        (lambda norm, T, factor: factor ** (1 / T), "спросите norm"),
        (lambda norm, T, factor: factor / norm(1), "корень степени T"),
        (lambda norm, T, factor: (norm(1) / factor) ** (1 / T), "Дробь перевёрнута"),
        (lambda norm, T, factor: factor / T, "а не деление на T"),
        (lambda norm, T, factor: 1, "зависит от factor и T"),
        (spoilt_bisection, "велика — уменьшите"),
        (lambda norm, T, factor: np.exp(np.log(factor) / T), "спросите norm"),
    ],
    "03.7": [
        (spoilt_clip("own"), "по своей норме"),
        (spoilt_clip("value"), "каждое число по отдельности"),
        (spoilt_clip("always"), "Короткий градиент удлинён"),
        (spoilt_clip("unit"), "Длина стала единицей"),
        (spoilt_clip("sum"), "складывать надо квадраты"),
        (spoilt_clip("square"), "забыт корень"),
        (spoilt_clip("after"), "норму до отсечения"),
        (spoilt_clip("alone"), "частей"),
        (clip_in_place, "меняет на месте свой аргумент grads"),
    ],
}  # fmt: skip
