"""The operations of a GPT, twice: `reference` (NumPy) and `kernels` (Numba).

Both modules hold the same names with the same signatures, so that a backend is
a module: `GPT(config, ops=reference)` or `GPT(config, ops=kernels)`.
"""
