"""Makers for notebook 09: who can remember what, and who reads the novel best by letters."""

import time
from collections.abc import Callable, Iterator
from itertools import count, product
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from lecture_utils import cells, tasks
from lecture_utils.batching import StreamBatches
from lecture_utils.corpora import load_novel, read_names
from lecture_utils.models import LAYERS, detach
from lecture_utils.vocabulary import Vocabulary

NETS = ("rnn", "gru", "lstm", "min_gru", "min_gru_signed", "attention")
POSITIONS = ("none", "sin", "alibi")


def loop(a: Tensor, b: Tensor) -> Tensor:
    """What `cells.scan` returns, step by step."""
    h, states = torch.zeros_like(a[:, 0]), []
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states, 1)


class MinGRU(nn.Module):
    """minGRU as `cells.pairs` has it, all steps `by` a scan or a loop; h_0 is given or zero."""

    def __init__(self, width: int, signed: bool, by=cells.scan):
        super().__init__()
        self.z, self.n = nn.Linear(width, width), nn.Linear(width, width)
        self.signed, self.by = signed, by

    def forward(self, x: Tensor, h_0: Tensor | None) -> tuple[Tensor, Tensor]:
        """(batch, time, width) → the same, and the last state (batch, width)."""
        p = cells.MinGRUWeights(self.z.weight, self.z.bias, self.n.weight, self.n.bias)
        a, b = cells.pairs(p, x, self.signed)
        if h_0 is not None:  # the first step carries it on
            b = torch.cat([b[:, :1] + a[:, :1] * h_0[:, None], b[:, 1:]], 1)
        h = self.by(a, b)
        return h, h[:, -1]


class Attention(nn.Module):
    """Causal attention of four heads. With ALiBi (Press et al. 2022) the far counts for less."""

    def __init__(self, width: int, alibi: bool, heads: int = 4):
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.alibi, self.heads = alibi, heads

    def forward(self, x: Tensor, _) -> tuple[Tensor, None]:
        """(batch, time, width) → the same; what it keeps is its window, so there is no state."""
        Q, K, V = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if self.alibi:  # −slope · (i − j) + slope · i, what softmax does not see, is slope · j
            slope = 0.25 ** torch.arange(1, self.heads + 1)[:, None]
            bias = (slope * torch.arange(x.shape[1]))[None, ..., None].expand(len(x), -1, -1, 1)
            Q = torch.cat([Q, torch.ones_like(bias)], 3)
            K = torch.cat([K, bias * Q.shape[3] ** 0.5], 3)  # attention divides by this root
        mixed, _ = cells.attention(Q, K, V, causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2)), None


class Block(nn.Module):
    """What mixes the steps (`MinGRU`, `Attention`, an LSTM), then a layer on each; added to x."""

    def __init__(self, mixer: nn.Module, width: int):
        super().__init__()
        self.mixer, self.norms = mixer, nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor, state) -> tuple:
        """(batch, time, width) → the same, and the new state of the mixer."""
        mixed, state = self.mixer(self.norms[0](x), state)
        x = x + mixed
        return x + self.mlp(self.norms[1](x)), state


class Blocks(nn.Module):
    """Blocks one above the other, with the manners of torch's layers; the state is a tuple."""

    def __init__(self, mixers: list[nn.Module], width: int, has_places: bool):
        super().__init__()
        self.blocks = nn.ModuleList(Block(mixer, width) for mixer in mixers)
        self.norm, self.has_places = nn.LayerNorm(width), has_places

    def forward(self, x: Tensor, state=None) -> tuple:
        """(batch, time, width) → the same, and the states of the blocks (attention has none)."""
        x = x + waves(*x.shape[1:]) if self.has_places else x
        states = []
        for block, before in zip(self.blocks, state or [None] * len(self.blocks), strict=True):
            x, after = block(x, before)
            states.append(after)
        return self.norm(x), None if states[0] is None else tuple(states)


def waves(time: int, width: int) -> Tensor:
    """Sines and cosines of the place, (time, width), as in Vaswani et al. (2017)."""
    rates = 10_000 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(time)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


