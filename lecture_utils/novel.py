"""The recipe for one long text: its parts, its model, weights ready for use, and huge files."""

import json
import math
import os
import pickle
import unicodedata
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from lecture_utils.batching import StreamBatches
from lecture_utils.corpora import CorpusError, load_novel, story_text
from lecture_utils.distributed import pick_device
from lecture_utils.files import DATA, save_atomically, written_whole
from lecture_utils.models import TiedWordModel
from lecture_utils.training import Adam, History, evaluate, train
from lecture_utils.vocabulary import UNK, Vocabulary, split_words

PRETRAINED = DATA / "pretrained" / "novel.pt"
BATCH_SIZE, SEQ_LEN = 32, 35
STEPS = 2460  # ten epochs of the novel; more do not help


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


def find_corpus(name: str, folder: str | Path) -> Corpus:
    """The corpus called `novel` or `story`, or that of a file, its ids in `folder`/name.ids.

    Of several processes on a machine the first one builds the ids. Raises CorpusError.
    """
    if name in ("novel", "story"):
        return divide((load_novel() if name == "novel" else story_text()).text)
    if not Path(name).is_file():
        raise CorpusError(
            f"Корпуса «{name}» нет: назовите novel, story или файл с текстом в UTF-8."
        )
    several = dist.is_available() and dist.is_initialized()
    first = int(os.environ.get("LOCAL_RANK", 0)) == 0
    if several and not first:
        dist.barrier()
    corpus = divide_file(name, Path(folder) / f"{Path(name).name}.ids")
    if several and first:
        dist.barrier()
    return corpus


