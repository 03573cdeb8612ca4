"""Perplexity on the last tenth after a few minutes of training, against Kneser–Ney n-grams.

Trained on the first eight tenths; words and marks apart, case kept, types seen once → ⟨unk⟩. The
recipe ends after its ten epochs or when the time is up, the step size then being zero.

    LECTURE_NOVEL=/path/to/novel.txt python tests/benchmarks/bench_quality.py --minutes 5

With --ready it trains nothing but scores the network of data/pretrained, which has read all of
Tolstoy, against n-grams that have read the same. Its vocabulary is wider than the novel's; so that
the numbers can be compared, what the novel's first part does not know counts as one ⟨unk⟩.
"""

import argparse
import math
import sys

import torch
from machine import options_of

from lecture_utils import metrics, novel, sampling
from lecture_utils.batching import StreamBatches
from lecture_utils.corpora import load_novel
from lecture_utils.training import progress_bar
from lecture_utils.vocabulary import UNK, Vocabulary, join_words, split_words, without_yo


def n_gram(train: list[int], scored: list[int], size: int) -> tuple[int, float]:
    """The better order of Kneser–Ney, 3 or 5, and its perplexity."""
    found = {}
    for order in (3, 5):
        model = metrics.KneserNey(order, size).fit([train])
        found[order] = metrics.perplexity(model.nats([scored]))
    return min(found.items(), key=lambda pair: pair[1])


@torch.no_grad()
def ready(part: str) -> None:
    """Print the perplexity of the ready network over the types of the novel's first part."""
    others, text = novel.all_tolstoy()
    own, wide = novel.divide(text), novel.read_before(others, text)
    model, vocabulary = novel.load_pretrained()
    assert vocabulary.tokens == wide.vocabulary.tokens, "made from other texts"
    plain = {*map(without_yo, own.vocabulary.tokens)}
    is_unknown = torch.tensor([token == UNK or token not in plain for token in vocabulary.tokens])

    batches, state, total = StreamBatches.to_score(getattr(wide, part), 1, 500), None, 0.0
    for k in range(len(batches)):
        batch = batches.batch(0, k)
        h, state = model.features(batch.x, state)
        log_p = model.log_probs(h[0])  # (time, vocab)
        unknown = log_p.masked_fill(~is_unknown, -torch.inf).logsumexp(1)
        known = log_p.gather(1, batch.y[0][:, None])[:, 0]
        total -= torch.where(is_unknown[batch.y[0]], unknown, known).double().sum().item()
    ours = math.exp(total / (len(getattr(wide, part)) - 1))

    before = [id for book in others for id in own.vocabulary.encode(split_words(book))]
    scored, size = getattr(own, part).tolist(), len(own.vocabulary)
    print(f"{len(wide.train)} tokens read, {len(vocabulary)} types, scored over {size}")
    order, theirs = n_gram(before + own.train.tolist(), scored, size)
    print(f"ours: {ours:.2f}\nKneser–Ney {order}-gram on the same texts: {theirs:.2f}")
    print(f"ratio ours/KN = {ours / theirs:.3f}")
    print("longest run of words that it has read, in 3,000 words")
    start = torch.tensor([vocabulary.encode(["."])])
    rule = {"top_p": 0.9, "forbidden": vocabulary.encode([UNK])}
    for seed in range(3):
        wrote = sampling.generate(model, start, 3000, seed=seed, **rule)[0]
        tell_copied(f"written with seed {seed}", wrote.tolist(), wide, vocabulary)
    tell_copied("by the author himself", getattr(wide, part)[:3000].tolist(), wide, vocabulary)


def tell_copied(whose: str, words: list[int], corpus: novel.Corpus, vocabulary: Vocabulary) -> None:
    """Print the longest run of `words` verbatim in all that was read; none goes over ⟨unk⟩."""
    known = [k or -1 for k in words]  # ⟨unk⟩ is no word that could be copied
    place, length = metrics.longest_copied_span(known, corpus.train.tolist())
    print(f"{whose}: {length}: {join_words(vocabulary.decode(known[place : place + length]))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--part", choices=["test", "valid"], default="test", help="scored on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ready", action="store_true", help="score the network of data/pretrained")
    options = options_of(parser)
    if options.ready:
        return ready(options.part)

    corpus = novel.divide(load_novel().text)
    size, scored = len(corpus.vocabulary), getattr(corpus, options.part)
    print(
        f"{len(corpus.train)} tokens to train on, {size} types, {torch.get_num_threads()} threads"
    )
    order, theirs = n_gram(corpus.train.tolist(), scored.tolist(), size)
    plan = novel.recipe(seconds=60 * options.minutes)
    callbacks = [progress_bar(plan)] if sys.stderr.isatty() else []
    model, history = novel.train_novel(corpus, plan, seed=options.seed, callbacks=callbacks)
    ours = novel.held_out(model, scored)
    epochs = history.symbols / len(corpus.train)
    print(
        f"ours: {ours:.2f}, {history.seconds:.0f} s, {epochs:.1f} epochs, "
        f"{history.symbols / history.seconds:.0f} tokens/s"
    )
    print(f"Kneser–Ney {order}-gram: {theirs:.2f}")
    print(f"ratio ours/KN = {ours / theirs:.3f}")


if __name__ == "__main__":
    main()
