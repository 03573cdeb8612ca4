"""What the cells promise: torch's own numbers and gradients, and the formulas by hand."""

from functools import partial
from math import exp, inf, tanh

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck
from torch.testing import assert_close

from lecture_utils import cells
from lecture_utils.cells import (
    CoupledWeights,
    GRUWeights,
    LSTMWeights,
    MinGRUWeights,
    OutputWeights,
    PeepholeWeights,
    RNNWeights,
    attention,
    bptt,
    combine,
    coupled,
    cross_entropy,
    delta_rule,
    from_torch,
    gru,
    init,
    lstm,
    lstm_gates,
    min_gru,
    numerical_gradient,
    output,
    pairs,
    peephole,
    rnn,
    run,
    scan,
    unroll,
)

small = st.integers(1, 5)
random_sizes = given(
    batch=small,
    time=st.integers(1, 8),
    input_size=small,
    hidden_size=small,
    seed=st.integers(0, 2**32 - 1),
)
in_torch = settings(max_examples=40)
same = partial(assert_close, rtol=1e-11, atol=1e-12)
close = partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-12)

TORCH_LAYERS = {
    "tanh": partial(nn.RNN, nonlinearity="tanh"),
    "relu": partial(nn.RNN, nonlinearity="relu"),
    "LSTM": nn.LSTM,
    "GRU": nn.GRU,
}
# Which of our weights, one under another, make up each of torch's four.
TORCH_ORDER = {
    RNNWeights: ["U", "W", "b", "b"],
    LSTMWeights: [
        "W_xi W_xf W_xc W_xo",
        "W_hi W_hf W_hc W_ho",
        "b_i b_f b_c b_o",
        "b_i b_f b_c b_o",
    ],
    GRUWeights: ["W_xr W_xz W_xn", "W_hr W_hz W_hn", "b_r b_z b_xn", "b_r b_z b_hn"],
}
KINDS = {
    rnn: RNNWeights,
    partial(rnn, f=cells.sigmoid): RNNWeights,
    partial(rnn, f=cells.relu): RNNWeights,
    lstm: LSTMWeights,
    gru: GRUWeights,
    min_gru: MinGRUWeights,
    partial(min_gru, signed=True): MinGRUWeights,
    peephole: PeepholeWeights,
    coupled: CoupledWeights,
}
each_cell = pytest.mark.parametrize(("cell", "kind"), KINDS.items())


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def weights(kind, input_size, hidden_size, seed=0):
    drawn = init(kind, input_size, hidden_size, generator(seed))
    return kind(*(w.detach().double() for w in drawn))


def random_state(kind, batch, hidden_size, seed=0):
    h, c = normal(2, batch, hidden_size, seed=seed)
    return h if kind in (RNNWeights, GRUWeights, MinGRUWeights) else (h, c)


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def numpy(values):
    """The same weights or state, in NumPy."""
    if isinstance(values, torch.Tensor):
        return values.numpy()
    arrays = [w.numpy() for w in values]
    return type(values)(*arrays) if hasattr(values, "_fields") else tuple(arrays)


# ---- Against torch ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", TORCH_LAYERS)
@in_torch
@random_sizes
def test_states_and_all_gradients_equal_those_of_torch(
    name, batch, time, input_size, hidden_size, seed
):
    torch.manual_seed(seed)
    layer = TORCH_LAYERS[name](input_size, hidden_size, batch_first=True, dtype=torch.float64)
    cell, p = from_torch(layer)
    x = normal(batch, time, input_size, seed=seed).requires_grad_()
    state = random_state(type(p), batch, hidden_size, seed=seed + 1)
    inputs = [*p, x, *parts(state)]
    for tensor in inputs:
        tensor.requires_grad_()

    ours, our_final = run(cell, p, x, state)
    their_start = [part[None] for part in parts(state)]
    theirs, their_final = layer(x, tuple(their_start) if len(their_start) == 2 else their_start[0])
    same(ours, theirs)
    for our, their in zip(parts(our_final), parts(their_final), strict=True):
        same(our, their[0])

    def loss(outputs, final):  # every output and every final state pulls in its own direction
        pulls = zip([outputs, *final], range(3), strict=False)
        return sum((part * normal(*part.shape, seed=seed + k)).sum() for part, k in pulls)

    our_grads = torch.autograd.grad(loss(ours, parts(our_final)), inputs)
    their_final = [part[0] for part in parts(their_final)]
    their_grads = torch.autograd.grad(
        loss(theirs, their_final), [*layer.parameters(), x, *parts(state)]
    )
    gradient_of = dict(zip(p._fields, our_grads, strict=False))
    packed = [
        torch.cat([gradient_of[name] for name in row.split()]) for row in TORCH_ORDER[type(p)]
    ]
    for our, their in zip([*packed, *our_grads[len(p) :]], their_grads, strict=True):
        same(our, their)


