"""The training loop of both labs: truncated BPTT, clipping, validation, checkpoints, early stop.

`python -m lecture_utils.training --help` tells what can be trained from the command line.
"""

import argparse
import csv
import math
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from tqdm.auto import tqdm

from lecture_utils.batching import NameBatches, StreamBatches, check_share
from lecture_utils.models import LanguageModel, WordModel
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


def pick_device(name: str | None = None) -> torch.device:
    """CUDA if it is there, else the CPU; `name` overrides.

    Apple's MPS is not chosen by itself: on recurrent layers as small as ours the many small steps
    cost more there than on the CPU.
    """
    card = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"  # of several processes each has its own
    return torch.device(name or (card if torch.cuda.is_available() else "cpu"))


@torch.no_grad()
def evaluate(model: LanguageModel, batches: Batches) -> float:
    """Mean −ln p over all targets, nats per symbol; dropout off, state carried within a stream."""
    device = next(model.parameters()).device
    was_training, state, total, count = model.training, None, 0.0, 0
    model.eval()
    for number in range(len(batches)):
        nats, new_state = model.nats(batches.batch(0, number).to(device), state)
        state = new_state if batches.carries_state else None
        total, count = total + nats.double().sum().item(), count + len(nats)
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
    device: str | None = None,
) -> History:
    """Train in place for `steps` batches, or for `seconds`; return what was measured.

    Streams carry the state from window to window, detached (truncated BPTT), and start from zeros
    in each epoch. The gradient norm is clipped to `clip` and noted as it was before. With `decay`
    the step size falls along a cosine, to zero at the end. Every `every` steps: validation,
    `callbacks`, checkpoint. With `patience`, training ends after so many validations without a new
    best, and the best weights come back. Interrupting the kernel, or `should_stop`, ends the run
    after the current step; what has been learned stays. With `resume` an existing checkpoint of the
    same run and `vocabulary` is continued, bit for bit on the CPU with the same number of threads.

    Started by torchrun, each process takes its share of the streams and all make the same step.

    Raises ValueError for bad arguments or a checkpoint of another run, before any step.
    """
    if steps < 1 or every < 1:
        raise ValueError(f"steps и every должны быть не меньше 1, а не {steps} и {every}.")
    if patience is not None and valid is None:
        raise ValueError("Ранняя остановка (patience) требует проверочных данных: задайте valid.")
    rank, world = _place()
    target = pick_device(device)
    model.to(target).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    rates = [group["lr"] for group in optimizer.param_groups]
    history, state, best = History(), None, None
    run = {"steps": steps, "every": every, "clip": clip, "decay": decay, "rates": rates}
    run |= {"data": batches.fingerprint(), "seconds": seconds}
    batches = batches.share(rank, world) if world > 1 else batches
    tokens = vocabulary.tokens if vocabulary else None
    if checkpoint and resume and Path(checkpoint).exists():
        content = load_checkpoint(checkpoint)
        if content.get("tokens") != tokens:
            raise ValueError(_OTHER_WORDS.format(checkpoint))
        history, state, best = _restore(content, run, model, optimizer, target)
    elif checkpoint:
        _check_writable(Path(checkpoint))
    if world > 1 and not history.loss:
        # The replicas start equal and stay so: each makes the same steps, but not the same dropout.
        torch.manual_seed(torch.initial_seed() + rank)
        for value in model.state_dict().values():
            dist.broadcast(value, 0)

    def save():
        save_checkpoint(checkpoint, run, history, model, optimizer, state, best, tokens)

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
            measured, stop, elapsed = _average(parameters, loss.item(), float(stop), elapsed)
            history.loss.append(_finite(measured, step))
            norm = clip_gradients(parameters, clip)
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
                for callback in callbacks:
                    callback(history, model)
                if checkpoint:
                    save()
            if not history.stopped and (stop or (world == 1 and asked())):
                history.stopped = "interrupted"
                if checkpoint:
                    save()
    if patience is not None and best is not None:
        model.load_state_dict(best)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    model.eval()
    return history


class Adam:
    """Adam for a whole model: fused where gradients are dense, lazy where they are sparse.

    The lazy half, torch's SparseAdam, moves only the rows of the words in the batch. Weight decay
    is decoupled (Loshchilov, Hutter 2019) and for dense matrices only.
    """

    def __init__(
        self, model: nn.Module, lr: float, weight_decay: float = 0.0, beta2: float = 0.999
    ):
        sparse = [part.weight for part in model.modules() if getattr(part, "sparse", False)]
        dense = [p for p in model.parameters() if all(p is not q for q in sparse)]
        groups = [{"params": dense, "weight_decay": 0.0}]
        if weight_decay:
            matrices, vectors = (
                [p for p in dense if (p.dim() > 1) is big] for big in (True, False)
            )
            groups = [{"params": matrices, "weight_decay": weight_decay}]
            groups.append({"params": vectors, "weight_decay": 0.0})
        betas = (0.9, beta2)
        self.halves = [torch.optim.AdamW(groups, lr, betas, fused=True)]
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


