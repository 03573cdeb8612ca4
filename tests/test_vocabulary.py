"""vocabulary: the tokenizer, its inverse, and a numbering that never changes."""

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lecture_utils import corpora
from lecture_utils.vocabulary import (
    _WORD,
    END,
    FEMALE,
    NAME_SPECIALS,
    UNK,
    Vocabulary,
    join_words,
    split_words,
)

usual = st.sampled_from(
    "абвё АБВ—–-.,!?…:;«»„“”‘\"()'’\n 12xY№/@#*<>%+=:\u0301\u200d\u00ad\ufe0f👍"
)
texts = st.text(usual | st.characters(exclude_categories=["Cs"]), max_size=60)


def test_words_and_punctuation_stand_apart_but_a_hyphen_stays_inside():
    assert split_words("«Кто-то пришёл?» – спросил он…") == (
        "« Кто-то пришёл ? » – спросил он …".split()
    )


@pytest.mark.parametrize(
    "text",
    [
        "«Кто-то пришёл?» – спросил он, и замолчал…",
        'Он сказал: "Нет!" – и ушёл (навсегда).',
        "Это „лапки“; это и есть «ёлочки», а это l’amour.",
        "– Да! – И всё.",
        "“Да”, — сказал он. ‘Нет’, – сказала она.",
        "слово -- слово, *** и ---",
        "Число π ≈ 3,14, а 2:1 – счёт; в 12:30 было -5°, 100% и 1/2, всего 1 000 ₽.",
        "В 1941–1945 гг., 01.02.2020, версия 1.2.3",
        "Адрес https://ru.wikipedia.org/wiki/RNN?a=1&b=2#x, почта a.b@mail.ru, файл text.txt.",
        "и/или, C++, #тег, @друг, $5, AT&T",
        "Пу\u0301шкин и А\u0306ня, зна\u00adчит, не\u200bраз",
        "Смайлик 👍🏽, семья 👨\u200d👩\u200d👧, сердце ❤\ufe0f!",
        "об’єкт, п'ять, d’Orsay",
    ],
)
def test_join_restores_spaces_and_quotes(text):
    assert join_words(split_words(text)) == text


@pytest.mark.parametrize(
    "word",
    ["Пу\u0301шкин", "Алексе\u0438\u0306", "зна\u00adчит", "не\u200bраз", "не\u2060раз", "ё\ufe0f"],
)
def test_accents_and_invisible_signs_belong_to_their_word(word):
    assert split_words(f"– {word}, да") == ["–", word, ",", "да"]


def test_the_tale_is_cut_as_the_stored_results_were_made():
    tale = corpora.story_text().text
    assert split_words(tale) == re.findall(r"\w+(?:-\w+)*|[^\w\s]", tale)
    assert join_words(split_words(tale)) == " ".join(tale.split())


def test_no_quantifier_is_possessive_because_early_python_3_11_gets_them_wrong():
    assert not re.search(r"(?<!\\)[+*?}]\+", _WORD.pattern)


@given(texts)
def test_cutting_loses_nothing_but_blanks(text):
    assert "".join(split_words(text)) == "".join(text.split())


@settings(max_examples=300)
@given(texts)
def test_join_loses_no_token(text):
    tokens = split_words(text)
    assert split_words(join_words(tokens)) == tokens


def test_numbers_go_by_frequency_then_by_alphabet():
    vocabulary = Vocabulary.build("б а в б в г".split())
    assert vocabulary.tokens == [UNK, "б", "в", "а", "г"]


@given(st.lists(st.sampled_from("абвгд"), max_size=30), st.randoms())
def test_the_order_of_the_text_does_not_change_the_numbers(tokens, random):
    shuffled = random.sample(tokens, len(tokens))
    assert Vocabulary.build(tokens).tokens == Vocabulary.build(shuffled).tokens


def test_numbers_are_the_same_in_every_process():
    code = (
        "from lecture_utils.vocabulary import Vocabulary;"
        "print(Vocabulary.build('съешь же ещё этих мягких французских булок').tokens)"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONUTF8": "1"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in "123"
    }
    assert len(runs) == 1


def test_rare_types_become_unk_and_forms_of_a_grammar_never():
    vocabulary = Vocabulary.build(["да", "да", "нет"], min_count=2, always=["может"])
    assert vocabulary.tokens == [UNK, "да", "может"]
    assert vocabulary.decode(vocabulary.encode(["да", "нет"])) == ["да", UNK]


def test_a_word_with_yo_is_found_without_it():
    vocabulary = Vocabulary.build(["еще", "Ее"])
    assert vocabulary.decode(vocabulary.encode(["ещё", "Её"])) == ["еще", "Ее"]


def test_an_unknown_letter_is_named():
    letters = Vocabulary.build("анна", specials=NAME_SPECIALS)
    with pytest.raises(ValueError, match=r"«q».*«ан»"):
        letters.encode("aqua"[1:])


def test_a_name_is_framed_by_gender_and_end():
    letters = Vocabulary.build("анна", specials=NAME_SPECIALS)
    assert letters.decode(letters.encode_name("анна", "f")) == [FEMALE, *"анна", END]


def test_repeated_tokens_are_refused():
    with pytest.raises(ValueError, match="повторы"):
        Vocabulary(["а", "а"])


def test_a_name_without_a_gender_is_named():
    letters = Vocabulary.build("анна", specials=NAME_SPECIALS)
    with pytest.raises(ValueError, match=r"«анна» не указан пол.*f или m"):
        letters.encode_name("анна", "")
