"""The two networks of the labs: letters of a name, words of a novel."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from lecture_utils.batching import Batch

# -------------------------------------------------------------------------------------------------
# What both share: h_t from the recurrent layers, then a distribution over the next symbol


class LanguageModel(nn.Module):
    """A recurrent network that predicts the next symbol; subclasses give `features` and `head`.

    The state has the form of its `torch.nn` layer; `None` stands for zeros.
    """

    def forward(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        """Symbols (batch, time) → ln p of each next symbol (batch, time, vocab), new state."""
        h, state = self.features(x, state)
        return self.log_probs(h), state

    def nats(self, batch: Batch, state=None) -> tuple[Tensor, object]:
        """−ln p of each target that is not padding, (targets,), and the new state."""
        h, state = self.features(batch.x, state)
        if batch.mask is None:
            return self.target_nats(h.flatten(0, 1), batch.y.flatten()), state
        return self.target_nats(h[batch.mask], batch.y[batch.mask]), state

    def log_probs(self, h: Tensor) -> Tensor:
        """Features (…, hidden) → ln p (…, vocab)."""
        return F.log_softmax(self.head(h), dim=-1)

    def target_nats(self, h: Tensor, y: Tensor) -> Tensor:
        """−ln p of the targets y (n,) given features (n, hidden)."""
        return F.cross_entropy(self.head(h), y, reduction="none")


# -------------------------------------------------------------------------------------------------
# Lab 1: names by letters

LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class LetterModel(LanguageModel):
    """One-hot letters → recurrent layer → linear; the defaults are those of the lecture."""

    def __init__(self, vocab_size: int, hidden_size: int = 12, cell: str = "rnn", dropout=0.0):
        """`cell` is "rnn" (tanh), "gru" or "lstm"; `dropout` works on the recurrent output."""
        super().__init__()
        if cell not in LAYERS:
            raise ValueError(f"Ячейки «{cell}» нет: выберите {', '.join(LAYERS)}.")
        self.vocab_size = vocab_size
        self.rnn = LAYERS[cell](vocab_size, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, vocab_size)

    def features(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        """Letters (batch, time) → states (batch, time, hidden), last state."""
        one_hot = F.one_hot(x, self.vocab_size).float()  # (batch, time, vocab)
        s, state = self.rnn(one_hot, state)
        return self.dropout(s), state


# -------------------------------------------------------------------------------------------------
# Lab 2: the novel by words


class WordModel(LanguageModel):
    """Embedding → LSTM → distribution over the vocabulary; the defaults are the lecture's.

    With `cutoffs` the last layer is an adaptive softmax (Grave et al. 2017): ids must be sorted by
    falling frequency; frequent words are predicted at once, rare ones through their group.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int = 64,
        hidden_size: int = 64,
        num_layers: int = 1,
        dropout: float = 0.0,
        cutoffs: Sequence[int] = (),
    ):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.rnn = nn.LSTM(
            embedding_size,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(dropout)
        self.adaptive = bool(cutoffs)
        self.head = (
            nn.AdaptiveLogSoftmaxWithLoss(hidden_size, vocab_size, list(cutoffs))
            if cutoffs
            else nn.Linear(hidden_size, vocab_size)
        )

    def features(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        """Words (batch, time) → h (batch, time, hidden), last (h, c)."""
        h, state = self.rnn(self.dropout(self.embedding(x)), state)
        return self.dropout(h), state

    def log_probs(self, h: Tensor) -> Tensor:
        """Features (…, hidden) → ln p (…, vocab)."""
        if not self.adaptive:
            return super().log_probs(h)
        flat = self.head.log_prob(h.reshape(-1, h.shape[-1]))
        return flat.view(*h.shape[:-1], -1)

    def target_nats(self, h: Tensor, y: Tensor) -> Tensor:
        """−ln p of the targets y (n,) given features (n, hidden)."""
        return -self.head(h, y).output if self.adaptive else super().target_nats(h, y)
