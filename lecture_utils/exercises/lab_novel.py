"""Exercises of 07: a novel by words, from the vocabulary to an honest score."""

import math
from collections import Counter
from functools import partial

import torch
from torch import Tensor, nn

from lecture_utils.batching import Batch, StreamBatches
from lecture_utils.exercises.engine import Case, Draw, Exercise
from lecture_utils.exercises.lab_names import Asked
from lecture_utils.metrics import perplexity
from lecture_utils.models import each_part
from lecture_utils.sampling import choice_probs
from lecture_utils.training import Plan, evaluate, train
from lecture_utils.vocabulary import UNK, Vocabulary

WORDS = "дом лес царь лиса меч сова река кот".split()


def _shuffled(draw: Draw, items: list) -> list:
    return [items[k] for k in draw(len(items)).argsort().tolist()]


# 07.1: a vocabulary with ⟨unk⟩


def _vocabulary_inputs(draw: Draw, counts=(4, 3, 3, 2, 2, 1, 1), least=2, strangers=1) -> dict:
    pool = _shuffled(draw, WORDS)
    seen = dict(zip(pool, counts, strict=False))
    again = _shuffled(draw, [word for word, n in seen.items() for _ in range(n - 1)])
    train_words = [*sorted(seen, reverse=True), *again]  # met in another order than the alphabet
    words = _shuffled(draw, [*seen, *pool[len(counts) : len(counts) + strangers]])
    return {"train": train_words, "words": words, "min_count": least}


def _numbered(train, words, min_count, *, key=None, first=1, more=0, also=False, other=0):
    """Numbers of the words, with one thing spoilt; `other` None leaves the unknown out."""
    counts = Counter([*train, *words] if also else train)
    kept = [word for word in counts if counts[word] >= min_count + more]
    order = sorted(kept, key=key(counts, train) if key else lambda w: (-counts[w], w))
    index = {word: number for number, word in enumerate(order, first)}
    other = len(index) + first if other == "last" else other
    return [index.get(word, other) for word in words if other is not None or word in index]


ENCODE = Exercise(
    skeleton="""
def my_encode(train, words, min_count):
    ...
""",
    inputs=_vocabulary_inputs,
    reference=lambda train, words, min_count: Vocabulary.build(
        train, min_count=min_count
    ).encode(words),
    cases=[
        Case("все слова знакомы", "Номер 0 занят ⟨unk⟩; дальше слова по убыванию частоты, при равной — "
             "по алфавиту.", settings={"counts": (4, 3, 3, 2, 1), "least": 1, "strangers": 0}),
        Case("есть слово, которого не было", "Слово не из обучающей части — это ⟨unk⟩, номер 0.",
             settings={"counts": (3, 2, 2, 1), "least": 1, "strangers": 2}),
        Case("min_count = 2", "В словарь входят слова, встреченные не меньше min_count раз; остальные — ⟨unk⟩."),
    ],
    mistakes=[
        (partial(_numbered, first=0), "Номер 0 принадлежит ⟨unk⟩, слова начинаются с 1."),
        (partial(_numbered, key=lambda counts, train: lambda w: w), "Порядок чисто алфавитный, а первыми должны "
         "идти частые слова."),
        (partial(_numbered, key=lambda counts, train: lambda w: (-counts[w], train.index(w))), "При равной частоте "
         "нужен алфавит, а здесь порядок, в каком слова встретились (так делает most_common)."),
        (partial(_numbered, key=lambda counts, train: lambda w: (counts[w], w)), "Порядок обратный: "
         "первыми должны идти частые слова."),
        (partial(_numbered, also=True), "Словарь построен и по тем словам, которые кодируются: так сеть "
         "подсмотрела бы проверочную часть. Считайте только train."),
        (partial(_numbered, more=1), "Взяты слова чаще min_count раз, а нужно не меньше: ≥, а не >."),
        (partial(_numbered, more=-9), "min_count не участвует: редкие слова должны стать ⟨unk⟩."),
        (partial(_numbered, other=None), "Незнакомые слова пропали: каждому слову нужен номер, им — 0."),
        (partial(_numbered, other="last"), "Незнакомому слову достался последний номер, а у ⟨unk⟩ он 0."),
    ],
    forbidden=("Vocabulary",),
    points=2,
)  # fmt: skip


# 07.2: windows of parallel streams


