"""Gradients through time, measured: Jacobians of the steps, the error cliff, lags, truncation.

`python -m lecture_utils.probes lags` remakes data/lags.csv, `… truncation` data/truncation.csv.
"""

import csv
import os
import sys
from itertools import product

import numpy as np
import torch
from torch import nn
from torch.func import jacrev, vmap
from torch.nn.functional import cross_entropy, one_hot
from tqdm.auto import tqdm

from lecture_utils.batching import StreamBatches
from lecture_utils.cells import RNNWeights, relu, sigmoid, tanh, unroll
from lecture_utils.corpora import DATA, load_novel
from lecture_utils.models import LAYERS, LanguageModel, LetterModel, WordModel
from lecture_utils.tasks import TEMPORAL_ORDER_SYMBOLS, temporal_order
from lecture_utils.training import train
from lecture_utils.vocabulary import Vocabulary, split_words

MAX_SLOPE = {sigmoid: 0.25, tanh: 1.0, relu: 1.0}  # max f′
SEEDS = range(5)


# ---- The thermometer -------------------------------------------------------------------------


def spectral_radius(matrix: np.ndarray) -> np.ndarray:
    """Largest |eigenvalue| of a matrix (n, n), or of each in a stack (…, n, n)."""
    return np.abs(np.linalg.eigvals(matrix)).max(-1)


def random_rnn(radius: float, seed: int, size: int = 32, orthogonal: bool = False) -> RNNWeights:
    """Weights in float64, W (size, size) scaled to the spectral radius, U for 4 weak inputs, b = 0.

    W is Gaussian, or orthogonal: then every singular value equals `radius` too.
    """
    generator = torch.Generator().manual_seed(seed)
    W, U = torch.randn(size, size + 4, generator=generator, dtype=torch.float64).split([size, 4], 1)
    W = torch.linalg.qr(W).Q if orthogonal else W
    return RNNWeights(U=0.1 * U, W=W * radius / spectral_radius(W.numpy()), b=W.new_zeros(size))


def jacobians(cell, p, x: torch.Tensor) -> np.ndarray:
    """∂s_t/∂s_{t−1} at every step of one sequence x (time, input_size): (time, n, n).

    The state of an LSTM is the pair (h, c) joined into one vector, n = 2·hidden_size.
    """
    size = p[0].shape[0]
    p = type(p)(*(weight.detach() for weight in p))
    states = [s if isinstance(s, tuple) else (s,) for s in unroll(cell, p, x[None])]
    s = torch.stack([torch.cat(parts, 1)[0] for parts in states])
    before = torch.cat([torch.zeros_like(s[:1]), s[:-1]])

    def step(s_prev, x_t):
        parts = s_prev[None].split(size, 1)
        after = cell(p, x_t[None], parts if len(parts) > 1 else parts[0])
        return (torch.cat(after, 1) if len(parts) > 1 else after)[0]

    return vmap(jacrev(step))(before, x).numpy()


def gradient_norms(jacobians: np.ndarray, seed: int = 0) -> np.ndarray:
    """‖∂L/∂s_t‖ for t = 0…T, (time + 1,), where ∂L/∂s_T is a random vector of length 1."""
    gradient = np.random.default_rng(seed).normal(size=jacobians.shape[-1])
    gradients = [gradient / np.linalg.norm(gradient)]
    for J in jacobians[::-1]:
        gradients.append(J.T @ gradients[-1])
    return np.linalg.norm(gradients[::-1], axis=1)


def thermometer(cell, weights, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """‖∂L/∂s_t‖ (nets, steps + 1) and ρ(∂s_t/∂s_{t−1}) (nets, steps) of several nets.

    Each reads its own `steps` inputs from N(0, 1). Raises ValueError if steps < 1.
    """
    if steps < 1:
        raise ValueError(f"Аргумент steps = {steps}: градиенту нужен хотя бы один шаг назад.")
    norms, radii = [], []
    for seed, p in enumerate(weights):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(steps, p[0].shape[1], generator=generator).to(p[0].dtype)
        J = jacobians(cell, p, x)
        norms.append(gradient_norms(J, seed))
        radii.append(spectral_radius(J))
    return np.array(norms), np.array(radii)
