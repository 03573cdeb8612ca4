"""Results too long for a notebook: `python data/make.py lags` remakes data/lags.csv in minutes.

So do truncation, gates (and letters.pt) and lecture_curve (with LECTURE_NOVEL set to the novel).
"""

import argparse
import sys
from itertools import product

import torch
from tqdm import tqdm

from lecture_utils.batching import StreamBatches
from lecture_utils.corpora import CorpusError, load_novel, story_text
from lecture_utils.distributed import use_threads
from lecture_utils.files import DATA, save_atomically, write_table
from lecture_utils.models import LetterModel, WordModel
from lecture_utils.probes import COUNTERS, LETTERS, NETS, SEEDS, learn_order, learn_to_count
from lecture_utils.tasks import echo
from lecture_utils.training import History, Plan, progress_bar, train
from lecture_utils.vocabulary import Vocabulary, split_words


def truncation_loss(text: str, seq_len: int, carried: bool, seed: int, steps: int = 1000) -> float:
    """Nats a symbol held out, after training with windows of `seq_len` steps, 256 symbols a batch.

    `text` is "echo" (lag 7, GRU 32) or "story" (words, LSTM 64). The state is carried from
    window to window or zero at the start of each, in training and in validation alike.
    """
    if text == "echo":
        parts = echo(100_000, 7, seed=0), echo(10_000, 7, seed=1)
    else:
        words = split_words(story_text().text)
        vocabulary, tenth = Vocabulary.build(words, specials=()), len(words) // 10
        ids = torch.tensor(vocabulary.encode(words))
        parts = ids[: 8 * tenth], ids[8 * tenth : 9 * tenth]
    torch.manual_seed(seed)
    model = LetterModel(8, 32, "gru") if text == "echo" else WordModel(len(vocabulary))
    batches, valid = (StreamBatches(part, 256 // seq_len, seq_len) for part in parts)
    batches.carries_state = valid.carries_state = carried
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    plan = Plan(steps, clip=1.0, decay=True, every=steps)
    return train(model, batches, optimizer, plan, valid=valid).valid_loss[-1]


def train_letters(path=LETTERS, steps: int = 3000) -> float:
    """Train an LSTM of 80 cells on the letters of the story, keep its weights: loss held out."""
    text = story_text().text
    vocabulary, tenth = Vocabulary.build(text, specials=()), len(text) // 10
    ids = torch.tensor(vocabulary.encode(text))
    batches, valid = (
        StreamBatches(part, 32, 64) for part in (ids[: 8 * tenth], ids[8 * tenth : 9 * tenth])
    )
    torch.manual_seed(0)
    model = LetterModel(len(vocabulary), 80, "lstm")
    model.rnn.bias_hh_l0.data[80:160] = 1.0
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    plan = Plan(steps, clip=1.0, decay=True, every=steps)
    loss = train(model, batches, optimizer, plan, valid=valid).valid_loss[-1]
    save_atomically({"symbols": list(vocabulary.tokens), "weights": model.state_dict()}, path)
    return loss


def train_as_in_lecture(text: str, steps: int) -> History:
    """The lecture's run: words split at blanks, all in the vocabulary, no validation.

    Batches of 16 streams by 32 words, embedding 64, LSTM 64, one linear layer over all types,
    Adam 0.01, clip 5. Seeded.
    """
    words = text.split()
    vocabulary = Vocabulary.build(words, specials=())
    torch.manual_seed(0)
    model = WordModel(len(vocabulary), embedding_size=64, hidden_size=64)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    batches = StreamBatches(vocabulary.encode(words), batch_size=16, seq_len=32)
    plan = Plan(steps, clip=5.0)
    return train(model, batches, optimizer, plan, callbacks=[progress_bar(plan)])


def lecture_curve(steps: int = 950):
    """Each step of the lecture's run on the novel: loss and gradient norm."""
    history = train_as_in_lecture(load_novel().text, steps)
    if history.stopped == "interrupted":
        raise KeyboardInterrupt
    for step, measured in enumerate(zip(history.loss, history.grad_norm, strict=True), start=1):
        loss, norm = (f"{value:.4f}" for value in measured)
        yield {"step": step, "loss": loss, "grad_norm": norm}


def gates():
    """Forget bias b_f: accuracy and steps at lag 30; aⁿbⁿ: the first n that fails; letters.pt."""
    train_letters()
    for bias, seed in product((-1, 0, 1, 2, 3), SEEDS):
        accuracy, steps = learn_order("lstm", 30, seed, steps=2000, forget_bias=float(bias))
        row = {"experiment": "forget_bias", "net": bias, "seed": seed}
        yield row | {"accuracy": f"{accuracy:.3f}", "count": steps}
    for net, seed in product(COUNTERS, SEEDS):
        row = {"experiment": "counting", "net": net, "seed": seed, "accuracy": ""}
        yield row | {"count": learn_to_count(net, seed)[0]}


def lags():
    """Each net, lag and seed: what it reaches."""
    for net, lag, seed in product(NETS, (5, 10, 20, 30, 60), SEEDS):
        accuracy, steps = learn_order(lag=lag, seed=seed, **NETS[net])
        yield {"net": net, "lag": lag, "seed": seed, "accuracy": f"{accuracy:.3f}", "steps": steps}


def truncation():
    """Each text, window and seed, the state carried or reset: the loss held out."""
    windows = product(("echo", "story"), (1, 2, 4, 8, 16, 32), ("carried", "reset"), SEEDS)
    for text, seq_len, state, seed in windows:
        loss = truncation_loss(text, seq_len, state == "carried", seed)
        row = {"text": text, "seq_len": seq_len, "state": state, "seed": seed}
        yield row | {"loss": f"{loss:.4f}"}


def main(arguments: list[str] | None = None) -> int:
    """Make one table and write it whole; returns the exit status: 2 for bad input."""
    tables = {make.__name__: make for make in (lags, truncation, gates, lecture_curve)}
    parser = argparse.ArgumentParser(prog="python data/make.py", description=__doc__)
    parser.add_argument("table", choices=tables)
    name = parser.parse_args(arguments).table
    use_threads()
    try:
        rows = list(tqdm(tables[name](), unit="row", delay=1))
    except CorpusError as error:
        print(error, file=sys.stderr)
        return 2
    write_table(rows, DATA / f"{name}.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())
