"""Drawings of networks: the node, its unrolling, stacked and bidirectional, LSTM and GRU."""

from itertools import pairwise
from numbers import Integral

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

# The one place of the colours; styles/lecture.mplstyle cycles through them.
PALETTE = {"input": "#B83A3A", "state": "#2F7D4F", "output": "#2B62A8", "gradient": "#B02E78"}
PALETTE |= {"U": "#966400", "W": "#7441A5", "V": "#0B7480"}  # the weight matrices
PALETTE |= {"ink": "#39424E", "cell": "#F1F4F7", "layer": "#FBF0DA", "marker": "#FFE59A"}
INK, GREEN = PALETTE["ink"], PALETTE["state"]
NAMES = {"вход": PALETTE["input"], "состояние": GREEN, "выход": PALETTE["output"]}
# Outlines in units of half a box, from the middle of the lower side round; a state is a circle.
SQUARE = [(0, -1), (1, -1), (1, 1), (-1, 1), (-1, -1), (0, -1)]
HEXAGON = [(0, -1), (0.7, -1), (1.2, 0), (0.7, 1), (-0.7, 1), (-1.2, 0), (-0.7, -1), (0, -1)]


def _check(name, value, highest, what):
    if not isinstance(value, Integral) or not 1 <= value <= highest:
        raise ValueError(f"{name} = {value!r}: {what} — целое число от 1 до {highest}.")


def _rounded(points, radius):
    """A line through the points, (n, 2), whose corners are rounded."""
    points, vertices = np.asarray(points, float), [points[0]]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        legs = np.array([before - corner, after - corner])
        start, end = corner + radius * legs / np.hypot(*legs.T)[:, None]
        vertices += [start, corner, end]
    codes = [Path.LINETO, Path.CURVE3, Path.CURVE3] * (len(points) - 2)
    return Path([*vertices, points[-1]], [Path.MOVETO, *codes, Path.LINETO])


class _Sheet:
    """A white sheet measured in inches: one unit of the axes is one inch of the figure."""

    def __init__(self, width, height, alt):
        look = {"dpi": 100, "facecolor": "white", "layout": "none", "label": alt}
        self.fig = Figure(figsize=(width, height), **look)
        self.ax = self.fig.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
        self.ax.axis("off")
        self.marked = False  # what is drawn while True has a stroke of the marker pen behind it

    def text(self, x, y, text, size=13, color=INK, ha="center", va="center", **look):
        look |= {"family": "DejaVu Sans", "math_fontfamily": "dejavusans", "zorder": 5}
        self.ax.text(x, y, text, size=size, color=color, ha=ha, va=va, **look)

    def names(self, x, heights, names=NAMES, ha="right"):
        for y, name in zip(heights, names, strict=True):
            self.text(x, y, name, 13, NAMES.get(name, INK), ha)

    def shape(self, path, color, fill="none", gid=None, width=1.8, zorder=3, style="-"):
        look = {"edgecolor": color, "facecolor": fill, "linewidth": width, "linestyle": style}
        self.ax.add_patch(PathPatch(path, gid=gid, zorder=zorder, capstyle="butt", **look))
        if self.marked:
            pen = {"linewidth": 16, "zorder": 1, "capstyle": "round", "joinstyle": "round"}
            self.ax.add_patch(PathPatch(path, color=PALETTE["marker"], fill=fill != "none", **pen))

    def box(self, x, y, width, height, text, gid=None, color=INK, fill="white", zorder=3):
        outline = np.array(SQUARE) * (width / 2, height / 2) + (x, y)
        self.shape(_rounded(outline, min(0.2, height / 4)), color, fill, gid, zorder=zorder)
        self.text(x, y, text)

    def node(self, kind, x, y, tex, index="t", size=0.6, style="-"):
        """A box of the kind (input, sum, state, output, loss); returns what `link` has to know."""
        color, half, is_round = PALETTE.get(kind, INK), size / 2, kind in ("sum", "state")
        outline = np.array(HEXAGON if kind == "output" else SQUARE) * half + (x, y)
        path = Path.circle((x, y), half) if is_round else _rounded(outline, half / 5)
        tint = 0.14 * np.array(to_rgb(color)) + 0.86
        self.shape(path, color, tint, f"{kind}-{index}", style=style)
        self.text(x, y, f"${tex}$", 8 + 13 * size, color)
        return x, y, half, is_round

    def arrow(self, points, color, gid, tex="", at=0.5, side=1, **look):
        """An arrow along the points or a Path, its letter beside the last leg: above or right."""
        path = points if isinstance(points, Path) else _rounded(points, 0.16)
        start, tip = path.vertices[-2:].copy()
        length = np.hypot(*(tip - start))
        along, head = (tip - start) / length, min(0.13, 0.6 * length)
        wings = tip - head * along + 0.4 * head * np.outer((1, -1), along[::-1] * (-1, 1))
        self.ax.add_patch(
            PathPatch(Path([tip, *wings]), color=color, lw=0, zorder=2, gid=f"{gid}-head")
        )
        path.vertices[-1] = tip - along * head / 2  # a thick line would show beside the tip
        self.shape(path, color, gid=gid, zorder=2, **look)
        x, y = start + at * (tip - start) + 0.07 * side * abs(along[::-1])
        across = ("center", "bottom" if side > 0 else "top") if abs(along[0]) > 0.5 else ("left",)
        if tex:
            self.text(x, y, f"${tex}$", 13, color, *across)

    def link(self, a, b, weight, index, tex="", back=None, shift=0.0, shade=1.0, **look):
        """A straight arrow from node to node; with `back`, a label or "", its gradient too."""
        if back is not None:
            dashed = {"side": -1, "style": (0, (3, 1.5))}
            self.link(b, a, "gradient", f"{weight}-{index}", back, shift=-0.1, **dashed)
            shift = 0.1  # upwards or to the right
        ends = np.array([a[:2], b[:2]])
        along = (ends[1] - ends[0]) / np.hypot(*(ends[1] - ends[0]))
        reach = [np.sqrt(half**2 - shift**2) if is_round else half for *_, half, is_round in (a, b)]
        points = ends + shift * abs(along[::-1]) + np.outer((reach[0], -reach[1]), along)
        color = shade * np.array(to_rgb(PALETTE[weight]))
        self.arrow(points, color, f"{weight}-{index}", tex, **look)


