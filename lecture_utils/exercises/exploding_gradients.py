"""Exercises of 03: Jacobians and their product, radii, an orthogonal start, clipping."""

from functools import partial

import numpy as np
import torch
from torch import nn
from torch.func import jacrev

from lecture_utils import cells, probes
from lecture_utils.exercises.engine import Case, Draw, Exercise

# 03.1: the Jacobian of one step


def _node(draw: Draw, hidden: int = 4) -> dict:
    return {"U": draw(hidden, 2), "W": draw(hidden, hidden), "b": draw(hidden)}


def _step_inputs(draw: Draw) -> dict:
    return {"x_t": draw(2), "s_prev": draw(4), **_node(draw)}


def _by_autograd(x_t, s_prev, U, W, b):
    return jacrev(lambda s: cells.rnn(cells.RNNWeights(U, W, b), x_t, s))(s_prev)


def _one(join, slope=lambda s: 1 - s**2):
    """A Jacobian from s_t and W, joined in some way."""

    def jacobian(x_t, s_prev, U, W, b):
        return join(slope(torch.tanh(b + W @ s_prev + U @ x_t)), W)

    return jacobian


JACOBIAN = Exercise(
    skeleton="""
def my_jacobian(x_t, s_prev, U, W, b):
    s_t = ...
    return ...
""",
    inputs=_step_inputs,
    reference=_by_autograd,
    cases=[
        Case("a_t = 0", "Здесь f′(a_t) = 1 у всех нейронов, и остаётся сама W.", only="W"),
        Case("есть только W и b", "Производная tanh через состояние: 1 − s_t².", only="W b"),
        Case("есть и вход, и прошлое", "Производную берут в точке a_t = b + W s_{t−1} + U x_t: нужны все слагаемые."),
    ],
    mistakes=[
        (_one(lambda f, W: W), "Забыта нелинейность: перед W стоит diag(f′(a_t))."),
        (_one(lambda f, W: f * W), "На f′ умножены столбцы W, а diag(f′) слева умножает строки: (1 − s²)[:, None] * W."),
        (_one(lambda f, W: (f[:, None] * W).T), "Матрица транспонирована: строки отвечают s_t, столбцы — s_{t−1}. "
         "Назад пойдут с Jᵀ, а здесь нужна сама J."),
        (_one(lambda f, W: f[:, None] * W, lambda s: s * (1 - s)), "s(1 − s) — производная σ, а у tanh она 1 − s²."),
        (_one(lambda f, W: f[:, None] * W, lambda s: 1 - torch.tanh(s) ** 2), "s_t — уже tanh(a_t): второй раз tanh брать не нужно."),
        (_one(lambda f, W: f[:, None] * W, lambda s: 1 - s), "Производная tanh — 1 − s², квадрат потерян."),
        (_one(lambda f, W: torch.diag(f)), "Это ∂s_t/∂a_t. Осталась ещё ∂a_t/∂s_{t−1}, то есть W."),
        (lambda x_t, s_prev, U, W, b: (1 - s_prev**2)[:, None] * W, "Производную берут в новом состоянии s_t, а не в прошлом."),
        (_one(lambda f, W: f[:, None] * W.T), "В якобиане W стоит как есть: Wᵀ нужна, когда ведут назад ошибку."),
        (lambda x_t, s_prev, U, W, b: (1 - torch.tanh(W @ s_prev + U @ x_t) ** 2)[:, None] * W,
         "В a_t забыто смещение b."),
        (lambda x_t, s_prev, U, W, b: (1 - (b + W @ s_prev + U @ x_t) ** 2)[:, None] * W,
         "В s_t забыт tanh: производная — 1 − s_t², а не 1 − a_t²."),
        (_one(lambda f, W: f @ W), "f′ — диагональная матрица: произведение с W — тоже матрица."),
    ],
    forbidden=("jacrev", "jacfwd", "autograd", "backward", "jacobian", "jacobians"),
)  # fmt: skip


# 03.2: their product, from the first state to the last


def _long_inputs(draw: Draw, T: int | None = None) -> dict:
    return {"x": draw(T or draw.whole(4, 6), 2), "s_0": draw(3), **_node(draw, 3)}


