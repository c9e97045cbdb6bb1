"""Skip-gram with negative sampling, one pair of words after another, in Numba.

Workers share both matrices and update them without locks ("Hogwild", Niu et al. 2011,
arXiv:1106.5730): rows of rare words seldom meet, and what is lost is noise.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from gptlite.ops.kernels.jit import OPTIONS, kernel
from gptlite.ops.kernels.vectormath import exp

INLINE = {**OPTIONS, "forceinline": True}
BREAK = -1  # between sentences: no window crosses it


@njit(**INLINE)
def _next(state):
    """xorshift64* (Marsaglia 2003, Vigna 2016): the next 32 random bits."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return (x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(32)


@njit(**INLINE)
def _pair(vector, outputs, center, negatives, noise, rate, state, grad):
    """One step on (context word's vector, center word); returns the pair's loss.

    loss = −log σ(v·u) − Σ log σ(−v·n) over the drawn words n.
    """
    D, loss = vector.size, np.float32(0)
    for i in range(D):
        grad[i] = np.float32(0)
    for k in range(negatives + 1):
        word, label = center, np.float32(1)
        if k > 0:
            word = noise[(_next(state) * np.uint64(noise.size)) >> np.uint64(32)]
            if word == center:
                continue
            label = np.float32(0)
        out, dot = outputs[word], np.float32(0)
        for i in range(D):
            dot += vector[i] * out[i]
        p = np.float32(1) / (np.float32(1) + exp(-dot))
        g = (label - p) * rate  # −rate · d loss / d dot
        for i in range(D):
            old = out[i]
            grad[i] += g * old
            out[i] = old + g * vector[i]
        q = p if k == 0 else np.float32(1) - p
        loss -= np.log(max(q, np.float32(1e-7)))
    for i in range(D):
        vector[i] += grad[i]
    return loss


@kernel
def train(
    vectors, outputs, words, keep, noise, window, negatives, rates, state, kept, grad,
):  # fmt: skip
    """Go through `words` once; returns (sum of losses, number of pairs).

    vectors, outputs: (V, D). words: ids, BREAK between sentences. keep: (V,) how
    probable it is that a word is not skipped. noise: ids to draw from. rates: the
    learning rate at the first and after the last word, linear in between. kept: room
    for a sentence, grad: (D,).
    """
    loss, pairs, n, i = 0.0, 0, words.size, 0
    while i < n:
        size = 0
        rate = rates[0] + (rates[1] - rates[0]) * np.float32(i) / np.float32(n)
        while i < n and words[i] != BREAK and size < kept.size:
            word = words[i]
            chance = np.float32(_next(state)) * np.float32(2.0**-32)
            if chance < keep[word]:
                kept[size] = word
                size += 1
            i += 1
        while i < n and words[i] == BREAK:
            i += 1
        for at in range(size):
            reach = 1 + np.int64((_next(state) * np.uint64(window)) >> np.uint64(32))
            for other in range(max(0, at - reach), min(size, at + reach + 1)):
                if other != at:
                    loss += _pair(
                        vectors[kept[other]], outputs, kept[at], negatives,
                        noise, rate, state, grad,
                    )  # fmt: skip
                    pairs += 1
    return loss, pairs


@kernel
def count_pairs(counts, words, window):
    """counts (V, V) float32: how often two words stand at most `window` apart."""
    n = words.size
    for at in range(n):
        a = words[at]
        if a == BREAK:
            continue
        for other in range(at + 1, min(n, at + window + 1)):
            b = words[other]
            if b == BREAK:
                break
            counts[a, b] += np.float32(1)
            counts[b, a] += np.float32(1)