def _grid(sheet, xs, heights, inputs, outputs, size=0.6, index="_{{{}}}", tag=""):
    """Columns xs; rows of heights: input, layers of states, output."""
    layers = len(heights) - 2

    def node(kind, t, row, letter, gid=tag, layer=""):
        tex, style = letter + index.format(t) + layer, "--" if t < min(inputs) else "-"
        return sheet.node(kind, xs[t], heights[row], tex, f"{gid}{t}", size, style)

    below = {t: node("input", t, 0, "x") for t in inputs}
    for n in range(1, layers + 1):
        gid, layer = (f"{n}-", f"^{{({n})}}") if layers > 1 else (tag, "")
        row = [node("state", t, n, "s", gid, layer) for t in range(len(xs))]
        look = {"shade": 1 - 0.17 * (n - 1)}
        for t, (a, b) in enumerate(pairwise(row), start=1):
            sheet.link(a, b, "W", f"{gid}{t}", index and "W" + layer, **look)
        for t in inputs:
            sheet.link(below[t], row[t], "U", f"{gid}{t}", index and "U" + layer, **look)
        below = row
    for t in outputs:
        o = node("output", t, layers + 1, "o")
        sheet.link(below[t], o, "V", f"{tag}{t}", index and "V")


def _with_gradients(sheet, xs, heights, size=0.5):
    """The unrolled node, a_t apart from s_t, and beside the arrows, dashed, the way back.

    Rows of heights: input, sum a_t, state, output, loss. Returns where the gradient of the W of
    each step is at hand.
    """
    kinds, places = ("input", "sum", "state", "output", "loss"), []
    state = sheet.node("state", xs[0], heights[2], "s_0", 0, size, "--")
    for t, x in enumerate(xs[1:], start=1):
        column = [
            sheet.node(kind, x, y, f"{letter}_{{{t}}}", t, size)
            for kind, letter, y in zip(kinds, "xasoL", heights, strict=True)
        ]
        weights = [("U", f"{t}", "U", None), ("ink", f"f-{t}", "f", ""), ("V", f"{t}", "V", "")]
        weights.append(("ink", f"{t}", "", ""))
        for (a, b), (weight, index, tex, back) in zip(pairwise(column), weights, strict=True):
            sheet.link(a, b, weight, index, tex, back)
        sheet.link(state, column[1], "W", t, back="")
        ends = np.array([state[:2], column[1][:2]])
        across = abs((ends[1] - ends[0])[::-1]) / np.hypot(*(ends[1] - ends[0]))
        sheet.text(*(ends.mean(0) + 0.14 * across), "$W$", 13, PALETTE["W"], "left", "bottom")
        places.append(ends.mean(0) - 0.1 * across)
        if x - xs[t - 1] > 1.6:  # else there is no room
            label = rf"$W^\mathsf{{T}}\frac{{\partial L}}{{\partial a_{t}}}$"
            sheet.text(*(places[-1] - (0.05, 0.2)), label, 13, PALETTE["gradient"], "right", "top")
        state = column[2]
    return places


