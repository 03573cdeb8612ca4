"""Results too long for a notebook: `python data/make.py lags` remakes data/lags.csv in minutes.

So do the other tables of TABLES; what reads the novel wants LECTURE_NOVEL to name it.
`python data/make.py pictures` remakes the pictures of README in .github/, `name_weights` the nets
of notebook 06 that it reads.
"""

import argparse
import csv
import math
import sys
from functools import partial

import torch
from makers import after_lstm, authors, market, names, novel, theory
from matplotlib import style
from tqdm import tqdm

from lecture_utils import sampling
from lecture_utils.corpora import CorpusError, read_names
from lecture_utils.distributed import use_threads
from lecture_utils.figures import plots
from lecture_utils.figures.style import STYLES
from lecture_utils.files import DATA, speak_on_any_console, written_whole
from lecture_utils.novel import load_pretrained
from lecture_utils.probes import random_rnn, rnn_panel
from lecture_utils.vocabulary import UNK


def gradients():
    """The thermometer of notebook 03: linear RNNs of a spectral radius below, at and above 1."""
    panels = {}
    for rho in (0.9, 1.0, 1.1):
        nets = [random_rnn(rho, seed) for seed in range(5)]
        panels[f"ρ = {rho}".replace(".", ",")] = rnn_panel("линейная", nets, 50)
    return plots.thermometer(panels)


def surprise_of_words():
    """What the ready net writes, by the rule of notebook 07, on the colours of its surprise."""
    model, vocabulary = load_pretrained()
    start, unknown = torch.tensor(vocabulary.encode(["Анна"])), vocabulary.encode([UNK])
    ids = sampling.likeliest(model, start, 60, top_p=0.9, forbidden=unknown)
    bits = sampling.surprise(model, ids)
    label = "неожиданность слова, биты"
    return plots.coloured(vocabulary.decode(ids.tolist()), bits, label=label)


def invented_names(steps: int = 1000):
    """Names that the net of notebook 06 invents and no list has, on the colours of its surprise."""
    model, letters, _ = names.fit_names(0, **names.NAME_NETS["gru_64_dropout"] | {"steps": steps})
    known, signs, bits = {n.name for n in read_names()}, [], []
    for gender in "fm":
        rule = {"gender": gender, "temperature": 0.7, "seed": 0}
        drawn = dict.fromkeys(sampling.sample_names(model, letters, 40, **rule))
        for name in [name for name in drawn if name and name not in known][:10]:
            seen = sampling.surprise(model, letters.encode_name(name, gender)).tolist()
            signs += [*name, " "]
            bits += [*seen[1:-1], math.nan]
    return plots.coloured(signs, bits, label="неожиданность буквы, биты")


README_PICTURES = DATA.parent / ".github"
PICTURES = {make.__name__: make for make in (gradients, surprise_of_words, invented_names)}


def make_pictures() -> None:
    """The pictures of README, each written whole."""
    style.use(STYLES / "lecture.mplstyle")
    for name, make in PICTURES.items():
        with written_whole(README_PICTURES / f"{name}.png", "wb") as file:
            file.write(plots.png(make()))


MAKERS = [theory.lags, theory.truncation, theory.depth, theory.scales, theory.distance]
MAKERS += [theory.gates, theory.order, theory.letters, names.name_nets, names.list_nets]
MAKERS += [novel.lecture_curve, novel.novel_results, novel.transfer, authors.authors]
MAKERS += [market.series, after_lstm.memory, after_lstm.novel_letters]
TABLES = {make.__name__: make for make in MAKERS}
FILES = {"pictures": make_pictures, "name_weights": names.make_name_weights}


def main(arguments: list[str] | None = None) -> int:
    """Make one table and write it whole; returns the exit status: 2 for bad input."""
    speak_on_any_console()
    parser = argparse.ArgumentParser(prog="python data/make.py", description=__doc__)
    parser.add_argument("table", choices=[*TABLES, *FILES])
    parser.add_argument("--second", metavar="AUTHOR", help="of authors, into data/my_authors.csv")
    options = parser.parse_args(arguments)
    name, make = options.table, TABLES.get(options.table)
    if options.second:
        if make is not authors.authors:
            parser.error("--second: only the table authors compares two authors")
        name, make = "my_authors", partial(authors.authors, second=options.second)
    use_threads()
    if name in FILES:
        FILES[name]()
        return 0
    try:
        rows = list(tqdm(make(), unit="row", delay=1))
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