def _long_by_autograd(x, s_0, U, W, b):
    p = cells.RNNWeights(U, W, b)
    return jacrev(lambda s: cells.run(cells.rnn, p, x[None], s[None])[1][0])(s_0)


def _long(x, s_0, U, W, b, *, join=torch.matmul, slope=lambda s: 1 - s**2, how=""):
    """The product with one thing spoilt: how it is joined, f′, or what `how` names."""
    s, product = s_0 * (how != "from zero"), torch.eye(len(W), dtype=W.dtype) * (how != "empty")
    product = W if how == "extra" else product
    for t, x_t in enumerate(x):
        a = b + W @ s + U @ x_t
        new = torch.tanh(a)
        f_prime = slope({"before": s, "a": a}.get(how, new))
        J = W * f_prime if how == "columns" else f_prime[:, None] * (W.T if how == "T" else W)
        s = s if how == "fixed" else new
        product = product if how == "late" and t == 0 else join(J, product)
    return product


LONG = Exercise(
    skeleton="""
def my_long_jacobian(x, s_0, U, W, b):
    s, product = s_0, ...
    for x_t in x:
        ...
    return product
""",
    inputs=_long_inputs,
    reference=_long_by_autograd,
    cases=[
        Case("один шаг", "За шаг выходит J_1 = diag(1 − s_1²) W.", settings={"T": 1}),
        Case("два шага", "По правилу цепочки ∂s_2/∂s_0 = J_2 J_1: новый множитель встаёт слева.",
             settings={"T": 2}),
        Case("длинный ряд", "На каждом шаге: новое состояние, его J_t, и product ← J_t product."),
    ],
    mistakes=[
        (partial(_long, join=lambda J, P: P @ J), "Порядок обратный: получилось J_1 J_2 … J_T, а поздний множитель должен стоять слева."),
        (partial(_long, join=torch.mul), "Матрицы перемножены по элементам (*), а нужно матричное произведение @."),
        (partial(_long, join=torch.add), "Якобианы сложены, а по правилу цепочки их перемножают."),
        (partial(_long, join=torch.add, how="empty"), "Якобианы сложены, а по правилу цепочки их перемножают."),
        (partial(_long, how="empty"), "Произведение начато с нулей и нулём осталось: начните с единичной матрицы, torch.eye."),
        (partial(_long, join=lambda J, P: J), "Это один последний J_T, а нужно произведение всех."),
        (partial(_long, slope=lambda s: s**0), "Забыта нелинейность: перед W на каждом шаге стоит diag(1 − s_t²)."),
        (partial(_long, how="fixed"), "Состояние не идёт с шага на шаг: каждый J_t посчитан в s_0."),
        (partial(_long, how="late"), "Первый шаг потерян: J_1 тоже множитель."),
        (partial(_long, how="before"), "Производная взята в прошлом состоянии: J_t считают по новому, s_t."),
        (partial(_long, how="columns"), "f′ умножает строки W, а не столбцы: diag(1 − s_t²) стоит слева."),
        (partial(_long, how="T"), "В якобиане W стоит как есть: Wᵀ нужна, когда ведут назад ошибку."),
        (partial(_long, how="extra"), "Произведение начато с W, и множитель лишний: начните с единичной матрицы."),
        (partial(_long, how="a"),
         "f′ выражена через a_t: производная tanh(a) — это 1 − s_t², а не 1 − a_t²."),
        (partial(_long, how="from zero"), "Начальное состояние s_0 забыто: первый шаг начат с нуля."),
        (lambda *given: _long(*given).T, "Произведение транспонировано: строки отвечают s_T, столбцы — s_0."),
    ],
    forbidden=("jacrev", "jacfwd", "autograd", "backward", "jacobian", "jacobians"),
    points=2,
)  # fmt: skip


# 03.3: the spectral radius


def _radius_inputs(draw: Draw, kind: str = "any") -> dict:
    W, r = draw(4, 4), 1 + draw(1).abs()
    if kind == "negative":  # the largest eigenvalue by its modulus is below zero
        W = torch.diag(torch.cat([draw(3).clamp(-2, 2), -r - 2]))
    if kind == "turn":  # a rotation, r times longer: eigenvalues r e^±iφ
        angle = 0.6 + 0.1 * draw.whole(0, 8)
        W = r * torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).to(
            r
        )
    if kind == "triangle":  # eigenvalues stand on the diagonal, and one number is large
        W = torch.tensor([[0.25, 0.0], [0.0, 0.5]]).to(r) * r
        W[0, 1] = 5 + draw(1)[0].abs()
    return {"W": W}


