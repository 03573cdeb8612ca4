"""data/make.py: its tables are whole, a small part of each is made again."""

import math
import re
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import make
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from makers import SEEDS, authors, market, names, novel, theory

from lecture_utils.batching import NameBatches
from lecture_utils.checkpoints import load_model
from lecture_utils.corpora import read_names, story_text, storyteller
from lecture_utils.files import DATA, read_table
from lecture_utils.series import read_series
from lecture_utils.tasks import echo
from lecture_utils.training import evaluate
from lecture_utils.vocabulary import UNK

pytestmark = pytest.mark.usefixtures("one_thread")
CURVE, LAB = read_table("lecture_curve"), read_table("novel_results")


def one_row(table: str, **keys: str) -> dict[str, str]:
    """The only row of a table with these keys."""
    (row,) = (r for r in read_table(table) if keys.items() <= r.items())
    return row


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
    assert keys == list(product(theory.NETS, (5, 10, 20, 30, 60), range(5)))


def test_the_table_of_windows_is_whole():
    rows = read_table("truncation")
    keys = [(r["text"], int(r["seq_len"]), r["state"], int(r["seed"])) for r in rows]
    windows, states = (1, 2, 4, 8, 16, 32), ("carried", "reset")
    assert keys == list(product(("echo", "story"), windows, states, range(5)))


def test_the_table_of_nets_on_names_is_whole():
    rows = read_table("name_nets")
    assert [(r["net"], int(r["seed"])) for r in rows] == list(product(names.NAME_NETS, range(5)))
    for row in rows:
        sees_men = names.NAME_NETS[row["net"]].get("whose", "all") == "all"
        assert 6 < float(row["women"]) < 12 and bool(row["men"]) == sees_men


@pytest.mark.parametrize("net, seed", [("lecture", 0), ("women", 3)])
def test_a_small_part_of_the_nets_on_names_is_made_again(net, seed):
    (women,) = names.learn_names(seed, **names.NAME_NETS[net])
    row = one_row("name_nets", net=net, seed=str(seed))
    assert women == pytest.approx(float(row["women"]), abs=0.1)


def test_a_net_that_learned_names_of_both_genders_is_scored_on_both():
    women, men = names.learn_names(0, steps=1)
    assert women == pytest.approx(35, abs=5) and men == pytest.approx(35, abs=5)


def test_the_table_of_nets_on_lists_is_whole():
    keys = [(r["net"], r["list"], int(r["seed"])) for r in read_table("list_nets")]
    assert keys == list(product(names.LIST_NETS, names.LISTS, range(3)))


def test_a_small_part_of_the_nets_on_lists_is_made_again():
    perplexity, copies = names.learn_list("60", seed=0)
    row = one_row("list_nets", list="60", net="gru_64", seed="0")
    assert perplexity == pytest.approx(float(row["perplexity"]), abs=0.5)
    assert copies == pytest.approx(float(row["copies"]), abs=0.02)


@pytest.mark.parametrize("net, lag, seed", [("rnn_orthogonal", 10, 0), ("lstm_b3", 10, 3)])
def test_a_small_part_of_the_lags_is_made_again(net, lag, seed):
    """Another CPU may need a hundred steps more or less."""
    accuracy, steps = theory.learn_order(lag=lag, seed=seed, **theory.NETS[net])
    row = one_row("lags", net=net, lag=str(lag), seed=str(seed))
    assert accuracy == pytest.approx(float(row["accuracy"]), abs=0.02)
    assert steps == pytest.approx(int(row["steps"]), abs=100)


def test_the_table_of_distances_is_whole():
    keys = [(r["net"], int(r["distance"]), int(r["seed"])) for r in read_table("distance")]
    assert keys == list(product(theory.BOTH_SIDES, (2, 4, 8, 12), range(5)))


