"""The loops over bytes and words, in Numba."""
