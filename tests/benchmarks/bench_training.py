"""Words a second of training: ours, the lecture's loop, pytorch's word_language_model.

Same ids, all types of the novel, the lecture's widths and batches; every rival takes `--block`
steps in turn, with the same number of threads (one, or `--threads`). Then each is judged on the
held-out last tenth, with all its words. `--busy` runs a process beside it that keeps a core busy.

    LECTURE_NOVEL=/path/to/novel.txt python tests/benchmarks/bench_training.py
"""

import argparse
import time

import torch
from machine import options_of
from rivals import Lecture, WordLanguageModel

from lecture_utils.batching import StreamBatches
from lecture_utils.corpora import load_novel
from lecture_utils.models import WordModel
from lecture_utils.training import Plan, evaluate, train
from lecture_utils.vocabulary import Vocabulary

CUTOFFS = (700, 3000, 10_000, 21_000, 36_000)


def held_out(rival, batches: StreamBatches) -> float:
    windows = [batches.batch(0, number) for number in range(len(batches))]
    nats = [rival.nats(x, y) * y.numel() for x, y, _ in windows]
    return sum(nats) / sum(y.numel() for _, y, _ in windows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--block", type=int, default=10)
    options = options_of(parser)

    words = load_novel().text.split()
    vocabulary = Vocabulary.build(words, specials=())
    ids = torch.tensor(vocabulary.encode(words))
    n = len(ids) * 9 // 10
    batches, held = StreamBatches(ids[:n], 16, 32), StreamBatches(ids[n:], 16, 100)
    print(f"{len(ids)} words, {len(vocabulary)} types, {torch.get_num_threads()} threads")

    rivals = []
    for rival in (Lecture, WordLanguageModel):
        torch.manual_seed(0)
        rivals.append(rival(len(vocabulary)))
    torch.manual_seed(0)
    cutoffs = [edge for edge in CUTOFFS if edge < len(vocabulary)]
    model = WordModel(len(vocabulary), 64, 64, cutoffs=cutoffs)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)

    seconds = {"ours": 0.0, "lecture": 0.0, "word_language_model": 0.0}
    begun = time.perf_counter()

    def rivals_turn(history, model):
        nonlocal begun
        done = len(history.loss)
        if done % options.block and not history.stopped:
            return
        seconds["ours"] += time.perf_counter() - begun
        first = done - 1 - (done - 1) % options.block
        for name, rival in zip(("lecture", "word_language_model"), rivals, strict=True):
            begun = time.perf_counter()
            for step in range(first, done):
                epoch, number = divmod(step, len(batches))
                if number == 0:
                    rival.state = None
                rival.learn(*batches.batch(epoch, number)[:2])
            seconds[name] += time.perf_counter() - begun
        begun = time.perf_counter()

    plan = Plan(options.steps, clip=5.0)
    history = train(model, batches, optimizer, plan, callbacks=[rivals_turn])
    speed = {name: history.symbols / s for name, s in seconds.items()}
    loss = {"ours": evaluate(model, held)}
    loss |= {name: held_out(r, held) for name, r in zip(list(speed)[1:], rivals, strict=True)}
    for name in speed:
        print(f"{name}: {speed[name]:.0f} words/s, held-out loss {loss[name]:.4f} nats/word")
    against = {name: speed["ours"] / speed[name] for name in speed}
    print(
        f"ratio ours/word_language_model = {against['word_language_model']:.1f}; "
        f"ratio ours/lecture = {against['lecture']:.1f}, held-out loss after {history.symbols} "
        f"words: ours {loss['ours']:.4f}, lecture's {loss['lecture']:.4f} "
        f"({100 * (loss['ours'] / loss['lecture'] - 1):+.1f} %)"
    )


if __name__ == "__main__":
    main()
