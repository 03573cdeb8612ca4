"""Numbers to judge a language model by: perplexity, a Kneser–Ney baseline, novelty, copied text."""

import sys
from collections.abc import Hashable, Iterable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


def perplexity(nats: ArrayLike) -> float:
    """Exp of the mean of `nats`: −ln p of every predicted token, an array of any shape."""
    if np.size(nats) == 0:
        raise ValueError("Перплексию не посчитать: нет ни одного предсказанного символа.")
    return float(np.exp(np.mean(nats)))


def nats_per_char(token_nats: ArrayLike, unk_nats: ArrayLike, num_chars: int) -> float:
    """Nats of all tokens and of every ⟨unk⟩ (`spelling_nats`) per character of the scored text."""
    if num_chars < 1:
        raise ValueError(f"Число символов текста должно быть положительным, а дано {num_chars}.")
    return float((np.sum(token_nats) + np.sum(unk_nats)) / num_chars)


class KneserNey:
    """Interpolated Kneser–Ney n-gram (Ney, Essen, Kneser 1994; Chen, Goodman 1999).

    p_k(w | h) = (max(a(hw) − D_k, 0) + D_k N(h) p_{k−1}(w | h′)) / Σ_v a(hv), p_0 = 1/vocab_size;
    h is the k − 1 symbols before w, h′ is h without its first one, N(h) the number of distinct
    symbols seen after h. For k = order a(hw) counts occurrences, for smaller k the distinct
    symbols seen before hw, where each start of a sequence is a symbol of its own.
    D_k = n1/(n1 + 2 n2), n_j being the number of k-grams with a = j; 0.5 if n1 or n2 is 0.

    A sequence is integer ids in [0, vocab_size). Its first symbol is only context, and near it
    the context is shorter. A name goes in as start, letters, end; a book as one long sequence.
    """

    def __init__(self, order: int, vocab_size: int):
        if order < 1 or vocab_size < 1:
            raise ValueError(f"Порядок ({order}) и словарь ({vocab_size}) должны быть не меньше 1.")
        self.order, self.vocab_size = order, vocab_size

    def fit(self, sequences: Iterable[Sequence[int]]) -> "KneserNey":
        """Count the n-grams of a list of id sequences; returns self."""
        tokens, position = _flatten(sequences, self.vocab_size)
        context, num_contexts, self._levels = np.zeros_like(tokens), 1, []
        for k in range(1, min(self.order, position.max() + 1) + 1):
            # A k-gram is its last symbol and the id of the k−1 before, < 0 if these are too few.
            key = context * self.vocab_size + tokens
            keys = np.unique(key[key >= 0])
            gram = _find(keys, key)
            events = np.flatnonzero((gram >= 0) & (position > 0))
            if k < self.order:  # keep one event for each distinct symbol before the k-gram
                before = np.where(position >= k, np.roll(tokens, k), -1 - np.arange(len(tokens)))
                pairs = before[events] * len(keys) + gram[events]
                events = events[np.unique(pairs, return_index=True)[1]]
            counts = np.bincount(gram[events], minlength=len(keys))
            histories = keys // self.vocab_size
            total = np.maximum(np.bincount(histories, counts, minlength=num_contexts), 1)
            types = np.bincount(histories, counts > 0, minlength=num_contexts)
            n1, n2 = np.count_nonzero(counts == 1), np.count_nonzero(counts == 2)
            discount = n1 / (n1 + 2 * n2) if n1 and n2 else 0.5
            kept = np.maximum(counts - discount, 0) / total[histories]
            backoff = np.where(types > 0, discount * types / total, 1)
            self._levels.append((keys, kept, backoff))
            context, num_contexts = np.where(position > 0, np.roll(gram, 1), -1), len(keys)
        return self

    def nats(self, sequences: Iterable[Sequence[int]]) -> np.ndarray:
        """−ln p of every token but the first of each sequence, in order, as one array."""
        tokens, position = _flatten(sequences, self.vocab_size)
        return -np.log(self._probabilities(tokens, position)[position > 0])

    def distribution(self, context: Sequence[int]) -> np.ndarray:
        """Probabilities (vocab_size,) of the symbol after `context`, which may be empty."""
        context = _check_ids(context, self.vocab_size)[-self.order :]
        rows = np.column_stack([np.tile(context, (self.vocab_size, 1)), np.arange(self.vocab_size)])
        position = np.tile(np.arange(rows.shape[1]), self.vocab_size)
        return self._probabilities(rows.ravel(), position).reshape(rows.shape)[:, -1]

    def _probabilities(self, tokens, position):
        context, p = np.zeros_like(tokens), np.full(len(tokens), 1 / self.vocab_size)
        for keys, kept, backoff in self._levels:
            gram = _find(keys, context * self.vocab_size + tokens)
            p = np.where(gram >= 0, kept[gram], 0) + np.where(context >= 0, backoff[context], 1) * p
            context = np.where(position > 0, np.roll(gram, 1), -1)
        return p


