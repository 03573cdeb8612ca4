"""The training loop of both labs: truncated BPTT, clipping, validation, checkpoints, early stop.

`python -m lecture_utils.training` trains on words of a long text and keeps weights to write with.
"""

import argparse
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from tqdm.auto import tqdm

from lecture_utils.batching import NameBatches, StreamBatches, check_share
from lecture_utils.checkpoints import load_checkpoint, restore, save_checkpoint
from lecture_utils.distributed import average, from_all, place, together
from lecture_utils.files import check_writable
from lecture_utils.models import LanguageModel, detach
from lecture_utils.vocabulary import Vocabulary

Batches = NameBatches | StreamBatches


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
    optimizer: "torch.optim.Optimizer | Adam",
    steps: int,
    *,
    seconds: float = math.inf,
    clip: float = 5.0,
    decay: bool = False,
    valid: Batches | None = None,
    every: int = 100,
    patience: int | None = None,
    callbacks: Iterable[Callable[[History, LanguageModel], None]] = (),
    should_stop: Callable[[], bool] = lambda: False,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    vocabulary: Vocabulary | None = None,
    progress: bool = True,
) -> History:
    """Train in place for `steps` batches, or for `seconds`; return what was measured.

    The model's device is that of the run. Streams carry the state from window to window, detached
    (truncated BPTT), and start from zeros in each epoch. The gradient norm is clipped to `clip` and
    noted as it was before. With `decay` the step size falls along a cosine, to zero at the end.
    Every `every` steps: validation, `callbacks`, checkpoint; the last two also when the run is
    interrupted. With `patience`, training ends after so many validations without a new best, and
    the best weights come back. Interrupting the kernel, or `should_stop`, ends the run after the
    current step; what has been learned stays. With `resume` an existing checkpoint of the same run
    and `vocabulary` is continued, bit for bit on the CPU with the same number of threads.

    Started by torchrun, each process takes its share of the streams and all make the same step.

    Raises ValueError for bad arguments or a checkpoint of another run, before any step;
    FloatingPointError, before the weights are touched, if a loss or a gradient is not finite.
    """
    if steps < 1 or every < 1:
        raise ValueError(f"steps и every должны быть не меньше 1, а не {steps} и {every}.")
    if not (clip > 0 and seconds > 0):
        raise ValueError(f"clip и seconds должны быть больше 0, а не {clip} и {seconds}.")
    if patience is not None and valid is None:
        raise ValueError("Ранняя остановка (patience) требует проверочных данных: задайте valid.")
    rank, world = place()
    target = next(model.parameters()).device
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    rates = [group["lr"] for group in optimizer.param_groups]
    history, state, best = History(), None, None
    run = {"steps": steps, "every": every, "clip": clip, "decay": decay, "rates": rates}
    run |= {"data": batches.fingerprint(), "seconds": seconds}
    run |= {"optimizer": type(optimizer).__name__}
    batches = batches.share(rank, world) if world > 1 else batches
    tokens = vocabulary.tokens if vocabulary else None
    if checkpoint:
        check_writable(Path(checkpoint))
    found = bool(checkpoint and resume and Path(checkpoint).exists())
    if sum(map(int, from_all(torch.tensor([found], device=target)))) not in (0, world):
        raise ValueError(
            f"Контрольная точка {checkpoint} есть не на всех машинах: скопируйте её на каждую."
        )
    if found:
        content = load_checkpoint(checkpoint)
        if content.get("tokens") != tokens:
            raise ValueError(
                f"Контрольная точка {checkpoint} сделана с другим словарём: "
                "возьмите тот же текст или назовите другой файл."
            )
        measured, state, best = restore(content, run, model, optimizer, target)
        history = History(**measured)
        if history.stopped == "interrupted":
            history.stopped = ""
    if world > 1 and not history.loss:
        # The replicas start equal and stay so: each makes the same steps, but not the same dropout.
        torch.manual_seed(torch.initial_seed() + rank)
        for value in model.state_dict().values():
            dist.broadcast(value, 0)

    def report():
        for callback in callbacks:
            callback(history, model)
        if checkpoint:
            save_checkpoint(checkpoint, run, asdict(history), model, optimizer, state, best, tokens)

    begun = time.perf_counter() - history.seconds
    total = steps if seconds == math.inf else None
    silent = not progress or rank > 0
    bar = tqdm(total=total, initial=len(history.loss), disable=silent, unit="шаг", delay=1)
    with bar, _interrupt_flag() as interrupted:
        asked = lambda: interrupted.is_set() or should_stop()
        for step in range(len(history.loss), steps):
            if history.stopped:
                break
            epoch, number = divmod(step, len(batches))
            if number == 0 or not batches.carries_state:
                state = None

            nats, state = model.nats(batches.batch(epoch, number).to(target), detach(state))
            loss = nats.mean()
            optimizer.zero_grad()
            loss.backward()
            stop = world > 1 and asked()
            elapsed = time.perf_counter() - begun
            measured, stop, elapsed = average(parameters, loss.item(), float(stop), elapsed)
            history.loss.append(_finite(measured, step))
            norm = _finite(clip_gradients(parameters, clip), step)
            if decay:
                part = max(step / steps, min(elapsed / seconds, 1))
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * part))
            optimizer.step()

            history.grad_norm.append(norm)
            history.symbols += len(nats) * world
            history.seconds = time.perf_counter() - begun
            speed = history.symbols / history.seconds
            bar.set_postfix_str(f"loss {measured:.2f}, {speed:.0f} ток/с", refresh=False)
            bar.update()

            last = step + 1 == steps or elapsed >= seconds
            if (step + 1) % every == 0 or last:
                if last:
                    history.stopped = "finished"
                best = _validate(model, valid, history, best, patience)
                report()
            if not history.stopped and (stop or (world == 1 and asked())):
                history.stopped = "interrupted"
                report()
    if patience is not None and best is not None:
        model.load_state_dict(best)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    model.eval()
    return history


