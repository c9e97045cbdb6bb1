"""Learning word vectors without labels: skip-gram, and counting as the other view.

Mikolov et al. 2013, arXiv:1310.4546: a word's vector should tell real neighbours from
words drawn at random. Levy and Goldberg 2014 show that this factorises a matrix of
pointwise mutual information, which one may also count and factorise directly.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterable

import numpy as np
import regex

from gptlite.config import SkipGram
from gptlite.errors import DataError
from gptlite.parallel.communicator import SharedMemory
from gptlite.parallel.pool import WorkerPool, available_cores
from gptlite.text.kernels import skipgram
from gptlite.text.word_vectors import WordVectors

NOISE_SIZE = 2**20  # words in the table that negatives are drawn from
LONGEST = 1000  # words of a sentence; a longer one is cut
BLOCK = 10_000  # words a worker takes at a time: all go through the text together


def words_of(text: str) -> list[list[str]]:
    """The words of each line, in small letters: a rough cut that suits many scripts.

    >>> words_of("It's 5 o'clock.\\nYes")
    [["it's", '5', "o'clock"], ['yes']]
    """
    lines = text.lower().splitlines()
    found = (regex.findall(r"[\p{L}\p{M}\p{N}]+(?:['’][\p{L}]+)*", x) for x in lines)
    return [words for words in found if words]


def vocabulary(sentences: Iterable[list[str]], least: int) -> dict[str, int]:
    """How often each word occurs, the most frequent first; rarer than `least`: out."""
    counts = Counter(itertools.chain.from_iterable(sentences))
    kept = [(word, n) for word, n in counts.items() if n >= least]
    return dict(sorted(kept, key=lambda pair: (-pair[1], pair[0])))


def word_ids(sentences: Iterable[list[str]], counts: dict[str, int]) -> np.ndarray:
    """Ids of all known words, int32, with BREAK after each sentence."""
    index = {word: i for i, word in enumerate(counts)}
    ids: list[int] = []
    for sentence in sentences:
        ids += [index[word] for word in sentence if word in index]
        ids.append(skipgram.BREAK)
    return np.array(ids, np.int32)


def keep_probability(counts: np.ndarray, share: float) -> np.ndarray:
    """word2vec's rule: √(s/f) + s/f for a word of relative frequency f, at most 1."""
    if share <= 0:
        return np.ones(len(counts), np.float32)
    ratio = share * counts.sum() / counts
    return np.minimum(1, np.sqrt(ratio) + ratio).astype(np.float32)


def noise_table(counts: np.ndarray, power: float) -> np.ndarray:
    """Ids, each about as often as its count to the power `power` asks for."""
    weights = counts**power
    ends = np.round(np.cumsum(weights) / weights.sum() * NOISE_SIZE).astype(np.int64)
    return np.repeat(np.arange(len(counts), dtype=np.int32), np.diff(ends, prepend=0))


def pair_loss_and_gradients(
    vector: np.ndarray, outputs: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """The loss of one vector (D,) against outputs (1 + n, D), the true word's first.

    loss = −log σ(v·u₀) − Σ log σ(−v·uₖ). As d log σ(x) / dx = 1 − σ(x), the gradient
    of each dot product is σ(v·u) − label: how wrong the prediction is. Returns the loss
    and the gradients of both arguments.
    """
    dots = outputs @ vector  # [1 + n, D] @ [D]
    labels = np.arange(len(outputs)) == 0
    p = 1 / (1 + np.exp(-dots))
    loss = -np.log(np.where(labels, p, 1 - p)).sum()
    ddots = p - labels
    return float(loss), ddots @ outputs, np.outer(ddots, vector)


def learn_word_vectors(
    sentences: Iterable[list[str]],
    config: SkipGram = SkipGram(),  # noqa: B008 - frozen
) -> WordVectors:
    """Vectors of the words of `sentences` (gone through twice: to count, to learn).

    >>> text = "the cat sat\\nthe dog sat\\n" * 50
    >>> vectors = learn_word_vectors(words_of(text), SkipGram(size=8, workers=1))
    >>> vectors.words
    ['sat', 'the', 'cat', 'dog']
    """
    sentences = sentences if isinstance(sentences, list) else list(sentences)
    counts = vocabulary(sentences, config.least)
    if len(counts) < 2:
        raise DataError(
            f"wanted at least 2 words that occur {config.least} times, got "
            f"{len(counts)}; give more text, or lower `least`"
        )
    frequency = np.array(list(counts.values()), np.float64)
    words = word_ids(sentences, counts)
    V, rng = len(counts), np.random.default_rng(config.seed)
    vectors = ((rng.random((V, config.size)) - 0.5) / config.size).astype(np.float32)
    outputs = np.zeros_like(vectors)
    keep = keep_probability(frequency, config.subsample)
    noise = noise_table(frequency, config.noise_power)
    highest, lowest = config.learning_rate, config.final_learning_rate
    blocks = np.array_split(words, -(-len(words) // BLOCK))
    turns, last = itertools.count(), config.epochs * len(blocks)
    stopped = threading.Event()

    def work(comm: SharedMemory) -> None:
        start = np.random.default_rng([config.seed, comm.rank]).integers(1, 2**63)
        state = np.array([start], np.uint64)
        room = np.empty(LONGEST, np.int32), np.empty(config.size, np.float32)
        # the next block, for whoever asks first; at Ctrl-C there is none any more
        while not stopped.is_set() and (turn := next(turns)) < last:
            done = np.array([turn, turn + 1]) / last
            rates = (highest + (lowest - highest) * done).astype(np.float32)
            skipgram.train(
                vectors, outputs, blocks[turn % len(blocks)], keep, noise,
                config.window, config.negatives, rates, state, *room,
            )  # fmt: skip

    with WorkerPool(config.workers or available_cores()) as pool:
        try:
            pool.run(work)
        finally:
            stopped.set()
    if not np.isfinite(vectors).all():
        raise DataError(
            "wanted finite vectors, got others: the training diverged; lower the "
            f"learning rate ({config.learning_rate:g})"
        )
    return WordVectors(counts, vectors)


def count_word_vectors(
    sentences: Iterable[list[str]], size: int = 100, window: int = 5, least: int = 5,
    most: int = 5000,
) -> WordVectors:  # fmt: skip
    """The counting view: positive pointwise mutual information, and its SVD.

    PPMI(a, b) = max(0, log p(a, b) / (p(a) p(b))), of the `most` most frequent words.
    """
    sentences = list(sentences)
    counts = dict(list(vocabulary(sentences, least).items())[:most])
    together = np.zeros((len(counts), len(counts)), np.float32)
    skipgram.count_pairs(together, word_ids(sentences, counts), window)
    alone = together.sum(axis=1, keepdims=True)
    expected = alone @ alone.T / max(float(alone.sum()), 1.0)  # [V, 1] @ [1, V]
    with np.errstate(divide="ignore", invalid="ignore"):
        ppmi = np.nan_to_num(np.maximum(0, np.log(together / expected)), posinf=0.0)
    left, singular, _ = np.linalg.svd(ppmi, full_matrices=False)
    return WordVectors(counts, left[:, :size] * np.sqrt(singular[:size]))
