"""Exercises of 09: attention and its mask, the scan, parity by a linear net, the delta rule."""

from functools import partial

import torch
from torch.nn.functional import normalize, scaled_dot_product_attention

from lecture_utils.exercises.engine import Case, Draw, Exercise

INF = float("inf")

# 09.1: attention, one query to each row of a batch


def _attention_inputs(draw: Draw, time: int = 5, sharp: float = 1.0) -> dict:
    """With `sharp` the keys are long and orthogonal, the query is the second of them."""
    q, K, V = draw(3, 4), draw(3, time, 4), draw(3, time, 4)
    if sharp > 1:
        K = sharp * torch.linalg.qr(draw(3, 4, 4)).Q[:, :time]
        q = K[:, 1].clone()
    return {"q": q, "K": K, "V": V}


def _attend(q, K, V, *, scale=None, axis=-1, weigh=torch.softmax, of=None):
    """Attention with one thing spoilt; `of` makes the values."""
    scores = (K @ q[:, :, None])[..., 0] * (K.shape[-1] ** -0.5 if scale is None else scale(K))
    w = weigh(scores, axis)
    return (w[..., None] * (of or (lambda K, V: V))(K, V)).sum(1), w


def _attended(q, K, V):
    weights = torch.softmax((K * q[:, None]).sum(-1) / K.shape[-1] ** 0.5, -1)
    return scaled_dot_product_attention(q[:, None], K, V)[:, 0], weights


def _hard(scores, axis):
    return torch.nn.functional.one_hot(scores.argmax(axis), scores.shape[axis]).to(scores.dtype)


ATTENTION = Exercise(
    skeleton="""
def my_attention(q, K, V):
    ...
    return o, w
""",
    inputs=_attention_inputs,
    reference=_attended,
    cases=[
        Case("ключ один", "Если ключ один, весь вес на нём: w = 1, o — его значение.", settings={"time": 1}),
        Case("запрос нулевой", "Все оценки равны: веса одинаковы, o — среднее значений.", only="K V"),
        Case("запрос совпадает со вторым ключом", "Почти весь вес — на втором ключе, o — почти второе значение.",
             settings={"time": 3, "sharp": 9.0}),
        Case("всё случайно", "Оценки — скалярные произведения, делённые на √d; softmax — по времени, отдельно для "
             "каждого примера."),
    ],
    mistakes=[
        (partial(_attend, scale=lambda K: 1.0), "Оценки не поделены на √d."),
        (partial(_attend, scale=lambda K: 1 / K.shape[-1]), "Оценки поделены на d, а нужно на √d."),
        (partial(_attend, scale=lambda K: K.shape[1] ** -0.5), "Поделено на корень из числа ключей, а нужно на √d: "
         "d — длина запроса."),
        (partial(_attend, axis=0), "softmax взят поперёк пакета: веса примера должны давать в сумме 1 по времени."),
        (partial(_attend, weigh=lambda s, axis: s), "Это ещё не веса: забыт softmax."),
        (partial(_attend, weigh=lambda s, axis: torch.softmax(-s, axis)), "Больше всех весит самый непохожий ключ: "
         "лишний минус."),
        (partial(_attend, weigh=_hard), "Взят один, самый похожий ключ: вместо выбора нужна смесь, softmax."),
        (partial(_attend, of=lambda K, V: K), "Смешаны ключи, а нужны значения V."),
        (partial(_attend, weigh=lambda s, axis: torch.sigmoid(s)), "Веса не делят единицу между ключами: "
         "нужен softmax, а не σ."),
    ],
    forbidden=("scaled_dot_product_attention", "attention", "cells"),
    points=2,
)  # fmt: skip


# 09.2: no one looks ahead


def _scores(draw: Draw, time: int = 5) -> dict:
    return {"scores": 2 * draw(2, time, time)}


def _is_later(scores, diagonal: int = 1):
    return torch.ones_like(scores, dtype=torch.bool).triu(diagonal)


def _causal(scores, *, diagonal=1, fill=-INF, axis=-1):
    return scores.masked_fill(_is_later(scores, diagonal), fill).softmax(axis)


