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
from itertools import accumulate, product
from pathlib import Path
from typing import NamedTuple

STORY = Path(__file__).resolve().parent.parent / "data" / "story.toml"
ENDS = frozenset(".!?…")
START, PROBE = "sentence", "agreement"


def expand(data: Mapping) -> dict[str, dict[tuple[str, ...], Fraction]]:
    """Write the templates of a grammar out as plain rules {symbol: {right side: weight}}.

    `data` is a file like `data/story.toml`, whose head explains the notation. A part of a dotted
    symbol that names a feature (`g`, or `g2` for a second one) takes all its values in turn: the
    same value everywhere in a rule. The weight of a rule is shared out among the values of the
    features that stand on its right side only. ASCII words are symbols, all others are tokens.

    Raises ValueError for a rule that uses a symbol nothing defines.
    """
    rules = defaultdict(Counter)
    for left, lines in data["rules"].items():
        for line in lines:
            weight, *right = line.split()
            for values, share in _assignments(data["features"], left, right):
                fill = lambda symbol, v=values: ".".join(v.get(p, p) for p in symbol.split("."))
                rules[fill(left)][tuple(map(fill, right))] += Fraction(weight) * share
    for paradigm, sections in data["lexicon"].items():
        for left, block in sections.items():
            for weight, slot, form in _cells(data["columns"][paradigm], block):
                rules[left.replace("*", slot)][(form,)] += Fraction(weight)
    known = {symbol.split(".")[0] for symbol in rules}
    parts = {part.split(".")[0] for rights in rules.values() for right in rights for part in right}
    unknown = sorted(part for part in parts - known if re.match("[a-z]", part))
    if unknown:
        raise ValueError(f"В грамматике нет правил для {', '.join(unknown)}: проверьте story.toml.")
    return _productive(rules)


def _assignments(features, left: str, right: Sequence[str]) -> Iterator[tuple[dict, Fraction]]:
    """All values of the features named in a rule, each with its share of the rule's weight."""
    names = sorted(
        {p for s in [left, *right] for p in s.split(".") if p.rstrip("0123456789") in features}
    )
    given = set(left.split("."))
    choices = [features[name.rstrip("0123456789")].items() for name in names]
    for combination in product(*choices):
        share = Fraction(1)
        for name, choice, (_, weight) in zip(names, choices, combination, strict=True):
            if name not in given:
                share *= Fraction(weight, sum(w for _, w in choice))
        yield {name: value for name, (value, _) in zip(names, combination, strict=True)}, share


def _cells(columns: str, block: str) -> Iterator[tuple[str, str, str]]:
    """(weight, slot, form) of a lexicon block: a column may fill several slots, joined by +."""
    slots = columns.split()
    for line in block.strip().splitlines():
        weight, *forms = line.split()
        if len(forms) != len(slots):
            raise ValueError(f"В строке «{line}» форм {len(forms)}, а нужно {len(slots)}.")
        for column, form in zip(slots, forms, strict=True):
            yield from ((weight, slot, form) for slot in column.split("+"))


def _productive(rules):
    """Drop what never ends in tokens: combinations of features for which there are no words."""
    good, size = set(), -1
    ends = lambda part: part in good or part not in rules and not re.match("[a-z]", part)
    while len(good) > size:
        size = len(good)
        good |= {left for left, rights in rules.items() if any(all(map(ends, r)) for r in rights)}
    return {
        left: {right: w for right, w in rights.items() if all(map(ends, right))}
        for left, rights in rules.items()
        if left in good
    }


def _capitalise(rules, starts: Sequence[str]):
    """Rules reachable from `starts`, where a first word, or one after «, is capitalised.

    `symbol^` derives what `symbol` does with a capital: so neither sampling nor parsing knows
    about capitals, and a name coinciding with a capitalised noun is summed like any other.
    """
    done, waiting = {}, [f"{start}^" for start in starts]
    while waiting:
        left = waiting.pop()
        if left in done or left.removesuffix("^") not in rules:
            continue
        done[left] = Counter()
        for right, weight in rules[left.removesuffix("^")].items():
            capital = [left.endswith("^"), *(part == "«" for part in right[:-1])]
            marked = [part + "^" if up else part for part, up in zip(right, capital, strict=True)]
            waiting += marked
            tokens = (p if p.removesuffix("^") in rules else _shown(p) for p in marked)
            done[left][tuple(tokens)] += weight
    return done


