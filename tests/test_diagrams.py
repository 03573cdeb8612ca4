"""The drawings: what they show, and that nothing in them collides or sticks out."""

import re
import subprocess
import sys
import warnings
from functools import cache
from itertools import combinations
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.font_manager import fontManager
from matplotlib.transforms import Bbox

from lecture_utils.figures import diagrams

STYLE = Path(__file__).parents[1] / "styles" / "lecture.mplstyle"
UNROLLED = [("unrolled", T, False) for T in range(1, 13)]
UNROLLED += [("unrolled", T, True) for T in range(1, 9)]
LSTM = [("lstm_gate", stage) for stage in range(1, 5)]
FIGURES = [
    *[(name,) for name in ("five_tasks", "rnn_node", "feedforward_vs_unrolled", "gru_cell")],
    *UNROLLED,
    *[("stacked", layers, T) for layers in range(1, 5) for T in (3, 8)],
    *[("bidirectional", T) for T in (1, 4, 7)],
    *LSTM,
]
every_figure = pytest.mark.parametrize("call", FIGURES, ids=lambda call: "-".join(map(str, call)))


@cache
def drawn(call):
    """The figure of a call such as ("unrolled", 3, True), drawn once, warnings being errors."""
    name, *arguments = call
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = getattr(diagrams, name)(*arguments)
        FigureCanvasAgg(figure).draw()
    return figure


def patches(call, pattern=""):
    found = [patch for patch in drawn(call).axes[0].patches if patch.get_gid()]
    return [patch for patch in found if re.fullmatch(pattern or ".*", patch.get_gid())]


def texts(call):
    return [text for text in drawn(call).axes[0].texts if text.get_text()]


def path_of(patch):
    """The outline in pixels."""
    return patch.get_transform().transform_path(patch.get_path())


def is_box(patch):
    return patch.get_facecolor()[3] > 0 and not patch.get_gid().endswith("-head")


@cache
def outlines(call, condition=None):
    """Patches with their paths and extents in pixels; thin ones widened so that they overlap."""
    found = [patch for patch in patches(call) if condition is None or condition(patch)]
    paths = [path_of(patch) for patch in found]
    extents = [path.get_extents().padded(1) for path in paths]
    return list(zip(found, paths, extents, strict=True))


def shrunk(bbox, pixels=1.0):
    return Bbox([bbox.min + pixels, bbox.max - pixels])


def inside(inner, outer, slack=0.5):
    return all(inner.min >= outer.min - slack) and all(inner.max <= outer.max + slack)