CAUSAL = Exercise(
    skeleton="""
def my_causal(scores):
    return ...
""",
    inputs=_scores,
    reference=_causal,
    cases=[
        Case("один шаг", "Первый шаг видит только себя: вес 1.", settings={"time": 1}),
        Case("два шага", "Первая строка — 1 и 0, во второй веса есть у обоих.", settings={"time": 2}),
        Case("все оценки равны", "В строке t поровну весят первые t шагов, остальные — ровно нуль.", only="-"),
        Case("много шагов", "Оценки будущих шагов замените на −∞ до softmax: тогда их веса — нули, а сумма строки — 1."),
    ],
    mistakes=[
        (partial(_causal, diagonal=0), "Закрыт и сам шаг t: первой строке не на что смотреть, отсюда nan. Диагональ "
         "оставляют."),
        (partial(_causal, diagonal=2), "Открыт один шаг впереди: закрывают всё, что правее диагонали."),
        (partial(_causal, fill=0.0), "Будущие оценки заменены нулями, но e⁰ = 1: это всё ещё вес. Нужна −∞."),
        (partial(_causal, fill=-1.0), "Будущим оценкам дано малое число, но вес у них остался. Нужна −∞."),
        (lambda scores: scores.softmax(-1) * ~_is_later(scores), "Веса обнулены после softmax, и сумма строки уже не 1: "
         "маску ставят до него."),
        (lambda scores: scores.masked_fill(_is_later(scores).mT, -INF).softmax(-1), "Закрыто прошлое, а не будущее."),
        (partial(_causal, axis=-2), "softmax взят по столбцам: веса строки должны давать в сумме 1."),
        (lambda scores: scores.masked_fill(_is_later(scores), -INF), "Это ещё оценки: забыт softmax."),
        (lambda scores: scores.softmax(-1), "Будущее видно: маски нет."),
    ],
    forbidden=("scaled_dot_product_attention", "attention", "cells"),
)  # fmt: skip


# 09.3: two steps as one


def _pairs(draw: Draw, kind: str = "") -> dict:
    """Two steps h → a h + b; the `kind` leaves only one thing to be right about."""
    a_1, b_1, a_2, b_2 = (draw(2, 3) for _ in range(4))
    if kind == "factors":
        b_1, b_2 = torch.zeros_like(b_1), torch.zeros_like(b_2)
    if kind == "sums":
        a_1, a_2 = torch.ones_like(a_1), torch.ones_like(a_2)
    if kind == "forget":
        a_2 = torch.zeros_like(a_2)
    return {"first": (a_1, b_1), "then": (a_2, b_2)}


def _combine(first, then):
    """What the two steps make of 0 and of 1 says what they are together."""
    (a_1, b_1), (a_2, b_2) = first, then
    of_zero, of_one = (a_2 * (a_1 * h + b_1) + b_2 for h in (0, 1))
    return of_one - of_zero, of_zero


def _combined(make):
    """A mistake from its formula in a₁, b₁, a₂, b₂."""
    return lambda first, then: make(*first, *then)


COMBINE = Exercise(
    skeleton="""
def my_combine(first, then):
    (a_1, b_1), (a_2, b_2) = first, then
    return ...
""",
    inputs=_pairs,
    reference=_combine,
    cases=[
        Case("прибавлять нечего: b₁ = b₂ = 0", "Тогда два шага умножают h на a₁, потом на a₂; прибавка осталась нулём.",
             settings={"kind": "factors"}),
        Case("множители — единицы", "Тогда прибавки складываются, b₁ + b₂, а множитель остаётся единицей.",
             settings={"kind": "sums"}),
        Case("второй шаг всё забывает: a₂ = 0", "Тогда от первого шага не остаётся ничего: множитель 0, прибавка b₂.",
             settings={"kind": "forget"}),
        Case("любые шаги", "Подставьте h₁ = a₁ h₀ + b₁ в h₂ = a₂ h₁ + b₂ и раскройте скобки."),
    ],
    mistakes=[
        (_combined(lambda a, b, c, d: (a * c, a * d + b)), "Шаги переставлены: первый выполняется раньше, и на a₂ "
         "умножается то, что он сделал."),
        (_combined(lambda a, b, c, d: (a * c, b + d)), "Прибавки просто сложены, но прибавку первого шага второй "
         "умножил на a₂."),
        (_combined(lambda a, b, c, d: (a + c, c * b + d)), "Множители двух шагов перемножаются, а не складываются."),
        (_combined(lambda a, b, c, d: (c, c * b + d)), "Множитель первого шага потерян: h₀ умножили на оба."),
        (_combined(lambda a, b, c, d: (c * b + d, a * c)), "Порядок в ответе: сначала множитель, потом прибавка."),
        (_combined(lambda a, b, c, d: (a * c, c * (b + d))), "b₂ прибавляют после умножения на a₂: второй раз её "
         "никто не умножает."),
        (_combined(lambda a, b, c, d: (a * c, a * b + d)), "Прибавку b₁ умножили на a₁, а её умножает второй шаг: a₂ b₁."),
    ],
    forbidden=("combine", "cells"),
)  # fmt: skip


# 09.4: the rounds of the scan


def _steps(draw: Draw, time: int = 7) -> dict:
    return {"a": draw(time, 3), "b": draw(time, 3)}


