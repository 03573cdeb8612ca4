"""Inside the LSTM: interventions on a watched cell, the cell by hand, and the committed results."""

import numpy as np
import pytest
import torch
from makers import theory
from torch import nn
from torch.nn.functional import one_hot

from lecture_utils import cells, probes
from lecture_utils.batching import Batch
from lecture_utils.corpora import story_text
from lecture_utils.figures import plots
from lecture_utils.files import DATA, read_table
from lecture_utils.probes import LETTERS, load_letters
from lecture_utils.tasks import anbn


@pytest.fixture
def lstm():
    torch.manual_seed(0)
    return nn.LSTM(3, 5, batch_first=True)


@pytest.fixture
def x():
    return torch.randn(12, 3, generator=torch.Generator().manual_seed(1))


def test_watching_does_not_change_what_the_layer_computes(lstm, x):
    seen = probes.watch_lstm(cells.from_torch(lstm)[1], x)
    torch.testing.assert_close(seen["h"], lstm(x[None])[0][0].detach())
    assert {name: tuple(part.shape) for name, part in seen.items()} == dict.fromkeys(
        ["i", "f", "o", "c̃", "c", "h"], (12, 5)
    )


def test_a_wiped_cell_stays_empty_and_the_others_live_on(lstm, x):
    seen = probes.watch_lstm(cells.from_torch(lstm)[1], x, zero=[2])
    assert not seen["c"][:, 2].any() and not seen["h"][:, 2].any()
    assert seen["c"][:, [0, 1, 3, 4]].all()


def test_with_the_forget_gate_held_the_memory_is_the_sum_of_what_was_written(lstm, x):
    seen = probes.watch_lstm(cells.from_torch(lstm)[1], x, hold_f=True)
    torch.testing.assert_close(seen["c"], (seen["i"] * seen["c̃"]).cumsum(0))


def test_a_cell_that_is_not_there_is_named(lstm, x):
    with pytest.raises(ValueError, match="от 0 до 4"):
        probes.watch_lstm(cells.from_torch(lstm)[1], x, zero=[5])


def test_by_hand_open_gates_sum_the_candidates_and_show_them_squashed():
    candidate = np.array([0, 1, 0, 1, -1, 0.5])
    seen = probes.lstm_by_hand(1, 1, 1, candidate)
    np.testing.assert_allclose(seen["c"], candidate.cumsum())
    np.testing.assert_allclose(seen["h"], np.tanh(candidate.cumsum()))


def test_by_hand_each_gate_may_move_step_by_step():
    seen = probes.lstm_by_hand([1, 0, 1], [1, 0.5, 0], [0, 1, 1], [1, 1, 1])
    np.testing.assert_allclose(seen["c"], [1, 0.5, 1])
    np.testing.assert_allclose(seen["h"], [0, np.tanh(0.5), np.tanh(1)])


