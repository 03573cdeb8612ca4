"""Choosing the next symbol: greedy, temperature, top-k, nucleus; names and text step by step."""

from collections.abc import Callable

import torch
from torch import Tensor

from lecture_utils.models import LanguageModel
from lecture_utils.vocabulary import (
    END,
    FEMALE,
    MALE,
    NAME_SPECIALS,
    UNK,
    Vocabulary,
    join_words,
    split_words,
)


def choice_probs(
    log_probs: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    uniform: bool = False,
) -> Tensor:
    """Turn ln p (…, vocab) of a model into the probabilities to draw from, same shape.

    `temperature` divides ln p before the softmax; 0 is the greedy choice. `top_k` keeps the k most
    probable symbols (Fan et al. 2018). `top_p` keeps the fewest whose probabilities reach p, the
    nucleus (Holtzman et al. 2020). What is kept is scaled to sum to one; `uniform` makes all of it
    equally probable instead, as the lecture did. Raises ValueError for values out of range.
    """
    if not temperature >= 0:
        raise ValueError(f"Температура не бывает отрицательной: {temperature}.")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k должно быть не меньше 1, а не {top_k}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p должно лежать между 0 и 1, а не {top_p}.")
    if temperature == 0:
        top_k, temperature = 1, 1.0
    probs = torch.softmax(log_probs / temperature, dim=-1)  # (…, vocab)
    if top_k is None and top_p is None:
        return probs
    order = log_probs.argsort(dim=-1, descending=True, stable=True)
    ranked = probs.gather(-1, order)
    keep = torch.ones_like(ranked, dtype=torch.bool)
    if top_k is not None:
        keep[..., top_k:] = False
    if top_p is not None:
        keep &= ranked.cumsum(-1) - ranked < top_p  # what stands before it does not yet reach p
    keep &= ranked > 0  # a forbidden symbol stays forbidden
    ranked = keep.float() if uniform else ranked * keep
    probs = torch.zeros_like(probs).scatter(-1, order, ranked)
    return probs / probs.sum(-1, keepdim=True)


def entropy(probs: Tensor) -> Tensor:
    """Entropy −Σ p ln p over the last axis, nats."""
    return torch.special.entr(probs).sum(-1)


@torch.no_grad()
def generate(
    model: LanguageModel,
    prompt: Tensor,
    length: int,
    *,
    forbidden: list[int],
    generator: torch.Generator,
    rule: Callable[[Tensor], Tensor] = choice_probs,
    end: int | None = None,
) -> Tensor:
    """Continue each row of `prompt` (batch, time) by up to `length` symbols → (batch, ≤ length).

    The state is carried, so each symbol costs one recurrent step. `forbidden` symbols are never
    drawn. After `end` a row is filled with `end`, and when all rows have ended, drawing ends.
    """
    was_training = model.training
    model.eval()
    state, x, drawn = None, prompt, []
    ended = torch.zeros(len(prompt), dtype=torch.bool, device=prompt.device)
    for _ in range(length):
        h, state = model.features(x, state)
        log_probs = model.log_probs(h[:, -1])  # (batch, vocab): only the last step is needed
        log_probs[:, forbidden] = -torch.inf
        probs = rule(log_probs).cpu()
        symbol = torch.multinomial(probs, 1, generator=generator).to(x.device)  # (batch, 1)
        if end is not None:
            symbol[ended] = end
            ended |= symbol[:, 0] == end
        drawn.append(symbol)
        x = symbol
        if end is not None and ended.all():
            break
    model.train(was_training)
    return torch.cat(drawn, dim=1)


def sample_names(
    model: LanguageModel,
    vocabulary: Vocabulary,
    count: int,
    *,
    gender: str = "f",
    prefix: str = "",
    seed: int = 0,
    max_length: int = 20,
    **rule,
) -> list[str]:
    """Invent `count` names of a gender ("f", "m") that begin with `prefix`.

    A name ends at the end symbol or after `max_length` letters drawn. `rule` goes to
    `choice_probs`. Raises ValueError naming a letter that the network does not know.
    """
    if gender not in ("f", "m"):
        raise ValueError(f"Пол задаётся буквой «f» или «m», а не «{gender}».")
    if count < 1 or max_length < 1:
        raise ValueError("count и max_length должны быть не меньше 1.")
    prefix = prefix.lower()
    start = vocabulary.encode([FEMALE if gender == "f" else MALE, *prefix])
    end = vocabulary.index[END]
    ids = generate(
        model,
        torch.tensor([start] * count, device=_device(model)),
        max_length,
        forbidden=[vocabulary.index[s] for s in NAME_SPECIALS if s != END],
        generator=torch.Generator().manual_seed(seed),
        rule=lambda log_probs: choice_probs(log_probs, **rule),
        end=end,
    )
    rows = (row[: row.index(end)] if end in row else row for row in ids.tolist())
    return [prefix + "".join(vocabulary.decode(row)) for row in rows]


def continue_text(
    model: LanguageModel,
    vocabulary: Vocabulary,
    prompt: str,
    num_words: int,
    *,
    count: int = 1,
    seed: int = 0,
    split: Callable[[str], list[str]] = split_words,
    **rule,
) -> list[str]:
    """Write `count` continuations of `prompt` of `num_words` words and marks each.

    A prompt word unknown even with е for ё is read as ⟨unk⟩, and a line says so; ⟨unk⟩ is never
    written. `rule` goes to `choice_probs`. Raises ValueError for an empty prompt.
    """
    words = split(prompt)
    if not words:
        raise ValueError("Начало текста пустое: дайте хотя бы одно слово.")
    if num_words < 1 or count < 1:
        raise ValueError("num_words и count должны быть не меньше 1.")
    unknown = [word for word in words if vocabulary.find(word) is None]
    if unknown:
        print(f"Этих слов сеть не знает и читает их как ⟨unk⟩: {', '.join(unknown)}.")
    ids = generate(
        model,
        torch.tensor([vocabulary.encode(words)] * count, device=_device(model)),
        num_words,
        forbidden=[vocabulary.index[UNK]] if UNK in vocabulary else [],
        generator=torch.Generator().manual_seed(seed),
        rule=lambda log_probs: choice_probs(log_probs, **rule),
    )
    return [join_words(words + vocabulary.decode(row)) for row in ids.tolist()]


def _device(model: LanguageModel) -> torch.device:
    return next(model.parameters()).device