def five_tasks():
    """The five kinds of sequence task, as columns of boxes (after Karpathy, 2015)."""
    alt = "Пять видов задач: один вход и один выход, один и много, много и один, много и много."
    sheet, heights, left = _Sheet(11, 3.6, alt), (1.2, 1.85, 2.5), 1.4
    sheet.names(0.2, heights, ha="left")
    tasks = [
        ("один → один", "гласная ли\nбуква?", [0], [0]),
        ("один → много", "придумать имя\nпо роду", [0], range(3)),
        ("много → один", "угадать род\nпо имени", range(3), [2]),
        ("много → много\nпо очереди", "имя задом наперёд,\nбуква за буквой", range(3), range(2, 5)),
        ("много → много\nшаг в шаг", "чётно ли\nчисло гласных?", range(3), range(3)),
    ]
    for number, (title, example, inputs, outputs) in enumerate(tasks, start=1):
        steps = max(*inputs, *outputs) + 1
        width = max(0.52 * steps - 0.18, 1.2)
        middle = left + width / 2
        sheet.text(middle, 3.4, title, 12, va="top", weight="bold")
        sheet.text(middle, 0.75, example, 11, va="top")
        xs = middle + 0.52 * (np.arange(steps) - (steps - 1) / 2)
        _grid(sheet, xs, heights, inputs, outputs, 0.34, "", f"{number}-")
        left += width + 0.38
    return sheet.fig


def _folded(sheet, x, heights):
    _grid(sheet, [x], heights, [0], [0], index="_t", tag="folded-")
    y, dx, dy = heights[1], 0.3 * np.cos(0.6), 0.3 * np.sin(0.6)
    loop = [(x + dx, y + dy), (x + 1, y + 0.65), (x + 1, y - 0.65), (x + dx, y - dy)]
    sheet.arrow(Path(loop, [Path.MOVETO] + [Path.CURVE4] * 3), PALETTE["W"], "W-folded-0")
    sheet.text(x + 0.88, y, "$W$", 13, PALETTE["W"], "left")


def rnn_node():
    """The recurrent node with its loop and, beside it, its formulas."""
    alt = "Узел: состояние зависит от входа (через U) и от себя на прошлом шаге (петля W)."
    sheet, heights = _Sheet(9.5, 4, alt), (0.65, 2, 3.35)
    _folded(sheet, 2.2, heights)
    sheet.names(1.75, heights)
    sheet.text(3.4, 2, "петля: состояние\nпрошлого шага", ha="left")
    state, output = (
        "$a_t = b + W s_{t{-}1} + U x_t$\n$s_t = f(a_t)$",
        "$o_t = c + V s_t$\n$y_t = h(o_t)$",
    )
    sheet.text(6.1, 2, f"{state}\n{output}", 18, ha="left", linespacing=2.4)
    return sheet.fig