@in_torch
@random_sizes
def test_sigmoid_rnn_is_a_tanh_rnn_in_other_units(batch, time, input_size, hidden_size, seed):
    """σ(a) = (1 + tanh(a/2)) / 2, so torch's tanh layer can check the σ that torch lacks."""
    p = weights(RNNWeights, input_size, hidden_size, seed)
    x = normal(batch, time, input_size, seed=seed)
    layer = nn.RNN(input_size, hidden_size, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for parameter, value in zip(
            layer.parameters(), (p.U / 2, p.W / 4, p.b / 2, p.W.sum(1) / 4), strict=True
        ):
            parameter.copy_(value)
        u, _ = layer(x, -torch.ones(1, batch, hidden_size, dtype=torch.float64))
    same(run(partial(rnn, f=cells.sigmoid), p, x)[0], (1 + u) / 2)


def test_stacked_layers_are_cells_run_one_on_the_other():
    layer = nn.LSTM(3, 4, num_layers=2, batch_first=True, dtype=torch.float64)
    x = normal(2, 6, 3)
    lower, _ = run(*from_torch(layer, layer=0), x)
    upper, _ = run(*from_torch(layer, layer=1), lower)
    same(upper, layer(x)[0])


def test_bidirectional_layer_is_two_cells_one_of_them_reading_backwards():
    layer = nn.GRU(3, 4, bidirectional=True, batch_first=True, dtype=torch.float64)
    x = normal(2, 6, 3)
    forward, _ = run(*from_torch(layer), x)
    backward, _ = run(*from_torch(layer, reverse=True), x.flip(1))
    same(torch.cat([forward, backward.flip(1)], 2), layer(x)[0])


def test_weights_from_torch_are_copies():
    layer = nn.LSTM(2, 3, batch_first=True)
    before = layer.weight_ih_l0.clone()
    _, p = from_torch(layer)
    for w in p:
        w += 1
    assert_close(layer.weight_ih_l0, before, rtol=0, atol=0)


# ---- NumPy and torch, one source -------------------------------------------------------------


@each_cell
@in_torch
@random_sizes
def test_numpy_and_torch_compute_the_same(cell, kind, batch, time, input_size, hidden_size, seed):
    p = weights(kind, input_size, hidden_size, seed)
    x = normal(batch, time, input_size, seed=seed)
    state = random_state(kind, batch, hidden_size, seed)
    in_numpy, final = run(cell, numpy(p), x.numpy(), numpy(state))
    assert isinstance(in_numpy, np.ndarray)
    expected, expected_final = run(cell, p, x, state)
    close(in_numpy, expected)
    close(np.stack(parts(final)), np.stack(parts(expected_final)))


@each_cell
def test_without_a_state_a_cell_starts_from_zero(cell, kind):
    p, x = weights(kind, 2, 3), normal(2, 4, 2)
    zero = torch.zeros(2, 3, dtype=torch.float64)
    start = zero if kind in (RNNWeights, GRUWeights, MinGRUWeights) else (zero, zero)
    expected = run(cell, p, x, start)[0]
    same(run(cell, p, x)[0], expected)
    close(run(cell, numpy(p), x.numpy())[0], expected)


@each_cell
def test_a_carried_state_goes_on_where_the_first_half_stopped(cell, kind):
    p, x = weights(kind, 2, 3), normal(2, 7, 2)
    whole, final = run(cell, p, x)
    _, middle = run(cell, p, x[:, :3])
    second, end = run(cell, p, x[:, 3:], middle)
    same(second, whole[:, 3:])
    same(parts(end), parts(final))


@each_cell
def test_unroll_gives_the_state_after_every_step(cell, kind):
    p, x = weights(kind, 2, 3), normal(2, 5, 2)
    states = unroll(cell, p, x)
    visible, final = run(cell, p, x)
    assert len(states) == 5
    same(torch.stack([parts(state)[0] for state in states], 1), visible)
    same(parts(states[-1]), parts(final))


@pytest.mark.parametrize("z", [-1e4, -1.0, 0.0, 2.0, 1e4])
def test_numpy_sigmoid_never_overflows(z):
    with np.errstate(all="raise"):
        close(cells.sigmoid(np.array(z)), torch.tensor(z, dtype=torch.float64).sigmoid())


# ---- Finite differences ----------------------------------------------------------------------


@each_cell
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32 - 1))
def test_gradients_equal_finite_differences(cell, kind, seed):
    if getattr(cell, "keywords", {}).get("f") is cells.relu:
        seed = 0  # a random draw may fall on the kink of ReLU, where the two differ by right
    p = weights(kind, 2, 3, seed)
    state = parts(random_state(kind, 2, 3, seed))
    inputs = [normal(2, 4, 2, seed=seed), *state, *p]

    def everything(x, *rest):
        start = rest[0] if len(state) == 1 else rest[:2]
        states, final = run(cell, kind(*rest[len(state) :]), x, start)
        return states, *parts(final)

    assert gradcheck(everything, [w.clone().requires_grad_() for w in inputs])


