"""training: one loop for both labs, and nothing learned is ever lost."""

import math
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import textwrap
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lecture_utils import training
from lecture_utils.batching import NameBatches, StreamBatches
from lecture_utils.checkpoints import load_checkpoint
from lecture_utils.distributed import pick_device
from lecture_utils.files import save_atomically
from lecture_utils.models import LetterModel, WordModel
from lecture_utils.training import History, Plan, evaluate, train

CYCLE = [1, 2, 3, 4, 0] * 60  # a text that can be learned by heart
NAMES = [[1, 2, 3, 0], [1, 3, 0], [1, 4, 4, 4, 0]] * 4


def small_model(lr=0.02, optimizer=torch.optim.Adam, dropout=0.3, cutoffs=(), **how):
    torch.manual_seed(0)
    model = WordModel(5, 8, 8, dropout=dropout, cutoffs=cutoffs)
    return model, optimizer(model.parameters(), lr=lr, **how)


def stream_run(steps=20, dropout=0.3, valid=None, callbacks=(), checkpoint=None, **plan):
    model, optimizer = small_model(dropout=dropout)
    options = {"valid": valid, "callbacks": callbacks, "checkpoint": checkpoint}
    batches = StreamBatches(CYCLE, 4, 10)
    return model, train(model, batches, optimizer, Plan(steps, **plan), **options)


def stop_after(steps):
    """A callback that asks to stop after so many steps."""
    return lambda history, model: len(history.loss) >= steps


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


# Learning


def test_a_text_learned_by_heart_costs_almost_nothing():
    model, history = stream_run(steps=200, dropout=0.0)
    assert history.loss[0] > 1.4 and history.loss[-1] < 0.1
    assert evaluate(model, StreamBatches(CYCLE, 1, 299)) < 0.1


def test_names_are_learned_up_to_their_entropy():
    torch.manual_seed(0)
    model = LetterModel(5)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    batches = NameBatches(NAMES, 6)
    history = train(model, batches, optimizer, Plan(300), valid=batches)
    entropy = 4 * 3 * math.log(3) / (4 * (3 + 2 + 4))  # only the first letter is open
    assert entropy <= history.valid_loss[-1] + 1e-6 < entropy + 0.03


def test_the_same_seed_gives_the_same_run():
    (one, first), (other, second) = stream_run(), stream_run()
    assert first.loss == second.loss and same_weights(one, other)


def test_evaluation_changes_nothing():
    with_valid = stream_run(valid=StreamBatches(CYCLE, 4, 10), every=3)
    assert with_valid[1].loss == stream_run(every=3)[1].loss


def test_evaluation_is_the_mean_over_targets_with_carried_state_and_no_dropout():
    torch.manual_seed(0)
    model = WordModel(5, 8, 8, dropout=0.5).train()
    ids = torch.tensor(CYCLE[:32])
    log_probs, _ = model.eval()(ids[None, :-1])
    model.train()
    expected = -log_probs[0].gather(-1, ids[1:, None]).mean().item()
    assert evaluate(model, StreamBatches(ids, 1, 7)) == pytest.approx(expected, rel=1e-5)
    assert model.training


# Truncated BPTT, clipping, step size


def recorded_states(batches, steps, monkeypatch):
    torch.manual_seed(0)
    model, seen = WordModel(5, 8, 8), []
    nats = model.nats
    monkeypatch.setattr(model, "nats", lambda b, s=None: seen.append(s) or nats(b, s))
    train(model, batches, torch.optim.SGD(model.parameters(), 0.1), Plan(steps))
    return seen


def test_streams_carry_a_detached_state_and_reset_it_in_each_epoch(monkeypatch):
    batches = StreamBatches(CYCLE, 4, 30)
    states = recorded_states(batches, 2 * len(batches), monkeypatch)
    assert [s is None for s in states] == [True, False, False] * 2
    assert all(not part.requires_grad for s in states if s for part in s)


def test_names_never_share_a_state(monkeypatch):
    assert recorded_states(NameBatches(NAMES, 6), 5, monkeypatch) == [None] * 5


def test_the_norm_reported_is_that_before_clipping_and_the_step_is_clipped():
    torch.manual_seed(0)
    model = WordModel(5, 8, 8)
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    batches = StreamBatches(CYCLE, 4, 10)
    history = train(model, batches, optimizer, Plan(1, clip=1e-3))
    moved = torch.cat([(p - q).flatten() for p, q in zip(model.parameters(), before, strict=True)])
    assert history.grad_norm[0] > 0.05
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-2)


