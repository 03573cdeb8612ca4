"""The recipe for one long text: its parts, its model, weights ready for use, the command line."""

import argparse
import math
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lecture_utils.batching import StreamBatches
from lecture_utils.checkpoints import load_model, save_model
from lecture_utils.corpora import (
    CorpusError,
    load_novel,
    prose_files,
    read_prose,
    read_text,
    story_text,
)
from lecture_utils.distributed import pick_device, place, together, use_threads
from lecture_utils.files import DATA, check_writable, speak_on_any_console
from lecture_utils.models import TiedWordModel
from lecture_utils.training import Callback, History, Plan, evaluate, progress_bar, train
from lecture_utils.vocabulary import UNK, Vocabulary, split_words, without_yo

PRETRAINED = DATA / "pretrained" / "tolstoy.pt"
BATCH_SIZE, SEQ_LEN = 32, 35
STEPS = 2460  # ten epochs of the novel; more do not help
IN_MEMORY = 20_000_000  # bytes of a file that need not be read line by line
ABOUT = "Обучить сеть на словах длинного текста и сохранить её веса."


class Corpus(NamedTuple):
    """Ids of a text cut 80 / 10 / 10; words seen once in the first part are ⟨unk⟩."""

    vocabulary: Vocabulary
    train: Tensor
    valid: Tensor
    test: Tensor