def contrast(color, ground):
    """WCAG contrast of two colours."""

    def luminance(color):
        rgb = np.array(to_rgb(color))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ (0.2126, 0.7152, 0.0722)

    low, high = sorted((luminance(color), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


def colors(call, pattern):
    return {to_hex(patch.get_edgecolor()) for patch in patches(call, pattern)}


# What every drawing keeps to


@every_figure
def test_figure_has_an_alternative_text_in_russian(call):
    alt = drawn(call).get_label()
    assert len(re.findall("[а-яё]", alt)) > 30
    assert alt.endswith(".")


@every_figure
def test_figure_has_the_size_of_a_slide(call):
    width, height = drawn(call).get_size_inches()
    assert 9 <= width <= 11
    assert 2.5 <= height <= 5


@every_figure
def test_nothing_sticks_out_of_the_figure(call):
    sheet = drawn(call).bbox
    for artist in [*texts(call), *drawn(call).axes[0].patches]:
        assert inside(artist.get_window_extent(), sheet), artist


@every_figure
def test_no_two_texts_overlap(call):
    boxes = [(text, shrunk(text.get_window_extent(), 0.5)) for text in texts(call)]
    for (a, box_a), (b, box_b) in combinations(boxes, 2):
        assert not box_a.overlaps(box_b), (a, b)


@every_figure
def test_no_two_boxes_overlap(call):
    for (a, path_a, extent_a), (b, path_b, extent_b) in combinations(outlines(call, is_box), 2):
        assert not (extent_a.overlaps(extent_b) and path_a.intersects_path(path_b)), (a, b)


@every_figure
def test_text_is_either_inside_a_box_or_clear_of_boxes_and_arrows(call):
    for text in texts(call):
        bbox = shrunk(text.get_window_extent())
        if not any(inside(bbox, extent) for _, _, extent in outlines(call, is_box)):
            for patch, path, extent in outlines(call):
                near = bbox.overlaps(extent)
                assert not (near and path.intersects_bbox(bbox, is_box(patch))), (text, patch)


@every_figure
def test_arrows_end_on_the_edges_of_boxes(call):
    edges = [path.interpolated(400).to_polygons() for _, path, _ in outlines(call, is_box)]
    points = np.concatenate([polygon for edge in edges for polygon in edge])
    heads = patches(call, ".*-head")
    assert len(heads) == len(patches(call, "(?!rail|.*-head).*")) - len(outlines(call, is_box))
    for head in heads:
        tip = path_of(head).vertices[0]
        assert np.hypot(*(points - tip).T).min() < 1.5, head.get_gid()


@every_figure
def test_letters_are_readable(call):
    for text in texts(call):
        assert text.get_fontsize() >= 11
        assert contrast(text.get_color(), "#E6ECEA") >= 4, text  # the darkest of the tints


@every_figure
def test_boxes_of_different_kinds_differ_in_shape_and_not_only_in_colour(call):
    kinds = ("input", "state", "output")
    shapes = [
        {len(p.get_path().vertices) for p in patches(call, f"{kind}-.*") if is_box(p)}
        for kind in kinds
    ]
    for a, b in combinations(shapes, 2):
        assert not a & b


# What each drawing shows


def test_five_tasks_have_their_inputs_and_outputs():
    def count(kind, task):
        return len(patches(("five_tasks",), rf"{kind}-{task}-\d+"))

    counted = [
        tuple(count(kind, task) for kind in ("input", "state", "output")) for task in range(1, 6)
    ]
    assert counted == [(1, 1, 1), (1, 3, 3), (3, 3, 1), (3, 5, 3), (3, 3, 3)]


def test_only_the_last_task_reads_and_answers_in_the_same_steps():
    def steps(kind, task):
        return {patch.get_gid()[-1] for patch in patches(("five_tasks",), rf"{kind}-{task}-\d+")}

    assert steps("input", 5) == steps("output", 5)
    assert steps("input", 4) != steps("output", 4)


def test_node_has_three_weights_one_of_them_a_loop():
    call = ("rnn_node",)
    assert [len(patches(call, rf"{w}-folded-\d")) for w in "UWV"] == [1, 1, 1]
    state, loop = patches(call, "state-.*")[0], patches(call, r"W-folded-\d")[0]
    start, tip = loop.get_path().vertices[0], patches(call, "W-.*-head")[0].get_path().vertices[0]
    (x0, y0), (x1, y1) = state.get_path().get_extents().get_points()
    radii = np.hypot(*(np.array([start, tip]) - ((x0 + x1) / 2, (y0 + y1) / 2)).T)
    assert radii == pytest.approx((x1 - x0) / 2, abs=1e-6)


@pytest.mark.parametrize("call", UNROLLED, ids=str)
def test_unrolled_has_every_step_once(call):
    _, T, backward = call
    steps = [str(t) for t in range(1, T + 1)]

    def indices(name):
        return [patch.get_gid().rpartition("-")[2] for patch in patches(call, rf"{name}-\d+")]

    assert indices("state") == ["0", *steps]
    for name in ("input", "output", "U", "W", "V"):
        assert indices(name) == steps, name
    assert indices("loss") == steps * backward
    for name in ("sum", "ink-f"):
        assert indices(name) == steps * backward, name
    for name in ("gradient-W", "gradient-V", "gradient-ink", "gradient-ink-f", "gradient-sum"):
        assert indices(name) == steps * backward, name


@pytest.mark.parametrize("call", [*UNROLLED, ("feedforward_vs_unrolled",)], ids=str)
def test_shared_weight_has_one_colour_at_all_steps(call):
    for weight in "UWV":
        assert colors(call, rf"{weight}-(folded-)?\d+") == {diagrams.PALETTE[weight].lower()}


def test_gradients_flow_against_the_arrows_of_the_forward_pass():
    call = ("unrolled", 3, True)
    for weight in ("W", "V", "ink", "ink-f"):
        for t in "123":
            forward, back = (patches(call, f"{name}{weight}-{t}")[0] for name in ("", "gradient-"))
            (a, b), (c, d) = forward.get_path().vertices, back.get_path().vertices
            assert (b - a) @ (d - c) < 0


@pytest.mark.parametrize("T", range(1, 9))
def test_share_of_every_step_reaches_the_one_gradient_of_the_matrix(T):
    call = ("unrolled", T, True)
    (shared,) = patches(call, "shared-W")
    target = path_of(shared).get_extents()
    for t in range(1, T + 1):
        share, back = (patches(call, f"gradient-{name}-{t}")[0] for name in ("sum", "W"))
        (x, start), (_, tip) = path_of(share).vertices
        assert target.x0 < x < target.x1
        assert tip == pytest.approx(target.y1, abs=15)  # the head covers the last of it
        (x0, y0), (x1, y1) = path_of(back).vertices
        assert start == pytest.approx(y0 + (x - x0) / (x1 - x0) * (y1 - y0), abs=1)


def test_what_flows_back_through_a_matrix_is_the_error_of_the_sum_and_not_of_the_state():
    for call in (("unrolled", 3, True), ("feedforward_vs_unrolled",)):
        shown = [text.get_text() for text in texts(call)]
        for t in range(1, 4):
            flows = [text for text in shown if "frac" in text and f"a_{t}" in text]
            assert flows == [rf"$W^\mathsf{{T}}\frac{{\partial L}}{{\partial a_{t}}}$"]
        assert not [text for text in shown if "frac" in text and "s_" in text]


def test_error_of_a_layer_is_named_where_it_arrives():
    call = ("feedforward_vs_unrolled",)
    for k in (1, 2):
        name = rf"$\dfrac{{\partial L}}{{\partial s^{{({k})}}}}$"
        (label,) = [text for text in texts(call) if text.get_text() == name]
        (arrow,) = patches(call, f"gradient-ink-layer-{k + 1}")
        (x0, _), (x1, _) = arrow.get_path().vertices
        assert x1 < label.get_position()[0] < x0  # points from the layer after it to layer k


def test_unrolled_pictures_differ_in_the_unrolled_half_only():
    def folded(T):
        return [path_of(patch).vertices for patch in patches(("unrolled", T, False), ".*folded.*")]

    for T in (2, 12):
        for a, b in zip(folded(1), folded(T), strict=True):
            np.testing.assert_array_equal(a, b)


def test_feedforward_net_has_four_matrices_and_the_node_beside_it_three():
    call = ("feedforward_vs_unrolled",)
    shown = {text.get_text() for text in texts(call)}
    assert {"$W_1$", "$W_2$", "$W_3$", "$W_4$", "$U$", "$W$", "$V$"} <= shown
    assert len(patches(call, r"gradient-ink-layer-\d")) == len(patches(call, r"ink-layer-\d")) == 5


@pytest.mark.parametrize(("layers", "T"), [(1, 3), (2, 3), (4, 8)])
def test_stacked_layers_have_weights_and_colours_of_their_own(layers, T):
    call = ("stacked", layers, T)
    assert len(patches(call, "state-.*")) == layers * (T + 1)
    for weight in "UW":
        assert len(patches(call, rf"{weight}-[\d-]+")) == layers * T
        if layers > 1:
            each = [colors(call, rf"{weight}-{n}-\d+") for n in range(1, layers + 1)]
            assert all(len(found) == 1 for found in each)
            assert len(set.union(*each)) == layers


@pytest.mark.parametrize("T", [1, 4, 7])
def test_bidirectional_chains_run_against_each_other_with_weights_of_their_own(T):
    call = ("bidirectional", T)
    for weight in "UWV":
        each = [colors(call, rf"{weight}-{way}-\d+") for way in ("right", "left")]
        assert [len(found) for found in each] == [1, 1]
        assert each[0] != each[1]
    for way, sign in (("right", 1), ("left", -1)):
        arrows = patches(call, rf"W-{way}-\d+")
        assert len(arrows) == T
        assert all(sign * np.diff(arrow.get_path().vertices[:, 0]) > 0 for arrow in arrows)


@pytest.mark.parametrize("stage", [2, 3, 4])
def test_stage_of_the_lstm_keeps_all_of_the_stage_before_in_its_place(stage):
    def shown(stage):
        found = patches(("lstm_gate", stage))
        return {(patch.get_gid(), path_of(patch).vertices.tobytes()) for patch in found}

    assert shown(stage - 1) < shown(stage)


@pytest.mark.parametrize("stage", [2, 3, 4])
def test_stage_of_the_lstm_marks_what_is_new_and_nothing_else(stage):
    def paths(stage):
        return {path_of(patch).vertices.tobytes() for patch in patches(("lstm_gate", stage))}

    marker = to_hex(diagrams.PALETTE["marker"])
    every = drawn(("lstm_gate", stage)).axes[0].patches
    marked = {path_of(p).vertices.tobytes() for p in every if to_hex(p.get_edgecolor()) == marker}
    new = {path_of(p).vertices.tobytes() for p in patches(("lstm_gate", stage), ".*(?<!-head)")}
    assert marked == new - paths(stage - 1)


def test_stages_of_the_lstm_bring_input_forget_and_output_gate_in_turn():
    gates = [len(patches(("lstm_gate", stage), "layer-[ifo]")) for stage in range(1, 5)]
    newest = [patches(("lstm_gate", stage), "layer-[ifo]")[-1].get_gid() for stage in (2, 3, 4)]
    assert gates == [0, 1, 2, 3]
    assert newest == ["layer-i", "layer-f", "layer-o"]


def test_stages_of_the_lstm_do_not_jump_when_a_notebook_crops_them():
    assert len({drawn(call).get_tightbbox().bounds for call in LSTM}) == 1


def test_gru_has_two_gates_and_a_candidate():
    layers = [patch.get_gid() for patch in patches(("gru_cell",), "layer-.*")]
    assert layers == ["layer-c", "layer-z", "layer-r"]


# Bad input, side effects, style


@pytest.mark.parametrize("bad", [0, 13, -1, 2.5, "3", None])
def test_number_of_steps_out_of_range_is_one_clear_sentence(bad):
    with pytest.raises(ValueError, match=r"^T = .*: число шагов — целое число от 1 до 12\.$"):
        diagrams.unrolled(bad)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("stacked", (5, 3), "num_layers = 5: число слоёв — целое число от 1 до 4."),
        ("stacked", (2, 9), "T = 9: число шагов — целое число от 1 до 8."),
        ("bidirectional", (8,), "T = 8: число шагов — целое число от 1 до 7."),
        ("lstm_gate", (0,), "stage = 0: ступень — целое число от 1 до 4."),
    ],
)
def test_values_out_of_range_are_named(name, arguments, message):
    with pytest.raises(ValueError) as error:
        getattr(diagrams, name)(*arguments)
    assert str(error.value) == message


