"""What lecture_utils.metrics promises."""

import csv
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lecture_utils.metrics import (
    KneserNey,
    longest_copied_span,
    looks_feminine,
    name_report,
    nats_per_char,
    nearest,
    perplexity,
    spelling_nats,
)

ROOT = Path(__file__).parents[1]
NAMES = ROOT / "data" / "names.csv"
NOVEL = ROOT.parent / "shared" / "data" / "anna_karenina.txt"

VOCAB_SIZE = 4
orders = st.integers(1, 5)
sequences = st.lists(st.integers(0, VOCAB_SIZE - 1), max_size=12)
corpora = st.lists(sequences, min_size=1, max_size=5).filter(
    lambda corpus: any(len(sequence) > 1 for sequence in corpus)
)


def test_importing_metrics_does_not_load_torch():
    code = "import sys, lecture_utils.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


# Perplexity


def test_perplexity_of_a_uniform_guess_is_the_size_of_the_vocabulary():
    assert perplexity(np.full((3, 5), np.log(33))) == pytest.approx(33)


def test_perplexity_is_the_inverse_of_the_geometric_mean_of_the_probabilities():
    assert perplexity(-np.log([1 / 2, 1 / 4, 1 / 64])) == pytest.approx(8)


def test_perplexity_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="нет ни одного предсказанного символа"):
        perplexity([])


def test_nats_per_char_spread_tokens_and_spelled_unknown_words_over_the_text():
    assert nats_per_char([3.0, 1.0], [6.0], 5) == pytest.approx(2)
    assert nats_per_char([3.0, 1.0], [], 4) == pytest.approx(1)


def test_nats_per_char_of_an_empty_text_is_an_error():
    with pytest.raises(ValueError, match="положительным, а дано 0"):
        nats_per_char([1.0], [], 0)


# Kneser–Ney


def test_kneser_ney_bigram_worked_out_by_hand():
    """Five bigrams: 01 twice, 12, 20 and 13 once; the symbol 4 was never seen.

    Unigrams: each of 0, 1, 2, 3 follows one symbol, so n2 = 0, D₁ = 0.5 and
    p₁(w) = (1 − 0.5)/4 + 0.5·4/4 · 1/5 = 0.225 for the four, 0.1 for the symbol 4.
    Bigrams: n1 = 3, n2 = 1, D₂ = 3/5. After 1: two continuations, once each.
    """
    model = KneserNey(2, 5).fit([[0, 1, 2, 0, 1, 3]])
    seen, unseen, never = 0.4 / 2 + 0.6 * 0.225, 0.6 * 0.225, 0.6 * 0.1
    assert model.distribution([]) == pytest.approx([0.225] * 4 + [0.1])
    assert model.distribution([1]) == pytest.approx([unseen, unseen, seen, seen, never])


def adjusted_counts(corpus, order, k):
    """a(hw) by its definition: occurrences, or below the highest order distinct predecessors."""
    counts, seen = Counter(), set()
    for number, sequence in enumerate(corpus):
        for i in range(max(1, k - 1), len(sequence)):
            gram = tuple(sequence[i - k + 1 : i + 1])
            event = (sequence[i - k] if i >= k else ("start", number), gram)
            if k == order or event not in seen:
                counts[gram] += 1
            seen.add(event)
    return counts


def by_definition(corpus, order, context, word):
    """p(word | context) straight from the formula, with dictionaries."""
    p = 1 / VOCAB_SIZE
    for k in range(1, min(order, len(context) + 1) + 1):
        counts = adjusted_counts(corpus, order, k)
        n1, n2 = (list(counts.values()).count(j) for j in (1, 2))
        discount = n1 / (n1 + 2 * n2) if n1 and n2 else 0.5
        history = tuple(context[len(context) - k + 1 :])
        after = {gram[-1]: n for gram, n in counts.items() if gram[:-1] == history}
        if after:
            kept = max(after.get(word, 0) - discount, 0)
            p = (kept + discount * len(after) * p) / sum(after.values())
    return p


@given(corpora, orders, sequences)
def test_the_model_is_its_definition(corpus, order, context):
    p = KneserNey(order, VOCAB_SIZE).fit(corpus).distribution(context)
    assert p == pytest.approx([by_definition(corpus, order, context, w) for w in range(VOCAB_SIZE)])


@given(corpora, orders, sequences)
def test_every_distribution_is_positive_and_sums_to_one(corpus, order, context):
    p = KneserNey(order, VOCAB_SIZE).fit(corpus).distribution(context)
    assert p.min() > 0
    assert p.sum() == pytest.approx(1, abs=1e-12)