def _shown(token: str) -> str:
    return token[:1].upper() + token[1:-1] if token.endswith("^") else token


class Grammar:
    """Probabilistic context-free grammar without left recursion and empty rules.

    `rules` as `expand` returns them; a symbol without rules is a token. Sentences are derived
    from "sentence".
    """

    def __init__(self, rules: Mapping[str, Mapping[tuple[str, ...], Fraction]]):
        starts = [start for start in (START, PROBE) if start in rules]
        self.rules, self._draw = {}, {}
        for left, rights in _capitalise(rules, starts).items():
            total = sum(rights.values())
            self.rules[left] = [(float(w / total), right) for right, w in rights.items()]
            limits = [float(w / total) for w in accumulate(rights.values())]
            self._draw[left] = limits[:-1], list(rights)
        self._first, self._fitting = {}, {}

    def sample(self, symbol: str, dice: random.Random) -> list[str]:
        """Tokens drawn from `symbol`."""
        tokens, stack = [], [symbol]
        while stack:
            symbol = stack.pop()
            if symbol in self.rules:
                stack += self.choose(symbol, dice)[::-1]
            else:
                tokens.append(symbol)
        return tokens

    def choose(self, symbol: str, dice: random.Random) -> tuple[str, ...]:
        """Right side drawn for `symbol`."""
        limits, rights = self._draw[symbol]
        return rights[bisect(limits, dice.random())]

    def first(self, symbol: str) -> frozenset[str]:
        """Tokens with which `symbol` may begin."""
        if symbol not in self._first:
            heads = [right[0] for _, right in self.rules.get(symbol, [])]
            self._first[symbol] = frozenset().union(*map(self.first, heads)) or frozenset({symbol})
        return self._first[symbol]

    def tokens(self) -> list[str]:
        """Every token that can occur, sorted."""
        parts = {part for rights in self.rules.values() for _, right in rights for part in right}
        return sorted(parts - self.rules.keys())

    def prob(self, tokens: Sequence[str]) -> float:
        """Probability of a sentence: the sum over all its derivations (inside algorithm)."""
        return self._inside(tokens, lambda prob: prob)

    def count_parses(self, tokens: Sequence[str]) -> int:
        """Count the derivations of a sentence."""
        return self._inside(tokens, lambda prob: 1)

    def _inside(self, tokens, weigh):
        memo, size, fitting = {}, len(tokens), self._fitting

        def spans(symbol, start):
            """{end: weight of all derivations of tokens[start:end] from symbol}"""
            if start == size:
                return {}
            if (symbol, start) in memo:
                return memo[symbol, start]
            token, found = tokens[start], {}
            if (symbol, token) not in fitting:
                rights = self.rules.get(symbol, [])
                fitting[symbol, token] = [r for r in rights if token in self.first(r[1][0])]
            for prob, right in fitting[symbol, token]:
                ends = {start: weigh(prob)}
                for part in right:
                    after = {}
                    for middle, weight in ends.items():
                        if part in self.rules:
                            for end, inner in spans(part, middle).items():
                                after[end] = after.get(end, 0) + weight * inner
                        elif middle < size and tokens[middle] == part:
                            after[middle + 1] = after.get(middle + 1, 0) + weight
                    ends = after
                for end, weight in ends.items():
                    found[end] = found.get(end, 0) + weight
            memo[symbol, start] = found
            return found

        return spans(f"{START}^", 0).get(size, 0)


@dataclass(frozen=True)
class Sentence:
    """Tokens of a sentence, the last one of . ! ? …, and the grammar that told it."""

    tokens: tuple[str, ...]
    grammar: Grammar = field(repr=False, compare=False)

    @property
    def text(self) -> str:
        """The sentence with spaces as Russian typography has them."""
        return re.sub(r" (?=[,.!?…:»])|(?<=«) ", "", " ".join(self.tokens))

    @property
    def log_prob(self) -> float:
        """Exact log-probability, nats."""
        return math.log(self.grammar.prob(self.tokens))


