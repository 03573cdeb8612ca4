"""Exercises of 06: names by letters, from the alphabet to the network that has learned them."""

from collections import Counter
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lecture_utils.batching import Batch, NameBatches, pad_names
from lecture_utils.exercises.engine import Case, Draw, Exercise
from lecture_utils.models import LanguageModel
from lecture_utils.sampling import choice_probs, generate
from lecture_utils.training import Plan, train
from lecture_utils.vocabulary import NAME_SPECIALS, Vocabulary

LETTERS = "абвгеёилмн-яюртс"


def _words(draw: Draw, count: int, of: int = 9) -> list[str]:
    """Names of three to seven letters."""
    ids = [draw.whole(0, of - 1, draw.whole(3, 7)).tolist() for _ in range(count)]
    return ["".join(LETTERS[-of:][k] for k in row) for row in ids]


# 06.1: the alphabet


def _alphabet_inputs(draw: Draw, kind: str = "names") -> dict:
    order = draw(len(LETTERS)).argsort().tolist()
    once = "".join(LETTERS[k] for k in order)
    often = [letter for k, letter in enumerate(sorted(once)) for _ in range(1 + k // 4)]
    mixed = "".join(often[k] for k in draw(len(often)).argsort().tolist())
    names = {"once": [once[:9], once[9:]], "often": [mixed], "names": _words(draw, 6)}[kind]
    return {"names": names, "specials": list(NAME_SPECIALS)}


def _ordered(key):
    """An alphabet whose letters are sorted by `key(letter, how often, name)`."""

    def alphabet(names, specials):
        text = "".join(names)
        counts = Counter(text)
        return [*specials, *sorted(counts, key=lambda a: key(a, counts[a], text))]

    return alphabet


_right_order = _ordered(lambda a, n, text: (-n, a))

ALPHABET = Exercise(
    skeleton="""
def my_alphabet(names, specials):
    return ...
""",
    inputs=_alphabet_inputs,
    reference=lambda names, specials: Vocabulary.build("".join(names), specials).tokens,
    cases=[
        Case("каждая буква по разу", "Сначала служебные символы, потом буквы; при равной частоте — "
             "по алфавиту. У set порядок при каждом запуске свой.", settings={"kind": "once"}),
        Case("частоты разные", "Чем чаще буква, тем меньше её номер.", settings={"kind": "often"}),
        Case("несколько имён", "Буквы считают по всем именам вместе."),
    ],
    mistakes=[
        (_ordered(lambda a, n, text: a), "Порядок чисто алфавитный, а первыми должны идти частые буквы."),
        (_ordered(lambda a, n, text: (n, a)), "Порядок обратный: первыми должны идти частые буквы."),
        (_ordered(lambda a, n, text: (-n, text.index(a))), "При равной частоте нужен алфавит, а здесь "
         "порядок, в котором буквы встретились (так делает most_common)."),
        (_ordered(lambda a, n, text: text.index(a)), "Буквы стоят в том порядке, в каком встретились: "
         "другой список имён — другие номера. Нужны частота и алфавит."),
        (lambda names, specials: _right_order(names, []), "Служебные символы забыты: они первые."),
        (lambda names, specials: [*_right_order(names, []), *specials],
         "Служебные символы должны стоять первыми, а не последними."),
        (lambda names, specials: [*specials, *dict.fromkeys(sorted("".join(names[:1])))],
         "Взято лишь первое имя, а буквы нужны всех имён."),
    ],
)  # fmt: skip


# 06.2: padding and mask


def _sequences(draw: Draw, lengths: tuple | None = None) -> dict:
    lengths = lengths or [draw.whole(3, 7) for _ in range(draw.whole(3, 4))] + [8, 2]
    return {"sequences": [[*draw.whole(4, 30, n).tolist(), 1] for n in lengths]}


_right_pad = pad_names


def _padded(change):
    def pad(sequences):
        return change(*_right_pad(sequences), sequences)

    return pad


def _whole(sequences) -> Tensor:
    longest = max(map(len, sequences))
    return torch.tensor([row + [0] * (longest - len(row)) for row in sequences])


PADDING = Exercise(
    skeleton="""
def my_pad(sequences):
    ...
    return x, y, mask
""",
    inputs=_sequences,
    reference=lambda sequences: tuple(pad_names(sequences)),
    cases=[
        Case("одно имя", "Вход — всё, кроме последнего символа, цель — всё, кроме первого.",
             settings={"lengths": (4,)}),
        Case("два имени одной длины", "Строка таблицы — одно имя; маска здесь всюду истинна.",
             settings={"lengths": (5, 5)}),
        Case("имена разной длины", "Дополните строки нулями справа; маска ложна там, где цель — "
             "заполнитель."),
    ],
    mistakes=[
        (_padded(lambda x, y, mask, s: (x, y, ~mask)), "Маска перевёрнута: истина там, где цель настоящая."),
        (_padded(lambda x, y, mask, s: (x, y, x != 0)), "Маска построена по входу, а нужна по цели: "
         "иначе в потери попадёт один заполнитель каждой строки."),
        (_padded(lambda x, y, mask, s: (x, x, mask)), "Цель не сдвинута: она совпала со входом."),
        (_padded(lambda x, y, mask, s: (y, x, mask)), "Вход и цель перепутаны: сеть угадывала бы прошлое."),
        (_padded(lambda x, y, mask, s: (x, y, torch.ones_like(mask))), "Маска всюду истинна: заполнитель "
         "попадёт в потери."),
        (_padded(lambda x, y, mask, s: (x * mask.roll(-1, 1), y, mask)), "Во входе потерян символ: x — это вся "
         "таблица без последнего столбца."),
        (_padded(lambda x, y, mask, s: (_whole(s), _whole(s), _whole(s) != 0)), "Сдвига нет: у входа убирают "
         "последний столбец, у цели — первый."),
        (_padded(lambda x, y, mask, s: (x, y.masked_fill(~mask, 1), mask)), "Заполнитель — нуль, а цель "
         "дополнена концом."),
        (_padded(lambda x, y, mask, s: (x.flip(1), y.flip(1), mask.flip(1))), "Порядок символов обратный."),
    ],
    forbidden=("pad_names", "NameBatches"),
    points=2,
)  # fmt: skip


# 06.3: the loss without padding


def _loss_inputs(draw: Draw, batch: int = 3, T: int = 5, padding: bool = True) -> dict:
    mask = torch.ones(batch, T, dtype=torch.bool)
    for k in range(batch if padding else 0):
        mask[k, 1 + k + draw.whole(0, 1) :] = False
    y = draw.whole(1, 6, batch, T) * mask
    return {"log_probs": torch.log_softmax(draw(batch, T, 7), -1), "y": y, "mask": mask}


def _masked_loss(log_probs, y, mask) -> Tensor:
    return F.nll_loss(*Batch(y, y, mask).targets(log_probs))


def _nats(log_probs, y) -> Tensor:
    return -log_probs.gather(-1, y[..., None])[..., 0]  # (batch, time)


def _row_means(log_probs, y, mask):
    return ((_nats(log_probs, y) * mask).sum(1) / mask.sum(1)).mean()


LOSS = Exercise(
    skeleton="""
def my_loss(log_probs, y, mask):
    return ...
""",
    inputs=_loss_inputs,
    reference=_masked_loss,
    cases=[
        Case("одна буква", "Потери — минус логарифм вероятности верного символа.",
             settings={"batch": 1, "T": 1, "padding": False}),
        Case("имена без заполнителя", "В каждой клетке возьмите ln p своей цели (gather) и усредните.",
             settings={"padding": False}),
        Case("имена с заполнителем", "Среднее только по клеткам, где маска истинна, и на их число поделите."),
    ],
    mistakes=[
        (lambda log_probs, y, mask: _nats(log_probs, y).mean(), "Заполнитель вошёл в среднее: маска забыта."),
        (lambda log_probs, y, mask: (_nats(log_probs, y) * mask).mean(), "Потери занижены: сумма лишь по маске, "
         "а поделена на все клетки. Делить надо на mask.sum()."),
        (lambda log_probs, y, mask: (_nats(log_probs, y) * mask).sum(), "Это сумма, а нужно среднее."),
        (_row_means, "Сначала усреднено по каждому имени: так короткое имя весит больше. Нужно среднее "
         "по всем символам сразу."),
        (lambda log_probs, y, mask: -_masked_loss(log_probs, y, mask), "Потерян минус: ln p отрицателен."),
        (lambda log_probs, y, mask: _nats(log_probs, y)[~mask].mean(), "Маска перевёрнута: усреднён заполнитель."),
        (lambda log_probs, y, mask: -log_probs[mask].max(-1)[0].mean(), "Взята вероятность лучшего символа, "
         "а нужна — верного."),
        (lambda log_probs, y, mask: _nats(log_probs.exp(), y)[mask].mean(), "Усреднены вероятности, "
         "а не логарифмы: exp здесь лишний."),
    ],
)  # fmt: skip


# 06.4: the network


def _network_inputs(draw: Draw, batch: int = 3, T: int = 5, half: int = 2) -> dict:
    vocab, embedding, hidden = 7, 3, 4
    gru = {"W": draw(3 * hidden, embedding), "R": draw(3 * hidden, hidden), "b": draw(3 * hidden)}
    weights = {"E": draw(vocab, embedding), **gru, "V": draw(vocab, hidden), "c": draw(vocab)}
    return {"x": draw.whole(0, vocab - 1, batch, T), "half": half, "weights": weights}


def _ask_network(network, x, half, weights):
    """ln p and the state of the whole, and of its second half read after the first."""
    from torch import nn

    V = weights["V"]
    net = network(*weights["E"].shape, V.shape[1]).to(V.dtype)
    places = {nn.Embedding: {"weight": "E"}, nn.Linear: {"weight": "V", "bias": "c"}}
    places[nn.GRU] = {
        "weight_ih_l0": "W",
        "weight_hh_l0": "R",
        "bias_ih_l0": "b",
        "bias_hh_l0": "b",
    }
    for kind, names in places.items():
        layers = [layer for layer in net.modules() if isinstance(layer, kind)]
        if len(layers) != 1:
            raise ValueError(f"слоёв nn.{kind.__name__} в сети {len(layers)}, а нужен один")
        for name, key in names.items():
            own = getattr(layers[0], name)
            if own is None or own.shape != weights[key].shape:
                shape = tuple(weights[key].shape)
                raise ValueError(f"у слоя nn.{kind.__name__} размер {name} не тот: нужен {shape}")
            own.data.copy_(weights[key])
    if not isinstance(answer := net(x), tuple):
        raise ValueError("forward должен вернуть двоих: ln p и новое состояние")
    if answer[1] is None:
        raise ValueError("forward должен вернуть новое состояние, а вернул None")
    if not half:
        return list(answer)
    _, state = net(x[:, :half])
    if getattr(state, "shape", None) != (1, len(x), V.shape[1]):
        return list(answer)  # there is nothing to go on with
    return [*answer, *net(x[:, half:], state)]


class _Letters(LanguageModel):
    """The form of the labs' models, with an embedding and a GRU."""

    def __init__(self, vocab_size: int, embedding_size: int, hidden_size: int):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.rnn = nn.GRU(embedding_size, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, vocab_size)

    def features(self, x: Tensor, state=None) -> tuple[Tensor, Tensor]:
        """Letters (batch, time) → states (batch, time, hidden), last state."""
        return self.rnn(self.embedding(x), state)


def _spoilt_letters(out=lambda o: o.log_softmax(-1), carry=True, first=True, last=True, mid=None):
    """A network with one thing spoilt."""

    class Spoilt(_Letters):
        def forward(self, x, state=None):
            self.rnn.batch_first = first
            s, new = self.features(x, state if carry else None)
            return out(self.head(mid(s) if mid else s)), new if last else s

    return Spoilt


NETWORK = Exercise(
    skeleton="""
class MyLetters(nn.Module):
    def __init__(self, vocab_size, embedding_size, hidden_size):
        super().__init__()
        ...

    def forward(self, x, state=None):
        ...
""",
    inputs=_network_inputs,
    reference=_Letters,
    ask=_ask_network,
    cases=[
        Case("одна буква", "По порядку: nn.Embedding, nn.GRU, nn.Linear, log_softmax по последней оси.",
             settings={"batch": 1, "T": 1, "half": 0}),
        Case("пакет имён", "Первая ось — номер имени: batch_first=True.", settings={"half": 0}),
        Case("две половины", "Прочитать имя в два приёма — то же, что сразу: передайте state слою GRU "
             "и верните то, что он вернул."),
    ],
    mistakes=[
        (_spoilt_letters(out=lambda o: o), "Это ещё оценки (logits): не хватает log_softmax."),
        (_spoilt_letters(out=lambda o: o.softmax(-1)), "Это вероятности, а нужны их логарифмы: log_softmax."),
        (_spoilt_letters(out=lambda o: o.log_softmax(1)), "Softmax взят по времени, а нужен по символам: "
         "последняя ось."),
        (_spoilt_letters(out=lambda o: o.log_softmax(0)), "Softmax взят по номеру имени, а нужен по символам: "
         "последняя ось."),
        (_spoilt_letters(first=False), "GRU приняла время за номер имени: забыто batch_first=True."),
        (_spoilt_letters(carry=False), "Состояние не дошло до слоя: GRU каждый раз начинает с нуля. "
         "Передайте ей state."),
        (_spoilt_letters(last=False), "Вернулись состояния всех шагов, а дальше нести надо последнее: "
         "второе, что возвращает GRU."),
        (_spoilt_letters(mid=torch.relu), "Лишняя функция между GRU и последним слоем."),
        (_spoilt_letters(mid=torch.tanh), "Лишняя функция между GRU и последним слоем: tanh в GRU уже есть."),
    ],
    forbidden=("LetterModel", "WordModel", "LanguageModel"),
    points=3,
)  # fmt: skip


# 06.5: one step of training


def _step_inputs(draw: Draw, calls: int = 2, padding: bool = True, clip: float = 0.05) -> dict:
    given = _loss_inputs(draw, padding=padding)
    x = draw.whole(1, 6, *given["y"].shape) * given["mask"]
    return {"x": x, "y": given["y"], "mask": given["mask"], "clip": clip, "calls": calls,
            "seed": draw.whole(0, 10**6)}  # fmt: skip


def _ask_step(function, x, y, mask, clip, calls, seed):
    """The losses and the weights after some steps of a network drawn from a seed."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(7, 3), nn.Linear(4, 7)
            self.rnn = nn.GRU(3, 4, batch_first=True)

        def forward(self, x, state=None):
            s, state = self.rnn(self.embedding(x), state)
            return self.head(s).log_softmax(-1), state

    torch.manual_seed(seed)
    net, losses = Net(), []
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    for _ in range(calls):
        loss = function(net, optimizer, x, y, mask, clip)
        with_graph = isinstance(loss, torch.Tensor) and loss.requires_grad
        losses.append("тензор вместе с графом" if with_graph else loss)
    if losses[0] is None:
        return None
    weights = torch.cat([weight.detach().flatten() for weight in net.parameters()])
    return [*losses, weights]


def _step(order, loss_of=_masked_loss, clip_by=nn.utils.clip_grad_norm_, number=Tensor.item):
    """A step whose parts are called in the `order` of their letters: zero, backward, clip, step."""

    def step(net, optimizer, x, y, mask, clip):
        loss = loss_of(net(x)[0], y, mask)
        parts = {"z": optimizer.zero_grad, "b": loss.backward, "s": optimizer.step}
        parts["c"] = lambda: clip_by(net.parameters(), clip)
        for letter in order:
            parts[letter]()
        return number(loss)

    return step


class Asked(LanguageModel):
    """A student's kind of network, which answers with ln p, as the library wants to ask it."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net, self.place = net, nn.Parameter(torch.zeros(1))
        self.train(net.training)

    def features(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        """What it answers."""
        return self.net(x, state)

    def log_probs(self, h: Tensor) -> Tensor:
        """They are the features."""
        return h

    def target_nats(self, h: Tensor, y: Tensor) -> Tensor:
        """−ln p of the targets."""
        return F.nll_loss(h, y, reduction="none")


def _library_step(net, optimizer, x, y, mask, clip):
    """One step of `train`."""
    batches = NameBatches([[0, 0]], batch_size=1)
    batches.batch = lambda epoch, number: Batch(x, y, mask)
    return train(Asked(net), batches, optimizer, Plan(1, clip=clip)).loss[0]


NO_MASK, SUM = LOSS.mistakes[0][0], LOSS.mistakes[2][0]
STEP = Exercise(
    skeleton="""
def my_training_step(net, optimizer, x, y, mask, clip):
    log_probs, _ = net(x)
    ...
    return loss.item()
""",
    inputs=_step_inputs,
    reference=_library_step,
    ask=_ask_step,
    cases=[
        Case("один шаг, большой порог", "Потери, backward, step: веса должны сдвинуться против градиента.",
             settings={"calls": 1, "padding": False, "clip": 1e6}),
        Case("один шаг, есть заполнитель", "В потери входят только клетки, где маска истинна.",
             settings={"calls": 1, "clip": 1e6}),
        Case("один шаг, малый порог", "Градиент не отсечён: clip_grad_norm_ зовут после backward и до step.",
             settings={"calls": 1}),
        Case("два шага подряд", "Второй шаг портят градиенты первого: забудьте их (zero_grad) до backward.",
             settings={"clip": 0.3}),
    ],
    mistakes=[
        (_step("zb"), "Веса не изменились: step забыт, стоит до backward — или градиенты стёрты перед ним."),
        (_step("bcs"), "Старые градиенты не забыты: перед backward нужен optimizer.zero_grad()."),
        (_step("zbs"), "Градиент не отсечён: clip_grad_norm_ зовут после backward и до step."),
        (_step("zbcs", NO_MASK), "В потери вошёл заполнитель: усредняйте только по маске."),
        (_step("zbcs", SUM), "Потери — сумма, а нужно среднее по символам."),
        (_step("zbcs", _row_means), "Усреднено по именам, а нужно по всем символам сразу."),
        (_step("zbcs", clip_by=nn.utils.clip_grad_value_), "Отсечено каждое число по отдельности: направление "
         "градиента изменилось. Нужна норма, clip_grad_norm_."),
        (_step("zbcs", number=lambda loss: loss), "Вернулся тензор вместе с графом: он держит в памяти весь "
         "шаг. Нужно число, loss.item()."),
        (_step("zbcs", lambda *a: -_masked_loss(*a)), "Потерян минус: вероятность верных букв так падает."),
    ],
    points=3,
)  # fmt: skip


# 06.6: a name, letter by letter


def _name_inputs(draw: Draw, length: int | None = None, limit: int = 9) -> dict:
    start = draw.whole(2, 6, draw.whole(2, 3)).tolist()
    extra = draw.whole(4, 6) if length is None else length
    weights = {"W": draw(4, 4), "U": draw(7, 4), "V": draw(7, 4)}
    return weights | {"length": len(start) + extra, "start": start, "end": 1, "limit": limit}


def _ask_name(function, W, U, V, length, start, end, limit):
    """Give the function a network that ends after `length` symbols; note how much it reads."""
    import torch
    from torch import nn

    read = []

    class Net(nn.Module):
        def forward(self, x, state=None):
            if x.ndim != 2:
                raise ValueError(f"сеть ждёт x размера (1, время), а дано {tuple(x.shape)}")
            s, n = state or (W.new_zeros(len(W)), 0)
            scores = []
            for symbol in x[0].tolist():
                s, n = torch.tanh(W @ s + U[symbol]), n + 1
                scores.append(V @ s)
                scores[-1][end] = 50 if n >= length else -50
            read.append(len(scores))
            return torch.stack(scores).log_softmax(-1)[None], (s, n)

    name = function(Net(), start, end, limit)
    if name is None:
        return None
    name = [int(symbol) for symbol in name]
    needed = len(start) + len(name)
    once = sum(read) <= needed + 1
    return [name, "прочитано по разу" if once else f"прочитано {sum(read)} вместо {needed}"]


def _name(
    net, start, end, limit, *, carry=True, stop=True, keep=0, whole=False, sign=1, new=True, at=-1
):
    """A name with one thing spoilt."""
    name, x, state = [], torch.tensor([start]), None
    for _ in range(limit):
        log_probs, state = net(x, state if carry and not whole else None)
        symbol = (sign * log_probs)[0, at].argmax().item()
        if stop and symbol == end:
            return name + [end] * keep
        name.append(symbol)
        x = torch.tensor([start + name if whole else [symbol]]) if new else x
    return name


def _generated(net, start, end, limit):
    """By the library: greedy, with the state carried."""
    ids = generate(Asked(net), torch.tensor([start]), limit, end=end, temperature=0)[0].tolist()
    return ids[: ids.index(end)] if end in ids else ids


NAME = Exercise(
    skeleton="""
def my_name(net, start, end, limit):
    name, x, state = [], torch.tensor([start]), None
    for _ in range(limit):
        ...
    return name
""",
    inputs=_name_inputs,
    reference=_generated,
    ask=_ask_name,
    cases=[
        Case("конец сразу после начала", "Выпал конец — имя готово; сам он в ответ не входит.",
             settings={"length": 0}),
        Case("одна буква", "Новую букву сеть читает вместе с прежним состоянием: net(x, state).",
             settings={"length": 1}),
        Case("конца всё нет", "Новых букв не больше limit: начало в счёт не идёт.", settings={"length": 50, "limit": 5}),
        Case("обычное имя", "Каждый раз берите самую вероятную букву последнего шага: log_probs[0, −1]."),
    ],
    mistakes=[
        (partial(_name, carry=False), "Состояние потеряно: сеть помнит лишь последнюю букву. Передавайте ей state."),
        (partial(_name, stop=False), "Конец не остановил порождение."),
        (partial(_name, keep=1), "Символ конца попал в имя: выходите из цикла до append."),
        (partial(_name, whole=True), "Имя верно, но начало каждый раз читается заново: несите состояние, "
         "и хватит одной новой буквы."),
        (partial(_name, sign=-1), "Взята самая невероятная буква: нужен argmax."),
        (partial(_name, at=0), "Буква выбрана после первого символа начала, а нужна после последнего: "
         "log_probs[0, −1]."),
        (partial(_name, new=False), "Сеть снова и снова читает начало: следующий вход x — новая буква."),
        (lambda net, start, end, limit: start + _name(net, start, end, limit), "Начало попало в ответ, "
         "а нужны лишь новые буквы."),
    ],
    forbidden=("sampling",),
    points=3,
)  # fmt: skip


# 06.7: temperature


def _temperature_inputs(draw: Draw, T: float = 2.0, shape: tuple = (6,), scale=1.0) -> dict:
    return {"log_probs": torch.log_softmax(scale * draw(*shape), -1), "T": T}


TEMPERATURE = Exercise(
    skeleton="""
def my_temperature(log_probs, T):
    return ...
""",
    inputs=_temperature_inputs,
    reference=lambda log_probs, T: choice_probs(log_probs, temperature=T),
    cases=[
        Case("T = 1", "При T = 1 распределение не меняется: это сами вероятности.", settings={"T": 1.0}),
        Case("T = 2", "Степень 1/T у вероятности — это деление логарифма на T; сумма снова должна быть 1."),
        Case("T = 0,5, три имени", "Каждая строка — своё распределение: последняя ось.",
             settings={"T": 0.5, "shape": (3, 6)}),
        Case("T = 0,02", "Малое число в степени 50 для float — нуль. Делите логарифмы, а exp берите в конце.",
             settings={"T": 0.02, "shape": (30,), "scale": 0.3}),
    ],
    mistakes=[
        (lambda log_probs, T: torch.softmax(log_probs * T, -1), "Логарифм умножен на T, а его делят: "
         "при большой T распределение должно выравниваться."),
        (lambda log_probs, T: torch.exp(log_probs / T), "Сумма не равна 1: после деления нужен softmax."),
        (lambda log_probs, T: torch.softmax(log_probs.exp() / T, -1), "На T поделены вероятности, а надо логарифмы."),
        (lambda log_probs, T: log_probs.exp(), "Температура не участвует."),
        (lambda log_probs, T: torch.log_softmax(log_probs / T, -1), "Это логарифмы, а нужны вероятности."),
        (lambda log_probs, T: torch.softmax(log_probs / T, 0), "Softmax взят по строкам пакета: нужна последняя ось."),
        (lambda log_probs, T: log_probs.exp() / T, "Деление вероятностей на T их сумму портит, а отношений не меняет."),
    ],
    forbidden=("choice_probs", "sampling"),
)  # fmt: skip


# 06.8, homework: five names by heart


def _five_names(draw: Draw) -> dict:
    rows = [[2 + k, *draw.whole(2, 11, draw.whole(2, 4)).tolist(), 1] for k in range(5)]
    x, y, mask = pad_names(rows)
    return {"x": x, "y": y, "mask": mask, "seed": draw.whole(0, 10**6)}


def _ask_overfit(function, x, y, mask, seed):
    """The first loss that the function tells, and what the trained network is worth."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(12, 8), nn.Linear(24, 12)
            self.rnn = nn.GRU(8, 24, batch_first=True)

        def forward(self, x, state=None):
            s, state = self.rnn(self.embedding(x), state)
            return self.head(s).log_softmax(-1), state

        @torch.no_grad()
        def loss(self):
            nats = -self(x)[0].gather(-1, y[..., None])[..., 0]
            return nats[mask].mean().item()

    torch.manual_seed(seed)
    net = Net()
    first, before = net.loss(), [weight.detach().clone() for weight in net.parameters()]
    losses = function(net, x, y, mask)
    if losses is None:
        return None
    if abs(float(losses[0]) - first) > 1e-4:
        return [float(losses[0]), "дальше не смотрели"]
    if all(map(torch.equal, before, net.parameters())):
        return [first, "веса сети не изменились"]
    after = net.loss()
    told = f"потери в конце {after:.2f}".replace(".", ",")
    return [first, "потери в конце меньше 0,1" if after < 0.1 else told]


def _learned(net, x, y, mask, steps=80, loss_of=_masked_loss, lr=0.05):
    optimizer, losses = torch.optim.Adam(net.parameters(), lr=lr), []
    step = _step("zbcs", loss_of)
    for _ in range(steps):
        losses.append(step(net, optimizer, x, y, mask, 5.0))
    return losses


OVERFIT = Exercise(
    skeleton="""
def my_overfit(net, x, y, mask):
    ...
""",
    inputs=_five_names,
    reference=_learned,
    ask=_ask_overfit,
    cases=[
        Case("пять имён", "Первые потери считают до первого шага, а к концу они должны быть ниже 0,1: "
             "обучайте дольше (сотни шагов) или быстрее (Adam, lr = 0,03)."),
    ],
    mistakes=[
        (lambda *given: _learned(*given, steps=1, loss_of=NO_MASK), "Первые потери не те: в среднее вошёл "
         "заполнитель."),
        (lambda *given: _learned(*given, steps=1, loss_of=SUM), "Первые потери не те: это сумма, "
         "а нужно среднее."),
        (lambda *given: _learned(*given, steps=1, loss_of=_row_means), "Первые потери не те: усреднено по именам, "
         "а нужно по всем символам сразу."),
        (lambda *given: _learned(*given, steps=1, lr=0.0), "Нет шага оптимизатора (step), он стоит до backward "
         "или обучалась другая сеть."),
    ],
    points=3,
    seconds=20.0,
)  # fmt: skip


EXERCISES = {
    "06.1": ALPHABET,
    "06.2": PADDING,
    "06.3": LOSS,
    "06.4": NETWORK,
    "06.5": STEP,
    "06.6": NAME,
    "06.7": TEMPERATURE,
    "06.8": OVERFIT,
}
