"""Live widgets: thin shells of ipywidgets around pure functions that return a Figure."""

import base64
import copy
import html
import threading
import time
import unicodedata
from collections.abc import Callable, Sequence
from functools import partial

import ipywidgets as w
import numpy as np
import torch
from matplotlib.figure import Figure

from lecture_utils import probes
from lecture_utils.figures import diagrams, plots
from lecture_utils.figures.style import comma
from lecture_utils.metrics import nearest
from lecture_utils.sampling import choice_probs, draw, entropy, sample_names, surprise
from lecture_utils.training import History
from lecture_utils.vocabulary import join_words, split_words


def picture_html(figure: Figure) -> str:
    """A figure as an element with its alternative text: `w.Image` has none."""
    width = f"{figure.get_figwidth() * figure.dpi:.0f}px"
    source = f"data:image/png;base64,{base64.b64encode(plots.png(figure)).decode()}"
    look = f'decoding="sync" style="width: {width}; max-width: 100%"'
    return f'<img src="{source}" alt="{html.escape(figure.get_label())}" {look}>'


class Live(w.VBox):
    """Controls over the picture that `draw(**values)` returns, drawn anew at every change.

    A ValueError of `draw` is told in its own words beside the controls, the old picture stays.
    """

    def __init__(self, draw: Callable[..., Figure], **controls: w.ValueWidget):
        """`controls` are widgets under the names of the arguments of `draw`."""
        self.draw, self.controls = draw, controls
        self.picture, self.message = w.HTML(), w.HTML()
        for control in controls.values():
            control.style.description_width = "initial"
            control.observe(self.redraw, names="value")
        self.redraw()
        super().__init__([w.HBox([*controls.values()]), self.message, self.picture])
        self.children[0].layout.flex_flow, self.children[0].layout.grid_gap = "row wrap", "0 2em"

    def redraw(self, change=None) -> None:
        """Draw for the values that the controls have now."""
        try:
            figure = self.draw(**{name: c.value for name, c in self.controls.items()})
        except ValueError as error:
            self.message.value = f"<b>{html.escape(str(error))}</b>"
            return
        self.alt, self.message.value = figure.get_label(), ""
        self.picture.value = picture_html(figure)

    def __repr__(self) -> str:
        """What a reader without a kernel sees in place of the widget, and a test compares."""
        return f"Живой рисунок (нужно запустить ячейку). {self.alt}"


def live_unrolled() -> Live:
    """The node unrolled to T steps, the way back of the gradient shown or not."""
    T, backward = w.IntSlider(3, 1, 8, description="шагов T"), w.Checkbox(False)
    backward.description = "показать градиент"
    return Live(diagrams.unrolled, T=T, backward=backward)


TRAINS = {  # pulses up (+) and down (−), step by step
    "два вверх, один вниз": "   +   +            −         ",
    "один": "   +                          ",
    "вверх и вниз": "   +   −   +   −   +   −      ",
    "пять подряд": "   +++++                      ",
}


def live_gates() -> Live:
    """One LSTM cell: three gates to move and the train of pulses that comes in."""
    gates = {
        gate: w.FloatSlider(1, min=0, max=1, step=0.05, description=f"{name} {gate}")
        for gate, name in {"i": "запись", "f": "забывание", "o": "показ"}.items()
    }
    trains = {
        name: tuple({"+": 1, "−": -1}.get(sign, 0) for sign in train)
        for name, train in TRAINS.items()
    }
    candidate = w.Dropdown(options=trains, description="импульсы")
    draw = lambda **values: plots.gates(probes.lstm_by_hand(**values))
    return Live(draw, **gates, candidate=candidate)


def live_forgetting() -> Live:
    """What is left of the memory after k steps, for one bias b_f of the forget gate."""
    b_f = w.FloatSlider(1, min=-1, max=3, step=0.1, description="смещение b_f")
    return Live(lambda b_f: plots.forgetting(probes.memory_left(b_f)), b_f=b_f)


PARTS = {"память c": "c", "забывание f": "f", "запись i": "i", "показ o": "o", "выход h": "h"}
CHANGES = {"ничего не менять": "", "стереть этот нейрон": "zero", "держать f = 1": "hold_f"}