def _rounds(a, b, *, grow=lambda step: 2 * step, last=lambda step, time: step < time, swap=False, keep_a=False,
            add=False):  # fmt: skip
    """b after each round of doubling, with one thing spoilt."""
    step, found, first_a = 1, [], a
    while last(step, len(a)):
        a_1, b_1, a_2, b_2 = a[:-step], b[:-step], a[step:], b[step:]
        joined = a_1 * b_2 + b_1 if swap else b_1 + b_2 if add else a_2 * b_1 + b_2
        b = torch.cat([b[:step], joined])
        a = first_a if keep_a else torch.cat([a[:step], a_2 * a_1])
        found.append(b)
        step = grow(step)
    return found


def _in_place(a, b):
    """Each place takes the one before as it already is in this round, not as it was."""
    step, found, a, b = 1, [], a.clone(), b.clone()
    while step < len(a):
        for t in range(step, len(a)):
            b[t] = a[t] * b[t - step] + b[t]
            a[t] = a[t] * a[t - step]
        found.append(b.clone())
        step *= 2
    return found


SCAN = Exercise(
    skeleton="""
def my_rounds(a, b):
    step, rounds = 1, []
    while step < len(a):
        ...
    return rounds
""",
    inputs=_steps,
    reference=_rounds,
    cases=[
        Case("один шаг", "Складывать не с чем: кругов нет, список пуст.", settings={"time": 1}),
        Case("два шага", "Круг один: второй шаг присоединяет первый, b₂ ← a₂ b₁ + b₂, а первый остаётся как был.",
             settings={"time": 2}),
        Case("четыре шага", "Кругов два: на втором каждый шаг присоединяет стоящий на два места раньше — со всем, что "
             "тот уже собрал.", settings={"time": 4}),
        Case("семь шагов", "step удваивается, пока он меньше числа шагов; a и b меняются в каждом круге."),
    ],
    mistakes=[
        (partial(_rounds, keep_a=True), "Множители остались прежними: в каждом круге меняются и b, и a ← a₂ a₁."),
        (partial(_rounds, grow=lambda step: step + 1), "step растёт на единицу, а должен удваиваться."),
        (partial(_rounds, last=lambda step, time: 2 * step <= time), "Последнего круга не хватает: идти, пока step меньше "
         "числа шагов."),
        (partial(_rounds, swap=True), "Шаги переставлены: раньше стоит тот, что на step мест левее."),
        (partial(_rounds, add=True), "Прибавки просто сложены: прибавку раннего шага умножают на a позднего."),
        (_in_place, "Шаг берёт соседа таким, каким тот стал уже в этом круге. Все пары складываются разом, из прежних "
         "a и b."),
        (lambda a, b: _rounds(a, b)[-1:], "Нужен список по кругам, а не только последний круг."),
        (lambda a, b: [b, *_rounds(a, b)], "В списке лишнее начало: b до первого круга в ответ не входит."),
    ],
    forbidden=("scan",),
    points=3,
)  # fmt: skip


# 09.5: parity by one number, whose step sees one bit


def _bits(draw: Draw, kind: str = "", time: int = 9) -> dict:
    x = draw.whole(0, 1, 4, time)
    if kind in ("zeros", "one"):
        x[:] = 0
    if kind == "one":
        x[:, 2] = 1
    if kind == "two":
        x[:], x[:, 1:3] = 0, 1
    return {"x": x.to(draw.dtype)}


def _ask_parity(function, x):
    """h of the linear net whose a and b are told bit by bit, and whether |a| ≤ 1."""
    h, seen, kept = torch.zeros_like(x[:, 0]), [], True
    for t in range(x.shape[1]):
        answer = function(x[:, t])
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            return answer
        a, b = (torch.as_tensor(part, dtype=x.dtype).expand_as(h) for part in answer)
        kept = kept and bool((a.abs() <= 1).all())
        h = a * h + b
        seen.append(h)
    return [torch.stack(seen, 1), kept]


