"""Tasks that measure memory (order, aⁿbⁿ, echo, tagging, cups …); the five kinds, on names."""

from collections.abc import Sequence
from numbers import Integral
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

TEMPORAL_ORDER_SYMBOLS = "abcdXY"
TEMPORAL_ORDER_WINDOW = 10
ANBN_SYMBOLS = "·ab"  # · marks both ends of a string
RECALL_KEYS, RECALL_VALUES, COPY_SYMBOLS, CUPS = 16, 8, 26, 5
NAME_SYMBOLS = "·абвгдеёжзийклмнопрстуфхцчшщъыьэюя-♀♂"  # · ends a name, fills up after it
_IS_VOWEL = torch.tensor([symbol in "аеёиоуыэюя" for symbol in NAME_SYMBOLS]).long()


class TaggedBatch(NamedTuple):
    """Ids in, ids out; `mask` tells at which steps an answer is due. All (batch, time)."""

    inputs: Tensor
    targets: Tensor
    mask: Tensor


def _check(minimum: int, why: str, **arguments: int) -> None:
    for name, value in arguments.items():
        if not isinstance(value, Integral) or value < minimum:
            needed = f"нужно целое число не меньше {minimum}, {why}"
            raise ValueError(f"Аргумент {name} = {value!r} не годится: {needed}.")


