"""The networks of the labs: letters of a name, words of a novel."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lecture_utils.batching import Batch


class LanguageModel(nn.Module):
    """A recurrent network that predicts the next symbol: h_t, then a distribution over all.

    Subclasses give `features` and `head`: a linear layer or, where the vocabulary is large, torch's
    adaptive softmax. The state has the form of its `torch.nn` layer; `None` stands for zeros.
    `settings` are the arguments, but for the size of the vocabulary, that build the same network.
    """

    cutoffs: tuple[int, ...] = ()  # of an adaptive softmax: where its groups of rare words begin

    def forward(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        """Symbols (batch, time) → ln p of each next symbol (batch, time, vocab), new state."""
        h, state = self.features(x, state)
        return self.log_probs(h), state

    def nats(self, batch: Batch, state=None) -> tuple[Tensor, object]:
        """−ln p of each target that is not padding, (targets,), and the new state."""
        h, state = self.features(batch.x, state)  # (batch, time, hidden)
        return self.target_nats(*batch.targets(h)), state

    def log_probs(self, h: Tensor) -> Tensor:
        """Features (…, hidden) → ln p (…, vocab)."""
        if self.cutoffs:
            return self.head.log_prob(h.reshape(-1, h.shape[-1])).view(*h.shape[:-1], -1)
        return F.log_softmax(self.head(h), dim=-1)

    def target_nats(self, h: Tensor, y: Tensor) -> Tensor:
        """−ln p of the targets y (n,) given features (n, hidden)."""
        if self.cutoffs:
            return -self.head(h, y).output  # a group is computed only for the words that are in it
        return F.cross_entropy(self.head(h), y, reduction="none")

    def near(self, h: Tensor) -> Tensor:
        """Of an adaptive softmax: h (…, hidden) → scores of frequent words, then of groups."""
        return self.head.head(h)

    def group(self, h: Tensor, k: int) -> Tensor:
        """Of an adaptive softmax: h (…, hidden) → scores of the words of group k, (…, size)."""
        return self.head.tail[k](h)

    def folded(self) -> "LanguageModel":
        """The same network in the form that is fastest to ask symbol by symbol."""
        return self


def each_part(state, change):
    """Apply `change` to the state: None, s (RNN, GRU), (h, c) (LSTM) or a tuple of such states."""
    if isinstance(state, tuple):
        return tuple(each_part(part, change) for part in state)
    return None if state is None else change(state)


def detach(state):
    """The same state cut off from the graph of the window before: gradients stop here."""
    return each_part(state, Tensor.detach)


LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class LetterModel(LanguageModel):
    """Lab 1: one-hot letters → recurrent layer → linear; the defaults are those of the lecture."""

    def __init__(self, vocab_size: int, hidden_size: int = 12, cell: str = "rnn", dropout=0.0):
        """`cell` is "rnn" (tanh), "gru" or "lstm"; `dropout` works on the recurrent output."""
        super().__init__()
        if cell not in LAYERS:
            raise ValueError(f"Ячейки «{cell}» нет: выберите {', '.join(LAYERS)}.")
        self.settings = {"hidden_size": hidden_size, "cell": cell, "dropout": dropout}
        self.vocab_size = vocab_size
        self.rnn = LAYERS[cell](vocab_size, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, vocab_size)

    def features(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        """Letters (batch, time) → states (batch, time, hidden), last state."""
        one_hot = F.one_hot(x, self.vocab_size).float()  # (batch, time, vocab)
        s, state = self.rnn(one_hot, state)
        return self.dropout(s), state


class WordModel(LanguageModel):
    """Lab 2: embedding → LSTM → distribution over the vocabulary; the defaults are the lecture's.

    With `cutoffs` the last layer is torch's adaptive softmax (Grave et al. 2017): ids must be
    sorted by falling frequency. Words below cutoffs[0] are predicted at once, the rarer ones
    through their group, from features that are halved from group to group.
    """

    def __init__(self, vocab_size: int, embedding_size=64, hidden_size=64, dropout=0.0, cutoffs=()):
        """Raises ValueError if there are so many groups that the last ones have no features."""
        super().__init__()
        if hidden_size >> len(cutoffs) < 1:
            raise ValueError(
                f"Групп редких слов {len(cutoffs)}, а признаков {hidden_size}: на последнюю группу "
                "их не хватит. Уменьшите число границ в cutoffs."
            )
        self.settings = {"embedding_size": embedding_size, "hidden_size": hidden_size}
        self.settings |= {"dropout": dropout, "cutoffs": tuple(cutoffs)}
        self.cutoffs = tuple(cutoffs)
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.rnn = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        if cutoffs:
            self.head = nn.AdaptiveLogSoftmaxWithLoss(
                hidden_size, vocab_size, list(cutoffs), div_value=2.0, head_bias=True
            )
        else:
            self.head = nn.Linear(hidden_size, vocab_size)

    def features(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        """Words (batch, time) → h (batch, time, hidden), last (h, c)."""
        h, state = self.rnn(self.dropout(self.embedding(x)), state)
        return self.dropout(h), state


class TiedWordModel(LanguageModel):
    """The LSTM for a single novel: what is known of a word is shared, and dropout is everywhere.

    One table of vectors serves for reading and for predicting (Press, Wolf 2017; Inan et al. 2017).
    A row is the word's own vector plus those of its parts (`vocabulary.word_parts`; the idea is
    that of Bojanowski et al. 2017), so that the forms of a word and the words of a form learn from
    each other. Dropout masks stay the same for a whole window, and whole words are dropped (Gal,
    Ghahramani 2016). The softmax is adaptive and written out here, because torch's has a table of
    its own: groups as in `WordModel`, but with features of full width.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int = 256,
        hidden_size: int = 512,
        cutoffs: Sequence[int] = (1000, 4000),
        parts: Tensor | None = None,
        counts: Tensor | None = None,
        dropout: Sequence[float] = (0.5, 0.6),
        word_dropout: float = 0.15,
        own: int | None = None,
    ):
        """`parts` (vocab, most parts): numbers of the parts of each word, filled up with 0.

        `counts` (vocab,) in training: the bias starts from the frequencies. `dropout` of the input
        and of the output of the LSTM. Only the `own` most frequent words, else all, have a vector
        besides those of their parts.
        """
        super().__init__()
        self.settings = {"embedding_size": embedding_size, "hidden_size": hidden_size, "own": own}
        self.settings |= {"cutoffs": tuple(cutoffs), "dropout": tuple(dropout)}
        self.settings["word_dropout"] = word_dropout
        self.cutoffs, self.edges = tuple(cutoffs), (*cutoffs, vocab_size)
        self.dropout, self.word_dropout = dropout, word_dropout
        self.words = nn.Parameter(0.05 * torch.randn(own or vocab_size, embedding_size))
        self.parts = None
        if parts is not None:
            self.parts = nn.Parameter(0.04 * torch.randn(int(parts.max()) + 1, embedding_size))
            self.register_buffer("parts_of", parts.int())
        self.rnn = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.narrow = nn.Linear(hidden_size, embedding_size)
        self.groups = nn.Parameter(torch.zeros(len(cutoffs), embedding_size))
        self.groups_bias = nn.Parameter(torch.zeros(len(cutoffs)))
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        if counts is not None:
            share = (counts + 0.5) / (counts + 0.5).sum()
            groups = [share[low:high].sum() for low, high in pairwise(self.edges)]
            self.bias.data.copy_(share.log())
            self.groups_bias.data.copy_(torch.tensor(groups).log())

    def table(self) -> Tensor:
        """The vectors of all words, (vocab, embedding)."""
        if self.parts is None:
            return self.words
        words = F.pad(self.words, (0, 0, 0, self.edges[-1] - len(self.words)))
        return words + F.embedding_bag(self.parts_of, self.parts, mode="sum", padding_idx=0)

    def nats(self, batch: Batch, state=None) -> tuple[Tensor, object]:
        """−ln p of each target that is not padding, (targets,), and the new state."""
        table = self.table()  # once: reading and predicting take the same
        h, state = self.features(batch.x, state, table)  # (batch, time, embedding)
        h, y = batch.targets(h)  # (n, embedding), (n,)
        frequent, *groups = self._rows(table)
        y = y.contiguous()
        group = torch.bucketize(y, y.new_tensor(self.cutoffs), right=True)  # 0: a frequent word
        place = torch.where(group > 0, self.edges[0] - 1 + group, y)
        nats = F.cross_entropy(self.near(h, frequent), place, reduction="none")
        for k, words in enumerate(groups):
            rows = (group == k + 1).nonzero()[:, 0]
            scores, place = F.linear(h[rows], *words), y[rows] - self.cutoffs[k]
            nats = nats.index_add(0, rows, F.cross_entropy(scores, place, reduction="none"))
        return nats, state

    def _rows(self, table: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Vectors and biases of the frequent words, then of each group."""
        sizes = [high - low for low, high in pairwise((0, *self.edges))]
        # Split at once: the gradient of a slice is a whole table of zeros around it.
        return list(zip(table.split(sizes), self.bias.split(sizes), strict=True))

    def features(self, x: Tensor, state=None, table=None) -> tuple[Tensor, object]:
        """Words (batch, time) → features (batch, time, embedding), last (h, c)."""
        table = self.table() if table is None else table
        e = F.embedding(x, table)
        if self.training:
            e = F.dropout(torch.ones_like(table[:, :1]), self.word_dropout)[x] * e
        h, state = self.rnn(self._locked_dropout(e, self.dropout[0]), state)
        return self.narrow(self._locked_dropout(h, self.dropout[1])), state

    def log_probs(self, h: Tensor) -> Tensor:
        """Features (…, embedding) → ln p (…, vocab)."""
        first, *groups = self._rows(self.table())
        near = F.log_softmax(self.near(h, first), dim=-1)
        frequent, chances = near.split([self.edges[0], len(self.cutoffs)], dim=-1)
        inside = [F.log_softmax(F.linear(h, *words), -1) for words in groups]
        parts = [group[..., None] + p for group, p in zip(chances.unbind(-1), inside, strict=True)]
        return torch.cat([frequent, *parts], dim=-1)

    def near(self, h: Tensor, frequent=None) -> Tensor:
        """Features (…, embedding) → scores of the frequent words, then of the groups."""
        words = F.linear(h, *(frequent or self._rows(self.table())[0]))
        return torch.cat([words, F.linear(h, self.groups, self.groups_bias)], dim=-1)

    def group(self, h: Tensor, k: int) -> Tensor:
        """Features (…, embedding) → scores (…, size) of the words of group k."""
        return F.linear(h, *self._rows(self.table())[k + 1])

    @torch.no_grad()
    def folded(self) -> "TiedWordModel":
        """The same distribution from a smaller model: the parts are added to the rows for good."""
        if self.parts is None:
            return self
        with torch.device("meta"):  # its weights come from here, so no random numbers are drawn
            whole = TiedWordModel(self.edges[-1], **self.settings | {"own": None})
        weights = {name: w for name, w in self.state_dict().items() if "parts" not in name}
        whole.load_state_dict(weights | {"words": self.table()}, assign=True)
        return whole.train(self.training)

    def _locked_dropout(self, x: Tensor, p: float) -> Tensor:
        """One mask (batch, 1, width) for all steps of the window."""
        return F.dropout(torch.ones_like(x[:, :1]), p) * x if self.training else x
