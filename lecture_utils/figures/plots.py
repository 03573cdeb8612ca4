"""Pictures of measurements: curves of a run, bars to compare, distributions to draw from.

Every function returns a Figure whose label is its alternative text; `show` hands both to Jupyter.
"""

import base64
import io
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path
from matplotlib.ticker import ScalarFormatter

from lecture_utils.figures.diagrams import PALETTE
from lecture_utils.figures.style import comma
from lecture_utils.vocabulary import join_words

OUTPUT, GREY = PALETTE["output"], "#5F6B7A"
LAND = LinearSegmentedColormap.from_list("land", ["#2B62A8", "#F1F4F7", "#C98A2B"])
DASHES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1))]  # as many as colours
DESCENTS = [("--", "X", PALETTE["gradient"]), ("-", "o", PALETTE["ink"])]  # line, its end, colour


class DecimalComma(ScalarFormatter):
    """Numbers along an axis as Russian writes them, whatever locale the machine has."""

    def __call__(self, x, pos=None):
        """The label of the place x."""
        return super().__call__(x, pos).replace(".", ",")


def png(figure: Figure, scale: float = 1.5) -> bytes:
    """The picture as PNG, `scale` times finer than its size on the page; decimal commas."""
    for axis in figure.findobj(Axis):
        if type(axis.get_major_formatter()) is ScalarFormatter:
            axis.set_major_formatter(DecimalComma())
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a sign without a shape is seen as a box
        figure.savefig(buffer, format="png", dpi=scale * figure.dpi)
    return buffer.getvalue()


def show(figure: Figure) -> None:
    """Display a figure with its label as alternative text."""
    from IPython.display import display

    width, height = (figure.get_size_inches() * figure.dpi).astype(int).tolist()
    alt = figure.get_label()
    display(
        {"image/png": base64.b64encode(png(figure)).decode(), "text/plain": alt},
        metadata={"image/png": {"alt": alt, "width": width, "height": height}},
        raw=True,
    )


def _short(words: Sequence[str]) -> list[str]:
    """Words to stand at an axis: a long one, such as an address, would leave no place to it."""
    return [word if len(word) <= 12 else f"{word[:11]}…" for word in words]


def smooth(values: Sequence[float], width: int) -> np.ndarray:
    """Mean of the last `width` values at each place (fewer at the beginning)."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def _axes(width: float, height: float, **look) -> tuple[Figure, Axes]:
    """A figure of so many inches and its only axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot(**look)


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x_label: str,
    y_label: str,
    levels: Mapping[str, float] | None = None,
    joined: bool = False,
) -> Figure:
    """Several curves `name: (x, y)` in one picture, over horizontal `levels` `name: y`.

    Up to five numbers are points only, unless `joined`: a line would claim what lies between them.
    """
    figure, axes = _axes(8, 4, xlabel=x_label, ylabel=y_label)
    for number, (name, (x, y)) in enumerate(lines.items()):
        look = {"marker": "osD^vP"[number % 6] if len(x) < 20 else "", "markersize": 4}
        look |= {"linestyle": DASHES[number % 6]}
        look |= {"linestyle": "", "markersize": 9} if len(x) <= 5 and not joined else {}
        axes.plot(x, y, label=name, **look)
    for number, (name, y) in enumerate((levels or {}).items()):
        axes.axhline(y, color=GREY, linestyle=[":", "--", "-."][number % 3], linewidth=1.5)
        look = {"xycoords": ("axes fraction", "data"), "ha": "right", "color": "#444444"}
        axes.annotate(f"{name}: {comma(y)}", (1, y), (-4, 3), textcoords="offset points", **look)
    if all(np.asarray(x).dtype.kind == "i" for x, _ in lines.values()):
        axes.locator_params(axis="x", integer=True)
    if len(lines) > 1:
        axes.legend()
    ends = "; ".join(f"{n}: от {comma(y[0])} до {comma(y[-1])}" for n, (_, y) in lines.items())
    extra = "; ".join(f"{name}: {comma(y)}" for name, y in (levels or {}).items())
    told = f"Кривые: {y_label} в зависимости от «{x_label}». {ends}."
    figure.set_label(f"{told} Уровни: {extra}." if extra else told)
    return figure