def temporal_order(batch_size: int, lag: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Which two symbols came, and in what order (Hochreiter & Schmidhuber 1997, experiment 6a)?

    Inputs (batch, 10 + lag) of ids in "abcdXY": two of the first ten are X or Y (in the paper the
    two stand far apart), all others random a, b, c, d. Targets (batch,), to be told at the end: 0
    for X…X, 1 for X…Y, 2 for Y…X, 3 for Y…Y. Chance: an accuracy of 1/4, and 1/2 for who remembers
    one of the two. Raises ValueError if lag < 0.
    """
    _check(1, "чтобы было чему учиться", batch_size=batch_size)
    _check(0, "ведь это число помех", lag=lag)
    window = TEMPORAL_ORDER_WINDOW
    inputs = torch.randint(4, (batch_size, window + lag), generator=generator)
    places = torch.rand(batch_size, window, generator=generator).topk(2).indices.sort().values
    is_y = torch.randint(2, (batch_size, 2), generator=generator)
    inputs.scatter_(1, places, TEMPORAL_ORDER_SYMBOLS.index("X") + is_y)
    return inputs, 2 * is_y[:, 0] + is_y[:, 1]


def anbn(ns: Sequence[int]) -> tuple[TaggedBatch, Tensor]:
    """Strings ·aⁿbⁿ· to be read symbol by symbol, for each n of `ns` (Gers & Schmidhuber 2001).

    Targets are the next symbols: ·aabb → aabb·; shorter strings are padded with · and masked, time
    = 2·max(ns) + 1. The second result, `certain` (batch, time), is True where one continuation is
    possible, after the opening · and from the first b on: there alone a prediction can be called
    right or wrong. Raises ValueError if `ns` is empty or has an n < 1.
    """
    _check(1, "чтобы была хотя бы одна строка", **{"len(ns)": len(ns)})
    for n in ns:
        _check(1, "ведь это число букв a", n=n)
    n = torch.tensor(ns)[:, None]
    t = torch.arange(2 * max(ns) + 2)  # the place in the string, 0 being the opening ·
    strings = torch.where(t <= n, 1, 2).where((t > 0) & (t <= 2 * n), 0)
    mask = t[:-1] <= 2 * n
    certain = mask & ((t[:-1] == 0) | (t[:-1] > n))
    return TaggedBatch(strings[:, :-1], strings[:, 1:], mask), certain


def echo(length: int, lag: int, seed: int) -> Tensor:
    """Symbols 0…7, (length,): at even places 0…3 by chance, at odd places 4 + the one `lag` before.

    ln 4 nats are paid for each even place, so the best possible mean is ½ ln 4. `lag` is odd.
    """
    ids = torch.randint(4, (length + lag,), generator=torch.Generator().manual_seed(seed))
    even = torch.arange(length) % 2 == 0
    return torch.where(even, ids[lag:], 4 + ids[:length])


def context_tagging(batch_size: int, length: int, distance: int, generator) -> TaggedBatch:
    """Tag each position by what stands `distance` steps to its left and to its right.

    Inputs are independent fair bits, the tag of t is 2·x[t − distance] + x[t + distance], one of 4;
    the first and last `distance` positions have no tag (mask). Chance: 1/4 without looking, 1/2 for
    a network that reads one way only. Raises ValueError if length < 2·distance + 1.
    """
    _check(1, "чтобы было чему учиться", batch_size=batch_size, distance=distance)
    _check(2 * distance + 1, "чтобы хоть у одного места были оба соседа", length=length)
    inputs = torch.randint(2, (batch_size, length), generator=generator)
    tags = 2 * inputs[:, : -2 * distance] + inputs[:, 2 * distance :]
    targets, mask = (pad(x, [distance, distance]) for x in (tags, tags >= 0))
    return TaggedBatch(inputs, targets, mask)


def two_speeds(batch_size: int, length: int, generator: Generator) -> Tensor:
    """Bits (batch, time) of two moods: the nervous flips a bit with 0.8, the calm one with 0.2.

    The mood itself is never shown and changes once in 50 steps, on average.
    """
    _check(1, "чтобы было чему учиться", batch_size=batch_size, length=length)
    draw = lambda *shape: torch.rand(*shape, generator=generator)
    switched = draw(batch_size, length) < 1 / 50
    is_nervous = ((draw(batch_size, 1) < 0.5) + switched.cumsum(1)) % 2
    flipped = draw(batch_size, length) < 0.2 + 0.6 * is_nervous
    return ((draw(batch_size, 1) < 0.5) + flipped.cumsum(1)) % 2


def recall(batch_size: int, pairs: int, generator: Generator) -> TaggedBatch:
    """Key value key value …, then the keys in another order: what stood after each of them?

    As in Arora et al. (2023). Keys are ids 0…15, each once, the values after them 16…23. Time is
    3·pairs, an answer, 0…7, is due at the last third. Chance: 1/8. ValueError if pairs > 16.
    """
    _check(1, "чтобы было чему учиться", batch_size=batch_size, pairs=pairs)
    if pairs > RECALL_KEYS:
        raise ValueError(f"Аргумент pairs = {pairs} не годится: разных ключей всего {RECALL_KEYS}.")
    shuffle = lambda count: torch.rand(batch_size, count, generator=generator).argsort(1)
    keys, order = shuffle(RECALL_KEYS)[:, :pairs], shuffle(pairs)
    values = torch.randint(RECALL_VALUES, (batch_size, pairs), generator=generator)
    told = torch.stack([keys, RECALL_KEYS + values], 2).flatten(1)
    inputs = torch.cat([told, keys.gather(1, order)], 1)
    targets, mask = (pad(x, [2 * pairs, 0]) for x in (values.gather(1, order), keys >= 0))
    return TaggedBatch(inputs, targets, mask)


def copying(batch_size: int, length: int, generator: Generator) -> TaggedBatch:
    """Read a string of letters, then, from the sign 0 on, say it again (Jelassi et al. 2024).

    Letters are ids 1…26; each letter said is the next input, time is 2·length. Chance: 1/26.
    """
    _check(1, "чтобы было чему учиться", batch_size=batch_size, length=length)
    letters = torch.randint(1, COPY_SYMBOLS + 1, (batch_size, length), generator=generator)
    inputs = torch.cat([pad(letters, [0, 1]), letters[:, :-1]], 1)
    targets = pad(letters, [length, 0])
    return TaggedBatch(inputs, targets, targets > 0)


def cups(batch_size: int, length: int, generator: Generator) -> TaggedBatch:
    """Five cups, the ball under the first; each symbol swaps two: under which one is it now?

    Ten symbols: all permutations, S₅ (Merrill et al. 2024). Chance: 1/5 but for the first steps.
    """
    _check(1, "чтобы было чему учиться", batch_size=batch_size, length=length)
    swaps = torch.combinations(torch.arange(CUPS))
    inputs = torch.randint(len(swaps), (batch_size, length), generator=generator)
    ball, places = torch.zeros(batch_size, dtype=torch.long), []
    for one, other in swaps[inputs].permute(1, 2, 0):
        ball = torch.where(ball == one, other, torch.where(ball == other, one, ball))
        places.append(ball)
    return TaggedBatch(inputs, torch.stack(places, 1), inputs >= 0)


def _spell(strings: Sequence[str]) -> Tensor:
    unknown = set("".join(strings)) - set(NAME_SYMBOLS)
    if unknown:
        found = ", ".join(f"«{symbol}»" for symbol in sorted(unknown))
        raise ValueError(f"Символов {found} в алфавите нет: нужны имена строчными буквами.")
    longest = max(map(len, strings))
    rows = [[NAME_SYMBOLS.index(c) for c in string.ljust(longest, "·")] for string in strings]
    return torch.tensor(rows)


def is_vowel() -> TaggedBatch:
    """One → one: is the letter a vowel (1) or not (0)? All 33 letters, (33, 1)."""
    inputs = torch.arange(1, 34)[:, None]
    return TaggedBatch(inputs, _IS_VOWEL[inputs], torch.ones_like(inputs, dtype=torch.bool))


def name_of_gender(names: Sequence[str], genders: Sequence[str]) -> TaggedBatch:
    """One → many: from "f" or "m" the letters of a name, ♀анна → анна·; each is the next input."""
    whole = _spell([{"f": "♀", "m": "♂"}[g] + n + "·" for n, g in zip(names, genders, strict=True)])
    return TaggedBatch(whole[:, :-1], whole[:, 1:], whole[:, :-1] > 0)


def gender_of_name(names: Sequence[str], genders: Sequence[str]) -> TaggedBatch:
    """Many → one: a woman's name (1) or a man's (0), to be told at the last letter."""
    inputs = _spell(names)
    is_last = torch.arange(1, inputs.shape[1] + 1) == (inputs > 0).sum(1, keepdim=True)
    targets = torch.tensor([[int(g == "f")] for g in genders]).expand_as(inputs)
    return TaggedBatch(inputs, targets, is_last)


def backwards(names: Sequence[str]) -> TaggedBatch:
    """Many → many in turn: read анна, then, from the first · on, spell it from its end."""
    targets = _spell(["·" * len(name) + name[::-1] for name in names])
    return TaggedBatch(_spell([name + "·" * len(name) for name in names]), targets, targets > 0)


def vowel_parity(names: Sequence[str]) -> TaggedBatch:
    """Many → many in step: is the number of vowels so far odd (1) or even (0)?"""
    inputs = _spell(names)
    return TaggedBatch(inputs, _IS_VOWEL[inputs].cumsum(1) % 2, inputs > 0)