def test_with_decay_the_step_size_falls_along_a_cosine_and_comes_back():
    rates = []
    model, optimizer = small_model(1.0, torch.optim.SGD)
    note = lambda history, model: rates.append(optimizer.param_groups[0]["lr"])
    batches = StreamBatches(CYCLE, 4, 10)
    train(model, batches, optimizer, Plan(4, decay=True), callbacks=[note])
    assert rates == pytest.approx([1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5])
    assert optimizer.param_groups[0]["lr"] == 1.0


def test_a_run_for_some_seconds_ends_with_the_step_size_at_zero(monkeypatch):
    ticks = count()  # on a busy machine a step may take any time
    clock = SimpleNamespace(perf_counter=lambda: 0.01 * next(ticks))
    monkeypatch.setattr(training, "time", clock)
    rates = []
    model, optimizer = small_model(1.0)
    note = lambda history, model: rates.append(optimizer.param_groups[0]["lr"])
    plan = Plan(10**9, seconds=0.3, decay=True)
    history = train(model, StreamBatches(CYCLE, 4, 10), optimizer, plan, callbacks=[note])
    assert history.stopped == "finished" and history.seconds >= 0.3
    assert rates == sorted(rates, reverse=True) and rates[0] > 0.9 and rates[-1] < 1e-6


def test_every_n_steps_there_is_a_validation_and_each_step_a_callback():
    seen = []
    note = lambda history, model: seen.append((len(history.loss), len(history.valid_loss)))
    _, history = stream_run(7, valid=StreamBatches(CYCLE, 4, 10), every=3, callbacks=[note])
    assert history.valid_step == [3, 6, 7] and history.stopped == "finished"
    assert seen == [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (6, 2), (7, 3)]


def test_an_interrupt_ends_the_run_between_two_steps_and_keeps_what_was_learned():
    heard = []

    def press(history, model):
        heard.append(history.stopped)
        if len(heard) == 5:
            signal.raise_signal(signal.SIGINT)

    model, history = stream_run(1000, callbacks=[press])
    assert heard == [""] * 5 + ["interrupted"]
    assert history.stopped == "interrupted" and len(history.loss) == 5
    other, _ = stream_run(1000, callbacks=[stop_after(5)])
    assert same_weights(model, other)


def test_a_callback_that_asks_ends_the_run_and_all_hear_of_it():
    heard = [[], []]
    listen = [lambda history, model, h=h: h.append(history.stopped) for h in heard]
    _, history = stream_run(1000, callbacks=[listen[0], lambda *_: True, listen[1]])
    assert len(history.loss) == 1 and history.stopped == "interrupted"
    assert heard == [["", "interrupted"]] * 2


class Broken(Exception):
    pass


def break_at_step_15(history, model):
    if len(history.loss) == 15:
        raise Broken


@pytest.mark.parametrize("fault", ["callback", "gradient"])
def test_a_run_that_breaks_is_closed_all_the_same(fault):
    model, optimizer = small_model(1.0, torch.optim.SGD)
    before = signal.getsignal(signal.SIGINT)
    if fault == "gradient":
        steps = count()
        model.head.bias.register_hook(lambda g: g * (math.inf if next(steps) == 14 else 1))
    with pytest.raises((Broken, FloatingPointError)):
        plan, callbacks = Plan(20, decay=True), [break_at_step_15]
        train(model, StreamBatches(CYCLE, 4, 10), optimizer, plan, callbacks=callbacks)
    assert optimizer.param_groups[0]["lr"] == 1.0 and not model.training
    assert signal.getsignal(signal.SIGINT) is before


def test_after_the_run_an_interrupt_is_an_ordinary_one_again():
    before = signal.getsignal(signal.SIGINT)
    stream_run(1)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    "bad",
    [{"steps": 0}, {"every": 0}, {"clip": 0}, {"clip": -1}, {"clip": math.nan}, {"seconds": 0}],
)
def test_a_bad_setting_is_named_before_any_step(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))}.*{next(iter(bad.values()))}"):
        stream_run(**bad)


def test_an_infinite_gradient_ends_the_run_before_it_reaches_the_weights():
    model, optimizer = small_model(0.1)
    model.head.bias.register_hook(lambda grad: grad * math.inf)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(FloatingPointError, match=r"На шаге 1 потери или градиент .*уменьшите"):
        train(model, StreamBatches(CYCLE, 4, 10), optimizer, Plan(20))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_with_patience_the_best_weights_come_back():
    model, optimizer = small_model(dropout=0.0)
    valid = StreamBatches(torch.randint(5, (300,)), 4, 10)
    plan = Plan(500, every=2, patience=3)
    history = train(model, StreamBatches(CYCLE, 4, 10), optimizer, plan, valid=valid)
    assert history.stopped == "patience"
    assert len(history.valid_loss) == history.valid_loss.index(history.best) + 1 + 3
    assert evaluate(model, valid) == pytest.approx(history.best)
    assert history.valid_loss[-1] > history.best