def test_by_hand_a_cell_moves_as_the_layer_of_torch_whose_gates_it_copies(lstm, x):
    watched = probes.watch_lstm(cells.from_torch(lstm)[1], x)
    for cell in range(5):
        seen = {name: part[:, cell].numpy() for name, part in watched.items()}
        again = probes.lstm_by_hand(seen["i"], seen["f"], seen["o"], seen["c̃"])
        assert again.keys() == seen.keys()
        for name in again:
            np.testing.assert_allclose(again[name], seen[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gate", ["i", "f", "o"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_by_hand_a_gate_out_of_range_is_named(gate, value):
    with pytest.raises(ValueError, match=f"Вентиль {gate} = "):
        probes.lstm_by_hand(**{"i": 1, "f": 1, "o": 1, gate: value}, candidate=[1.0])


def test_the_picture_of_the_gates_draws_what_it_is_given():
    seen = probes.lstm_by_hand([1, 0, 1], [1, 0.5, 0], [0, 1, 1], [1, 1, 1])
    _, strip, low = plots.gates(seen).axes
    memory, output = (line.get_ydata() for line in low.lines)
    assert memory.tolist() == seen["c"].tolist() and output.tolist() == seen["h"].tolist()
    rows = [seen[label.get_text()].tolist() for label in strip.get_yticklabels()]
    assert strip.collections[0].get_array().tolist() == rows


# The forget gate left alone


def test_memory_fades_by_the_gate_at_every_step_and_is_halved_after_its_half_life():
    (b_f, (f, half_life, left)), *others = probes.memory_left(2, -1).items()
    assert b_f == 2 and [b for b, _ in others] == [-1]
    assert f == pytest.approx(1 / (1 + np.exp(-2)))
    assert f**half_life == pytest.approx(0.5)
    np.testing.assert_allclose(left, f ** np.arange(61))


@pytest.mark.parametrize("b_f", [-5.1, 4.1, float("nan")])
def test_a_bias_whose_half_life_would_not_be_seen_is_named(b_f):
    with pytest.raises(ValueError, match=f"b_f = {b_f}: чтобы увидеть половину"):
        probes.memory_left(0, b_f)


def test_the_counting_cells_have_equally_many_weights():
    def count(net):
        doubled = sum(w.numel() for name, w in net.named_parameters() if "bias_ih" in name)
        return sum(w.numel() for w in net.parameters()) - doubled  # torch has two biases

    counts = [count(make()) for make in theory.COUNTERS.values()]
    assert min(counts) >= 560 and max(counts) <= 590


def test_an_own_layer_follows_the_seed():
    def start():
        torch.manual_seed(3)
        return [w.detach() for w in theory.COUNTERS["peephole"]().parameters()]

    torch.testing.assert_close(start(), start(), rtol=0, atol=0)


def test_a_small_part_of_the_committed_results_is_made_again():
    """One LSTM of `python data/make.py gates`; another CPU may differ a bit."""
    rows = [r for r in read_table("gates") if (r["net"], r["seed"]) == ("lstm", "0")]
    assert abs(theory.learn_to_count("lstm", 0)[0] - int(rows[0]["count"])) <= 10


def test_the_stored_counters_are_those_of_the_table():
    (x, y, _), certain = anbn(range(1, 201))
    stored = torch.load(DATA / "counters.pt", weights_only=True)
    rows = [r for r in read_table("gates") if r["experiment"] == "counting" and r["net"] == "lstm"]
    for row in rows:
        net, head = theory.COUNTERS["lstm"](), nn.Linear(10, 3)
        net.load_state_dict(stored[int(row["seed"])]["net"])
        head.load_state_dict(stored[int(row["seed"])]["head"])
        with torch.no_grad():
            right = (head(net(one_hot(x, 3).float())[0]).argmax(2) == y) | ~certain
        assert abs(int(right.all(1).int().argmin()) + 1 - int(row["count"])) <= 1
    assert len(rows) == len(stored) == 5


def test_the_table_of_the_letters_is_whole_and_its_first_net_is_the_committed_one():
    rows = read_table("letters")
    assert [row["seed"] for row in rows] == list("01234")
    again = next(theory.letters())
    assert list(again) == list(rows[0])
    for name, value in rows[0].items():
        assert float(again[name]) == pytest.approx(float(value), abs=0.01, rel=0.01)


def test_the_letter_network_is_small_and_its_weights_are_remade_and_read_back(tmp_path):
    again, short = tmp_path / "letters.pt", 60
    loss = theory.train_letters(again, steps=short)
    model, vocabulary = load_letters(again)
    committed, same_vocabulary = load_letters()
    assert LETTERS.stat().st_size <= 300_000
    assert vocabulary.tokens == same_vocabulary.tokens
    assert loss < 3.4  # nats a letter; ln 69 = 4.2 before any training

    ids = torch.tensor([vocabulary.encode(story_text().text[-2000:])])
    price = [net.nats(Batch(ids[:, :-1], ids[:, 1:], None))[0].mean() for net in (model, committed)]
    assert price[1] < 0.95 < price[0]
