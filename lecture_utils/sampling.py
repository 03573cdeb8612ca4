"""Choosing the next symbol: greedy, temperature, top-k, nucleus; names and text step by step."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

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
    probs = torch.softmax(log_probs / temperature, dim=-1)  # (…, vocab)
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
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    uniform: bool = False,
) -> Tensor:
    """One symbol (batch,) for each row of features h (batch, hidden), by `choice_probs`.

    `forbidden` symbols are never drawn. With an adaptive softmax a group of rare words is looked
    into only where it comes up, and the distribution is the same: no word of a group is more
    probable than the group.
    """
    rule = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "uniform": uniform}
    first = model.edges[0]
    if temperature == 0:
        top_k = 1
    whole = (top_k or 0) > first or (top_p is not None and temperature not in (0, 1))
    whole |= uniform and top_k is None and top_p is None
    if len(model.edges) == 1 or whole or any(symbol >= first for symbol in forbidden):
        return _draw_from_all(model, h, generator, forbidden, rule)
    near = model.near(h)  # scores (batch, frequent + groups)
    for symbol in forbidden:
        near[:, symbol] = -torch.inf
    if top_k is None and top_p is None:
        return _draw_by_group(model, h, near, generator, temperature)
    near = torch.log_softmax(near, dim=-1)
    if top_p is None or temperature == 0:
        log_probs, ids = _best(model, h, near, top_k)
        place = _draw(choice_probs(log_probs, **rule).log(), generator)
        return ids.gather(1, place[:, None])[:, 0]
    probs = choice_probs(near, **rule)
    symbol = _draw(probs.log(), generator)
    unsure = (probs[:, first:] > 0).any(-1)  # else the nucleus holds none of a group's words
    if unsure.any():
        symbol[unsure] = _draw_from_all(model, h[unsure], generator, forbidden, rule)
    return symbol


def _draw(log_weights: Tensor, generator: torch.Generator) -> Tensor:
    """A place (batch,) in each row of ln weights (batch, places): one random number a row."""
    reach = torch.softmax(log_weights.cpu(), -1, dtype=torch.float64).cumsum(-1)
    luck = torch.rand(len(reach), 1, generator=generator) * reach[:, -1:]
    return torch.searchsorted(reach, luck, right=True)[:, 0].to(log_weights.device)


def _draw_from_all(model, h, generator, forbidden, rule) -> Tensor:
    log_probs = model.log_probs(h)  # (batch, vocab)
    log_probs[:, forbidden] = -torch.inf
    probs = choice_probs(log_probs, **rule).cpu()
    return torch.multinomial(probs, 1, generator=generator)[:, 0].to(h.device)


def _best(model, h, near, k: int) -> tuple[Tensor, Tensor]:
    """ln p and ids (batch, ≤ k) of the k most probable symbols; k is at most edges[0]."""
    first = model.edges[0]
    log_probs, ids = near[:, :first].topk(k)
    for group, low in enumerate(model.edges[:-1]):
        rows = (near[:, first + group] > log_probs[:, -1]).nonzero()[:, 0]
        if len(rows):
            inside = torch.log_softmax(model.group(h[rows], group), dim=-1)
            inside += near[rows, first + group, None]
            above = (inside.amax(-1) > log_probs[rows, -1]).nonzero()[:, 0]
            rows, inside = rows[above], inside[above]
        if len(rows):
            best, place = inside.topk(min(k, inside.shape[1]))
            both = torch.cat([log_probs[rows], best], dim=1)
            log_probs[rows], chosen = both.topk(k)
            ids[rows] = torch.cat([ids[rows], place + low], dim=1).gather(1, chosen)
    return log_probs, ids


def _draw_by_group(model, h, near, generator, temperature: float) -> Tensor:
    """Draw with p^(1/T) by rejection: a group enters with a bound on Σ p^(1/T) of its words.

    With q the share of a word in its group, Σ q^(1/T) is at most 1 for T ≤ 1 and n^(1 − 1/T) for
    n words otherwise. A group that came up is accepted with the true sum over the bound. If it is
    refused, the row is drawn again, the true sum known.
    """
    first, power = model.edges[0], 1 / temperature
    if power == 1:
        place = _draw(near, generator)
        symbol = place.clone()
        for k in sorted({number - first for number in place.tolist() if number >= first}):
            rows = place == first + k if len(place) > 1 else slice(None)
            symbol[rows] = _draw(model.group(h[rows], k), generator) + model.edges[k]
        return symbol
    slack = [max(0.0, 1 - power) * math.log(high - low) for low, high in pairwise(model.edges)]
    weights = near * power
    weights[:, first:] += torch.tensor(slack, device=h.device)
    known = torch.zeros(len(near), len(slack), dtype=torch.bool, device=h.device)
    symbol = _draw(weights, generator)
    chosen = symbol - first  # the group to look into; negative for a word
    while groups := [k for k in sorted(set(chosen.tolist())) if k >= 0]:
        for k in groups:
            rows = (chosen == k).nonzero()[:, 0]
            inside = torch.log_softmax(model.group(h[rows], k), dim=-1) * power
            symbol[rows] = _draw(inside, generator) + model.edges[k]
            total = inside.logsumexp(-1)
            luck = torch.rand(len(rows), generator=generator).to(h.device).log()
            taken = known[rows, k] | (luck < total - slack[k])
            weights[rows, first + k] = near[rows, first + k] * power + total
            known[rows, k], chosen[rows] = True, torch.where(taken, -1, k)
        again = (chosen >= 0).nonzero()[:, 0]
        if len(again):
            symbol[again] = _draw(weights[again], generator)
            chosen[again] = symbol[again] - first
    return symbol


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
    try:
        for _ in range(length):
            h, state = model.features(x, state)
            symbol = draw(model, h[:, -1], generator, forbidden, **choice)
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
