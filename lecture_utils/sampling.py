"""Choosing the next symbol: greedy, temperature, top-k, nucleus; names and text step by step."""

import math
from collections.abc import Iterator, Sequence

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
    if not 0 <= temperature < math.inf:
        raise ValueError(f"Температура должна быть числом не меньше нуля, а не {temperature}.")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k должно быть не меньше 1, а не {top_k}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p должно лежать между 0 и 1, а не {top_p}.")
    if temperature == 0:
        top_k, temperature = 1, 1.0
    # Counted from the best symbol, and T not so small that 1/T overflows: no ∞ − ∞ in the softmax.
    below_best = log_probs - log_probs.amax(-1, keepdim=True)
    probs = torch.softmax(below_best / max(temperature, 1e-30), dim=-1)  # (…, vocab)
    if top_k is None and top_p is None and not uniform:
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


def draw(
    model: LanguageModel,
    h: Tensor,
    generator: torch.Generator,
    forbidden: Sequence[int] = (),
    **rule,
) -> Tensor:
    """One symbol (batch,) for each row of features h (batch, hidden); `rule` as in `choice_probs`.

    `forbidden` symbols are never drawn.
    """
    if not rule and model.cutoffs and max(forbidden, default=0) < model.cutoffs[0]:
        return _draw_from_head(model, h, generator, forbidden)
    log_probs = model.log_probs(h)  # (batch, vocab)
    log_probs[:, forbidden] = -torch.inf
    return _pick(choice_probs(log_probs, **rule), generator)


def _draw_from_head(model, h, generator, forbidden) -> Tensor:
    """First a frequent word or a group; then, only if a group came up, a word of it."""
    near = model.near(h)  # scores (batch, frequent + groups)
    near[:, forbidden] = -torch.inf
    symbol = _pick(torch.softmax(near, dim=-1), generator)
    group = symbol - model.cutoffs[0]  # negative for a frequent word
    for k in set(group.tolist()):
        if k >= 0:
            rows = group == k
            inside = torch.softmax(model.group(h[rows], k), dim=-1)
            symbol[rows] = model.cutoffs[k] + _pick(inside, generator)
    return symbol


def _pick(probs: Tensor, generator: torch.Generator) -> Tensor:
    """One place (batch,) in each row of probabilities (batch, places), wherever they lie."""
    return torch.multinomial(probs.cpu(), 1, generator=generator)[:, 0].to(probs.device)


@torch.no_grad()
def symbols(
    model: LanguageModel,
    prompt: Tensor,
    length: int,
    *,
    forbidden: Sequence[int],
    generator: torch.Generator,
    **choice,
) -> Iterator[Tensor]:
    """Continue each row of `prompt` (batch, time) by `length` symbols, yielding (batch,) each time.

    The state is carried, so each symbol costs one recurrent step. `forbidden` symbols are never
    drawn. `choice` goes to `choice_probs`. Until the last symbol the model is in evaluation.
    """
    choice_probs(torch.zeros(1), **choice)  # values out of range are told before any work
    state, x, was_training = None, prompt, model.training
    model.eval()
    fast = model.folded()
    try:
        for _ in range(length):
            h, state = fast.features(x, state)  # (batch, 1, hidden); the prompt is read at once
            symbol = draw(fast, h[:, -1], generator, forbidden, **choice)
            yield symbol
            x = symbol[:, None].to(x.device)
    finally:
        model.train(was_training)


def generate(
    model: LanguageModel, prompt: Tensor, length: int, *, end: int | None = None, **options
) -> Tensor:
    """Continue each row of `prompt` (batch, time) by up to `length` symbols → (batch, ≤ length).

    After `end` a row is filled with `end`, and when all rows have ended, drawing ends. `options`
    are those of `symbols`.
    """
    drawn, ended = [], torch.zeros(len(prompt), dtype=torch.bool, device=prompt.device)
    for symbol in symbols(model, prompt, length, **options):
        if end is not None:
            symbol[ended] = end
            ended |= symbol == end
        drawn.append(symbol)
        if end is not None and ended.all():
            break
    return torch.stack(drawn, dim=1)


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
        end=end,
        **rule,
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
    **rule,
) -> list[str]:
    """Write `count` continuations of `prompt` of `num_words` words and marks each.

    A prompt word unknown even with е for ё is read as ⟨unk⟩, and a line says so; ⟨unk⟩ is never
    written. `rule` goes to `choice_probs`. Raises ValueError for an empty prompt.
    """
    words, options = _begin(model, vocabulary, prompt, num_words, count, seed)
    ids = generate(model, length=num_words, **options, **rule)
    return [join_words(words + vocabulary.decode(row)) for row in ids.tolist()]


def stream_text(
    model: LanguageModel,
    vocabulary: Vocabulary,
    prompt: str,
    num_words: int,
    *,
    seed: int = 0,
    **rule,
) -> Iterator[str]:
    """The prompt, then word by word what is drawn, as it is drawn: print each with `end=""`.

    Together the text of `continue_text`, with the same `rule`, seed and errors.
    """
    words, options = _begin(model, vocabulary, prompt, num_words, 1, seed)
    choice_probs(torch.zeros(1), **rule)  # values out of range are told before the prompt is shown
    written = join_words(words)
    yield written
    for symbol in symbols(model, length=num_words, **options, **rule):
        words += vocabulary.decode(symbol.tolist())
        text = join_words(words)
        yield text[len(written) :]
        written = text


def _begin(model, vocabulary, prompt, num_words, count, seed):
    words = split_words(prompt)
    if not words:
        raise ValueError("Начало текста пустое: дайте хотя бы одно слово.")
    if num_words < 1 or count < 1:
        raise ValueError("num_words и count должны быть не меньше 1.")
    unknown = [word for word in words if vocabulary.find(word) is None]
    if unknown:
        print(f"Этих слов сеть не знает и читает их как ⟨unk⟩: {', '.join(unknown)}.")
    return words, {
        "prompt": torch.tensor([vocabulary.encode(words)] * count, device=_device(model)),
        "forbidden": [vocabulary.index[UNK]] if UNK in vocabulary else [],
        "generator": torch.Generator().manual_seed(seed),
    }


def _device(model: LanguageModel) -> torch.device:
    return next(model.parameters()).device