def test_numerical_gradient_of_a_known_function():
    w = np.array([[1.0, -2.0], [0.5, 3.0]])
    close(numerical_gradient(lambda w: (w**3).sum(), w), 3 * w**2, rtol=1e-8)


# ---- By hand, with small numbers -------------------------------------------------------------


def one(**values):
    """Weights of a cell with one input and one unit: U, W… 1×1, biases and w_c· of length 1."""
    return {
        name: np.full((1, 1) if name[0] in "UWV" else (1,), float(value))
        for name, value in values.items()
    }


def number(value):
    return np.array([[float(value)]])


def test_rnn_by_hand():
    p = RNNWeights(**one(U=0.5, W=-1, b=0.1))
    assert rnn(p, number(2), number(0.3)).item() == pytest.approx(tanh(0.1 - 0.3 + 1.0))
    sigmoid = rnn(p, number(2), number(0.3), f=cells.sigmoid).item()
    assert sigmoid == pytest.approx(1 / (1 + exp(-0.8)))
    assert rnn(p, number(2), number(0.3), f=cells.relu).item() == pytest.approx(0.8)
    assert rnn(p, number(-2), number(0.3), f=cells.relu).item() == 0


def test_units_and_features_are_not_mixed_up():
    p = RNNWeights(U=np.array([[1.0, 2], [3, 4]]), W=np.array([[0.0, 1], [0, 0]]), b=np.zeros(2))
    s_t = rnn(p, np.array([[1.0, 10]]), np.array([[5.0, 7]]), f=cells.relu)
    assert s_t.tolist() == [[1 * 1 + 2 * 10 + 7, 3 * 1 + 4 * 10]]


GATES_HALF_OPEN = dict.fromkeys(LSTMWeights._fields, 0)


def test_lstm_by_hand():
    """Gates at σ(0) = ½ halve everything; ln 3 opens a gate to ¾."""
    p = LSTMWeights(**one(**GATES_HALF_OPEN | {"b_f": np.log(3), "W_xc": 1}))
    h_t, c_t = lstm(p, number(0.2), (number(0.9), number(4)))
    assert c_t.item() == pytest.approx(3 / 4 * 4 + 1 / 2 * tanh(0.2))
    assert h_t.item() == pytest.approx(1 / 2 * tanh(c_t.item()))