@pytest.mark.parametrize("net, distance", [("lstm", 4), ("rnn", 8)])
def test_a_small_part_of_the_distances_is_made_again(net, distance):
    """Another CPU may need fifty steps more or less."""
    accuracy, steps = theory.learn_both_sides(net, distance, seed=1)
    row = one_row("distance", net=net, distance=str(distance), seed="1")
    assert accuracy == pytest.approx(float(row["accuracy"]), abs=0.02)
    assert steps == pytest.approx(int(row["steps"]), abs=50)


def test_who_reads_both_sides_without_learning_guesses():
    accuracy, steps = theory.learn_both_sides("rnn", 4, seed=0, steps=1)
    assert 0.15 < accuracy < 0.35 and steps == 1


def test_the_nets_to_compare_have_about_as_many_weights():
    sizes = []
    for build in theory.BOTH_SIDES.values():
        rnn = build()
        ways = 1 + rnn.bidirectional
        sizes.append(sum(w.numel() for w in rnn.parameters()) + 4 * ways * rnn.hidden_size + 4)
    assert sizes == [2692, 2788, 2860]


def test_the_table_of_depths_is_whole():
    rows = read_table("depth")
    keys = [(int(r["layers"]), float(r["rate"]), int(r["seed"]), int(r["step"])) for r in rows]
    assert keys == list(product(theory.STACKS, (0.003, 0.01, 0.03), range(5), (100, 300, 1000)))


def test_a_small_part_of_the_depths_is_made_again():
    (loss,) = theory.learn_letters(1, 0.01, seed=0, marks=(100,))
    row = one_row("depth", layers="1", rate="0.01", seed="0", step="100")
    assert loss == pytest.approx(float(row["loss"]), abs=0.02)


def test_the_table_of_time_scales_is_whole():
    keys = [(r["net"], int(r["seed"]), int(r["layer"])) for r in read_table("scales")]
    assert keys == list(product(theory.STACKED, range(5), (1, 2, 3)))


def test_a_small_part_of_the_time_scales_is_made_again():
    times = theory.learn_two_speeds("lstm16", seed=0)
    for layer, (before, after) in enumerate(times, start=1):
        row = one_row("scales", net="lstm16", seed="0", layer=str(layer))
        assert before == pytest.approx(float(row["before"]), abs=0.05)
        assert after == pytest.approx(float(row["after"]), rel=0.1)


def test_noise_has_the_time_1_and_a_slow_state_a_longer_one():
    noise = torch.randn(64, 400, 4, generator=torch.Generator().manual_seed(0))
    assert theory.correlation_time(noise) == pytest.approx(1, abs=0.3)
    states, s = [], torch.zeros(64, 4)
    for x in noise.unbind(1):
        s = 0.8 * s + x
        states.append(s)
    assert theory.correlation_time(torch.stack(states, 1)) == pytest.approx(1 / (1 - 0.8), rel=0.2)


def test_the_table_of_ways_and_rivals_is_whole():
    keys = [(r["net"], int(r["open"]), int(r["seed"])) for r in read_table("order")]
    runs = [(net, 0) for net in theory.WAYS] + list(product(theory.RIVALS, (0, 1)))
    assert keys == [(*run, seed) for run in runs for seed in range(5)]


@pytest.mark.parametrize("net, is_open, seed", [("gru", True, 1), ("error_damped", False, 2)])
def test_a_small_part_of_the_ways_and_rivals_is_made_again(net, is_open, seed):
    """Another CPU may need two hundred steps more or less."""
    row = one_row("order", net=net, open=str(int(is_open)), seed=str(seed))
    accuracy, steps = theory.fit_order(*theory.order_net(net, seed, is_open), 30, seed, steps=1000)
    assert accuracy == pytest.approx(float(row["accuracy"]), abs=0.02)
    assert steps == pytest.approx(int(row["steps"]), abs=200)