def unrolled(T, backward=False):
    """The node unrolled to T steps (1…12; `backward`, with its gradients, 1…8; else ValueError)."""
    _check("T", T, 8 if backward else 12, "число шагов")
    alt = f"Рекуррентный узел, развёрнутый по шагам (T = {T}): матрицы U, W, V на всех шагах общие."
    if backward:
        return _unrolled_backward(T, alt)
    sheet, heights = _Sheet(11, 4, alt), (1.15, 2.3, 3.4)
    _folded(sheet, 1, heights)
    sheet.text(2.55, heights[1], "=", 26)
    sheet.text(1, 0.4, "свёрнутый узел")
    sheet.text(2.9, 0.4, "он же, развёрнутый: веса на всех шагах общие", ha="left")
    pitch, steps = min(1.7, 7.2 / T), range(1, T + 1)
    xs, size = 3.2 + pitch * np.arange(T + 1), min(0.6, 0.66 * pitch)
    _grid(sheet, xs, heights, steps, steps, size)
    return sheet.fig


def _unrolled_backward(T, alt):
    alt += " Штрихом — градиент: по W назад течёт Wᵀ·∂L/∂a_t, вклады шагов в ∂L/∂W складываются."
    sheet, heights = _Sheet(11, 5, alt), (1.15, 1.95, 2.95, 3.8, 4.6)
    _folded(sheet, 1, (heights[0], heights[2] - 0.8, heights[3] - 0.6))
    sheet.text(1, 0.4, "свёрнутый узел")
    sheet.text(0.3, 4.45, "штриховые стрелки\nведут градиент назад", ha="left")
    pitch = min(1.8, 7.2 / T)
    xs = 3.2 + pitch * np.arange(T + 1)
    places = _with_gradients(sheet, xs, heights, min(0.5, 0.66 * pitch))
    width = max(5.9, xs[-1] - 2.4)
    shares = r"$\partial L/\partial W = \sum_t\ (\partial L/\partial a_t)\,s_{t{-}1}^\mathsf{T}$"
    text = f"вклады шагов складываются: {shares}"
    sheet.box(2.7 + width / 2, 0.4, width, 0.5, text, "shared-W", PALETTE["W"])
    for t, (x, y) in enumerate(places, start=1):
        dashed = {"style": (0, (3, 1.5))}
        sheet.arrow([(x, y), (x, 0.65)], PALETTE["gradient"], f"gradient-sum-{t}", **dashed)
    return sheet.fig


def feedforward_vs_unrolled():
    """Forward and backward pass of a feed-forward net beside those of the unrolled node."""
    alt = "Слева сеть прямого распространения: у слоёв свои матрицы; справа узел: матрицы общие."
    sheet, heights, nodes = _Sheet(11, 5, alt), (1.2, 2.35, 3.45, 4.55), []
    path = [("input", 0, 0, "x"), *(("state", k, 1, f"s^{{({k + 1})}}") for k in range(3))]
    for kind, k, row, tex in [*path, ("output", 2, 2, "o"), ("loss", 2, 3, "L")]:
        nodes.append(sheet.node(kind, 0.7 + 1.5 * k, heights[row], tex, f"layer-{k}"))
    for k, (a, b) in enumerate(pairwise(nodes), start=1):
        back = rf"\dfrac{{\partial L}}{{\partial s^{{({k - 1})}}}}" if k in (2, 3) else ""
        sheet.link(a, b, "ink", f"layer-{k}", f"W_{k}" if k < 5 else "", back)
    _with_gradients(sheet, 5.45 + 1.7 * np.arange(4), (1.2, 1.95, 2.9, 3.75, 4.55))
    sheet.text(2.2, 0.4, "сеть прямого распространения:\nу каждого слоя своя матрица")
    sheet.text(8.15, 0.4, "развёрнутый рекуррентный узел:\nна каждом шаге те же матрицы")
    sheet.text(1.75, 4, "сплошные стрелки — вперёд,\nштриховые — назад")
    return sheet.fig


def stacked(num_layers, T):
    """Recurrent layers (1…4) one above another, unrolled to T steps (1…8; else ValueError)."""
    _check("num_layers", num_layers, 4, "число слоёв")
    _check("T", T, 8, "число шагов")
    alt = f"Слоёв: {num_layers}, шагов: {T}. Состояния каждого слоя служат входами следующего."
    pitch, rise = min(1.6, 8.6 / T), min(1.1, 4.1 / (num_layers + 1))
    sheet, steps = _Sheet(11, 0.9 + rise * (num_layers + 1), alt), range(1, T + 1)
    xs = 6.15 + pitch * (np.arange(T + 1) - T / 2)
    heights = 0.45 + rise * np.arange(num_layers + 2)
    names = ["вход", *(f"слой {n + 1}" for n in range(num_layers)), "выход"]
    sheet.names(xs[0] - 0.55, heights, names)
    _grid(sheet, xs, heights, steps, steps, min(0.56, 0.56 * rise))
    return sheet.fig