def test_every_lstm_gate_listens_to_its_own_weights():
    p = LSTMWeights(
        **one(W_xi=1, W_hi=2, b_i=3, W_xf=4, W_hf=5, b_f=6, W_xo=7, W_ho=8, b_o=9)
        | one(W_xc=10, W_hc=11, b_c=12)
    )
    i, f, o, c_tilde = lstm_gates(p, number(0.1), number(-0.5))
    assert i.item() == pytest.approx(1 / (1 + exp(-2.1)))
    assert f.item() == pytest.approx(1 / (1 + exp(-3.9)))
    assert o.item() == pytest.approx(1 / (1 + exp(-5.7)))
    assert c_tilde.item() == pytest.approx(tanh(7.5))


def test_peephole_by_hand():
    """The input and forget gates see the old memory, the output gate sees the new one."""
    p = PeepholeWeights(**one(**GATES_HALF_OPEN, w_ci=1, w_cf=-1, w_co=2) | one(b_c=0.5))
    h_t, c_t = peephole(p, number(0), (number(0), number(2)))
    i, f = 1 / (1 + exp(-2)), 1 / (1 + exp(2))
    assert c_t.item() == pytest.approx(f * 2 + i * tanh(0.5))
    assert h_t.item() == pytest.approx(tanh(c_t.item()) / (1 + exp(-2 * c_t.item())))


def test_coupled_by_hand():
    """What is written with weight ¾ is forgotten with weight ¾."""
    p = CoupledWeights(
        **one(**dict.fromkeys(CoupledWeights._fields, 0)) | one(b_i=np.log(3), b_c=1)
    )
    h_t, c_t = coupled(p, number(0), (number(0), number(4)))
    assert c_t.item() == pytest.approx(1 / 4 * 4 + 3 / 4 * tanh(1))
    assert h_t.item() == pytest.approx(1 / 2 * tanh(c_t.item()))


def test_gru_by_hand_resets_after_the_product():
    p = GRUWeights(**one(**dict.fromkeys(GRUWeights._fields, 0)) | one(W_hn=2, b_hn=1))
    h_t = gru(p, number(0), number(0.5)).item()
    assert h_t == pytest.approx(0.5 * tanh(0.5 * (2 * 0.5 + 1)) + 0.5 * 0.5)
    cho_2014 = 0.5 * tanh(2 * (0.5 * 0.5) + 1) + 0.5 * 0.5
    assert h_t != pytest.approx(cho_2014)


# ---- Limits in which the variants are the plain LSTM -----------------------------------------


@in_torch
@random_sizes
def test_peephole_with_zero_peepholes_is_the_lstm(batch, time, input_size, hidden_size, seed):
    plain = weights(LSTMWeights, input_size, hidden_size, seed)
    blind = PeepholeWeights(*plain, *torch.zeros(3, hidden_size, dtype=torch.float64))
    x = normal(batch, time, input_size, seed=seed)
    state = random_state(LSTMWeights, batch, hidden_size, seed)
    same(run(peephole, blind, x, state), run(lstm, plain, x, state))


@in_torch
@random_sizes
def test_a_peephole_acts_as_a_bias_that_follows_the_memory(
    batch, time, input_size, hidden_size, seed
):
    p = weights(PeepholeWeights, input_size, hidden_size, seed)
    x_t = normal(batch, input_size, seed=seed)
    h, c = random_state(PeepholeWeights, batch, hidden_size, seed)
    h_t, c_t = peephole(p, x_t, (h, c))
    biased = p._replace(b_i=p.b_i + p.w_ci * c, b_f=p.b_f + p.w_cf * c, b_o=p.b_o + p.w_co * c_t)
    same((h_t, c_t), lstm(biased, x_t, (h, c)))


@in_torch
@random_sizes
def test_coupled_is_the_lstm_whose_forget_gate_mirrors_the_input_gate(
    batch, time, input_size, hidden_size, seed
):
    """σ(−z) = 1 − σ(z), so W_f = −W_i and b_f = −b_i couple the gates of a plain LSTM exactly."""
    p = weights(CoupledWeights, input_size, hidden_size, seed)
    mirrored = LSTMWeights(**p._asdict(), W_xf=-p.W_xi, W_hf=-p.W_hi, b_f=-p.b_i)
    x = normal(batch, time, input_size, seed=seed)
    state = random_state(LSTMWeights, batch, hidden_size, seed)
    same(run(coupled, p, x, state), run(lstm, mirrored, x, state))


