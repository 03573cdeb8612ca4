"""Gradients through time: the thermometer and its bound, the cliff, the clipped descent."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lecture_utils import cells, probes
from lecture_utils.cells import numerical_gradient
from lecture_utils.figures import plots, widgets

SIGMA, TANH, RELU = (partial(cells.rnn, f=f) for f in (cells.sigmoid, cells.tanh, cells.relu))
CELLS = {
    "σ": (SIGMA, cells.RNNWeights),
    "tanh": (TANH, cells.RNNWeights),
    "ReLU": (RELU, cells.RNNWeights),
    "LSTM": (cells.lstm, cells.LSTMWeights),
    "GRU": (cells.gru, cells.GRUWeights),
}
every_cell = pytest.mark.parametrize("name", CELLS)
every_f = pytest.mark.parametrize("f", probes.FUNCTIONS)


def net(name, seed=0, inputs=3, hidden=5):
    """A cell and float64 weights of it."""
    cell, kind = CELLS[name]
    p = cells.init(kind, inputs, hidden, torch.Generator().manual_seed(seed))
    return cell, kind(*(w.detach().double() for w in p))


def joined(state):
    return torch.cat(state if isinstance(state, tuple) else (state,), 1)


# ---- Spectral radius and random nets ---------------------------------------------------------


def test_the_spectral_radius_of_a_turning_matrix_is_how_much_it_stretches():
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    assert probes.spectral_radius(2 * turn) == pytest.approx(2)
    np.testing.assert_allclose(probes.spectral_radius(np.stack([turn, 3 * turn])), [1, 3])


def test_the_spectral_radius_is_what_powers_tend_to():
    W = np.random.default_rng(0).normal(size=(4, 4))
    power = np.linalg.norm(np.linalg.matrix_power(W, 300), 2) ** (1 / 300)
    assert probes.spectral_radius(W) == pytest.approx(power, rel=0.01)


@pytest.mark.parametrize("orthogonal", [False, True])
def test_a_random_net_has_the_radius_asked_for_and_follows_its_seed(orthogonal):
    p, again = (probes.random_rnn(0.7, 3, orthogonal) for _ in range(2))
    assert probes.spectral_radius(p.W) == pytest.approx(0.7)
    assert torch.equal(p.W, again.W) and torch.equal(p.U, again.U)
    assert not torch.equal(p.W, probes.random_rnn(0.7, 4, orthogonal).W)


def test_an_orthogonal_start_stretches_all_directions_alike_and_a_random_one_does_not():
    np.testing.assert_allclose(np.linalg.svd(probes.random_rnn(0.7, 0, True).W)[1], 0.7)
    assert np.linalg.norm(probes.random_rnn(0.7, 0).W, 2) > 1


def test_the_input_is_as_strong_as_torch_makes_it_unless_told_otherwise():
    usual, weak = probes.random_rnn(0.7, 0), probes.random_rnn(0.7, 0, input_scale=0.01)
    torch_U = torch.cat([torch.nn.RNN(4, 32).weight_ih_l0.detach() for _ in range(20)])
    assert usual.U.std().item() == pytest.approx(torch_U.std().item(), rel=0.15)
    assert torch.allclose(weak.U, usual.U / 10) and torch.equal(weak.W, usual.W)


@pytest.mark.parametrize("input_scale", [0, -0.1, float("nan")])
def test_a_strength_of_input_out_of_range_is_named(input_scale):
    with pytest.raises(ValueError, match=f"input_scale = {input_scale}: нужно число больше 0"):
        probes.random_rnn(1, 0, input_scale=input_scale)


@given(seed=st.integers(0, 1000), k=st.floats(0.001, 10))
def test_relu_without_bias_forgets_alike_whatever_the_strength_of_its_input(seed, k):
    nets = [probes.random_rnn(1.1, seed, input_scale=scale) for scale in (0.1, 0.1 * k)]
    norms, _ = probes.rnn_panel("ReLU", nets[:1], 10)
    np.testing.assert_allclose(probes.rnn_panel("ReLU", nets[1:], 10)[0], norms, rtol=1e-6)


@pytest.mark.parametrize("radius", [0, -1, 10.1, float("nan"), float("inf")])
def test_a_radius_out_of_range_is_named(radius):
    with pytest.raises(ValueError, match=f"ρ = {radius}: нужно число больше 0"):
        probes.random_rnn(radius, 0)


# ---- Jacobians of the steps ------------------------------------------------------------------


@every_cell
def test_jacobians_agree_with_finite_differences(name):
    cell, p = net(name)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(1)).double()
    J = probes.jacobians(cell, p, x)
    states = [joined(s).numpy()[0] for s in cells.unroll(cell, p, x[None])]
    for t in range(1, 4):

        def component(k, s_prev, t=t):
            parts = torch.from_numpy(s_prev)[None].split(5, 1)
            return joined(cell(p, x[t][None], parts if len(parts) > 1 else parts[0]))[0, k].item()

        rows = [numerical_gradient(partial(component, k), states[t - 1]) for k in range(J.shape[1])]
        np.testing.assert_allclose(J[t], rows, atol=1e-7)


@pytest.mark.parametrize("name", ["σ", "tanh", "ReLU"])
def test_the_jacobian_of_the_plain_net_is_its_matrix_behind_the_slopes(name):
    cell, p = net(name)
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(1)).double()
    s = cells.run(cell, p, x[None])[0][0]
    slopes = cells.DERIVATIVES[cell.keywords["f"]](s)
    np.testing.assert_allclose(probes.jacobians(cell, p, x), slopes[:, :, None] * p.W, atol=1e-12)


# ---- The thermometer -------------------------------------------------------------------------


@every_cell
def test_the_thermometer_shows_the_gradients_of_autograd(name):
    steps = 12
    weights = [net(name, seed)[1] for seed in range(2)]
    cell = CELLS[name][0]
    norms, radii = probes.gradient_norms(cell, weights, steps)
    for seed, p in enumerate(weights):
        random = np.random.default_rng(seed)  # as the docstring says: inputs, then ∂L/∂s_T
        x = torch.from_numpy(random.normal(size=(steps, 3)))
        size = 10 if name == "LSTM" else 5
        v = torch.from_numpy(random.normal(size=size))
        state, states = torch.zeros(1, size).double().requires_grad_(), []
        for x_t in x:
            states.append(state)
            parts = state.split(5, 1)
            state = joined(cell(p, x_t[None], parts if len(parts) > 1 else parts[0]))
        gradients = torch.autograd.grad(state[0] @ v / v.norm(), states)
        expected = [*(g.norm() for g in gradients), 1]
        np.testing.assert_allclose(norms[seed], expected, rtol=1e-9)
        assert radii[seed] == pytest.approx(probes.spectral_radius(probes.jacobians(cell, p, x)))


@settings(max_examples=40)
@given(
    f=st.sampled_from(list(probes.FUNCTIONS)),
    radius=st.floats(0.1, 3),
    orthogonal=st.booleans(),
    seed=st.integers(0, 1000),
    steps=st.integers(1, 40),
    bias=st.floats(-0.1, 0.1),
)
def test_the_bound_is_never_exceeded(f, radius, orthogonal, seed, steps, bias):
    p = probes.random_rnn(radius, seed, orthogonal)
    norms, lines = probes.rnn_panel(f, [p._replace(b=p.b + bias)], steps)
    (_, rho), (_, bound) = lines.items()
    assert rho == pytest.approx(radius)
    assert (norms[0] <= bound ** np.arange(steps, -1, -1) * (1 + 1e-9)).all()


@pytest.mark.parametrize("f, slope", [("линейная", 1), ("σ", 0.25), ("tanh", 1), ("ReLU", 1)])
def test_the_bound_is_the_steepest_slope_times_the_largest_singular_value(f, slope):
    weights = [probes.random_rnn(0.9, seed) for seed in range(3)]
    _, (_, bound) = probes.rnn_panel(f, weights, 1)[1].items()
    largest = [np.linalg.svd(p.W)[1][0] for p in weights]
    assert bound == pytest.approx(slope * max(largest))


@pytest.mark.parametrize("radius", [0.8, 1.0, 1.2])
def test_a_linear_net_tends_to_the_spectral_radius(radius):
    norms, _ = probes.rnn_panel("линейная", [probes.random_rnn(radius, s) for s in range(3)], 200)
    np.testing.assert_allclose((norms[:, 0] / norms[:, 100]) ** 0.01, radius, rtol=0.01)


def test_in_an_orthogonal_linear_net_every_step_counts_the_same():
    norms, _ = probes.rnn_panel("линейная", [probes.random_rnn(0.9, 0, True)], 30)
    np.testing.assert_allclose(norms[0], 0.9 ** np.arange(30, -1, -1))


@pytest.mark.parametrize("steps", [0, -1, 201])
def test_a_number_of_steps_out_of_range_is_named(steps):
    with pytest.raises(ValueError, match=f"T = {steps}: градиент можно послать назад на 1–200"):
        probes.rnn_panel("tanh", [probes.random_rnn(1, 0)], steps)


def test_a_function_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ValueError, match="Функции «sin» нет: выберите линейная, σ, tanh, ReLU"):
        probes.rnn_panel("sin", [probes.random_rnn(1, 0)], 5)


# ---- The cliff -------------------------------------------------------------------------------


@settings(max_examples=30)
@given(w=st.floats(3.8, 5.8), b=st.floats(-3.2, -0.2))
def test_the_gradient_of_the_cliff_agrees_with_finite_differences(w, b):
    _, *gradient = probes.cliff_loss(w, b)
    numerical = numerical_gradient(lambda p: probes.cliff_loss(*p)[0], np.array([w, b]), step=1e-8)
    np.testing.assert_allclose(
        numerical, gradient, rtol=1e-3, atol=1e-6 * (1 + np.hypot(*gradient))
    )


def test_the_loss_of_the_cliff_is_that_of_one_neuron_after_fifty_steps():
    s = 1 / (1 + np.exp(-0.5))
    for _ in range(50):
        s = 1 / (1 + np.exp(-(4.5 * s - 2.3)))
    assert probes.cliff_loss(4.5, -2.3)[0] == pytest.approx((s - 0.7) ** 2)


def test_the_surface_is_true_everywhere_and_has_no_gap_in_the_wall():
    w, b, loss = probes.cliff_surface()
    np.testing.assert_allclose(loss, probes.cliff_loss(w, b)[0])
    assert (np.diff(b) >= 0).all() and (np.ptp(b, axis=1) > 2.99).all()
    assert np.abs(np.diff(loss)[:35]).max() < 0.06  # an even grid jumps by 0.35 in one step


def step_lengths(path):
    return np.linalg.norm(np.diff(path[:, :2], axis=0), axis=1)


@pytest.mark.parametrize("clip", [0.08, 1.0])
def test_clipping_shortens_to_the_threshold_exactly_and_keeps_the_direction(clip):
    rate = 0.03
    path = probes.descend((4.8, -2.0), rate, clip)
    norms = path[:-1, 3]  # before clipping
    assert (norms > clip).any() and (norms < clip).any()
    np.testing.assert_allclose(step_lengths(path), rate * np.minimum(norms, clip))
    for place, step in zip(path, np.diff(path[:, :2], axis=0), strict=False):
        loss, *gradient = probes.cliff_loss(*place[:2])
        assert place[2:] == pytest.approx([loss, np.hypot(*gradient)])
        assert -step @ gradient == pytest.approx(np.linalg.norm(step) * np.linalg.norm(gradient))


def test_without_clipping_the_wall_throws_the_descent_away():
    path = probes.descend((4.8, -2.0), 0.03)
    np.testing.assert_allclose(step_lengths(path), 0.03 * path[:-1, 3])
    assert step_lengths(path).max() > 2


@pytest.mark.parametrize("rate", [0, -0.1, 1.5, float("nan")])
def test_a_rate_out_of_range_is_named(rate):
    with pytest.raises(ValueError, match=f"rate = {rate}: нужно число больше 0, не больше 1"):
        probes.descend((4.8, -2.0), rate)


@pytest.mark.parametrize("clip", [0, -1, float("nan")])
def test_a_threshold_out_of_range_is_named(clip):
    with pytest.raises(ValueError, match=f"clip = {clip}: норма отсечённого"):
        probes.descend((4.8, -2.0), 0.03, clip)


# ---- Pictures --------------------------------------------------------------------------------


def test_a_dead_gradient_is_marked_where_it_died_and_told_in_words():
    norms = np.array([[0, 0, 0.1, 1.0], [0.3, 0.4, 0.5, 1.0]])
    figure = plots.thermometer({"мёртвая": (norms, {"½": 0.5})})
    (axes,) = figure.axes
    crosses = [line for line in axes.lines if line.get_marker() == "X"]
    assert [line.get_xdata().tolist() for line in crosses] == [[1]]
    assert "ровно 0" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert "мёртвая: на шаге 0 от ровно 0 до 3e-01" in figure.get_label()
    assert axes.get_ylim()[0] > 0


def test_the_thermometer_draws_the_lines_to_compare_with():
    figure = plots.thermometer({"": (np.ones((1, 5)), {"½": 0.5, "вдвое": 2.0})})
    drawn = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    np.testing.assert_allclose(drawn["½"], [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1])
    np.testing.assert_allclose(drawn["вдвое"], [16, 8, 4, 2, 1])


@pytest.fixture(scope="module")
def surface():
    return probes.cliff_surface()


def test_a_path_that_leaves_the_surface_ends_at_its_edge_and_says_so(surface):
    path = np.array([[4.8, -2.0, 0.1], [4.8, -1.2, 0.2], [8.8, 6.8, 0.09], [4.8, -1.2, 0.09]])
    figure = plots.cliff(surface, {"без отсечения": path})
    x, y, z = figure.axes[0].lines[-2].get_data_3d()
    np.testing.assert_allclose([x, y, z], [[4.8, 4.8, 5.3], [-2, -1.2, -0.2], [0.1, 0.2, 0.09]])
    assert "без отсечения: улетел за край, потери в конце 0,090" in figure.get_label()


def test_a_start_outside_the_surface_is_named_with_its_ranges(surface):
    ranges = "w от 3,8 до 5,8, b от −3,2 до −0,2"
    with pytest.raises(ValueError, match=rf"Старт \[9\.0, -2\.0\] вне рисунка: нужны {ranges}"):
        plots.cliff(surface, {"без отсечения": np.array([[9.0, -2.0, 0.1]])})


def test_the_map_of_the_cliff_frames_the_wall_and_draws_both_paths_in_both(surface):
    w, b = np.meshgrid(np.linspace(4.5, 4.6, 5), np.linspace(-2.4, -2.2, 5))
    near = np.stack([w, b, probes.cliff_loss(w, b)[0]])
    paths = {name: np.array([[4.8, -2, 0.1], [4.5, -2.3, 0.2]]) for name in ("одна", "другая")}
    figure = plots.cliff_map([surface, near], paths)
    whole, close = figure.axes
    assert [[line.get_label() for line in axes.lines] for axes in (whole, close)] == [[*paths]] * 2
    (frame,) = whole.patches
    assert frame.get_bbox().bounds == pytest.approx((4.5, -2.4, 0.1, 0.2))
    assert close.get_xlim() == pytest.approx((4.5, 4.6))
    assert "w от 4,50 до 4,60, b от −2,40 до −2,20" in figure.get_label()


def test_the_spread_goes_through_the_medians_and_shows_every_seed():
    y = np.array([[1.0, 2.0, 9.0], [0.0, 5.0, 6.0]])  # (x, seeds)
    figure = plots.spread({"сеть": ([1, 2], y)}, x_label="шаг", y_label="потери")
    line, points = figure.axes[0].lines[0], figure.axes[0].lines[1:]
    assert line.get_ydata().tolist() == [2, 5]
    np.testing.assert_array_equal([p.get_ydata() for p in points], y.T)
    assert "точки — отдельные запуски (3)" in figure.get_label()


def test_numbers_along_the_axes_have_decimal_commas_and_long_minuses():
    figure = plots.curves({"": (np.linspace(-1, 1, 9),) * 2}, x_label="x", y_label="y")
    plots.png(figure)
    for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
        told = [label.get_text() for label in axis.get_ticklabels()]
        assert any("−0,5" in text for text in told) and not any("." in text for text in told)


def test_five_numbers_are_points_and_six_a_line():
    lines = {str(n): (range(n), range(n)) for n in (5, 6)}
    few, many = plots.curves(lines, x_label="x", y_label="y").axes[0].lines
    assert few.get_linestyle() == "None" and many.get_linestyle() != "None"


def test_a_row_of_seeds_needs_no_level():
    runs = {"одна": [0.1, 0.3], "другая": [0.2, 0.25]}
    figure = plots.seeds(runs, {"одна": 0.5}, x_label="доля", plain="наудачу")
    assert [line.get_label() for line in figure.axes[0].lines].count("наудачу") == 1
    assert "одна: от 0,10 до 0,30, наудачу 0,50; другая: от 0,20 до 0,25." in figure.get_label()


# ---- Live ------------------------------------------------------------------------------------

MOVED = {
    "live_thermometer": {
        "rho": 0.7,
        "f": "ReLU",
        "start": "ортогональная",
        "input_scale": 1.0,
        "T": 20,
    },
    "live_cliff": {"start_w": 4.4, "start_b": -1.5, "rate": 0.1, "clip": 10.0},
}
WRONG = [
    ("live_thermometer", "rho", -1, "ρ = -1"),
    ("live_thermometer", "T", 0, "T = 0"),
    ("live_thermometer", "input_scale", 0, "input_scale = 0"),
    ("live_cliff", "start_w", 7, "вне рисунка"),
    ("live_cliff", "rate", 2, "rate = 2"),
    ("live_cliff", "clip", 0, "clip = 0"),
]


@pytest.mark.parametrize("name", MOVED)
def test_every_control_moves_the_picture(name):
    live = getattr(widgets, name)()
    assert set(live.controls) == set(MOVED[name])
    for control, value in MOVED[name].items():
        before, was = live.picture.value, live.controls[control].value
        live.controls[control].value = value
        assert live.picture.value != before, control
        live.controls[control].value = was


@pytest.mark.parametrize("name, control, value, told", WRONG)
def test_a_value_out_of_range_is_told_in_one_sentence(name, control, value, told):
    live = getattr(widgets, name)()
    values = {key: c.value for key, c in live.controls.items()} | {control: value}
    with pytest.raises(ValueError, match=told):
        live.draw(**values)