def _stream_inputs(draw: Draw, length: int = 0, batch_size: int = 2, seq_len: int = 3) -> dict:
    length = length or batch_size * draw.whole(2 * seq_len, 3 * seq_len) + draw.whole(0, 1)
    return {"ids": draw.whole(0, 99, length), "batch_size": batch_size, "seq_len": seq_len}


def _right_windows(ids, batch_size, seq_len):
    batches = StreamBatches(ids, batch_size, seq_len)
    return [tuple(batches.batch(0, k)[:2]) for k in range(len(batches))]


def _windows(ids, batch_size, seq_len, *, rows=None, y=None, short=True, wrap=False):
    """Windows with one thing spoilt; `rows` cuts a text into streams, `y` makes the targets."""
    length = (len(ids) - (not wrap)) // batch_size
    rows = rows or (lambda text: text[: batch_size * length].view(batch_size, length))
    inputs = rows(ids)
    targets = y(inputs) if y else rows(ids.roll(-1))
    last = length if short else length - length % seq_len
    cuts = [slice(k, k + seq_len) for k in range(0, last, seq_len)]
    return [(inputs[:, cut], targets[:, cut]) for cut in cuts]


def _interleaved(ids, batch_size, seq_len):
    length = (len(ids) - 1) // batch_size
    rows = lambda text: text[: batch_size * length].view(length, batch_size).T
    return _windows(ids, batch_size, seq_len, rows=rows)


def _without_next(ids, batch_size, seq_len):
    """Each window by itself: its last word is only a target."""
    pairs = _windows(ids, batch_size, seq_len)
    return [(x[:, :-1], x[:, 1:]) for x, _ in pairs]


def _row_after_row(ids, batch_size, seq_len):
    """The text goes on in the next row of the same window."""
    length = (len(ids) - 1) // (batch_size * seq_len) * seq_len * batch_size
    shape = (-1, batch_size, seq_len)
    x, y = ids[:length].view(shape), ids[1 : length + 1].view(shape)
    return list(zip(x, y, strict=True))


def _each_by_itself(ids, batch_size, seq_len):
    """The text is cut into streams first, so that the last word of each is only a target."""
    length = len(ids) // batch_size
    streams = ids[: batch_size * length].view(batch_size, length)
    x, y = streams[:, :-1].split(seq_len, 1), streams[:, 1:].split(seq_len, 1)
    return list(zip(x, y, strict=True))


STREAMS = Exercise(
    skeleton="""
def my_windows(ids, batch_size, seq_len):
    windows = []
    ...
    return windows
""",
    inputs=_stream_inputs,
    reference=_right_windows,
    cases=[
        Case("один поток, одно окно", "Цель — вход, сдвинутый на слово; последнее слово текста — только цель.",
             settings={"length": 5, "batch_size": 1, "seq_len": 4}),
        Case("один поток, два окна", "Последнее окно бывает короче, но выбрасывать его нельзя. Последняя цель "
             "окна — первое слово следующего.", settings={"length": 6, "batch_size": 1, "seq_len": 3}),
        Case("два потока, одно окно", "Поток — кусок текста подряд: первая половина в строке 0, вторая — в строке 1.",
             settings={"length": 9, "batch_size": 2, "seq_len": 4}),
        Case("длина делится на число потоков", "Последнему слову нужна цель, поэтому в потоке "
             "(len(ids) − 1) // batch_size слов; лишнее отбросьте.",
             settings={"length": 16, "batch_size": 2, "seq_len": 4}),
        Case("длинный текст", "Строка k следующего окна продолжает строку k прежнего."),
    ],
    mistakes=[
        (partial(_windows, y=lambda x: x), "Цель не сдвинута: она совпала со входом."),
        (partial(_windows, wrap=True), "Последняя цель завернулась к началу текста: взять её неоткуда, поэтому "
         "последнее слово — только цель."),
        (partial(_windows, y=lambda x: x.roll(-1, 1)), "Последняя цель потока завернулась к его началу, а нужно "
         "настоящее следующее слово."),
        (_each_by_itself, "Последнее слово каждого потока стало только целью, а цель ему — первое слово следующего: "
         "сдвигайте текст до того, как резать на потоки."),
        (partial(_windows, short=False), "Последнее, короткое окно потеряно."),
        (_interleaved, "Слова разложены по строкам вперемежку, а поток — это кусок текста подряд."),
        (_without_next, "В каждом окне потеряна последняя цель: это первое слово следующего окна."),
        (_row_after_row, "Текст продолжается в следующей строке того же окна, а должен — в той же строке "
         "следующего: иначе состояние не перенести."),
    ],
    forbidden=("StreamBatches",),
    points=3,
)  # fmt: skip