RADIUS = Exercise(
    skeleton="""
def my_radius(W):
    return ...
""",
    inputs=_radius_inputs,
    reference=lambda W: probes.spectral_radius(W.numpy()),
    cases=[
        Case("диагональная матрица", "На диагонали — сами собственные числа; важен модуль, а не знак.",
             settings={"kind": "negative"}),
        Case("поворот", "У поворота собственные числа комплексные: нужен модуль, а не вещественная часть.",
             settings={"kind": "turn"}),
        Case("треугольная матрица", "Собственные числа — на диагонали, сколько бы ни стояло над ней.",
             settings={"kind": "triangle"}),
        Case("случайная матрица", "Наибольший модуль собственного числа: eigvals, abs, max."),
    ],
    mistakes=[
        (lambda W: torch.linalg.svdvals(W).max(), "Это σ_max, наибольшее сингулярное число, а нужны собственные."),
        (lambda W: torch.linalg.norm(W), "Это длина всех чисел матрицы (норма Фробениуса), а нужны собственные числа."),
        (lambda W: torch.linalg.eigvals(W).real.max(), "Модуля нет: взята вещественная часть, и знак не отброшен."),
        (lambda W: torch.linalg.eigvals(W).real.abs().max(), "Взята вещественная часть, а у комплексного числа нужен модуль."),
        (lambda W: torch.linalg.eigvalsh(W).abs().max(), "eigvalsh — для симметричных матриц, а W не симметрична: возьмите eigvals."),
        (lambda W: torch.linalg.eigvals(W).abs().mean(), "Это средний модуль, а нужен наибольший."),
        (lambda W: torch.linalg.eigvals(W).abs().min(), "Это наименьший модуль, а нужен наибольший."),
        (lambda W: torch.linalg.eigvals(W).abs()[0], "Взято первое по счёту число, а нужно наибольшее по модулю."),
        (lambda W: W.abs().max(), "Это наибольшее число самой матрицы, а нужны её собственные числа."),
        (lambda W: torch.linalg.det(W).abs(), "Определитель — произведение собственных чисел, а нужно наибольшее."),
    ],
    forbidden=("spectral_radius", "probes"),
)  # fmt: skip


# 03.4, homework: the thermometer of a net with σ


def _thermometer_inputs(draw: Draw, T: int | None = None) -> dict:
    T = T or draw.whole(4, 6)
    node = _node(draw)
    return {"x": draw(T, 2), "g": draw(4), "U": node["U"], "W": 2 * node["W"], "b": node["b"]}


def _norms_by_autograd(x, g, U, W, b):
    states = [torch.zeros_like(b, requires_grad=True)]
    for x_t in x:
        states.append(torch.sigmoid(b + W @ states[-1] + U @ x_t))
    gradients = torch.autograd.grad(states[-1], states, g)
    return torch.stack([gradient.norm() for gradient in gradients])


def _thermometer(x, g, U, W, b, *, slope=lambda s: s * (1 - s), back=True, new=True, f=None):
    """The thermometer with one thing spoilt."""
    f, states = f or torch.sigmoid, [torch.zeros_like(b)]
    for x_t in x:
        states.append(f(b + W @ states[-1] + U @ x_t))
    errors = [g]
    for t in range(len(x), 0, -1):
        s = states[t if new else t - 1]
        through = slope(s) * errors[-1]
        errors.append((W.T if back else W) @ through)
    return torch.stack([error.norm() for error in errors[::-1]])


