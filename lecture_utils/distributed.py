"""The one seam to torch.distributed; devices and threads."""

import os
from collections.abc import Callable
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def pick_device(name: str | None = None) -> torch.device:
    """CUDA if it is there, else the CPU (Apple's MPS is slower in small steps); or `name`."""
    card = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"  # of several processes each has its own
    return torch.device(name or (card if torch.cuda.is_available() else "cpu"))


def use_threads(number: int = 1) -> None:
    """Compute on so many threads: one, unless more are asked for.

    Two wait for each other by spinning: beside a busy browser the recipe for the novel took 96 s,
    with one 26 s. torchrun makes better use of more processors.
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
    """rank and world_size: the number of this process and how many there are."""
    several = dist.is_available() and dist.is_initialized()
    return (dist.get_rank(), dist.get_world_size()) if several else (0, 1)


def replicate(model: nn.Module) -> Callable:
    """`model.nats`; of several processes, so that `backward` averages the gradients of all.

    All begin with the weights of the first.
    """
    if place()[1] == 1:
        return model.nats
    # A group of rare words may come up in one process and not in another.
    options = {"broadcast_buffers": False, "find_unused_parameters": True}
    return DistributedDataParallel(_Nats(model), **options)


class _Nats(nn.Module):
    """The loss as a forward pass, which is what DistributedDataParallel hooks into."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, *arguments):
        return self.model.nats(*arguments)


def mean(*numbers: float) -> list[float]:
    """The mean of each number over all processes."""
    if place()[1] == 1:
        return list(numbers)
    parts = from_all(torch.tensor(numbers, dtype=torch.float64))
    return torch.stack(parts).mean(0).tolist()


def from_all(x: Tensor) -> list[Tensor]:
    """The same tensor of every process, in their order."""
    if place()[1] == 1:
        return [x]
    parts = [torch.empty_like(x) for _ in range(place()[1])]
    dist.all_gather(parts, x.contiguous())
    return parts