# 07.3: perplexity over windows of different lengths


def _nats_inputs(draw: Draw, sizes: tuple = (6, 2, 3)) -> dict:
    return {"nats": [0.3 + draw(n).abs() for n in sizes]}


def _mean(nats):
    return torch.cat(nats).mean()


PERPLEXITY = Exercise(
    skeleton="""
def my_text_perplexity(nats):
    return ...
""",
    inputs=_nats_inputs,
    reference=lambda nats: perplexity(torch.cat(nats).numpy()),
    cases=[
        Case("одно слово", "Перплексия — экспонента среднего: для одного слова exp(−ln p) = 1/p.",
             settings={"sizes": (1,)}),
        Case("одно окно", "Сначала среднее, потом exp.", settings={"sizes": (4,)}),
        Case("окна разной длины", "Среднее берут по всем словам сразу: короткое окно весит меньше длинного."),
    ],
    mistakes=[
        (lambda nats: torch.stack([part.mean() for part in nats]).mean().exp(), "Усреднены средние окон: слова "
         "короткого окна так весят больше других."),
        (lambda nats: torch.stack([part.mean().exp() for part in nats]).mean(), "Усреднены перплексии окон, а "
         "усредняют логарифмы."),
        (lambda nats: torch.cat(nats).exp().mean(), "Порядок: сначала среднее, потом exp."),
        (_mean, "Это потери, среднее −ln p. Не хватает exp."),
        (lambda nats: 2 ** _mean(nats), "Логарифм натуральный: основание e, а не 2."),
        (lambda nats: (-_mean(nats)).exp(), "Лишний минус: в nats уже лежит −ln p."),
        (lambda nats: sum(part.sum() for part in nats).exp(), "Это 1/p всего текста: сумму надо поделить "
         "на число слов."),
        (lambda nats: (sum(part.sum() for part in nats) / len(nats)).exp(), "Сумма поделена на число окон, "
         "а надо — на число слов."),
    ],
    forbidden=("metrics",),
)  # fmt: skip


# 07.4: truncated training over windows


def _train_inputs(draw: Draw, sizes: tuple = (3, 3, 2), clip: float = 0.3) -> dict:
    windows = [(draw.whole(0, 6, 2, n), draw.whole(0, 6, 2, n)) for n in sizes]
    return {"windows": windows, "clip": clip, "seed": draw.whole(0, 10**6)}


def _ask_train(function, windows, clip, seed):
    """The losses and the weights of an LSTM drawn from a seed."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(7, 3), nn.Linear(4, 7)
            self.rnn = nn.LSTM(3, 4, batch_first=True)

        def forward(self, x, state=None):
            h, state = self.rnn(3 * self.embedding(x), state)
            return (5 * self.head(h)).log_softmax(-1), state

    torch.manual_seed(seed)
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    losses = function(net, optimizer, windows, clip)
    if not isinstance(losses, list | tuple):
        return losses
    with_graph = any(isinstance(loss, torch.Tensor) and loss.requires_grad for loss in losses)
    told = "тензоры вместе с графом" if with_graph else list(losses)
    return [told, torch.cat([weight.detach().flatten() for weight in net.parameters()])]


class _Given(StreamBatches):
    """Windows cut already, for the loops of the library."""

    def __init__(self, windows):
        self.windows, self.seq_len, self.tokens = windows, 1, ()
        self.x, self.y = (torch.cat(parts, 1) for parts in zip(*windows, strict=True))

    def __len__(self) -> int:
        return len(self.windows)

    def batch(self, epoch: int, number: int) -> Batch:
        """Window `number`."""
        return Batch(*self.windows[number])


def _by_library(net, optimizer, windows, clip):
    batches = _Given(windows)
    return train(Asked(net), batches, optimizer, Plan(len(windows), clip=clip)).loss


def _trained(
    net,
    optimizer,
    windows,
    clip,
    *,
    forget=True,
    clip_by=nn.utils.clip_grad_norm_,
    carry=Tensor.detach,
    step=True,
    number=Tensor.item,
    mean=Tensor.mean,
):
    """Training over windows with one thing spoilt; without `carry` every window starts anew."""
    state, losses = None, []
    for x, y in windows:
        log_probs, state = net(x, each_part(state, carry) if carry else None)
        loss = mean(-log_probs.gather(-1, y[..., None]))
        if forget:
            optimizer.zero_grad()
        loss.backward()
        clip_by(net.parameters(), clip)
        if step:
            optimizer.step()
        losses.append(number(loss))
    return losses


def _trained_at_once(net, optimizer, windows, clip):
    """One step on the sum over the windows: the graph is not cut."""
    state, losses = None, []
    for x, y in windows:
        log_probs, state = net(x, state)
        losses.append(-log_probs.gather(-1, y[..., None]).mean())
    optimizer.zero_grad()
    sum(losses).backward()
    nn.utils.clip_grad_norm_(net.parameters(), clip)
    optimizer.step()
    return [loss.item() for loss in losses]


TRAIN = Exercise(
    skeleton="""
