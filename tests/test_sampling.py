"""sampling: the rules, and generation with a carried state."""

import math
import unicodedata

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lecture_utils.models import LetterModel, TiedWordModel, WordModel
from lecture_utils.sampling import (
    choice_probs,
    continue_text,
    draw,
    entropy,
    generate,
    likeliest,
    sample_names,
    stream_text,
    surprise,
)
from lecture_utils.vocabulary import NAME_SPECIALS, UNK, Vocabulary

logits = st.lists(st.floats(-8, 8), min_size=2, max_size=12).map(torch.tensor)


@given(logits)
def test_without_a_rule_the_distribution_is_that_of_the_model(z):
    torch.testing.assert_close(choice_probs(z.log_softmax(-1)), z.softmax(-1))


@given(logits, st.floats(0.2, 5))
def test_temperature_raises_probabilities_to_a_power(z, temperature):
    powered = z.double().softmax(-1) ** (1 / temperature)
    got = choice_probs(z.double().log_softmax(-1), temperature=temperature)
    torch.testing.assert_close(got, powered / powered.sum())


@given(logits)
def test_temperature_zero_is_the_greedy_choice(z):
    probs = choice_probs(z, temperature=0)
    assert probs.max() == 1 and z[probs.argmax()] == z.max()


@given(logits, st.integers(1, 15))
def test_top_k_keeps_the_ratios_of_the_k_best(z, k):
    full, kept = z.softmax(-1), choice_probs(z, top_k=k)
    best = kept > 0
    torch.testing.assert_close(kept[best], full[best] / full[best].sum())
    assert 0 < best.sum() <= k and best.sum() + (full == 0).sum() >= min(k, len(z))
    assert best.all() or z[best].min() >= z[full > kept].max()


@given(logits, st.integers(1, 15))
def test_the_uniform_top_k_of_the_lecture_forgets_the_ratios(z, k):
    kept = choice_probs(z, top_k=k, uniform=True)
    size = min(k, len(z))
    torch.testing.assert_close(kept[kept > 0], torch.full((size,), 1 / size))


@given(logits, st.floats(0.05, 1))
def test_the_nucleus_is_the_smallest_set_that_reaches_p(z, p):
    full, kept = z.double().softmax(-1), choice_probs(z.double(), top_p=p)
    inside = full[kept > 0]
    assert inside.sum() >= p - 1e-9
    assert inside.sum() - inside.min() < p
    assert inside.min() >= full[kept == 0].max() if (kept == 0).any() else True


@given(logits, st.floats(0.2, 5), st.integers(1, 9), st.floats(0.05, 1), st.booleans())
def test_every_rule_gives_a_distribution(z, temperature, top_k, top_p, uniform):
    probs = choice_probs(z, temperature, top_k, top_p, uniform)
    assert (probs >= 0).all()
    torch.testing.assert_close(probs.sum(), torch.tensor(1.0))


@pytest.mark.parametrize(
    "rule", [{"temperature": 1}, {"top_k": 3, "uniform": True}, {"top_p": 1.0}]
)
def test_a_forbidden_symbol_stays_forbidden(rule):
    z = torch.tensor([-torch.inf, 1.0, -torch.inf, 0.0])
    assert choice_probs(z, **rule)[[0, 2]].tolist() == [0, 0]


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": -1},
        {"temperature": float("nan")},
        {"top_k": 0},
        {"top_p": 0},
        {"top_p": 1.5},
    ],
)
def test_rules_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match=r"Температура|top_k|top_p"):
        choice_probs(torch.zeros(3), **bad)


def test_entropy_of_a_uniform_choice_is_the_logarithm_of_its_size():
    torch.testing.assert_close(entropy(torch.full((8,), 1 / 8)), torch.tensor(8.0).log())


# Generation

LETTERS = Vocabulary.build("абвгдеёжз", specials=NAME_SPECIALS)


@pytest.fixture
def letters():
    torch.manual_seed(1)
    return LetterModel(len(LETTERS), cell="gru")


