"""From ids to batches; each has a number to ask for it by, so that a run resumes in mid-epoch."""

import copy
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


class Batch(NamedTuple):
    """Inputs `x` and targets `y`, (batch, time); `mask` is False where `y` is only padding."""

    x: Tensor
    y: Tensor
    mask: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch(*(part if part is None else part.to(device) for part in self))

    def targets(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Without padding: features h (batch, time, hidden) as (n, hidden) and targets (n,)."""
        if self.mask is None:
            return h.flatten(0, 1), self.y.flatten()
        return h[self.mask], self.y[self.mask]


def pad_names(sequences: Sequence[Sequence[int]]) -> Batch:
    """Input: each name without the last symbol, target: without the first; 0 fills up, masked."""
    table = pad_sequence([torch.tensor(sequence) for sequence in sequences], batch_first=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    mask = torch.arange(1, table.shape[1]) < lengths[:, None]
    return Batch(table[:, :-1], table[:, 1:], mask)


class NameBatches:
    """Short independent sequences, shuffled anew (but reproducibly) in each epoch."""

    carries_state = False

    def __init__(self, sequences: Sequence[Sequence[int]], batch_size: int, seed: int = 0):
        """`sequences` of numbers, start and end symbols included. Raises ValueError if empty."""
        if batch_size < 1:
            raise ValueError(f"Размер batch_size должен быть не меньше 1, а не {batch_size}.")
        if not sequences:
            raise ValueError("Список имён пуст: нечего собирать в пакеты (batch).")
        self.sequences, self.batch_size, self.seed = list(sequences), batch_size, seed

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.sequences) // self.batch_size)

    def batch(self, epoch: int, number: int) -> Batch:
        """Batch `number` of the order in which this epoch goes through the names."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.sequences))
        chosen = order[number * self.batch_size : (number + 1) * self.batch_size]
        return pad_names([self.sequences[k] for k in chosen])

    def share(self, rank: int, world_size: int) -> "NameBatches":
        """Names are not divided: raises ValueError if there is more than one process."""
        if world_size > 1:
            raise ValueError(f"Процессов {world_size}, а имена учит один: запустите без torchrun.")
        return self

    def fingerprint(self) -> int:
        """A number that changes with the data or the way it is cut."""
        return zlib.crc32(repr((self.sequences, self.batch_size, self.seed)).encode())


class StreamBatches:
    """One long text as `batch_size` parallel streams, cut into windows of `seq_len` steps.

    Row k of a window goes on where row k of the one before it ended, so the state of the network
    may be carried over. The target is the true next token, at the end of a stream too. The last
    window may be shorter.
    """

    carries_state = True

    def __init__(self, ids: Sequence[int], batch_size: int, seq_len: int, tokens=()):
        """`ids` (length,). Raises ValueError if the text is shorter than one batch.

        `tokens` of the vocabulary tell apart texts that have the same ids but not the same words.
        """
        if batch_size < 1 or seq_len < 1:
            sizes = f"batch_size={batch_size}, seq_len={seq_len}"
            raise ValueError(f"Размеры должны быть не меньше 1, а заданы {sizes}.")
        ids = torch.as_tensor(ids)  # a memory-mapped array is not copied
        needed = batch_size * seq_len + 1
        if len(ids) < needed:
            raise ValueError(
                f"Текст слишком короткий: в нём {len(ids)} слов и знаков, а на один пакет "
                f"(batch_size={batch_size}, seq_len={seq_len}) нужно не меньше {needed}. "
                "Возьмите текст подлиннее или уменьшите batch_size или seq_len."
            )
        length = (len(ids) - 1) // batch_size
        self.x = ids[: batch_size * length].view(batch_size, length)
        self.y = ids[1 : batch_size * length + 1].view(batch_size, length)
        self.seq_len, self.tokens = seq_len, tokens

    @classmethod
    def to_score(cls, ids: Sequence[int], batch_size: int, seq_len: int) -> "StreamBatches":
        """All of a text, for `evaluate`: fewer streams and shorter windows where it is short."""
        streams = max(1, min(batch_size, len(ids) // (2 * seq_len)))
        return cls(ids, streams, max(1, min(seq_len, (len(ids) - 1) // streams)))

    def __len__(self) -> int:
        """Windows in an epoch."""
        return -(-self.x.shape[1] // self.seq_len)

    def batch(self, epoch: int, number: int) -> Batch:
        """Window `number`; every epoch goes through the text in the same order."""
        window = slice(number * self.seq_len, (number + 1) * self.seq_len)
        return Batch(self.x[:, window].long(), self.y[:, window].long())

    def share(self, rank: int, world_size: int) -> "StreamBatches":
        """The streams of process `rank` of `world_size`. Raises ValueError if they don't divide."""
        streams = len(self.x)
        if streams % world_size:
            raise ValueError(
                f"Потоков {streams}, а процессов {world_size}: поровну не разделить. "
                "Задайте число потоков (batch_size), кратное числу процессов."
            )
        own = copy.copy(self)
        rows = slice(rank * streams // world_size, (rank + 1) * streams // world_size)
        own.x, own.y = self.x[rows], self.y[rows]
        return own

    def fingerprint(self) -> int:
        """A number that changes with the data or the way it is cut."""
        number = zlib.crc32(repr((*self.x.shape, self.seq_len, *self.tokens)).encode())
        for stream in self.y:  # a long one only in part: it may be on a disk
            number = zlib.crc32(stream[:65_536].long().numpy(), number)
        return number