PARITY = Exercise(
    skeleton="""
def my_parity(x):
    ...
    return a, b
""",
    inputs=_bits,
    reference=lambda x: (1 - 2 * x, x),
    ask=_ask_parity,
    cases=[
        Case("одни нули", "Нуль ничего не меняет: h остаётся нулём, значит при x = 0 прибавки нет.",
             settings={"kind": "zeros"}),
        Case("одна единица", "Единица делает из нуля единицу, а следующие нули её хранят: при x = 0 множитель 1.",
             settings={"kind": "one"}),
        Case("две единицы подряд", "Вторая единица должна вернуть h к нулю: a·1 + b = 0.", settings={"kind": "two"}),
        Case("любые биты", "При x = 1 шаг превращает 0 в 1, а 1 в 0. При x = 0 не меняет ничего."),
    ],
    mistakes=[
        (lambda x: (torch.ones_like(x), x), "Это счётчик: единицы складываются. Чётность после двух возвращается к нулю."),
        (lambda x: (1 - x, x), "Множитель от 0 до 1: единица стирает прошлое и ставит 1. Вторую от первой ей не "
         "отличить: чем возвратить h к нулю?"),
        (lambda x: (1 - 2 * x, torch.zeros_like(x)), "Знак меняется, но у нуля знака нет: без прибавки h навсегда нуль."),
        (lambda x: (-torch.ones_like(x), x), "Знак меняет и нуль: при x = 0 шаг должен ничего не делать."),
        (lambda x: (x, 1 - x), "Нуль и единица переставлены."),
        (lambda x: (torch.zeros_like(x), x), "Прошлое стёрто: h — это последний бит."),
        (lambda x: (2 * x - 1, 1 - x), "Нуль и единица переставлены."),
        (lambda x: (1 - 2 * x, -x), "Знак прибавки: чётность — 0 или 1, а вышло 0 или −1."),
    ],
    points=2,
)  # fmt: skip


# 09.6: the delta rule, write after write


def _writes(draw: Draw, kind: str = "", time: int = 6) -> dict:
    """Keys of length 1: orthogonal, or one and the same, or any; `half`: a share in (0, 1)."""
    K, V, beta = normalize(draw(time, 4), dim=1), draw(time, 3), draw(time).sigmoid()
    if kind in ("one", "fresh"):
        K = torch.linalg.qr(draw(4, 4)).Q[: 1 if kind == "one" else 4]
    if kind == "again":
        K = K[:1].expand(3, -1).clone()
    if kind:
        beta = torch.ones_like(beta)
    return {"K": K, "V": V[: len(K)], "beta": beta[: len(K)]}


def _written(K, V, beta, *, whole=False, partly=False, sign=1, clean=False, late=False):
    S = torch.zeros(V.shape[1], K.shape[1], dtype=K.dtype)
    for k, v, b in zip(K, V, beta, strict=True):
        old = S @ k
        if late:  # what is read is what has just been added
            old = (S + torch.outer(v, k)) @ k
        b_v, b_old = (1 if whole else b), (1 if whole or partly else b)
        S = (0 if clean else S) + torch.outer(b_v * v - sign * b_old * old, k)
    return S


def _by_householder(K, V, beta):
    S = torch.zeros(V.shape[1], K.shape[1], dtype=K.dtype)
    for k, v, b in zip(K, V, beta, strict=True):
        S = S @ (torch.eye(len(k), dtype=k.dtype) - b * k[:, None] * k) + b * v[:, None] * k
    return S


MEMORY = Exercise(
    skeleton="""
def my_memory(K, V, beta):
    S = torch.zeros(V.shape[1], K.shape[1], dtype=K.dtype)
    for k, v, b in zip(K, V, beta):
        ...
    return S
""",
    inputs=_writes,
    reference=_by_householder,
    cases=[
        Case("одна запись", "В пустой памяти S — внешнее произведение: строки — числа из v, столбцы — из k.",
             settings={"kind": "one"}),
        Case("четыре перпендикулярных ключа", "Перпендикулярные ключи друг другу не мешают: записи складываются.",
             settings={"kind": "fresh"}),
        Case("один ключ трижды", "Под тем же ключом остаётся последнее значение: из v вычитают прежнее S k.",
             settings={"kind": "again"}),
        Case("доля b меньше единицы", "Заменяется доля b прежнего: S + b (v − S k) kᵀ."),
    ],
    mistakes=[
        (lambda K, V, beta: (beta[:, None] * V).T @ K, "Записи просто складываются: прежнее под этим ключом не стёрто."),
        (partial(_written, whole=True), "Доля b не использована: заменяется не всё, а её часть."),
        (partial(_written, partly=True), "Доля b стоит только у нового значения: на неё умножают всю разность v − S k."),
        (partial(_written, sign=-1), "Знак: прежнее значение вычитают, а не прибавляют."),
        (partial(_written, clean=True), "Вся прежняя память стёрта: S должно остаться слагаемым."),
        (partial(_written, late=True), "Прежнее прочитано после записи: сначала old = S @ k, потом всё остальное."),
        (lambda K, V, beta: _by_householder(K, V, beta).flip(1), "Столбцы памяти переставлены."),
    ],
    forbidden=("delta_rule", "cells"),
    points=2,
)  # fmt: skip


EXERCISES = {
    "09.1": ATTENTION,
    "09.2": CAUSAL,
    "09.3": COMBINE,
    "09.4": SCAN,
    "09.5": PARITY,
    "09.6": MEMORY,
}