def my_train(net, optimizer, windows, clip):
    state, losses = None, []
    for x, y in windows:
        ...
    return losses
""",
    inputs=_train_inputs,
    reference=_by_library,
    ask=_ask_train,
    cases=[
        Case("одно окно, большой порог", "В окне пять дел: вперёд, забыть, назад, отсечь, шаг. Потери — "
             "среднее −ln p по всем словам окна.", settings={"sizes": (3,), "clip": 1e6}),
        Case("одно окно, малый порог", "Градиент не отсечён: clip_grad_norm_ зовут после backward и до step.",
             settings={"sizes": (3,), "clip": 0.01}),
        Case("два окна", "Второе окно начинает с состояния, которым кончилось первое; градиенты первого "
             "забыты, веса уже сдвинуты.", settings={"sizes": (3, 3)}),
        Case("три окна, последнее короче", "Потери записывают для каждого окна свои."),
    ],
    mistakes=[
        (partial(_trained, carry=None), "Состояние не перенесено (или обнулено): каждое окно начинает с нуля, "
         "будто текст начался заново."),
        (partial(_trained, forget=False), "Старые градиенты не забыты: перед backward нужен optimizer.zero_grad()."),
        (partial(_trained, clip_by=lambda weights, clip: None), "Градиент не отсечён: clip_grad_norm_ зовут "
         "после backward и до step."),
        (partial(_trained, clip_by=nn.utils.clip_grad_value_), "Отсечено каждое число по отдельности: нужна норма, "
         "clip_grad_norm_."),
        (partial(_trained, step=False), "Веса не изменились: step забыт или стоит до backward."),
        (partial(_trained, mean=Tensor.sum), "Потери — сумма, а нужно среднее по словам окна."),
        (partial(_trained, number=lambda loss: loss), "Потери сложены вместе с графом: память переполнится. "
         "Нужны числа, loss.item()."),
        (_trained_at_once, "Шаг один на все окна, а нужен после каждого; историю же отрезают в начале окна."),
        (lambda net, optimizer, windows, clip: _trained(net, optimizer, windows, clip)[-1:], "Вернулись потери "
         "лишь последнего окна, а нужен список по всем."),
    ],
    points=3,
)  # fmt: skip


# 07.5: the nucleus


def _nucleus_inputs(draw: Draw, p: float = 0.6, sharp: float = 1.5) -> dict:
    return {"probs": torch.softmax(sharp * draw(9), -1), "p": p}


def _nucleus(probs, p, *, more=1, scale=True, order=True, place=True, count=None):
    """A nucleus with one thing spoilt; `more` words after those that do not reach p."""
    ranked, where = probs.sort(descending=order)
    n = int((ranked.cumsum(0) < p).sum()) + more if count is None else count(p)
    kept = ranked * (torch.arange(len(probs)) < n)
    kept = kept / (p if scale == "by p" else kept.sum()) if scale else kept
    return torch.zeros_like(probs).scatter(0, where, kept) if place else kept


def _in_table_order(probs, p):
    kept = probs * (probs.cumsum(0) - probs < p)
    return kept / kept.sum()


NUCLEUS = Exercise(
    skeleton="""
def my_nucleus(probs, p):
    ...
