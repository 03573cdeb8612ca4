"""Choosing the next symbol: greedy, temperature, top-k, nucleus; names and text step by step."""

import math
import unicodedata
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lecture_utils.batching import Batch
from lecture_utils.models import LanguageModel
from lecture_utils.vocabulary import BEGIN, END, UNK, Vocabulary, join_words, split_words


def choice_probs(log_probs, temperature=1.0, top_k=None, top_p=None, uniform=False) -> Tensor:
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
    order = log_probs.topk(min(top_k or math.inf, log_probs.shape[-1])).indices  # the best first
    ranked = probs.gather(-1, order)
    keep = ranked > 0  # a forbidden symbol stays forbidden
    if top_p is not None:
        keep &= ranked.cumsum(-1) - ranked < top_p  # what stands before it does not yet reach p
    ranked = keep.float() if uniform else ranked * keep
    probs = torch.zeros_like(probs).scatter(-1, order, ranked)
    return probs / probs.sum(-1, keepdim=True)


def entropy(probs: Tensor) -> Tensor:
    """Entropy −Σ p ln p over the last axis, nats."""
    return torch.special.entr(probs).sum(-1)


def draw(model, h: Tensor, generator: torch.Generator, forbidden=(), **rule) -> Tensor:
    """One symbol (batch,) for each row of features h (batch, hidden); `rule` as in `choice_probs`.

    `forbidden` symbols are never drawn.
    """
    has_rule = rule.keys() - {"temperature"} or rule.get("temperature", 1) != 1
    if not has_rule and model.cutoffs and max(forbidden, default=0) < model.cutoffs[0]:
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
    model: LanguageModel, prompt: Tensor, length: int, *, forbidden=(), seed: int = 0, **rule
) -> Iterator[Tensor]:
    """Continue each row of `prompt` (batch, time) by `length` symbols, yielding (batch,) each time.

    The state is carried, so each symbol costs one recurrent step. `forbidden` symbols are never
    drawn. `rule` goes to `choice_probs`. Until the last symbol the model is in evaluation.
    """
    choice_probs(torch.zeros(1), **rule)  # values out of range are told before any work
    generator, was_training = torch.Generator().manual_seed(seed), model.training
    state, x = None, prompt.to(next(model.parameters()).device)
    model.eval()
    fast = model.folded()
    try:
        for _ in range(length):
            h, state = fast.features(x, state)  # (batch, time, hidden): the prompt, then one symbol
            symbol = draw(fast, h[:, -1], generator, forbidden, **rule)
            yield symbol
            x = symbol[:, None]
    finally:
        model.train(was_training)


def generate(model: LanguageModel, prompt: Tensor, length: int, *, end=None, **options) -> Tensor:
    """Continue each row of `prompt` (batch, time) by up to `length` symbols → (batch, ≤ length).

    When all rows have met the symbol `end`, drawing ends. `options` are those of `symbols`.
    """
    drawn = []
    for symbol in symbols(model, prompt, length, **options):
        drawn.append(symbol)
        if end is not None and (torch.stack(drawn) == end).any(0).all():
            break
    return torch.stack(drawn, dim=1)


@torch.no_grad()
def surprise(model: LanguageModel, ids: Sequence[int], window: int = 500) -> Tensor:
    """Bits −log₂ p of each symbol of a text (time,) after all before it; the first has none: nan.

    The state is carried from window to window. Dropout is off.
    """
    ids, device = torch.as_tensor(ids), next(model.parameters()).device
    was_training, state, bits = model.training, None, [torch.full((1,), torch.nan)]
    model.eval()
    fast = model.folded()
    for start in range(0, len(ids) - 1, window):
        part = ids[None, start : start + window + 1]  # (1, time): what follows its last is next
        nats, state = fast.nats(Batch(part[:, :-1], part[:, 1:]).to(device), state)
        bits.append(nats.cpu() / math.log(2))
    model.train(was_training)
    return torch.cat(bits)[: len(ids)]