THERMOMETER = Exercise(
    skeleton="""
def my_thermometer(x, g, U, W, b):
    ...
""",
    inputs=_thermometer_inputs,
    reference=_norms_by_autograd,
    cases=[
        Case("один шаг", "Чисел T + 1: у s_T это ‖g‖, а у s_0 — длина Wᵀ(f′(a_1) ⊙ g).", settings={"T": 1}),
        Case("два шага", "Каждый шаг назад: сквозь σ своего шага, потом через Wᵀ.", settings={"T": 2}),
        Case("длинный ряд", "Сначала вперёд: нужны все состояния. Потом назад, от T до 1."),
    ],
    mistakes=[
        (partial(_thermometer, slope=lambda s: 1 - s**2), "1 − s² — производная tanh, а у σ она s(1 − s)."),
        (partial(_thermometer, f=torch.tanh, slope=lambda s: 1 - s**2), "Здесь f — σ, а не tanh."),
        (partial(_thermometer, slope=lambda s: s**0), "Забыта нелинейность: на каждом шаге ошибка умножается на σ′(a_t) = s_t(1 − s_t)."),
        (partial(_thermometer, back=False), "Назад идут с Wᵀ, а здесь W."),
        (partial(_thermometer, new=False), "Взята производная соседнего шага: на шаге t она считается по s_t, а не по s_{t−1}."),
        (partial(_thermometer, slope=lambda s: s.sigmoid() * (1 - s.sigmoid())), "s_t — уже σ(a_t): второй раз σ брать не нужно."),
        (lambda *given: _thermometer(*given).flip(0), "Порядок обратный: первым идёт шаг 0, последним — T."),
        (lambda *given: _thermometer(*given)[1:], "Нет шага 0: чисел T + 1, а первое — длина ∂L/∂s_0."),
        (lambda *given: _thermometer(*given)[:-1], "Нет шага T: последнее число — длина самой g."),
        (lambda *given: _thermometer(*given) ** 2, "Это квадраты длин: забыт корень."),
    ],
    forbidden=("cells", "probes", "autograd", "backward", "jacrev", "grad"),
    points=3,
)  # fmt: skip


# 03.5: an orthogonal start for nn.RNN


def _start_inputs(draw: Draw, rho: float | None = None) -> dict:
    seeds = (draw.whole(0, 99), draw.whole(100, 199))
    return {"seeds": seeds, "rho": rho or 0.5 + 0.1 * draw.whole(1, 4), "like": draw(1)}


def _ask_start(function, seeds, rho, like):
    """WᵀW; did other weights change (1 or 0); are the W of two nets different (1 or 0)."""
    import torch

    starts, changed = [], 0.0
    for seed in seeds:
        torch.manual_seed(seed)
        net = torch.nn.RNN(2, 4).to(like.dtype)
        before = {name: w.clone() for name, w in net.state_dict().items()}
        answer = function(net, rho)
        if answer is None:
            return None
        after = answer.state_dict()
        starts.append(after["weight_hh_l0"])
        others = [name for name in before if name != "weight_hh_l0"]
        changed = max(changed, *(float((after[n] != before[n]).any()) for n in others))
    W, another = starts
    return W.T @ W, changed, float((W - another).abs().max() > 1e-3)


def _by_init(net, rho):
    nn.init.orthogonal_(net.weight_hh_l0, gain=rho)
    return net


def _start(net, rho, *, change=lambda Q, W, rho: rho * Q, others=False):
    with torch.no_grad():
        W = net.weight_hh_l0
        W.copy_(change(torch.linalg.svd(W)[0], W, rho))
        if others:
            net.weight_ih_l0.mul_(rho)
            net.bias_hh_l0.zero_()
    return net


def _start_spoilt(change, **how):
    return lambda net, rho: _start(net, rho, change=change, **how)


