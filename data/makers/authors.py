"""Whose page is it: makers for the last part of notebook 07."""

import re
from collections import defaultdict
from collections.abc import Callable
from itertools import chain, product

import numpy as np
import torch

from lecture_utils import metrics
from lecture_utils.batching import Batch
from lecture_utils.corpora import prose_files, read_prose
from lecture_utils.novel import Corpus, recipe, train_novel
from lecture_utils.vocabulary import UNK, Vocabulary, split_words, without_yo
from makers import SEEDS

Judge = Callable[[list[list[str]]], np.ndarray]
PAGE_LENGTHS = [25, 50, 100, 200, 400]
MOST_READ = 300_000  # words, of each author


def plain_words(text: str) -> list[str]:
    """Words in lower case without marks; ⟨unk⟩ stands for a capitalised or a foreign one.

    Else names of persons, French and a printer's dashes would tell the author.
    """
    words = (word for word in split_words(without_yo(text)) if word[0].isalnum())
    return [word if re.fullmatch("[а-я]+(-[а-я]+)*", word) else UNK for word in words]


def books_of(author: str) -> list[list[str]]:
    """The books of an author as `plain_words`, the longest first; volumes are one book."""
    books = defaultdict(list)
    for title, text in read_prose(prose_files(author), f"прозу автора {author}").items():
        books[title.split(". Том")[0]] += plain_words(text)
    return sorted(books.values(), key=len, reverse=True)


def shelves(books: list[list[str]], seed: int) -> tuple[list[list[str]], list[list[str]]]:
    """Books to learn from, and every fifth one to be judged."""
    first = (2 + seed) % len(books)  # of many books the two largest are always learned from
    held_out = range(first, len(books), 5)
    return [w for k, w in enumerate(books) if k not in held_out], [books[k] for k in held_out]


def pages(books: list[list[str]], length: int, most: int = 200) -> list[list[str]]:
    """At most so many pages of so many words, taken evenly from all the books."""
    whole = [w[i : i + length] for w in books for i in range(0, len(w) - length + 1, length)]
    return [whole[k * len(whole) // most] for k in range(most)] if len(whole) > most else whole


def word_network(words: list[str], vocabulary: Vocabulary, seed: int, steps: int) -> Judge:
    """The recipe for a few minutes, as a judge: pages, the first word given → −ln p (pages,)."""
    corpus = Corpus(vocabulary, torch.tensor(vocabulary.encode(words)), None, None)
    net = train_novel(corpus, recipe(steps, seconds=899), seed=seed)[0].folded().eval()

    @torch.no_grad()
    def nats(pages):
        ids = torch.tensor([vocabulary.encode(page) for page in pages])
        parts = [net.nats(Batch(x[:, :-1], x[:, 1:]))[0].view(len(x), -1) for x in ids.split(50)]
        return torch.cat(parts).sum(1).numpy()

    return nats


def trigram(words: list[str], encode, size: int) -> Judge:
    """A Kneser–Ney trigram of what `encode` makes of the words, as a judge."""
    gram = metrics.KneserNey(3, size).fit([encode(words)])
    return lambda pages: np.array([gram.nats([encode(page)]).sum() for page in pages])


def experts(read: list[list[list[str]]], seed: int, steps: int) -> dict[str, list[Judge]]:
    """Of each kind of judge one for each author, all of whom have read equally much."""
    size = min(MOST_READ, *(sum(map(len, books)) for books in read))
    shares = [size / sum(map(len, books)) for books in read]
    read = [
        [word for book in books for word in book[: round(len(book) * share)]]
        for books, share in zip(read, shares, strict=True)
    ]
    vocabulary = Vocabulary.build(chain(*read), min_count=3)
    letters = Vocabulary.build("".join(word for word in vocabulary.tokens[1:]), (UNK, " "))
    spell = lambda words: letters.encode(f" {' '.join(w for w in words if w != UNK)} ")
    return {
        "network": [word_network(words, vocabulary, seed, steps) for words in read],
        "words": [trigram(words, vocabulary.encode, len(vocabulary)) for words in read],
        "letters": [trigram(words, spell, len(letters)) for words in read],
    }


def authors(first="tolstoy", second="dostoevsky", steps=700):
    """Whose page is it? The share told rightly by which of two experts finds it likelier.

    Of each kind of judge, seed (it holds out other books and makes other nets) and length of a
    page in words; the two authors count equally.
    """
    for author in (first, second):
        prose_files(author)  # an unknown one is told before anything is downloaded
    libraries = [books_of(author) for author in (first, second)]
    for seed in SEEDS[:3]:
        read, unread = zip(*(shelves(books, seed) for books in libraries), strict=True)
        judges = experts(read, seed, steps)
        for length, judge in product(PAGE_LENGTHS, judges):
            rights = []
            for books, sign in zip(unread, (1, -1), strict=True):
                page = pages(books, length)
                mine, other = (nats(page) for nats in judges[judge])
                rights.append(np.mean(sign * (other - mine) > 0))
            row = {"second": second, "judge": judge, "seed": seed, "length": length}
            yield row | {"right": f"{np.mean(rights):.4f}"}