class Adam:
    """Adam for a whole model: fused where gradients are dense, lazy where they are sparse.

    The lazy half, torch's SparseAdam, moves only the rows of the words in the batch.
    """

    def __init__(self, model: nn.Module, lr: float, beta2: float = 0.999):
        sparse = [part.weight for part in model.modules() if getattr(part, "sparse", False)]
        dense = [p for p in model.parameters() if all(p is not q for q in sparse)]
        betas = (0.9, beta2)
        self.halves = [torch.optim.Adam(dense, lr, betas, fused=True)]
        if sparse:
            self.halves.append(torch.optim.SparseAdam(sparse, lr, betas))

    @property
    def param_groups(self) -> list[dict]:
        """Those of both halves, as every torch optimizer has them."""
        return [group for half in self.halves for group in half.param_groups]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for half in self.halves:
            half.zero_grad()

    def step(self) -> None:
        """Move every parameter."""
        for half in self.halves:
            half.step()

    def state_dict(self) -> dict:
        """Both halves, for a checkpoint."""
        return {"halves": [half.state_dict() for half in self.halves]}

    def load_state_dict(self, content: dict) -> None:
        """Go on from a checkpoint."""
        for half, part in zip(self.halves, content["halves"], strict=True):
            half.load_state_dict(part)


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> float:
    """Scale all gradients, sparse ones too, so that their norm is at most `limit`.

    Returns the norm before, as `torch.nn.utils.clip_grad_norm_` does, which refuses sparse ones.
    """
    values = []
    for p in parameters:
        if p.grad.is_sparse:
            p.grad = p.grad.coalesce()  # a word met twice is one row
        values.append(p.grad.values() if p.grad.is_sparse else p.grad)
    norm = nn.utils.get_total_norm(values).item()
    if norm > limit:
        torch._foreach_mul_(values, limit / (norm + 1e-6))
    return norm


def _finite(number: float, step: int) -> float:
    if not math.isfinite(number):
        raise FloatingPointError(
            f"На шаге {step + 1} потери или градиент стали равны {number}: "
            "постройте сеть заново и уменьшите скорость обучения (lr) или порог clip."
        )
    return number


def _validate(model, valid, history: History, best, patience):
    if valid is None:
        return best
    history.valid_step.append(len(history.loss))
    history.valid_loss.extend(average([], evaluate(model, valid)))
    if patience is None:
        return best
    if history.valid_loss[-1] == history.best:
        return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    if len(history.valid_loss) - history.valid_loss.index(history.best) > patience:
        history.stopped = "patience"
    return best


@contextmanager
def _interrupt_flag():
    """Let ■ or Ctrl+C end the run between two steps, so that the weights are whole."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def handler(signum, frame):
        if flag.is_set():
            raise KeyboardInterrupt  # asked twice: at once
        flag.set()

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)


# -------------------------------------------------------------------------------------------------
# Command line


def _train_words(options) -> str:
    """Train by the recipe for a long text; return a report, empty if interrupted."""
    from lecture_utils import novel

    minutes = options.minutes
    if minutes is None:
        minutes = 5 if options.steps is None else math.inf
    check_share(options.batch_size, int(os.environ.get("WORLD_SIZE", 1)))
    if options.checkpoint:
        check_writable(Path(options.checkpoint))
    with together():
        corpus = novel.find_corpus(options.corpus, Path(options.output).parent)
        model, history = novel.train_novel(
            corpus,
            10**9 if options.steps is None else options.steps,
            seconds=60 * minutes,
            batch_size=options.batch_size,
            seed=options.seed,
            valid=StreamBatches(corpus.valid, 8, 100),
            every=options.every,
            checkpoint=options.checkpoint,
            resume=options.resume,
        )
        if history.stopped == "interrupted":
            return ""
        if place()[0] == 0:
            novel.save_pretrained(options.output, model, corpus.vocabulary)
    score = novel.perplexity(model, corpus.valid)
    return f"{history.symbols} tokens in {history.seconds:.0f} s; validation perplexity {score:.2f}"


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status: 2 for bad input, 1 if interrupted."""
    parser = argparse.ArgumentParser(prog="python -m lecture_utils.training", description=__doc__)
    parser.add_argument(
        "--corpus", default="novel", help="novel, story or a UTF-8 file of any size"
    )
    parser.add_argument("--minutes", type=float, help="to train; 5 unless --steps are given")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch-size", type=int, default=32, help="streams, of all processes")
    parser.add_argument("--every", type=int, default=500, help="steps between validations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", help="file to keep the run in")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--output", default="novel.pt", help="weights")
    options = parser.parse_args(arguments)
    first, speaks = (int(os.environ.get(name, 0)) == 0 for name in ("RANK", "LOCAL_RANK"))
    try:
        check_writable(Path(options.output))
        report = _train_words(options)
    except (ValueError, FloatingPointError) as error:  # CorpusError is a ValueError
        if speaks:
            print(error, file=sys.stderr)
        return 2
    if not report and speaks:
        print("Обучение прервано, результат не записан.", file=sys.stderr)
    if report and first:
        print(report)
    return 0 if report else 1


if __name__ == "__main__":
    sys.exit(main())