@given(corpora, corpora, orders)
def test_nats_are_those_of_each_symbol_after_all_before_it_in_its_own_sequence(train, held, order):
    model = KneserNey(order, VOCAB_SIZE).fit(train)
    expected = [-np.log(model.distribution(s[:i])[s[i]]) for s in held for i in range(1, len(s))]
    assert model.nats(held) == pytest.approx(np.array(expected))


def test_the_first_symbol_of_a_sequence_is_context_and_never_predicted():
    start, a, end = 0, 1, 2
    model = KneserNey(1, 3).fit([[start, a, end]] * 10)
    assert len(model.nats([[start, a, end], [start, end]])) == 3
    assert model.distribution([])[start] == pytest.approx(0.5 * 2 / 20 / 3)  # uniform share only


def test_lower_orders_count_each_start_of_a_sequence_so_the_first_letter_keeps_its_frequency():
    start, a, b, end = range(4)
    model = KneserNey(3, 4).fit([[start, a, end]] * 9 + [[start, b, end]])
    assert model.distribution([start])[a] > 0.8


def test_lower_orders_count_distinct_predecessors_not_occurrences():
    """«Франциско» is frequent, but only after «Сан»: elsewhere it is not to be expected."""
    san, francisco, glass, *others = range(8)
    text = [san, francisco] * 50 + [symbol for other in others for symbol in (other, glass)]
    p = KneserNey(2, 9).fit([text]).distribution([8])
    assert p[glass] > 2 * p[francisco]


def test_a_trigram_sees_what_a_bigram_cannot():
    text = [[0, 0, 1, 1] * 50]
    bigram, trigram = (perplexity(KneserNey(n, 2).fit(text).nats(text)) for n in (2, 3))
    assert bigram > 1.9
    assert trigram < 1.1


def test_numpy_ids_do_as_well_as_lists():
    text = np.array([0, 1, 2, 1, 0], dtype=np.int32)
    from_arrays, from_lists = (KneserNey(2, 3).fit([t]).nats([t]) for t in (text, text.tolist()))
    assert from_arrays.tolist() == from_lists.tolist()


def test_packed_n_grams_do_not_overflow_for_a_large_vocabulary():
    text = np.random.default_rng(0).integers(0, 1_000_000, 1000)
    nats = KneserNey(6, 1_000_000).fit([text]).nats([text])
    assert np.isfinite(nats).all()
    assert perplexity(nats) < 20


@pytest.mark.parametrize("order, vocab_size", [(0, 5), (2, 0)])
def test_order_and_vocabulary_must_be_positive(order, vocab_size):
    with pytest.raises(ValueError, match="должны быть не меньше 1"):
        KneserNey(order, vocab_size)


@pytest.mark.parametrize("nothing", [[], [[]], [[1], [2]]])
def test_nothing_to_predict_is_an_error(nothing):
    with pytest.raises(ValueError, match="Предсказывать нечего"):
        KneserNey(2, 3).fit(nothing)
    with pytest.raises(ValueError, match="Предсказывать нечего"):
        KneserNey(2, 3).fit([[0, 1]]).nats(nothing)


@pytest.mark.parametrize("wrong", [-1, 3])
def test_ids_out_of_the_vocabulary_are_an_error(wrong):
    model = KneserNey(2, 3).fit([[0, 1, 2]])
    for use in (model.fit, model.nats, lambda sequences: model.distribution(sequences[0])):
        with pytest.raises(ValueError, match=f"от 0 до 2, а встретились от .*{wrong}"):
            use([[1, wrong]])


@pytest.mark.parametrize("wrong", [[0, 1, 2], ["анна"], [[0.5, 1.5]], [[[0, 1]]]])
def test_what_is_not_a_list_of_id_lists_is_an_error(wrong):
    with pytest.raises(ValueError, match="Нужны списки целых id"):
        KneserNey(2, 3).fit(wrong)


