"""Results too long for a notebook: `python data/make.py lags` remakes data/lags.csv in minutes.

So do truncation, gates (and letters.pt), depth, scales, distance and lecture_curve (with
LECTURE_NOVEL set to the novel).
"""

import argparse
import csv
import sys
from itertools import product

import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot, pad
from tqdm import tqdm

from lecture_utils import cells
from lecture_utils.batching import StreamBatches
from lecture_utils.corpora import CorpusError, load_novel, story_text
from lecture_utils.distributed import use_threads
from lecture_utils.files import DATA, save_atomically, speak_on_any_console, written_whole
from lecture_utils.models import LAYERS, LetterModel, WordModel
from lecture_utils.probes import LETTERS
from lecture_utils.tasks import (
    TEMPORAL_ORDER_SYMBOLS,
    anbn,
    context_tagging,
    echo,
    temporal_order,
    two_speeds,
)
from lecture_utils.training import History, Plan, progress_bar, train
from lecture_utils.vocabulary import Vocabulary, split_words

SEEDS = range(5)
NETS = {  # all the nets of the lag experiment: the layer and how it starts
    "rnn": {"cell": "rnn"},
    "rnn_orthogonal": {"cell": "rnn", "orthogonal": True},
    "lstm": {"cell": "lstm"},
    "lstm_b3": {"cell": "lstm", "forget_bias": 3.0},
}


def learn_order(cell, lag, seed, steps=2500, forget_bias=None, orthogonal=False):
    """Train 32 units on `tasks.temporal_order`: accuracy on 1,000 fresh sequences, steps taken.

    Batches of 64, Adam 0.003, clip 1; ends as soon as 99 % of the fresh ones are right. Seeded.
    `forget_bias` (LSTM only) is the sum of torch's two; `orthogonal` is a start of W.
    """
    torch.manual_seed(seed)
    train_set, test_set = (torch.Generator().manual_seed(k + seed) for k in (0, 10_000))
    symbols = len(TEMPORAL_ORDER_SYMBOLS)
    net, head = LAYERS[cell](symbols, 32, batch_first=True), nn.Linear(32, 4)
    if orthogonal:
        nn.init.orthogonal_(net.weight_hh_l0)
    if forget_bias is not None:
        net.bias_ih_l0.data[32:64], net.bias_hh_l0.data[32:64] = forget_bias, 0.0
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
    """Train an LSTM of 80 cells on the letters of the story, keep its weights: loss held out."""
    text = story_text().text
    vocabulary, tenth = Vocabulary.build(text, specials=()), len(text) // 10
    ids = torch.tensor(vocabulary.encode(text))
    batches, valid = (
        StreamBatches(part, 32, 64) for part in (ids[: 8 * tenth], ids[8 * tenth : 9 * tenth])
    )
    torch.manual_seed(0)
    model = LetterModel(len(vocabulary), 80, "lstm")
    model.rnn.bias_hh_l0.data[80:160] = 1.0
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    plan = Plan(steps, clip=1.0, decay=True, every=steps)
    loss = train(model, batches, optimizer, plan, valid=valid).valid_loss[-1]
    save_atomically({"symbols": list(vocabulary.tokens), "weights": model.state_dict()}, path)
    return loss


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


def gates():
    """Forget bias b_f: accuracy and steps at lag 30; aⁿbⁿ: the first n that fails; letters.pt."""
    train_letters()
    for bias, seed in product((-1, 0, 1, 2, 3), SEEDS):
        accuracy, steps = learn_order("lstm", 30, seed, steps=2000, forget_bias=float(bias))
        row = {"experiment": "forget_bias", "net": bias, "seed": seed}
        yield row | {"accuracy": f"{accuracy:.3f}", "count": steps}
    for net, seed in product(COUNTERS, SEEDS):
        row = {"experiment": "counting", "net": net, "seed": seed, "accuracy": ""}
        yield row | {"count": learn_to_count(net, seed)[0]}


def lags():
    """Each net, lag and seed: what it reaches."""
    for net, lag, seed in product(NETS, (5, 10, 20, 30, 60), SEEDS):
        accuracy, steps = learn_order(lag=lag, seed=seed, **NETS[net])
        yield {"net": net, "lag": lag, "seed": seed, "accuracy": f"{accuracy:.3f}", "steps": steps}


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


def main(arguments: list[str] | None = None) -> int:
    """Make one table and write it whole; returns the exit status: 2 for bad input."""
    speak_on_any_console()
    makers = lags, truncation, gates, depth, scales, distance, lecture_curve
    tables = {make.__name__: make for make in makers}
    parser = argparse.ArgumentParser(prog="python data/make.py", description=__doc__)
    parser.add_argument("table", choices=tables)
    name = parser.parse_args(arguments).table
    use_threads()
    try:
        rows = list(tqdm(tables[name](), unit="row", delay=1))
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