def likeliest(model: LanguageModel, prompt: Tensor, length: int, count=8, **options) -> Tensor:
    """The best of `count` continuations of `prompt` (time,), with it: (time + length,).

    The best has the highest mean ln p under the model itself, whatever rule the symbols were drawn
    by. `options` are those of `symbols`.
    """
    start = prompt.expand(count, -1)
    texts = torch.cat([start, generate(model, start, length, **options).cpu()], dim=1)
    return min(texts, key=lambda text: surprise(model, text)[len(prompt) :].mean().item())


def sample_names(
    model: LanguageModel, vocabulary, count: int, *, gender="f", prefix="", max_length=20, **options
) -> list[str]:
    """Invent `count` names of a gender ("f", "m") that begin with `prefix`.

    A network of a list of one's own knows no gender and keeps capitals. A name ends at the end
    symbol or after `max_length` letters drawn. `options`: seed and the rule of `choice_probs`.
    Raises ValueError naming a letter that the network does not know.
    """
    if gender not in ("f", "m"):
        raise ValueError(f"Пол задаётся буквой «f» или «m», а не «{gender}».")
    prefix = unicodedata.normalize("NFC", prefix)
    gender, prefix = ("", prefix) if BEGIN in vocabulary else (gender, prefix.lower())
    if count < 1 or max_length < 1:
        raise ValueError("count и max_length должны быть не меньше 1.")
    start = vocabulary.encode_name(prefix, gender)[:-1]
    specials = (token for token in vocabulary.tokens if len(token) > 1 and token != END)
    forbidden = [vocabulary.index[special] for special in specials]
    options |= {"forbidden": forbidden, "end": vocabulary.index[END]}
    ids = generate(model, torch.tensor([start] * count), max_length, **options)
    letters = ("".join(vocabulary.decode(row)) for row in ids.tolist())
    return [prefix + name.split(END)[0] for name in letters]


def continue_text(
    model: LanguageModel, vocabulary: Vocabulary, prompt: str, num_words: int, *, count=1, **options
) -> list[str]:
    """Write `count` continuations of `prompt` of `num_words` words and marks each.

    A prompt word unknown even with е for ё is read as ⟨unk⟩, and a line says so; ⟨unk⟩ is never
    written. `options`: seed and the rule of `choice_probs`. ValueError for an empty prompt.
    """
    if count < 1:
        raise ValueError(f"count = {count}: текстов нужно не меньше одного.")
    words, forbidden = _read(vocabulary, prompt, num_words)
    start = torch.tensor([vocabulary.encode(words)] * count)
    ids = generate(model, start, num_words, forbidden=forbidden, **options)
    return [join_words(words + vocabulary.decode(row)) for row in ids.tolist()]


def stream_text(
    model: LanguageModel, vocabulary: Vocabulary, prompt: str, num_words: int, seed=0, **rule
) -> Iterator[str]:
    """The text of `continue_text`, word by word as it is drawn: print each with `end=""`."""
    words, forbidden = _read(vocabulary, prompt, num_words)
    start = torch.tensor([vocabulary.encode(words)])
    choice_probs(torch.zeros(1), **rule)  # values out of range are told before the prompt is shown
    written = join_words(words)
    yield written
    for symbol in symbols(model, start, num_words, forbidden=forbidden, seed=seed, **rule):
        words += vocabulary.decode(symbol.tolist())
        text = join_words(words)
        yield text[len(written) :]
        written = text


def _read(vocabulary: Vocabulary, prompt: str, num_words: int) -> tuple[list[str], list[int]]:
    """The words to go on from, and the ids never to be written."""
    words = split_words(unicodedata.normalize("NFC", prompt))
    if not words or num_words < 1:
        raise ValueError("Дайте хотя бы одно слово начала, а num_words — не меньше 1.")
    unknown = [word for word in words if vocabulary.find(word) is None]
    if unknown:
        print(f"Этих слов сеть не знает и читает их как ⟨unk⟩: {', '.join(unknown)}.")
    return words, [vocabulary.index[UNK]] if UNK in vocabulary else []
