"""The two networks of the labs: letters of a name, words of a novel."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lecture_utils.batching import Batch

# -------------------------------------------------------------------------------------------------
# What both share: h_t from the recurrent layers, then a distribution over the next symbol


class LanguageModel(nn.Module):
    """A recurrent network that predicts the next symbol.

    Subclasses give `features`, the scores `near` and, for an adaptive softmax, `group` with the
    `table` of its weights; `edges` says which symbols each is for. The state has the form of its
    `torch.nn` layer; `None` stands for zeros.
    """

    edges: tuple[int, ...]  # where the groups of rare symbols begin; last, the vocabulary's size
    _table = None

    def table(self):
        """Weights of all groups, which `nats` takes apart only once for `group`."""

    def forward(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        """Symbols (batch, time) → ln p of each next symbol (batch, time, vocab), new state."""
        h, state = self.features(x, state)
        return self.log_probs(h), state

    def nats(self, batch: Batch, state=None) -> tuple[Tensor, object]:
        """−ln p of each target that is not padding, (targets,), and the new state."""
        self._table = self.table()
        try:
            h, state = self.features(batch.x, state)
            if batch.mask is None:
                return self.target_nats(h.flatten(0, 1), batch.y.flatten()), state
            return self.target_nats(h[batch.mask], batch.y[batch.mask]), state
        finally:
            self._table = None

    def near(self, h: Tensor) -> Tensor:
        """Features (…, hidden) → scores (…, edges[0] + groups): frequent symbols, then groups."""
        return self.head(h)

    def log_probs(self, h: Tensor) -> Tensor:
        """Features (…, hidden) → ln p (…, vocab)."""
        near = F.log_softmax(self.near(h), dim=-1)
        parts = [near[..., : self.edges[0]]]
        for k in range(len(self.edges) - 1):
            inside = F.log_softmax(self.group(h, k), dim=-1)
            parts.append(near[..., self.edges[0] + k, None] + inside)
        return torch.cat(parts, dim=-1)

    def target_nats(self, h: Tensor, y: Tensor) -> Tensor:
        """−ln p of the targets y (n,) given features (n, hidden); a group only where it is hit."""
        if len(self.edges) == 1:
            return F.cross_entropy(self.near(h), y, reduction="none")
        group = torch.bucketize(y, torch.tensor(self.edges[:-1], device=y.device), right=True)
        goal = torch.where(group > 0, self.edges[0] - 1 + group, y)  # 0: frequent, then groups
        nats = F.cross_entropy(self.near(h), goal, reduction="none")
        order, counts = group.argsort(), group.bincount(minlength=len(self.edges)).tolist()
        h_by_group, y_by_group = h[order].split(counts)[1:], y[order].split(counts)[1:]
        inside = [nats.new_zeros(counts[0])]
        for k, low in enumerate(self.edges[:-1]):
            if counts[k + 1]:
                scores, place = self.group(h_by_group[k], k), y_by_group[k] - low
                inside.append(F.cross_entropy(scores, place, reduction="none"))
        return nats.index_add(0, order, torch.cat(inside))


def detach(state):
    """The same state cut off from the graph of the window before: gradients stop here."""
    return each_part(state, Tensor.detach)


def each_part(state, change):
    """Apply `change` to the state: None, s (RNN, GRU) or (h, c) (LSTM)."""
    if isinstance(state, tuple):
        return tuple(map(change, state))
    return None if state is None else change(state)


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
        self.vocab_size, self.edges = vocab_size, (vocab_size,)
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


def run_lstm(lstm: nn.LSTM, x: Tensor, state) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The same as `lstm(x, state)`; a single step, as in sampling, goes the short way."""
    if x.shape[1] > 1 or state is None:
        return lstm(x, state)
    weights = (lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0)
    h, c = torch.lstm_cell(x[:, 0], (state[0][0], state[1][0]), *weights)
    return h[:, None], (h[None], c[None])


