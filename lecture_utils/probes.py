"""What the theory notebooks measure: gradients through time, the cliff, the inside of an LSTM."""

from collections import namedtuple
from functools import partial

import numpy as np
import torch
from torch.func import jacrev, vmap
from torch.nn.functional import one_hot

from lecture_utils import cells
from lecture_utils.cells import LSTMWeights, RNNWeights, relu, sigmoid, tanh
from lecture_utils.checkpoints import load_model
from lecture_utils.files import DATA, read_table
from lecture_utils.models import LetterModel
from lecture_utils.vocabulary import Vocabulary

LETTERS = DATA / "letters.pt"
Forgetting = namedtuple("Forgetting", "f half_life left")
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


def random_rnn(
    radius: float, seed: int, orthogonal: bool = False, input_scale: float = 0.1
) -> RNNWeights:
    """W (32, 32), Gaussian or orthogonal, ρ(W) = radius; U (32, 4) = input_scale·N(0, 1), b = 0.

    The default of `input_scale` is about that of `nn.RNN(4, 32)`: uniform up to ±1/√32, deviation
    0.10. Raises ValueError unless 0 < radius ≤ 10 and input_scale > 0.
    """
    if not 0 < radius <= 10:
        raise ValueError(f"Спектральный радиус ρ = {radius}: нужно число больше 0, не больше 10.")
    if not input_scale > 0:
        raise ValueError(f"Сила входа input_scale = {input_scale}: нужно число больше 0.")
    generator = torch.Generator().manual_seed(seed)
    W, U = torch.randn(32, 36, generator=generator, dtype=torch.float64).split([32, 4], 1)
    W = torch.linalg.qr(W).Q if orthogonal else W
    return RNNWeights(U=input_scale * U, W=W * (radius / spectral_radius(W)), b=W.new_zeros(32))


def jacobians(cell, p, x: torch.Tensor) -> np.ndarray:
    """∂s_t/∂s_{t−1} at every step of one sequence x (time, input_size): (time, n, n).

    The state of an LSTM is the pair (h, c) joined into one vector, n = 2·hidden_size.
    """
    join = lambda state: torch.cat(state if isinstance(state, tuple) else (state,), 1)[0]

    def step(s_prev, x_t):
        parts = s_prev[None].split(p[0].shape[0], 1)
        return join(cell(p, x_t[None], parts if len(parts) > 1 else parts[0]))

    s = torch.stack([join(state) for state in cells.unroll(cell, p, x[None])]).detach()
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
    norms, _ = gradient_norms(partial(cells.rnn, f=function), weights, steps)
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

    The gradient is cut to the norm `clip` if longer. ValueError unless 0 < rate ≤ 1, clip > 0.
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


def watch_lstm(p: LSTMWeights, x: torch.Tensor, zero=(), hold_f: bool = False) -> dict:
    """i, f, o, c̃, c, h of an LSTM over x (time, input_size), by name, each (time, hidden_size).

    Interventions: the memory of the cells in `zero` is wiped after each step; `hold_f`: f is 1.
    Raises ValueError for a cell that is not there.
    """
    size = len(p.b_f)
    if not all(0 <= cell < size for cell in zero):
        raise ValueError(f"zero = {list(zero)}: номера нейронов — от 0 до {size - 1}.")
    h = c = x.new_zeros(1, size)
    kept = torch.tensor([cell not in zero for cell in range(size)])
    rows = []
    for x_t in x.split(1):
        gates = cells.lstm_gates(p, x_t, h)
        gates = gates._replace(f=torch.ones_like(gates.f)) if hold_f else gates
        c = (gates.f * c + gates.i * gates.c_tilde) * kept
        h = gates.o * tanh(c)
        rows.append((*gates, c, h))
    columns = map(torch.cat, zip(*rows, strict=True))
    return dict(zip(("i", "f", "o", "c̃", "c", "h"), columns, strict=True))


def lstm_by_hand(i, f, o, candidate) -> dict[str, np.ndarray]:
    """`watch_lstm` of one cell fed with c̃ (time,); gates: numbers or (time,), 0…1 or ValueError."""
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


def memory_left(*biases: float) -> dict[float, Forgetting]:
    """By b_f, −5…4 or ValueError: f = σ(b_f), its half-life in steps, f^k for k = 0…60, (61,)."""
    found = {}
    for b_f in biases:
        if not -5 <= b_f <= 4:
            raise ValueError(f"Смещение b_f = {b_f}: чтобы увидеть половину, возьмите от −5 до 4.")
        f = sigmoid(b_f)
        found[b_f] = Forgetting(f, np.log(0.5) / np.log(f), f ** np.arange(61))
    return found


@torch.no_grad()
def watch_letters(model, vocabulary, text: str, **intervention) -> tuple[dict, torch.Tensor]:
    """What `watch_lstm` sees of a `LetterModel` over a text; the nats of each letter, first nan."""
    ids = torch.tensor(vocabulary.encode(text))
    x = one_hot(ids, len(vocabulary)).float()  # (time, letters)
    seen = watch_lstm(cells.from_torch(model.rnn)[1], x, **intervention)
    log_p = model.log_probs(seen["h"][:-1]).gather(1, ids[1:, None])[:, 0]
    return seen, torch.cat([log_p.new_full((1,), torch.nan), -log_p])


def load_letters(path=LETTERS) -> tuple[LetterModel, Vocabulary]:
    """The network that `data/make.py gates` trains on letters; no code of the file is run."""
    return load_model(path)


def accuracies(net: str) -> tuple[list[int], np.ndarray]:
    """Lags of data/lags.csv and what `net`, a net of that table, reaches there: (lags, seeds)."""
    rows = read_table("lags")
    lags = sorted({int(row["lag"]) for row in rows})
    found = [float(row["accuracy"]) for row in rows if row["net"] == net]
    return lags, np.reshape(found, (len(lags), -1))
