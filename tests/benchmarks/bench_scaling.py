"""What a longer text and a second process cost: tokens/s, resident memory, speed-up.

The text is the novel once, 9 and 87 times over, its words rare in the first eight tenths replaced
by one, so that the vocabulary stays the same. Every measurement is a process of its own.

    LECTURE_NOVEL=/path/to/novel.txt python tests/benchmarks/bench_scaling.py
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist

from lecture_utils import distributed, novel, training
from lecture_utils.batching import StreamBatches
from lecture_utils.corpora import load_novel
from lecture_utils.models import WordModel
from lecture_utils.vocabulary import split_words

WARM = 10  # steps before the clock starts


def resident() -> float:
    """Megabytes of this process now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def work(text: Path, streams: int, steps: int) -> None:
    """Train in this process (or these, under torchrun) and print what was measured as JSON."""
    torch.optim.Adam(WordModel(9).parameters())  # torch loads 60 MB at the first one
    empty = resident()
    with distributed.together():
        begun = time.perf_counter()
        corpus = novel.divide_file(text, text.parent)
        building = time.perf_counter() - begun
        torch.manual_seed(0)
        model = WordModel(len(corpus.vocabulary), 128, 256, cutoffs=(1000, 4000))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.003, fused=True)
        times = []
        note = lambda history, model: times.append((time.perf_counter(), history.symbols))
        batches, plan = StreamBatches(corpus.train, streams, 32), training.Plan(WARM + steps)
        history = training.train(model, batches, optimizer, plan, callbacks=[note])
        times = times[WARM - 1 :]
        memory = resident() - empty
        if not dist.is_initialized() or dist.get_rank() == 0:
            weights = list(model.parameters())
            moments = [t for state in optimizer.state.values() for t in state.values()]
            tensors = [*weights, *(p.grad for p in weights if p.grad is not None), *moments]
            own = sum(t.numel() * t.element_size() for t in tensors) / 2**20
            seconds, symbols = times[-1][0] - times[0][0], times[-1][1] - times[0][1]
            result = {"tokens": sum(map(len, corpus[1:])), "building": building, "own": own}
            result |= {"speed": symbols / seconds, "memory": memory, "loss": history.loss[-1]}
            print(json.dumps(result))


def measure(text: Path, streams: int, steps: int, processes: int = 1, threads: int = 0) -> dict:
    """One run of `work` in a process, or several, of its own."""
    command = [sys.executable, __file__, "--text", text, "--streams", streams, "--steps", steps]
    if processes > 1:
        together = ["-m", "torch.distributed.run", "--standalone"]
        together += ["--local-addr=localhost", "--no-python"]
        command[:1] = [sys.executable, *together, f"--nproc-per-node={processes}", sys.executable]
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    run = subprocess.run(list(map(str, command)), stdout=-1, check=True, env=environment, text=True)
    return json.loads(run.stdout.splitlines()[-1])


def write_texts(folder: Path, copies: tuple[int, ...]) -> list[Path]:
    """The novel, so many times over."""
    tokens = split_words(load_novel().text)
    counts = Counter(tokens[: len(tokens) * 8 // 10])
    once = " ".join(token if counts[token] > 1 else "редкость" for token in tokens) + "\n"
    paths = [folder / f"{number}.txt" for number in copies]
    for path, number in zip(paths, copies, strict=True):
        with open(path, "w", encoding="utf-8") as file:
            for _ in range(number):
                file.write(once)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--streams", type=int, default=512, help="of the runs side by side")
    parser.add_argument("--text", type=Path, help=argparse.SUPPRESS)  # a run of `measure`
    options = parser.parse_args()
    if options.text:
        return work(options.text, options.streams, options.steps)

    with TemporaryDirectory() as folder:
        texts = write_texts(Path(folder), (1, 9, 87))
        speed, memory = [], []
        for text in texts:
            result = measure(text, 32, options.steps, threads=1)
            speed.append(result["speed"])
            memory.append(result["memory"] - result["own"])
            print(
                f"{result['tokens']} tokens: {result['speed']:.0f} tokens/s, "
                f"{result['memory']:.0f} MB resident, the model's own {result['own']:.0f} MB; "
                f"ids built in {result['building']:.0f} s"
            )
        one = measure(texts[0], options.streams, options.steps, threads=1)
        two = measure(texts[0], options.streams, options.steps, processes=2, threads=1)
        for number, result in ((1, one), (2, two)):
            print(
                f"{number} process(es) of one thread, {options.streams} streams: "
                f"{result['speed']:.0f} tokens/s, last loss {result['loss']:.5f}"
            )
    print(
        f"tokens/s from 0.3 to 30 million tokens: within {100 * (1 - min(speed) / max(speed)):.0f} "
        f"%; memory beyond the model's own: at most {max(memory):.0f} MB; "
        f"ratio 2 processes/1 = {two['speed'] / one['speed']:.2f}"
    )


if __name__ == "__main__":
    main()