START = Exercise(
    skeleton="""
def my_start(net, rho):
    with torch.no_grad():
        ...
    return net
""",
    inputs=_start_inputs,
    reference=_by_init,
    ask=_ask_start,
    cases=[
        Case("ρ = 1", "Нужна случайная ортогональная матрица, WᵀW = I: возьмите Q из QR-разложения случайной.",
             settings={"rho": 1.0}),
        Case("ρ поменьше", "Ортогональную умножают на ρ: тогда WᵀW = ρ²I."),
    ],
    mistakes=[
        (lambda net, rho: net, "W осталась прежней: новую надо записать в net.weight_hh_l0 на месте, через copy_."),
        (_start_spoilt(lambda Q, W, rho: Q), "Матрица ортогональна, но ρ забыто: WᵀW вышло I, а нужно ρ²I."),
        (_start_spoilt(lambda Q, W, rho: rho**2 * Q), "Умножить надо на ρ, а умножено на ρ²."),
        (_start_spoilt(lambda Q, W, rho: Q / rho), "На ρ надо умножить, а не поделить."),
        (_start_spoilt(lambda Q, W, rho: rho**0.5 * Q), "Умножить надо на ρ, а умножено на корень из него."),
        (_start_spoilt(lambda Q, W, rho: rho * torch.eye(len(W))), "Единичная матрица ортогональна, но у всех сетей одна: начало должно быть случайным."),
        (_start_spoilt(lambda Q, W, rho: rho * W / torch.linalg.eigvals(W).abs().max()), "Радиус верный, но матрица "
         "не ортогональна: длину она меняет по-разному в разных направлениях."),
        (_start_spoilt(lambda Q, W, rho: rho * W / torch.linalg.matrix_norm(W, 2)), "Теперь σ_max = ρ, но остальные "
         "сингулярные числа меньше: матрица не ортогональна."),
        (_start_spoilt(lambda Q, W, rho: rho * W / W.norm(dim=1, keepdim=True)), "Строки одной длины, но не под прямым углом друг к другу."),
        (_start_spoilt(lambda Q, W, rho: rho * Q, others=True), "Менять надо одну W, weight_hh_l0: U и смещения оставьте."),
    ],
    forbidden=("orthogonal_", "orthogonal", "probes"),
    points=2,
)  # fmt: skip


# 03.6: a radius at which the gradient comes through as told


def _rho_inputs(draw: Draw, orthogonal: bool = False, sign: int = -1) -> dict:
    W = draw(5, 5) + 3 * torch.triu(torch.ones(5, 5), 1) * (not orthogonal)
    W = torch.linalg.qr(W).Q if orthogonal else W
    T, factor = draw.whole(30, 60), 10.0 ** (sign * draw.whole(1, 4))
    return {"W": W, "g": draw(5), "T": T, "factor": factor}


def _ask_rho(function, W, g, T, factor):
    """How the gradient of a linear net changes at the student's ρ; `factor` itself within 1 %."""
    import torch

    W, g = W.double(), g.double()
    W = W / torch.linalg.eigvals(W).abs().max()

    def norm(rho):
        error = g / g.norm()
        for _ in range(T):
            error = rho * (W.T @ error)
        return error.norm().item()

    rho = function(norm, T, factor)
    if rho is None or isinstance(rho, str):
        return rho
    left = norm(float(rho))
    return factor if abs(left / factor - 1) < 0.01 else left


RHO = Exercise(
    skeleton="""
def my_rho(norm, T, factor):
    ...
    return ...
""",
    inputs=_rho_inputs,
    reference=lambda norm, T, factor: (factor / norm(1.0)) ** (1 / T),
    ask=_ask_rho,
    cases=[
        Case("ортогональная матрица", "У неё norm(ρ) = ρ^T. А ищете делением пополам — следите, куда: norm мала — "
             "увеличьте ρ, велика — уменьшите.",
             settings={"orthogonal": True}),
        Case("случайная, ослабить", "norm растёт вместе с ρ: годится деление пополам. Или вспомните, что norm(ρ) = ρ^T · norm(1)."),
        Case("случайная, усилить", "Ответ бывает и больше единицы: возьмите верхнюю границу с запасом.",
             settings={"sign": 1}),
    ],
    mistakes=[
        (lambda norm, T, factor: factor ** (1 / T), "Для ортогональной матрицы верно, а у случайной первые шаги иные: "
         "спросите norm, что выходит на самом деле."),
        (lambda norm, T, factor: factor / norm(1.0), "Это множитель за весь путь, а нужен за один шаг: корень степени T."),
        (lambda norm, T, factor: (norm(1.0) / factor) ** (1 / T), "Дробь перевёрнута: получился обратный множитель."),
        (lambda norm, T, factor: factor**T, "Степень не та: ρ^T = factor, значит, нужен корень степени T."),
        (lambda norm, T, factor: factor / T, "Множители шагов перемножаются, поэтому нужен корень степени T, а не деление на T."),
        (lambda norm, T, factor: 0.0, "Градиент исчез вовсе: если norm меньше, чем надо, ρ увеличивают, а не уменьшают."),
        (lambda norm, T, factor: 1.0, "При ρ = 1 градиент меняется не в factor раз: ρ зависит от factor и T."),
    ],
    points=2,
)  # fmt: skip


