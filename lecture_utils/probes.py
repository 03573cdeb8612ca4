"""What the theory notebooks measure: gradients through time, the cliff, the inside of an LSTM."""

from collections import namedtuple
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.func import jacrev, vmap
from torch.nn.functional import cross_entropy, one_hot

from lecture_utils import cells
from lecture_utils.cells import (
    LSTMWeights,
    RNNWeights,
    from_torch,
    lstm_gates,
    relu,
    rnn,
    sigmoid,
    tanh,
    unroll,
)
from lecture_utils.files import DATA, read_table
from lecture_utils.models import LAYERS, LetterModel
from lecture_utils.tasks import TEMPORAL_ORDER_SYMBOLS, anbn, temporal_order
from lecture_utils.vocabulary import Vocabulary

# f and the greatest value of f′
FUNCTIONS = {
    "линейная": (lambda a: a, 1),
    "σ": (sigmoid, 0.25),
    "tanh": (tanh, 1),
    "ReLU": (relu, 1),
}


def spectral_radius(matrix) -> np.ndarray:
    """Largest |eigenvalue| of a matrix (n, n), or of each in a stack (…, n, n)."""
    return np.abs(np.linalg.eigvals(matrix)).max(-1)


def random_rnn(radius: float, seed: int, orthogonal: bool = False) -> RNNWeights:
    """32 units, 4 weak inputs, b = 0, float64; W has the given spectral radius (0 < radius ≤ 10).

    W is Gaussian, or orthogonal: then all its singular values equal `radius` too.
    """
    if not 0 < radius <= 10:
        raise ValueError(f"Спектральный радиус ρ = {radius}: нужно число больше 0, не больше 10.")
    generator = torch.Generator().manual_seed(seed)
    W, U = torch.randn(32, 36, generator=generator, dtype=torch.float64).split([32, 4], 1)
    W = torch.linalg.qr(W).Q if orthogonal else W
    return RNNWeights(U=0.01 * U, W=W * (radius / spectral_radius(W)), b=W.new_zeros(32))


def jacobians(cell, p, x: torch.Tensor) -> np.ndarray:
    """∂s_t/∂s_{t−1} at every step of one sequence x (time, input_size): (time, n, n).

    The state of an LSTM is the pair (h, c) joined into one vector, n = 2·hidden_size.
    """

    def join(state):
        return torch.cat(state if isinstance(state, tuple) else (state,), 1)[0]

    def step(s_prev, x_t):
        parts = s_prev[None].split(p[0].shape[0], 1)
        return join(cell(p, x_t[None], parts if len(parts) > 1 else parts[0]))

    s = torch.stack([join(state) for state in unroll(cell, p, x[None])]).detach()
    before = torch.cat([torch.zeros_like(s[:1]), s[:-1]])
    return vmap(jacrev(step))(before, x).detach().numpy()


