"""Results too long for a notebook: `python data/make.py lags` remakes data/lags.csv in minutes.

So do truncation, gates (and letters.pt); with LECTURE_NOVEL set to the novel, lecture_curve and
novel_results.
"""

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import product

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot
from tqdm import tqdm

from lecture_utils import cells, metrics, sampling
from lecture_utils.batching import StreamBatches
from lecture_utils.corpora import CorpusError, Text, cut, load_novel, story_text, storyteller
from lecture_utils.distributed import use_threads
from lecture_utils.files import DATA, save_atomically, speak_on_any_console, written_whole
from lecture_utils.models import LAYERS, LetterModel, WordModel
from lecture_utils.probes import LETTERS
from lecture_utils.tasks import TEMPORAL_ORDER_SYMBOLS, anbn, echo, temporal_order
from lecture_utils.training import History, Plan, evaluate, progress_bar, train
from lecture_utils.vocabulary import Vocabulary, split_words

SEEDS = range(5)
NETS = {  # all the nets of the lag experiment: the layer and how it starts
    "rnn": {"cell": "rnn"},
    "rnn_orthogonal": {"cell": "rnn", "orthogonal": True},
    "lstm": {"cell": "lstm"},
    "lstm_b3": {"cell": "lstm", "forget_bias": 3.0},
}