def over_letters(
    model, vocabulary, text: str, part: str = "c", cell: int = 0, change: str = ""
) -> Figure:
    """One gate or memory of a `LetterModel` over a text, and the price of a change made in it.

    `part` is one of "cfioh"; `change` is "", "zero" (wipe the memory of the cell after each step)
    or "hold_f" (all forget gates are 1). Raises ValueError for what is not there, for letters the
    net does not know, for a text that is not 2…80 letters long.
    """
    size = model.rnn.hidden_size
    if not 0 <= cell < size:
        raise ValueError(f"Нейрона {cell} нет: их номера — от 0 до {size - 1}.")
    if part not in PARTS.values() or change not in CHANGES.values():
        raise ValueError(f"Нет части «{part}» или вмешательства «{change}».")
    if not 2 <= len(text) <= 80:
        raise ValueError(f"В тексте букв: {len(text)}, а на рисунок помещается от 2 до 80.")
    how = {"zero": {"zero": [cell]}, "hold_f": {"hold_f": True}}.get(change, {})
    runs = [probes.watch_letters(model, vocabulary, text, **h) for h in ({}, how)]
    values = [seen[part][:, cell].numpy() for seen, _ in runs]
    nats = [price.numpy() for _, price in runs]
    return plots.intervention(text, values, nats, name=f"${part}_t$, нейрон {cell}")


def live_letters(model, vocabulary, text: str) -> Live:
    """`over_letters` for any gate, cell and change, over `text` or a text of the student's own."""
    return Live(
        partial(over_letters, model, vocabulary),
        part=w.Dropdown(options=PARTS, description="что показать"),
        cell=w.IntSlider(0, 0, model.rnn.hidden_size - 1, description="нейрон"),
        change=w.Dropdown(options=CHANGES, description="вмешательство"),
        text=w.Text(text, description="текст", continuous_update=False, layout={"width": "46em"}),
    )


def choice(
    log_probs, symbols: Sequence[str], temperature=1.0, top_k=0, top_p=1.0, uniform=False
) -> Figure:
    """ln p (vocab,) of a model before and after a rule of `sampling.choice_probs`, with entropies.

    `symbols` are the names of the most probable, which are drawn; `top_k` 0 keeps all. Raises
    ValueError for values out of range.
    """
    after = choice_probs(log_probs, temperature, top_k or None, top_p, uniform)
    best = log_probs.argsort(descending=True, stable=True)[: len(symbols)]
    panels = {
        f"{name}: символов {(p > 0).sum()}, H = {comma(entropy(p))} ната": p[best].tolist()
        for name, p in {"сеть": log_probs.exp(), "правило": after}.items()
    }
    return plots.distributions(panels, symbols)


def live_choice(log_probs, symbols: Sequence[str]) -> Live:
    """`choice` with its rule to move: temperature, top-k, nucleus, the equal lot of the lecture."""
    return Live(
        partial(choice, log_probs, symbols),
        temperature=w.FloatSlider(1, min=0, max=2, step=0.05, description="температура T"),
        top_k=w.IntSlider(0, 0, len(symbols), description="top-k (0 — все)"),
        top_p=w.FloatSlider(1, min=0.05, max=1, step=0.05, description="ядро p"),
        uniform=w.Checkbox(False, description="поровну"),
    )


class NameQuiz(w.VBox):
    """«Настоящее или придуманное?»: name after name, two buttons, the score of the reader."""

    def __init__(self, real: Sequence[str], invented: Sequence[str], seed: int = 0):
        """All the names are shown once, in an order that follows the seed."""
        truth = dict.fromkeys(real, "настоящее") | dict.fromkeys(invented, "придуманное")
        if not real or not invented:
            raise ValueError("Для игры нужны и настоящие имена, и придуманные.")
        self.cards = np.random.default_rng(seed).permutation([*truth.items()]).tolist()
        self.right: list[bool] = []  # each guess so far
        self.card, self.message = w.HTML(), w.HTML()
        self.buttons = [w.Button(description=kind) for kind in ("настоящее", "придуманное")]
        for button in self.buttons:
            button.on_click(self._guess)
        super().__init__([self.card, w.HBox(self.buttons), self.message])
        self.add_class("name-quiz")  # the browser tests find it by this
        self._show("Какое это имя?")

    def _guess(self, button) -> None:
        name, truth = self.cards[len(self.right)]
        self.right.append(button.description == truth)
        self._show(f"{'Верно' if self.right[-1] else 'Нет'}: «{name}» — {truth}.")

    def _show(self, told: str) -> None:
        done, count, score = len(self.right), len(self.cards), sum(self.right)
        self.message.value = f'<p role="status">{html.escape(told)} Угадано: {score} из {done}.</p>'
        if done < count:
            name = html.escape(self.cards[done][0])
            self.card.value = f'{done + 1} из {count}: <b style="font-size: 2em">{name}</b>'
            return
        share = f"{score / count:.0%}".replace("%", " %")
        self.card.value = f"<b>Вы угадали {share}, а монетка угадывает в среднем 50 %.</b>"
        for button in self.buttons:
            button.disabled = True

    def __repr__(self) -> str:
        """What a reader without a kernel sees in place of the widget."""
        names = ", ".join(name for name, _ in self.cards)
        return f"Игра (нужно запустить ячейку). Настоящее имя или придуманное: {names}?"


