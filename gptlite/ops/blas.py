"""The kernels, with the products of weights left to NumPy and its BLAS.

One switch away (`gptlite pretrain --matmul blas`): to compare, and for a processor on
which BLAS is the faster one. Attention keeps its own small products.
"""

# ruff: noqa: F401, F403
# mypy: disable-error-code="assignment"

from gptlite.ops.kernels import *
from gptlite.ops.kernels import __all__
from gptlite.ops.reference import (
    Packed,
    linear_backward,
    linear_cross_entropy_forward,
    linear_cross_entropy_forward_backward,
    linear_forward,
    linear_log_probability_backward,
    linear_log_probability_forward,
    lora_backward,
    lora_forward,
    matmul,
)
