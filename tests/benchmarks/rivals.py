"""The two training loops ours is measured against, written from their descriptions.

Each rival has `learn(x, y)`, one step on a window (batch, time), and `nats(x, y)`, the loss on one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class EmbeddingLstmLinear(nn.Module):
    """Embedding → LSTM → one linear layer over the whole vocabulary; logits and state."""

    def __init__(self, vocab_size: int, size: int):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, size)
        self.lstm = nn.LSTM(size, size, batch_first=True)
        self.linear = nn.Linear(size, vocab_size)

    def forward(self, x: Tensor, state=None):
        h, state = self.lstm(self.embedding(x), state)
        return self.linear(h), state


class Rival:
    """State carried from window to window and detached; gradient norm clipped."""

    def __init__(self, vocab_size: int, size: int, clip: float):
        self.net, self.clip, self.state = EmbeddingLstmLinear(vocab_size, size), clip, None
        self.optimizer = self.build_optimizer()

    def learn(self, x: Tensor, y: Tensor) -> float:
        self.net.train()
        self.optimizer.zero_grad()
        logits, state = self.net(x, self.state)
        loss = self.loss(logits, y)
        self.state = tuple(part.detach() for part in state)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def nats(self, x: Tensor, y: Tensor) -> float:
        self.net.eval()
        logits, _ = self.net(x)
        return F.cross_entropy(logits.flatten(0, 1), y.flatten()).item()


class Lecture(Rival):
    """Cross-entropy on logits as (batch, vocabulary, time), Adam with its defaults, clip 5."""

    def __init__(self, vocab_size: int, size: int = 64):
        super().__init__(vocab_size, size, clip=5.0)

    def build_optimizer(self):
        return torch.optim.Adam(self.net.parameters(), lr=0.01)

    def loss(self, logits, y):
        return nn.CrossEntropyLoss()(logits.transpose(1, 2), y)


class WordLanguageModel(Rival):
    """pytorch/examples, word_language_model: log-softmax over all types, NLL, SGD 20, clip ¼."""

    def __init__(self, vocab_size: int, size: int = 64):
        super().__init__(vocab_size, size, clip=0.25)

    def build_optimizer(self):
        return torch.optim.SGD(self.net.parameters(), lr=20.0)

    def loss(self, logits, y):
        log_probs = F.log_softmax(logits.flatten(0, 1), dim=1)
        return nn.NLLLoss()(log_probs, y.flatten())