class Net(nn.Module):
    """Ids (batch, time) → scores (batch, time, answers), and the state to go on with."""

    def __init__(self, symbols, answers, net, layers=1, width=32, positions="none"):
        super().__init__()
        self.embedding, self.head = nn.Embedding(symbols, width), nn.Linear(width, answers)
        if net in LAYERS:  # torch's
            self.layers = LAYERS[net](width, width, layers, batch_first=True)
        else:
            mixer = {
                "attention": lambda: Attention(width, positions == "alibi"),
                "min_gru": lambda: MinGRU(width, signed=False),
                "min_gru_loop": lambda: MinGRU(width, signed=False, by=loop),
                "min_gru_signed": lambda: MinGRU(width, signed=True),
                "lstm_block": lambda: nn.LSTM(width, width, batch_first=True),
            }[net]
            mixers = [mixer() for _ in range(layers)]
            self.layers = Blocks(mixers, width, positions == "sin")
        for name, bias in self.named_parameters():
            if "bias_hh" in name and net.startswith("lstm"):
                bias.data[width : 2 * width] = 1.0  # the forget gate begins open

    def forward(self, ids: Tensor, state=None) -> tuple:
        """Scores of the answers at each step; the state is that of `layers`."""
        h, state = self.layers(self.embedding(ids), state)
        return self.head(h), state