def losses(
    history, levels: Mapping[str, float] | None = None, width: int = 50, unit: str = "символ"
) -> Figure:
    """Training loss (running mean over `width` steps) and validation loss against the step.

    `history` is a `training.History`; a loss is in nats per `unit`.
    """
    steps = range(1, len(history.loss) + 1)
    lines = {f"обучение (среднее за {width} шагов)": (steps, smooth(history.loss, width))}
    if history.valid_loss:
        lines["проверка"] = (history.valid_step, history.valid_loss)
    return curves(lines, x_label="шаг", y_label=f"потери, наты на {unit}", levels=levels)


def bars(values: Mapping[str, float], *, x_label: str, digits: int = 1) -> Figure:
    """Horizontal bars with their numbers, in the order given, the last one highlighted."""
    names, numbers = list(values), list(values.values())
    figure, axes = _axes(8, 0.7 + 0.45 * len(names), xlabel=x_label)
    drawn = axes.barh(names, numbers, color=[GREY] * (len(names) - 1) + [OUTPUT])
    axes.bar_label(drawn, fmt=lambda number: comma(number, f".{digits}f"), padding=4)
    axes.margins(x=0.12)
    axes.invert_yaxis()
    text = "; ".join(f"{name}: {comma(number, f'.{digits}f')}" for name, number in values.items())
    figure.set_label(f"Столбцы, {x_label}. {text}.")
    return figure


def distributions(rules: Mapping[str, Sequence[float]], symbols: Sequence[str]) -> Figure:
    """Probabilities of the same symbols under several rules, one panel a rule.

    The first is what the rules change: its outline is drawn in every panel.
    """
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    panels = figure.subplots(1, len(rules), sharey=True, squeeze=False)[0]
    places, first = np.arange(len(symbols)), next(iter(rules.values()))
    slant = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"}
    look = slant if max(map(len, symbols)) > 1 else {}
    for axes, (name, probs) in zip(panels, rules.items(), strict=True):
        axes.bar(places, probs, color=OUTPUT)
        axes.stairs(first, np.arange(len(symbols) + 1) - 0.5, color=PALETTE["ink"], linestyle=":")
        axes.set_xticks(places, _short(symbols), parse_math=False, **look)  # a text may hold a $
        axes.set_title(name, fontsize="medium")
    panels[0].set_ylabel("вероятность")
    best = "; ".join(
        f"{name}: чаще всего «{symbols[int(np.argmax(probs))]}», {comma(max(probs))}"
        for name, probs in rules.items()
    )
    figure.set_label(f"Вероятности следующего символа при разных правилах выбора. {best}.")
    return figure


def over_text(
    values: Sequence[float], words: Sequence[str], marked: Sequence[bool], *, y_label: str
) -> Figure:
    """One value over each word of a text, the `marked` words shaded and hatched."""
    figure, axes = _axes(11, 3.4, ylabel=y_label)
    places = np.arange(len(words))
    axes.bar(places, values, color=PALETTE["state"], width=0.8)
    whole = {"where": np.asarray(marked), "step": "mid", "transform": axes.get_xaxis_transform()}
    look = {"color": PALETTE["V"], "alpha": 0.15, "hatch": "//"}
    axes.fill_between(places, 0, 1, **whole, **look, label="внутри кавычек")
    turn = 90 * (max(map(len, words)) > 1)
    axes.set_xticks(places, _short(words), rotation=turn, parse_math=False)
    axes.margins(x=0.01)
    axes.legend(loc="upper right")
    low, high = words[int(np.argmin(values))], words[int(np.argmax(values))]
    figure.set_label(
        f"Столбики над словами текста: {y_label}; меньше всего над «{low}», больше всего над "
        f"«{high}»; заштриховано то, что внутри кавычек."
    )
    return figure