@pytest.fixture
def split(monkeypatch):
    """split(b_f, b_back) → h of a SplitLSTM, of nn.LSTM with b_f, and how each grows with x."""

    def compare(b_f, b_back):
        monkeypatch.setitem(theory.WAYS, "probe", (b_f, b_back))
        torch.manual_seed(0)
        usual = torch.nn.LSTM(6, 32, batch_first=True)
        usual.bias_ih_l0.data[32:64], usual.bias_hh_l0.data[32:64] = b_f, 0.0
        found = []
        for net in (theory.order_net("probe", seed=0)[0], usual):
            x = torch.randn(2, 12, 6, generator=torch.Generator().manual_seed(1))
            h = net(x.requires_grad_())[0]
            found.append((h.detach(), *torch.autograd.grad(h[:, -1].square().sum(), x)))
        return found

    return compare


def test_where_memory_and_error_have_one_bias_the_split_lstm_is_the_usual_one(split):
    (h, gradient), (usual_h, usual_gradient) = split(3.0, 3.0)
    torch.testing.assert_close(h, usual_h)
    torch.testing.assert_close(gradient, usual_gradient)


def test_a_bias_of_the_error_changes_its_way_back_and_nothing_else(split):
    (h, damped), (usual_h, usual) = split(3.0, 0.0)
    torch.testing.assert_close(h, usual_h)
    torch.testing.assert_close(damped[:, -1], usual[:, -1])
    assert damped[:, 0].norm() < 0.05 * usual[:, 0].norm()
    (h, cut), (usual_h, _) = split(3.0, -torch.inf)
    torch.testing.assert_close(h, usual_h)
    assert cut[:, -1].any() and not cut[:, :-1].any()


def test_the_rivals_have_equally_many_weights_and_open_to_the_same_gate():
    for name in theory.RIVALS:
        net, head = theory.order_net(name, seed=0, is_open=True)
        doubled = sum(w.numel() for part, w in net.named_parameters() if "bias_ih" in part)
        weights = sum(w.numel() for w in (*net.parameters(), *head.parameters())) - doubled
        assert 5000 <= weights <= 5250
        if name == "gru":  # torch stacks r, z, n; z keeps
            keeps = (net.bias_ih_l0 + net.bias_hh_l0)[37:74]
        else:
            p = net.kind(*net.weights)
            keeps = -p.b_i if name == "coupled" else p.b_f
        torch.testing.assert_close(keeps.detach(), torch.full_like(keeps, 3.0))


def test_before_any_learning_the_order_is_a_guess():
    accuracy, steps = theory.learn_order("rnn", lag=30, seed=0, steps=1)
    assert 0.2 < accuracy < 0.3 and steps == 1


@pytest.mark.parametrize("state", ["carried", "reset"])
def test_a_small_part_of_the_windows_is_made_again(state):
    """The echo in windows of 16; another CPU may end a little elsewhere."""
    row = one_row("truncation", text="echo", seq_len="16", state=state, seed="0")
    loss = theory.truncation_loss("echo", 16, state == "carried", 0)
    assert loss == pytest.approx(float(row["loss"]), abs=0.02)


def test_the_curve_of_the_lecture_has_a_row_for_each_step(monkeypatch, tmp_path):
    text = tmp_path / "own.txt"
    text.write_text("жили были дед и баба , ела кашу с молоком . " * 60, encoding="utf-8")
    monkeypatch.setenv("LECTURE_NOVEL", str(text))
    rows = list(novel.lecture_curve(steps=3))
    assert [row["step"] for row in rows] == [1, 2, 3] and list(rows[0]) == list(CURVE[0])
    assert float(rows[0]["loss"]) == pytest.approx(np.log(11), abs=0.2)