def test_patience_without_validation_is_refused_before_training():
    with pytest.raises(ValueError, match=r"patience.*valid"):
        stream_run(patience=2)


def test_a_loss_that_is_not_a_number_stops_with_advice():
    model = WordModel(5, 8, 8)
    nn.init.constant_(model.head.bias, math.nan)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(FloatingPointError, match=r"уменьшите скорость обучения"):
        train(model, StreamBatches(CYCLE, 4, 10), optimizer, Plan(3))


# Checkpoints


@pytest.mark.parametrize("stop_at", [1, 7, 12])
def test_a_resumed_run_ends_with_the_same_weights_bit_for_bit(tmp_path, stop_at):
    valid = StreamBatches(CYCLE, 4, 10)
    common = {"steps": 20, "every": 4, "valid": valid, "decay": True, "patience": 9}
    whole, history = stream_run(**common)
    path = tmp_path / "run.pt"
    stream_run(**common, checkpoint=path, callbacks=[stop_after(stop_at)])
    resumed, second = stream_run(**common, checkpoint=path)
    assert same_weights(whole, resumed)
    assert second.loss == history.loss and second.valid_loss == history.valid_loss
    assert second.grad_norm == history.grad_norm and second.stopped == "finished"


def test_a_finished_run_resumed_is_left_as_it_is(tmp_path):
    path = tmp_path / "run.pt"
    first, history = stream_run(checkpoint=path)
    again, second = stream_run(checkpoint=path)
    assert same_weights(first, again) and second.loss == history.loss


@pytest.mark.parametrize("first", [{"steps": 8}, {"steps": 20, "seconds": 1e-9}])
def test_a_run_given_more_steps_or_time_goes_on_as_if_it_had_them_from_the_start(
    tmp_path, first, capsys
):
    whole, history = stream_run(steps=20)
    path = tmp_path / "run.pt"
    stream_run(**first, checkpoint=path)
    prolonged, second = stream_run(steps=20, checkpoint=path)
    assert same_weights(whole, prolonged) and second.loss == history.loss
    assert re.fullmatch(r"Обучение продолжается после шага \d+\.\n", capsys.readouterr().out)


def test_where_the_rate_falls_towards_the_end_a_new_end_is_told(tmp_path, capsys):
    path = tmp_path / "run.pt"
    stream_run(steps=8, decay=True, checkpoint=path)
    _, history = stream_run(steps=20, decay=True, checkpoint=path)
    assert len(history.loss) == 20 and "(lr) убывает к концу" in capsys.readouterr().out


def test_a_run_given_fewer_steps_than_it_has_made_is_left_as_it_is(tmp_path):
    path = tmp_path / "run.pt"
    whole, _ = stream_run(steps=20, checkpoint=path)
    again, history = stream_run(steps=5, checkpoint=path)
    assert same_weights(whole, again) and len(history.loss) == 20


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(tmp_path, full_disk, capsys):
    path = tmp_path / "run.pt"
    whole, _ = stream_run(steps=20)
    stream_run(steps=8, checkpoint=path)
    kept = path.read_bytes()
    with full_disk(len(kept) // 2):
        model, history = stream_run(steps=20, checkpoint=path)
    assert same_weights(whole, model) and history.stopped == "finished"
    assert "run.pt записать не удалось" in capsys.readouterr().err
    assert path.read_bytes() == kept and list(tmp_path.iterdir()) == [path]


def refused(said, path, model, optimizer, plan=None, **options):
    """What `train` refuses to go on with; nothing is changed."""
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    rates = [group["lr"] for group in optimizer.param_groups]
    content, random_state = path.read_bytes(), torch.get_rng_state()
    with pytest.raises(ValueError, match=said):
        batches = StreamBatches(CYCLE, 4, 10)
        train(model, batches, optimizer, plan or Plan(20), checkpoint=path, **options)
    assert path.read_bytes() == content and torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert rates == [group["lr"] for group in optimizer.param_groups] and not optimizer.state


@pytest.fixture
def stopped(tmp_path):
    """The checkpoint of a run of 20 steps of Adam, stopped after five."""
    path = tmp_path / "run.pt"
    stream_run(checkpoint=path, callbacks=[stop_after(5)])
    return path


@pytest.mark.parametrize("other", [{"clip": 1.0}, {"decay": True}, {"every": 7}])
def test_a_checkpoint_of_another_plan_is_refused(stopped, other):
    plan = Plan(**{"steps": 20, **other})
    refused(rf"другими настройками \({next(iter(other))}\)", stopped, *small_model(), plan)


def test_a_checkpoint_of_another_network_is_refused(stopped):
    model = WordModel(6, 8, 8)
    refused("другого размера", stopped, model, torch.optim.Adam(model.parameters()))


def test_validation_and_patience_belong_to_the_run(stopped):
    valid = StreamBatches(CYCLE[:100], 1, 10)
    refused(r"другими настройками \(valid\)", stopped, *small_model(), valid=valid)
    plan = Plan(20, patience=3)
    refused(r"\(patience, valid\)", stopped, *small_model(), plan, valid=valid)


@pytest.mark.parametrize(
    ("optimizer", "how", "said"),
    [
        (torch.optim.SGD, {}, "optimizer"),
        (torch.optim.AdamW, {}, "optimizer"),
        (torch.optim.Adam, {"betas": (0.9, 0.99)}, r"\(betas\)"),
        (torch.optim.Adam, {"weight_decay": 0.1}, r"\(weight_decay\)"),
        (torch.optim.Adam, {"lr": 0.5}, r"\(lr\)"),
    ],
)
def test_the_optimizer_and_its_options_belong_to_the_run(stopped, optimizer, how, said):
    refused(said, stopped, *small_model(**{"optimizer": optimizer, **how}))


def test_an_optimizer_of_other_parameters_is_refused(stopped):
    model, _ = small_model()
    halves = [{"params": model.rnn.parameters()}, {"params": model.head.parameters()}]
    refused("parameters", stopped, model, torch.optim.Adam(halves, lr=0.02))


FOREIGN = [b"", b"not a checkpoint", b"hello", b"step,loss", b"PK\x03\x04 torn", {"format": 1}]


@pytest.mark.parametrize("content", FOREIGN)
def test_a_damaged_or_foreign_checkpoint_is_named(tmp_path, content):
    path = tmp_path / "run.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match=r"run\.pt.*повреждён"):
        stream_run(20, checkpoint=path)


def test_code_hidden_in_a_checkpoint_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "hacked"),)

    path = tmp_path / "run.pt"
    torch.save({"format": 1, "optimizer": Evil()}, path)
    with pytest.raises(ValueError, match=r"не контрольная точка"):
        load_checkpoint(path)
    assert not (tmp_path / "hacked").exists()


