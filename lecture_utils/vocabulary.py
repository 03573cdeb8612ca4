"""Tokens and their numbers: the word tokenizer, its inverse, the vocabulary."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

PAD, END, FEMALE, MALE, UNK = "⟨pad⟩", "⟨end⟩", "⟨f⟩", "⟨m⟩", "⟨unk⟩"
BEGIN = "⟨begin⟩"
NAME_SPECIALS = (PAD, END, FEMALE, MALE)
LIST_SPECIALS = (PAD, END, BEGIN)  # a list of one's own has no gender

# Signs that belong to the letter before them: accents, soft hyphens, variants, joiners.
_SIGNS = "".join(
    chr(code)
    for code in (*range(0x80, 0x20000), *range(0xE0000, 0xE0200))
    if unicodedata.category(chr(code)) in ("Mn", "Mc", "Me", "Cf")
)
# No possessive «++»: Python 3.11 before 3.11.5 takes too much with it, and Debian 12 has 3.11.2.
_LETTERS = rf"(?:\w+|(?![\s.,])[{_SIGNS}])+"
_RUNS = "|".join(rf"{re.escape(mark)}{{2,}}" for mark in "-–—*=~/|<>")
_WORD = re.compile(
    rf"""[A-Za-z][\w+.-]*://[^\s«»„“”"'’<>]*[^\s«»„“”"'’<>,.!?;:…)\]}}›%]  # an address
    | (?: (?<!\w)-(?=\d) | (?<!\w)[#@$€£₽](?=\w) )? {_LETTERS}
      (?: [-/&@+=\\]{_LETTERS}  # кто-то, и/или
        | [.,:–](?<=\d.)(?=\d){_LETTERS}  # 3,14 and 1941–1945
        | \.(?<=[A-Za-z]\.)(?=[A-Za-z]){_LETTERS} )*  # wikipedia.org
      (?: \+\+ | [€£₽$°] )?
    | {_RUNS}
    | \S(?: [{_SIGNS}\U0001f3fb-\U0001f3ff] | (?<=\u200d)[\u2190-\U0001faff] )*  # a mark""",
    re.VERBOSE,
)
_GLUED_LEFT, _GLUED_RIGHT = set(",.!?;:…)]}»%'’”›"), set("([{«„'’‘‚‹")


def split_words(text: str) -> list[str]:
    """Cut a text into words and punctuation marks; nothing but blanks is left out.

    A word keeps what is written inside it without blanks: hyphens, accents, the marks of numbers,
    addresses. A mark stands alone.
    """
    return _WORD.findall(text)


def join_words(tokens: Iterable[str]) -> str:
    """Put spaces and quotes back: `split_words(join_words(t)) == t` for t made by `split_words`."""
    text, open_quotes, glue = "", set(), True
    for token in tokens:
        opening = '"' if token == '"' else "„"
        closes = token in '"“' and opening in open_quotes
        glue = (glue and token[0] not in _SIGNS) or not text
        text += token if glue or closes or token in _GLUED_LEFT else f" {token}"
        glue = token in _GLUED_RIGHT or (token in '"“' and not closes)
        if closes:
            open_quotes.remove(opening)
        elif token in '"„':
            open_quotes.add(token)
    return text


def without_yo(text: str) -> str:
    """The same with е for ё, as most books are printed."""
    return text.replace("ё", "е").replace("Ё", "Е")


def word_parts(word: str) -> list[str]:
    """What a word shares with others: lower case, a capital, endings of 1–4, beginnings of 3–6.

    "-а" is an ending, "а-" a beginning. A mark has no parts; a short word only the short ones.
    """
    plain = word.lower()
    if not plain[-1].isalpha():
        return []
    ends = [f"-{plain[-n:]}" for n in range(1, 5) if len(plain) >= n + 2]
    begins = [f"{plain[:n]}-" for n in range(3, 7) if len(plain) > max(n, 4)]
    return [plain, *(["⟨capital⟩"] if word != plain else []), *ends, *begins]


class Vocabulary:
    """A fixed numbering of tokens: specials first, then by falling frequency, then by alphabet.

    A `set` would number the tokens anew in each run, and a saved network would speak nonsense.
    """

    def __init__(self, tokens: Sequence[str]):
        self.tokens = list(tokens)
        self.index = {token: number for number, token in enumerate(self.tokens)}
        if len(self.index) < len(self.tokens):
            raise ValueError("В словаре есть повторы: каждый символ должен встречаться один раз.")

    @classmethod
    def build(cls, tokens: Iterable[str], specials=(UNK,), min_count=1, always=()) -> "Vocabulary":
        """Number the tokens of the training part seen at least `min_count` times.

        Those of `always` belong in even if never seen: with all forms of a grammar no ⟨unk⟩ lets
        a loss fall below the entropy.
        """
        counts = Counter(tokens)
        kept = {token for token, n in counts.items() if n >= min_count} | set(always)
        order = sorted(kept - set(specials), key=lambda token: (-counts[token], token))
        return cls([*specials, *order])

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self.index

    def find(self, token: str) -> int | None:
        """Number of a token, or of the same token with е for ё; None if there is neither."""
        return self.index.get(token, self.index.get(without_yo(token)))

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Numbers of the tokens; unknown ones become ⟨unk⟩ or, if there is none, a ValueError."""
        tokens = list(tokens)
        found = {token: self.find(token) for token in tokens}
        unknown = [token for token, number in found.items() if number is None]
        if unknown and UNK not in self:
            named = ", ".join(f"«{token}»" for token in unknown)
            known = "".join(sorted(t for t in self.tokens if len(t) == 1)).strip()
            raise ValueError(
                f"Сеть не знает таких символов: {named}; пишите её буквами: «{known}»."
            )
        found |= dict.fromkeys(unknown, self.index.get(UNK))
        return [found[token] for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Tokens of the numbers, specials included."""
        return [self.tokens[number] for number in ids]

    def parts(self, least: int = 2) -> list[list[int]]:
        """For each token the numbers, from 1, of parts that `least` tokens have; 0 fills up."""
        rows = [[] if token[0] == "⟨" else word_parts(token) for token in self.tokens]
        counts = Counter(part for row in rows for part in row)
        shared = sorted(part for part, n in counts.items() if n >= least)
        number = {part: k for k, part in enumerate(shared, start=1)}
        known = [[number[part] for part in row if part in number] for row in rows]
        longest = max(1, *map(len, known))
        return [row + [0] * (longest - len(row)) for row in known]

    def encode_name(self, name: str, gender: str = "") -> list[int]:
        """Numbers of a whole name: gender ("f", "m") or begin symbol, letters, end symbol.

        ValueError: no gender where the vocabulary has no begin symbol.
        """
        start = {"f": FEMALE, "m": MALE, "": BEGIN}.get(gender)
        if start not in self:
            raise ValueError(f"У имени «{name}» не указан пол: впишите f или m в столбец gender.")
        return self.encode([start, *name, END])
