"""Several processes: streams divided, gradients averaged, so that all make the same step."""

import os
from collections.abc import Iterable, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn


def pick_device(name: str | None = None) -> torch.device:
    """CUDA if it is there, else the CPU; `name` overrides.

    Apple's MPS is not chosen by itself: on recurrent layers as small as ours the many small steps
    cost more there than on the CPU.
    """
    card = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"  # of several processes each has its own
    return torch.device(name or (card if torch.cuda.is_available() else "cpu"))


def use_threads(number: int = 1) -> None:
    """Compute on so many threads: one, unless more are asked for.

    Networks as small as ours gain little from a second one, and beside a busy browser two wait for
    each other by spinning: the recipe for the novel then took 96 s in place of 26 s. More
    processors are better used by torchrun.
    """
    torch.set_num_threads(number)


@contextmanager
def together():
    """Join the processes that torchrun has started, if it has."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        # The first step of an optimizer imports this, and functions there keep the group of that
        # moment alive as a default: its threads would outlive `together` and abort Python's exit.
        import torch.distributed.nn

        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()


def place() -> tuple[int, int]:
    """Number of this process and how many there are."""
    together = dist.is_available() and dist.is_initialized()
    return (dist.get_rank(), dist.get_world_size()) if together else (0, 1)


def average(parameters: Iterable[nn.Parameter], *numbers: float) -> Sequence[float]:
    """Put the mean over the processes into every gradient; return the means of the numbers.

    Dense gradients and numbers travel in one message. Of a sparse gradient only the rows do.
    """
    for p in parameters:
        if p.grad is None:  # a group of words that this batch never named
            p.grad = torch.zeros_like(p)
    world = place()[1]
    if world == 1:
        return numbers
    dense = [p.grad for p in parameters if not p.grad.is_sparse]
    first = dense[0].new_tensor(numbers) if dense else torch.tensor(numbers)
    message = torch.cat([first, *(grad.flatten() for grad in dense)]) / world
    dist.all_reduce(message)
    means, *parts = message.split([len(numbers), *(grad.numel() for grad in dense)])
    for grad, part in zip(dense, parts, strict=True):
        grad.copy_(part.view_as(grad))
    for p in parameters:
        if p.grad.is_sparse:  # every process has as many rows as it has words in a window
            places = torch.cat(from_all(p.grad._indices()), dim=1)
            rows = torch.cat(from_all(p.grad._values() / world))
            p.grad = torch.sparse_coo_tensor(places, rows, p.shape, check_invariants=False)
    return means.tolist()


def from_all(x: Tensor) -> list[Tensor]:
    """The same tensor of every process, in their order."""
    world = place()[1]
    if world == 1:
        return [x]
    parts = [torch.empty_like(x) for _ in range(world)]
    dist.all_gather(parts, x.contiguous())
    return parts
