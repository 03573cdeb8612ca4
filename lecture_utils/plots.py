"""Pictures of measurements: curves of a run, bars to compare, distributions to draw from.

Every function returns a Figure whose label is its alternative text; `show` hands both to Jupyter.
"""

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lecture_utils.diagrams import PALETTE

OUTPUT, GREY = PALETTE["output"], "#5F6B7A"


def png(figure: Figure, scale: float = 1.5) -> bytes:
    """The picture as PNG, `scale` times finer than its size on the page."""
    buffer = io.BytesIO()
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


def smooth(values: Sequence[float], width: int) -> np.ndarray:
    """Mean of the last `width` values at each place (fewer at the beginning)."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x_label: str,
    y_label: str,
    levels: Mapping[str, float] | None = None,
    title: str = "",
) -> Figure:
    """Several curves `name: (x, y)` in one picture, over horizontal `levels` `name: y`."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    for number, (name, (x, y)) in enumerate(lines.items()):
        style = ["-", "--", "-.", ":"][number % 4]
        axes.plot(x, y, style, marker="o" if len(x) < 20 else "", markersize=4, label=name)
    for number, (name, y) in enumerate((levels or {}).items()):
        axes.axhline(y, color=GREY, linestyle=[":", "--", "-."][number % 3], linewidth=1.5)
        axes.annotate(
            f"{name}: {y:.2f}",
            (1, y),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            color="#444444",
        )
    axes.set(xlabel=x_label, ylabel=y_label, title=title)
    if len(lines) > 1:
        axes.legend()
    ends = "; ".join(f"{name}: от {y[0]:.2f} до {y[-1]:.2f}" for name, (_, y) in lines.items())
    extra = "; ".join(f"{name}: {y:.2f}" for name, y in (levels or {}).items())
    figure.set_label(
        f"Кривые: {y_label} в зависимости от «{x_label}». {ends}."
        + (f" Уровни: {extra}." if extra else "")
    )
    return figure


def losses(history, levels: Mapping[str, float] | None = None, width: int = 50) -> Figure:
    """Training loss (running mean over `width` steps) and validation loss against the step.

    `history` is a `training.History`.
    """
    steps = range(1, len(history.loss) + 1)
    lines = {f"обучение (среднее за {width} шагов)": (steps, smooth(history.loss, width))}
    if history.valid_loss:
        lines["проверка"] = (history.valid_step, history.valid_loss)
    return curves(lines, x_label="шаг", y_label="потери, наты на символ", levels=levels)


def bars(values: Mapping[str, float], *, x_label: str, digits: int = 1, title: str = "") -> Figure:
    """Horizontal bars with their numbers, in the order given, the last one highlighted."""
    names, numbers = list(values), list(values.values())
    figure = Figure(figsize=(8, 0.7 + 0.45 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    colors = [GREY] * (len(names) - 1) + [OUTPUT]
    drawn = axes.barh(names, numbers, color=colors)
    axes.bar_label(drawn, fmt=f"%.{digits}f", padding=4)
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.set(xlabel=x_label, title=title)
    text = "; ".join(f"{name}: {number:.{digits}f}" for name, number in values.items())
    figure.set_label(f"Столбцы, {x_label}. {text}.")
    return figure


def distributions(rules: Mapping[str, Sequence[float]], symbols: Sequence[str]) -> Figure:
    """Probabilities of the same symbols under several rules, one panel a rule."""
    figure = Figure(figsize=(10, 3), layout="constrained")
    panels = figure.subplots(1, len(rules), sharey=True, squeeze=False)[0]
    for axes, (name, probs) in zip(panels, rules.items(), strict=True):
        axes.bar(range(len(symbols)), probs, color=OUTPUT)
        axes.set_xticks(range(len(symbols)), symbols, rotation=60 if len(symbols[0]) > 1 else 0)
        axes.set_title(name, fontsize="medium")
    panels[0].set_ylabel("вероятность")
    best = "; ".join(
        f"{name}: чаще всего «{symbols[int(np.argmax(probs))]}», {max(probs):.2f}"
        for name, probs in rules.items()
    )
    figure.set_label(f"Вероятности следующего символа при разных правилах выбора. {best}.")
    return figure


def over_text(
    values: Sequence[float], words: Sequence[str], marked: Sequence[bool], *, y_label: str
) -> Figure:
    """One value over each word of a text, the `marked` words shaded and hatched."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(words))
    axes.bar(places, values, color=PALETTE["state"], width=0.8)
    axes.fill_between(
        places,
        0,
        1,
        where=np.asarray(marked),
        step="mid",
        alpha=0.15,
        hatch="//",
        color=PALETTE["V"],
        transform=axes.get_xaxis_transform(),
        label="внутри кавычек",
    )
    axes.set_xticks(places, words, rotation=90)
    axes.set_ylabel(y_label)
    axes.margins(x=0.01)
    axes.legend(loc="upper right")
    low, high = words[int(np.argmin(values))], words[int(np.argmax(values))]
    figure.set_label(
        f"Столбики над словами текста: {y_label}; меньше всего над «{low}», больше всего над "
        f"«{high}»; заштриховано то, что внутри кавычек."
    )
    return figure
