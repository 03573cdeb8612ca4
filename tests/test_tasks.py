"""What the tasks promise: right answers, the stated levels of chance, the same data from a seed."""

from collections import Counter, defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lecture_utils.tasks import (
    ANBN_SYMBOLS,
    COPY_SYMBOLS,
    CUPS,
    NAME_SYMBOLS,
    RECALL_KEYS,
    TEMPORAL_ORDER_SYMBOLS,
    TEMPORAL_ORDER_WINDOW,
    anbn,
    backwards,
    context_tagging,
    copying,
    cups,
    gender_of_name,
    is_vowel,
    name_of_gender,
    recall,
    temporal_order,
    two_speeds,
    vowel_parity,
)

quick = settings(max_examples=50)
batches, seeds = st.integers(1, 6), st.integers(0, 2**32 - 1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def spell(ids, symbols):
    return ["".join(symbols[k] for k in row) for row in ids.tolist()]


@pytest.mark.parametrize(
    "draw",
    [
        lambda g: temporal_order(4, 20, g),
        lambda g: context_tagging(4, 20, 2, g),
        lambda g: two_speeds(4, 100, g),
        lambda g: recall(4, 10, g),
        lambda g: copying(4, 10, g),
        lambda g: cups(4, 20, g),
    ],
)
def test_the_seed_alone_decides_and_the_generator_goes_on(draw):
    first, again, other = draw(generator(1)), draw(generator(1)), draw(generator(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    g = generator(1)
    assert not torch.equal(draw(g)[0], draw(g)[0])


# ---- Temporal order --------------------------------------------------------------------------


@quick
@given(batch_size=batches, lag=st.integers(0, 30), seed=seeds)
def test_temporal_order_names_the_two_symbols_in_their_order(batch_size, lag, seed):
    inputs, targets = temporal_order(batch_size, lag, generator(seed))
    assert inputs.shape == (batch_size, TEMPORAL_ORDER_WINDOW + lag)
    assert targets.shape == (batch_size,)
    classes = {"XX": 0, "XY": 1, "YX": 2, "YY": 3}
    for text, target in zip(spell(inputs, TEMPORAL_ORDER_SYMBOLS), targets.tolist(), strict=True):
        assert classes["".join(symbol for symbol in text if symbol in "XY")] == target
        assert set(text[TEMPORAL_ORDER_WINDOW:]) <= set("abcd")


def test_temporal_order_places_and_distractors_are_spread_evenly():
    inputs, _ = temporal_order(20_000, 5, generator())
    important = inputs >= TEMPORAL_ORDER_SYMBOLS.index("X")
    share = important[:, :TEMPORAL_ORDER_WINDOW].float().mean(0)
    assert share.tolist() == pytest.approx([2 / TEMPORAL_ORDER_WINDOW] * len(share), rel=0.1)
    distractors = Counter(inputs[~important].tolist())
    assert {TEMPORAL_ORDER_SYMBOLS[k] for k in distractors} == set("abcd")
    assert max(distractors.values()) < 1.05 * min(distractors.values())


def test_temporal_order_chance_is_a_quarter_and_a_half_with_one_symbol():
    inputs, targets = temporal_order(20_000, 5, generator())
    assert (targets.bincount() / len(targets)).tolist() == pytest.approx([0.25] * 4, rel=0.05)
    texts = spell(inputs, TEMPORAL_ORDER_SYMBOLS)
    last_seen = [max(text.rfind("X"), text.rfind("Y")) for text in texts]
    one_symbol = [text[place] for text, place in zip(texts, last_seen, strict=True)]
    assert best_accuracy(one_symbol, targets.tolist()) == pytest.approx(0.5, rel=0.05)


def best_accuracy(knowledge, answers):
    """What the best guesser can reach who knows `knowledge` and no more."""
    counts = defaultdict(Counter)
    for known, answer in zip(knowledge, answers, strict=True):
        counts[known][answer] += 1
    return sum(max(counter.values()) for counter in counts.values()) / len(answers)


# ---- aⁿbⁿ ------------------------------------------------------------------------------------

LANGUAGE = ["·" + "a" * n + "b" * n + "·" for n in range(1, 30)]


def test_anbn_of_two_written_out():
    (inputs, targets, mask), certain = anbn([2])
    assert spell(inputs, ANBN_SYMBOLS) == ["·aabb"]
    assert spell(targets, ANBN_SYMBOLS) == ["aabb·"]
    assert mask.all()
    assert certain.tolist() == [[True, False, False, True, True]]


@quick
@given(ns=st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_anbn_is_next_symbol_prediction_padded_and_masked(ns):
    (inputs, targets, mask), _ = anbn(ns)
    assert inputs.shape == targets.shape == mask.shape == (len(ns), 2 * max(ns) + 1)
    for row, n in enumerate(ns):
        string = "·" + "a" * n + "b" * n + "·"
        assert spell(inputs[row][mask[row]][None], ANBN_SYMBOLS) == [string[:-1]]
        assert spell(targets[row][mask[row]][None], ANBN_SYMBOLS) == [string[1:]]
        assert (inputs[row][~mask[row]] == 0).all() and (targets[row][~mask[row]] == 0).all()
        assert mask[row].tolist() == sorted(mask[row].tolist(), reverse=True)


@quick
@given(ns=st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_anbn_is_certain_where_the_language_leaves_one_next_symbol(ns):
    (inputs, _, mask), certain = anbn(ns)
    for text, real, marked in zip(
        spell(inputs, ANBN_SYMBOLS), mask.tolist(), certain.tolist(), strict=True
    ):
        for t in range(len(text)):
            prefix = text[: t + 1]
            following = {word[t + 1] for word in LANGUAGE if word[:-1].startswith(prefix)}
            assert marked[t] == (real[t] and len(following) == 1)


# ---- Tagging by both contexts ----------------------------------------------------------------


@quick
@given(batch_size=batches, distance=st.integers(1, 4), spare=st.integers(1, 9), seed=seeds)
def test_context_tag_is_made_of_both_neighbours(batch_size, distance, spare, seed):
    length = 2 * distance + spare
    inputs, targets, mask = context_tagging(batch_size, length, distance, generator(seed))
    assert inputs.shape == targets.shape == mask.shape == (batch_size, length)
    for bits, tags, real in zip(inputs.tolist(), targets.tolist(), mask.tolist(), strict=True):
        for t in range(length):
            has_both = t - distance >= 0 and t + distance < length
            assert real[t] == has_both
            if has_both:
                assert tags[t] == int(f"{bits[t - distance]}{bits[t + distance]}", 2)


def test_context_tagging_chance_is_a_quarter_blind_and_a_half_one_way():
    inputs, targets, mask = context_tagging(20_000, 9, 2, generator())
    answers = targets[mask].tolist()
    places = mask.nonzero().tolist()
    rows = spell(inputs, "01")
    blind = [0 for _ in places]
    left = [rows[row][: t + 1] for row, t in places]
    right = [rows[row][t:] for row, t in places]
    both = [rows[row] + str(t) for row, t in places]
    assert best_accuracy(blind, answers) == pytest.approx(0.25, rel=0.05)
    assert best_accuracy(left, answers) == pytest.approx(0.5, rel=0.05)
    assert best_accuracy(right, answers) == pytest.approx(0.5, rel=0.05)
    assert best_accuracy(both, answers) == 1


def test_the_two_moods_are_as_fast_and_as_lasting_as_they_promise():
    """Both moods are as frequent: a bit flips half the time, and what it did tells what it does.

    Two flips k steps apart agree with ½ + ½·0.6²·(1 − 2/50)ᵏ, for a change of mood turns the sign.
    """
    bits = two_speeds(2000, 300, generator())
    flips = (bits[:, 1:] != bits[:, :-1]).double()
    assert set(bits.unique().tolist()) == {0, 1}
    assert flips.mean().item() == pytest.approx(0.5, abs=0.02)
    for k in (1, 25):
        agree = (flips[:, k:] == flips[:, :-k]).double().mean().item()
        assert agree == pytest.approx(0.5 + 0.18 * (1 - 2 / 50) ** k, abs=0.01)


# ---- The five kinds of task, on names --------------------------------------------------------

LETTERS = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"
words = st.lists(st.text(LETTERS + "-", min_size=1, max_size=9), min_size=1, max_size=5)


def answers(task, symbols="01"):
    """The wanted answers in the order of the steps at which they are due."""
    rows = zip(task.targets, task.mask, strict=True)
    return ["".join(symbols[k] for k in row[due].tolist()) for row, due in rows]


def test_names_as_tasks_written_out():
    assert spell(backwards(["яна", "ия"]).inputs, NAME_SYMBOLS) == ["яна···", "ия····"]
    assert answers(backwards(["яна", "ия"]), NAME_SYMBOLS) == ["аня", "яи"]
    assert spell(name_of_gender(["ия", "лев"], "fm").inputs, NAME_SYMBOLS) == ["♀ия·", "♂лев"]
    assert answers(name_of_gender(["ия", "лев"], "fm"), NAME_SYMBOLS) == ["ия·", "лев·"]
    assert answers(vowel_parity(["алексей", "ия"])) == ["1100011", "10"]


def test_is_vowel_knows_the_ten_vowels_of_the_33_letters():
    inputs, targets, mask = is_vowel()
    assert spell(inputs.T, NAME_SYMBOLS) == [LETTERS] and mask.all()
    assert spell(inputs[targets == 1][None], NAME_SYMBOLS) == ["аеёиоуыэюя"]


@quick
@given(names=words)
def test_tasks_on_names_say_at_which_steps_an_answer_is_due(names):
    genders = ["fm"[len(name) % 2] for name in names]
    assert answers(gender_of_name(names, genders)) == ["1" if g == "f" else "0" for g in genders]
    last = gender_of_name(names, genders).mask.nonzero()[:, 1].tolist()
    assert last == [len(name) - 1 for name in names]
    assert answers(backwards(names), NAME_SYMBOLS) == [name[::-1] for name in names]
    assert backwards(names).mask.long().argmax(1).tolist() == list(map(len, names))
    assert answers(name_of_gender(names, genders), NAME_SYMBOLS) == [name + "·" for name in names]
    vowels = [
        [sum(c in "аеёиоуыэюя" for c in name[:t]) for t in range(1, len(name) + 1)]
        for name in names
    ]
    assert answers(vowel_parity(names)) == ["".join(str(n % 2) for n in row) for row in vowels]


def test_a_symbol_that_no_name_has_is_named():
    with pytest.raises(ValueError, match="Символов «J», «a», «n», «А» в алфавите нет"):
        vowel_parity(["Анна", "Jana"])


# ---- Recall, copying, cups -------------------------------------------------------------------


@quick
@given(batch_size=batches, pairs=st.integers(1, RECALL_KEYS), seed=seeds)
def test_recall_asks_each_key_once_for_the_value_told_after_it(batch_size, pairs, seed):
    for row in zip(*(x.tolist() for x in recall(batch_size, pairs, generator(seed))), strict=True):
        inputs, targets, mask = row
        told = dict(zip(inputs[: 2 * pairs : 2], inputs[1 : 2 * pairs : 2], strict=True))
        asked = inputs[2 * pairs :]
        assert set(asked) == set(told) <= set(range(RECALL_KEYS)) and len(told) == pairs
        assert [told[key] for key in asked] == [RECALL_KEYS + v for v in targets[2 * pairs :]]
        assert mask == [False] * 2 * pairs + [True] * pairs


def test_recall_draws_all_values_alike_and_asks_in_an_order_of_its_own():
    inputs, targets, mask = recall(2000, 4, generator())
    counts = torch.bincount(targets[mask])
    assert len(counts) == 8 and (counts - 1000).abs().max() < 150  # five standard deviations
    same = (inputs[:, :8:2] == inputs[:, 8:]).float().mean()
    assert same == pytest.approx(1 / 4, abs=0.03)


def test_recall_has_no_more_pairs_than_keys():
    with pytest.raises(ValueError, match="pairs = 17 не годится: разных ключей всего 16"):
        recall(1, 17, generator())


@quick
@given(batch_size=batches, length=st.integers(1, 30), seed=seeds)
def test_copying_says_the_string_again_and_each_letter_said_is_the_next_input(
    batch_size, length, seed
):
    inputs, targets, mask = copying(batch_size, length, generator(seed))
    string = inputs[:, :length]
    assert ((string >= 1) & (string <= COPY_SYMBOLS)).all() and not inputs[:, length].any()
    assert torch.equal(targets[:, length:], string)
    assert torch.equal(inputs[:, length + 1 :], string[:, :-1])
    assert mask[:, length:].all() and not mask[:, :length].any()


@quick
@given(batch_size=batches, length=st.integers(1, 40), seed=seeds)
def test_the_ball_goes_with_its_cup(batch_size, length, seed):
    swaps = [(i, j) for i in range(CUPS) for j in range(i + 1, CUPS)]
    inputs, targets, mask = cups(batch_size, length, generator(seed))
    for symbols, places in zip(inputs.tolist(), targets.tolist(), strict=True):
        row = ["ball", *range(1, CUPS)]
        for symbol, place in zip(symbols, places, strict=True):
            i, j = swaps[symbol]
            row[i], row[j] = row[j], row[i]
            assert row[place] == "ball"
    assert mask.all()


def test_after_many_swaps_the_ball_may_be_anywhere():
    counts = torch.bincount(cups(5000, 12, generator()).targets[:, -1])
    assert len(counts) == CUPS and (counts - 1000).abs().max() < 150


# ---- Bad arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: temporal_order(-1, 5, generator()), "batch_size = -1"),
        (lambda: temporal_order(2, -1, generator()), "lag = -1"),
        (lambda: temporal_order(2, 5.0, generator()), "lag = 5.0"),
        (lambda: anbn([]), r"len\(ns\) = 0"),
        (lambda: anbn([3, 0]), "n = 0"),
        (lambda: anbn([1.5]), "n = 1.5"),
        (lambda: context_tagging(2, 4, 2, generator()), "length = 4"),
        (lambda: context_tagging(2, 9, 0, generator()), "distance = 0"),
        (lambda: recall(2, 0, generator()), "pairs = 0"),
        (lambda: copying(2, 0, generator()), "length = 0"),
        (lambda: cups(0, 5, generator()), "batch_size = 0"),
    ],
)
def test_an_impossible_argument_is_named_in_one_russian_sentence(call, name):
    with pytest.raises(ValueError, match=f"Аргумент {name}.*нужно целое число") as error:
        call()
    assert str(error.value).endswith(".") and "\n" not in str(error.value)