def detach(state):
    """The same state cut off from the graph of the window before: gradients stop here."""
    return _each(state, Tensor.detach)


def _each(state, change):
    """Apply `change` to the state: None, s (RNN, GRU) or (h, c) (LSTM)."""
    if isinstance(state, tuple):
        return tuple(map(change, state))
    return None if state is None else change(state)


def _finite(loss: float, step: int) -> float:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"На шаге {step + 1} потери стали равны {loss}: "
            "постройте сеть заново и уменьшите скорость обучения (lr) или порог clip."
        )
    return loss


def _validate(model, valid, history: History, best, patience):
    if valid is None:
        return best
    history.valid_step.append(len(history.loss))
    history.valid_loss.extend(_average([], evaluate(model, valid)))
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
# Several processes: streams divided, gradients averaged, so that all make the same step


def _place() -> tuple[int, int]:
    """Number of this process and how many there are."""
    together = dist.is_available() and dist.is_initialized()
    return (dist.get_rank(), dist.get_world_size()) if together else (0, 1)


def _average(parameters: Iterable[nn.Parameter], *numbers: float) -> Sequence[float]:
    """Put the mean over the processes into every gradient; return the means of the numbers.

    Dense gradients and numbers travel in one message. Of a sparse gradient only the rows do.
    """
    for p in parameters:
        if p.grad is None:  # a group of words that this batch never named
            p.grad = torch.zeros_like(p)
    world = _place()[1]
    if world == 1:
        return numbers
    dense = [p.grad for p in parameters if not p.grad.is_sparse]
    first = dense[0].new_tensor(numbers) if dense else torch.tensor(numbers, device=pick_device())
    message = torch.cat([first, *(grad.flatten() for grad in dense)]) / world
    dist.all_reduce(message)
    means, *parts = message.split([len(numbers), *(grad.numel() for grad in dense)])
    for grad, part in zip(dense, parts, strict=True):
        grad.copy_(part.view_as(grad))
    for p in parameters:
        if p.grad.is_sparse:  # every process has as many rows as it has words in a window
            places = torch.cat(_from_all(p.grad._indices()), dim=1)
            rows = torch.cat(_from_all(p.grad._values() / world))
            p.grad = torch.sparse_coo_tensor(places, rows, p.shape, check_invariants=False)
    return means.tolist()


def _from_all(x: Tensor) -> list[Tensor]:
    """The same tensor of every process, in their order."""
    world = _place()[1]
    if world == 1:
        return [x]
    parts = [torch.empty_like(x) for _ in range(world)]
    dist.all_gather(parts, x.contiguous())
    return parts


# -------------------------------------------------------------------------------------------------
# Checkpoints