def _cut(vocabulary: Vocabulary, ids: Tensor) -> Corpus:
    a, b = (len(ids) * tenths // 10 for tenths in (8, 9))
    return Corpus(vocabulary, ids[:a], ids[a:b], ids[b:])


# -------------------------------------------------------------------------------------------------
# A text larger than the memory


def divide_file(path: str | Path, folder: str | Path) -> Corpus:
    """As `divide`, for a UTF-8 file of any size: its ids lie in `folder` and are mapped from there.

    They are built once: a first pass over the text numbers the words as they come and counts them,
    a second over the numbers puts them in order of frequency. Memory holds a piece of the text and
    the list of its types. Raises CorpusError for a file that cannot be read or has no words.
    """
    path, folder = Path(path), Path(folder)
    ids_file, words_file = folder / "ids.bin", folder / "words.json"
    try:
        source = [str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns]
        known = json.loads(words_file.read_text("utf-8")) if words_file.exists() else {}
        if known.get("source") != source or not ids_file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with written_whole(ids_file, "w+b") as file:
                known = {"source": source, "tokens": _write_ids(path, file)}
            with written_whole(words_file, "w", encoding="utf-8") as file:
                json.dump(known, file, ensure_ascii=False)
    except UnicodeDecodeError as error:
        raise CorpusError(f"Файл «{path}» не в UTF-8: сохраните его в этой кодировке.") from error
    except OSError as error:
        raise CorpusError(
            f"Файл «{path}» нельзя прочесть или рядом с результатом нельзя записать его номера: "
            f"{error.strerror}."
        ) from error
    ids = torch.from_numpy(np.memmap(ids_file, dtype=np.int32, mode="c"))
    return _cut(Vocabulary(known["tokens"]), ids)


def _write_ids(path: Path, file: BinaryIO) -> list[str]:
    """Write the ids into `file`; return the tokens of the vocabulary."""
    number: dict[str, int] = {}
    for piece in _pieces(path):
        words = split_words(unicodedata.normalize("NFC", piece))
        array("i", (number.setdefault(word, len(number)) for word in words)).tofile(file)
    length, chunk = file.tell() // 4, 1_000_000
    if length < 10:
        raise CorpusError(f"В файле «{path}» почти нет слов: возьмите текст подлиннее.")
    counts, end = np.zeros(len(number), dtype=np.int64), length * 8 // 10
    file.seek(0)
    for start in range(0, end, chunk):
        ids = np.fromfile(file, np.int32, min(chunk, end - start))
        counts += np.bincount(ids, minlength=len(number))
    words = list(number)
    kept = sorted(np.flatnonzero(counts >= 2).tolist(), key=lambda k: (-counts[k], words[k]))
    new = np.zeros(len(number), dtype=np.int32)  # ⟨unk⟩ unless kept
    new[kept] = np.arange(1, len(kept) + 1)
    for start in range(0, length, chunk):
        file.seek(4 * start)
        ids = np.fromfile(file, np.int32, chunk)
        file.seek(4 * start)
        new[ids].tofile(file)
    return [UNK, *(words[k] for k in kept)]


def _pieces(path: Path, size: int = 1 << 20) -> Iterator[str]:
    """The text in pieces that end where a blank is, so that no word is torn."""
    with open(path, encoding="utf-8-sig") as file:
        rest = ""
        while piece := file.read(size):
            piece = rest + piece
            end = max(piece.rfind(" "), piece.rfind("\n")) + 1
            rest = piece[end:]
            yield piece[:end]
        yield rest


# -------------------------------------------------------------------------------------------------
# The model and its training


def build(corpus: Corpus, **settings) -> TiedWordModel:
    """A fresh model for this corpus; `settings` are those of `TiedWordModel`."""
    size = len(corpus.vocabulary)
    cutoffs = settings.pop("cutoffs", [edge for edge in (1000, 4000) if edge < size])
    parts, counts = torch.tensor(corpus.vocabulary.parts()), corpus.train.bincount(minlength=size)
    return TiedWordModel(size, cutoffs=cutoffs, parts=parts, counts=counts, **settings)


def train_novel(
    corpus: Corpus, steps: int, batch_size: int = BATCH_SIZE, seed: int = 0, **options
) -> tuple[TiedWordModel, History]:
    """The recipe found by the study in data/README.md; `options` are those of `training.train`.

    Where the processor multiplies bfloat16 faster, matrix products are taken in it.
    """
    torch.manual_seed(seed)
    model = build(corpus).to(pick_device())
    batches = StreamBatches(corpus.train, batch_size, SEQ_LEN)
    optimizer = Adam(model, lr=0.003, beta2=0.99)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        history = train(
            model,
            batches,
            optimizer,
            steps,
            **{"clip": 1.0, "decay": True, "vocabulary": corpus.vocabulary, **options},
        )
    finally:
        torch.set_float32_matmul_precision(before)
    return model, history


def perplexity(model: TiedWordModel, ids: Tensor) -> float:
    """Of the whole text, in order, with the state carried."""
    return math.exp(evaluate(model, StreamBatches(ids, 1, min(500, len(ids) - 1))))


# -------------------------------------------------------------------------------------------------
# Weights ready for use


def save_pretrained(path: str | Path, model: TiedWordModel, vocabulary: Vocabulary) -> None:
    """The folded model in half precision, with its settings and vocabulary, in one file."""
    model.fold()
    settings = {
        "embedding_size": model.words.shape[1],
        "hidden_size": model.rnn.hidden_size,
        "cutoffs": list(model.edges[:-1]),
    }
    weights = {name: value.half() for name, value in model.state_dict().items()}
    content = {"format": 1, "settings": settings, "tokens": vocabulary.tokens, "weights": weights}
    save_atomically(content, path)


def load_pretrained(path: str | Path = PRETRAINED) -> tuple[TiedWordModel, Vocabulary]:
    """A model ready to write, and its vocabulary. Raises ValueError for any other file."""
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        vocabulary = Vocabulary(content["tokens"])
        model = TiedWordModel(len(vocabulary), **content["settings"])
        model.load_state_dict(content["weights"])
    except OSError as error:
        raise ValueError(
            f"Нет файла весов «{path}»: создайте его командой "
            "python -m lecture_utils.training --output data/pretrained/novel.pt."
        ) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, TypeError) as error:
        raise ValueError(
            f"Файл «{path}» — не веса этого курса или повреждён: возьмите его заново."
        ) from error
    return model.eval(), vocabulary