def learn_order(cell, lag, seed, steps=2500, forget_bias=None, orthogonal=False):
    """Train 32 units on `tasks.temporal_order`: accuracy on 1,000 fresh sequences, steps taken.

    Batches of 64, Adam 0.003, clip 1; ends as soon as 99 % of the fresh ones are right. Seeded.
    `forget_bias` (LSTM only) is the sum of torch's two; `orthogonal` is a start of W.
    """
    torch.manual_seed(seed)
    train_set, test_set = (torch.Generator().manual_seed(k + seed) for k in (0, 10_000))
    symbols = len(TEMPORAL_ORDER_SYMBOLS)
    net, head = LAYERS[cell](symbols, 32, batch_first=True), nn.Linear(32, 4)
    if orthogonal:
        nn.init.orthogonal_(net.weight_hh_l0)
    if forget_bias is not None:
        net.bias_ih_l0.data[32:64], net.bias_hh_l0.data[32:64] = forget_bias, 0.0
    weights = [*net.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(weights, lr=0.003, fused=True)
    answer = lambda x: head(net(one_hot(x, symbols).float())[0][:, -1])
    fresh, right = temporal_order(1000, lag, test_set)
    for step in range(1, steps + 1):
        x, y = temporal_order(64, lag, train_set)
        optimizer.zero_grad()
        cross_entropy(answer(x), y).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps:
            with torch.no_grad():
                accuracy = (answer(fresh).argmax(1) == right).float().mean().item()
            if accuracy >= 0.99:
                break
    return accuracy, step


class OwnLayer(nn.Module):
    """A cell of `cells` with the manners of torch's layers; its start is drawn as theirs is."""

    def __init__(self, cell, kind, input_size: int, hidden_size: int):
        super().__init__()
        self.cell, self.kind = cell, kind
        weights = cells.init(kind, input_size, hidden_size, torch.default_generator)
        self.weights = nn.ParameterList(weights)

    def forward(self, x: torch.Tensor) -> tuple:
        """x (batch, time, input_size) → h (batch, time, hidden_size), last state."""
        return cells.run(self.cell, self.kind(*self.weights), x)


COUNTERS = {  # 560 to 590 weights each, one bias a gate counted
    "lstm": lambda: nn.LSTM(3, 10, batch_first=True),
    "peephole": lambda: OwnLayer(cells.peephole, cells.PeepholeWeights, 3, 10),
    "coupled": lambda: OwnLayer(cells.coupled, cells.CoupledWeights, 3, 12),
    "gru": lambda: nn.GRU(3, 12, batch_first=True),
    "tanh": lambda: nn.RNN(3, 22, batch_first=True),
    "relu": lambda: nn.RNN(3, 22, nonlinearity="relu", batch_first=True),
}


def learn_to_count(cell: str, seed: int, longest: int = 20, steps: int = 1500) -> tuple:
    """Train one of COUNTERS on aⁿbⁿ, n ≤ longest: the first n ≤ 200 it fails (or 201), net, head.

    Only the certain continuations are asked for (see `tasks.anbn`). All strings in each batch, Adam
    0.03 with cosine decay, clip 1. After Weiss, Goldberg & Yahav (2018).
    """
    torch.manual_seed(seed)
    net = COUNTERS[cell]()
    head = nn.Linear(net(torch.zeros(1, 1, 3))[0].shape[2], 3)
    weights = [*net.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(weights, lr=0.03)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    answer = lambda x: head(net(one_hot(x, 3).float())[0])
    (x, y, _), certain = anbn(range(1, longest + 1))
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(answer(x)[certain], y[certain]).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        decay.step()
    (x, y, _), certain = anbn(range(1, 201))
    with torch.no_grad():
        right = (answer(x).argmax(2) == y) | ~certain
    return [*right.all(1).tolist(), False].index(False) + 1, net, head


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


class Words:
    """A text as notebook 07 takes it: its three parts as words and as ids, its trigram."""

    def __init__(self, text: Text):
        self.is_story = text.source == "story"
        self.words = [split_words(part) for part in cut(text.text)]
        forms = storyteller().forms() if self.is_story else ()
        self.vocabulary = Vocabulary.build(self.words[0], min_count=2, always=forms)
        self.ids = [self.vocabulary.encode(words) for words in self.words]
        self.trigram = metrics.KneserNey(3, len(self.vocabulary)).fit(self.ids[:1])


def train_words(
    words: Words, net: str, seed: int, callbacks=(), slow=False
) -> tuple[WordModel, History]:
    """Notebook 07's training: the lecture's net, or the wider one, "full" or "adaptive" softmax.

    For each text one of the two is what the notebook takes: adaptive for the novel. `slow`: with a
    step size of 0.002 on the novel and of 0.005 on the tale in place of the notebook's.
    """
    size, is_large = len(words.vocabulary), len(words.vocabulary) > 5000
    lr, dropout, cutoffs = (0.005, 0.3, (1000, 5000)) if is_large else (0.01, 0.1, (200, 600))
    torch.manual_seed(seed)
    if net == "lecture":
        model, lr, streams = WordModel(size), 0.01, 16
        plan = Plan(400, clip=5.0)
    else:
        groups = cutoffs if net == "adaptive" else ()
        model, streams = WordModel(size, 128, 192, dropout=dropout, cutoffs=groups), 20
        plan = Plan(1300, clip=1.0, decay=True, patience=3)
        if slow:
            lr = 0.002 if is_large else 0.005
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    batches = StreamBatches(words.ids[0], streams, seq_len=32)
    valid = StreamBatches.to_score(words.ids[1], batch_size=10, seq_len=50)
    return model, train(model, batches, optimizer, plan, valid=valid, callbacks=callbacks)


def right_share(words: Words, model: WordModel, temperature: float, count: int = 3000) -> float:
    """The share of the sentences a net writes that the grammar of the tale can produce."""
    teller, rule = storyteller(), {"seed": 0, "temperature": temperature}
    text = sampling.continue_text(model, words.vocabulary, ".", count, **rule)[0]
    sentences, is_quoted = [[]], False
    for word in split_words(text):
        sentences[-1].append(word)
        is_quoted = word == "«" or (is_quoted and word != "»")
        if word in ".!?…" and not is_quoted:
            sentences.append([])
    return np.mean([teller.is_grammatical(sentence) for sentence in sentences[1:-1]] or [0])


def agreement(words: Words, model: WordModel) -> Iterator[tuple[str, str, float]]:
    """For each distance to the verb, the share of right forms: of the net and of its rivals."""
    cases, count = storyteller().agreement(600, seed=1), Counter(words.words[0])
    hits = []
    for case in cases:
        pair = words.vocabulary.encode([case.right, case.wrong])
        x = torch.tensor([words.vocabulary.encode([".", *case.prefix])])
        with torch.no_grad():
            log_probs = model(x)[0][0, -1, pair].tolist()
        ngram = words.trigram.distribution(x[0, -2:].tolist())[pair].tolist()
        both = log_probs, ngram, (count[case.right], count[case.wrong])
        hits.append([(p > q) + 0.5 * (p == q) for p, q in both])
    far = np.array([case.distance for case in cases])
    groups = {"2–6": far <= 6, "7–8": (far > 6) & (far < 9), "9–": far > 8, "all": far > 0}
    for name, group in groups.items():
        shares = np.mean(np.array(hits)[group], axis=0)
        for rival, share in zip(("", "trigram", "frequency"), shares, strict=True):
            yield rival, name, share


def quote_neuron(words: Words, model: WordModel) -> Iterator[tuple[str, float]]:
    """The neuron whose c_t, by a threshold, best says on 3,000 words whether a quotation is open.

    The mean share of words inside and outside that are told rightly, there and on the next 3,000;
    and the correlation of its c_t with the place in the quotation ("drift").
    """
    part, cells_seen, state = words.words[1][:6000], [], None
    ids = torch.tensor([words.vocabulary.encode(part)])
    with torch.no_grad():
        for t in range(len(part)):
            _, state = model.features(ids[:, t : t + 1], state)
            cells_seen.append(state[1][0, 0])
    c, depth = torch.stack(cells_seen).numpy(), 0
    place = np.zeros(len(part), int)  # in the quotation, 0 outside
    for t, word in enumerate(part):
        depth += (word == "«") - (word == "»")
        place[t] = place[t - 1] + 1 if depth > 0 else 0
    first, second = slice(0, 3000), slice(3000, 6000)
    inside, chosen = place > 0, (0.0,)
    for k in range(c.shape[1]):
        order = np.argsort(c[first, k])
        low = inside[first][order]
        gap = np.cumsum(low) / low.sum() - np.cumsum(~low) / (~low).sum()
        best = np.abs(gap).argmax()
        chosen = max(chosen, (abs(gap[best]), k, c[first, k][order][best], gap[best] > 0))
    _, k, threshold, is_low = chosen
    told = (c[:, k] <= threshold) == is_low
    for name, half in (("first", first), ("second", second)):
        right = told[half] == inside[half]
        yield name, (right[inside[half]].mean() + right[~inside[half]].mean()) / 2
    yield "drift", np.corrcoef(c[inside, k], place[inside])[0, 1]


LAB_NETS = ("lecture", "full", "adaptive")
RULES = {  # how notebook 07 lets a net choose the next word
    "жадно": {"temperature": 0},
    "сеть": {},
    "T = 0,6": {"temperature": 0.6},
    "top-5": {"top_k": 5},
    "top-5 поровну": {"top_k": 5, "uniform": True},
    "ядро 0,7": {"top_p": 0.7},
}


def words_run(words: Words, net: str, seed: int) -> Iterator[tuple]:
    """One net of `train_words`: (step, measure, of, value) of all that notebook 07 tells of it."""
    seen = []

    def write(model, prompt, count, **rule):
        return sampling.continue_text(model, words.vocabulary, prompt, count, **rule)[0]

    def look(history, model):
        if net != "lecture" and (step := len(history.loss)) in (50, 300, 1300):
            if seed == 0:
                text = write(model, "Анна", 16, seed=3, top_p=0.9)
                seen.append((step, "wrote", "ядро 0,9", text))
            if words.is_story:
                seen.append((step, "right", "1.0", right_share(words, model, 1.0)))

    model, history = train_words(words, net, seed, [look])
    for step, loss in zip(history.valid_step, history.valid_loss, strict=True):
        yield step, "train", "", np.mean(history.loss[step - 50 : step])
        yield step, "valid", "", loss
    last = len(history.loss)
    test = StreamBatches.to_score(words.ids[2], batch_size=1, seq_len=500)
    yield last, "test", "", evaluate(model, test)
    yield from seen
    if net == "lecture":
        if seed == 0:
            text = write(model, "Анна Не", 60, seed=3, **RULES["top-5 поровну"])
            yield last, "wrote", "лекция", text
        return
    written = split_words(write(model, ".", 300, seed=0))
    yield last, "copied", "", metrics.longest_copied_span(written, words.words[0])[1]
    if seed == 0:
        for name, rule in RULES.items():
            yield last, "wrote", name, write(model, "Анна", 24, seed=3, **rule)
    if net == ("full" if words.is_story else "adaptive"):  # what the notebook takes
        for half, share in quote_neuron(words, model):
            yield last, "quote", half, share
    if words.is_story:
        for temperature in (0.7, 1.2):
            share = right_share(words, model, temperature)
            yield last, "right", f"{temperature}", share
        for rival, distance, share in agreement(words, model):
            yield last, f"agree {rival}".strip(), distance, share


def novel_results():
    """The nets of notebook 07 on the tale and on the novel: losses, samples, agreement."""
    for text in (story_text(), load_novel()):
        words, name = Words(text), "story" if text.source == "story" else "novel"
        row = {"text": name, "net": "trigram", "seed": "", "step": 0, "measure": "", "of": ""}
        for measure, ids in zip(("valid", "test"), words.ids[1:], strict=True):
            nats = words.trigram.nats([ids]).mean()
            yield row | {"measure": measure, "value": f"{nats:.4f}"}
        for net, seed in product(LAB_NETS, SEEDS):
            for step, measure, of, value in words_run(words, net, seed):
                shown = value if isinstance(value, str) else f"{value:.4f}"
                told = {"net": net, "seed": seed, "step": step, "measure": measure, "of": of}
                yield row | told | {"value": shown}
        for net in ("full", "adaptive"):
            loss = train_words(words, net, 0, slow=True)[1].valid_loss[-1]
            told = {"net": net, "seed": 0, "step": 1300, "measure": "valid slow"}
            yield row | told | {"value": f"{loss:.4f}"}


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
    speak_on_any_console()
    makers = lags, truncation, gates, lecture_curve, novel_results
    tables = {make.__name__: make for make in makers}
    parser = argparse.ArgumentParser(prog="python data/make.py", description=__doc__)
    parser.add_argument("table", choices=tables)
    name = parser.parse_args(arguments).table
    use_threads()
    try:
        rows = list(tqdm(tables[name](), unit="row", delay=1))
    except CorpusError as error:
        print(error, file=sys.stderr)
        return 2
    with written_whole(DATA / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