def save_atomically(content: dict, path: str | Path) -> None:
    """Write with `torch.save` aside, then rename: at `path` stands the old file or the new one."""
    aside = Path(f"{path}.tmp")
    try:
        with open(aside, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def load_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint without running code from it. Raises ValueError if it is not one."""
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(_NOT_OURS.format(path)) from error
    if not isinstance(content, dict) or content.get("format") != 1:
        raise ValueError(_NOT_OURS.format(path))
    return content


_NOT_OURS = (
    "Файл {} — не контрольная точка этого курса или повреждён: "
    "удалите его и начните обучение заново."
)


_OTHER_WORDS = (
    "Контрольная точка {} сделана с другим словарём: "
    "возьмите тот же текст или назовите другой файл."
)


def save_checkpoint(path, run, history, model, optimizer, state, best, tokens=None) -> None:
    """Everything that a run needs to go on as if it had never been stopped, tokens included.

    Of several processes all must call it; the first one writes.
    """
    device = next(model.parameters()).device
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    content = {
        "format": 1,
        "run": run,
        "history": asdict(history),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "state": _each(detach(state), lambda part: torch.cat(_from_all(part), dim=1)),
        "best": best,
        "tokens": tokens,
        "random": [part.cpu() for part in _from_all(torch.get_rng_state().to(device))],
        "cuda": cuda,
    }
    if _place()[0] == 0:
        save_atomically(content, path)


def _restore(content: dict, run: dict, model, optimizer, device):
    weights = {name: value.shape for name, value in content["model"].items()}
    if weights != {name: value.shape for name, value in model.state_dict().items()}:
        raise ValueError(
            "Контрольная точка сделана для сети другого размера: "
            "постройте ту же сеть или удалите файл и начните заново."
        )
    other = [name for name in run if run[name] != content["run"].get(name)]
    if other:
        raise ValueError(
            f"Контрольная точка сделана с другими настройками ({', '.join(other)}): "
            "верните их или удалите файл и начните заново."
        )
    history = History(**content["history"])
    if history.stopped == "interrupted":
        history.stopped = ""
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    rank, world = _place()
    torch.set_rng_state(content["random"][rank % len(content["random"])])
    if torch.cuda.is_available() and content["cuda"]:
        torch.cuda.set_rng_state_all(content["cuda"])
    own = lambda part: part.chunk(world, dim=1)[rank].contiguous().to(device)
    return history, _each(content["state"], own), content["best"]


def _check_writable(path: Path) -> None:
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
        raise ValueError(
            f"Результат нельзя записать в {path}: "
            "укажите имя файла в существующей папке, доступной для записи."
        )


# -------------------------------------------------------------------------------------------------
# Command line


def train_as_in_lecture(text: str, steps: int, progress: bool = True) -> History:
    """The lecture's run: words split at blanks, all in the vocabulary, no validation.

    Batches of 16 streams by 32 words, embedding 64, LSTM 64, one linear layer over all types,
    Adam 0.01, clip 5. Seeded.
    """
    words = text.split()
    vocabulary = Vocabulary.build(words, specials=())
    torch.manual_seed(0)
    model = WordModel(len(vocabulary), embedding_size=64, hidden_size=64)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    batches = StreamBatches(vocabulary.encode(words), batch_size=16, seq_len=32)
    return train(model, batches, optimizer, steps, clip=5.0, every=steps, progress=progress)


def write_table(rows: list[dict], path: str | Path) -> None:
    """Rows as CSV under the names of their values, written aside, then renamed."""
    aside = Path(f"{path}.tmp")
    with open(aside, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(aside, path)


def write_curve(history: History, path: str | Path) -> None:
    """Losses and gradient norms of a run as a table, step by step."""
    pairs = enumerate(zip(history.loss, history.grad_norm, strict=True), start=1)
    write_table(
        [
            {"step": t, "loss": f"{loss:.4f}", "grad_norm": f"{norm:.4f}"}
            for t, (loss, norm) in pairs
        ],
        path,
    )


@contextmanager
def _together():
    """Join the processes that torchrun has started, if it has."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()


def _lecture(options) -> str:
    from lecture_utils.corpora import load_novel

    history = train_as_in_lecture(load_novel().text, options.steps)
    if history.stopped == "interrupted":
        return ""
    write_curve(history, options.output)
    tail = history.loss[-200:]
    return f"mean loss of the last {len(tail)} steps: {sum(tail) / len(tail):.3f} nats"


def _words(options) -> str:
    from lecture_utils import novel

    check_share(options.batch_size, int(os.environ.get("WORLD_SIZE", 1)))
    if options.checkpoint:
        _check_writable(Path(options.checkpoint))
    with _together():
        corpus = novel.find_corpus(options.corpus, Path(options.output).parent)
        model, history = novel.train_novel(
            corpus,
            options.steps or 10**9,
            seconds=60 * (options.minutes or (math.inf if options.steps else 5)),
            batch_size=options.batch_size,
            seed=options.seed,
            valid=StreamBatches(corpus.valid, 8, 100),
            every=options.every,
            checkpoint=options.checkpoint,
            resume=options.resume,
        )
        if history.stopped == "interrupted":
            return ""
        if _place()[0] == 0:
            novel.save_pretrained(options.output, model, corpus.vocabulary)
    score = novel.perplexity(model, corpus.valid)
    return f"{history.symbols} tokens in {history.seconds:.0f} s; validation perplexity {score:.2f}"


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status: 2 for bad input, 1 if interrupted."""
    from lecture_utils.corpora import CorpusError

    parser = argparse.ArgumentParser(prog="python -m lecture_utils.training", description=__doc__)
    runs = parser.add_subparsers(required=True)
    lecture = runs.add_parser("lecture", help="the lecture's settings, unchanged: the curve as CSV")
    lecture.set_defaults(run=_lecture)
    lecture.add_argument("--steps", type=int, default=950)
    lecture.add_argument("--output", default="data/lecture_curve.csv")
    words = runs.add_parser("words", help="the recipe for a long text: weights to write with")
    words.set_defaults(run=_words)
    words.add_argument("--corpus", default="novel", help="novel, story or a UTF-8 file of any size")
    words.add_argument("--minutes", type=float, help="to train; 5 unless --steps are given")
    words.add_argument("--steps", type=int)
    words.add_argument("--batch-size", type=int, default=32, help="streams, of all processes")
    words.add_argument("--every", type=int, default=500, help="steps between validations")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--checkpoint", help="file to keep the run in")
    words.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    words.add_argument("--output", default="novel.pt", help="weights")
    options = parser.parse_args(arguments)
    first = int(os.environ.get("RANK", 0)) == 0
    try:
        _check_writable(Path(options.output))
        report = options.run(options)
    except (CorpusError, ValueError) as error:
        if first:
            print(error, file=sys.stderr)
        return 2
    if not report:
        print("Обучение прервано, результат не записан.", file=sys.stderr)
        return 1
    if first:
        print(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