# 03.7: clipping by the common norm


def _clip_inputs(draw: Draw, parts: int = 3, ratio: float = 0.3, scale: float = 1.0) -> dict:
    """`ratio` is the threshold as a share of the norm; `scale` = 0 makes the gradient zero."""
    grads = [scale * draw(3, 2), scale * 2 * draw(4), scale * draw(2, 2)][:parts]
    norm = sum(float((g**2).sum()) for g in grads) ** 0.5
    return {"grads": grads, "threshold": ratio * (norm or 1.0)}


def _by_torch(grads, threshold):
    weights = [torch.zeros_like(g, requires_grad=True) for g in grads]
    for w, g in zip(weights, grads, strict=True):
        w.grad = g.clone()
    norm = nn.utils.clip_grad_norm_(weights, threshold)
    return [w.grad for w in weights], norm


def _together(grads):
    return torch.cat([g.flatten() for g in grads]).norm()


def _clip(of_norm=lambda norm, limit: min(1.0, limit / norm), measure=_together, after=False):
    """Clipping with one thing spoilt: the factor, the norm or what is returned."""

    def clip(grads, threshold):
        norm = measure(grads)
        clipped = [g * of_norm(norm, threshold) for g in grads]
        return clipped, measure(clipped) if after else norm

    return clip


def _each_alone(grads, threshold):
    return [g * min(1.0, threshold / g.norm()) for g in grads], _together(grads)


CLIP = Exercise(
    skeleton="""
def my_clip(grads, threshold):
    norm = ...
    ...
    return ...
""",
    inputs=_clip_inputs,
    reference=_by_torch,
    cases=[
        Case("один тензор, длинный", "Норма — корень из суммы квадратов; множитель — порог, делённый на норму.",
             settings={"parts": 1}),
        Case("короче порога", "Градиент короче порога остаётся как есть: множитель не больше единицы.",
             settings={"ratio": 2.0}),
        Case("несколько тензоров", "Норма одна на всех — корень из суммы квадратов всех чисел, и множитель один."),
        Case("нулевой градиент", "При нулевой норме делить на неё нельзя, и укорачивать нечего.",
             settings={"scale": 0.0}),
    ],
    mistakes=[
        (_each_alone, "Каждый тензор отсечён по своей норме, и направление изменилось: норма должна быть одна на всех."),
        (lambda grads, threshold: ([g.clamp(-threshold, threshold) for g in grads], _together(grads)),
         "Отсечено каждое число по отдельности, и направление изменилось: умножьте всё на один множитель."),
        (_clip(lambda norm, limit: limit / norm), "Короткий градиент удлинён до порога, а должен остаться как есть."),
        (_clip(lambda norm, limit: 1 / norm if norm > limit else 1.0), "Длина стала единицей, а нужна длина порога."),
        (_clip(lambda norm, limit: limit if norm > limit else 1.0), "Умножить надо на порог, делённый на норму, а не на сам порог."),
        (_clip(lambda norm, limit: 0.0 if norm > limit else 1.0), "Длинный градиент выброшен, а его надо укоротить до порога."),
        (_clip(measure=lambda grads: sum(g.norm() for g in grads)), "Нормы тензоров сложены, а складывать надо квадраты."),
        (_clip(measure=lambda grads: _together(grads) ** 2), "Это квадрат нормы: забыт корень."),
        (_clip(measure=lambda grads: max(g.abs().max() for g in grads)), "Это наибольшее из чисел, а норма — корень из суммы квадратов."),
        (_clip(measure=lambda grads: max(g.norm() for g in grads)), "Взята наибольшая из норм, а нужна общая."),
        (_clip(after=True), "Вернуть надо норму до отсечения: после него она всегда не больше порога и ничего не говорит."),
    ],
    forbidden=("clip_grad_norm_", "clip_grad_norm", "get_total_norm", "clip_grads_with_norm_"),
    points=2,
)  # fmt: skip


EXERCISES = {
    "03.1": JACOBIAN,
    "03.2": LONG,
    "03.3": RADIUS,
    "03.4": THERMOMETER,
    "03.5": START,
    "03.6": RHO,
    "03.7": CLIP,
}
