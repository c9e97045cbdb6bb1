"""Every kernel against the limit of this machine: its arithmetic or its memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gptlite.bench.timing import alternate, device
from gptlite.ops import blas, kernels
from gptlite.ops.kernels.processor import BFLOAT16_DOT, COLS, ROWS, instructions
from gptlite.parallel.pool import WorkerPool

FLOAT = 4  # bytes
N, C, V, T, H, D = 2048, 768, 4096, 512, 12, 64


@dataclass(frozen=True, slots=True)
class Case:
    """A call, what it computes (FLOPs) and what it must move (bytes)."""

    name: str
    shape: str
    flops: float
    bytes: float
    run: Callable[[], object]
    variant: str = "one pass, rows"
    rival: Callable[[], object] | None = None  # the other way to compute it
    rounded: bool = False  # bfloat16 products


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _products() -> list[Case]:
    cases = []
    for M, K, O in ((384, 128, 512), (1024, 384, 1536), (N, C, 4 * C)):
        x, w, dout, out = _normal(M, K), _normal(K, O), _normal(M, O), _normal(M, O)
        packed, rounded = kernels.Packed(w).pack(), kernels.Packed(w, "bfloat16").pack()
        dx, dw, shape = np.zeros_like(x), np.zeros_like(w), f"{M}×{K}×{O}"
        counts = 2 * M * K * O, FLOAT * (M * K + K * O + M * O)
        twice = 2 * counts[0], 2 * counts[1]
        tile = f"{ROWS}×{COLS} tile"
        words = tile if BFLOAT16_DOT else f"{tile}, emulated"
        by_blas = partial(blas.matmul, out, x, w)
        cases += [
            Case("matmul", shape, *counts,
                 partial(kernels.matmul, out, x, w), tile, by_blas),
            Case("matmul, packed", shape, *counts,
                 partial(kernels.matmul, out, x, packed), tile, by_blas),
            Case("matmul, bfloat16", shape, *counts,
                 partial(kernels.matmul, out, x, rounded), words, rounded=True),
            Case("linear backward", shape, *twice,
                 partial(kernels.linear_backward, dx, dw, None, dout, x, packed), tile,
                 partial(blas.linear_backward, dx, dw, None, dout, x, w)),
        ]  # fmt: skip
    return cases


def _attention() -> list[Case]:
    cases = []
    for t in (64, T, 4 * T):
        q, k, v, dout, out = _normal(5, 1, t, H, D)
        dq, dk, dv = np.empty((3, 1, t, H, D), np.float32)
        lse = np.empty((1, H, t), np.float32)
        kernels.attention_forward(out, lse, q, k, v)
        pairs, moved = H * t * (t + 1) / 2, FLOAT * t * H * D
        shape = f"T={t} H={H} D={D}"
        forward = partial(kernels.attention_forward, out, lse, q, k, v)
        backward = partial(
            kernels.attention_backward, dq, dk, dv, dout, out, lse, q, k, v
        )
        cases += [
            Case("attention forward", shape, 4 * D * pairs, 4 * moved,
                 forward, "tiles, online softmax"),
            Case("attention backward", shape, 10 * D * pairs, 8 * moved,
                 backward, "tiles, recomputed"),
        ]  # fmt: skip
    return cases


def _passes() -> list[Case]:
    """FLOPs of exp, tanh and erf are those of their polynomials, about 20."""
    x, out, dout = _normal(3, N, C)
    weight, bias, dweight, dbias = _normal(4, C)
    mean, rstd = _normal(2, N)
    wide, wide_out = _normal(2, N, 4 * C)
    logits, losses = _normal(N, V), np.empty(N, np.float32)
    targets, mask = np.arange(N) % V, np.ones(N, bool)
    flat, grads, m, v = _normal(4, N * C) ** 2
    head, room = _normal(C, V), np.empty((256, V), np.float32)
    dhead = np.zeros_like(head)
    n, nw, nv = N * C, N * 4 * C, N * V
    narrow, broad = f"{N}×{C}", f"{N}×{4 * C}"
    norm = partial(kernels.layernorm_forward, out, mean, rstd, x, weight, bias)
    norm_back = partial(
        kernels.layernorm_backward, out, dweight, dbias, dout, x, weight, mean, rstd
    )
    loss = partial(
        kernels.linear_cross_entropy_forward_backward,
        losses, out, dhead, room, x, head, targets, mask,
    )  # fmt: skip
    update = partial(
        kernels.adamw, flat, grads, m, v, 1e-9, 0.9, 0.99, 1e-8, 0.1, 9, 1.0
    )
    return [
        Case("layernorm forward", narrow, 8 * n, FLOAT * 2 * n, norm),
        Case("layernorm backward", narrow, 14 * n, FLOAT * 4 * n, norm_back),
        Case("GELU forward", broad, 30 * nw, FLOAT * 2 * nw,
             partial(kernels.gelu_forward, wide_out, wide)),
        Case("GELU backward", broad, 40 * nw, FLOAT * 3 * nw,
             partial(kernels.gelu_backward, wide_out, wide_out, wide)),
        Case("exact GELU forward", broad, 60 * nw, FLOAT * 2 * nw,
             partial(kernels.gelu_exact_forward, wide_out, wide)),
        Case("cross-entropy forward", f"{N}×{V}", 24 * nv, FLOAT * nv,
             partial(kernels.cross_entropy_forward, losses, logits, targets, mask)),
        Case("linear + cross-entropy", f"{narrow}×{V}", 6 * n * V + 24 * nv,
             FLOAT * (2 * n + 3 * C * V), loss, "blocks of 256 rows"),
        Case("AdamW", f"{n}", 14 * n, FLOAT * 7 * n, update, "one pass, flat"),
    ]  # fmt: skip


def _memory() -> tuple[float, Callable[[], object]]:
    """Bytes that scaling a large array in place reads and writes, and that pass.

    In place, since a copy also reads the lines of its target before it writes them.
    """
    numbers = np.ones(2**25, np.float32)
    return 2.0 * numbers.nbytes, lambda: np.negative(numbers, out=numbers)


def bench_kernels(rounds: int = 5) -> dict[str, Any]:
    """One thread: GFLOP/s or GB/s of every kernel, and its share of the limit.

    The limit of a call (the *roofline*, Williams et al. 2009) is the longer of two
    times: its FLOPs at the highest product speed seen, its bytes at the speed of a
    pass over a large array. Bytes are those of the arrays, each counted once; what a
    cache holds can be faster.
    """
    cases = [*_products(), *_attention(), *_passes()]
    moved, one_pass = _memory()
    with WorkerPool(1):
        speed = moved / min(alternate([one_pass], rounds, burst=0.1)[0])
        times = [
            [min(t) for t in alternate(
                [case.run, *([case.rival] if case.rival else [])], rounds, burst=0.03)]
            for case in cases
        ]  # fmt: skip
    peak = {
        kind: max(c.flops / min(t) for c, t in zip(cases, times, strict=True)
                  if c.name.startswith("matmul") and c.rounded == kind)
        for kind in (False, True)
    }  # fmt: skip
    rows = [_row(c, t, peak[c.rounded], speed)
            for c, t in zip(cases, times, strict=True)]  # fmt: skip
    return {
        "benchmark": "kernels",
        "device": device(),
        "threads": 1,
        "instructions": instructions(),
        "peak_gflops": round(peak[False] / 1e9, 1),
        "peak_gflops_bfloat16": round(peak[True] / 1e9, 1),
        "memory_gigabytes_per_s": round(speed / 1e9, 1),
        "kernels": rows,
    }


def _row(case: Case, times: list[float], peak: float, speed: float) -> dict[str, Any]:
    seconds = times[0]
    arithmetic, memory = case.flops / peak, case.bytes / speed
    bound = "arithmetic" if arithmetic > memory else "memory"
    variant = case.variant
    if len(times) > 1:
        faster = times[1] / seconds
        variant += f", {faster:.2f}× BLAS" + ("" if faster >= 1 else ": slower")
    row: dict[str, Any] = {"kernel": case.name, "shape": case.shape, "limit": bound}
    row["gflops"] = round(case.flops / seconds / 1e9, 1)
    row["gigabytes_per_s"] = round(case.bytes / seconds / 1e9, 1)
    row["share_of_limit"] = round(max(arithmetic, memory) / seconds, 2)
    return row | {"variant": variant}
