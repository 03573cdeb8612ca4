"""Makers for notebook 06: nets on names and on short lists."""

import math
from itertools import product

import numpy as np
import torch

from lecture_utils import sampling
from lecture_utils.batching import NameBatches
from lecture_utils.checkpoints import save_model
from lecture_utils.corpora import read_list, read_names
from lecture_utils.files import DATA
from lecture_utils.models import LetterModel
from lecture_utils.training import Plan, evaluate, train
from lecture_utils.vocabulary import LIST_SPECIALS, NAME_SPECIALS, Vocabulary
from makers import SEEDS

ALPHABET = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя-"
DECAY = {"decay": True, "lr": 0.005}
DROPOUT = {"decay": True, "dropout": 0.3}
NAME_NETS = {  # the ladder of notebook 06, then three cells with as many weights in three settings
    "lecture": {"whose": "lecture", "batch_size": 100, "steps": 100},
    "women": {"whose": "women", "batch_size": 1000, "steps": 100},
    "batches": {"whose": "women"},
    "men": {},
    "wide": {"hidden_size": 64},
    "rnn_64": {"hidden_size": 64, **DECAY},
    "lstm_29": {"cell": "lstm", "hidden_size": 29, **DECAY},
    "gru_35": {"cell": "gru", "hidden_size": 35, **DECAY},
    "rnn_64_faster": {"hidden_size": 64, "decay": True},
    "lstm_29_faster": {"cell": "lstm", "hidden_size": 29, "decay": True},
    "gru_35_faster": {"cell": "gru", "hidden_size": 35, "decay": True},
    "rnn_115_dropout": {"hidden_size": 115, **DROPOUT},
    "lstm_54_dropout": {"cell": "lstm", "hidden_size": 54, **DROPOUT},
    "gru_64_dropout": {"cell": "gru", "hidden_size": 64, **DROPOUT},
}


def learn_names(seed, **settings) -> list[float]:
    """Train as `fit_names` does: perplexities on women's and men's names of the ninth tenth.

    Where only women's were learned, men's have no score.
    """
    model, letters, valid = fit_names(seed, **settings)
    encode = lambda part: [letters.encode_name(n.name, n.gender) for n in part]
    women, men = ([n for n in valid if n.gender == gender] for gender in "fm")
    scored = [women, men] if settings.get("whose", "all") == "all" else [women]
    return [math.exp(evaluate(model, NameBatches(encode(part), 200))) for part in scored]


def fit_names(seed, *, whose="all", cell="rnn", hidden_size=12, batch_size=32, lr=0.01,
              steps=1000, dropout=0.0, decay=False):  # fmt: skip
    """Train as `fit` of notebook 06 does: the model, its letters, the names of the ninth tenth."""
    names = read_names()
    mixed = [names[k] for k in np.random.default_rng(0).permutation(len(names))]
    eight, nine = len(names) * 8 // 10, len(names) * 9 // 10
    learned = mixed[:eight]
    letters = Vocabulary.build("".join(n.name for n in learned), NAME_SPECIALS, always=ALPHABET)
    if whose != "all":
        learned = [n for n in learned if n.gender == "f" and (n.lecture or whose == "women")]
    encode = lambda part: [letters.encode_name(n.name, n.gender) for n in part]
    torch.manual_seed(seed)
    model = LetterModel(len(letters), hidden_size, cell, dropout)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    batches = NameBatches(encode(learned), batch_size, seed)
    train(model, batches, optimizer, Plan(steps, decay=decay))
    return model, letters, mixed[eight:nine]


def make_name_weights() -> None:
    """Nets 1…4 of notebook 06, which trains the first of its five itself; a row of bytes each."""
    (DATA / "name_nets").mkdir(exist_ok=True)
    for seed in SEEDS[1:]:
        model, letters, _ = fit_names(seed, **NAME_NETS["gru_64_dropout"])
        save_model(DATA / f"name_nets/{seed}.pt", model, letters, in_bytes=True)


LIST_NETS = {  # of a list of one's own: the net of notebook 06, then one thing changed
    "gru_64": {},
    "rnn_64": {"cell": "rnn"},
    "lstm_64": {"cell": "lstm"},
    "no_dropout": {"dropout": 0.0},
    "unstopped": {"steps": 1000, "patience": None},
}
LISTS = {"60": ("towns", 60), "300": ("rivers", 300), "900": ("towns", 900)}


def learn_list(which, seed, cell="gru", dropout=0.3, steps=0, patience=5):
    """Train on one of LISTS as `learn` of notebook 06 does, or for so many steps.

    Perplexity on 175 entries or more of the same kind that are not in the list; share of copies
    among 500 inventions at T = 0.8.
    """
    name, count = LISTS[which]
    every = np.random.default_rng(0).permutation(read_list(DATA / f"{name}.txt")).tolist()
    letters = Vocabulary.build("".join(every), specials=LIST_SPECIALS)
    encode = lambda entries: [letters.encode_name(entry) for entry in entries]
    torch.manual_seed(seed)
    ids = encode(np.random.default_rng(seed).permutation(every[:count]))
    held = count // 10
    batches, valid = NameBatches(ids[held:], 32, seed), NameBatches(ids[:held], 200)
    steps = steps or max(100, 20 * len(batches))
    plan = Plan(steps, decay=True, every=max(20, len(batches)), patience=patience)
    model = LetterModel(len(letters), 64, cell, dropout)
    train(model, batches, torch.optim.Adam(model.parameters(), lr=0.01), plan, valid=valid)
    invented = sampling.sample_names(model, letters, 500, temperature=0.8, seed=seed, max_length=60)
    copies = sum(entry in every[:count] for entry in invented) / 500
    return math.exp(evaluate(model, NameBatches(encode(every[count:][:200]), 200))), copies


def name_nets():
    """Each net of NAME_NETS and each seed: perplexity on women's and on men's names held out."""
    for net, seed in product(NAME_NETS, SEEDS):
        women, *men = (f"{score:.3f}" for score in learn_names(seed, **NAME_NETS[net]))
        yield {"net": net, "seed": seed, "women": women, "men": "".join(men)}


def list_nets():
    """Each net of LIST_NETS on each of LISTS: perplexity on others of its kind, copies written."""
    for net, which, seed in product(LIST_NETS, LISTS, range(3)):
        score, copies = learn_list(which, seed, **LIST_NETS[net])
        row = {"list": which, "net": net, "seed": seed}
        yield row | {"perplexity": f"{score:.2f}", "copies": f"{copies:.3f}"}
