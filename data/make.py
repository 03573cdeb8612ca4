"""Results too long for a notebook: `python data/make.py lags` remakes data/lags.csv in minutes.

So do the other tables of TABLES; what reads the novel wants LECTURE_NOVEL to name it.
`python data/make.py pictures` remakes the pictures of README in .github/, `name_weights` the nets
of notebook 06 that it reads.
"""

import argparse
import csv
import math
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, product

import after_lstm
import numpy as np
import torch
from matplotlib import style
from torch import nn
from torch.nn.functional import cross_entropy, one_hot, pad
from tqdm import tqdm

from lecture_utils import cells, metrics, sampling
from lecture_utils.batching import Batch, NameBatches, StreamBatches
from lecture_utils.checkpoints import save_model
from lecture_utils.corpora import (
    CorpusError,
    Text,
    cut,
    load_novel,
    prose_files,
    read_list,
    read_names,
    read_prose,
    story_text,
    storyteller,
)
from lecture_utils.distributed import use_threads
from lecture_utils.figures import plots
from lecture_utils.figures.style import STYLES
from lecture_utils.files import DATA, save_atomically, speak_on_any_console, written_whole
from lecture_utils.models import LAYERS, LetterModel, WordModel, detach
from lecture_utils.novel import Corpus, divide, load_pretrained, recipe, train_novel
from lecture_utils.probes import (
    LETTERS,
    load_letters,
    random_rnn,
    rnn_panel,
    spectral_radius,
    watch_letters,
)
from lecture_utils.series import Series, lagged, least_squares, log_range, parts, read_series
from lecture_utils.tasks import (
    TEMPORAL_ORDER_SYMBOLS,
    anbn,
    context_tagging,
    echo,
    temporal_order,
    two_speeds,
)
from lecture_utils.training import History, Plan, evaluate, progress_bar, train
from lecture_utils.vocabulary import (
    LIST_SPECIALS,
    NAME_SPECIALS,
    UNK,
    Vocabulary,
    split_words,
    without_yo,
)

SEEDS = range(5)
NETS = {  # all the nets of the lag experiment: the layer and how it starts
    "rnn": {"cell": "rnn"},
    "rnn_radius1": {"cell": "rnn", "radius": 1.0},
    "rnn_orthogonal": {"cell": "rnn", "orthogonal": True},
    "lstm": {"cell": "lstm"},
    "lstm_b3": {"cell": "lstm", "forget_bias": 3.0},
}


def learn_order(cell, lag, seed, steps=2500, forget_bias=None, orthogonal=False, radius=None):
    """What `fit_order` reaches with 32 units of a layer of torch, steps taken. Seeded.

    `forget_bias` (LSTM only) is the sum of torch's two; `orthogonal` and the spectral `radius` are
    starts of W.
    """
    torch.manual_seed(seed)
    symbols = len(TEMPORAL_ORDER_SYMBOLS)
    net, head = LAYERS[cell](symbols, 32, batch_first=True), nn.Linear(32, 4)
    if orthogonal:
        nn.init.orthogonal_(net.weight_hh_l0)
    if radius is not None:
        net.weight_hh_l0.data *= radius / float(spectral_radius(net.weight_hh_l0.detach().numpy()))
    if forget_bias is not None:
        net.bias_ih_l0.data[32:64], net.bias_hh_l0.data[32:64] = forget_bias, 0.0
    return fit_order(net, head, lag, seed, steps)