def test_a_place_that_cannot_be_written_is_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"нельзя записать.*absent"):
        stream_run(checkpoint=tmp_path / "absent" / "run.pt")
    with pytest.raises(ValueError, match=r"нельзя записать"):
        stream_run(checkpoint=tmp_path)


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "run.pt"
    save_atomically({"n": 1}, path)
    with pytest.raises((AttributeError, pickle.PicklingError)):  # which, depends on Python
        save_atomically({"n": lambda: None}, path)
    assert torch.load(path, weights_only=True)["n"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


KILLED_RUN = """
    import sys, torch
    from lecture_utils.batching import StreamBatches
    from lecture_utils.models import WordModel
    from lecture_utils.training import Plan, train

    torch.set_num_threads(1)
    path = sys.argv[1]
    torch.manual_seed(0)
    model = WordModel(3000, 64, 64, dropout=0.2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    ids = torch.randint(3000, (2000,), generator=torch.Generator().manual_seed(1))
    train(model, StreamBatches(ids, 4, 10), optimizer, Plan(150, every=2), checkpoint=path)
    torch.save(model.state_dict(), path + ".weights")
"""


def start(path: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(KILLED_RUN), str(path)])


@pytest.mark.slow
def test_a_run_killed_at_any_moment_can_be_resumed_to_the_same_weights(tmp_path):
    assert start(tmp_path / "whole.pt").wait() == 0
    path, aside = tmp_path / "run.pt", tmp_path / "run.pt.tmp"
    moments = random.Random(0)
    in_the_middle = 0
    for kill in range(5):
        process = start(path)
        at_least = path.stat().st_mtime_ns if path.exists() else 0
        while not path.exists() or path.stat().st_mtime_ns == at_least:  # it goes on
            assert process.poll() is None
            time.sleep(0.001)
        if kill == 2:  # in the middle of writing
            while not (aside.exists() and aside.stat().st_size > 100_000):
                assert process.poll() is None
        else:
            time.sleep(moments.uniform(0, 0.2))
        process.kill()
        assert process.wait() != 0
        in_the_middle += aside.exists()
        content = load_checkpoint(path)  # readable
        assert 2 <= len(content["history"]["loss"]) < 150
    assert in_the_middle >= 1
    assert start(path).wait() == 0
    whole, resumed = (
        torch.load(tmp_path / f"{name}.pt.weights", weights_only=True) for name in ("whole", "run")
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not aside.exists()


def test_the_device_rule_can_be_overridden():
    assert pick_device("cpu").type == "cpu"
    assert pick_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_history_without_validation_has_no_best():
    assert History().best == math.inf