def bidirectional(T):
    """Two chains, each with its own weights and direction, over T steps (1…7, else ValueError)."""
    _check("T", T, 7, "число шагов")
    alt = f"Двунаправленная сеть (T = {T}): две цепочки состояний навстречу, выходы видят обе."
    sheet, heights, pitch = _Sheet(11, 4.9, alt), (0.65, 1.85, 3.05, 4.25), min(1.9, 8.4 / (T + 1))
    xs = 6.15 + pitch * (np.arange(T + 2) - (T + 1) / 2)
    sheet.names(xs[0] - 0.6, heights, ("вход", "слева\nнаправо", "справа\nналево", "выход"))
    for t in range(1, T + 1):
        sheet.node("input", xs[t], heights[0], f"x_{t}", t)
        sheet.node("output", xs[t], heights[3], f"o_{t}", t)
    for row, way, steps in ((1, "right", range(T + 1)), (2, "left", range(T + 1, 0, -1))):
        hat, shade, chain = rf"\over{way}arrow", 1.3 - 0.3 * row, []
        for t in steps:
            x, tag, style = xs[t] + 0.32 * row - 0.48, f"{way}-{t}", "-" if chain else "--"
            s = sheet.node("state", x, heights[row], rf"{hat}{{s}}_{t}", tag, 0.42, style)
            chain.append(s)
            if style == "-":
                low, high = (x, heights[0], 0.3, False), (x, heights[3], 0.3, False)
                ends = {"U": (low, s), "W": chain[-2:], "V": (s, high)}
                places = (0.8 - 0.3 * row, 0.62, 1.1 - 0.3 * row)  # clear of crossing arrows
                for (weight, pair), at in zip(ends.items(), places, strict=True):
                    sheet.link(*pair, weight, tag, rf"{hat}{{{weight}}}", shade=shade, at=at)
    return sheet.fig


TOP, VALVE, LAYER, H, X = 4.3, 3.25, 2.55, 1.8, 1.05  # the heights of the parts of a cell


def _cell(alt, states):
    sheet = _Sheet(9, 5, alt)
    sheet.box(4.5, 2.65, 6.6, 4.1, "", None, "none", PALETTE["cell"], zorder=0)
    sheet.node("input", 0.6, X, "x_t")
    sheet.text(0.6, X - 0.45, "вход", 12, PALETTE["input"])
    for x, y, tex in states:
        sheet.node("state", x, y, tex, tex)
        sheet.text(x, y + 0.45, "память" if tex[0] == "c" else "состояние", 12, GREEN)
    return sheet


def _circle(sheet, x, y, gid, sign=r"$\bullet$", size=20):
    sheet.shape(Path.circle((x, y), 0.17), INK, "white", f"circle-{gid}")
    sheet.text(x, y, sign, size)


def _layer(sheet, x, name, caption, symbol="σ", inputs=("state", "input")):
    """A layer of the cell at x with its branches off the rails of the state and the input."""
    sheet.box(x, LAYER, 0.7, 0.46, symbol, f"layer-{name}", PALETTE["U"], PALETTE["layer"])
    sheet.text(x, 0.8, caption, 12)
    for kind in inputs:
        turn, rail = (x - 0.15, H) if kind == "state" else (x + 0.15, X)
        points = [(0.9, rail), (turn, rail), (turn, LAYER - 0.23)]
        sheet.arrow(points, PALETTE[kind], f"{kind}-{name}")


def _gate(sheet, x, name, caption, end):
    """A layer whose output opens or shuts the valve at `end`, above it or to its right."""
    _layer(sheet, x, name, caption)
    way = [(x, end[1]), (end[0] - 0.17, end[1])] if end[0] > x else [(x, end[1] - 0.17)]
    sheet.arrow([(x, LAYER + 0.23), *way], INK, name, f"{name}_t")
    _circle(sheet, *end, name)


