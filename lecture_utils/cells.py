"""Recurrent cells, one step each, as the formulas stand; backpropagation through time by hand.

The same lines work on NumPy arrays (to compute by hand) and on torch tensors (to get gradients).
Batch first: x_t is (batch, input_size), a state (batch, hidden_size), for the LSTMs a pair (h, c).
Weights are shaped as in the formulas, so that W x for every row x of a batch is x @ W.T.
"""

from collections import namedtuple
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

Array = np.ndarray | Tensor

# In all of these: U, W_x· (hidden_size, input_size); W, W_h· (hidden_size, hidden_size);
# b·, w_c· (hidden_size,); V (output_size, hidden_size); c (output_size,).
RNNWeights = namedtuple("RNNWeights", "U W b")
OutputWeights = namedtuple("OutputWeights", "V c")
LSTMWeights = namedtuple("LSTMWeights", "W_xi W_hi b_i W_xf W_hf b_f W_xo W_ho b_o W_xc W_hc b_c")
PeepholeWeights = namedtuple("PeepholeWeights", [*LSTMWeights._fields, "w_ci", "w_cf", "w_co"])
CoupledWeights = namedtuple("CoupledWeights", "W_xi W_hi b_i W_xo W_ho b_o W_xc W_hc b_c")
GRUWeights = namedtuple("GRUWeights", "W_xr W_hr b_r W_xz W_hz b_z W_xn b_xn W_hn b_hn")
MinGRUWeights = namedtuple("MinGRUWeights", "W_xz b_z W_xn b_n")
Gates = namedtuple("Gates", "i f o c_tilde")
Gradients = namedtuple("Gradients", "U W b s")


def tanh(z: Array) -> Array:
    """Hyperbolic tangent."""
    return z.tanh() if isinstance(z, Tensor) else np.tanh(z)


def sigmoid(z: Array) -> Array:
    """σ(z) = 1 / (1 + e^−z), for NumPy in a form that never overflows."""
    return z.sigmoid() if isinstance(z, Tensor) else (1 + np.tanh(z / 2)) / 2


def relu(z: Array) -> Array:
    """max(0, z)."""
    return z.relu() if isinstance(z, Tensor) else np.maximum(z, 0)


# f′(a) written through s = f(a): the backward pass then needs the states alone.
DERIVATIVES = {tanh: lambda s: 1 - s**2, sigmoid: lambda s: s * (1 - s), relu: lambda s: s > 0}


def rnn(p: RNNWeights, x_t: Array, s_prev: Array, f=tanh) -> Array:
    """One step of the plain RNN: s_t from x_t and s_{t−1}; f is `tanh`, `sigmoid` or `relu`."""
    a_t = p.b + s_prev @ p.W.T + x_t @ p.U.T
    return f(a_t)


def lstm_gates(p: LSTMWeights, x_t: Array, h_prev: Array) -> Gates:
    """The three gates and the candidate, each (batch, hidden_size)."""
    i = sigmoid(x_t @ p.W_xi.T + h_prev @ p.W_hi.T + p.b_i)
    f = sigmoid(x_t @ p.W_xf.T + h_prev @ p.W_hf.T + p.b_f)
    o = sigmoid(x_t @ p.W_xo.T + h_prev @ p.W_ho.T + p.b_o)
    c_tilde = tanh(x_t @ p.W_xc.T + h_prev @ p.W_hc.T + p.b_c)
    return Gates(i, f, o, c_tilde)