def coloured(
    symbols: Sequence[str], values: Sequence[float], *, label: str, signed: bool = False
) -> Figure:
    """A text, each symbol on the colour of its value: 0 and more or, `signed`, −1…1; nan: white.

    Letters stand in a grid, words as they are written. What does not fit on a slide is left out,
    and a sentence says so. `label` names the values and their unit.
    """
    values, is_grid = np.asarray(values, float), max(map(len, symbols)) == 1
    font = FontProperties(family="DejaVu Sans Mono" if is_grid else "DejaVu Sans", size=15)
    shown = [_drawable(symbol, font) for symbol in symbols]
    boxes = [box for box in _flow(symbols, shown, font) if box[1] < 12]  # lines on a slide
    text = ("".join if is_grid else join_words)(symbols[: len(boxes)])
    values, shown = values[: len(boxes)], shown[: len(boxes)]
    told = _extremes(shown, values, 6 * is_grid, signed)
    if len(boxes) < len(symbols):
        told += f" Показано начало: символов {len(boxes)} из {len(symbols)}."
    scale = Normalize(-1 if signed else 0, 1 if signed else np.nanmax([*values, 1e-9]))
    cmap = LAND if signed else colormaps["YlOrBr"]
    colors = cmap(scale(np.nan_to_num(values)))
    colors[np.isnan(values)] = 1
    height = 28 * boxes[-1][1] + 106
    figure = Figure(figsize=(11, height / 72), layout="none")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-12, 780), ylim=(height - 8, -8))  # in points
    axes.axis("off")
    places = [Rectangle((x, 28 * line), width, 26) for x, line, width in boxes]
    axes.add_collection(PatchCollection(places, facecolors=colors, edgecolors="white"))
    for (x, line, width), sign, color in zip(boxes, shown, colors, strict=True):
        look = {"font": font, "ha": "center", "parse_math": False}
        look["color"] = "black" if color[:3] ** 2.2 @ [0.21, 0.72, 0.07] > 0.18 else "white"
        axes.text(x + width / 2, 28 * line + 18, sign, **look)
    axes.text(0, height - 58, told, size=12, parse_math=False)
    place = ((24 if signed else 12) / 792, 26 / height, 0.3, 10 / height)
    bar = figure.add_axes(place, label="<colorbar>")
    figure.colorbar(ScalarMappable(scale, cmap), cax=bar, orientation="horizontal")
    axes.text(0.33 * 792, height - 34, label, size=12)
    figure.set_label(f"Текст, раскрашенный по величине «{label}»: {text.strip()} … {told}")
    return figure


def _drawable(symbol: str, font: FontProperties) -> str:
    """What is drawn of a symbol: a sign for an end of line, □ for what the font has not."""
    symbol = symbol.translate({10: "¶", 13: "¶", 9: "→"})
    symbol = symbol if len(symbol) <= 40 else f"{symbol[:39]}…"
    symbol = f"◌{symbol}" if unicodedata.combining(symbol[0]) else symbol
    glyph = get_font(findfont(font)).get_char_index  # 0 for a sign that it has not
    return "".join(sign if glyph(ord(sign)) else "□" for sign in symbol)


def _flow(symbols, shown, font) -> Iterator[tuple[float, int, float]]:
    """x, line and width of each symbol, in lines of 768 points that end between words."""
    if max(map(len, symbols)) == 1:
        starts = [k == 0 or symbols[k - 1].isspace() for k in range(len(symbols))]
        widths, blank = [13] * len(symbols), 0
    else:
        text, at, starts, blank = join_words(symbols), 0, [], 5
        for symbol in symbols:
            starts.append(at == 0 or text[at] == " ")
            at += len(symbol) + (text[at] == " ")
        measure = text_to_path.get_text_width_height_descent
        widths = [measure(sign, font, False)[0] + 4 for sign in shown]
    stops, x, line = [*np.flatnonzero(starts), len(symbols)], 0, 0
    for first, end in pairwise(stops):
        x += blank * (x > 0)
        if x + sum(widths[first:end]) > 768 or symbols[first - 1] == "\n":
            x, line = 0, line + (x > 0)
        for width in widths[first:end]:
            if x + width > 768:  # a word longer than a line
                x, line = 0, line + 1
            yield x, line, width
            x += width


def _extremes(shown, values, before, signed) -> str:
    """The three symbols of the greatest values, a letter with some `before` it; the least one."""

    def named(k):
        letter = f"{''.join(shown[max(0, k - before) : k])}[{shown[k]}]"
        return f"«{letter if before else shown[k]}» {comma(values[k])}"

    order = [k for k in np.argsort(-values, kind="stable") if not np.isnan(values[k])]
    if not order:
        return ""
    told = f"Больше всего: {', '.join(map(named, order[:3]))}."
    return told + (f" Меньше всего: {named(order[-1])}." if signed else "")


