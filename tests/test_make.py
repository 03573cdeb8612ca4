"""data/make.py: its tables are whole, a small part of each is made again."""

from itertools import product

import make
import numpy as np
import pytest
import torch

from lecture_utils.corpora import story_text
from lecture_utils.files import read_table
from lecture_utils.tasks import echo

CURVE, LAB = read_table("lecture_curve"), read_table("novel_results")


@pytest.fixture(autouse=True)
def one_thread():
    """As the tables were made: nets so small only lose by a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_echo_repeats_what_stood_so_many_places_before():
    ids = echo(1000, lag=7, seed=0)
    assert len(ids) == 1000 and set(ids[::2].tolist()) == {0, 1, 2, 3}
    odd = np.arange(7, 1000, 2)
    assert (ids[odd] == ids[odd - 7] + 4).all()


def test_the_echo_follows_its_seed_and_each_digit_is_as_frequent():
    assert (echo(500, 7, seed=1) == echo(500, 7, seed=1)).all()
    assert (echo(500, 7, seed=1) != echo(500, 7, seed=2)).any()
    counts = np.bincount(echo(8000, 7, seed=0))
    assert (np.abs(counts - 1000) < 120).all()  # about four standard deviations


def test_the_table_of_lags_is_whole():
    keys = [(row["net"], int(row["lag"]), int(row["seed"])) for row in read_table("lags")]
    assert keys == list(product(make.NETS, (5, 10, 20, 30, 60), range(5)))


def test_the_table_of_windows_is_whole():
    rows = read_table("truncation")
    keys = [(r["text"], int(r["seq_len"]), r["state"], int(r["seed"])) for r in rows]
    windows, states = (1, 2, 4, 8, 16, 32), ("carried", "reset")
    assert keys == list(product(("echo", "story"), windows, states, range(5)))


@pytest.mark.parametrize("net, lag, seed", [("rnn_orthogonal", 10, 0), ("lstm_b3", 10, 3)])
def test_a_small_part_of_the_lags_is_made_again(net, lag, seed):
    """Another CPU may need a hundred steps more or less."""
    accuracy, steps = make.learn_order(lag=lag, seed=seed, **make.NETS[net])
    (row,) = (
        r
        for r in read_table("lags")
        if (r["net"], r["lag"], r["seed"]) == (net, str(lag), str(seed))
    )
    assert accuracy == pytest.approx(float(row["accuracy"]), abs=0.02)
    assert steps == pytest.approx(int(row["steps"]), abs=100)


def test_before_any_learning_the_order_is_a_guess():
    accuracy, steps = make.learn_order("rnn", lag=30, seed=0, steps=1)
    assert 0.2 < accuracy < 0.3 and steps == 1


@pytest.mark.parametrize("state", ["carried", "reset"])
def test_a_small_part_of_the_windows_is_made_again(state):
    """The echo in windows of 16; another CPU may end a little elsewhere."""
    (row,) = (
        r
        for r in read_table("truncation")
        if (r["text"], r["seq_len"], r["state"], r["seed"]) == ("echo", "16", state, "0")
    )
    loss = make.truncation_loss("echo", 16, state == "carried", 0)
    assert loss == pytest.approx(float(row["loss"]), abs=0.02)


def test_the_curve_of_the_lecture_has_a_row_for_each_step(monkeypatch, tmp_path):
    text = tmp_path / "own.txt"
    text.write_text("жили были дед и баба , ела кашу с молоком . " * 60, encoding="utf-8")
    monkeypatch.setenv("LECTURE_NOVEL", str(text))
    rows = list(make.lecture_curve(steps=3))
    assert [row["step"] for row in rows] == [1, 2, 3] and list(rows[0]) == list(CURVE[0])
    assert float(rows[0]["loss"]) == pytest.approx(np.log(11), abs=0.2)


def test_the_results_of_the_words_lab_are_whole():
    nets = {"lecture": 4, "full": 13, "adaptive": 13}  # validations in a run
    expected = {
        (text, net, seed): nets[net]
        for text, net, seed in product(("story", "novel"), make.LAB_NETS, make.SEEDS)
    }
    keys = [(r["text"], r["net"], r["measure"], r["seed"]) for r in LAB]
    for (text, net, seed), count in expected.items():
        assert keys.count((text, net, "valid", str(seed))) == count
        assert keys.count((text, net, "train", str(seed))) == count
        assert keys.count((text, net, "test", str(seed))) == 1
    for text, net in product(("story", "novel"), ("full", "adaptive")):
        assert keys.count((text, net, "valid slow", "0")) == 1
    for text, measure in product(("story", "novel"), ("valid", "test")):
        assert keys.count((text, "trigram", measure, "")) == 1
    assert {key[:2] + key[3:] for key in keys if key[1] != "trigram"} == {
        (text, net, str(seed)) for text, net, seed in expected
    }


def test_of_the_novel_only_short_samples_of_the_nets_are_kept():
    samples = [row["value"] for row in LAB if row["measure"] == "wrote"]
    assert samples and max(map(len, samples)) < 400
    for row in LAB:
        assert row["measure"] == "wrote" or float(row["value"]) >= -1


def test_a_small_part_of_the_words_lab_is_made_again():
    """The first hundred steps of the lecture's net on the tale: another CPU ends near by."""
    (row,) = (
        r
        for r in LAB
        if (r["text"], r["net"], r["seed"], r["step"], r["measure"])
        == ("story", "lecture", "0", "100", "valid")
    )
    stop = lambda history, model: len(history.loss) == 100
    _, history = make.train_words(make.Words(story_text()), "lecture", 0, [stop])
    assert history.valid_loss == [pytest.approx(float(row["value"]), abs=0.03)]


def test_a_novel_that_is_not_there_is_one_sentence_and_status_2(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("LECTURE_NOVEL", str(tmp_path / "absent.txt"))
    assert make.main(["lecture_curve"]) == 2
    error = capsys.readouterr().err
    assert "absent.txt" in error and error.count("\n") == 1
    assert read_table("lecture_curve") == CURVE


def test_an_unknown_table_is_refused_with_the_names_of_those_there_are(capsys):
    with pytest.raises(SystemExit, match="2"):
        make.main(["everything"])
    error = capsys.readouterr().err
    assert all(name in error for name in ("lags", "truncation", "gates", "lecture_curve"))