def test_an_infinite_forget_bias_is_a_cell_that_only_adds():
    p = weights(LSTMWeights, 2, 3)
    p = p._replace(b_f=torch.full_like(p.b_f, inf))
    for w in p:
        w.requires_grad_()
    x_t, state = normal(2, 2), random_state(LSTMWeights, 2, 3)
    i, f, _, c_tilde = lstm_gates(p, x_t, state[0])
    h_t, c_t = lstm(p, x_t, state)
    assert (f == 1).all()
    same(c_t, state[1] + i * c_tilde)
    h_t.sum().backward()
    assert all(w.grad.isfinite().all() for w in p)


# ---- Backpropagation through time by hand ----------------------------------------------------

each_f = pytest.mark.parametrize("f", cells.DERIVATIVES)


@each_f
@in_torch
@random_sizes
def test_bptt_by_hand_equals_autograd(f, batch, time, input_size, hidden_size, seed):
    p = weights(RNNWeights, input_size, hidden_size, seed)
    x = normal(batch, time, input_size, seed=seed)
    s_0 = normal(batch, hidden_size, seed=seed + 1)
    direct = normal(batch, time, hidden_size, seed=seed + 2)
    for tensor in (*p, s_0):
        tensor.requires_grad_()
    states = unroll(partial(rnn, f=f), p, x, s_0)
    loss = (torch.stack(states, 1) * direct).sum()
    U, W, b, *s = torch.autograd.grad(loss, [*p, s_0, *states])

    p, s_0 = RNNWeights(*(w.detach().numpy() for w in p)), s_0.detach().numpy()
    computed, _ = run(partial(rnn, f=f), p, x.numpy(), s_0)
    hand = bptt(p, x.numpy(), computed, direct.numpy(), f, s_0)
    for ours, autograd in zip(hand, (U, W, b, torch.stack(s, 1)), strict=True):
        close(ours, autograd)


@pytest.mark.parametrize("f", [cells.tanh, cells.sigmoid])
@settings(max_examples=15)
@random_sizes
def test_bptt_of_the_whole_network_equals_finite_differences(
    f, batch, time, input_size, hidden_size, seed
):
    p = numpy(weights(RNNWeights, input_size, hidden_size, seed))
    x = normal(batch, time, input_size, seed=seed).numpy()
    q = OutputWeights(V=normal(3, hidden_size, seed=seed).numpy(), c=normal(3, seed=seed).numpy())
    targets = torch.randint(3, (batch, time), generator=generator(seed)).numpy()

    def loss(p, q):
        return cross_entropy(q, run(partial(rnn, f=f), p, x)[0], targets)[0]

    s, _ = run(partial(rnn, f=f), p, x)
    _, output_gradients, direct = cross_entropy(q, s, targets)
    hand = bptt(p, x, s, direct, f)
    differences = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    for name in p._fields:
        numeric = numerical_gradient(
            lambda w, n=name: loss(p._replace(**{n: w}), q), getattr(p, name)
        )
        differences(getattr(hand, name), numeric)
    for name in q._fields:
        numeric = numerical_gradient(
            lambda w, n=name: loss(p, q._replace(**{n: w})), getattr(q, name)
        )
        differences(getattr(output_gradients, name), numeric)


def test_bptt_by_hand_with_small_numbers():
    """s_1 = 2·1 = 2, s_2 = 3·2 + 2·1 = 8, L = s_2: every number below fits on a blackboard."""
    p = RNNWeights(**one(U=2, W=3, b=0))
    x = np.ones((1, 2, 1))
    s, final = run(partial(rnn, f=cells.relu), p, x)
    assert s.ravel().tolist() == [2, 8]
    assert final.item() == 8
    gradients = bptt(p, x, s, direct=np.array([[[0.0], [1.0]]]), f=cells.relu)
    assert gradients.s.ravel().tolist() == [9, 3, 1]  # ∂L/∂s_0, ∂L/∂s_1, ∂L/∂s_2
    assert gradients.U.item() == 1 + 3 * 1
    assert gradients.W.item() == 2 + 3 * 0
    assert gradients.b.item() == 1 + 3