def test_the_results_of_the_words_lab_are_whole():
    nets = {"lecture": 4, "full": 13, "adaptive": 13}  # validations in a run
    expected = {
        (text, net, seed): nets[net]
        for text, net, seed in product(("story", "novel"), novel.LAB_NETS, SEEDS)
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
    keys = {"text": "story", "net": "lecture", "seed": "0", "step": "100", "measure": "valid"}
    row = one_row("novel_results", **keys)
    stop = lambda history, model: len(history.loss) == 100
    _, history = novel.train_words(novel.Words(story_text()), "lecture", 0, [stop])
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
    assert all(name in error for name in make.TABLES)


# Who wrote this?


def test_of_a_page_neither_names_nor_marks_nor_french_are_left():
    page = "– Алёша, mon cher! – всё-таки сказал он."
    assert authors.plain_words(page) == [UNK] * 3 + ["все-таки", "сказал", "он"]


def test_a_book_is_learned_from_or_judged_and_volumes_are_one_book(monkeypatch):
    titles = [f"Книга {k}" for k in range(7)] + ["Роман. Том 1", "Роман. Том 2"]
    texts = {title: "а " * (9 - k) for k, title in enumerate(titles)}
    monkeypatch.setattr(authors, "prose_files", lambda author: [])
    monkeypatch.setattr(authors, "read_prose", lambda files, about: texts)
    for seed in range(3):
        read, unread = authors.shelves(authors.books_of("author"), seed)
        lengths = sorted([len(words) for words in read + unread], reverse=True)
        assert lengths == [9, 8, 7, 6, 5, 4, 3, 3] and 9 in map(len, read)
        assert [len(words) for words in unread] == [[7, 3], [6], [5]][seed]


def test_the_shelf_of_an_author_of_few_books_is_never_empty(monkeypatch):
    monkeypatch.setattr(authors, "prose_files", lambda author: [])
    monkeypatch.setattr(
        authors, "read_prose", lambda files, about: {"А": "а а", "Б": "а", "В": "а"}
    )
    assert all(all(authors.shelves(authors.books_of("author"), seed)) for seed in range(3))


@given(st.lists(st.integers(0, 50), min_size=1), st.integers(1, 9), st.integers(1, 20))
def test_pages_are_whole_follow_the_books_and_are_not_too_many(lengths, length, most):
    books = [[(k, i) for i in range(size)] for k, size in enumerate(lengths)]
    found = authors.pages(books, length, most)
    assert len(found) == min(most, sum(size // length for size in lengths))
    assert found == sorted(found) and len({page[0] for page in found}) == len(found)
    assert all(page == books[page[0][0]][page[0][1] :][:length] for page in found)


def test_the_table_of_authors_is_whole():
    rows = read_table("authors")
    keys = [tuple(row[key] for key in ("second", "judge", "seed", "length")) for row in rows]
    lengths = map(str, authors.PAGE_LENGTHS)
    judges = ["network", "words", "letters"]
    assert sorted(keys) == sorted(product(["dostoevsky"], judges, "012", lengths))


def test_a_small_part_of_the_authors_is_made_again(monkeypatch):
    tellers = {
        "tolstoy": storyteller(),
        "other": storyteller({"t": {"past": 1, "pres": 9, "done": 1}}),
    }
    texts = {
        author: {
            str(seed): " ".join(s.text for s in tellers[author].tell(4000, seed)) for seed in seeds
        }
        for author, seeds in {"tolstoy": range(4), "other": range(4, 8)}.items()
    }
    monkeypatch.setattr(authors, "prose_files", lambda author: author)
    monkeypatch.setattr(authors, "read_prose", lambda author, about: texts[author])
    monkeypatch.setattr(authors, "SEEDS", range(1))
    rows = list(authors.authors(second="other", steps=60))
    right = {(row["judge"], row["length"]): float(row["right"]) for row in rows}
    assert len(right) == 3 * len(authors.PAGE_LENGTHS)
    assert all(right[judge, 400] > 0.8 for judge in ("network", "words"))
    assert all(right[judge, 25] < right[judge, 400] for judge in ("network", "words"))


def test_a_page_of_nothing_but_names_is_judged_too():
    judges = authors.experts([[["а", "б", UNK] * 500], [["б", "б", "а"] * 500]], seed=0, steps=1)
    for pair in judges.values():
        assert np.isfinite([nats([[UNK] * 25]) for nats in pair]).all()


def test_two_authors_are_compared_in_no_other_table(capsys):
    with pytest.raises(SystemExit, match="2"):
        make.main(["lags", "--second", "gogol"])
    assert "authors" in capsys.readouterr().err


def test_an_author_who_is_not_in_the_collection_is_one_sentence_and_status_2(capsys):
    assert make.main(["authors", "--second", "homer"]) == 2
    assert "«homer»" in capsys.readouterr().err


# The pictures of README


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height, as the head of a PNG tells them."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])


def test_readme_opens_with_pictures_that_are_light_and_told_in_words():
    root = Path(make.__file__).parents[1]
    opening = (root / "README.md").read_text("utf-8").split("\n## ")[0]
    named = dict(re.findall(r"!\[([^\]]+)\]\(\.github/(\w+)\.png\)", opening))
    assert list(named.values()) == list(make.PICTURES)
    assert all(re.search("[а-яё]{3}", alt) for alt in named)
    assert {path.stem for path in (root / ".github").glob("*.png")} == set(make.PICTURES)
    for name in make.PICTURES:
        assert len((root / ".github" / f"{name}.png").read_bytes()) < 150_000


def test_one_command_makes_the_pictures_of_readme_again(tmp_path, monkeypatch):
    """What a network draws may differ in a word on another CPU, so only the form is compared."""
    few = {"invented_names": lambda: make.invented_names(steps=50)}
    monkeypatch.setattr(make, "PICTURES", make.PICTURES | few)
    kept = make.README_PICTURES
    monkeypatch.setattr(make, "README_PICTURES", tmp_path)
    assert make.main(["pictures"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.png" for name in make.PICTURES}
    for path in tmp_path.iterdir():
        width, height = size_of(path.read_bytes())
        old_width, old_height = size_of((kept / path.name).read_bytes())
        assert width == old_width and height == pytest.approx(old_height, rel=0.4)


# Networks that notebooks read


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_net_of_the_names_lab_is_the_one_of_the_table(seed):
    model, letters = load_model(DATA / f"name_nets/{seed}.pt")
    known = read_names()
    mixed = [known[k] for k in np.random.default_rng(0).permutation(len(known))]
    ninth = mixed[len(known) * 8 // 10 : len(known) * 9 // 10]
    women = [letters.encode_name(n.name, n.gender) for n in ninth if n.gender == "f"]
    row = one_row("name_nets", net="gru_64_dropout", seed=str(seed))
    found = math.exp(evaluate(model, NameBatches(women, 200)))
    assert found == pytest.approx(float(row["women"]), rel=0.005)


def test_a_small_part_of_the_transfer_is_made_again(monkeypatch):
    file = SimpleNamespace(path=Path("Книга.txt"))
    text = "\n".join(story_text().text.splitlines()[:400])
    monkeypatch.setattr(novel, "prose_files", lambda author: [file])
    monkeypatch.setattr(novel, "read_prose", lambda files, about: {"Книга": text})
    rows = novel.transfer("author", "Книга", epochs=2, alone=1)
    ready, taught = next(rows), next(rows)
    assert (ready["net"], taught["net"], taught["seed"]) == ("ready", "taught", 0)
    assert 0.3 < taught["nats"] < ready["nats"] - 0.05


def test_the_table_of_transfer_says_what_the_lab_tells():
    found = {}
    for row in read_table("transfer"):
        found.setdefault(row["net"], []).append(float(row["nats"]))
    assert [len(found[net]) for net in ("ready", "taught", "new")] == [1, 3, 3]
    assert max(found["taught"]) < found["ready"][0] < min(found["new"])


def test_the_table_of_the_series_is_whole():
    rows = read_table("series")
    keys = [
        tuple(row[k] for k in ("experiment", "days", "model", "seed", "part", "step"))
        for row in rows
    ]
    assert len(set(keys)) == len(keys)
    nets = {(r["model"], r["seed"]) for r in rows if r["experiment"] == "error"} - {("garch", "")}
    named = {(cell, str(seed)) for cell in market.SERIES_NETS for seed in (*range(5), "mean")}
    plain = {(name, "") for name in ("yesterday", "mean", "ewma", "har", "har_falls", "ridge")}
    assert nets == named | plain
    assert {r["days"] for r in rows if r["experiment"] == "leak"} == set(market.LEAKS)
    years = {r["part"] for r in rows if r["experiment"] == "origin"}
    assert years == {str(year) for year in range(2016, 2022)}


@pytest.mark.parametrize("days", ["all", "traded"])
def test_a_small_part_of_the_series_is_made_again(days):
    v, r, y, rows, _ = market.volatility(days)
    found = market.rivals(v, r, y, rows)
    found["lstm"], _ = market.learn_series("lstm", np.stack([v, r], 1), y[:, None], rows, 2)
    for model, forecast in found.items():
        seed = "2" if model == "lstm" else ""
        row = one_row("series", experiment="error", days=days, model=model, seed=seed, part="last")
        loss = market.squares(forecast.reshape(-1), y, rows[2]).mean()
        assert loss == pytest.approx(float(row["value"]), abs=0.003 if seed else 1e-5), model


def test_garch_is_made_again_where_arch_is_there():
    pytest.importorskip("arch")
    _, r, y, rows, _ = market.volatility("traded")
    row = one_row("series", experiment="error", days="traded", model="garch", part="last")
    loss = market.squares(market.garch(r, y, rows[0]), y, rows[2]).mean()
    assert loss == pytest.approx(float(row["value"]), abs=1e-4)


@pytest.mark.parametrize("way", market.LEAKS)
def test_a_forecast_of_the_price_never_beats_the_price_of_today(way):
    found = market.learn_price(read_series().close, way, 1, epochs=8)
    rows = [r for r in read_table("series") if (r["experiment"], r["days"]) == ("leak", way)]
    lazy = next(float(r["value"]) for r in rows if (r["model"], r["seed"]) == ("yesterday", "1"))
    assert found["yesterday", "train"] == pytest.approx(lazy, abs=0.01)
    assert found["lstm", "last"] > found["yesterday", "last"]


def test_several_steps_ahead_are_made_again_and_begin_with_one():
    rows = list(market.series_steps(longest=2, seeds=[0]))
    one = [float(r["value"]) for r in rows if (r["model"], r["step"]) == ("lstm_steps", 1)]
    assert one[0] == pytest.approx(0.13, abs=0.01)
    assert [r["step"] for r in rows if r["experiment"] == "steps_gain"] == [1, 2]


@pytest.mark.parametrize("world", market.WORLDS)
def test_made_markets_follow_one_law_and_only_a_bent_one_fears_a_fall(world):
    v, r, level = market.made_markets(world, 40, 1500, seed=1)
    assert v.shape == r.shape == level.shape == (40, 1500)
    assert np.std(v - level) == pytest.approx(0.29, abs=0.01)
    z = r / np.exp(level)
    fear = np.corrcoef(np.minimum(z, 0)[:, :-1].ravel(), np.diff(level).ravel())[0, 1]
    assert fear < -0.3 if world == "bent" else abs(fear) < 0.02


def test_a_small_part_of_the_made_markets_is_made_again():
    rows = list(market.series_markets(counts=(1,), seeds=(0,), epochs=4))
    stored = {
        (r["days"], r["model"]): float(r["value"])
        for r in read_table("series")
        if r["experiment"] == "market" and r["part"] in ("1", "last") and r["seed"] in ("0", "")
    }
    for row in rows:
        loose = 0.05 if row["model"] == "lstm" else 1e-5  # four epochs, not eighty
        told = stored[row["days"], row["model"]]
        assert float(row["value"]) == pytest.approx(told, abs=loose), row