class WordModel(LanguageModel):
    """Embedding → LSTM → distribution over the vocabulary; the defaults are the lecture's.

    With `cutoffs` the last layer is an adaptive softmax (Grave et al. 2017): ids must be sorted by
    falling frequency. Symbols below cutoffs[0] are predicted at once, the rarer ones through their
    group, from features that are halved from group to group. `sparse` makes the gradient of the
    embedding hold the words of the batch only: train with `training.Adam`.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int = 64,
        hidden_size: int = 64,
        dropout: float = 0.0,
        cutoffs: Sequence[int] = (),
        sparse: bool = False,
    ):
        super().__init__()
        self.edges = (*cutoffs, vocab_size)
        self.embedding = nn.Embedding(vocab_size, embedding_size, sparse=sparse)
        self.rnn = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, self.edges[0] + len(cutoffs))
        self.sizes, self.slices = (), ()
        if not cutoffs:
            return
        # The layers of all groups lie in three tensors: to an optimizer each tensor is work.
        words = [high - low for low, high in pairwise(self.edges)]
        widths = [max(hidden_size >> k, min(4, hidden_size)) for k in range(1, len(self.edges))]
        self.sizes = widths, [a * b for a, b in zip(widths, words, strict=True)], words
        ends = [(0, *accumulate(sizes)) for sizes in self.sizes]
        self.slices = [[slice(*both) for both in pairwise(bounds)] for bounds in ends]
        start = lambda n, width: torch.empty(n).uniform_(-(width**-0.5), width**-0.5)  # nn.Linear's
        narrow = start(sum(widths) * hidden_size, hidden_size)
        self.narrow = nn.Parameter(narrow.view(-1, hidden_size))
        self.wide, self.bias = (
            nn.Parameter(torch.cat(list(map(start, sizes, widths)))) for sizes in self.sizes[1:]
        )

    def features(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        """Words (batch, time) → h (batch, time, hidden), last (h, c)."""
        if not self.training:  # a word at a time, even a call that does nothing counts
            return run_lstm(self.rnn, self.embedding(x), state)
        h, state = self.rnn(self.dropout(self.embedding(x)), state)
        return self.dropout(h), state

    def table(self) -> list[tuple[Tensor, ...]]:
        """Of all groups the (width, hidden), the (width · size,) and the (size,)."""
        return [layer.split(n) for layer, n in zip(self._layers(), self.sizes, strict=True)]

    def group(self, h: Tensor, k: int) -> Tensor:
        """Features (…, hidden) → scores (…, size) of the symbols edges[k], …, edges[k+1] − 1."""
        if self._table:
            narrow, wide, bias = (parts[k] for parts in self._table)
        else:  # one group, as in sampling
            layers = zip(self._layers(), self.slices, strict=True)
            narrow, wide, bias = (layer[slices[k]] for layer, slices in layers)
        # Lying as (width, size), so few rows are multiplied five times as fast as so few columns.
        return F.linear(F.linear(h, narrow), wide.view(len(narrow), -1).t(), bias)

    def _layers(self) -> tuple[Tensor, ...]:
        return (self.narrow, self.wide, self.bias) if self.sizes else ()


class TiedWordModel(LanguageModel):
    """The LSTM for a single novel: what is known of a word is shared, and dropout is everywhere.

    One table of vectors serves for reading and for predicting (Press, Wolf 2017; Inan et al. 2017).
    A row is the word's own vector plus those of its parts (`vocabulary.word_parts`; the idea is
    that of Bojanowski et al. 2017), so that the forms of a word and the words of a form learn from
    each other. Dropout masks stay the same for a whole window, and whole words are dropped (Gal,
    Ghahramani 2016). Adaptive softmax as in `WordModel`, but with features of full width.
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
    ):
        """`parts` (vocab, most parts): numbers of the parts of each word, filled up with 0.

        `counts` (vocab,) in training: the bias starts from the frequencies. `dropout` of the input
        and of the output of the LSTM.
        """
        super().__init__()
        self.edges = (*cutoffs, vocab_size)
        self.dropout, self.word_dropout = dropout, word_dropout
        self.words = nn.Parameter(0.05 * torch.randn(vocab_size, embedding_size))
        self.parts = None
        if parts is not None:
            self.parts = nn.Parameter(0.04 * torch.randn(int(parts.max()) + 1, embedding_size))
            self.register_buffer("parts_of", parts, persistent=False)
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

    def table(self) -> tuple[Tensor, ...]:
        """Vectors of all words, whole (vocab, embedding) and cut at the edges."""
        if self._table is not None:
            return self._table
        whole = self.words
        if self.parts is not None:
            whole = whole + F.embedding_bag(self.parts_of, self.parts, mode="sum", padding_idx=0)
        return whole, *whole.split([high - low for low, high in pairwise((0, *self.edges))])

    def features(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        """Words (batch, time) → features (batch, time, embedding), last (h, c)."""
        e = F.embedding(x, self.table()[0])
        if self.training:
            e = F.dropout(torch.ones_like(self.words[:, :1]), self.word_dropout)[x] * e
        h, state = run_lstm(self.rnn, self._locked_dropout(e, self.dropout[0]), state)
        return self.narrow(self._locked_dropout(h, self.dropout[1])), state

    def near(self, h: Tensor) -> Tensor:
        """Features (…, embedding) → scores of the frequent words, then of the groups."""
        frequent = F.linear(h, self.table()[1], self.bias[: self.edges[0]])
        return torch.cat([frequent, F.linear(h, self.groups, self.groups_bias)], dim=-1)

    def group(self, h: Tensor, k: int) -> Tensor:
        """Features (…, embedding) → scores (…, size) of the words edges[k], …, edges[k+1] − 1."""
        return F.linear(h, self.table()[k + 2], self.bias[self.edges[k] : self.edges[k + 1]])

    @torch.no_grad()
    def fold(self) -> "TiedWordModel":
        """Add the parts to the rows once and for all: the same distribution, a smaller model."""
        self.words.copy_(self.table()[0])
        self.parts = None
        return self

    def _locked_dropout(self, x: Tensor, p: float) -> Tensor:
        """One mask (batch, 1, width) for all steps of the window."""
        return F.dropout(torch.ones_like(x[:, :1]), p) * x if self.training else x
