"""Offline default corpus: Russian fairy-tale sentences from a grammar, with exact probabilities."""

import math
import random
import re
import tomllib
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

STORY = Path(__file__).resolve().parent.parent / "data" / "story.toml"
START, AGREEMENT = "sentence", "agreement"
_SYMBOL = re.compile("[a-z]").match
Rules = Mapping[str, Mapping[tuple[str, ...], Fraction]]


def expand(data: Mapping) -> Rules:
    """Write a grammar like `data/story.toml` out: {symbol: {right side: weight}}, or ValueError."""
    rules = defaultdict(Counter)
    for template, lines in data["rules"].items():
        for weight, line in (line.split(maxsplit=1) for line in lines):
            for left, right, share in _instances(data["features"], template, line):
                rules[left][tuple(right.split())] += Fraction(weight) * share
    for columns, lists in data["lexicon"].items():
        slots = data["columns"][columns].split()
        for left, line in ((key, line) for key in lists for line in lists[key].splitlines()):
            weight, *forms = line.split()
            if len(forms) != len(slots):
                raise ValueError(f"Строка «{line}» в «{left}»: нужно форм {len(slots)}.")
            for filled, form in zip(slots, forms, strict=True):
                for slot in filled.split("+"):
                    rules[left.replace("*", slot)][(form,)] += Fraction(weight)
    used = {part.split(".")[0] for rights in rules.values() for right in rights for part in right}
    if missing := set(filter(_SYMBOL, used)) - {left.split(".")[0] for left in rules}:
        raise ValueError(f"В грамматике сказки нет правил для {', '.join(sorted(missing))}.")
    return _without_dead_ends(rules)


def _instances(features: Mapping, left: str, right: str) -> Iterator[tuple[str, str, Fraction]]:
    """A template with each value of its features; those on the right only share its weight."""
    for name in re.findall(r"\b[a-z]+\d*\b", f"{left} {right}"):
        if values := features.get(name.rstrip("0123456789")):
            for value, weight in values.items():
                new_left, new_right = (re.sub(rf"\b{name}\b", value, s) for s in (left, right))
                own = Fraction(1) if new_left != left else Fraction(weight, sum(values.values()))
                for *rule, share in _instances(features, new_left, new_right):
                    yield *rule, own * share
            return
    yield left, right, Fraction(1)


def _without_dead_ends(rules: Rules) -> Rules:
    """Drop symbols that never end in tokens: combinations of features there are no words for."""
    ends, size = set(), -1
    can_end = lambda right: all(part in ends or not _SYMBOL(part) for part in right)
    while size < len(ends):
        size = len(ends)
        ends |= {left for left, rights in rules.items() if any(map(can_end, rights))}
    return {left: {r: w for r, w in rules[left].items() if can_end(r)} for left in sorted(ends)}


def _with_capitals(rules: Rules, starts: Sequence[str]) -> Rules:
    """Rules reachable from `starts` where a word that begins a sentence or follows « is capital.

    `symbol^` derives what `symbol` does, capitalised; so sampling and parsing know no capitals.
    """
    reached, waiting = {}, [f"{start}^" for start in starts if start in rules]
    capital = lambda part: f"{part}^" if part in rules else part[:1].upper() + part[1:]
    while waiting:
        left = waiting.pop()
        plain = left.removesuffix("^")
        if left not in reached and plain in rules:
            reached[left] = Counter()
            for right, weight in rules[plain].items():
                pairs = pairwise(("«" if left != plain else "", *right))
                marked = [capital(part) if last == "«" else part for last, part in pairs]
                reached[left][tuple(marked)] += weight
                waiting += marked
    return reached