@pytest.fixture
def words():
    torch.manual_seed(1)
    return WordModel(len(WORDS))


WORDS = Vocabulary.build("Все смешалось в доме , еще".split())


def test_one_step_at_a_time_equals_running_the_whole_prefix_again(words):
    prompt = torch.tensor([[1, 2, 3]])
    ids = generate(words, prompt, 8, temperature=0)
    prefix = prompt
    for _ in range(8):
        best = words(prefix)[0][:, -1].argmax(-1, keepdim=True)
        prefix = torch.cat([prefix, best], dim=1)
    assert ids.tolist() == prefix[:, 3:].tolist()


def test_each_symbol_costs_one_recurrent_step(words, monkeypatch):
    lengths = []
    features = words.features
    monkeypatch.setattr(
        words, "features", lambda x, state: lengths.append(x.shape[1]) or features(x, state)
    )
    generate(words, torch.tensor([[1, 2, 3]]), 5)
    assert lengths == [3, 1, 1, 1, 1]


def test_frequencies_of_drawn_symbols_follow_the_model(words):
    prompt = torch.tensor([[2]] * 20_000)
    drawn = generate(words, prompt, 1, forbidden=[0])
    log_probs = words(prompt[:1])[0][0, -1]
    log_probs[0] = -torch.inf
    freq = drawn[:, 0].bincount(minlength=len(WORDS)) / len(drawn)
    torch.testing.assert_close(freq, choice_probs(log_probs), atol=0.015, rtol=0)


def test_names_begin_with_the_prefix_stop_at_the_end_and_hold_letters_only(letters):
    names = sample_names(letters, LETTERS, 200, prefix="Ё", max_length=6)
    assert all(name.startswith("ё") and set(name) <= set("абвгдеёжз") for name in names)
    assert len({len(name) for name in names}) > 3 and max(map(len, names)) <= 7


def test_the_same_seed_gives_the_same_names_and_another_seed_others(letters):
    draw = lambda seed: sample_names(letters, LETTERS, 20, seed=seed)
    assert draw(1) == draw(1) != draw(2)


def test_an_unknown_letter_of_the_prefix_is_named(letters):
    with pytest.raises(ValueError, match="«q»"):
        sample_names(letters, LETTERS, 3, prefix="аq")


@pytest.mark.parametrize("bad", [{"gender": "x"}, {"count": 0}, {"max_length": 0}])
def test_names_asked_for_in_a_wrong_way_are_refused(letters, bad):
    with pytest.raises(ValueError):
        sample_names(letters, LETTERS, **{"count": 3, **bad})


def test_text_goes_on_from_the_prompt_and_never_writes_unk(words):
    texts = continue_text(words, WORDS, "Все смешалось", 30, count=20)
    assert all(text.startswith("Все смешалось") and UNK not in text for text in texts)
    assert len(set(texts)) == 20


def test_a_prompt_in_letters_of_two_signs_is_the_same_prompt(words, letters):
    composed, decomposed = (unicodedata.normalize(form, "Ёж и её") for form in ("NFC", "NFD"))
    assert composed != decomposed
    texts = [continue_text(words, WORDS, prompt, 5) for prompt in (composed, decomposed)]
    assert texts[0] == texts[1]
    names = [
        sample_names(letters, LETTERS, 3, prefix=p.split()[-1]) for p in (composed, decomposed)
    ]
    assert names[0] == names[1]


def test_an_unknown_word_is_read_as_unk_and_said(words, capsys):
    continue_text(words, WORDS, "Все перепуталось в доме", 3)
    assert "перепуталось" in capsys.readouterr().out


def test_yo_is_read_as_ye_where_the_text_has_none(words, capsys):
    assert continue_text(words, WORDS, "ещё", 5) != []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("bad", [{"prompt": "  "}, {"num_words": 0}, {"count": 0}])
def test_text_asked_for_in_a_wrong_way_is_refused(words, bad):
    with pytest.raises(ValueError):
        continue_text(words, WORDS, **{"prompt": "Все", "num_words": 3, **bad})


