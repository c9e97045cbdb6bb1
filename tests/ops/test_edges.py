"""Every size from 1 to 70: beyond whole tiles, panels and vectors of any processor."""

from __future__ import annotations

import numpy as np
import pytest

from gptlite.ops import kernels, reference
from tests.helpers import assert_near, normal

SIZES = range(1, 71)
FORMS = ["a b", "a bᵀ", "aᵀ b", "packed", "packed bfloat16"]


@pytest.mark.slow  # 343,000 products for each form
@pytest.mark.parametrize("form", FORMS)
def test_matmul_of_every_size_up_to_70(form: str) -> None:
    rng = np.random.default_rng(0)
    a, b, out = normal(rng, 70, 70), normal(rng, 70, 70), normal(rng, 70, 70)
    round_to = reference.Packed(b, "bfloat16" if "16" in form else "float32").rounded
    wide_a, wide_b = (round_to(x).astype(np.float64) for x in (a, b))
    if form == "a bᵀ":
        b = np.ascontiguousarray(b.T).T
    if form == "aᵀ b":
        a = np.ascontiguousarray(a.T).T
    for K in SIZES:
        wanted = wide_a[:, :K] @ wide_b[:K]
        for N in SIZES:
            factor = b[:K, :N]
            if form.startswith("packed"):
                factor = kernels.Packed(factor, form[7:] or "float32").pack()
            for M in SIZES:
                kernels.matmul(out[:M, :N], a[:M, :K], factor)
                error = np.abs(out[:M, :N] - wanted[:M, :N]).max()
                assert error < 1e-5 * np.sqrt(K) * 5, (M, K, N)


def test_attention_of_every_length_up_to_70() -> None:
    rng = np.random.default_rng(1)
    for Tq in SIZES:
        for Tk in {Tq, 71 - Tq, 70}:
            q, dout = normal(rng, 2, 1, Tq, 1, 8)
            k, v = normal(rng, 2, 1, Tk, 1, 8)
            offsets = np.array([max(0, Tk - Tq)])
            found = []
            for ops, dtype in ((kernels, np.float32), (reference, np.float64)):
                x = [n.astype(dtype) for n in (q, k, v, dout)]
                out, lse, dq = (
                    np.empty_like(x[0]),
                    np.empty((1, 1, Tq), dtype),
                    x[0] * 0,
                )
                dk, dv = np.empty_like(x[1]), np.empty_like(x[2])
                ops.attention_forward(out, lse, *x[:3], offsets)
                ops.attention_backward(dq, dk, dv, x[3], out, lse, *x[:3], offsets)
                found.append((out, lse, dq, dk, dv))
            for ours, wanted in zip(*found, strict=True):
                assert_near(ours, wanted, 1e-5, f"Tq={Tq} Tk={Tk}", 1.0)


def test_rows_of_every_length_up_to_70() -> None:
    """Norms, GELU and the loss: one row, read in vectors with a rest."""
    rng = np.random.default_rng(2)
    for C in SIZES:
        x, w, b, dy = normal(rng, 4, 3, C)
        targets, mask = np.arange(3) % C, np.ones(3, bool)
        found = []
        for ops, dtype in ((kernels, np.float32), (reference, np.float64)):
            inp, dout = x.astype(dtype), dy.astype(dtype)
            norm, gelu, exact, dx = (np.zeros_like(inp) for _ in range(4))
            mean, rstd, losses = np.empty((3, 3), dtype)
            weight, bias = w[0].astype(dtype), b[0].astype(dtype)
            ops.layernorm_forward(norm, mean, rstd, inp, weight, bias)
            if C > 1:
                ops.layernorm_backward(dx, None, None, dout, inp, weight, mean, rstd)
            ops.gelu_forward(gelu, inp)
            ops.gelu_exact_forward(exact, inp)
            dlogits = np.empty_like(inp)
            ops.cross_entropy_forward_backward(losses, dlogits, inp, targets, mask)
            found.append((norm, mean, dx, gelu, exact, losses, dlogits))
        for i, (ours, wanted) in enumerate(zip(*found, strict=True)):
            assert_near(ours, wanted, 1e-5, f"output {i}, C={C}", 1.0)