def _adder(sheet, x, tex):
    """The candidate at x, added to the line of memory that runs along the top of the cell."""
    sheet.arrow([(0.9, TOP), (x - 0.17, TOP)], GREEN, "memory-in", width=3)
    sheet.arrow([(x + 0.17, TOP), (8.1, TOP)], GREEN, "memory-out", width=3)
    sheet.arrow([(x, LAYER + 0.23), (x, TOP - 0.17)], INK, "candidate", tex, at=0.11)
    _circle(sheet, x, TOP, "adder", "$+$", 17)


def lstm_gate(stage):
    """LSTM: memory and candidate, then input, forget, output gate (stage 1…4, else ValueError)."""
    _check("stage", stage, 4, "ступень")
    gates = [
        (3.15, "i", "записать", (4.35, VALVE)),
        (1.95, "f", "забыть", (1.95, TOP)),
        (5.55, "o", "показать", (6.75, VALVE)),
    ][: stage - 1]
    names = "".join(f", вентиль «{gate[2]}»" for gate in gates)
    alt = f"Ячейка LSTM: линия памяти, к которой прибавляется кандидат{names}."
    corners = [(0.6, TOP, "c_{t{-}1}"), (8.4, TOP, "c_t"), (0.6, H, "h_{t{-}1}"), (8.4, H, "h_t")]
    sheet = _cell(alt, corners)
    _layer(sheet, 4.35, "c", "кандидат", "tanh")
    _adder(sheet, 4.35, r"\tilde{c}_t")
    sheet.arrow([(6.4, TOP), (6.75, TOP), (6.75, 3.96)], GREEN, "to-tanh")
    sheet.box(6.75, 3.78, 0.7, 0.36, "tanh", "tanh")
    sheet.arrow([(6.75, 3.6), (6.75, H), (8.1, H)], GREEN, "to-h")
    for number, gate in enumerate(gates, start=2):
        sheet.marked = number == stage
        _gate(sheet, *gate)
    i, f, o = (rf"{g}_t \odot" * (stage >= n) for n, g in enumerate("ifo", start=2))
    memory = rf"$c_t = {f} c_{{t{{-}}1}} + {i} \tilde{{c}}_t$,   $h_t = {o} \tanh(c_t)$"
    sheet.text(4.5, 0.3, memory, 16)
    return sheet.fig


def gru_cell():
    """The GRU (Cho et al., 2014), its reset after the matrix product, as in torch.nn.GRU."""
    alt = "Ячейка GRU: вентиль z смешивает прошлое состояние с кандидатом, вентиль r гасит прошлое."
    sheet = _cell(alt, [(0.6, TOP, "h_{t{-}1}"), (8.4, TOP, "h_t")])
    sheet.shape(
        _rounded([(0.6, TOP - 0.3), (0.6, H), (0.95, H)], 0.16), GREEN, gid="rail", zorder=2
    )
    _layer(sheet, 6.2, "c", "кандидат", "tanh", ["input"])
    _adder(sheet, 6.2, r"\tilde{h}_t")
    _gate(sheet, 1.95, "z", "обновить", (1.95, TOP))
    sheet.arrow([(1.95, LAYER + 0.23), (1.95, VALVE), (3.65, VALVE)], INK, "z-branch")
    sheet.box(4, VALVE, 0.7, 0.36, "1 −", "minus")
    sheet.arrow([(4.35, VALVE), (6.03, VALVE)], INK, "1-z", "1 - z_t")
    _circle(sheet, 6.2, VALVE, "1-z")
    _gate(sheet, 3.6, "r", "сбросить", (4.7, LAYER))
    sheet.arrow([(0.9, H), (4.7, H), (4.7, LAYER - 0.17)], GREEN, "state-r", "W_{hh}")
    sheet.arrow([(4.87, LAYER), (5.85, LAYER)], GREEN, "state-c")
    candidate = r"\tilde{h}_t = \tanh(W_{xh} x_t + b_x + r_t \odot (W_{hh} h_{t{-}1} + b_h))"
    mixture = r"h_t = z_t \odot h_{t{-}1} + (1 - z_t) \odot \tilde{h}_t"
    sheet.text(4.5, 0.3, f"${candidate}$,   ${mixture}$", 14)
    return sheet.fig
