"""The training loop of the labs: truncated BPTT, clipping, validation, early stop."""

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn
from tqdm.auto import tqdm

from lecture_utils.batching import NameBatches, StreamBatches
from lecture_utils.checkpoints import load_checkpoint, restore, run_settings, save_checkpoint
from lecture_utils.distributed import from_all, mean, place, replicate
from lecture_utils.files import check_writable
from lecture_utils.models import LanguageModel, detach

Batches = NameBatches | StreamBatches


@dataclass(frozen=True)
class Plan:
    """How long to train and how: the same plan on the same data is the same run.

    It ends after `steps`, or after `seconds` if they are over sooner. The gradient norm is clipped
    to `clip`. With `decay` the step size falls along a cosine, to zero at the end. `every` so many
    steps there are a validation and a checkpoint. With `patience`, training ends after so many
    validations without a new best, and the best weights come back. Raises ValueError.
    """

    steps: int
    seconds: float = math.inf
    clip: float = 5.0
    decay: bool = False
    every: int = 100
    patience: int | None = None

    def __post_init__(self):
        for name, value in asdict(self).items():
            if name != "decay" and value is not None and not value > 0:
                raise ValueError(f"{name} = {value}: нужно число больше 0.")


@dataclass
class History:
    """What a run has measured, as plain data. Losses in nats per symbol, padding not counted."""

    loss: list[float] = field(default_factory=list)  # of each step's batch
    grad_norm: list[float] = field(default_factory=list)  # of each step, before clipping
    valid_step: list[int] = field(default_factory=list)
    valid_loss: list[float] = field(default_factory=list)
    symbols: int = 0  # trained on, in all
    seconds: float = 0.0
    stopped: str = ""  # "" while running, then "finished", "interrupted" or "patience"

    @property
    def best(self) -> float:
        """Lowest validation loss so far, infinite before the first validation."""
        return min(self.valid_loss, default=math.inf)


Callback = Callable[[History, LanguageModel], bool | None]


@torch.no_grad()
def evaluate(model: LanguageModel, batches: Batches) -> float:
    """Mean −ln p over all targets, nats per symbol; dropout off, state carried within a stream."""
    device = next(model.parameters()).device
    was_training, state, total, count = model.training, None, 0.0, 0
    model.eval()
    for number in range(len(batches)):
        nats, new_state = model.nats(batches.batch(0, number).to(device), state)
        state = new_state if batches.carries_state else None
        total, count = total + nats.cpu().double().sum().item(), count + len(nats)
    model.train(was_training)
    return total / count


def train(
    model: LanguageModel,
    batches: Batches,
    optimizer: torch.optim.Optimizer,
    plan: Plan,
    *,
    valid: Batches | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: str | Path | None = None,
) -> History:
    """Train in place, where the model lies, by `plan`; return what was measured.

    Streams carry the state from window to window and start from zeros in each epoch. After each
    step the `callbacks` hear (history, model), and once more when a run ends early: one that
    answers True ends it, as ■ does, and what has been learned stays. A run whose `checkpoint` file
    exists goes on from it, bit for bit on the CPU with as many threads; more steps or seconds in
    the plan prolong it. Afterwards, whatever happens, the model is in evaluation and the step sizes
    are what they were. Under torchrun each process takes its share of the streams. Raises
    ValueError before any step is made; FloatingPointError, before the weights are touched, if a
    loss or a gradient is not finite.
    """
    with _opened(model, batches, optimizer, plan, valid, checkpoint) as run:
        batches, device, state = run.batches, run.device, run.state
        while not run.history.stopped:
            epoch, number = divmod(len(run.history.loss), len(batches))
            if number == 0 or not batches.carries_state:
                state = None
            batch = batches.batch(epoch, number).to(device)  # x, y: (batch, time)

            nats, state = run.forward(batch, detach(state))  # ① forward: −ln p, (targets,)
            loss = nats.mean()
            optimizer.zero_grad()  # ② forget the gradients of the step before
            loss.backward()  # ③ backward, to the beginning of the window
            norm = nn.utils.clip_grad_norm_(model.parameters(), plan.clip)  # ④ clip
            run.measure(loss.item(), norm.item(), len(nats))
            optimizer.step()  # ⑤ step

            run.end_step(state, callbacks)
    return run.history


# -------------------------------------------------------------------------------------------------
# What stands around the five steps