def lstm(p: LSTMWeights, x_t: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
    """One step of the LSTM with a forget gate (Gers, Schmidhuber, Cummins 2000).

    With b_f = ∞ that gate is exactly 1, as in Hochreiter & Schmidhuber (1997), who had none.
    """
    h_prev, c_prev = state
    i, f, o, c_tilde = lstm_gates(p, x_t, h_prev)
    c_t = f * c_prev + i * c_tilde
    h_t = o * tanh(c_t)
    return h_t, c_t


def peephole(p: PeepholeWeights, x_t: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
    """One step of the LSTM whose gates see the memory (Gers & Schmidhuber 2000).

    Each cell is seen by its own gates alone: w_c· are vectors. h_t is written as in Graves (2013);
    the paper has h_t = o ⊙ c_t.
    """
    h_prev, c_prev = state
    i = sigmoid(x_t @ p.W_xi.T + h_prev @ p.W_hi.T + p.w_ci * c_prev + p.b_i)
    f = sigmoid(x_t @ p.W_xf.T + h_prev @ p.W_hf.T + p.w_cf * c_prev + p.b_f)
    c_tilde = tanh(x_t @ p.W_xc.T + h_prev @ p.W_hc.T + p.b_c)
    c_t = f * c_prev + i * c_tilde
    o = sigmoid(x_t @ p.W_xo.T + h_prev @ p.W_ho.T + p.w_co * c_t + p.b_o)
    h_t = o * tanh(c_t)
    return h_t, c_t


def coupled(p: CoupledWeights, x_t: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
    """One step of the LSTM that forgets as much as it writes, f = 1 − i (Greff et al. 2017)."""
    h_prev, c_prev = state
    i = sigmoid(x_t @ p.W_xi.T + h_prev @ p.W_hi.T + p.b_i)
    o = sigmoid(x_t @ p.W_xo.T + h_prev @ p.W_ho.T + p.b_o)
    c_tilde = tanh(x_t @ p.W_xc.T + h_prev @ p.W_hc.T + p.b_c)
    c_t = (1 - i) * c_prev + i * c_tilde
    h_t = o * tanh(c_t)
    return h_t, c_t


def gru(p: GRUWeights, x_t: Array, h_prev: Array) -> Array:
    """One step of the GRU in the variant of torch (and cuDNN).

    In Cho et al. (2014, as published) the reset gate multiplies the state, before the product:
    n = tanh(W_xn x_t + W_hn (r ⊙ h_{t−1}) + b_n). Weights of the one do not fit the other.
    """
    r = sigmoid(x_t @ p.W_xr.T + h_prev @ p.W_hr.T + p.b_r)
    z = sigmoid(x_t @ p.W_xz.T + h_prev @ p.W_hz.T + p.b_z)
    n = tanh(x_t @ p.W_xn.T + p.b_xn + r * (h_prev @ p.W_hn.T + p.b_hn))
    return (1 - z) * n + z * h_prev


def pairs(p: MinGRUWeights, x: Array, signed: bool = False) -> tuple[Array, Array]:
    """a, b of minGRU, h_t = a_t ⊙ h_{t−1} + b_t: gate and candidate see x (…, input_size) alone.

    So all of them may be had at once (Feng et al. 2024; the gate z here keeps, as in `gru`). With
    `signed` the factor a is 2z − 1, in (−1, 1), and not z, in (0, 1) (Grazzi et al. 2024).
    """
    z = sigmoid(x @ p.W_xz.T + p.b_z)
    n = x @ p.W_xn.T + p.b_n
    return (2 * z - 1 if signed else z), (1 - z) * n


def min_gru(p: MinGRUWeights, x_t: Array, h_prev: Array, signed: bool = False) -> Array:
    """One step of minGRU, the loop that `scan` goes round: h_t from x_t and h_{t−1}."""
    a_t, b_t = pairs(p, x_t, signed)
    return a_t * h_prev + b_t


def combine(first: tuple, then: tuple) -> tuple:
    """Two steps h → a h + b as one: a₂ (a₁ h + b₁) + b₂. Associative, so any grouping will do."""
    (a_1, b_1), (a_2, b_2) = first, then
    return a_2 * a_1, a_2 * b_1 + b_2


def scan(a: Tensor, b: Tensor) -> Tensor:
    """All h_t = a_t ⊙ h_{t−1} + b_t, h_0 = 0, in ⌈log₂ time⌉ rounds (Hillis & Steele 1986).

    a, b and the result are (batch, time, …). After each round a pair sums up twice as many steps.
    """
    step = 1
    while step < a.shape[1]:
        joined = combine((a[:, :-step], b[:, :-step]), (a[:, step:], b[:, step:]))
        a, b = (torch.cat([old[:, :step], new], 1) for old, new in zip((a, b), joined, strict=True))
        step *= 2
    return b


def attention(Q: Tensor, K: Tensor, V: Tensor, causal: bool = False) -> tuple[Tensor, Tensor]:
    """softmax(Q Kᵀ / √d) V and the weights (Vaswani et al. 2017); `causal`: no one looks ahead.

    Q (…, queries, d), K (…, keys, d), V (…, keys, values) → (…, queries, values) and (…, queries,
    keys).
    """
    scores = Q @ K.mT / K.shape[-1] ** 0.5
    if causal:
        is_later = torch.ones_like(scores, dtype=torch.bool).triu(1)
        scores = scores.masked_fill(is_later, -torch.inf)
    A = scores.softmax(-1)
    return A @ V, A


def delta_rule(S: Tensor, k: Tensor, v: Tensor, beta) -> Tensor:
    """Write v under the key k into the memory S (…, values, keys), over what S k was (Schlag 2021).

    k (…, keys) has length 1, v is (…, values), beta in [0, 1]: how much of the old is replaced.
    """
    old = (S @ k[..., None])[..., 0]  # (…, values): what the memory says under this key
    return S + beta * (v - old)[..., None] * k[..., None, :]


def unroll(cell, p, x: Array, state=None) -> list:
    """The states after each step of x (batch, time, input_size), zero before it if none is given.

    `cell` is one of the functions above (`partial(rnn, f=relu)` for another f). Raises ValueError.
    """
    hidden_size, input_size = p[0].shape
    if x.ndim != 3 or x.shape[1] == 0 or x.shape[2] != input_size:
        raise ValueError(f"Вход формы {tuple(x.shape)}: нужна (пакет, время ≥ 1, {input_size}).")
    shape = (x.shape[0], hidden_size)
    has_memory = not isinstance(p, RNNWeights | GRUWeights | MinGRUWeights)
    if state is None:
        zeros = x.new_zeros(shape) if isinstance(x, Tensor) else np.zeros(shape)
        state = (zeros, zeros) if has_memory else zeros
    parts = state if isinstance(state, tuple | list) else (state,)
    if [tuple(part.shape) for part in parts] != [shape] * (1 + has_memory):
        needed = "пару (h, c), обе" if has_memory else "один массив"
        raise ValueError(f"Начальным состоянием дайте {needed} формы {shape}; из torch — h_n[0].")
    states = []
    for t in range(x.shape[1]):
        state = cell(p, x[:, t], state)
        states.append(state)
    return states


def run(cell, p, x: Array, state=None) -> tuple:
    """Run a cell over x: all s_t (or h_t) as (batch, time, hidden_size), and the last state."""
    states = unroll(cell, p, x, state)
    visible = [state[0] if isinstance(state, tuple) else state for state in states]
    stacked = torch.stack(visible, 1) if isinstance(x, Tensor) else np.stack(visible, 1)
    return stacked, states[-1]


def output(q: OutputWeights, s: np.ndarray) -> np.ndarray:
    """o_t = c + V s_t, y_t = softmax(o_t): states (…, hidden_size) → y (…, output_size)."""
    o = q.c + s @ q.V.T
    e = np.exp(o - o.max(-1, keepdims=True))  # the shift cancels out and keeps exp from overflow
    return e / e.sum(-1, keepdims=True)


def cross_entropy(q: OutputWeights, s: np.ndarray, targets: np.ndarray) -> tuple:
    """L = −Σ ln y_t[target_t] over batch and time (nats), for `targets` (batch, time) of ids.

    Returns L, its gradients (V, c), and ∂L_t/∂s_t (batch, time, hidden_size), what `bptt` needs.
    """
    y = output(q, s)
    is_target = np.eye(len(q.c), dtype=bool)[targets]
    do = y - is_target
    gradients = OutputWeights(V=np.einsum("bto,bth->oh", do, s), c=do.sum((0, 1)))
    return -np.log(y[is_target]).sum(), gradients, do @ q.V


def bptt(p: RNNWeights, x, s, direct, f=tanh, s_0=None) -> Gradients:
    """Backpropagation through time by hand (Werbos 1990); ValueError if shapes don't fit.

    x (batch, time, input_size); s (batch, time, hidden_size), the states that `run` returned;
    `direct`, shaped as s, is ∂L_t/∂s_t: what step t's own output says, without the steps after it.
    Returns ∂L/∂U, ∂L/∂W, ∂L/∂b and ∂L/∂s_t for t = 0…T, (batch, time + 1, hidden_size).
    """
    if s.shape != direct.shape or x.shape != (*s.shape[:2], p.U.shape[1]):
        shapes = f"x {x.shape}, s {s.shape}, direct {direct.shape}"
        raise ValueError(f"Формы не сходятся: {shapes}; direct должен быть как s, а x — к весам U.")
    s_0 = np.zeros_like(s[:, 0]) if s_0 is None else s_0
    s = np.concatenate([s_0[:, None], s], axis=1)  # now s[:, t] is s_t, and x_t is x[:, t - 1]
    ds = np.concatenate([np.zeros_like(s[:, :1]), direct], axis=1)
    dU, dW, db = np.zeros(p.U.shape), np.zeros(p.W.shape), np.zeros(p.b.shape)
    for t in range(x.shape[1], 0, -1):
        da = ds[:, t] * DERIVATIVES[f](s[:, t])  # ∂L/∂a_t = ∂L/∂s_t ⊙ f′(a_t)
        dU += da.T @ x[:, t - 1]  # the weights are shared: every step adds its share
        dW += da.T @ s[:, t - 1]
        db += da.sum(0)
        ds[:, t - 1] += da @ p.W  # ∂L/∂s_{t−1}: its own output's share plus Wᵀ ∂L/∂a_t
    return Gradients(dU, dW, db, ds)


def numerical_gradient(loss, w: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences: ∂loss/∂w for a function of one float64 array, number by number."""
    shifts = step * np.eye(w.size).reshape(w.size, *w.shape)
    gradient = [(loss(w + shift) - loss(w - shift)) / (2 * step) for shift in shifts]
    return np.reshape(gradient, w.shape)


def init(kind, input_size: int, hidden_size: int, generator: torch.Generator):
    """Weights of a `kind` (RNNWeights, …) to be trained: leaves, from U(−1/√H, 1/√H) as torch's."""
    bound, weights = hidden_size**-0.5, []
    for name in kind._fields:
        columns = input_size if name == "U" or name.startswith("W_x") else hidden_size
        w = torch.empty((hidden_size, columns) if name[0] in "UW" else hidden_size)
        weights.append(w.uniform_(-bound, bound, generator=generator).requires_grad_())
    return kind(*weights)


def from_torch(module: nn.RNNBase, layer: int = 0, reverse: bool = False) -> tuple:
    """The cell and a copy of the weights of one layer of nn.RNN, nn.LSTM or nn.GRU.

    `run(*from_torch(module), x)` repeats `module(x)`. torch stacks the gates in the order i, f, g
    (our c̃), o and r, z, n, and has two biases where one would do: their sum is taken, except in n.
    Raises ValueError for other modules, no biases, a projection, and time first: such a layer
    would take (batch, time, …) for (time, batch, …) in silence.
    """
    place = f"l{layer}" + "_reverse" * reverse
    names = [f"{name}_{place}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    known = isinstance(module, nn.RNN | nn.LSTM | nn.GRU) and module.proj_size == 0
    if not known or not all(hasattr(module, name) for name in names):
        needed = "nn.RNN, nn.LSTM или nn.GRU со смещениями и без проекции"
        raise ValueError(f"{module}: нужен слой {needed}, в котором есть {', '.join(names)}.")
    if not module.batch_first:
        raise ValueError(f"{module} ждёт вход (время, пакет, …): постройте с batch_first=True.")
    W_x, W_h, b_x, b_h = (getattr(module, name).detach().clone() for name in names)
    if isinstance(module, nn.RNN):
        f = {"tanh": tanh, "relu": relu}[module.nonlinearity]
        return partial(rnn, f=f), RNNWeights(U=W_x, W=W_h, b=b_x + b_h)
    if isinstance(module, nn.LSTM):
        i, f, g, o = zip(W_x.chunk(4), W_h.chunk(4), (b_x + b_h).chunk(4), strict=True)
        return lstm, LSTMWeights(*i, *f, *o, *g)
    r, z, _ = zip(W_x.chunk(3), W_h.chunk(3), (b_x + b_h).chunk(3), strict=True)
    n = (part.chunk(3)[2] for part in (W_x, b_x, W_h, b_h))
    return gru, GRUWeights(*r, *z, *n)