class Grammar:
    """Probabilistic context-free grammar without empty rules and without left recursion."""

    def __init__(self, rules: Rules):
        self.rules, self._limits, self._tables = {}, {}, {}
        for left, rights in _with_capitals(rules, (START, AGREEMENT)).items():
            total = sum(rights.values())
            self.rules[left] = [(float(weight / total), right) for right, weight in rights.items()]
            self._limits[left] = [float(w / total) for w in accumulate(rights.values())][:-1]

    def tell(self, num_tokens: int, seed: int) -> list["Sentence"]:
        """At least `num_tokens` tokens; one seed tells one story on all platforms."""
        dice, sentences = random.Random(seed), []
        while num_tokens > 0:
            sentences.append(Sentence(tuple(self._sample(f"{START}^", dice)), self))
            num_tokens -= len(sentences[-1].tokens)
        return sentences

    def log_prob(self, tokens: Sequence[str]) -> float:
        """Exact log-probability of a sentence, nats; -inf where it is not grammatical."""
        prob = self._inside(tokens)
        return math.log(prob) if prob else -math.inf

    def is_grammatical(self, tokens: Sequence[str]) -> bool:
        """Whether the grammar can tell this sentence."""
        return self._inside(tokens) > 0

    def forms(self) -> list[str]:
        """Every token that can ever be told, sorted."""
        parts = {part for rights in self.rules.values() for _, right in rights for part in right}
        return sorted(parts - self.rules.keys())

    def _choose(self, symbol, dice):
        return self.rules[symbol][bisect(self._limits[symbol], dice.random())][1]

    def _sample(self, symbol, dice):
        if symbol not in self.rules:
            return [symbol]
        return [token for part in self._choose(symbol, dice) for token in self._sample(part, dice)]

    def _inside(self, tokens):
        tokens = [*tokens, None]

        @cache
        def spans(symbol, start):  # {end: probability that the symbol derives tokens[start:end]}
            if symbol not in self.rules:
                return {start + 1: 1} if tokens[start] == symbol else {}
            found = defaultdict(int)
            for prob, right in self._starting(symbol).get(tokens[start], ()):
                ends = {start: prob}
                for part in right:
                    further = defaultdict(int)
                    for middle, weight in ends.items():
                        for end, inner in spans(part, middle).items():
                            further[end] += weight * inner
                    ends = further
                for end, weight in ends.items():
                    found[end] += weight
            return found

        return spans(f"{START}^", 0).get(len(tokens) - 1, 0)

    def _starting(self, symbol):  # {token: the rules of the symbol that may begin with it}
        if symbol not in self._tables:
            table = self._tables[symbol] = defaultdict(list)
            for prob, right in self.rules[symbol]:
                for token in self._starting(right[0]) if right[0] in self.rules else right[:1]:
                    table[token].append((prob, right))
        return self._tables[symbol]


@dataclass(frozen=True)
class Sentence:
    """Tokens of a sentence, the last of them one of . ! ? …, and the grammar they come from."""

    tokens: tuple[str, ...]
    grammar: Grammar = field(repr=False, compare=False)

    @property
    def text(self) -> str:
        """The sentence with spaces where Russian typography has them."""
        return re.sub(r" (?=[,.!?…:»])|(?<=«) ", "", " ".join(self.tokens))

    @property
    def log_prob(self) -> float:
        """Exact log-probability, nats."""
        return self.grammar.log_prob(self.tokens)


class Agreement(NamedTuple):
    """A sentence up to its main verb, the right verb, a wrong one, tokens from head to verb."""

    prefix: tuple[str, ...]
    right: str
    wrong: str
    distance: int


class Storyteller(Grammar):
    """The fairy tale: sentences of `data/story.toml`, all independent of each other.

    A sentence ends at the first . ! ? … outside of «»: none begins another, and a stream of tokens
    falls into sentences in one way only. So the entropy per token of the stream, below which no
    model brings its loss, is exactly E[−log p] / E[length]; what was told estimates it by
    `-sum(s.log_prob for s in told) / sum(len(s.tokens) for s in told)`.

    `names` are pairs (name, "f" or "m"); ValueError for another gender or if there are none.
    `features` has other weights for some of the grammar's: another teller of the same language.
    """

    def __init__(self, names: Sequence[tuple[str, str]], features: Mapping | None = None):
        if not names:
            raise ValueError("Сказке нужны имена: передайте хотя бы одну пару (имя, «f» или «m»).")
        data = tomllib.loads(STORY.read_text(encoding="utf-8"))
        words = data["lexicon"]["word"]
        for name, gender in names:
            if gender not in ("f", "m"):
                raise ValueError(f"У имени «{name}» указан род «{gender}», а нужен «f» или «m».")
            words[f"name.{gender}"] = words.get(f"name.{gender}", "") + f"1 {name.title()}\n"
        super().__init__(expand(data | {"features": data["features"] | (features or {})}))

    def agreement(self, count: int, seed: int) -> list[Agreement]:
        """Subjects parted from their verb by a relative clause, as in Linzen et al. (2016)."""
        dice, found = random.Random(seed), []
        while len(found) < count:
            *subject, verb = self._choose(f"{AGREEMENT}^", dice)
            prefix = tuple(token for part in subject for token in self._sample(part, dice))
            (right,) = self._choose(verb, dice)
            # The lists of all genders stand in the same order, that of the lemmas.
            place = [form for _, (form,) in self.rules[verb]].index(right)
            others = (self.rules[verb[:-1] + g][place][1] for g in "mfp")
            wrong = [form for (form,) in others if not self.is_grammatical([*prefix, form, "."])]
            if wrong:
                form = wrong[int(dice.random() * len(wrong))]
                found.append(Agreement(prefix, right, form, len(prefix)))
        return found