def divide(text: str) -> Corpus:
    """Words and marks of `text` as a corpus. Raises CorpusError for a text without words."""
    tokens = split_words(text)
    if len(tokens) < 10:
        raise CorpusError("В тексте почти нет слов: возьмите текст подлиннее.")
    vocabulary = Vocabulary.build(tokens[: len(tokens) * 8 // 10], min_count=2)
    return _cut(vocabulary, torch.tensor(vocabulary.encode(tokens)))


def _cut(vocabulary: Vocabulary, ids: Tensor) -> Corpus:
    a, b = (len(ids) * tenths // 10 for tenths in (8, 9))
    return Corpus(vocabulary, ids[:a], ids[a:b], ids[b:])


def read_before(texts: Iterable[str], novel: str) -> Corpus:
    """`novel` cut as by `divide`, the other texts read before its first part; е stands for ё.

    Known are words seen three times and all that the novel's first part alone would know.
    """
    others = [word for text in texts for word in split_words(without_yo(text))]
    words = split_words(without_yo(novel))
    first = words[: len(words) * 8 // 10]
    known = Vocabulary.build(first, min_count=2).tokens
    vocabulary = Vocabulary.build(others + first, min_count=3, always=known)
    before, own = (torch.tensor(vocabulary.encode(part)) for part in (others, words))
    corpus = _cut(vocabulary, own)
    return corpus._replace(train=torch.cat([before, corpus.train]))


def all_tolstoy() -> tuple[list[str], str]:
    """41 other texts of the author of «Анна Каренина», and the novel. Raises CorpusError."""
    novel = load_novel()
    if novel.title != "Анна Каренина":
        raise CorpusError("Корпусу tolstoy нужна сама «Анна Каренина»: уберите LECTURE_NOVEL.")
    files = [file for file in prose_files("tolstoy") if file.path.stem != novel.title]
    return [*read_prose(files, "остальную прозу Толстого").values()], novel.text


def find_corpus(name: str, folder: str | Path) -> Corpus:
    """The corpus called `novel`, `tolstoy` or `story`, or that of a file; CorpusError.

    A file up to IN_MEMORY may have any encoding of `read_text`; the ids of another lie in `folder`.
    """
    if name == "tolstoy":
        return read_before(*all_tolstoy())
    if name in ("novel", "story"):
        return divide((load_novel() if name == "novel" else story_text()).text)
    if not Path(name).is_file():
        raise CorpusError(
            f"Корпуса «{name}» нет: назовите файл с текстом, novel, tolstoy или story."
        )
    is_small = Path(name).stat().st_size <= IN_MEMORY
    return divide(read_text(name)) if is_small else divide_file(name, folder)


def divide_file(path: str | Path, folder: str | Path) -> Corpus:
    """As `divide`, for a UTF-8 file of any size: its ids lie in a nameless file in `folder`.

    Two passes: one over the text numbers the words as they come, one over the numbers puts them in
    order of frequency. Memory holds the longest line and the list of types. Raises CorpusError for
    a file that cannot be read or has no words.
    """
    number: dict[str, int] = {}
    try:
        with open(path, encoding="utf-8-sig") as text, TemporaryFile(dir=folder) as file:
            for line in text:
                words = split_words(unicodedata.normalize("NFC", line))
                ids = [number.setdefault(word, len(number)) for word in words]
                file.write(np.array(ids, dtype=np.int32).tobytes())
            if file.tell() < 4 * 10:
                raise CorpusError(f"В файле «{path}» почти нет слов: возьмите текст подлиннее.")
            file.flush()
            vocabulary = _by_frequency(np.memmap(file, np.int32, "r+"), list(number))
            # Mapped anew, only what is read comes into memory; a map outlives its file's closing.
            ids = np.memmap(file, dtype=np.int32, mode="c")
    except UnicodeDecodeError as error:
        raise CorpusError(f"Файл «{path}» не в UTF-8: сохраните его в этой кодировке.") from error
    except OSError as error:
        raise CorpusError(
            f"Файл «{path}» нельзя прочесть или рядом с результатом нельзя записать его номера: "
            f"{error.strerror}."
        ) from error
    return _cut(vocabulary, torch.from_numpy(ids))


def _by_frequency(ids: np.ndarray, words: list[str]) -> Vocabulary:
    """The vocabulary of a text whose ids number its words as they came; its ids are changed."""
    parts = _chunks(ids[: len(ids) * 8 // 10])
    counts = sum(np.bincount(part, minlength=len(words)) for part in parts)
    kept = sorted(np.flatnonzero(counts >= 2).tolist(), key=lambda k: (-counts[k], words[k]))
    new = np.zeros(len(words), dtype=np.int32)  # ⟨unk⟩ unless kept
    new[kept] = np.arange(1, len(kept) + 1)
    for part in _chunks(ids):
        part[:] = new[part]
    return Vocabulary([UNK, *(words[k] for k in kept)])


def _chunks(ids: np.ndarray, size: int = 1_000_000) -> Iterator[np.ndarray]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


# What learns most in ten epochs and in a few minutes; found by the study in data/README.md.
WHOLE = {"hidden_size": 512, "dropout": (0.5, 0.6), "word_dropout": 0.15}
SHORT = {"hidden_size": 256, "dropout": (0.2, 0.3), "word_dropout": 0.05}
LONG = {"hidden_size": 512, "dropout": (0.3, 0.4), "word_dropout": 0.1}  # from MUCH words on
MUCH = 1_000_000
OWN = 12_000  # so many words have a vector of their own where the vocabulary is twice as large


def build(corpus: Corpus, **settings) -> TiedWordModel:
    """A fresh model for this corpus; `settings` are those of `TiedWordModel`."""
    size = len(corpus.vocabulary)
    is_wide = size > 2 * OWN
    return TiedWordModel(
        size,
        cutoffs=[edge for edge in (1000, 4000) if edge < size],
        parts=torch.tensor(corpus.vocabulary.parts(least=4 if is_wide else 2)),
        counts=corpus.train.bincount(minlength=size),
        own=OWN if is_wide else None,
        **settings,
    )


def recipe(steps: int = STEPS, seconds: float = math.inf, every: int = STEPS) -> Plan:
    """The plan of the recipe: so many steps, or fewer if the seconds are over sooner."""
    return Plan(steps, seconds, clip=1.0, decay=True, every=every)


def train_novel(
    corpus: Corpus,
    plan: Plan,
    *,
    batch_size: int = BATCH_SIZE,
    seed: int = 0,
    valid: StreamBatches | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: str | Path | None = None,
) -> tuple[TiedWordModel, History]:
    """A fresh model trained by a `recipe`; what is optional goes to `training.train`.

    In less than a quarter of an hour the narrow model learns more. Where the processor multiplies
    bfloat16 faster, matrix products are taken in it.
    """
    torch.manual_seed(seed)
    is_short = plan.seconds < 900
    settings = SHORT if is_short else LONG if len(corpus.train) > MUCH else WHOLE
    model = build(corpus, **settings).to(pick_device())
    batches = StreamBatches(corpus.train, batch_size, SEQ_LEN, corpus.vocabulary.tokens)
    rate = 0.004 if is_short else 0.003
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, betas=(0.9, 0.99), fused=True)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        options = {"valid": valid, "callbacks": callbacks, "checkpoint": checkpoint}
        return model, train(model, batches, optimizer, plan, **options)
    finally:
        torch.set_float32_matmul_precision(before)


def held_out(model: TiedWordModel, ids: Tensor) -> float:
    """The perplexity of a whole text, in order, with the state carried."""
    return math.exp(evaluate(model, StreamBatches.to_score(ids, 1, 500)))


def load_pretrained() -> tuple[TiedWordModel, Vocabulary]:
    """The network of the course that is ready to write, and its vocabulary."""
    return load_model(PRETRAINED)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options of the command line. Raises ValueError that names the option."""
    parser = argparse.ArgumentParser("python -m lecture_utils.novel", description=ABOUT)
    for name, kind, default, about in (
        (
            "--corpus",
            str,
            "novel",
            "файл с текстом (больше 20 МБ — в UTF-8), novel, tolstoy или story",
        ),
        ("--minutes", float, None, "сколько учиться; 5, если не задано --steps"),
        ("--steps", int, None, "сколько шагов сделать"),
        ("--batch-size", int, BATCH_SIZE, "сколько потоков текста учить сразу"),
        ("--every", int, 500, "сколько шагов между проверками, но не больше эпохи"),
        ("--seed", int, 0, "зерно случайных чисел"),
        ("--threads", int, 1, "сколько потоков процессора занять"),
        ("--checkpoint", str, None, "файл, из которого прерванное обучение продолжают"),
        ("--output", str, "novel.pt", "файл для весов"),
    ):
        parser.add_argument(name, type=kind, default=default, help=about)
    parser.add_argument("--resume", action="store_true", help="продолжить из --checkpoint")
    options = parser.parse_args(arguments)
    for name in ("minutes", "steps", "batch_size", "every", "threads"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name.replace('_', '-')} {value}: нужно число больше 0.")
    if options.minutes is None:
        options.minutes = 5 if options.steps is None else math.inf
    options.steps = options.steps or 10**9
    _check_files(options)
    return options


def _check_files(options: argparse.Namespace) -> None:
    for path in filter(None, (options.output, options.checkpoint)):
        check_writable(path)
    if options.resume and not options.checkpoint:
        raise ValueError("--resume продолжает обучение из файла: назовите его в --checkpoint.")
    goes_on = options.resume and Path(options.checkpoint).exists()
    for option, path in (("--checkpoint", options.checkpoint), ("--output", options.output)):
        if path and Path(path).exists() and not goes_on:
            raise ValueError(
                f"Файл {path} уже есть: чтобы продолжить прежнее обучение, добавьте --resume и "
                f"его --checkpoint, а чтобы начать новое, назовите в {option} другой файл."
            )
    if options.resume and not goes_on:
        print(f"Контрольной точки {options.checkpoint} ещё нет: обучение начинается с начала.")
    processes = int(os.environ.get("WORLD_SIZE", 1))
    if options.batch_size % processes:
        raise ValueError(
            f"--batch-size {options.batch_size} не делится на число процессов {processes}: "
            "задайте кратное ему."
        )


def _train_as_asked(options: argparse.Namespace) -> None:
    """Train, keep the weights and report. Raises InterruptedError if asked to end before."""
    corpus = find_corpus(options.corpus, Path(options.output).parent)
    found, needed = sum(map(len, corpus[1:])), (options.batch_size * SEQ_LEN + 1) * 10 // 8 + 1
    if found < needed:
        raise ValueError(
            f"В тексте {found} слов и знаков, а при --batch-size {options.batch_size} нужно "
            f"не меньше {needed}: возьмите текст подлиннее или уменьшите --batch-size."
        )
    every = min(options.every, max(1, len(corpus.train) // (options.batch_size * SEQ_LEN)))
    plan, is_first = recipe(options.steps, 60 * options.minutes, every), place()[0] == 0
    plan = replace(plan, patience=10)  # a short text would be learned by heart
    model, history = train_novel(
        corpus,
        plan,
        batch_size=options.batch_size,
        seed=options.seed,
        valid=StreamBatches.to_score(corpus.valid, 8, 100),
        callbacks=[progress_bar(plan)] if is_first else [],
        checkpoint=options.checkpoint,
    )
    if history.stopped == "interrupted":
        raise InterruptedError("Обучение прервано, веса не записаны.")
    if is_first:
        if history.stopped == "patience":
            print("Проверка больше не улучшается, сеть только зубрит: взяты лучшие веса.")
        path = _save_somewhere(options.output, model, corpus.vocabulary)
        score = f"{held_out(model, corpus.valid):.2f}".replace(".", ",")
        print(
            f"Веса записаны в {path}. За {history.seconds:.0f} с прочитано слов и "
            f"знаков: {history.symbols}; перплексия на проверке {score}."
        )


def _save_somewhere(path: str, model: TiedWordModel, vocabulary: Vocabulary) -> str:
    """Save at `path` or, if that fails after all the work, in the folder for temporary files."""
    for file in (path, str(Path(gettempdir()) / Path(path).name)):
        try:
            save_model(file, model, vocabulary, in_bytes=True)
            return file
        except OSError as error:
            print(f"В файл {file} веса записать не удалось: {error.strerror}.", file=sys.stderr)
    raise ValueError(
        "Освободите место на диске и повторите команду; с --checkpoint и --resume учиться заново "
        "не придётся."
    )


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status: 2 for bad input, 1 if interrupted."""
    speak_on_any_console()
    try:
        options = parse(arguments)
        use_threads(options.threads)
        with together():
            _train_as_asked(options)
    except (ValueError, FloatingPointError, InterruptedError) as error:  # CorpusError: a ValueError
        if int(os.environ.get("LOCAL_RANK", 0)) == 0:
            print(error, file=sys.stderr)
        return 1 if isinstance(error, InterruptedError) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
