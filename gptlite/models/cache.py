"""The KV cache: keys and values of the past, so that each token is computed once."""

from __future__ import annotations

import numpy as np

from gptlite.config import GPTConfig


class KVCache:
    """The keys and values of B rows, for all layers; at first there is room for T
    tokens a row, and for twice as many when that is full, up to the context."""

    def __init__(
        self,
        config: GPTConfig,
        B: int,
        T: int,
        dtype: np.typing.DTypeLike = np.float32,
    ) -> None:
        self.config, self.dtype = config, dtype
        self.keys, self.values = self._room(B, T), self._room(B, T)
        self.used = 0  # positions that some row has filled

    def _room(self, B: int, T: int) -> np.ndarray:
        """(L, B, T, H, D) zeros, where in memory each head's tokens follow one another:
        decoding reads them in this order."""
        c = self.config
        shape = (c.n_layer, B, c.n_head, T, c.head_size)
        return np.zeros(shape, self.dtype).swapaxes(2, 3)

    def take(self, which: np.ndarray) -> KVCache:
        """A cache of these rows (n,) alone, in this order."""
        _, _, T, _, _ = self.keys.shape
        other = KVCache(self.config, len(which), T, self.dtype)
        other.used = n = self.used
        other.keys[:, :, :n] = self.keys[:, which, :n]
        other.values[:, :, :n] = self.values[:, which, :n]
        return other

    def _grow(self, needed: int) -> None:
        T = max(needed, min(2 * self.keys.shape[2], self.config.context_length))
        n = self.used
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = self._room(old.shape[1], T)
            new[:, :, :n] = old[:, :, :n]
            setattr(self, name, new)

    def append(
        self, l: int, k: np.ndarray, v: np.ndarray, positions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Store k and v (B, T, H, D) at positions (B, T); all that layer `l` has.

        The rows may be of different lengths. What lies beyond a row's own length is
        stale, and hidden from its queries by their offset.
        """
        used = max(self.used, int(positions.max()) + 1)
        if used > self.keys.shape[2]:
            self._grow(used)
        row = np.arange(len(positions))[:, None]
        self.keys[l][row, positions] = k
        self.values[l][row, positions] = v
        self.used = used
        return self.keys[l][:, : self.used], self.values[l][:, : self.used]