def test_a_dead_relu_passes_no_gradient_back():
    p = RNNWeights(**one(U=1, W=1, b=-5))
    x = np.ones((1, 3, 1))
    s, _ = run(partial(rnn, f=cells.relu), p, x)
    gradients = bptt(p, x, s, direct=np.ones_like(s), f=cells.relu)
    assert gradients.s.ravel().tolist() == [0, 1, 1, 1]  # each step's own share alone
    assert gradients.U.item() == gradients.W.item() == gradients.b.item() == 0


def test_bptt_leaves_its_arguments_alone():
    p = numpy(weights(RNNWeights, 2, 3))
    x = normal(2, 4, 2).numpy()
    s, _ = run(rnn, p, x)
    direct = np.ones_like(s)
    kept = [array.copy() for array in (*p, x, s, direct)]
    bptt(p, x, s, direct)
    for array, copy in zip((*p, x, s, direct), kept, strict=True):
        np.testing.assert_array_equal(array, copy)


@in_torch
@random_sizes
def test_output_and_loss_equal_those_of_torch(batch, time, input_size, hidden_size, seed):
    s = normal(batch, time, hidden_size, seed=seed).requires_grad_()
    V, c = normal(4, hidden_size, seed=seed).requires_grad_(), normal(4, seed=seed).requires_grad_()
    targets = torch.randint(4, (batch, time), generator=generator(seed))
    logits = c + s @ V.T
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    expected = torch.autograd.grad(loss, (V, c, s))

    q = OutputWeights(V.detach().numpy(), c.detach().numpy())
    ours, gradients, direct = cross_entropy(q, s.detach().numpy(), targets.numpy())
    assert ours == pytest.approx(loss.item())
    for our, their in zip((*gradients, direct), expected, strict=True):
        close(our, their)
    close(output(q, s.detach().numpy()), logits.softmax(-1).detach())


def test_softmax_of_huge_numbers_does_not_overflow():
    q = OutputWeights(V=np.array([[1000.0], [-1000.0]]), c=np.zeros(2))
    with np.errstate(over="raise"):
        assert output(q, np.array([1.0])).tolist() == [1, 0]


# ---- Weights to train ------------------------------------------------------------------------


@each_cell
def test_initial_weights_have_torchs_range_and_depend_on_the_seed_alone(cell, kind):
    p, again = (init(kind, 3, 4, generator(7)) for _ in range(2))
    other = init(kind, 3, 4, generator(8))
    for w, w_again, w_other in zip(p, again, other, strict=True):
        assert w.is_leaf and w.requires_grad
        assert w.abs().max() <= 4**-0.5
        assert torch.equal(w, w_again) and not torch.equal(w, w_other)


@pytest.mark.parametrize(
    ("kind", "layer"), [(RNNWeights, nn.RNN), (LSTMWeights, nn.LSTM), (GRUWeights, nn.GRU)]
)
def test_initial_weights_have_the_shapes_of_torchs_layer(kind, layer):
    _, expected = from_torch(layer(3, 4, batch_first=True))
    assert [w.shape for w in init(kind, 3, 4, generator())] == [w.shape for w in expected]


@each_cell
def test_a_gradient_step_lowers_the_loss(cell, kind):
    p, x = init(kind, 2, 3, generator()), torch.ones(4, 5, 2)
    optimizer = torch.optim.SGD(p, lr=0.1)

    def loss():
        return (run(cell, p, x)[0] - 0.5).square().mean()

    before = loss()
    before.backward()
    optimizer.step()
    assert loss() < before


# ---- Bad input -------------------------------------------------------------------------------

