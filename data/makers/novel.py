"""Makers for notebook 07: the lecture's run, words of the novel, the ready net on a new text."""

from collections import Counter
from collections.abc import Iterator
from itertools import product

import numpy as np
import torch

from lecture_utils import metrics, sampling
from lecture_utils.batching import StreamBatches
from lecture_utils.corpora import (
    Text,
    cut,
    load_novel,
    prose_files,
    read_prose,
    story_text,
    storyteller,
)
from lecture_utils.models import WordModel
from lecture_utils.novel import divide, load_pretrained, train_novel
from lecture_utils.training import History, Plan, evaluate, progress_bar, train
from lecture_utils.vocabulary import Vocabulary, split_words, without_yo
from makers import SEEDS


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


def taught(model, ids, steps):
    """The ready network after so many steps on a text; the table of words stays as it was."""
    model = model.folded().train()
    model.words.requires_grad_(False)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    batches, adam = StreamBatches(ids, 16, 35), torch.optim.Adam(weights, lr=0.001, fused=True)
    train(model, batches, adam, Plan(steps, clip=1.0, decay=True, every=steps))
    return model


def price(model, vocabulary, learned, words) -> float:
    """Nats a character of `words`, ⟨unk⟩ charged for its letters."""
    ids = torch.tensor(vocabulary.encode(words))
    nats = evaluate(model, StreamBatches.to_score(ids, 1, 500)) * (len(ids) - 1)
    unknown, rare = ([w for w in part if w not in vocabulary] for part in (words[1:], learned))
    spelled = metrics.spelling_nats(unknown, sorted(set(rare)))
    return metrics.nats_per_char(nats, spelled, len(" ".join(words[1:])) + 1)


def transfer(author="dostoevsky", title="Игрок", epochs=2, alone=10):
    """A book of another author: the ready network before and after it, a new one; ninth tenth."""
    (file,) = (file for file in prose_files(author) if file.path.stem == title)
    text = without_yo(read_prose([file], f"«{title}»")[title])
    words = split_words(text)
    a, b = (len(words) * tenths // 10 for tenths in (8, 9))
    learned, held_out = words[:a], words[a:b]
    model, vocabulary = load_pretrained()
    before = price(model, vocabulary, learned, held_out)
    yield {"net": "ready", "seed": 0, "nats": round(before, 4)}
    ids = torch.tensor(vocabulary.encode(learned))
    for seed in SEEDS[:3]:
        torch.manual_seed(seed)
        net = taught(load_pretrained()[0], ids, epochs * len(StreamBatches(ids, 16, 35)))
        after = price(net, vocabulary, learned, held_out)
        yield {"net": "taught", "seed": seed, "nats": round(after, 4)}
    corpus = divide(text)
    valid = StreamBatches.to_score(corpus.valid, 8, 100)
    every = len(StreamBatches(corpus.train, 16, 35))
    for seed in SEEDS[:3]:
        plan = Plan(alone * every, seconds=899, clip=1.0, decay=True, every=every, patience=10)
        net, _ = train_novel(corpus, plan, batch_size=16, seed=seed, valid=valid)
        nats = price(net, corpus.vocabulary, learned, held_out)
        yield {"net": "new", "seed": seed, "nats": round(nats, 4)}