def seeds(
    runs: Mapping[str, Sequence[float]],
    levels: Mapping[str, float] | None = None,
    *,
    x_label: str,
    plain: str = "без сети",
) -> Figure:
    """Results of several seeds, a row of points for each of `runs`; a bar marks its level, if any.

    `plain` says what the levels are: what is reached without a network, or what there is to reach.
    """
    figure, axes = _axes(9, 1 + 0.5 * len(runs), xlabel=x_label)
    rows, levels = np.arange(len(runs)), levels or {}
    for row, (name, values) in enumerate(runs.items()):
        if name in levels:
            height = [row - 0.36, row + 0.36]
            axes.plot([levels[name]] * 2, height, color=GREY, linewidth=4, label=plain)
        places = row + np.linspace(-0.22, 0.22, len(values))
        look = {"color": OUTPUT, "markersize": 6, "label": "сеть, каждый запуск"}
        axes.plot(values, places, "o", clip_on=False, **look)
    axes.set_yticks(rows, list(runs))
    axes.invert_yaxis()
    handles = {h.get_label(): h for h in axes.lines}
    figure.legend(handles.values(), handles, loc="outside upper right", ncols=2)
    text = "; ".join(
        f"{name}: от {comma(min(values))} до {comma(max(values))}"
        + (f", {plain} {comma(levels[name])}" if name in levels else "")
        for name, values in runs.items()
    )
    figure.set_label(f"Точки — запуски с разными зёрнами, {x_label}. {text}.")
    return figure


def heat_map(values, rows, columns, *, x_label="", y_label="", numbers=None) -> Figure:
    """Values in 0…1, (rows, columns), as colours under their names; `numbers` are written there."""
    is_table = numbers is not None
    figure, axes = _axes(2.6 + (1.3 if is_table else 0.38) * len(columns), 1.2 + 0.3 * len(rows))
    axes.imshow(values, cmap="YlOrBr", vmin=0, vmax=1, aspect="auto", zorder=2)
    axes.set(xticks=range(len(columns)), xticklabels=columns, xlabel=x_label)
    axes.set(yticks=range(len(rows)), yticklabels=rows, ylabel=y_label)
    for (row, column), number in np.ndenumerate(numbers if is_table else []):
        look = {"color": "white" if values[row][column] > 0.6 else "black", "ha": "center"}
        axes.text(column, row, comma(number), zorder=3, va="center", **look)
    tell = (lambda v: ", ".join(map(comma, v))) if is_table else (lambda v: columns[np.argmax(v)])
    lines = zip(rows, numbers if is_table else values, strict=True)
    what = f"столбцы: {', '.join(columns)}; строки" if is_table else "темнее — больше, больше всего"
    told = "; ".join(f"{row}: {tell(line)}" for row, line in lines)
    figure.set_label(f"Карта: {what} — {told}.")
    return figure


def letter_map(points: np.ndarray, letters: str, marked: str) -> Figure:
    """Letters at their points (n, 2); the `marked` ones are bold and in a circle."""
    figure, axes = _axes(9, 4.6)
    for (x, y), letter in zip(points, letters, strict=True):
        look = {"color": PALETTE["ink"], "parse_math": False}
        if letter in marked:
            circle = {"boxstyle": "circle", "fc": "#E3EDF8", "ec": OUTPUT}
            look |= {"color": OUTPUT, "weight": "bold", "bbox": circle}
        axes.text(x, y, letter, size=14, ha="center", va="center", **look)
    axes.update_datalim(points)
    axes.margins(0.08)
    axes.autoscale_view()
    figure.set_label(f"Карта букв: {letters}; в кружках {marked}, близкие буквы стоят рядом.")
    return figure


def shares_of_steps(shares: Sequence[float], fading: Sequence[float], total: float) -> Figure:
    """Norms at the steps t = 1…T: what each adds to ∂L/∂W, and ∂L/∂s_t; their whole ∂L/∂W."""
    figure, axes = _axes(9, 4.2, yscale="log", xlabel="шаг t", ylabel="норма")
    steps = np.arange(1, len(shares) + 1)
    axes.bar(steps, shares, color=PALETTE["W"], alpha=0.45, label="вклад шага t в ∂L/∂W")
    axes.plot(steps, fading, "o-", color=PALETTE["state"], markersize=5, label="∂L/∂s$_t$")
    axes.axhline(total, color=PALETTE["W"], linestyle="--", label="∂L/∂W целиком")
    figure.legend(loc="outside upper center", ncols=3)
    numbers = fading[0], fading[-1], max(shares), total
    first, last, largest, whole = (comma(number, ".1e") for number in numbers)
    figure.set_label(
        f"По шагам 1…{len(shares)}: норма ∂L/∂s_t от {first} до {last}, столбики "
        f"вкладов в ∂L/∂W до {largest}; весь ∂L/∂W — {whole}."
    )
    return figure