def test_a_model_in_training_comes_back_in_training(words):
    words.train()
    continue_text(words, WORDS, "Все", 3)
    assert words.training


# Adaptive softmax: without a rule a group of rare words is opened only when it comes up

ADAPTIVE = WordModel(30, 8, 8, cutoffs=[5, 12])
RULES = st.one_of(
    st.just({}),
    st.builds(lambda t: {"temperature": t}, st.sampled_from([0.05, 0.5, 0.8, 1.0, 1.7, 4.0])),
    st.builds(lambda k, u: {"top_k": k, "uniform": u}, st.integers(1, 30), st.booleans()),
    st.builds(lambda k, t: {"top_k": k, "temperature": t}, st.integers(1, 9), st.floats(0.3, 3)),
    st.builds(lambda p: {"top_p": p}, st.floats(0.05, 1)),
    st.builds(lambda p, t: {"top_p": p, "temperature": t}, st.floats(0.1, 1), st.floats(0.3, 3)),
    st.builds(lambda p, k: {"top_p": p, "top_k": k}, st.floats(0.1, 1), st.integers(1, 9)),
    st.just({"temperature": 0}),
    st.just({"uniform": True}),
)


@pytest.mark.parametrize(
    "bad",
    [
        *({"temperature": t} for t in (-1, math.nan, math.inf)),
        *({"top_k": 0}, {"top_p": 0}, {"top_p": 1.5}),
    ],
)
@pytest.mark.parametrize("model", [ADAPTIVE, WordModel(30, 8, 8)])
def test_a_rule_out_of_range_is_named_before_anything_is_drawn(model, bad, monkeypatch):
    name, value = next(iter(bad.items()))
    said = f"{'Температура' if name == 'temperature' else name}.*{value}"
    monkeypatch.setattr(model, "features", None)
    with pytest.raises(ValueError, match=said):
        generate(model, torch.tensor([[1]]), 3, **bad)


def test_an_equal_lot_without_a_limit_is_among_all_but_the_forbidden():
    log_probs = torch.tensor([0.7, 0.2, 0.1, 0.0]).log()
    torch.testing.assert_close(
        choice_probs(log_probs, uniform=True), torch.tensor([1, 1, 1, 0]) / 3
    )


@settings(max_examples=60)
@example({}, 1.0, [0], 0)
@given(RULES, st.floats(0.3, 12), st.sampled_from([[], [0], [0, 20]]), st.integers(0, 99))
def test_words_drawn_by_groups_follow_the_full_distribution(rule, spread, forbidden, seed):
    torch.manual_seed(seed)
    h = (spread * torch.randn(1, 8)).repeat(20_000, 1)
    with torch.no_grad():
        drawn = draw(ADAPTIVE, h, torch.Generator().manual_seed(seed), forbidden, **rule)
        log_probs = ADAPTIVE.log_probs(h[0])
    log_probs[forbidden] = -torch.inf
    probs = choice_probs(log_probs, **rule)
    freq = drawn.bincount(minlength=30) / len(drawn)
    torch.testing.assert_close(freq, probs, atol=0.018, rtol=0)  # five standard deviations
    assert (probs[drawn] > 0).all()


def test_without_a_rule_groups_are_opened_only_for_rows_where_they_come_up(monkeypatch):
    torch.manual_seed(0)
    model = WordModel(30, 8, 8, cutoffs=[5, 12])
    model.head.head.bias.data[5:] = -20.0  # groups all but never come up
    monkeypatch.setattr(model, "group", None)
    with torch.no_grad():
        drawn = draw(model, torch.randn(100, 8), torch.Generator().manual_seed(0))
    assert drawn.max() < 5 and len(set(drawn.tolist())) > 1


def test_an_unfolded_model_makes_its_table_once_a_text(monkeypatch):
    torch.manual_seed(0)
    model, made = TiedWordModel(len(WORDS), 6, 8, [3], torch.randint(5, (len(WORDS), 3))), []
    table = TiedWordModel.table
    counted = lambda self: (made.append(1) if self.parts is not None else None) or table(self)
    monkeypatch.setattr(TiedWordModel, "table", counted)
    continue_text(model, WORDS, "Все", 20)
    assert len(made) == 1 and model.parts is not None