def fit_order(net, head, lag: int, seed: int, steps: int) -> tuple[float, int]:
    """Train on `tasks.temporal_order`: accuracy on 1,000 fresh sequences, steps taken.

    Batches of 64, Adam 0.003, clip 1; ends as soon as 99 % of the fresh ones are right.
    """
    train_set, test_set = (torch.Generator().manual_seed(k + seed) for k in (0, 10_000))
    symbols = len(TEMPORAL_ORDER_SYMBOLS)
    weights = [*net.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(weights, lr=0.003, fused=True)
    answer = lambda x: head(net(one_hot(x, symbols).float())[0][:, -1])
    fresh, right = temporal_order(1000, lag, test_set)
    for step in range(1, steps + 1):
        x, y = temporal_order(64, lag, train_set)
        optimizer.zero_grad()
        cross_entropy(answer(x), y).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps:
            with torch.no_grad():
                accuracy = (answer(fresh).argmax(1) == right).float().mean().item()
            if accuracy >= 0.99:
                break
    return accuracy, step


class OwnLayer(nn.Module):
    """A cell of `cells` with the manners of torch's layers; its start is drawn as theirs is."""

    def __init__(self, cell, kind, input_size: int, hidden_size: int):
        super().__init__()
        self.cell, self.kind = cell, kind
        weights = cells.init(kind, input_size, hidden_size, torch.default_generator)
        self.weights = nn.ParameterList(weights)

    def forward(self, x: torch.Tensor) -> tuple:
        """x (batch, time, input_size) → h (batch, time, hidden_size), last state."""
        return cells.run(self.cell, self.kind(*self.weights), x)


def scaled(v: torch.Tensor, k) -> torch.Tensor:
    """v itself, but the gradient that goes back through it is multiplied by k."""
    return k * v + ((1 - k) * v).detach()


class SplitLSTM(nn.LSTM):
    """An LSTM whose memory and whose error pass through gates with different biases.

    Forward f = σ(a + b_f), the error is multiplied by σ(a + b_back) on the direct way instead; on
    the way round through h it is damped in the same proportion, but never amplified.
    """

    def __init__(self, input_size: int, hidden_size: int, b_f: float, b_back: float):
        super().__init__(input_size, hidden_size, batch_first=True)
        self.biases = torch.tensor([b_f, b_back])
        f, back = self.biases.sigmoid()
        self.round_way = (back / f).clamp(max=1)
        for bias in (self.bias_ih_l0, self.bias_hh_l0):
            bias.data[hidden_size : 2 * hidden_size] = 0

    def forward(self, x: torch.Tensor) -> tuple:
        """x (batch, time, input_size) → h (batch, time, hidden_size), last state."""
        h = c = x.new_zeros(len(x), self.hidden_size)
        b_f, b_back = self.biases
        a, steps = x @ self.weight_ih_l0.T + (self.bias_ih_l0 + self.bias_hh_l0), []
        for a_t in a.unbind(1):
            a_t = a_t + scaled(h, self.round_way) @ self.weight_hh_l0.T
            i, a_f, c_tilde, o = a_t.chunk(4, 1)
            f = (a_f + b_f).sigmoid()
            k = ((a_f + b_back).sigmoid() / f).detach()
            c = f * scaled(c, k) + i.sigmoid() * c_tilde.tanh()
            h = o.sigmoid() * c.tanh()
            steps.append(h)
        return torch.stack(steps, 1), (h, c)


WAYS = {  # b_f of the memory and of the error: one of them changed alone; no way back at all
    "error_damped": (3.0, 0.0),
    "error_cut": (3.0, -torch.inf),
    "error_passed": (0.0, 3.0),
}
RIVALS = {  # about as many weights as the LSTM of 32: 5,000 to 5,250 each with the output layer
    "peephole": lambda: OwnLayer(cells.peephole, cells.PeepholeWeights, 6, 32),
    "coupled": lambda: OwnLayer(cells.coupled, cells.CoupledWeights, 6, 37),
    "gru": lambda: nn.GRU(6, 37, batch_first=True),
}


def order_net(name: str, seed: int, is_open: bool = False) -> tuple[nn.Module, nn.Module]:
    """One of WAYS or RIVALS and its output layer; `is_open`: the gates that keep start at σ(3)."""
    torch.manual_seed(seed)
    net = SplitLSTM(6, 32, *WAYS[name]) if name in WAYS else RIVALS[name]()
    if is_open and isinstance(net, OwnLayer):
        p = net.kind(*net.weights)
        keeping, bias = (p.b_i, -3.0) if name == "coupled" else (p.b_f, 3.0)
        keeping.data[:] = bias
    elif is_open:  # torch stacks r, z, n
        size = net.hidden_size
        net.bias_ih_l0.data[size : 2 * size], net.bias_hh_l0.data[size : 2 * size] = 3.0, 0.0
    return net, nn.Linear(37 if name in ("coupled", "gru") else 32, 4)


COUNTERS = {  # 560 to 590 weights each, one bias a gate counted
    "lstm": lambda: nn.LSTM(3, 10, batch_first=True),
    "peephole": lambda: OwnLayer(cells.peephole, cells.PeepholeWeights, 3, 10),
    "coupled": lambda: OwnLayer(cells.coupled, cells.CoupledWeights, 3, 12),
    "gru": lambda: nn.GRU(3, 12, batch_first=True),
    "tanh": lambda: nn.RNN(3, 22, batch_first=True),
    "relu": lambda: nn.RNN(3, 22, nonlinearity="relu", batch_first=True),
}


def learn_to_count(cell: str, seed: int, longest: int = 20, steps: int = 1500) -> tuple:
    """Train one of COUNTERS on aⁿbⁿ, n ≤ longest: the first n ≤ 200 it fails (or 201), net, head.

    Only the certain continuations are asked for (see `tasks.anbn`). All strings in each batch, Adam
    0.03 with cosine decay, clip 1. After Weiss, Goldberg & Yahav (2018).
    """
    torch.manual_seed(seed)
    net = COUNTERS[cell]()
    head = nn.Linear(net(torch.zeros(1, 1, 3))[0].shape[2], 3)
    weights = [*net.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(weights, lr=0.03)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    answer = lambda x: head(net(one_hot(x, 3).float())[0])
    (x, y, _), certain = anbn(range(1, longest + 1))
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(answer(x)[certain], y[certain]).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        decay.step()
    (x, y, _), certain = anbn(range(1, 201))
    with torch.no_grad():
        right = (answer(x).argmax(2) == y) | ~certain
    return [*right.all(1).tolist(), False].index(False) + 1, net, head


def truncation_loss(text: str, seq_len: int, carried: bool, seed: int, steps: int = 1000) -> float:
    """Nats a symbol held out, after training with windows of `seq_len` steps, 256 symbols a batch.

    `text` is "echo" (lag 7, GRU 32) or "story" (words, LSTM 64). The state is carried from
    window to window or zero at the start of each, in training and in validation alike.
    """
    if text == "echo":
        parts = echo(100_000, 7, seed=0), echo(10_000, 7, seed=1)
    else:
        words = split_words(story_text().text)
        vocabulary, tenth = Vocabulary.build(words, specials=()), len(words) // 10
        ids = torch.tensor(vocabulary.encode(words))
        parts = ids[: 8 * tenth], ids[8 * tenth : 9 * tenth]
    torch.manual_seed(seed)
    model = LetterModel(8, 32, "gru") if text == "echo" else WordModel(len(vocabulary))
    batches, valid = (StreamBatches(part, 256 // seq_len, seq_len) for part in parts)
    batches.carries_state = valid.carries_state = carried
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    plan = Plan(steps, clip=1.0, decay=True, every=steps)
    return train(model, batches, optimizer, plan, valid=valid).valid_loss[-1]


BOTH_SIDES = {  # 2,700 to 2,900 weights each; `late`: one way only, answers so many steps late
    "lstm": lambda: nn.LSTM(2, 16, bidirectional=True, batch_first=True),
    "late": lambda: nn.LSTM(2, 24, batch_first=True),
    "rnn": lambda: nn.RNN(2, 34, bidirectional=True, batch_first=True),
}


def learn_both_sides(net: str, distance: int, seed: int, steps: int = 1000) -> tuple[float, int]:
    """Train one of BOTH_SIDES on `tasks.context_tagging`: accuracy on 500 fresh rows, steps taken.

    16 labels a row whatever the distance, batches of 32, Adam 0.01; ends as soon as 99 % are right.
    """
    torch.manual_seed(seed)
    train_set, test_set = (torch.Generator().manual_seed(k + seed) for k in (0, 10_000))
    rnn, delay = BOTH_SIDES[net](), distance if net == "late" else 0
    head = nn.Linear(rnn.hidden_size * (1 + rnn.bidirectional), 4)
    optimizer = torch.optim.Adam([*rnn.parameters(), *head.parameters()], lr=0.01, fused=True)

    def answers(rows, generator):
        bits, tags, mask = context_tagging(rows, 16 + 2 * distance, distance, generator)
        s, _ = rnn(one_hot(pad(bits, (0, delay)), 2).float())
        return head(s[:, delay:][mask]), tags[mask]

    for step in range(1, steps + 1):
        optimizer.zero_grad()
        cross_entropy(*answers(32, train_set)).backward()
        optimizer.step()
        if step % 50 == 0 or step == steps:
            with torch.no_grad():
                o, tags = answers(500, test_set)
            accuracy = (o.argmax(1) == tags).float().mean().item()
            if accuracy >= 0.99:
                break
    return accuracy, step


STACKED = {  # three layers of what, Adam's rate, steps of training
    "lstm16": (lambda: nn.LSTM(2, 16, 3, batch_first=True), 0.02, 200),
    "lstm32": (lambda: nn.LSTM(2, 32, 3, batch_first=True), 0.01, 300),
    "gru16": (lambda: nn.GRU(2, 16, 3, batch_first=True), 0.02, 200),
}


def correlation_time(s: torch.Tensor, longest: int = 60) -> float:
    """The sum of the autocorrelations at 0…59 steps of states (batch, time, units), in steps."""
    s = s[:, 40:] - s[:, 40:].mean((0, 1))  # without the first steps, from the zero state
    shifted = ((s[:, : s.shape[1] - k] * s[:, k:]).mean() for k in range(longest))
    return float(sum(shifted) / (s * s).mean())


def layer_times(rnn: nn.Module, x: torch.Tensor) -> list[float]:
    """The correlation time of each layer's states on x (batch, time, input)."""
    times = []
    for layer in range(rnn.num_layers):
        x, _ = cells.run(*cells.from_torch(rnn, layer), x)
        times.append(correlation_time(x))
    return times


def learn_two_speeds(net: str, seed: int) -> list[tuple[float, float]]:
    """Teach one of STACKED to predict the next bit: the time of each layer before and after.

    Windows of 64, 32 a batch, clip 1; measured on 32 rows of 300 bits.
    """
    torch.manual_seed(seed)
    (make, rate, steps), generator = STACKED[net], torch.Generator().manual_seed(seed)
    rnn = make()
    head = nn.Linear(rnn.hidden_size, 2)
    fresh = one_hot(two_speeds(32, 300, torch.Generator().manual_seed(99)), 2).float()
    before = layer_times(rnn, fresh)
    weights = [*rnn.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(weights, lr=rate, fused=True)
    for _ in range(steps):
        bits = two_speeds(32, 64, generator)
        o = head(rnn(one_hot(bits[:, :-1], 2).float())[0])
        optimizer.zero_grad()
        cross_entropy(o.flatten(0, 1), bits[:, 1:].flatten()).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
    return list(zip(before, layer_times(rnn, fresh), strict=True))


STACKS = {1: 48, 2: 32, 3: 26}  # layers: units in each; 19,900 to 20,200 weights


def learn_letters(layers: int, rate: float, seed: int, marks: tuple[int, ...]) -> list[float]:
    """Nats a letter of the story held out after each of `marks` steps, of an LSTM from STACKS.

    One-hot letters, windows of 64 at random places, 32 a batch, Adam with this rate, clip 1.
    """
    text = story_text().text.lower()
    vocabulary, tenth = Vocabulary.build(text, specials=()), len(text) // 10
    ids, size = torch.tensor(vocabulary.encode(text)), len(vocabulary)
    fresh = ids[8 * tenth : 8 * tenth + 20 * 1000].view(20, -1)
    torch.manual_seed(seed)
    rnn = nn.LSTM(size, STACKS[layers], layers, batch_first=True)
    head = nn.Linear(STACKS[layers], size)
    weights, losses = [*rnn.parameters(), *head.parameters()], []
    optimizer = torch.optim.Adam(weights, lr=rate, fused=True)

    def nats(x):
        o = head(rnn(one_hot(x[:, :-1], size).float())[0])
        return cross_entropy(o.flatten(0, 1), x[:, 1:].flatten())

    for step in range(1, max(marks) + 1):
        starts = torch.randint(8 * tenth - 65, (32, 1))
        optimizer.zero_grad()
        nats(ids[starts + torch.arange(65)]).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if step in marks:
            with torch.no_grad():
                losses.append(nats(fresh).item())
    return losses


def train_letters(path=LETTERS, steps: int = 3000) -> float:
    """Keep the weights of `fit_letters` with seed 0: loss held out."""
    model, vocabulary, loss = fit_letters(0, steps)
    save_model(path, model, vocabulary)
    return loss


def fit_letters(seed: int, steps: int = 3000) -> tuple[LetterModel, Vocabulary, float]:
    """Train an LSTM of 80 units on the letters of the story; the last is its loss held out."""
    text = story_text().text
    vocabulary, tenth = Vocabulary.build(text, specials=()), len(text) // 10
    ids = torch.tensor(vocabulary.encode(text))
    batches, valid = (
        StreamBatches(part, 32, 64) for part in (ids[: 8 * tenth], ids[8 * tenth : 9 * tenth])
    )
    torch.manual_seed(seed)
    model = LetterModel(len(vocabulary), 80, "lstm")
    model.rnn.bias_hh_l0.data[80:160] = 1.0
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    plan = Plan(steps, clip=1.0, decay=True, every=steps)
    loss = train(model, batches, optimizer, plan, valid=valid).valid_loss[-1]
    return model.eval(), vocabulary, loss


ENDING = r"[аеёиоуыэюя]({})(?:[аои]|ся|[аои]сь)?\b"  # with л: сказал, жила, боялся; also Павел


@torch.no_grad()
def forget_gates(model: LetterModel, vocabulary: Vocabulary, text: str) -> np.ndarray:
    """f over a text, (letters, hidden_size), read in ten pieces at once."""
    ids = torch.tensor(vocabulary.encode(text)).view(10, -1)
    h = model.features(ids)[0]
    h_prev = torch.cat([torch.zeros_like(h[:, :1]), h[:, :-1]], 1)
    x = one_hot(ids, len(vocabulary)).float()
    f = cells.lstm_gates(cells.from_torch(model.rnn)[1], x.flatten(0, 1), h_prev.flatten(0, 1)).f
    return f.numpy()


def past_tense(model: LetterModel, vocabulary: Vocabulary, text: str) -> dict:
    """The unit whose f marks л of a past tense, chosen on the first half of a text.

    It must be lower there than on other л and than on other consonants in the same endings. Its
    number, its mean f of each kind on the second half, how many units are lower by 0.2 there.
    """
    f, lower = forget_gates(model, vocabulary, text), text.lower()

    def at(pattern):
        places = [found.start(1) for found in re.finditer(pattern, lower)]
        return np.bincount(places, minlength=len(text)) > 0

    past, same_end = at(ENDING.format("л")), at(ENDING.format("[бвгджзйкмнпрстфхцчшщ]"))
    kinds = past, at("(л)") & ~past, same_end
    first = np.arange(len(text)) < len(text) // 2
    means = [[f[kind & half].mean(0) for kind in kinds] for half in (first, ~first)]
    drops = [np.minimum(other, same) - on_past for on_past, other, same in means]
    k = int(drops[0].argmax())
    row = dict(
        zip(("past_f", "other_f", "end_f"), (f"{mean[k]:.3f}" for mean in means[1]), strict=True)
    )
    return {"past_unit": k} | row | {"past_units": int((drops[1] > 0.2).sum())}


def phrases(model: LetterModel, vocabulary: Vocabulary, text: str) -> dict:
    """Of a text: what r the unit nearest to the age of a phrase has, chosen on the first half;
    f of the unit that closes most on marks, on them and else; the price of a letter where f is 1.
    """
    seen, nats = watch_letters(model, vocabulary, text)
    c, f, half = seen["c"].numpy(), seen["f"].numpy(), len(text) // 2
    ends = np.array([letter in ".!?…\n" for letter in text])
    places = np.arange(len(text))
    age = places - np.maximum.accumulate(np.where(ends, places, -1))
    r = np.array(
        [
            [np.corrcoef(unit, a)[0, 1] for unit in part.T]
            for part, a in ((c[:half], age[:half]), (c[half:], age[half:]))
        ]
    )
    k = np.abs(r[0]).argmax()
    marks = np.array([letter in ",.!?…" for letter in text])
    j = (f[~marks].mean(0) - f[marks].mean(0)).argmax()
    held = watch_letters(model, vocabulary, text, hold_f=True)[1].nanmean().item()
    row = {"age_unit": int(k), "age_r": r[1, k], "mark_unit": int(j), "mark_f": f[marks, j].mean()}
    row |= {"else_f": f[~marks, j].mean(), "nats": nats.nanmean().item(), "held_nats": held}
    return {name: v if isinstance(v, int) else f"{v:.3f}" for name, v in row.items()}


ALPHABET = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя-"
DECAY = {"decay": True, "lr": 0.005}
DROPOUT = {"decay": True, "dropout": 0.3}
NAME_NETS = {  # the ladder of notebook 06, then three cells with as many weights in three settings
    "lecture": {"whose": "lecture", "batch_size": 100, "steps": 100},
    "women": {"whose": "women", "batch_size": 1000, "steps": 100},
    "batches": {"whose": "women"},
    "men": {},
    "wide": {"hidden_size": 64},
    "rnn_64": {"hidden_size": 64, **DECAY},
    "lstm_29": {"cell": "lstm", "hidden_size": 29, **DECAY},
    "gru_35": {"cell": "gru", "hidden_size": 35, **DECAY},
    "rnn_64_faster": {"hidden_size": 64, "decay": True},
    "lstm_29_faster": {"cell": "lstm", "hidden_size": 29, "decay": True},
    "gru_35_faster": {"cell": "gru", "hidden_size": 35, "decay": True},
    "rnn_115_dropout": {"hidden_size": 115, **DROPOUT},
    "lstm_54_dropout": {"cell": "lstm", "hidden_size": 54, **DROPOUT},
    "gru_64_dropout": {"cell": "gru", "hidden_size": 64, **DROPOUT},
}


def learn_names(seed, **settings) -> list[float]:
    """Train as `fit_names` does: perplexities on women's and men's names of the ninth tenth.

    Where only women's were learned, men's have no score.
    """
    model, letters, valid = fit_names(seed, **settings)
    encode = lambda part: [letters.encode_name(n.name, n.gender) for n in part]
    women, men = ([n for n in valid if n.gender == gender] for gender in "fm")
    scored = [women, men] if settings.get("whose", "all") == "all" else [women]
    return [math.exp(evaluate(model, NameBatches(encode(part), 200))) for part in scored]


def fit_names(seed, *, whose="all", cell="rnn", hidden_size=12, batch_size=32, lr=0.01,
              steps=1000, dropout=0.0, decay=False):  # fmt: skip
    """Train as `fit` of notebook 06 does: the model, its letters, the names of the ninth tenth."""
    names = read_names()
    mixed = [names[k] for k in np.random.default_rng(0).permutation(len(names))]
    eight, nine = len(names) * 8 // 10, len(names) * 9 // 10
    learned = mixed[:eight]
    letters = Vocabulary.build("".join(n.name for n in learned), NAME_SPECIALS, always=ALPHABET)
    if whose != "all":
        learned = [n for n in learned if n.gender == "f" and (n.lecture or whose == "women")]
    encode = lambda part: [letters.encode_name(n.name, n.gender) for n in part]
    torch.manual_seed(seed)
    model = LetterModel(len(letters), hidden_size, cell, dropout)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    batches = NameBatches(encode(learned), batch_size, seed)
    train(model, batches, optimizer, Plan(steps, decay=decay))
    return model, letters, mixed[eight:nine]


def make_name_weights() -> None:
    """Nets 1…4 of notebook 06, which trains the first of its five itself; a row of bytes each."""
    (DATA / "name_nets").mkdir(exist_ok=True)
    for seed in SEEDS[1:]:
        model, letters, _ = fit_names(seed, **NAME_NETS["gru_64_dropout"])
        save_model(DATA / f"name_nets/{seed}.pt", model, letters, in_bytes=True)


LIST_NETS = {  # of a list of one's own: the net of notebook 06, then one thing changed
    "gru_64": {},
    "rnn_64": {"cell": "rnn"},
    "lstm_64": {"cell": "lstm"},
    "no_dropout": {"dropout": 0.0},
    "unstopped": {"steps": 1000, "patience": None},
}
LISTS = {"60": ("towns", 60), "300": ("rivers", 300), "900": ("towns", 900)}


def learn_list(which, seed, cell="gru", dropout=0.3, steps=0, patience=5):
    """Train on one of LISTS as `learn` of notebook 06 does, or for so many steps.

    Perplexity on 175 entries or more of the same kind that are not in the list; share of copies
    among 500 inventions at T = 0.8.
    """
    name, count = LISTS[which]
    every = np.random.default_rng(0).permutation(read_list(DATA / f"{name}.txt")).tolist()
    letters = Vocabulary.build("".join(every), specials=LIST_SPECIALS)
    encode = lambda entries: [letters.encode_name(entry) for entry in entries]
    torch.manual_seed(seed)
    ids = encode(np.random.default_rng(seed).permutation(every[:count]))
    held = count // 10
    batches, valid = NameBatches(ids[held:], 32, seed), NameBatches(ids[:held], 200)
    steps = steps or max(100, 20 * len(batches))
    plan = Plan(steps, decay=True, every=max(20, len(batches)), patience=patience)
    model = LetterModel(len(letters), 64, cell, dropout)
    train(model, batches, torch.optim.Adam(model.parameters(), lr=0.01), plan, valid=valid)
    invented = sampling.sample_names(model, letters, 500, temperature=0.8, seed=seed, max_length=60)
    copies = sum(entry in every[:count] for entry in invented) / 500
    return math.exp(evaluate(model, NameBatches(encode(every[count:][:200]), 200))), copies


def train_as_in_lecture(text: str, steps: int) -> History:
    """The lecture's run: words split at blanks, all in the vocabulary, no validation.

    Batches of 16 streams by 32 words, embedding 64, LSTM 64, one linear layer over all types,
    Adam 0.01, clip 5. Seeded.
    """
    words = text.split()
    vocabulary = Vocabulary.build(words, specials=())
    torch.manual_seed(0)
    model = WordModel(len(vocabulary), embedding_size=64, hidden_size=64)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    batches = StreamBatches(vocabulary.encode(words), batch_size=16, seq_len=32)
    plan = Plan(steps, clip=5.0)
    return train(model, batches, optimizer, plan, callbacks=[progress_bar(plan)])


def lecture_curve(steps: int = 950):
    """Each step of the lecture's run on the novel: loss and gradient norm."""
    history = train_as_in_lecture(load_novel().text, steps)
    if history.stopped == "interrupted":
        raise KeyboardInterrupt
    for step, measured in enumerate(zip(history.loss, history.grad_norm, strict=True), start=1):
        loss, norm = (f"{value:.4f}" for value in measured)
        yield {"step": step, "loss": loss, "grad_norm": norm}


class Words:
    """A text as notebook 07 takes it: its three parts as words and as ids, its trigram."""

    def __init__(self, text: Text):
        self.is_story = text.source == "story"
        self.words = [split_words(part) for part in cut(text.text)]
        forms = storyteller().forms() if self.is_story else ()
        self.vocabulary = Vocabulary.build(self.words[0], min_count=2, always=forms)
        self.ids = [self.vocabulary.encode(words) for words in self.words]
        self.trigram = metrics.KneserNey(3, len(self.vocabulary)).fit(self.ids[:1])


def train_words(
    words: Words, net: str, seed: int, callbacks=(), slow=False
) -> tuple[WordModel, History]:
    """Notebook 07's training: the lecture's net, or the wider one, "full" or "adaptive" softmax.

    For each text one of the two is what the notebook takes: adaptive for the novel. `slow`: with a
    step size of 0.002 on the novel and of 0.005 on the tale in place of the notebook's.
    """
    size, is_large = len(words.vocabulary), len(words.vocabulary) > 5000
    lr, dropout, cutoffs = (0.005, 0.3, (1000, 5000)) if is_large else (0.01, 0.1, (200, 600))
    torch.manual_seed(seed)
    if net == "lecture":
        model, lr, streams = WordModel(size), 0.01, 16
        plan = Plan(400, clip=5.0)
    else:
        groups = cutoffs if net == "adaptive" else ()
        model, streams = WordModel(size, 128, 192, dropout=dropout, cutoffs=groups), 20
        plan = Plan(1300, clip=1.0, decay=True, patience=3)
        if slow:
            lr = 0.002 if is_large else 0.005
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    batches = StreamBatches(words.ids[0], streams, seq_len=32)
    valid = StreamBatches.to_score(words.ids[1], batch_size=10, seq_len=50)
    return model, train(model, batches, optimizer, plan, valid=valid, callbacks=callbacks)


def right_share(words: Words, model: WordModel, temperature: float, count: int = 3000) -> float:
    """The share of the sentences a net writes that the grammar of the tale can produce."""
    teller, rule = storyteller(), {"seed": 0, "temperature": temperature}
    text = sampling.continue_text(model, words.vocabulary, ".", count, **rule)[0]
    sentences, is_quoted = [[]], False
    for word in split_words(text):
        sentences[-1].append(word)
        is_quoted = word == "«" or (is_quoted and word != "»")
        if word in ".!?…" and not is_quoted:
            sentences.append([])
    return np.mean([teller.is_grammatical(sentence) for sentence in sentences[1:-1]] or [0])


def agreement(words: Words, model: WordModel) -> Iterator[tuple[str, str, float]]:
    """For each distance to the verb, the share of right forms: of the net and of its rivals."""
    cases, count = storyteller().agreement(600, seed=1), Counter(words.words[0])
    hits = []
    for case in cases:
        pair = words.vocabulary.encode([case.right, case.wrong])
        x = torch.tensor([words.vocabulary.encode([".", *case.prefix])])
        with torch.no_grad():
            log_probs = model(x)[0][0, -1, pair].tolist()
        ngram = words.trigram.distribution(x[0, -2:].tolist())[pair].tolist()
        both = log_probs, ngram, (count[case.right], count[case.wrong])
        hits.append([(p > q) + 0.5 * (p == q) for p, q in both])
    far = np.array([case.distance for case in cases])
    groups = {"2–6": far <= 6, "7–8": (far > 6) & (far < 9), "9–": far > 8, "all": far > 0}
    for name, group in groups.items():
        shares = np.mean(np.array(hits)[group], axis=0)
        for rival, share in zip(("", "trigram", "frequency"), shares, strict=True):
            yield rival, name, share


def quote_neuron(words: Words, model: WordModel) -> Iterator[tuple[str, float]]:
    """The neuron whose c_t, by a threshold, best says on 3,000 words whether a quotation is open.

    The mean share of words inside and outside that are told rightly, there and on the next 3,000;
    and the correlation of its c_t with the place in the quotation ("drift").
    """
    part, cells_seen, state = words.words[1][:6000], [], None
    ids = torch.tensor([words.vocabulary.encode(part)])
    with torch.no_grad():
        for t in range(len(part)):
            _, state = model.features(ids[:, t : t + 1], state)
            cells_seen.append(state[1][0, 0])
    c, depth = torch.stack(cells_seen).numpy(), 0
    place = np.zeros(len(part), int)  # in the quotation, 0 outside
    for t, word in enumerate(part):
        depth += (word == "«") - (word == "»")
        place[t] = place[t - 1] + 1 if depth > 0 else 0
    first, second = slice(0, 3000), slice(3000, 6000)
    inside, chosen = place > 0, (0.0,)
    for k in range(c.shape[1]):
        order = np.argsort(c[first, k])
        low = inside[first][order]
        gap = np.cumsum(low) / low.sum() - np.cumsum(~low) / (~low).sum()
        best = np.abs(gap).argmax()
        chosen = max(chosen, (abs(gap[best]), k, c[first, k][order][best], gap[best] > 0))
    _, k, threshold, is_low = chosen
    told = (c[:, k] <= threshold) == is_low
    for name, half in (("first", first), ("second", second)):
        right = told[half] == inside[half]
        yield name, (right[inside[half]].mean() + right[~inside[half]].mean()) / 2
    yield "drift", np.corrcoef(c[inside, k], place[inside])[0, 1]


LAB_NETS = ("lecture", "full", "adaptive")
RULES = {  # how notebook 07 lets a net choose the next word
    "жадно": {"temperature": 0},
    "сеть": {},
    "T = 0,6": {"temperature": 0.6},
    "top-5": {"top_k": 5},
    "top-5 поровну": {"top_k": 5, "uniform": True},
    "ядро 0,7": {"top_p": 0.7},
}


def words_run(words: Words, net: str, seed: int) -> Iterator[tuple]:
    """One net of `train_words`: (step, measure, of, value) of all that notebook 07 tells of it."""
    seen = []

    def write(model, prompt, count, **rule):
        return sampling.continue_text(model, words.vocabulary, prompt, count, **rule)[0]

    def look(history, model):
        if net != "lecture" and (step := len(history.loss)) in (50, 300, 1300):
            if seed == 0:
                text = write(model, "Анна", 16, seed=3, top_p=0.9)
                seen.append((step, "wrote", "ядро 0,9", text))
            if words.is_story:
                seen.append((step, "right", "1.0", right_share(words, model, 1.0)))

    model, history = train_words(words, net, seed, [look])
    for step, loss in zip(history.valid_step, history.valid_loss, strict=True):
        yield step, "train", "", np.mean(history.loss[step - 50 : step])
        yield step, "valid", "", loss
    last = len(history.loss)
    test = StreamBatches.to_score(words.ids[2], batch_size=1, seq_len=500)
    yield last, "test", "", evaluate(model, test)
    yield from seen
    if net == "lecture":
        if seed == 0:
            text = write(model, "Анна Не", 60, seed=3, **RULES["top-5 поровну"])
            yield last, "wrote", "лекция", text
        return
    written = split_words(write(model, ".", 300, seed=0))
    yield last, "copied", "", metrics.longest_copied_span(written, words.words[0])[1]
    if seed == 0:
        for name, rule in RULES.items():
            yield last, "wrote", name, write(model, "Анна", 24, seed=3, **rule)
    if net == ("full" if words.is_story else "adaptive"):  # what the notebook takes
        for half, share in quote_neuron(words, model):
            yield last, "quote", half, share
    if words.is_story:
        for temperature in (0.7, 1.2):
            share = right_share(words, model, temperature)
            yield last, "right", f"{temperature}", share
        for rival, distance, share in agreement(words, model):
            yield last, f"agree {rival}".strip(), distance, share


def novel_results():
    """The nets of notebook 07 on the tale and on the novel: losses, samples, agreement."""
    for text in (story_text(), load_novel()):
        words, name = Words(text), "story" if text.source == "story" else "novel"
        row = {"text": name, "net": "trigram", "seed": "", "step": 0, "measure": "", "of": ""}
        for measure, ids in zip(("valid", "test"), words.ids[1:], strict=True):
            nats = words.trigram.nats([ids]).mean()
            yield row | {"measure": measure, "value": f"{nats:.4f}"}
        for net, seed in product(LAB_NETS, SEEDS):
            for step, measure, of, value in words_run(words, net, seed):
                shown = value if isinstance(value, str) else f"{value:.4f}"
                told = {"net": net, "seed": seed, "step": step, "measure": measure, "of": of}
                yield row | told | {"value": shown}
        for net in ("full", "adaptive"):
            loss = train_words(words, net, 0, slow=True)[1].valid_loss[-1]
            told = {"net": net, "seed": 0, "step": 1300, "measure": "valid slow"}
            yield row | told | {"value": f"{loss:.4f}"}


def gates():
    """Forget bias: accuracy and steps at lag 30; aⁿbⁿ: the first n that fails; both .pt files."""
    train_letters()
    for bias, seed in product((-1, 0, 1, 2, 3), SEEDS):
        accuracy, steps = learn_order("lstm", 30, seed, steps=2000, forget_bias=float(bias))
        row = {"experiment": "forget_bias", "net": bias, "seed": seed}
        yield row | {"accuracy": f"{accuracy:.3f}", "count": steps}
    counters = {}
    for cell, seed in product(COUNTERS, SEEDS):
        count, net, head = learn_to_count(cell, seed)
        if cell == "lstm":
            counters[seed] = {"net": net.state_dict(), "head": head.state_dict()}
        row = {"experiment": "counting", "net": cell, "seed": seed, "accuracy": ""}
        yield row | {"count": count}
    save_atomically(counters, DATA / "counters.pt")


def letters():
    """The letters net with five seeds (0 is letters.pt): what its gates do over the last tenth."""
    text = story_text().text
    held_out = text[-(len(text) // 100 * 10) :]
    for seed in SEEDS:
        model, vocabulary = fit_letters(seed)[:2] if seed else load_letters()
        row = {"seed": seed} | past_tense(model, vocabulary, held_out)
        yield row | phrases(model, vocabulary, text[-6000:])


def order():
    """Temporal order at lag 30: memory and error kept apart; rivals of the LSTM, shut and open."""
    runs = [("ways", net, False) for net in WAYS]
    runs += [("rivals", net, is_open) for net in RIVALS for is_open in (False, True)]
    for (experiment, net, is_open), seed in product(runs, SEEDS):
        accuracy, steps = fit_order(*order_net(net, seed, is_open), 30, seed, steps=1000)
        row = {"experiment": experiment, "net": net, "open": int(is_open), "seed": seed}
        yield row | {"accuracy": f"{accuracy:.3f}", "steps": steps}


def lags():
    """Each net, lag and seed: what it reaches."""
    for net, lag, seed in product(NETS, (5, 10, 20, 30, 60), SEEDS):
        accuracy, steps = learn_order(lag=lag, seed=seed, **NETS[net])
        yield {"net": net, "lag": lag, "seed": seed, "accuracy": f"{accuracy:.3f}", "steps": steps}


def name_nets():
    """Each net of NAME_NETS and each seed: perplexity on women's and on men's names held out."""
    for net, seed in product(NAME_NETS, SEEDS):
        women, *men = (f"{score:.3f}" for score in learn_names(seed, **NAME_NETS[net]))
        yield {"net": net, "seed": seed, "women": women, "men": "".join(men)}


def list_nets():
    """Each net of LIST_NETS on each of LISTS: perplexity on others of its kind, copies written."""
    for net, which, seed in product(LIST_NETS, LISTS, range(3)):
        score, copies = learn_list(which, seed, **LIST_NETS[net])
        row = {"list": which, "net": net, "seed": seed}
        yield row | {"perplexity": f"{score:.2f}", "copies": f"{copies:.3f}"}


def scales():
    """Three layers on `tasks.two_speeds`: how slow each is, before and after the training."""
    for net, seed in product(STACKED, SEEDS):
        times = learn_two_speeds(net, seed)
        for layer, (before, after) in enumerate(times, start=1):
            row = {"net": net, "seed": seed, "layer": layer}
            yield row | {"before": f"{before:.2f}", "after": f"{after:.2f}"}


def distance():
    """Bits to the left and to the right of each place, told by two ways of reading."""
    for net, far, seed in product(BOTH_SIDES, (2, 4, 8, 12), SEEDS):
        accuracy, steps = learn_both_sides(net, far, seed)
        row = {"net": net, "distance": far, "seed": seed}
        yield row | {"accuracy": f"{accuracy:.3f}", "steps": steps}


def depth():
    """One, two and three layers of about as many weights, at three rates: the loss held out."""
    marks = 100, 300, 1000
    for layers, rate, seed in product(STACKS, (0.003, 0.01, 0.03), SEEDS):
        for step, loss in zip(marks, learn_letters(layers, rate, seed, marks), strict=True):
            row = {"layers": layers, "rate": rate, "seed": seed, "step": step}
            yield row | {"loss": f"{loss:.4f}"}


def truncation():
    """Each text, window and seed, the state carried or reset: the loss held out."""
    windows = product(("echo", "story"), (1, 2, 4, 8, 16, 32), ("carried", "reset"), SEEDS)
    for text, seq_len, state, seed in windows:
        loss = truncation_loss(text, seq_len, state == "carried", seed)
        row = {"text": text, "seq_len": seq_len, "state": state, "seed": seed}
        yield row | {"loss": f"{loss:.4f}"}


def taught(model, ids, steps):
    """The ready network after so many steps on a text; the table of words stays as it was."""
    model = model.folded().train()
    model.words.requires_grad_(False)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    batches, adam = StreamBatches(ids, 16, 35), torch.optim.Adam(weights, lr=0.001, fused=True)
    train(model, batches, adam, Plan(steps, clip=1.0, decay=True, every=steps))
    return model


def price(model, vocabulary, learned, words) -> float:
    """Nats a character of `words`, ⟨unk⟩ charged for its letters."""
    ids = torch.tensor(vocabulary.encode(words))
    nats = evaluate(model, StreamBatches.to_score(ids, 1, 500)) * (len(ids) - 1)
    unknown, rare = ([w for w in part if w not in vocabulary] for part in (words[1:], learned))
    spelled = metrics.spelling_nats(unknown, sorted(set(rare)))
    return metrics.nats_per_char(nats, spelled, len(" ".join(words[1:])) + 1)


def transfer(author="dostoevsky", title="Игрок", epochs=2, alone=10):
    """A book of another author: the ready network before and after it, a new one; ninth tenth."""
    (file,) = (file for file in prose_files(author) if file.path.stem == title)
    text = without_yo(read_prose([file], f"«{title}»")[title])
    words = split_words(text)
    a, b = (len(words) * tenths // 10 for tenths in (8, 9))
    learned, held_out = words[:a], words[a:b]
    model, vocabulary = load_pretrained()
    before = price(model, vocabulary, learned, held_out)
    yield {"net": "ready", "seed": 0, "nats": round(before, 4)}
    ids = torch.tensor(vocabulary.encode(learned))
    for seed in SEEDS[:3]:
        torch.manual_seed(seed)
        net = taught(load_pretrained()[0], ids, epochs * len(StreamBatches(ids, 16, 35)))
        after = price(net, vocabulary, learned, held_out)
        yield {"net": "taught", "seed": seed, "nats": round(after, 4)}
    corpus = divide(text)
    valid = StreamBatches.to_score(corpus.valid, 8, 100)
    every = len(StreamBatches(corpus.train, 16, 35))
    for seed in SEEDS[:3]:
        plan = Plan(alone * every, seconds=899, clip=1.0, decay=True, every=every, patience=10)
        net, _ = train_novel(corpus, plan, batch_size=16, seed=seed, valid=valid)
        nats = price(net, corpus.vocabulary, learned, held_out)
        yield {"net": "new", "seed": seed, "nats": round(nats, 4)}


# Who wrote this?

Judge = Callable[[list[list[str]]], np.ndarray]
PAGE_LENGTHS = [25, 50, 100, 200, 400]
MOST_READ = 300_000  # words, of each author


def plain_words(text: str) -> list[str]:
    """Words in lower case without marks; ⟨unk⟩ stands for a capitalised or a foreign one.

    Else names of persons, French and a printer's dashes would tell the author.
    """
    words = (word for word in split_words(without_yo(text)) if word[0].isalnum())
    return [word if re.fullmatch("[а-я]+(-[а-я]+)*", word) else UNK for word in words]


def books_of(author: str) -> list[list[str]]:
    """The books of an author as `plain_words`, the longest first; volumes are one book."""
    books = defaultdict(list)
    for title, text in read_prose(prose_files(author), f"прозу автора {author}").items():
        books[title.split(". Том")[0]] += plain_words(text)
    return sorted(books.values(), key=len, reverse=True)


def shelves(books: list[list[str]], seed: int) -> tuple[list[list[str]], list[list[str]]]:
    """Books to learn from, and every fifth one to be judged."""
    first = (2 + seed) % len(books)  # of many books the two largest are always learned from
    held_out = range(first, len(books), 5)
    return [w for k, w in enumerate(books) if k not in held_out], [books[k] for k in held_out]


def pages(books: list[list[str]], length: int, most: int = 200) -> list[list[str]]:
    """At most so many pages of so many words, taken evenly from all the books."""
    whole = [w[i : i + length] for w in books for i in range(0, len(w) - length + 1, length)]
    return [whole[k * len(whole) // most] for k in range(most)] if len(whole) > most else whole


def word_network(words: list[str], vocabulary: Vocabulary, seed: int, steps: int) -> Judge:
    """The recipe for a few minutes, as a judge: pages, the first word given → −ln p (pages,)."""
    corpus = Corpus(vocabulary, torch.tensor(vocabulary.encode(words)), None, None)
    net = train_novel(corpus, recipe(steps, seconds=899), seed=seed)[0].folded().eval()

    @torch.no_grad()
    def nats(pages):
        ids = torch.tensor([vocabulary.encode(page) for page in pages])
        parts = [net.nats(Batch(x[:, :-1], x[:, 1:]))[0].view(len(x), -1) for x in ids.split(50)]
        return torch.cat(parts).sum(1).numpy()

    return nats


def trigram(words: list[str], encode, size: int) -> Judge:
    """A Kneser–Ney trigram of what `encode` makes of the words, as a judge."""
    gram = metrics.KneserNey(3, size).fit([encode(words)])
    return lambda pages: np.array([gram.nats([encode(page)]).sum() for page in pages])


def experts(read: list[list[list[str]]], seed: int, steps: int) -> dict[str, list[Judge]]:
    """Of each kind of judge one for each author, all of whom have read equally much."""
    size = min(MOST_READ, *(sum(map(len, books)) for books in read))
    shares = [size / sum(map(len, books)) for books in read]
    read = [
        [word for book in books for word in book[: round(len(book) * share)]]
        for books, share in zip(read, shares, strict=True)
    ]
    vocabulary = Vocabulary.build(chain(*read), min_count=3)
    letters = Vocabulary.build("".join(word for word in vocabulary.tokens[1:]), (UNK, " "))
    spell = lambda words: letters.encode(f" {' '.join(w for w in words if w != UNK)} ")
    return {
        "network": [word_network(words, vocabulary, seed, steps) for words in read],
        "words": [trigram(words, vocabulary.encode, len(vocabulary)) for words in read],
        "letters": [trigram(words, spell, len(letters)) for words in read],
    }


def authors(first="tolstoy", second="dostoevsky", steps=700):
    """Whose page is it? The share told rightly by which of two experts finds it likelier.

    Of each kind of judge, seed (it holds out other books and makes other nets) and length of a
    page in words; the two authors count equally.
    """
    for author in (first, second):
        prose_files(author)  # an unknown one is told before anything is downloaded
    libraries = [books_of(author) for author in (first, second)]
    for seed in SEEDS[:3]:
        read, unread = zip(*(shelves(books, seed) for books in libraries), strict=True)
        judges = experts(read, seed, steps)
        for length, judge in product(PAGE_LENGTHS, judges):
            rights = []
            for books, sign in zip(unread, (1, -1), strict=True):
                page = pages(books, length)
                mine, other = (nats(page) for nats in judges[judge])
                rights.append(np.mean(sign * (other - mine) > 0))
            row = {"second": second, "judge": judge, "seed": seed, "length": length}
            yield row | {"right": f"{np.mean(rights):.4f}"}


# Notebook 08: the index of the Moscow Exchange

SERIES_NETS = ("rnn", "gru", "lstm")
RIDGES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def squares(forecast: np.ndarray, y: np.ndarray, rows: slice) -> np.ndarray:
    """Squared errors of a forecast on some rows."""
    return (forecast - y)[rows] ** 2


def chosen(forecasts: dict, y: np.ndarray, middle: slice) -> np.ndarray:
    """The forecast that is best on the middle part."""
    return min(forecasts.values(), key=lambda f: squares(f, y, middle).mean())


def mean_of_days(v: np.ndarray, days: int) -> np.ndarray:
    """The mean of today and the days before it, `days` in all."""
    return lagged(v, days).mean(1)


def ewma(v: np.ndarray, decay: float) -> np.ndarray:
    """Exponentially weighted mean of today and all days before it."""
    mean = v.copy()
    for t in range(1, len(v)):
        mean[t] = decay * mean[t - 1] + (1 - decay) * v[t]
    return mean


def har(v: np.ndarray) -> np.ndarray:
    """Features of HAR (days, 3): today, the mean of a week, of a month (Corsi 2009)."""
    return np.stack([mean_of_days(v, days) for days in (1, 5, 22)], axis=1)


def rivals(v, r, y, rows) -> dict[str, np.ndarray]:
    """Forecasts (days,) of those who are no nets; choices are made on the middle part."""
    train, middle, _ = rows
    twenty = np.hstack([lagged(v, 20), lagged(r, 20)])
    with_falls = np.hstack([har(v), har(np.minimum(r, 0))])
    return {
        "yesterday": v,
        "mean": mean_of_days(v, 22),
        "ewma": chosen({d: ewma(v, d) for d in np.arange(0.5, 1, 0.02)}, y, middle),
        "har": least_squares(har(v), y, train),
        "har_falls": least_squares(with_falls, y, train),
        "ridge": chosen({k: least_squares(twenty, y, train, k) for k in RIDGES}, y, middle),
    }


def garch(r: np.ndarray, y: np.ndarray, train: slice) -> np.ndarray | None:
    """Forecasts of y by ln σ of GARCH(1,1), which sees returns only; None without arch."""
    try:
        from arch import arch_model
    except ImportError:
        return None
    percent = 100 * r
    model = arch_model(percent[train], mean="Constant", vol="GARCH", p=1, q=1)
    mu, omega, alpha, beta = model.fit(disp="off").params
    variance = np.empty(len(r))  # of the next day
    before = percent[train].var()
    for t, value in enumerate(percent):
        before = variance[t] = omega + alpha * (value - mu) ** 2 + beta * before
    return least_squares(np.log(variance)[:, None] / 2, y, train)


def one_epoch(net, head, optimizer, windows) -> None:
    """Truncated BPTT over pairs of windows x, y (streams, time, …), the state carried."""
    weights, state = [*net.parameters(), *head.parameters()], None
    for x, y in windows:
        h, state = net(x, detach(state))
        optimizer.zero_grad()
        (head(h) - y).square().mean().backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()


def learn_series(cell, x, y, rows, seed, epochs=60, units=16, streams=8, window=50, rate=0.005):
    """Forecasts (days, targets) of a net that read x (days, features); those of its best epoch.

    Truncated BPTT on streams of the training part, the state carried; chosen on the middle part.
    """
    torch.manual_seed(seed)
    train, middle, _ = rows
    scale = lambda a, level, spread: torch.tensor((a - level) / spread, dtype=torch.float32)
    level, spread = level_and_spread(y, train)
    inputs, targets = scale(x, *level_and_spread(x, train)), scale(y, level, spread)
    length = train.stop // streams
    cut_up = lambda a: a[: streams * length].view(streams, length, -1).split(window, 1)
    net, head = LAYERS[cell](x.shape[1], units, batch_first=True), nn.Linear(units, y.shape[1])
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=rate)
    best, kept = math.inf, None
    for _ in range(epochs):
        one_epoch(net, head, optimizer, zip(cut_up(inputs), cut_up(targets), strict=True))
        with torch.no_grad():
            forecast = head(net(inputs[None])[0])[0]
        loss = (forecast - targets)[middle].square().mean().item()
        if loss < best:
            best, kept = loss, (forecast.numpy() * spread + level, state_of(net, head))
    return kept


def level_and_spread(a: np.ndarray, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column (columns,), of these rows only."""
    return a[rows].mean(0), a[rows].std(0)


def state_of(*modules) -> list[dict]:
    """Copies of the weights of modules."""
    return [{name: w.clone() for name, w in m.state_dict().items()} for m in modules]


def volatility(days: str):
    """What is known each evening, what is asked, and the parts: v, r, y, rows, dates.

    `days`: "all", or "traded" without those on which high = low.
    """
    series = read_series()
    if days == "traded":
        series = Series(*(column[series.high > series.low] for column in series))
    v, r = log_range(series), np.diff(np.log(series.close), prepend=np.log(series.close[0]))
    return v, r, np.append(v[1:], np.nan), parts(len(v)), series.dates


def series_row(experiment, model, value, *, days="traded", seed="", part="last", step=1, values=()):
    """A row of the table; `values` (time,) are those that `value` is the mean of."""
    row = {"experiment": experiment, "days": days, "model": model, "seed": seed, "part": part}
    ends = np.quantile(metrics.block_means(values), (0.025, 0.975)) if len(values) else ()
    low, high = (f"{end:.5f}" for end in ends) if len(values) else ("", "")
    return row | {"step": step, "value": f"{value:.5f}", "low": low, "high": high}


def all_forecasts(v, r, y, rows, seeds=SEEDS) -> dict[tuple, np.ndarray]:
    """(model, seed) → forecasts (days,); the mean of a net's seeds stands under seed «mean»."""
    found = {(model, ""): forecast for model, forecast in rivals(v, r, y, rows).items()}
    if (by_garch := garch(r, y, rows[0])) is not None:
        found["garch", ""] = by_garch
    for cell in SERIES_NETS:
        for seed in seeds:
            forecast, _ = learn_series(cell, np.stack([v, r], 1), y[:, None], rows, seed)
            found[cell, seed] = forecast[:, 0]
        found[cell, "mean"] = np.mean([found[cell, seed] for seed in seeds], axis=0)
    return found


def best_rival(found: dict, y: np.ndarray, middle: slice) -> str:
    """The model without a net that is best on the middle part."""
    names = [model for model, _ in found if model not in SERIES_NETS]
    return min(names, key=lambda model: squares(found[model, ""], y, middle).mean())


def series_errors(days: str) -> Iterator[dict]:
    """Errors of all on the middle and on the last part; what the nets gain; the risk of a fall."""
    v, r, y, rows, _ = volatility(days)
    found = all_forecasts(v, r, y, rows)
    for (model, seed), forecast in found.items():
        for part, where in zip(("train", "middle", "last"), rows, strict=True):
            loss = squares(forecast, y, where)
            yield series_row("error", model, loss.mean(), days=days, seed=seed, part=part)
    rival = best_rival(found, y, rows[1])
    for cell in SERIES_NETS:
        nets = [squares(found[cell, seed], y, rows[2]) for seed in SEEDS]
        for seed, loss in [
            ("", np.mean(nets, 0)),
            ("mean", squares(found[cell, "mean"], y, rows[2])),
        ]:
            gain = squares(found[rival, ""], y, rows[2]) - loss
            name = f"{rival} - {cell}"
            yield series_row("gain", name, gain.mean(), days=days, seed=seed, values=gain)
    if days == "traded":
        yield from series_risk({**found, ("constant", ""): np.zeros_like(v)}, r, rows)


def series_risk(found: dict, r: np.ndarray, rows) -> Iterator[dict]:
    """Share of days beyond the forecast 5 % quantile, and the quantile loss in percent."""
    train, _, last = rows
    after = np.append(r[1:], np.nan)
    for (model, seed), forecast in found.items():
        quantile = np.exp(forecast) * np.quantile((after / np.exp(forecast))[train], 0.05)
        beyond = (after < quantile)[last]
        yield series_row("risk", model, beyond.mean(), seed=seed, values=beyond)
        loss = 100 * ((0.05 - (after < quantile)) * (after - quantile))[last]
        yield series_row("quantile_loss", model, loss.mean(), seed=seed, values=loss)


def series_origins(years=range(2016, 2022)) -> Iterator[dict]:
    """Errors year after year: learned before, chosen on the year before, scored on the year."""
    v, r, y, _, dates = volatility("traded")
    gains = {cell: [] for cell in SERIES_NETS}
    for year in years:
        starts = np.searchsorted(dates, [np.datetime64(f"{year + k}-01-01") for k in (-1, 0, 1)])
        a, b, c = (int(start) - 1 for start in starts)
        rows = slice(0, a), slice(a, b), slice(b, min(c, len(v) - 1))
        found = all_forecasts(v, r, y, rows)
        for (model, seed), forecast in found.items():
            loss = squares(forecast, y, rows[2])
            yield series_row("origin", model, loss.mean(), seed=seed, part=year)
        rival = squares(found[best_rival(found, y, rows[1]), ""], y, rows[2])
        for cell in SERIES_NETS:
            nets = [squares(found[cell, seed], y, rows[2]) for seed in SEEDS]
            gains[cell].append(rival - np.mean(nets, 0))
    for cell, parts_of in gains.items():
        gain = np.concatenate(parts_of)
        yield series_row("origin_gain", cell, gain.mean(), part="all years", values=gain)


def series_steps(longest: int = 20, seeds=SEEDS) -> Iterator[dict]:
    """Errors 1…20 days ahead of v from v alone: each day asked directly, or step by step."""
    v, _, _, (train, middle, last), _ = volatility("traded")
    y = np.stack([np.append(v[k:], np.full(k, np.nan)) for k in range(1, longest + 1)], 1)
    rows = [slice(part.start, part.stop - longest + 1) for part in (train, middle, last)]
    found = {("mean", ""): np.repeat(mean_of_days(v, 22)[:, None], longest, 1)}
    direct = [least_squares(har(v), y[:, k], rows[0]) for k in range(longest)]
    found["har_direct", ""] = np.stack(direct, 1)
    for seed in seeds:
        found["lstm_direct", seed], _ = learn_series("lstm", v[:, None], y, rows, seed)
        one, weights = learn_series("lstm", v[:, None], y[:, :1], (train, middle, last), seed)
        found["lstm_steps", seed] = step_by_step(v, weights, train, one, longest)
    for (model, seed), forecast in found.items():
        for k in range(longest):
            loss = squares(forecast[:, k], y[:, k], rows[2])
            yield series_row("steps", model, loss.mean(), seed=seed, step=k + 1)
    of = lambda model, seed, k: squares(found[model, seed][:, k], y[:, k], rows[2])
    for k in range(longest):
        nets = np.mean([of("lstm_steps", seed, k) for seed in seeds], 0)
        gain = of("har_direct", "", k) - nets
        yield series_row(
            "steps_gain", "har_direct - lstm_steps", gain.mean(), step=k + 1, values=gain
        )


def step_by_step(v, weights, train, one, longest: int) -> np.ndarray:
    """Forecasts (days, longest) of an LSTM that reads, after today, its own answers."""
    units = weights[1]["weight"].shape[1]
    net, head = nn.LSTM(1, units, batch_first=True), nn.Linear(units, 1)
    net.load_state_dict(weights[0])
    head.load_state_dict(weights[1])
    seen, target = v[train], v[1 : train.stop + 1]
    scale = lambda a: torch.tensor((a - seen.mean()) / seen.std(), dtype=torch.float32)[
        :, None, None
    ]
    with torch.no_grad():
        states, state = [], None
        for x in scale(v):
            states.append(state := net(x[None], state)[1])
        state = tuple(torch.cat(part, 1) for part in zip(*states, strict=True))  # every evening's
        answers = []
        for _ in range(longest):
            answers.append(head(state[0][0])[:, 0].numpy() * target.std() + target.mean())
            state = net(scale(answers[-1]), state)[1]
    assert np.allclose(answers[0], one[:, 0], atol=1e-4)
    return np.stack(answers, 1)


LEAKS = ("early", "honest", "minmax", "shuffled", "today")


def learn_price(leak: str, seed: int, window=20, units=16, epochs=25) -> dict[tuple, float]:
    """RMSE in points of an LSTM on the price and of yesterday's price, on what it has seen and not.

    As such forecasts are made: windows of prices between 0 and 1, 0.85 of them to learn, the rest
    to judge; "early": 0.7 to learn, the same to judge. `leak`: "minmax" of all days; "shuffled"
    windows; "today" stands in the window and is asked.
    """
    torch.manual_seed(seed)
    close = read_series().close
    windows = np.lib.stride_tricks.sliding_window_view(close, window + 1)
    order = np.arange(len(windows))
    if leak == "shuffled":
        order = np.random.default_rng(seed).permutation(order)
    train, test = (
        order[: int((0.7 if leak == "early" else 0.85) * len(order))],
        order[int(0.85 * len(order)) :],
    )
    known = close if leak == "minmax" else windows[train]
    low, high = known.min(), known.max()
    scaled_prices = torch.tensor((windows - low) / (high - low)).float()[..., None]
    inputs = scaled_prices[:, 1:] if leak == "today" else scaled_prices[:, :-1]
    targets = scaled_prices[:, -1, 0]
    net, head = nn.LSTM(1, units, batch_first=True), nn.Linear(units, 1)
    weights = [*net.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(weights, lr=0.01)
    answer = lambda part: head(net(inputs[part])[0][:, -1])[:, 0]
    for _ in range(epochs):
        for part in torch.tensor(train)[torch.randperm(len(train))].split(128):
            optimizer.zero_grad()
            (answer(part) - targets[part]).square().mean().backward()
            optimizer.step()
    with torch.no_grad():
        forecast = answer(slice(None)).numpy() * (high - low) + low
    rmse = lambda f, part: float(np.sqrt(np.mean((f - windows[:, -1])[part] ** 2)))
    models = {"lstm": forecast, "yesterday": windows[:, -2]}
    where = {"train": train, "last": test}
    return {(m, p): rmse(models[m], where[p]) for m, p in product(models, where)}


def series_leaks() -> Iterator[dict]:
    """The beautiful forecast of the price, honest and with each leak."""
    for leak, seed in product(LEAKS, SEEDS):
        for (model, part), value in learn_price(leak, seed).items():
            yield series_row("leak", model, value, days=leak, seed=seed, part=part)


WORLDS = ("straight", "bent")  # whether a fall of today raises the volatility of tomorrow


def made_markets(world: str, count: int, days: int, seed: int) -> tuple[np.ndarray, ...]:
    """Simulated v, r and true ln σ (count, days) of markets that all follow one law.

    ln σ is a slow and a fast autoregression; v is ln σ and the noise of a range. That is all of the
    law of the world "straight"; in the world "bent" a fall beyond half a σ raises the fast one.
    """
    random = np.random.default_rng(seed)
    slow, fast, found = np.zeros(count), np.zeros(count), []
    for _ in range(days + 300):
        level = slow + fast - 4.4
        z, r_scale = random.normal(size=count), 0.62 * np.exp(level)
        found.append((level + 0.29 * random.normal(size=count), r_scale * z, level))
        shock = (world == "bent") * (0.18 * np.maximum(-z - 0.5, 0) - 0.06)
        slow = 0.985 * slow + 0.05 * random.normal(size=count)
        fast = 0.85 * fast + shock + 0.1 * random.normal(size=count)
    return tuple(np.array(part).T[:, 300:] for part in zip(*found, strict=True))


def learn_markets(v, r, asked_v, asked_r, seed, epochs=80, learned=2100) -> np.ndarray:
    """Forecasts (markets, days) for other markets of an LSTM of 16 that learned from all of v, r.

    As `learn_series`: eight streams a market, windows of 50; chosen on the days after `learned`,
    every fourth epoch.
    """
    torch.manual_seed(seed)
    level, spread, size = v.mean(), v.std(), r.std()
    scale = lambda v, r: torch.tensor(np.stack([(v - level) / spread, r / size], -1)).float()
    x, fresh = scale(v, r), scale(asked_v, asked_r)
    net, head = nn.LSTM(2, 16, batch_first=True), nn.Linear(16, 1)
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=0.005)
    length, best = (learned - 1) // 8, math.inf
    streams = lambda a: a[:, : 8 * length].reshape(8 * len(v), length, -1).split(50, 1)
    for epoch in range(1, epochs + 1):
        one_epoch(net, head, optimizer, zip(streams(x), streams(x[:, 1:, :1]), strict=True))
        if epoch % 4:
            continue
        with torch.no_grad():
            error = head(net(x[:, :-1])[0]) - x[:, 1:, :1]
            if (loss := error[:, learned - 1 :].square().mean().item()) < best:
                best, forecast = loss, head(net(fresh)[0])[..., 0].numpy() * spread + level
    return forecast


def series_markets(counts=(1, 16), seeds=SEEDS, epochs=80) -> Iterator[dict]:
    """The same net and linear rivals that learned from one market or from 16, on thirty others."""
    falls = lambda v, r: np.hstack([har(v), har(np.minimum(r, 0))])
    features = {
        "har_falls": falls,
        "har_scaled_falls": lambda v, r: falls(v, r / np.exp(v)),
        "ridge": lambda v, r: np.hstack([lagged(v, 20), lagged(r, 20)]),
    }
    for world in WORLDS:
        asked_v, asked_r, truth = made_markets(world, 30, 550, 10**6)
        loss = lambda forecast: ((forecast - asked_v)[:, 101:] ** 2).mean()  # noqa: B023
        yield series_row("market", "oracle", loss(truth), days=world)
        for count, seed in product(counts, seeds):
            v, r, _ = made_markets(world, count, 2500, seed)
            row = partial(series_row, "market", days=world, seed=seed, part=count)
            for model, of in features.items():
                seen = np.concatenate([of(*pair)[:-1] for pair in zip(v, r, strict=True)])
                fresh = [of(*pair)[:-1] for pair in zip(asked_v, asked_r, strict=True)]
                y = np.append(v[:, 1:].ravel(), np.full(30 * 549, np.nan))
                x, known = np.concatenate([seen, *fresh]), slice(0, len(seen))
                found = least_squares(x, y, known, 0.001)[len(seen) :].reshape(30, 549)
                yield row(model, loss(np.hstack([asked_v[:, :1], found])))
            found = learn_markets(v, r, asked_v, asked_r, seed, epochs)[:, :-1]
            yield row("lstm", loss(np.hstack([asked_v[:, :1], found])))


def series():
    """Rows of data/series.csv."""
    yield from series_leaks()
    for days in ("all", "traded"):
        yield from series_errors(days)
    yield from series_steps()
    yield from series_origins()
    yield from series_markets()


def gradients():
    """The thermometer of notebook 03: linear RNNs of a spectral radius below, at and above 1."""
    panels = {}
    for rho in (0.9, 1.0, 1.1):
        nets = [random_rnn(rho, seed) for seed in range(5)]
        panels[f"ρ = {rho}".replace(".", ",")] = rnn_panel("линейная", nets, 50)
    return plots.thermometer(panels)


def surprise_of_words():
    """What the ready net writes, by the rule of notebook 07, on the colours of its surprise."""
    model, vocabulary = load_pretrained()
    start, unknown = torch.tensor(vocabulary.encode(["Анна"])), vocabulary.encode([UNK])
    ids = sampling.likeliest(model, start, 60, top_p=0.9, forbidden=unknown)
    bits = sampling.surprise(model, ids)
    label = "неожиданность слова, биты"
    return plots.coloured(vocabulary.decode(ids.tolist()), bits, label=label)


def invented_names(steps: int = 1000):
    """Names that the net of notebook 06 invents and no list has, on the colours of its surprise."""
    model, letters, _ = fit_names(0, **NAME_NETS["gru_64_dropout"] | {"steps": steps})
    known, signs, bits = {n.name for n in read_names()}, [], []
    for gender in "fm":
        rule = {"gender": gender, "temperature": 0.7, "seed": 0}
        drawn = dict.fromkeys(sampling.sample_names(model, letters, 40, **rule))
        for name in [name for name in drawn if name and name not in known][:10]:
            seen = sampling.surprise(model, letters.encode_name(name, gender)).tolist()
            signs += [*name, " "]
            bits += [*seen[1:-1], math.nan]
    return plots.coloured(signs, bits, label="неожиданность буквы, биты")


README_PICTURES = DATA.parent / ".github"
PICTURES = {make.__name__: make for make in (gradients, surprise_of_words, invented_names)}


def make_pictures() -> None:
    """The pictures of README, each written whole."""
    style.use(STYLES / "lecture.mplstyle")
    for name, make in PICTURES.items():
        with written_whole(README_PICTURES / f"{name}.png", "wb") as file:
            file.write(plots.png(make()))


MAKERS = [lags, truncation, depth, scales, distance]
MAKERS += [gates, order, letters, name_nets, list_nets, lecture_curve, novel_results, transfer]
MAKERS += [authors, series, after_lstm.memory, after_lstm.novel_letters]
TABLES = {make.__name__: make for make in MAKERS}
FILES = {"pictures": make_pictures, "name_weights": make_name_weights}


def main(arguments: list[str] | None = None) -> int:
    """Make one table and write it whole; returns the exit status: 2 for bad input."""
    speak_on_any_console()
    parser = argparse.ArgumentParser(prog="python data/make.py", description=__doc__)
    parser.add_argument("table", choices=[*TABLES, *FILES])
    parser.add_argument("--second", metavar="AUTHOR", help="of authors, into data/my_authors.csv")
    options = parser.parse_args(arguments)
    name, make = options.table, TABLES.get(options.table)
    if options.second:
        if make is not authors:
            parser.error("--second: only the table authors compares two authors")
        name, make = "my_authors", partial(authors, second=options.second)
    use_threads()
    if name in FILES:
        FILES[name]()
        return 0
    try:
        rows = list(tqdm(make(), unit="row", delay=1))
    except CorpusError as error:
        print(error, file=sys.stderr)
        return 2
    with written_whole(DATA / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