LSTM = from_torch(nn.LSTM(2, 3, batch_first=True))
RNN = from_torch(nn.RNN(2, 3, batch_first=True))
X = torch.zeros(4, 5, 2)
H = torch.zeros(4, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: run(*RNN, X[0]), r"Вход формы \(5, 2\)"),
        (lambda: run(*RNN, X.mT), r"Вход формы \(4, 2, 5\).*\(пакет, время ≥ 1, 2\)"),
        (lambda: run(*RNN, X[:, :0]), "время ≥ 1"),
        (lambda: run(*RNN, X, H[None]), r"один массив формы \(4, 3\).*h_n\[0\]"),
        (lambda: run(*RNN, X, (H, H)), "один массив"),
        (lambda: run(*LSTM, X, H), r"пару \(h, c\)"),
        (lambda: run(*LSTM, X, (H, H[:1])), r"пару \(h, c\), обе формы \(4, 3\)"),
        (lambda: from_torch(nn.Linear(2, 3)), r"Linear.*нужен слой nn\.RNN"),
        (lambda: from_torch(nn.GRUCell(2, 3)), r"GRUCell.*нужен слой nn\.RNN"),
        (lambda: from_torch(nn.GRU(2, 3, bias=False)), "со смещениями"),
        (lambda: from_torch(nn.LSTM(2, 3, proj_size=1)), "без проекции"),
        (lambda: from_torch(nn.GRU(2, 3), layer=1), "weight_ih_l1"),
        (lambda: from_torch(nn.GRU(2, 3), reverse=True), "weight_ih_l0_reverse"),
        (lambda: from_torch(nn.RNN(2, 3)), r"RNN\(2, 3\) ждёт.*с batch_first=True\.$"),
        (lambda: from_torch(nn.LSTM(2, 3, 2), layer=1), r"LSTM.*с batch_first=True\.$"),
        (lambda: from_torch(nn.GRU(2, 3, bidirectional=True)), r"GRU.*с batch_first=True\.$"),
        (lambda: bptt(RNN[1], X, X, X[:, :1]), "Формы не сходятся"),
        (lambda: bptt(RNN[1], X[:1], X, X), "Формы не сходятся"),
    ],
)
def test_bad_input_is_named_in_one_russian_sentence(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


# ---- After LSTM ------------------------------------------------------------------------------


def pull(outputs, inputs, seed):
    """Gradients of a loss that pulls every number of every output in its own direction."""
    loss = sum((part * normal(*part.shape, seed=seed + k)).sum() for k, part in enumerate(outputs))
    return torch.autograd.grad(loss, inputs)


@pytest.mark.parametrize("signed", [False, True])
@in_torch
@random_sizes
def test_scan_of_all_pairs_equals_the_loop_of_min_gru_gradients_too(
    signed, batch, time, input_size, hidden_size, seed
):
    drawn = weights(MinGRUWeights, input_size, hidden_size, seed)
    p = MinGRUWeights(*(w.requires_grad_() for w in drawn))
    x = normal(batch, time, input_size, seed=seed).requires_grad_()
    looped, last = run(partial(min_gru, signed=signed), p, x)
    scanned = scan(*pairs(p, x, signed))
    same(scanned, looped)
    same(scanned[:, -1], last)
    ours, theirs = (pull([h], [*p, x], seed) for h in (scanned, looped))
    for our, their in zip(ours, theirs, strict=True):
        same(our, their)


@in_torch
@given(time=st.integers(1, 300), seed=st.integers(0, 2**32 - 1))
def test_scan_of_any_length_equals_the_loop_and_leaves_its_arguments_alone(time, seed):
    a, b = normal(2, 2, time, 3, seed=seed).tanh().unbind()
    given_a, given_b = a.clone(), b.clone()
    h, states = torch.zeros(2, 3, dtype=a.dtype), []
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        h = a_t * h + b_t
        states.append(h)
    same(scan(a, b), torch.stack(states, 1))
    assert torch.equal(a, given_a) and torch.equal(b, given_b)


@in_torch
@given(seed=st.integers(0, 2**32 - 1))
def test_combine_is_associative_and_does_two_steps_at_once(seed):
    one, two, three = normal(3, 2, 4, seed=seed).unbind()
    h = normal(4, seed=seed + 1)
    a, b = combine(one, two)
    left, right = combine(combine(one, two), three), combine(one, combine(two, three))
    same(a * h + b, two[0] * (one[0] * h + one[1]) + two[1])
    for our, their in zip(left, right, strict=True):
        same(our, their)


@pytest.mark.parametrize(("signed", "low"), [(False, 0), (True, -1)])
def test_the_factor_of_min_gru_lies_where_its_sign_allows(signed, low):
    p, x = weights(MinGRUWeights, 3, 4), 10 * normal(5, 6, 3)
    a, b = pairs(p, x, signed)
    z = cells.sigmoid(x @ p.W_xz.T + p.b_z)
    assert a.min() >= low and a.max() <= 1 and (a.min() < -0.5) == signed
    same(b, (1 - z) * (x @ p.W_xn.T + p.b_n))


@pytest.mark.parametrize("causal", [False, True])
@in_torch
@given(time=st.integers(1, 9), d=small, values=small, seed=st.integers(0, 2**32 - 1))
def test_attention_equals_that_of_torch_gradients_too(causal, time, d, values, seed):
    sizes = [(2, 3, time, d), (2, 3, time, d), (2, 3, time, values)]
    Q, K, V = (normal(*s, seed=seed + k).requires_grad_() for k, s in enumerate(sizes))
    ours, A = attention(Q, K, V, causal)
    theirs = nn.functional.scaled_dot_product_attention(Q, K, V, is_causal=causal)
    same(ours, theirs)
    same(A.sum(-1), torch.ones(2, 3, time, dtype=A.dtype))
    assert not causal or not A.triu(1).any()
    ours, theirs = (pull([o], [Q, K, V], seed) for o in (ours, theirs))
    for our, their in zip(ours, theirs, strict=True):
        same(our, their)


def test_attention_takes_another_number_of_queries_than_of_keys():
    Q, K, V = normal(2, 1, 3), normal(2, 7, 3, seed=1), normal(2, 7, 5, seed=2)
    o, A = attention(Q, K, V)
    assert o.shape == (2, 1, 5) and A.shape == (2, 1, 7)
    same(o, nn.functional.scaled_dot_product_attention(Q, K, V))


def unit(*shape, seed=0):
    return nn.functional.normalize(normal(*shape, seed=seed), dim=-1)


@in_torch
@given(values=small, keys=small, beta=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_delta_rule_is_the_formula_with_outer_products(values, keys, beta, seed):
    S, k, v = normal(3, values, keys, seed=seed), unit(3, keys, seed=seed), normal(3, values)
    erase = torch.eye(keys, dtype=S.dtype) - beta * torch.einsum("bi,bj->bij", k, k)
    same(delta_rule(S, k, v, beta), S @ erase + beta * torch.einsum("bi,bj->bij", v, k))


def test_delta_rule_writes_overwrites_and_lets_read():
    k, other = torch.eye(4, dtype=torch.float64)[:2]
    old, new, third = normal(3, 5)
    S = delta_rule(torch.zeros(5, 4, dtype=torch.float64), k, old, 1.0)
    same(S @ k, old)
    S = delta_rule(S, other, third, 1.0)
    S = delta_rule(S, k, new, 1.0)
    same(S @ k, new)  # nothing of the old is left
    same(S @ other, third)  # and what lies under another key is as it was
    same(delta_rule(S, k, old, 0.0), S)
    same(delta_rule(S, k, old, 0.5) @ k, (old + new) / 2)


def test_delta_rule_is_plain_addition_while_keys_are_orthogonal_and_fresh():
    K, V = torch.linalg.qr(normal(4, 4)).Q, normal(4, 5, seed=1)
    S = added = torch.zeros(5, 4, dtype=torch.float64)
    for k, v in zip(K, V, strict=True):
        S, added = delta_rule(S, k, v, 1.0), added + torch.outer(v, k)
    same(S, added)
    k, v = K[0], normal(5, seed=2)  # the first key comes again
    same(delta_rule(S, k, v, 1.0) @ k, v)
    same((added + torch.outer(v, k)) @ k, V[0] + v)
