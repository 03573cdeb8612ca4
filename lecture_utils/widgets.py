"""Live widgets: thin shells of ipywidgets around pure functions that return a Figure."""

import html
import threading
import time
from collections.abc import Callable

import ipywidgets as w
import numpy as np
from matplotlib.figure import Figure

from lecture_utils import plots, probes
from lecture_utils.training import History


class Live(w.VBox):
    """Controls over the picture that `draw(**values)` returns, drawn anew at every change.

    A ValueError of `draw` is told in its own words beside the controls, the old picture stays.
    """

    def __init__(self, draw: Callable[..., Figure], **controls: w.ValueWidget):
        """`controls` are widgets under the names of the arguments of `draw`."""
        self.draw, self.controls = draw, controls
        self.picture, self.message = w.Image(format="png"), w.HTML()
        self.picture.layout.max_width = "100%"
        for control in controls.values():
            control.style.description_width = "initial"
            control.observe(self.redraw, names="value")
        self.redraw()
        super().__init__([w.HBox([*controls.values()]), self.message, self.picture])
        self.children[0].layout.flex_flow = "row wrap"

    def redraw(self, change=None) -> None:
        """Draw for the values that the controls have now."""
        try:
            figure = self.draw(**{name: c.value for name, c in self.controls.items()})
        except ValueError as error:
            self.message.value = f"<b>{html.escape(str(error))}</b>"
            return
        self.message.value, self.picture.value = "", plots.png(figure)
        self.picture.layout.width = f"{figure.get_figwidth() * figure.dpi:.0f}px"
        self.picture.tooltip = figure.get_label()

    def __repr__(self) -> str:
        """What a reader without a kernel sees in place of the widget, and a test compares."""
        return f"Живой рисунок (нужно запустить ячейку). {self.picture.tooltip}"


class LossMonitor(w.VBox):
    """A live picture of the losses and a stop button for `training.train`.

    Hand the monitor over as `callbacks=[monitor]`, `should_stop=monitor.should_stop`. A click is
    heard while the kernel trains because JupyterLab gives widgets a thread (subshell) of theirs;
    interrupting the kernel does the same everywhere.
    """

    def __init__(self, levels: dict[str, float] | None = None, width: int = 50):
        """`levels` are drawn as horizontal lines; `width` is the span of the running mean."""
        self.levels, self.width = levels, width
        self._asked, self._drawn = threading.Event(), 0.0
        self.picture = w.Image(format="png")
        self.button = w.Button(description="Остановить обучение", icon="stop")
        self.button.layout.width = "16em"
        self.button.on_click(self._stop)
        super().__init__([self.button, self.picture])

    def __call__(self, history: History, model) -> None:
        """Redraw, at most twice a second and always at the end."""
        if history.stopped:
            self.button.disabled = True
        elif time.monotonic() - self._drawn < 0.5:
            return
        self.picture.value = plots.png(plots.losses(history, self.levels, self.width), scale=1)
        self._drawn = time.monotonic()

    def should_stop(self) -> bool:
        """Has the button been pressed?"""
        return self._asked.is_set()

    def _stop(self, button) -> None:
        self._asked.set()
        button.disabled, button.description = True, "Останавливаю…"


def thermometer() -> Live:
    """Gradients in five plain RNNs: move the spectral radius, f, the start of W, the length T."""

    def draw(rho, f, start, T):
        weights = [probes.random_rnn(rho, seed, start == "ортогональная") for seed in range(5)]
        return plots.thermometer({f"{f}, ρ = {rho:.2f}": probes.rnn_panel(f, weights, T)})

    return Live(
        draw,
        rho=w.FloatSlider(1.1, min=0.5, max=1.5, step=0.05, description="ρ"),
        f=w.Dropdown(options=list(probes.FUNCTIONS), value="tanh", description="f"),
        start=w.Dropdown(options=["случайная", "ортогональная"], description="W"),
        T=w.IntSlider(50, min=5, max=100, description="T"),
    )


def cliff() -> Live:
    """Descent towards the cliff, with and without clipping: move start, rate, threshold."""
    surface = probes.cliff_surface()

    def draw(start_w, start_b, rate, clip):
        limits = {"без отсечения": np.inf, f"с отсечением до {clip:g}": clip}
        start = start_w, start_b
        paths = {name: probes.descend(start, rate, c)[:, :3] for name, c in limits.items()}
        return plots.cliff(surface, paths)

    return Live(
        draw,
        start_w=w.FloatSlider(4.8, min=4, max=5.6, step=0.1, description="старт w"),
        start_b=w.FloatSlider(-2, min=-3, max=-0.5, step=0.1, description="старт b"),
        rate=w.FloatLogSlider(0.03, min=-3, max=-1, step=0.1, description="шаг η"),
        clip=w.FloatLogSlider(1, min=-1, max=2, step=0.1, description="порог"),
    )
