"""Makers for notebooks 03, 04 and 05: orders, counters, lags, scales, letters of the tale."""

import re
from itertools import product

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot, pad

from lecture_utils import cells
from lecture_utils.batching import StreamBatches
from lecture_utils.checkpoints import save_model
from lecture_utils.corpora import story_text
from lecture_utils.files import DATA, save_atomically
from lecture_utils.models import LAYERS, LetterModel, WordModel
from lecture_utils.probes import LETTERS, load_letters, spectral_radius, watch_letters
from lecture_utils.tasks import (
    TEMPORAL_ORDER_SYMBOLS,
    anbn,
    context_tagging,
    echo,
    temporal_order,
    two_speeds,
)
from lecture_utils.training import Plan, train
from lecture_utils.vocabulary import Vocabulary, split_words
from makers import SEEDS

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