class Agreement(NamedTuple):
    """A sentence up to its main verb, the verb as it must be, and the same verb disagreeing.

    `distance` is counted in tokens from the head of the subject to the verb.
    """

    prefix: tuple[str, ...]
    right: str
    wrong: str
    distance: int


class Storyteller:
    """Tells fairy-tale sentences, all independent of each other.

    The last token of a sentence is one of . ! ? … outside of «», and no other token is: so no
    sentence begins another one, and a stream of tokens falls into sentences in one way only. The
    entropy per token of the stream, below which no model can bring its loss, is therefore exactly
    E[−log p] / E[length] over sentences; `-sum(s.log_prob) / sum(len(s.tokens))` estimates it.

    `names` are pairs (name, "f" or "m"). Raises ValueError if there are none or for another gender.
    """

    def __init__(self, names: Sequence[tuple[str, str]]):
        if not names:
            raise ValueError("Сказке нужны имена: передайте хотя бы одну пару (имя, «f» или «m»).")
        for name, gender in names:
            if gender not in ("f", "m"):
                raise ValueError(f"У имени «{name}» род «{gender}»: укажите «f» или «m».")
        data = tomllib.loads(STORY.read_text(encoding="utf-8"))
        for name, gender in names:
            block = data["lexicon"]["word"].setdefault(f"name.{gender}", "")
            data["lexicon"]["word"][f"name.{gender}"] = block + f"1 {name[:1].upper()}{name[1:]}\n"
        self.grammar = Grammar(expand(data))
        self._same_verb = _verbs(data)

    def tell(self, num_tokens: int, seed: int) -> list[Sentence]:
        """Sentences with at least `num_tokens` tokens in all; the same seed tells the same story.

        Only `random.Random(seed).random()` is used, which is the same on all platforms.
        """
        dice, sentences = random.Random(seed), []
        while num_tokens > 0:
            tokens = self.grammar.sample(f"{START}^", dice)
            sentences.append(Sentence(tuple(tokens), self.grammar))
            num_tokens -= len(tokens)
        return sentences

    def log_prob(self, tokens: Sequence[str]) -> float:
        """Exact log-probability of a sentence, nats; -inf where it is not grammatical."""
        prob = self.grammar.prob(tokens)
        return math.log(prob) if prob else -math.inf

    def is_grammatical(self, tokens: Sequence[str]) -> bool:
        """Whether the grammar can tell this sentence."""
        return self.grammar.prob(tokens) > 0

    def forms(self) -> list[str]:
        """Every token that can ever be told, sorted."""
        return self.grammar.tokens()

    def agreement(self, count: int, seed: int) -> list[Agreement]:
        """Subjects parted from their verb by a relative clause: Linzen et al. (2016), in Russian.

        With the wrong form the sentence is ungrammatical, with the right one it is not.
        """
        dice, found = random.Random(seed), []
        while len(found) < count:
            *subject, verb = self.grammar.choose(f"{PROBE}^", dice)
            prefix = [t for symbol in subject for t in self.grammar.sample(symbol, dice)]
            (right,) = self.grammar.sample(verb, dice)
            wrong = [
                form
                for form in self._same_verb[verb, right]
                if not self.is_grammatical([*prefix, form, "."])
            ]
            if wrong:
                form = wrong[int(dice.random() * len(wrong))]
                found.append(Agreement(tuple(prefix), right, form, len(prefix)))
        return found


def _verbs(data):
    """{(verb symbol, form): its forms of the same tense in the other genders and numbers}."""
    others = {}
    for paradigm in ("verb", "done"):
        for left, block in data["lexicon"][paradigm].items():
            for line in block.strip().splitlines():
                cells = list(_cells(data["columns"][paradigm], line))
                for _, slot, form in cells:
                    tense = slot.split(".")[0]
                    same = [f for _, s, f in cells if s.split(".")[0] == tense and f != form]
                    others[left.replace("*", slot), form] = sorted(set(same))
    return others