def spread(
    lines: Mapping[str, tuple[Sequence[float], np.ndarray]], *, x_label: str, y_label: str, **more
) -> Figure:
    """`curves` through the medians of several seeds, y being (len(x), seeds), each seed a point."""
    middle = {name: (x, np.median(y, axis=1)) for name, (x, y) in lines.items()}
    figure = curves(middle, x_label=x_label, y_label=y_label, joined=True, **more)
    axes = figure.axes[0]
    for line, (x, y) in zip(axes.lines[: len(lines)], lines.values(), strict=True):
        look = {"color": line.get_color(), "linewidth": 0}
        axes.plot(x, y, "o", markersize=5, alpha=0.5, **look)
        axes.fill_between(x, y.min(1), y.max(1), alpha=0.12, **look)
    runs = "–".join(map(str, sorted({y.shape[1] for _, y in lines.values()})))
    figure.set_label(f"{figure.get_label()} Линии — медианы, точки — отдельные запуски ({runs}).")
    return figure


def thermometer(panels: Mapping[str, tuple[np.ndarray, Mapping[str, float]]]) -> Figure:
    """Norms of ∂L/∂s_t against t on a log axis, a thin line for each net, one panel a title.

    `panels` are `title: (norms, rates)`: norms (nets, T + 1), and for each line to compare with its
    name and its factor a step. A norm of exactly 0 has no logarithm: there the line ends with a ✕.
    """
    figure = Figure(figsize=(min(11, 4 + 4 * len(panels)), 4), layout="constrained")
    every = np.concatenate([norms[norms > 0] for norms, _ in panels.values()])
    limits = min(every.min() / 10, 1e-4), max(every.max() * 1e3, 1e4)
    boxes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    boxes[0].set(yscale="log", ylim=limits, ylabel="‖∂L/∂s$_t$‖")
    for axes, (title, (norms, rates)) in zip(boxes, panels.items(), strict=True):
        back = np.arange(norms.shape[1])[::-1]  # T − t
        for row in np.where(norms > 0, norms, np.nan):
            axes.plot(row, color=PALETTE["gradient"], linewidth=1.2, alpha=0.7, label="измерено")
        for (name, rate), style in zip(rates.items(), ["--", ":"], strict=False):
            axes.plot(rate**back, style, color=PALETTE["ink"], linewidth=2, label=name)
        for dead in (np.flatnonzero(row == 0) for row in norms if (row == 0).any()):
            cross = {"markersize": 10, "clip_on": False, "label": "ровно 0"}
            axes.plot(dead[-1:], limits[:1], "X", color=PALETTE["ink"], **cross)
        axes.set(xlabel="шаг t", title=title)
    handles = {h.get_label(): h for axes in boxes for h in axes.lines}
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=4)
    size = lambda norm: f"{norm:.0e}" if norm else "ровно 0"
    ends = "; ".join(
        f"{title}: на шаге 0 от {size(norms[:, 0].min())} до {size(norms[:, 0].max())}"
        for title, (norms, _) in panels.items()
    )
    figure.set_label(f"Норма градиента ∂L/∂s_t по шагам, на последнем шаге 1. {ends}.")
    return figure


def _ended_at_edge(name: str, path: np.ndarray, low, high) -> tuple[str, np.ndarray]:
    """The path up to where it leaves the box from `low` to `high` of w and b; its name says so."""
    is_inside = ((low <= path[:, :2]) & (path[:, :2] <= high)).all(1)
    if not is_inside[0]:
        (w, b), (w_high, b_high) = [[comma(edge, ".1f") for edge in end] for end in (low, high)]
        ranges = f"w от {w} до {w_high}, b от {b} до {b_high}"
        raise ValueError(f"Старт {path[0, :2].tolist()} вне рисунка: нужны {ranges}.")
    if is_inside.all():
        return name, path
    k = is_inside.argmin()  # the first step outside
    before, step = path[k - 1, :2], path[k, :2] - path[k - 1, :2]
    edges = np.where(step > 0, high, low) - before
    share = min(e / d for e, d in zip(edges, step, strict=True) if d)
    end = [*before + share * step, path[k, 2]]
    return f"{name}: улетел за край", np.array([*path[:k], end])