def test_the_way_back_is_drawn_for_as_many_steps_as_are_readable():
    with pytest.raises(ValueError, match=r"^T = 9: число шагов — целое число от 1 до 8\.$"):
        diagrams.unrolled(9, backward=True)


def test_numpy_integers_are_integers():
    assert diagrams.unrolled(np.int64(3)).get_label() == diagrams.unrolled(3).get_label()


def test_drawing_loads_no_pyplot_and_writes_nothing_to_stderr():
    code = (
        "import sys; from lecture_utils.figures import diagrams; from io import BytesIO\n"
        "diagrams.gru_cell().savefig(BytesIO()); diagrams.unrolled(4, True).savefig(BytesIO())\n"
        "assert not {'matplotlib.pyplot', 'torch'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_two_calls_give_two_equal_figures():
    first, second = diagrams.lstm_gate(4), diagrams.lstm_gate(4)
    assert first is not second
    pixels = []
    for figure in (first, second):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels.append(bytes(canvas.buffer_rgba()))
    assert pixels[0] == pixels[1]


@pytest.fixture
def style():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return matplotlib.rc_params_from_file(STYLE, use_default_template=False)


def test_a_curve_that_is_no_part_of_a_network_wears_no_colour_of_one(style):
    cycle = [to_hex(color) for color in style["axes.prop_cycle"].by_key()["color"]]
    taken = {name: to_hex(color) for name, color in diagrams.PALETTE.items() if name != "ink"}
    assert not set(cycle) & set(taken.values())
    assert len(cycle) == len(set(cycle)) == 6
    assert all(contrast(color, "white") >= 4.5 for color in cycle)


def test_style_asks_for_fonts_that_are_there_and_readable(style):
    assert style["font.family"] == ["DejaVu Sans"]
    assert "DejaVu Sans" in fontManager.get_font_names()
    sizes = [
        style[key] for key in style if key.endswith(("size", "fontsize")) and "marker" not in key
    ]
    assert min(size for size in sizes if isinstance(size, float)) >= 12
    assert style["figure.dpi"] == 100
