"""Loops over bytes and tokens in Numba: scanning, byte-pair encoding, word vectors."""
