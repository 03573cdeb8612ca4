"""checkpoints: a network saved is the same network in another program, ready to go on learning."""

import subprocess
import sys

import pytest
import torch
from test_models import MODELS

from lecture_utils.batching import Batch
from lecture_utils.checkpoints import load_model, save_model
from lecture_utils.models import LetterModel, TiedWordModel
from lecture_utils.vocabulary import UNK, Vocabulary

VOCABULARY = Vocabulary([UNK, *"абвгдежзик"])
X = torch.randint(11, (2, 5))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pt"


@pytest.mark.parametrize("model", MODELS)
def test_a_network_read_back_predicts_the_same(model, path):
    save_model(path, model, VOCABULARY)
    loaded, vocabulary = load_model(path)
    assert type(loaded) is type(model) and not loaded.training
    assert vocabulary.tokens == VOCABULARY.tokens and loaded.settings == model.settings
    torch.testing.assert_close(loaded(X)[0], model.eval()(X)[0], rtol=0, atol=0)


@pytest.mark.parametrize("model", MODELS)
def test_a_network_read_back_goes_on_learning_as_if_it_had_not_been_saved(model, path):
    save_model(path, model, VOCABULARY)
    losses = []
    for network in (model, load_model(path)[0]):
        torch.manual_seed(0)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(3):
            loss = network.train().nats(Batch(X[:, :-1], X[:, 1:]))[0].mean()
            optimizer.zero_grad(), loss.backward(), optimizer.step()
        losses.append(loss.item())
    assert losses[0] == losses[1]


def test_in_bytes_the_file_is_a_quarter_and_the_predictions_hardly_move(path):
    torch.manual_seed(0)
    model, vocabulary = LetterModel(500, 200, "lstm"), Vocabulary(map(str, range(500)))
    sizes, predictions = [], []
    for in_bytes in (False, True):
        save_model(path, model, vocabulary, in_bytes=in_bytes)
        sizes.append(path.stat().st_size)
        predictions.append(load_model(path)[0](X)[0])
    assert 0.24 < sizes[1] / sizes[0] < 0.3
    assert 0 < (predictions[1] - predictions[0]).abs().max() < 0.01


def test_the_parts_of_words_are_kept(path):
    torch.manual_seed(0)
    model = TiedWordModel(11, 6, 8, [3, 7], torch.randint(5, (11, 3)), own=4)
    save_model(path, model, VOCABULARY, in_bytes=True)
    loaded, _ = load_model(path)
    assert loaded.words.shape == (4, 6) and torch.equal(loaded.parts_of, model.parts_of)
    torch.testing.assert_close(loaded.table(), model.table(), rtol=0, atol=0.01)


@pytest.mark.parametrize(
    "content",
    [b"", b"text", {"format": 1}, [1, 2], {"tokens": ["a"], "settings": {}, "weights": {}},
     {"model": "LetterModel", "tokens": ["a"], "settings": {"size": 3}, "weights": {}},
     {"model": "LetterModel", "tokens": ["a"], "settings": {}, "weights": {"head": 1}}],
)  # fmt: skip
def test_a_file_that_holds_no_network_is_named(path, content):
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match=r"weights\.pt.*не веса"):
        load_model(path)


def test_an_absent_file_is_named(path):
    with pytest.raises(ValueError, match=r"weights\.pt.*не прочесть.*проверьте путь"):
        load_model(path)


def test_no_code_of_a_foreign_file_is_run(path):
    program = (
        "import os, sys, torch\nclass Evil:\n    def __reduce__(self):\n"
        "        return os.mkdir, (sys.argv[1] + '.evil',)\ntorch.save(Evil(), sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    with pytest.raises(ValueError, match="не веса"):
        load_model(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