""",
    inputs=_nucleus_inputs,
    reference=lambda probs, p: choice_probs(probs.log(), top_p=p),
    cases=[
        Case("p = 0,05: хватает одного слова", "Самое вероятное слово остаётся всегда: на нём сумма и достигла p.",
             settings={"p": 0.05}),
        Case("p = 1", "Остаются все слова: распределение не меняется.", settings={"p": 1.0, "sharp": 0.7}),
        Case("p = 0,6", "Слова от вероятных к редким, пока сумма не достигнет p; слово, на котором достигла, "
             "остаётся. Потом разделите на оставшуюся сумму."),
    ],
    mistakes=[
        (partial(_nucleus, more=0), "Потеряно слово, на котором сумма переходит через p: без него доли p не набрать."),
        (partial(_nucleus, more=2), "Оставлено одно лишнее слово: сумма достигла p раньше."),
        (partial(_nucleus, scale="by p"), "Поделено на p, а оставшаяся сумма обычно больше p: разделите на неё."),
        (partial(_nucleus, scale=False), "Оставлены верные слова, но сумма уже не 1: разделите на неё."),
        (partial(_nucleus, order=False), "Порядок обратный: начинать надо с самых вероятных."),
        (partial(_nucleus, place=False), "Слова остались в порядке вероятности: верните их на свои места "
         "(scatter или обратная перестановка)."),
        (_in_table_order, "Сумма копится в порядке словаря: сначала отсортируйте по убыванию."),
        (lambda probs, p: torch.where(probs >= p, probs, 0) / torch.where(probs >= p, probs, 0).sum(),
         "Порог p применён к каждому слову, а он — для суммы."),
        (partial(_nucleus, count=lambda p: max(1, round(9 * p))), "Оставлена доля p слов словаря (это top-k), а нужна доля "
         "вероятности."),
    ],
    forbidden=("choice_probs", "sampling"),
    points=2,
)  # fmt: skip


# 07.6: a word of the prompt, with е for ё

FORMS = {"лёд": "лед", "мёд": "мед", "ёлка": "елка", "Ёж": "Еж", "Ёлка": "Елка", "звёзды": "звезды"}


def _prompt_inputs(draw: Draw, kind: str = "all") -> dict:
    with_yo = _shuffled(draw, [word for word in FORMS if word[0] != "Ё"])
    known = [*WORDS[:3], with_yo[0], FORMS[with_yo[0]], *(FORMS[word] for word in with_yo[1:])]
    known += [FORMS["Ёж"], FORMS["Ёлка"]]
    index = {word: number for number, word in enumerate(_shuffled(draw, [UNK, *known]))}
    words = {
        "plain": WORDS[:3],
        "own": [WORDS[0], with_yo[0], FORMS[with_yo[0]]],
        "е": [with_yo[1], WORDS[1], with_yo[2]],
        "Е": ["Ёж", WORDS[2], "Ёлка"],
        "strange": ["Телефон", WORDS[0], "счёт", "Кот"],
        "all": [with_yo[1], "Ёж", "Дом", with_yo[0], *WORDS[:2]],
    }[kind]
    return {"index": index, "words": _shuffled(draw, words)}


def _found(index, words, *, exact=True, small=True, great=True, change=str, strange=None):
    """Numbers of the words with one thing spoilt."""
    other, found = index[UNK] if strange is None else strange, []
    for word in map(change, words):
        plain = word.replace("ё", "е") if small else word
        plain = plain.replace("Ё", "Е") if great else plain
        found.append(index[word] if exact and word in index else index.get(plain, other))
    return found


FIND = Exercise(
    skeleton="""
def my_read(index, words):
    ...