@pytest.mark.parametrize("temperature", [1e-30, 1e-39, 1e-300, 5e-324])
def test_the_smallest_temperature_is_the_greedy_choice(temperature):
    log_probs = torch.tensor([0.2, 0.5, 0.3, 0.0]).log()
    assert choice_probs(log_probs, temperature).tolist() == [0, 1, 0, 0]
    assert choice_probs(log_probs.double(), temperature).tolist() == [0, 1, 0, 0]


def test_text_comes_word_by_word_and_is_the_same_as_at_once(words):
    options = {"num_words": 20, "seed": 4, "top_k": 3}
    pieces = list(stream_text(words, WORDS, "Все смешалось", **options))
    assert len(pieces) == 21 and pieces[0] == "Все смешалось"
    assert "".join(pieces) == continue_text(words, WORDS, "Все смешалось", **options)[0]


def test_a_word_is_on_the_page_before_the_next_is_drawn(words, monkeypatch):
    steps, features = [], words.features
    monkeypatch.setattr(words, "features", lambda *a: steps.append(1) or features(*a))
    stream = stream_text(words, WORDS, "Все", 5)
    assert [len(steps) for _ in stream] == [0, 1, 2, 3, 4, 5]


# How surprising a text is

NETS = {
    "letters": lambda: LetterModel(12, 6, "gru", dropout=0.5),
    "words": lambda: WordModel(12, 6, 8, dropout=0.5, cutoffs=(4, 8)),
    "tied": lambda: TiedWordModel(12, 6, 8, (4, 8), torch.randint(5, (12, 3))),
}
some_ids = st.lists(st.integers(0, 11), min_size=1, max_size=40)


@pytest.mark.parametrize("net", NETS)
@given(some_ids, st.integers(1, 50))
@settings(max_examples=15, deadline=None)
def test_surprise_is_that_of_one_forward_pass_however_the_text_is_cut(net, ids, window):
    torch.manual_seed(0)
    model = NETS[net]().eval()
    bits = surprise(model, ids, window)
    assert len(bits) == len(ids) and bits[0].isnan()
    log_probs = model(torch.tensor([ids]))[0][0, :-1]
    told = -log_probs.gather(1, torch.tensor(ids)[1:, None])[:, 0] / math.log(2)
    torch.testing.assert_close(bits[1:], told, rtol=1e-4, atol=1e-4)


def test_a_net_that_knows_nothing_is_surprised_by_the_logarithm_of_the_alphabet():
    model = LetterModel(8, 4)
    torch.nn.init.zeros_(model.head.weight), torch.nn.init.zeros_(model.head.bias)
    assert surprise(model, [3, 1, 4, 1])[1:].tolist() == pytest.approx([3, 3, 3])


def test_surprise_has_no_dropout_and_leaves_the_net_as_it_was():
    model = NETS["letters"]().train()
    ids = list(range(12))
    torch.testing.assert_close(surprise(model, ids), surprise(model, ids), equal_nan=True)
    assert model.training


@pytest.mark.parametrize("net", NETS)
def test_the_likeliest_of_several_texts_is_that_of_the_least_surprise(net):
    torch.manual_seed(1)
    model, prompt = NETS[net]().eval(), torch.tensor([5, 2, 7])
    best = likeliest(model, prompt, 9, count=6, seed=3, top_p=0.9)
    drawn = generate(model, prompt.expand(6, -1), 9, seed=3, top_p=0.9)
    texts = [torch.cat([prompt, row]) for row in drawn]
    means = [surprise(model, text)[3:].mean().item() for text in texts]
    assert len(set(means)) == 6
    assert torch.equal(best, texts[means.index(min(means))])
    assert torch.equal(likeliest(model, prompt, 9, count=1, seed=3, top_p=0.9)[:3], prompt)