@pytest.mark.slow
@pytest.mark.skipif(not NOVEL.exists(), reason=f"the novel is not here: {NOVEL}")
@pytest.mark.parametrize("order, reference", [(3, 115.8), (5, 116.5)])
def test_perplexity_of_the_novel_is_that_of_the_reference(order, reference):
    tokens = re.findall(r"\w+(?:-\w+)*|[^\w\s]", NOVEL.read_text(encoding="utf-8"))
    train, last = tokens[: len(tokens) * 8 // 10], tokens[len(tokens) * 9 // 10 :]
    kept = [token for token, count in Counter(train).items() if count >= 2]
    index = {token: i for i, token in enumerate(kept, 1)}
    train, last = ([index.get(token, 0) for token in part] for part in (train, last))
    model = KneserNey(order, len(index) + 1).fit([train])
    assert len(index) + 1 == 12_881
    assert perplexity(model.nats([last])) == pytest.approx(reference, rel=0.005)


# Spelling of unknown words

RARE = ["ель", "ива", "липа", "осина"]


def test_a_word_is_charged_for_each_letter_and_its_end():
    ids = {"start": 0, "end": 1, "escape": 2, "а": 3, "б": 4}
    speller = KneserNey(3, len(ids)).fit([[0, 3, 4, 1], [0, 4, 1]])
    expected = [speller.nats([[0, 4, 3, 1]]).sum(), speller.nats([[0, 3, 1]]).sum()]
    assert spelling_nats(["ба", "а"], ["аб", "б"]) == pytest.approx(np.array(expected))


def test_the_probabilities_of_all_words_add_up_to_less_than_one():
    words = ["".join(letters) for n in range(7) for letters in product("аб", repeat=n)]
    total = np.exp(-spelling_nats(words, ["аб", "ба", "б"])).sum()
    assert 0.3 < total < 1


def test_words_like_those_of_training_are_cheaper():
    likely, unlikely = spelling_nats(["лина", "ьпое"], RARE)
    assert likely < unlikely


def test_an_unknown_letter_costs_as_much_as_all_of_unicode():
    known, unknown = spelling_nats(["лина", "лиnа"], RARE)
    assert known + np.log(0x110000) < unknown < np.inf


def test_without_unknown_words_there_is_nothing_to_pay():
    assert spelling_nats([], []).shape == (0,)


def test_words_are_spelled_even_where_training_had_no_rare_one():
    nats = spelling_nats(["да", "нет"], [])
    assert np.isfinite(nats).all() and nats[1] > nats[0] > 2 * np.log(1000)


# Names


@pytest.mark.parametrize("name", ["анна", "Мария", "любовь", "юдифь", "нинель", "анна-мария"])
def test_womens_names_look_feminine(name):
    assert looks_feminine(name)


@pytest.mark.parametrize("name", ["", "иван", "игорь", "даниэль", "олег", "сергей", "гуту", "аь"])
def test_other_endings_do_not(name):
    assert not looks_feminine(name)


@pytest.mark.parametrize(
    "column, value, low, high",
    [("lecture", "1", 1, 1), ("gender", "f", 0.9, 1), ("gender", "m", 0, 0.06)],
)
def test_the_ending_tells_womens_names_from_mens(column, value, low, high):
    with NAMES.open(encoding="utf-8", newline="") as file:
        names = [row["name"] for row in csv.DictReader(file) if row[column] == value]
    assert low <= np.mean([looks_feminine(name) for name in names]) <= high


def test_name_report_counts_by_hand():
    samples = ["анна", "анна", "гута", "иван", "", "анастасияния", "анастасия", "ния", "олег"]
    report = name_report(samples, ["анна", "иван", "анастасия"])
    assert report.feminine_share == 6 / 9
    assert report.distinct == 7
    assert report.novel_share == 4 / 7
    assert (report.empty, report.overlong) == (1, 1)


def test_name_report_of_empty_names_alone_has_nothing_novel():
    assert name_report(["", ""], ["анна"]) == (0, 0, 0, 2, 0)


@pytest.mark.parametrize("samples, names", [([], ["анна"]), (["анна"], [])])
def test_name_report_needs_samples_and_training_names(samples, names):
    with pytest.raises(ValueError, match="Сравнивать нечего"):
        name_report(samples, names)


@cache
def edits(a, b):
    """Levenshtein distance by its recursive definition."""
    if not a or not b:
        return len(a) + len(b)
    swap = edits(a[1:], b[1:]) + (a[0] != b[0])
    return min(swap, edits(a[1:], b) + 1, edits(a, b[1:]) + 1)


words = st.text("абв", max_size=6)


@given(words, st.lists(words, min_size=1, max_size=4))
def test_nearest_is_the_first_name_at_the_least_distance(name, names):
    distances = [edits(name, other) for other in names]
    least = min(distances)
    assert nearest(name, names) == (names[distances.index(least)], least)


# Copied text


def test_longest_copied_span_is_found():
    corpus = "все счастливые семьи похожи друг на друга".split()
    assert longest_copied_span("но все семьи похожи друг другу".split(), corpus) == (2, 3)


def brute_force_span(tokens, corpus):
    for length in range(len(tokens), 0, -1):
        windows = {tuple(corpus[j : j + length]) for j in range(len(corpus) - length + 1)}
        for start in range(len(tokens) - length + 1):
            if tuple(tokens[start : start + length]) in windows:
                return start, length
    return 0, 0


short_texts = st.lists(st.sampled_from("абв"), max_size=12)


@given(short_texts, short_texts)
def test_longest_copied_span_is_that_of_brute_force(tokens, corpus):
    assert longest_copied_span(tokens, corpus) == brute_force_span(tokens, corpus)