""",
    inputs=_prompt_inputs,
    reference=lambda index, words: Vocabulary(sorted(index, key=index.get)).encode(words),
    cases=[
        Case("слова без «ё»", "Слово из словаря — его номер.", settings={"kind": "plain"}),
        Case("в словаре есть и «ё», и «е»", "Сначала ищите слово как есть: у «ё» может быть свой номер.",
             settings={"kind": "own"}),
        Case("в словаре только «е»", "Не нашли как есть — замените «ё» на «е» и поищите снова.",
             settings={"kind": "е"}),
        Case("заглавная «Ё»", "«Ё» тоже бывает: замените её на «Е».", settings={"kind": "Е"}),
        Case("незнакомые слова", "Не нашли ни так, ни так — номер ⟨unk⟩.", settings={"kind": "strange"}),
        Case("всё вместе", "Каждому слову — один номер, в том же порядке."),
    ],
    mistakes=[
        (partial(_found, exact=False), "«ё» заменена всегда: слово, которое есть в словаре с «ё», получило чужой номер."),
        (partial(_found, great=False), "Заглавная «Ё» забыта: замените и её."),
        (partial(_found, small=False, great=False), "Вторая попытка, с «е» вместо «ё», не сделана."),
        (partial(_found, change=str.lower), "Слова приведены к строчным, а словарь различает заглавные."),
        (partial(_found, strange=0), "Номер ⟨unk⟩ — index[\"⟨unk⟩\"], а не всегда 0."),
        (partial(_found, strange=-1), "Незнакомому слову нужен номер ⟨unk⟩, index[\"⟨unk⟩\"]."),
        (lambda index, words: [n for n in _found(index, words) if n != index[UNK]], "Незнакомые слова пропали: "
         "им нужен номер ⟨unk⟩."),
    ],
    forbidden=("Vocabulary",),
)  # fmt: skip


# 07.7, homework: an honest score


def _score_inputs(draw: Draw, sizes: tuple = (5, 5, 2), training: bool = False) -> dict:
    return {"windows": _train_inputs(draw, sizes)["windows"], "training": training,
            "seed": draw.whole(0, 10**6)}  # fmt: skip


def _ask_score(function, windows, training, seed):
    """The perplexity, in which mode the network was left, whether a graph was built."""
    import torch
    from torch import nn

    graphs = []

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(7, 3), nn.Linear(4, 7)
            self.rnn, self.dropout = nn.LSTM(3, 4, batch_first=True), nn.Dropout(0.5)

        def forward(self, x, state=None):
            graphs.append(torch.is_grad_enabled())
            h, state = self.rnn(3 * self.embedding(x), state)
            return (5 * self.head(self.dropout(h))).log_softmax(-1), state

    torch.manual_seed(seed)
    net = Net().train(training)
    score = function(net, windows)
    if score is None:
        return None
    mode = "режим прежний" if net.training == training else "сеть осталась в другом режиме"
    score = score.detach() if isinstance(score, torch.Tensor) else score
    return [float(score), mode, "с графом" if any(graphs) else "без графа"]


def _scored(net, windows, *, off=True, back=True, carry=True, graph=False, judge=None):
    """A score with one thing spoilt; `judge` makes a number of the nats of all windows."""
    was, state, nats = net.training, None, []
    net.train(net.training and not off)
    with torch.set_grad_enabled(graph):
        for x, y in windows:
            log_probs, state = net(x, state if carry else None)
            nats.append(-log_probs.gather(-1, y[..., None]).flatten())
    net.train(was if back is True else back == "train")
    return judge(nats) if judge else _mean(nats).exp()


SCORE = Exercise(
    skeleton="""
def my_score(net, windows):
    ...
""",
    inputs=_score_inputs,
    reference=lambda net, windows: math.exp(evaluate(Asked(net), _Given(windows))),
    ask=_ask_score,
    cases=[
        Case("одно окно", "Перплексия — exp среднего −ln p, граф для неё не нужен: torch.no_grad().",
             settings={"sizes": (4,)}),
        Case("два окна", "Второе окно продолжает первое: несите состояние.", settings={"sizes": (4, 4)}),
        Case("окна разной длины", "Среднее — по всем словам сразу, а не по окнам."),
        Case("сеть обучается (train)", "На время оценки выключите прореживание (eval), потом верните режим.",
             settings={"training": True}),
    ],
    mistakes=[
        (partial(_scored, off=False), "Прореживание не выключено: на время оценки нужен net.eval()."),
        (partial(_scored, back="eval"), "После оценки сеть осталась в режиме eval: обучение пошло бы дальше "
         "без прореживания. Верните режим, какой был."),
        (partial(_scored, back="train"), "Сеть всегда остаётся в режиме train, а вернуть надо тот, что был."),
        (partial(_scored, carry=False), "Состояние не перенесено: каждое окно начинает с нуля."),
        (partial(_scored, graph=True), "Построен граф: оберните оценку в torch.no_grad()."),
        (partial(_scored, judge=_mean), "Это потери, а перплексия — их exp."),
        (partial(_scored, judge=PERPLEXITY.mistakes[0][0]), "Усреднены средние окон: слова короткого окна так весят "
         "больше других."),
        (partial(_scored, judge=PERPLEXITY.mistakes[1][0]), "Усреднены перплексии окон, а усредняют логарифмы."),
    ],
    forbidden=("evaluate", "metrics"),
    points=3,
)  # fmt: skip


EXERCISES = {
    "07.1": ENCODE,
    "07.2": STREAMS,
    "07.3": PERPLEXITY,
    "07.4": TRAIN,
    "07.5": NUCLEUS,
    "07.6": FIND,
    "07.7": SCORE,
}