class Inventor(w.VBox):
    """Twenty inventions of a network beside the nearest real entries: temperature, start, «ещё»."""

    def __init__(self, model, vocabulary, entries: Sequence[str]):
        """`entries` are the list that the network has learnt."""
        self.model, self.vocabulary, self.entries = model, vocabulary, entries
        self.seed, self.table, self.message = 0, w.HTML(), w.HTML()
        self.temperature = w.FloatSlider(0.7, min=0.1, max=2, step=0.1, description="температура T")
        self.start = w.Text(description="начало", continuous_update=False)
        self.more = w.Button(description="ещё", icon="refresh")
        self.more.on_click(self._press)
        for control in (self.temperature, self.start):
            control.style.description_width = "initial"
            control.observe(self.write, names="value")
        controls = w.HBox([self.start, self.temperature, self.more])
        controls.layout.flex_flow, controls.layout.grid_gap = "row wrap", "0 2em"
        super().__init__([controls, self.message, self.table])
        self.add_class("inventor")  # the browser tests find it by this
        self.write()

    def write(self, change=None) -> None:
        """Invent for the values that the controls have now; a letter it does not know is told."""
        how = {"prefix": self.start.value.lstrip(), "temperature": self.temperature.value}
        longest = 2 * max(map(len, self.entries))
        try:
            names = sample_names(
                self.model, self.vocabulary, 20, seed=self.seed, max_length=longest, **how
            )
        except ValueError as error:
            self.message.value = f'<b role="status">{html.escape(str(error))}</b>'
            return
        self.rows = []  # invention, the nearest entry, edits between them, what is wrong with it
        for k, name in enumerate(names):
            real, edits = nearest(name, self.entries)
            note = "повтор" if name in names[:k] else "" if edits else "копия"
            self.rows.append((name, real, edits, note))
        new = sum(not note for *_, note in self.rows)
        self.message.value = f'<p role="status">Новых и разных: {new} из 20.</p>'
        titles = ("придумано", "ближайшее в списке", "правок", "")
        cells = [[html.escape(str(cell)) for cell in row] for row in (titles, *self.rows)]
        rows = ["<td>" + '</td><td style="padding: 0 1em">'.join(row) + "</td>" for row in cells]
        self.table.value = f"<table><tr>{'</tr><tr>'.join(rows)}</tr></table>"

    def _press(self, button) -> None:
        self.seed += 1
        self.write()

    def __repr__(self) -> str:
        """What a reader without a kernel sees in place of the widget."""
        return f"Живая таблица (нужно запустить ячейку): {', '.join(row[0] for row in self.rows)}."