def _flatten(sequences, vocab_size):
    """All tokens in one array, and the position of each in its own sequence."""
    arrays = [_check_ids(sequence, vocab_size) for sequence in sequences]
    if not any(len(array) > 1 for array in arrays):
        raise ValueError("Предсказывать нечего: нужна последовательность хотя бы из двух id.")
    return np.concatenate(arrays), np.concatenate([np.arange(len(array)) for array in arrays])


def _check_ids(sequence, vocab_size):
    ids = np.asarray(sequence)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise ValueError("Нужны списки целых id: [[0, 3, 1], …], даже если список всего один.")
    if ids.size and not 0 <= ids.min() <= ids.max() < vocab_size:
        found = f"встретились от {ids.min()} до {ids.max()}"
        raise ValueError(f"Все id должны лежать от 0 до {vocab_size - 1}, а {found}.")
    return ids.astype(np.int64)


def _find(keys, key):
    """The id of each k-gram, its place among the ascending `keys`; −1 where it was never seen."""
    place = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
    return np.where(keys[place] == key, place, -1)


def spelling_nats(words: Sequence[str], training_words: Sequence[str]) -> np.ndarray:
    """Nats (len(words),) of spelling each word letter by letter, its end included.

    By a Kneser–Ney letter trigram of `training_words`, best the types that training turns into
    ⟨unk⟩. A letter unknown to it costs an escape symbol and ln of the number of Unicode codes.
    """
    start, end, escape = 0, 1, 2
    index = {letter: i for i, letter in enumerate(sorted(set().union(*training_words)), start=3)}

    def encode(word):
        return [start, *(index.get(letter, escape) for letter in word), end]

    if not words:
        return np.zeros(0)
    speller = KneserNey(3, 3 + len(index)).fit(map(encode, training_words or [""]))
    ids, any_code = map(encode, words), np.log(sys.maxunicode + 1)
    return np.array([speller.nats([x]).sum() + x.count(escape) * any_code for x in ids])


def looks_feminine(name: str) -> bool:
    """Whether it ends in -а, -я, -вь, -фь or -нель. So do Никита and Илья; Элен and Мэри do not."""
    return name.lower().endswith(("а", "я", "вь", "фь", "нель"))


class NameReport(NamedTuple):
    """What a heap of sampled names is worth."""

    feminine_share: float  # of all samples
    distinct: int  # the empty name not counted
    novel_share: float  # of the distinct names: not in training
    empty: int
    overlong: int  # longer than every training name


def name_report(samples: Sequence[str], training_names: Iterable[str]) -> NameReport:
    """Validity and novelty of sampled names, compared as they are written."""
    known, distinct = set(training_names), set(samples) - {""}
    if not samples or not known:
        raise ValueError("Сравнивать нечего: нужны и придуманные имена, и имена для обучения.")
    feminine = sum(map(looks_feminine, samples)) / len(samples)
    novel = len(distinct - known) / max(len(distinct), 1)
    longest = max(map(len, known))
    overlong = sum(len(name) > longest for name in samples)
    return NameReport(feminine, len(distinct), novel, list(samples).count(""), overlong)


def nearest(name: str, names: Iterable[str]) -> tuple[str, int]:
    """The closest of `names` (the first of several) and its Levenshtein distance.

    The rows of the well-known table (Wagner, Fischer 1974) are filled for all `names` at once.
    """
    names = list(names)
    table = np.array(names).view(np.uint32).reshape(len(names), -1)  # code points, 0 fills up
    place = np.arange(table.shape[1] + 1)
    row = np.tile(place, (len(names), 1))
    for i, letter in enumerate(map(ord, name), 1):
        changed = np.minimum(row[:, 1:] + 1, row[:, :-1] + (table != letter))
        row = np.column_stack([np.full(len(names), i), changed])
        row = np.minimum.accumulate(row - place, axis=1) + place  # insertions, one after another
    distances = row[np.arange(len(names)), [*map(len, names)]]
    return names[distances.argmin()], int(distances.min())


def longest_copied_span(tokens: Sequence[Hashable], corpus: Sequence[Hashable]) -> tuple[int, int]:
    """(start in `tokens`, length) of the first longest run verbatim in `corpus`, or (0, 0)."""
    # With autojunk, its default, difflib passes over what is frequent in a long text.
    match = SequenceMatcher(None, tokens, corpus, autojunk=False).find_longest_match()
    return (match.a, match.size) if match.size else (0, 0)


def block_means(
    values: np.ndarray, block: int = 22, draws: int = 2000, seed: int = 0
) -> np.ndarray:
    """Bootstrap of the mean of a series (time,): `draws` means of blocks that keep neighbours.

    Blocks begin anywhere and go round the end (circular block bootstrap, Politis, Romano 1992).
    """
    starts = np.random.default_rng(seed).integers(
        len(values), size=(draws, -(-len(values) // block))
    )
    places = (starts[..., None] + np.arange(block)).reshape(draws, -1)[:, : len(values)]
    return np.asarray(values)[places % len(values)].mean(1)