def gradient_norms(cell, weights: list, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """‖∂L/∂s_t‖ (nets, steps + 1) and ρ(∂s_t/∂s_{t−1}) (nets, steps) of several nets.

    Each reads `steps` inputs of its own from N(0, 1); its ∂L/∂s_T is a random vector of length 1.
    Raises ValueError unless 1 ≤ steps ≤ 200: further back numbers overflow.
    """
    if not 1 <= steps <= 200:
        raise ValueError(f"Число шагов T = {steps}: градиент можно послать назад на 1–200 шагов.")
    norms, radii = [], []
    for seed, p in enumerate(weights):
        random = np.random.default_rng(seed)
        x = torch.from_numpy(random.normal(size=(steps, p[0].shape[1]))).to(p[0].dtype)
        J = jacobians(cell, p, x)
        gradients = [random.normal(size=J.shape[1])]
        for J_t in J[::-1]:
            gradients.append(J_t.T @ gradients[-1])
        lengths = np.linalg.norm(gradients[::-1], axis=1)
        norms.append(lengths / lengths[-1])
        radii.append(spectral_radius(J))
    return np.array(norms), np.array(radii)


def rnn_panel(f: str, weights: list[RNNWeights], steps: int) -> tuple[np.ndarray, dict[str, float]]:
    """A panel for `plots.thermometer`: the norms, and as lines the factors ρ(W), σ_max(W)·max f′.

    The second bounds every net at every step; the first is what a linear net tends to. Raises
    ValueError if `f` is not one of FUNCTIONS.
    """
    if f not in FUNCTIONS:
        raise ValueError(f"Функции «{f}» нет: выберите {', '.join(FUNCTIONS)}.")
    function, slope = FUNCTIONS[f]
    norms, _ = gradient_norms(partial(rnn, f=function), weights, steps)
    bound = slope * max(np.linalg.norm(p.W, 2) for p in weights)
    lines = {r"$\rho^{\,T-t}$": spectral_radius(weights[0].W)}
    return norms, lines | {r"$(\sigma_{\max} \cdot \max f^{\prime})^{T-t}$": bound}


def cliff_loss(w, b, steps: int = 50) -> np.ndarray:
    """L = (s_T − 0.7)², ∂L/∂w, ∂L/∂b for s_t = σ(w s_{t−1} + b), s_0 = σ(0.5): (3, …) as w, b.

    The loss surface of Pascanu, Mikolov, Bengio (2013), figure 6.
    """
    s, ds_dw, ds_db = sigmoid(0.5), 0.0, 0.0
    for _ in range(steps):
        ds_dw, ds_db = s + w * ds_dw, 1 + w * ds_db
        s = sigmoid(w * s + b)
        ds_dw, ds_db = s * (1 - s) * ds_dw, s * (1 - s) * ds_db
    return np.array([(s - 0.7) ** 2, 2 * (s - 0.7) * ds_dw, 2 * (s - 0.7) * ds_db])


def cliff_surface(n: int = 45) -> np.ndarray:
    """w, b and L, (3, n, n + 20), on a grid that climbs the wall evenly, found by bisection."""
    w, levels = np.linspace(3.8, 5.8, n)[:, None], np.linspace(0, 0.42, 20)
    low, high = np.full((n, 20), -3.2), np.full((n, 20), -0.2)
    for _ in range(40):
        b = (low + high) / 2
        loss, _, slope = cliff_loss(w, b)
        is_above = (slope < 0) & (loss > levels)  # beyond the valley the loss rises again
        low, high = np.where(is_above, b, low), np.where(is_above, high, b)
    b = np.sort(np.hstack([b, np.tile(np.linspace(-3.2, -0.2, n), (n, 1))]))
    return np.stack([w + 0 * b, b, cliff_loss(w, b)[0]])


def descend(start, rate: float, clip: float = np.inf, steps: int = 150) -> np.ndarray:
    """w, b, L and ‖∂L/∂(w, b)‖ before each step of gradient descent and at its end: (steps + 1, 4).

    The gradient is shortened to the norm `clip` if it is longer. ValueError unless 0 < rate ≤ 1
    and clip > 0.
    """
    if not 0 < rate <= 1:
        raise ValueError(f"Шаг спуска rate = {rate}: нужно число больше 0, не больше 1.")
    if not clip > 0:
        raise ValueError(f"Порог clip = {clip}: норма отсечённого градиента должна быть больше 0.")
    place, path = np.array(start, float), []
    for _ in range(steps + 1):
        loss, *gradient = cliff_loss(*place)
        norm = np.hypot(*gradient)
        path.append([*place, loss, norm])
        place = place - rate * np.array(gradient) * (clip / norm if norm > clip else 1)
    return np.array(path)


# ---- Inside an LSTM ----------------------------------------------------------------------------


def watch_lstm(p: LSTMWeights, x: torch.Tensor, zero=(), hold_f: bool = False) -> dict:
    """i, f, o, c̃, c, h of an LSTM over x (time, input_size), by name, each (time, hidden_size).

    Interventions: the memory of the cells in `zero` is wiped after each step; `hold_f`: f is 1.
    Raises ValueError for a cell that is not there.
    """
    size = len(p.b_f)
    if not all(0 <= cell < size for cell in zero):
        raise ValueError(f"zero = {list(zero)}: номера ячеек — от 0 до {size - 1}.")
    h = c = x.new_zeros(1, size)
    kept = torch.ones(size)
    kept[list(zero)] = 0
    rows = []
    for x_t in x.split(1):
        gates = lstm_gates(p, x_t, h)
        gates = gates._replace(f=torch.ones_like(gates.f)) if hold_f else gates
        c = (gates.f * c + gates.i * gates.c_tilde) * kept
        h = gates.o * tanh(c)
        rows.append((*gates, c, h))
    columns = map(torch.cat, zip(*rows, strict=True))
    return dict(zip(("i", "f", "o", "c̃", "c", "h"), columns, strict=True))


def lstm_by_hand(i, f, o, candidate) -> dict[str, np.ndarray]:
    """One LSTM cell fed with c̃_t = `candidate`, its gates moved by hand: as `watch_lstm`, (time,).

    Each gate is one number in 0…1 or one for each step. Raises ValueError for others.
    """
    seen = {"c̃": np.array(candidate, float)}
    for name, gate in {"i": i, "f": f, "o": o}.items():
        seen[name] = np.broadcast_to(gate, len(candidate))
        if not ((seen[name] >= 0) & (seen[name] <= 1)).all():
            raise ValueError(f"Вентиль {name} = {gate}: он бывает открыт от 0 до 1.")
    c = [0.0]
    for f_t, i_t, c_tilde in zip(seen["f"], seen["i"], candidate, strict=True):
        c.append(f_t * c[-1] + i_t * c_tilde)
    c = np.array(c[1:])
    return seen | {"c": c, "h": seen["o"] * np.tanh(c)}


Forgetting = namedtuple("Forgetting", "f half_life left")


def memory_left(*biases: float) -> dict[float, Forgetting]:
    """For each bias b_f: f = σ(b_f), its half-life in steps, and f^k for k = 0…60, (61,).

    Raises ValueError for a bias out of −5…4: its half-life would not be seen.
    """
    found = {}
    for b_f in biases:
        if not -5 <= b_f <= 4:
            raise ValueError(f"Смещение b_f = {b_f}: чтобы увидеть половину, возьмите от −5 до 4.")
        f = sigmoid(b_f)
        found[b_f] = Forgetting(f, np.log(0.5) / np.log(f), f ** np.arange(61))
    return found


@torch.no_grad()
def watch_letters(model, vocabulary, text: str, **intervention) -> tuple[dict, torch.Tensor]:
    """What `watch_lstm` sees of a `LetterModel` over a text, and the nats each letter costs.

    The first letter has no price: it is nan. Raises ValueError naming the letters not known.
    """
    ids = torch.tensor(vocabulary.encode(text))
    x = one_hot(ids, len(vocabulary)).float()  # (time, letters)
    seen = watch_lstm(from_torch(model.rnn)[1], x, **intervention)
    log_p = model.log_probs(seen["h"][:-1]).gather(1, ids[1:, None])[:, 0]
    return seen, torch.cat([log_p.new_full((1,), torch.nan), -log_p])


LETTERS = DATA / "letters.pt"


def load_letters(path=LETTERS) -> tuple[LetterModel, Vocabulary]:
    """The network that `data/make.py gates` trains on letters; no code of the file is run."""
    content = torch.load(path, weights_only=True)
    model = LetterModel(len(content["symbols"]), 80, "lstm")
    model.load_state_dict(content["weights"])
    return model.eval(), Vocabulary(content["symbols"])


# ---- What is learned across a lag, and counting -------------------------------------------------

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


def accuracies(net: str) -> tuple[list[int], np.ndarray]:
    """Lags of data/lags.csv and what `net`, one of NETS, reaches there: (lags, seeds)."""
    rows = read_table("lags")
    lags = sorted({int(row["lag"]) for row in rows})
    found = [float(row["accuracy"]) for row in rows if row["net"] == net]
    return lags, np.reshape(found, (len(lags), len(SEEDS)))


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