class LiveWriter(w.VBox):
    """A network that writes while the reader looks on, and then shows what surprised it.

    A thread writes, so that the kernel can hear the buttons; the controls are looked at before each
    symbol. The network is a copy: what is trained meanwhile, or another writer, does not disturb.
    """

    def __init__(self, model, vocabulary, start: str, seed: int = 0):
        """`model` of words or of letters, `vocabulary` its own, `start` what it goes on from."""
        self.model = copy.deepcopy(model).cpu().eval().folded()
        self.vocabulary, self.generator = vocabulary, torch.Generator().manual_seed(seed)
        usual = [token for token in vocabulary.tokens if token[0] != "⟨" or token == "⟨"]
        self.forbidden = vocabulary.encode(set(vocabulary.tokens) - set(usual))
        self.of_letters = max(map(len, usual)) == 1
        self.read, self.tokens = None, []  # the beginning as it was read, the whole text
        self._writing, self._asked = threading.Lock(), threading.Event()
        self.controls = {
            "start": w.Text(start, description="начало"),
            "temperature": w.FloatSlider(1, min=0, max=2, step=0.05, description="температура T"),
            "top_p": w.FloatSlider(0.9, min=0.05, max=1, step=0.05, description="ядро p"),
            "length": w.IntSlider(100, 10, 300, 10, description="сколько написать"),
        }
        for control in self.controls.values():
            control.style.description_width = "initial"
        icons = {"дальше": "play", "стоп": "stop", "сначала": "refresh"}
        self.buttons = {name: w.Button(description=name, icon=icons[name]) for name in icons}
        for name, button in self.buttons.items():
            button.on_click(partial(self._press, name))
        self.message, self.text, self.picture = w.HTML(), w.HTML(), w.HTML()
        rows = [w.HBox([*part.values()]) for part in (self.controls, self.buttons)]
        super().__init__([*rows, self.message, self.text, self.picture])
        rows[0].layout.flex_flow, rows[0].layout.grid_gap = "row wrap", "0 2em"
        self.add_class("live-writer")
        self._show(is_writing=False)

    def _press(self, name: str, button) -> None:
        """Go on in a thread of its own, unless one is at it; a beginning that is new is read."""
        if name == "стоп":
            self._asked.set()
        elif self._writing.acquire(blocking=False):
            self._asked.clear()
            self._tell("")
            try:
                if name == "сначала" or self.controls["start"].value != self.read:
                    self._begin(self.controls["start"].value)
                self._show(is_writing=True)
                threading.Thread(target=self._write).start()
            except ValueError as error:
                self._tell(str(error))
                self._writing.release()

    def _begin(self, start: str) -> None:
        """Take up the beginning. Raises ValueError if it is empty or has a letter not known."""
        text = unicodedata.normalize("NFC", start)
        tokens = list(text) if self.of_letters else split_words(text)
        if not tokens:
            raise ValueError("Начало пусто: впишите хотя бы одно слово или одну букву.")
        self.ids = self.vocabulary.encode(tokens)
        unknown = [token for token in tokens if self.vocabulary.find(token) is None]
        if unknown:
            self._tell(f"Этих слов сеть не знает и читает их как ⟨unk⟩: {', '.join(unknown)}.")
        self.read, self.tokens, self.x, self.state = start, tokens, torch.tensor([self.ids]), None

    @torch.no_grad()
    def _write(self) -> None:
        """Symbol by symbol, the state carried, no faster than one reads; then the picture."""
        value = lambda name: self.controls[name].value
        try:
            for _ in range(value("length")):
                h, self.state = self.model.features(self.x, self.state)
                rule = {name: value(name) for name in ("temperature", "top_p")}
                symbol = draw(self.model, h[:, -1], self.generator, self.forbidden, **rule)
                self.x, self.ids = symbol[:, None], self.ids + symbol.tolist()
                self.tokens = self.tokens + self.vocabulary.decode(symbol.tolist())
                self._show(is_writing=True)
                if self._asked.wait(0.04) or not threading.main_thread().is_alive():
                    break  # asked to, or the kernel is closing
            end = slice(-max(150, value("length")), None)
            bits = surprise(self.model, self.ids)[end]
            figure = plots.coloured(self.tokens[end], bits, label="неожиданность, биты")
            self.picture.value = picture_html(figure)
        except Exception as error:  # whatever it is, it has to be seen beside the buttons
            self._tell(f"Не вышло: {error}")
        finally:
            self._show(is_writing=False)
            self._writing.release()

    def _show(self, is_writing: bool) -> None:
        text = html.escape(("".join if self.of_letters else join_words)(self.tokens))
        self.text.value = f'<div style="white-space: pre-wrap; line-height: 1.5">{text}</div>'
        for name, button in self.buttons.items():
            button.disabled = is_writing != (name == "стоп")

    def _tell(self, told: str) -> None:
        self.message.value = f'<p role="status">{html.escape(told)}</p>'

    def __repr__(self) -> str:
        """What a reader without a kernel sees in place of the widget."""
        return f"Сеть пишет сама (нужно запустить ячейку). Начало: {self.controls['start'].value}"


class OwnNotebooks(w.VBox):
    """A button that makes a student's own copies of the notebooks and says which."""

    def __init__(self, make: Callable[[], str]):
        """`make` is `lecture_utils.exercises.start`."""
        self.make, self.message = make, w.HTML()
        button = w.Button(description="Сделать мои тетради", icon="copy")
        button.layout.width = "16em"
        button.on_click(self._press)
        super().__init__([button, self.message])
        self.add_class("own-notebooks")

    def _press(self, button) -> None:
        try:
            told = self.make()
        except Exception as error:  # whatever it is, it has to be seen beside the button
            told = f"Не вышло: {error}"
        self.message.value = f'<pre role="status">{html.escape(told)}</pre>'

    def __repr__(self) -> str:
        """What a reader without a kernel sees in place of the widget."""
        return "Кнопка «Сделать мои тетради» (нужно запустить ячейку)."


