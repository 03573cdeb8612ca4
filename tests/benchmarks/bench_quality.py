"""Perplexity on the last tenth after a few minutes of training, against Kneser–Ney n-grams.

Trained on the first eight tenths; words and marks apart, case kept, types seen once → ⟨unk⟩. The
recipe ends after its ten epochs or when the time is up, the step size then being zero.

    LECTURE_NOVEL=/path/to/novel.txt python tests/benchmarks/bench_quality.py --minutes 5
"""

import argparse
import sys

import torch
from machine import options_of

from lecture_utils import metrics, novel
from lecture_utils.corpora import load_novel
from lecture_utils.training import progress_bar


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--part", choices=["test", "valid"], default="test", help="scored on")
    parser.add_argument("--seed", type=int, default=0)
    options = options_of(parser)

    corpus = novel.divide(load_novel().text)
    size, scored = len(corpus.vocabulary), getattr(corpus, options.part)
    print(
        f"{len(corpus.train)} tokens to train on, {size} types, {torch.get_num_threads()} threads"
    )
    n_grams = {}
    for order in (3, 5):
        model = metrics.KneserNey(order, size).fit([corpus.train.tolist()])
        n_grams[order] = metrics.perplexity(model.nats([scored.tolist()]))
    order = min(n_grams, key=n_grams.get)
    plan = novel.recipe(seconds=60 * options.minutes)
    callbacks = [progress_bar(plan)] if sys.stderr.isatty() else []
    model, history = novel.train_novel(corpus, plan, seed=options.seed, callbacks=callbacks)
    ours = novel.held_out(model, scored)
    epochs = history.symbols / len(corpus.train)
    print(
        f"ours: {ours:.2f}, {history.seconds:.0f} s, {epochs:.1f} epochs, "
        f"{history.symbols / history.seconds:.0f} tokens/s"
    )
    print(f"Kneser–Ney {order}-gram: {n_grams[order]:.2f}")
    print(f"ratio ours/KN = {ours / n_grams[order]:.3f}")


if __name__ == "__main__":
    main()