def _landscape(surface: np.ndarray) -> tuple[Figure, Axes]:
    """The loss surface (3, n, m) in three dimensions, coloured by height, with lines along b."""
    figure = Figure(figsize=(9, 5), layout="none")
    axes = figure.add_axes((0, 0, 1, 1), projection="3d", computed_zorder=False)
    w, b, loss = surface
    middle = (loss[1:, 1:] + loss[1:, :-1] + loss[:-1, 1:] + loss[:-1, :-1]) / 4
    flat = {"rstride": 1, "cstride": 1, "linewidth": 0, "antialiased": False, "shade": False}
    axes.plot_surface(w, b, loss, facecolors=LAND(np.sqrt(middle / loss.max())), **flat)
    for k in range(0, len(w), len(w) // 10):
        axes.plot(w[k], b[k], loss[k], color=PALETTE["ink"], linewidth=0.5, alpha=0.35, zorder=2)
    axes.view_init(40, 30)
    axes.set_box_aspect((4, 5, 1.8), zoom=1.0)
    ticks = {"xticks": [4, 5], "yticks": [-3, -2, -1], "zticks": [0, 0.4]}
    axes.set(xlabel="w", ylabel="b", zlabel="L", **ticks)
    axes.grid(False)
    return figure, axes


def cliff(surface: np.ndarray, paths: Mapping[str, np.ndarray]) -> Figure:
    """A loss surface (3, n, m) of w, b, L with up to two paths of steps, each (steps, 3).

    A path that leaves the surface ends at its edge. Raises ValueError if one starts outside.
    """
    low, high = surface[:2].min((1, 2)), surface[:2].max((1, 2))
    shown = dict(_ended_at_edge(name, path, low, high) for name, path in paths.items())
    figure, axes = _landscape(surface)
    for (name, path), (style, mark, color) in zip(shown.items(), DESCENTS, strict=False):
        axes.plot(*path.T, style + ".", color=color, linewidth=1.5, markersize=5, zorder=3)
        axes.plot(*path[-1:].T, mark, color=color, markersize=10, zorder=4, label=name)
    for path in [*paths.values()][:1]:  # all start at one place
        look = {"color": PALETTE["ink"], "ha": "center", "va": "top", "linespacing": 0.6}
        axes.text(*path[0], "\nстарт", zorder=5, **look)
    figure.legend(loc="upper right")
    ends = "; ".join(f"{n}, потери в конце {comma(p[-1, 2], '.3f')}" for n, p in shown.items())
    figure.set_label(f"Потери над плоскостью (w, b): пологая долина упирается в обрыв. {ends}.")
    return figure


def cliff_map(surfaces: Sequence[np.ndarray], paths: Mapping[str, np.ndarray]) -> Figure:
    """`cliff` from above: a map of each surface, the second inside the first, with the same paths.

    The second is framed in the first; there a dot is a step.
    """
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    maps = figure.subplots(1, 2)
    top = np.sqrt(max(surface[2].max() for surface in surfaces))
    for axes, (w, b, loss), mark in zip(maps, surfaces, ("", "o"), strict=True):
        axes.contourf(w, b, np.sqrt(loss), np.linspace(0, top, 25), cmap=LAND)
        for (name, path), (style, _, color) in zip(paths.items(), DESCENTS, strict=False):
            axes.plot(*path[:, :2].T, style, marker=mark, color=color, markersize=6, label=name)
        limits = {"xlim": (w.min(), w.max()), "ylim": (b.min(), b.max())}
        axes.set(xlabel="w", ylabel="b", **limits)
        axes.locator_params(nbins=5)
    (left, right), (low, high) = limits.values()
    maps[0].add_patch(Rectangle((left, low), right - left, high - low, fill=False, linewidth=2))
    maps[0].set_title("вид сверху")
    maps[1].set_title("рамка крупно: точка — шаг")
    figure.legend(*maps[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    figure.set_label(
        f"Карта потерь над плоскостью (w, b) и место у стены крупно: w от {comma(left)} до "
        f"{comma(right)}, b от {comma(low)} до {comma(high)}; пути: {', '.join(paths)}."
    )
    return figure


def gates(seen: Mapping[str, np.ndarray]) -> Figure:
    """One LSTM cell step by step: its candidate, its gates, its memory and what it shows.

    `seen` is what `probes.lstm_by_hand` returns: i, f, o, c̃, c, h by name, each (time,).
    """
    c, candidate, steps = seen["c"], seen["c̃"], len(seen["c"])
    t, edges = np.arange(1, steps + 1), np.arange(steps + 1) + 0.5
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    top, strip, low = figure.subplots(3, 1, sharex=True, height_ratios=(2, 1.5, 4))
    top.vlines(t, 0, candidate, color=PALETTE["input"], linewidth=3)
    top.axhline(0, color=PALETTE["ink"], linewidth=1)
    top.set(ylabel="$\\tilde{c}_t$", ylim=(-1.2, 1.2))
    rows = [seen[gate] for gate in "ofi"]
    strip.pcolormesh(edges, range(4), rows, cmap="Greys_r", vmin=-0.3, vmax=1)
    strip.hlines([1, 2, 3], *edges[[0, -1]], color=PALETTE["ink"], linewidth=1)
    strip.set_yticks([0.5, 1.5, 2.5], list("ofi"))
    strip.grid(False)
    low.step(t, c, where="mid", color=PALETTE["state"], linewidth=3, label="память $c_t$")
    low.plot(t, seen["h"], "o--", color=PALETTE["output"], label="выход $h_t$")
    down, up = np.clip(candidate, None, 0).sum(), np.clip(candidate, 0, None).sum()
    low.set(xlabel="шаг t", ylim=(min(-0.2, down) - 0.1, max(1, up) + 0.1))
    figure.legend(loc="outside upper right", ncols=2)
    figure.set_label(
        f"Ячейка с вентилями вручную, {steps} шагов: сверху импульсы кандидата, ниже вентили "
        f"(светлый открыт), внизу память от {comma(c.min())} до {comma(c.max())} и выход."
    )
    return figure


def forgetting(fading: Mapping[float, tuple[float, float, np.ndarray]]) -> Figure:
    """What is left of a memory step by step, for each bias b_f, with its half-life marked.

    `fading` is what `probes.memory_left` returns: `b_f: (f, half-life, f^k)`.
    """
    lines = {}
    for b_f, (f, half, left) in fading.items():
        steps = f"половина через {comma(half, '.1f')} шага"
        lines[f"$b_f$ = {comma(b_f, 'g')}: f = {comma(f)}, {steps}"] = range(len(left)), left
    figure = curves(lines, x_label="шагов прошло, k", y_label="осталось памяти")
    axes = figure.axes[0]
    axes.axhline(0.5, color=GREY, linewidth=1)
    for line, (_, half, _) in zip(axes.lines[: len(lines)], fading.values(), strict=True):
        axes.plot([half, half], [0.5, 0], "o:", color=line.get_color(), markevery=[0], markersize=9)
    axes.legend()
    return figure


def intervention(
    text: str, values: tuple[np.ndarray, np.ndarray], nats: tuple[np.ndarray, np.ndarray], *, name
) -> Figure:
    """A value called `name` over each letter of a text, below it what the letter costs, in nats.

    `values` and `nats` are pairs: of the net left alone (a line) and of the net changed (bars).
    """
    figure = Figure(figsize=(11, 4.8), layout="none")  # the parts of this picture never move: fast
    frame = {"left": 0.07, "right": 0.99, "top": 0.91, "bottom": 0.08, "hspace": 0.3}
    panels = figure.subplots(2, 1, sharex=True, gridspec_kw=frame)
    rows = (values, PALETTE["state"], name), (nats, PALETTE["output"], "цена буквы, наты")
    for axes, ((plain, changed), color, label) in zip(panels, rows, strict=True):
        axes.stairs(changed, color=color, fill=True, alpha=0.6, label="с вмешательством")
        axes.stairs(plain, color=PALETTE["ink"], linewidth=1.5, label="без него")
        axes.set(ylabel=label, xlim=(0, len(text)), xticks=[])
    for place, letter in enumerate(text, start=1):
        below = {
            "fontsize": 12,
            "xytext": (0, -4),
            "textcoords": "offset points",
            "ha": "center",
            "va": "top",
        }
        frame = axes.get_xaxis_transform()
        axes.annotate(letter, (place - 0.5, 0), xycoords=frame, parse_math=False, **below)
    before, after = (comma(np.nanmean(part)) for part in nats)
    axes.set_title(f"в среднем {before} → {after} ната на букву", fontsize="medium")
    panels[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    figure.set_label(
        f"Над буквами «{text}»: {name} без вмешательства и с ним; внизу цена каждой буквы, "
        f"в среднем {before} ната без вмешательства и {after} с ним."
    )
    return figure