class LossMonitor(w.VBox):
    """A live picture of the losses and a stop button for `training.train`.

    Hand the monitor over as `callbacks=[monitor]`. A click is heard while the kernel trains because
    JupyterLab gives widgets a thread (subshell) of theirs; interrupting the kernel does the same
    everywhere.
    """

    def __init__(self, levels: dict[str, float] | None = None, unit: str = "символ"):
        """`levels` are drawn as horizontal lines; a loss is in nats per `unit`."""
        self.levels, self.unit = levels, unit
        self._asked, self._drawn = threading.Event(), 0.0
        self.picture = w.Image(format="png")
        self.button = w.Button(description="Остановить обучение", icon="stop")
        self.button.layout.width = "16em"
        self.button.on_click(self._stop)
        # ipykernel 7.4 hands a click to the thread that spoke last over the button's comm: the one
        # that made it, busy with training. Without this note it goes to the thread of the widgets.
        vars(self.button.comm).pop("_reply_subshell_id", None)
        super().__init__([self.button, self.picture])

    def __call__(self, history: History, model) -> bool:
        """Redraw, once a second and at the end; True if the button has been pressed."""
        if history.stopped:
            self.button.disabled, self.button.description = True, "Обучение окончено"
        if history.stopped or time.monotonic() - self._drawn >= 1:
            self.picture.value = plots.png(
                plots.losses(history, self.levels, unit=self.unit), scale=1
            )
            self._drawn = time.monotonic()
        return self._asked.is_set()

    def _stop(self, button) -> None:
        self._asked.set()
        button.disabled, button.description = True, "Останавливаю…"


def live_thermometer() -> Live:
    """Gradients in five plain RNNs: move the spectral radius, f, W, the strength of input, T."""

    def draw(rho, f, start, input_scale, T):
        is_orthogonal = start == "ортогональная"
        weights = [probes.random_rnn(rho, s, is_orthogonal, input_scale) for s in range(5)]
        title = f"{f}, ρ = {comma(rho)}, вход {comma(input_scale, '.2g')}"
        return plots.thermometer({title: probes.rnn_panel(f, weights, T)})

    return Live(
        draw,
        rho=w.FloatSlider(1.1, min=0.5, max=1.5, step=0.05, description="ρ"),
        f=w.Dropdown(options=list(probes.FUNCTIONS), value="tanh", description="f"),
        start=w.Dropdown(options=["случайная", "ортогональная"], description="W"),
        input_scale=w.FloatLogSlider(0.1, min=-2, max=0, step=0.25, description="сила входа"),
        T=w.IntSlider(50, min=5, max=100, description="T"),
    )


def live_cliff() -> Live:
    """Descent towards the cliff, with and without clipping: move start, rate, threshold."""
    surface = probes.cliff_surface()

    def draw(start_w, start_b, rate, clip):
        limits = {"без отсечения": np.inf, f"с отсечением до {comma(clip, '.3g')}": clip}
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


def live_series(draw: Callable[..., Figure]) -> Live:
    """A net on a series of prices: `draw(window=…, units=…, horizon=…)` trains it and compares."""
    options = {
        "window": ("окно, дней", [5, 10, 20, 50, 100], 50),
        "units": ("нейронов", [2, 4, 8, 16, 32, 64], 16),
        "horizon": ("дней вперёд", [1, 2, 5, 10, 20], 1),
    }
    controls = {
        name: w.SelectionSlider(options=values, value=value, description=title)
        for name, (title, values, value) in options.items()
    }
    for control in controls.values():
        control.continuous_update = False  # each picture trains a net
    return Live(draw, **controls)


def live_rounds() -> Live:
    """Time of T steps by a loop and by `cells.scan`, against the number of workers."""

    def draw(T):
        workers = 2 ** np.arange(13)
        scan = sum(np.ceil((T - 2**k) / workers) for k in range(int(np.log2(T))))
        lines = {"цикл": (workers, np.full(13, T)), "скан": (workers, scan)}
        figure = plots.curves(lines, x_label="работников P", y_label="тактов")
        figure.axes[0].set(xscale="log", yscale="log")
        return figure

    return Live(draw, T=w.SelectionSlider(options=[8, 64, 512, 4096], value=512, description="T"))
