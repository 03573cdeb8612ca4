"""models: the networks of the labs are what their docstrings say."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from lecture_utils.batching import Batch
from lecture_utils.models import LetterModel, WordModel


def build_models():
    torch.manual_seed(0)
    yield LetterModel(11)
    yield LetterModel(11, cell="gru")
    yield LetterModel(11, cell="lstm")
    yield WordModel(11)
    yield WordModel(11, cutoffs=[3, 7])
    yield WordModel(11, dropout=0.3).eval()


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


def test_the_adaptive_softmax_is_that_of_torch():
    model = WordModel(40, 8, 16, cutoffs=[5, 12, 20])
    theirs = nn.AdaptiveLogSoftmaxWithLoss(16, 40, [5, 12, 20], div_value=2, head_bias=True)
    nn.init.zeros_(model.bias)  # theirs has none in the groups
    theirs.head.load_state_dict(model.head.state_dict())
    for (to_few, to_words), narrow, wide in zip(theirs.tail, *model.table()[:2], strict=True):
        to_few.weight.data = narrow.detach()
        to_words.weight.data = wide.detach().view(len(narrow), -1).t()
    h, y = torch.randn(300, 16), torch.randint(40, (300,))
    torch.testing.assert_close(model.log_probs(h), theirs.log_prob(h))
    torch.testing.assert_close(model.target_nats(h, y), -theirs(h, y).output)


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