class _Run:
    """A run on its way: what is measured, when it ends, what is kept."""

    def __init__(self, model, batches, optimizer, plan, valid, checkpoint):
        """Check all that can be wrong, then take up the checkpoint if there is one."""
        if plan.patience is not None and valid is None:
            raise ValueError("Ранняя остановка (patience) требует проверочных данных: valid.")
        if checkpoint:
            check_writable(checkpoint)
        self.model, self.optimizer, self.plan, self.valid = model, optimizer, plan, valid
        self.rank, self.world_size = place()
        self.batches = batches.share(self.rank, self.world_size)
        self.device = next(model.parameters()).device
        self.settings = run_settings(asdict(plan), batches, valid, optimizer)
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.history, self.state, self.best, self.checkpoint = History(), None, None, checkpoint
        found = from_all(torch.tensor([bool(checkpoint) and Path(checkpoint).exists()]))
        if any(found) and not all(found):
            raise ValueError(
                f"Контрольная точка {checkpoint} есть не на всех машинах: скопируйте её на каждую."
            )
        if all(found):
            content = load_checkpoint(checkpoint)
            history, self.state, self.best = restore(content, self.settings, model, optimizer)
            self.history = History(**history)
            self._go_on(content["run"])
        elif self.world_size > 1:  # the same weights, but not the same dropout
            torch.manual_seed(torch.initial_seed() + self.rank)
        self.forward = replicate(model)
        self.begun = time.perf_counter() - self.history.seconds
        self.interrupted = False

    def _go_on(self, known: dict) -> None:
        """Take up a run that was interrupted, or that has now been given more steps or time."""
        history, plan = self.history, self.plan
        is_over = len(history.loss) >= plan.steps or history.seconds >= plan.seconds
        if history.stopped == "interrupted" or (history.stopped == "finished" and not is_over):
            history.stopped = ""
        if self.rank > 0 or history.stopped:
            return
        print(f"Обучение продолжается после шага {len(history.loss)}.")
        if plan.decay and (plan.steps, plan.seconds) != (known["steps"], known["seconds"]):
            print(
                "Конец обучения сдвинут, а скорость обучения (lr) убывает к концу: теперь она "
                "другая, чем была бы при таком плане с самого начала."
            )

    def measure(self, loss: float, norm: float, symbols: int) -> None:
        """Note a step about to be made, and set its size."""
        history, plan, step = self.history, self.plan, len(self.history.loss)
        loss, seconds = mean(loss, time.perf_counter() - self.begun)
        for number in (loss, norm):
            if not math.isfinite(number):
                raise FloatingPointError(
                    f"На шаге {step + 1} потери или градиент стали равны {number}: постройте сеть "
                    "заново и уменьшите скорость обучения (lr) или порог clip."
                )
        history.loss.append(loss)
        history.grad_norm.append(norm)
        history.symbols += symbols * self.world_size
        history.seconds = seconds
        if plan.decay:
            part = max(step / plan.steps, min(seconds / plan.seconds, 1))
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * part))

    def end_step(self, state, callbacks: Sequence[Callback]) -> None:
        """Validate, tell the callbacks, keep the run; end it where the plan or a reader asks."""
        history, plan = self.history, self.plan
        if len(history.loss) == plan.steps or history.seconds >= plan.seconds:
            history.stopped = "finished"
        is_due = len(history.loss) % plan.every == 0 or bool(history.stopped)
        if is_due and self.valid is not None:
            self._validate()
        tell = lambda: any([callback(history, self.model) for callback in callbacks])
        asked = tell() or self.interrupted
        if not history.stopped and mean(asked)[0] > 0:
            history.stopped = "interrupted"
            tell()
        if self.checkpoint and (is_due or history.stopped):
            rest = self.model, self.optimizer, state, self.best
            try:
                save_checkpoint(self.checkpoint, self.settings, asdict(history), *rest)
            except OSError as error:  # hours of training are worth more than one checkpoint
                print(
                    f"Контрольную точку {self.checkpoint} записать не удалось "
                    f"({error.strerror}), прежняя цела; обучение идёт дальше.",
                    file=sys.stderr,
                )

    def _validate(self) -> None:
        history, patience = self.history, self.plan.patience
        history.valid_step.append(len(history.loss))
        history.valid_loss.extend(mean(evaluate(self.model, self.valid)))
        if patience is None:
            return
        if history.valid_loss[-1] == history.best:
            weights = self.model.state_dict().items()
            self.best = {name: value.detach().cpu().clone() for name, value in weights}
        elif len(history.valid_loss) - history.valid_loss.index(history.best) > patience:
            history.stopped = "patience"

    def interrupt(self, signum, frame) -> None:
        """■ or Ctrl+C: end between two steps, the weights being whole; asked twice, at once."""
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True


@contextmanager
def _opened(model, batches, optimizer, plan, valid, checkpoint):
    """A run, which is closed whatever happens: the step sizes are back, the model in evaluation."""
    run = _Run(model, batches, optimizer, plan, valid, checkpoint)
    hears = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, run.interrupt) if hears else None
    model.train()
    try:
        yield run
        if run.best is not None:
            model.load_state_dict(run.best)
    finally:
        if hears:
            signal.signal(signal.SIGINT, before)
        for group, rate in zip(optimizer.param_groups, run.rates, strict=True):
            group["lr"] = rate
        model.eval()


def progress_bar(plan: Plan) -> Callback:
    """A callback that shows the step, the loss and the speed of a run longer than a second."""
    bar = tqdm(total=plan.steps if plan.steps < 10**6 else None, unit="шаг", delay=1)

    def show(history: History, model) -> None:
        speed = history.symbols / history.seconds
        bar.set_postfix_str(f"loss {history.loss[-1]:.2f}, {speed:.0f} ток/с", refresh=False)
        bar.update(len(history.loss) - bar.n)
        if history.stopped:
            bar.close()

    return show