class Mirror(nn.Module):
    """Encoder and decoder, a GRU each; what passes is the last state, or attention over all.

    Ids are a string and as many · after it; scores (batch, time, answers) are 0 while it reads.
    """

    def __init__(self, symbols: int, answers: int, attends: bool, width: int = 32):
        super().__init__()
        self.embedding, self.attends = nn.Embedding(symbols, width), attends
        self.encoder, self.decoder = (nn.GRU(width, width, batch_first=True) for _ in range(2))
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.head = nn.Linear(2 * width if attends else width, answers)

    def forward(self, ids: Tensor, _=None) -> tuple[Tensor, None]:
        """Scores (batch, time, answers); the first half of the time is the string."""
        told, asked = self.embedding(ids).chunk(2, 1)
        states, last = self.encoder(told)  # (batch, letters, width)
        d, _ = self.decoder(asked, last)
        if self.attends:
            found, _ = cells.attention(self.query(d), self.key(states), states)
            d = torch.cat([d, found], 2)
        return pad(self.head(d), [0, 0, ids.shape[1] // 2, 0]), None


# Who can remember what


class Task(NamedTuple):
    """What is learned and what is asked: batches without end, then lengths with a batch each."""

    symbols: int
    answers: int
    chance: float
    learned: Callable[[torch.Generator, float], tasks.TaggedBatch]  # given the share of steps done
    asked: Callable[[torch.Generator], Iterator[tuple[int, tasks.TaggedBatch]]]
    is_whole: bool = False  # a string counts only if all of its answers are right


def upto(longest: int, generator: torch.Generator, done: float) -> int:
    """A length by chance; the longest is 2 at first and grows until 0.6 of all steps are done."""
    longest = min(longest, 2 + round(longest * max(0.0, done - 0.1) / 0.5))
    return int(torch.randint(1, longest + 1, (), generator=generator))


def pairs_upto(longest: int, generator: torch.Generator, done: float) -> int:
    """Two pairs for half of all steps, then as often up to four or eight as more."""
    longest = min(longest, 2 * (longest / 2) ** max(0.0, (done - 0.5) / 0.35))
    return round(2 * (longest / 2) ** torch.rand((), generator=generator).item())


def at_last(batch: tasks.TaggedBatch) -> tasks.TaggedBatch:
    """The same, asked at the last step of each row alone."""
    is_last = batch.mask & ~pad(batch.mask[:, 1:], [0, 1])
    return batch._replace(mask=is_last)


def known_names() -> list[str]:
    """All first names, each once."""
    return list(dict.fromkeys(name.name for name in read_names()))


def parity_task() -> Task:
    """Names of 6 letters and fewer, then of 9 and more, and names run together to 20 and 40."""
    names = known_names()
    short = tasks.vowel_parity([name for name in names if len(name) <= 6])
    long = tasks.vowel_parity([name for name in names if len(name) >= 9])

    def learned(generator, done):
        rows = torch.randint(len(short.inputs), (64,), generator=generator)
        return tasks.TaggedBatch(*(part[rows] for part in short))

    def asked(generator):
        yield 6, at_last(short)
        yield 9, at_last(long)
        for length in (20, 40):
            order = torch.randperm(len(names), generator=generator)
            run = "".join(names[k] for k in order)
            strings = [run[at : at + length] for at in range(0, 200 * length, length)]
            yield length, at_last(tasks.vowel_parity([x for x in strings if len(x) == length]))

    return Task(len(tasks.NAME_SYMBOLS), 2, 1 / 2, learned, asked)


def recall_task() -> Task:
    """Two pairs to sixteen, as many as there are keys."""
    learned = lambda g, done: tasks.recall(64, pairs_upto(16, g, done), g)
    asked = lambda g: ((n, tasks.recall(400, n, g)) for n in (2, 3, 4, 6, 8, 12, 16))
    return Task(24, tasks.RECALL_VALUES, 1 / tasks.RECALL_VALUES, learned, asked)


def anbn_task() -> Task:
    """All n to 20, then all n to 40, 80 and 160; only what is certain is asked."""

    def strings(ns):
        batch, certain = tasks.anbn(ns)
        return batch._replace(mask=certain)

    learn_from = strings(range(1, 21))
    learned = lambda g, done: learn_from
    spans = (range(1, 21), range(21, 41), range(41, 81), range(81, 161))
    asked = lambda _: ((ns[-1], strings(ns)) for ns in spans)
    return Task(3, 3, 0.0, learned, asked, is_whole=True)


def copying_task() -> Task:
    """Strings of at most 20 letters, then of up to 60."""
    learned = lambda g, done: tasks.copying(32, upto(20, g, 1.0), g)
    asked = lambda g: ((n, tasks.copying(200, n, g)) for n in (5, 10, 20, 30, 40, 60))
    return Task(tasks.COPY_SYMBOLS + 1, tasks.COPY_SYMBOLS + 1, 1 / 26, learned, asked)


def cups_task() -> Task:
    """Twelve swaps with an answer after each, then up to 96."""
    learned = lambda g, done: tasks.cups(64, 12, g)
    asked = lambda g: ((n, at_last(tasks.cups(500, n, g))) for n in (6, 12, 24, 48, 96))
    return Task(10, tasks.CUPS, 1 / tasks.CUPS, learned, asked)


def mirror_task() -> Task:
    """Strings of at most 12 letters, spelt from their end; then longer ones too."""

    def strings(rows, length, generator):
        ids = torch.randint(1, 34, (rows, length), generator=generator)
        return tasks.backwards(["".join(tasks.NAME_SYMBOLS[k] for k in row) for row in ids])

    learned = lambda g, done: strings(32, upto(12, g, done), g)
    asked = lambda g: ((n, strings(200, n, g)) for n in (2, 4, 6, 8, 10, 12, 16, 20))
    return Task(len(tasks.NAME_SYMBOLS), len(tasks.NAME_SYMBOLS), 1 / 33, learned, asked)


TASKS = {
    "parity": parity_task,
    "recall": recall_task,
    "anbn": anbn_task,
    "copying": copying_task,
    "cups": cups_task,
    "mirror": mirror_task,
}


class Run(NamedTuple):
    """A net on a task, how long it learns, with how many seeds; see README for what was tried."""

    task: str
    net: str
    layers: int = 1
    width: int = 32
    positions: str = "none"
    steps: int = 1000
    seeds: int = 5


RUNS = [
    *(Run("parity", net) for net in NETS),
    Run("parity", "min_gru", 2),
    Run("parity", "min_gru", 4),
    Run("parity", "min_gru", 2, steps=4000, seeds=2),
    *(Run("parity", "attention", 2, positions=positions) for positions in POSITIONS),
    Run("parity", "attention", 4, positions="alibi"),
    Run("parity", "attention", 2, positions="sin", steps=4000, seeds=2),
    *(Run("recall", net, steps=4000) for net in ("rnn", "gru", "lstm")),
    *(Run("recall", net, 2, steps=4000) for net in ("min_gru", "min_gru_signed")),
    Run("recall", "attention", 2, positions="alibi", steps=1500),
    Run("recall", "lstm", width=128, steps=4000),
    Run("recall", "lstm", steps=16_000, seeds=2),
    *(Run("anbn", net) for net in NETS[:-1]),
    Run("anbn", "attention", 2),
    *(Run("anbn", "attention", 2, positions=positions) for positions in ("sin", "alibi")),
    *(Run("copying", net, steps=2500) for net in ("rnn", "gru", "lstm")),
    *(Run("copying", net, 2, steps=2500) for net in ("min_gru", "min_gru_signed")),
    Run("copying", "attention", 2, positions="alibi", steps=2500),
    *(Run("copying", "attention", 2, 32, kind, 2500) for kind in ("none", "sin")),
    *(Run("cups", net, steps=1500) for net in ("rnn", "gru", "lstm")),
    *(Run("cups", f"min_gru{kind}", n, steps=1500) for kind, n in product(("", "_signed"), (1, 4))),
    Run("cups", "min_gru_signed", 4, steps=4000, seeds=2),
    *(Run("cups", "attention", 4, positions=positions, steps=1500) for positions in POSITIONS),
    Run("cups", "attention", 4, positions="alibi", steps=4000, seeds=2),
    *(Run("mirror", net, steps=4000) for net in ("vector", "attends")),
    Run("mirror", "vector", width=64, steps=4000),
]


def build(task: Task, run: Run) -> tuple[nn.Module, float]:
    """The net of a run and Adam's rate, the larger for torch's cells of 32 units."""
    is_mirror = run.net in ("vector", "attends")
    rate = 0.01 if (is_mirror or run.net in LAYERS) and run.width == 32 else 0.005
    if is_mirror:
        return Mirror(task.symbols, task.answers, run.net == "attends", run.width), rate
    net = Net(task.symbols, task.answers, run.net, run.layers, run.width, run.positions)
    return net, rate


def learn(task, model, steps: int, seed: int, rate: float) -> Iterator[tuple[int, float]]:
    """Train on a task, then ask: (length, share of right answers). Adam, cosine decay, clip 1."""
    to_learn, to_ask = (torch.Generator().manual_seed(k + seed) for k in (0, 10_000))
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.05)
    for step in range(steps):
        batch = task.learned(to_learn, step / steps)
        scores, _ = model(batch.inputs)
        optimizer.zero_grad()
        cross_entropy(scores[batch.mask], batch.targets[batch.mask]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        decay.step()
    for length, batch in task.asked(to_ask):
        with torch.no_grad():
            right = model(batch.inputs)[0].argmax(2) == batch.targets
        whole = (right | ~batch.mask).all(1)
        yield length, (whole if task.is_whole else right[batch.mask]).float().mean().item()


def rows_of(run: Run, seed: int) -> Iterator[dict]:
    """One row a length that is asked."""
    torch.manual_seed(seed)
    task = TASKS[run.task]()
    draw = task.learned
    if run.task == "recall" and run.net == "attention":  # it learns all lengths from the start
        task = task._replace(learned=lambda g, done: draw(g, 1.0))
    model, rate = build(task, run)
    settings = {name: value for name, value in run._asdict().items() if name != "seeds"}
    for length, accuracy in learn(task, model, run.steps, seed, rate):
        row = settings | {"seed": seed, "length": length, "accuracy": f"{accuracy:.3f}"}
        yield row | {"chance": f"{task.chance:.3f}"}


def memory(runs=RUNS):
    """Rows of data/memory.csv."""
    for run in runs:
        for seed in range(run.seeds):
            yield from rows_of(run, seed)


# The novel by letters

WINDOW = 100  # letters; attention never sees more
LETTER_NETS = {  # layers, width and positions; 96,000 to 102,000 weights each
    "rnn": (1, 172, "none"),
    "gru": (1, 110, "none"),
    "lstm": (1, 98, "none"),
    "min_gru": (2, 82, "none"),
    "min_gru_loop": (2, 82, "none"),
    "lstm_block": (1, 80, "none"),
    "attention": (2, 72, "alibi"),
}
RATES = (0.002, 0.005, 0.01)  # of Adam; each net takes the one that is best on the ninth tenth
LETTER_MARKS = (100_000, 200_000, 500_000, 1_000_000, 2_000_000)
SECOND_MARKS = (10, 20, 45, 90)
ASKED = 60_000  # letters, the first of the ninth tenth and of the last


def tenths() -> tuple[list[Tensor], int]:
    """Letters of the novel: eight tenths to read, what is asked of the others; how many symbols."""
    text = load_novel().text
    tenth = len(text) // 10
    vocabulary = Vocabulary.build(text[: 8 * tenth], min_count=10)
    ids = torch.tensor(vocabulary.encode(text))
    valid, test = (ids[begin : begin + ASKED + 1] for begin in (8 * tenth, 9 * tenth))
    return [ids[: 8 * tenth], valid, test], len(vocabulary)


@torch.no_grad()
def held_out(model: Net, ids: Tensor) -> float:
    """Nats a letter: the state is carried; attention sees 50 letters before each window of 50."""
    batches, state, before, losses = StreamBatches(ids, 20, WINDOW // 2), None, None, []
    for number in range(len(batches)):
        x, y = batches.batch(0, number)[:2]
        seen = x if state is not None or before is None else torch.cat([before, x], 1)
        scores, state = model(seen, state)
        if before is not None:  # there attention has seen nothing yet
            losses.append(cross_entropy(scores[:, -x.shape[1] :].flatten(0, 1), y.flatten()))
        before = x
    return torch.stack(losses).mean().item()


def read_on(model: Net, rate: float, ids: Tensor) -> Iterator[tuple[int, float]]:
    """Train without end, round and round: letters read and processor seconds after each step.

    Truncated BPTT: 32 streams, windows of 100, the state carried. Adam, clip 1. Only training is
    in the seconds.
    """
    batches = StreamBatches(ids, 32, WINDOW)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    letters, seconds, state = 0, 0.0, None
    for step in count():
        begun, number = time.process_time(), step % len(batches)
        x, y = batches.batch(0, number)[:2]
        scores, state = model(x, detach(state) if number else None)
        optimizer.zero_grad()
        cross_entropy(scores.flatten(0, 1), y.flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        letters, seconds = letters + x.numel(), seconds + time.process_time() - begun
        yield letters, seconds


def learn_novel(net, rate, seed, size, train, asked, letter_marks, second_marks=()):
    """Rows of a net that is asked whenever it has read so many letters or taken so many seconds."""
    layers, width, positions = LETTER_NETS[net]
    torch.manual_seed(seed)
    model = Net(size, size, net, layers, width, positions)
    weights = sum(w.numel() for w in model.parameters())
    ahead = {"letters": sorted(letter_marks), "seconds": sorted(second_marks)}
    for letters, seconds in read_on(model, rate, train):
        for mark, reached in ("letters", letters), ("seconds", seconds):
            if ahead[mark] and reached >= ahead[mark][0]:
                row = {"net": net, "layers": layers, "width": width, "weights": weights}
                row |= {"rate": rate, "seed": seed, "mark": mark, "at": ahead[mark].pop(0)}
                row |= {"letters": letters, "seconds": f"{seconds:.1f}"}
                yield row | {"nats": f"{held_out(model, asked):.4f}"}
        if not any(ahead.values()):
            return


def novel_letters(seeds=range(3), letters=LETTER_MARKS, seconds=SECOND_MARKS, short=400_000):
    """Rows of data/novel_letters.csv."""
    (train, valid, test), size = tenths()
    best = {}
    for net in LETTER_NETS:
        tried = [next(learn_novel(net, rate, 0, size, train, valid, [short])) for rate in RATES]
        best[net] = min(tried, key=lambda row: float(row["nats"]))["rate"]
        yield from ({"part": "valid"} | row for row in tried)
    for seed, net in product(seeds, LETTER_NETS):
        rows = learn_novel(net, best[net], seed, size, train, test, letters, seconds)
        yield from ({"part": "test"} | row for row in rows)
