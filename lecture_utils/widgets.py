"""Live widgets: thin shells of ipywidgets around pure functions that return a Figure."""

import threading
import time

import ipywidgets as w

from lecture_utils import plots
from lecture_utils.training import History


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
