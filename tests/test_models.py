"""models: the networks of the labs are what their docstrings say."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from lecture_utils.batching import Batch
from lecture_utils.models import LetterModel, TiedWordModel, WordModel


def build_models():
    torch.manual_seed(0)
    yield LetterModel(11)
    yield LetterModel(11, cell="gru")
    yield LetterModel(11, cell="lstm")
    yield WordModel(11)
    yield WordModel(11, cutoffs=[3, 7])
    yield WordModel(11, dropout=0.3).eval()
    yield TiedWordModel(11, 6, 8, [3, 7], torch.randint(5, (11, 3))).eval()
    yield TiedWordModel(11, 6, 8, []).eval()
    yield TiedWordModel(11, 6, 8, [3, 7], torch.randint(5, (11, 3)), own=4).eval()


MODELS = list(build_models())


def test_the_package_alone_costs_nothing():
    code = "import lecture_utils, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_defaults_are_the_sizes_of_the_lecture():
    letters, words = LetterModel(26), WordModel(1000)
    assert isinstance(letters.rnn, nn.RNN) and letters.rnn.hidden_size == 12
    assert words.embedding.weight.shape == (1000, 64)
    assert isinstance(words.rnn, nn.LSTM) and words.rnn.hidden_size == 64
    assert words.head.weight.shape == (1000, 64)


@pytest.mark.parametrize("model", MODELS)
def test_predictions_are_distributions_over_the_vocabulary(model):
    log_probs, _ = model(torch.randint(11, (2, 5)))
    assert log_probs.shape == (2, 5, 11)
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(2, 5))


@pytest.mark.parametrize("model", MODELS)
def test_loss_is_minus_the_log_probability_of_the_target(model):
    x, y = torch.randint(11, (2, 2, 5))
    log_probs, _ = model(x)
    nats, _ = model.nats(Batch(x, y))
    torch.testing.assert_close(nats, -log_probs.gather(-1, y[..., None]).flatten())


def tied(**options):
    torch.manual_seed(0)
    return TiedWordModel(11, 6, 8, [3, 7], torch.randint(5, (11, 3)), **options)


def test_more_groups_than_features_are_refused():
    with pytest.raises(ValueError, match=r"Групп редких слов 4, а признаков 8"):
        WordModel(11, hidden_size=8, cutoffs=[2, 4, 6, 8])


def test_the_adaptive_softmax_of_a_shared_table_is_that_of_torch():
    model = tied().eval()
    theirs = nn.AdaptiveLogSoftmaxWithLoss(6, 11, [3, 7], div_value=1, head_bias=True)
    nn.init.normal_(model.groups), nn.init.normal_(model.bias[:3].data)
    table = model.table().detach()
    theirs.head.weight.data = torch.cat([table[:3], model.groups])
    theirs.head.bias.data = torch.cat([model.bias[:3], model.groups_bias])
    for (to_same, to_words), low, high in zip(theirs.tail, (3, 7), (7, 11), strict=True):
        to_same.weight.data, to_words.weight.data = torch.eye(6), table[low:high]
    x, y = torch.randint(11, (2, 2, 5))
    h, _ = model.features(x)
    expected = -theirs(h.flatten(0, 1), y.flatten()).output
    torch.testing.assert_close(model.nats(Batch(x, y))[0], expected)


def test_the_table_is_made_once_a_window(monkeypatch):
    model, made = tied(), []
    table = model.table
    monkeypatch.setattr(model, "table", lambda: made.append(1) or table())
    x, y = torch.randint(11, (2, 2, 5))
    model.nats(Batch(x, y))
    assert len(made) == 1


def test_folding_changes_no_prediction_no_random_number_and_not_the_model_itself():
    model = tied().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, random_state = torch.randint(11, (2, 5)), torch.get_rng_state()
    folded = model.folded()
    torch.testing.assert_close(folded(x)[0], model(x)[0])
    assert "parts" not in folded.state_dict() and folded.folded() is folded
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("model", MODELS)
def test_padding_does_not_count(model):
    x, y = torch.randint(11, (2, 2, 5))
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()
    nats, _ = model.nats(Batch(x, y, mask))
    other = torch.where(mask, y, (y + 3) % 11)
    assert len(nats) == 8
    torch.testing.assert_close(nats, model.nats(Batch(x, other, mask))[0])


@pytest.mark.parametrize("model", MODELS)
def test_a_carried_state_continues_the_sequence(model):
    x = torch.randint(11, (2, 6))
    whole, _ = model(x)
    first, state = model(x[:, :4])
    second, _ = model(x[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)


def test_an_unknown_cell_is_named_with_the_choices():
    with pytest.raises(ValueError, match=r"«rnm».*rnn, gru, lstm"):
        LetterModel(11, cell="rnm")
