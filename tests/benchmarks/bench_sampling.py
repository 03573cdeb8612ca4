"""Words a second of generation: ours in batches of 1 and 32, against the lecture's loop.

The lecture's loop draws one word at a time, uniformly from the top 5 of all types. Ours draws from
the model's distribution, as `continue_text` does; other rules are measured too. Same sizes and
vocabulary. A hundred steps of training give our groups of rare words their true frequency.

    LECTURE_NOVEL=/path/to/novel.txt python tests/benchmarks/bench_sampling.py
"""

import argparse
import random
import time

import torch
from machine import options_of
from rivals import EmbeddingLstmLinear

from lecture_utils.batching import StreamBatches
from lecture_utils.corpora import load_novel
from lecture_utils.models import WordModel
from lecture_utils.sampling import generate
from lecture_utils.training import Plan, train
from lecture_utils.vocabulary import Vocabulary

CUTOFFS = (700, 3000, 10_000, 21_000, 36_000)


@torch.no_grad()
def lecture_loop(net: EmbeddingLstmLinear, prompt: list[int], length: int) -> list[int]:
    net.eval()
    state, words = None, []
    for word in prompt:
        logits, state = net(torch.tensor([[word]]), state)
    for _ in range(length):
        _, best = torch.topk(logits[0], k=5)
        words.append(random.choice(best.tolist()[0]))
        logits, state = net(torch.tensor([[words[-1]]]), state)
    return words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--length", type=int, default=200, help="words in a turn")
    parser.add_argument("--turns", type=int, default=5)
    options = options_of(parser)

    words = load_novel().text.split()
    vocabulary = Vocabulary.build(words, specials=())
    ids = torch.tensor(vocabulary.encode(words))
    torch.manual_seed(0)
    net = EmbeddingLstmLinear(len(vocabulary), 64)
    cutoffs = [edge for edge in CUTOFFS if edge < len(vocabulary)]
    model = WordModel(len(vocabulary), 64, 64, cutoffs=cutoffs)
    batches = StreamBatches(ids, 16, 32)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    train(model, batches, optimizer, Plan(100))
    prompt = ids[:2]

    def ours(batch: int, **rule):
        return lambda: generate(model, prompt.repeat(batch, 1), options.length, **rule)

    top = {"top_k": 5, "uniform": True}
    runs = {
        "lecture": (1, lambda: lecture_loop(net, prompt.tolist(), options.length)),
        "ours, batch 1": (1, ours(1)),
        "ours, batch 32": (32, ours(32)),
        "ours, batch 1, the lecture's rule": (1, ours(1, **top)),
        "ours, batch 32, the lecture's rule": (32, ours(32, **top)),
        "ours, batch 32, temperature 0.7": (32, ours(32, temperature=0.7)),
    }
    seconds = dict.fromkeys(runs, 0.0)
    for _ in range(options.turns):
        for name, (_, run) in runs.items():
            begun = time.perf_counter()
            run()
            seconds[name] += time.perf_counter() - begun
    speed = {
        name: batch * options.length * options.turns / seconds[name]
        for name, (batch, _) in runs.items()
    }
    for name, value in speed.items():
        print(f"{name}: {value:.0f} words/s")
    against = {name: value / speed["lecture"] for name, value in speed.items()}
    print(
        f"ratio ours/lecture = {against['ours, batch 32']:.1f} at batch 32, "
        f"{against['ours, batch 1']:.1f} at batch 1"
    )


if __name__ == "__main__":
    main()
