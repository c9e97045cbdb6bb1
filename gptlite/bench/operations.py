"""One operation at a time: products, attention, layer norm; against PyTorch's."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from gptlite.bench.timing import SGEMM_FLOPS, alternate, device, median, ratio, sgemm
from gptlite.ops import kernels
from gptlite.ops.kernels.matmul import multiply
from gptlite.parallel.communicator import SharedMemory
from gptlite.parallel.pool import WorkerPool, available_cores

ODD_SIZES = (65, 127, 1000)
MATMUL_SHAPES = ((384, 128, 384), (768, 128, 512), (1024, 384, 1536), (1024, 768, 3072))
# (B, H, T, D)
ATTENTION_SHAPES = ((16, 6, 256, 64), (12, 4, 64, 32), (4, 12, 1024, 64))
REPEAT = 10  # calls in a row, so that handing work to the pool does not count


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def bench_matmul(
    against: str | None = None, dtype: str = "float32", rounds: int = 7
) -> dict[str, Any]:
    """Forward and both backward products, one thread, against NumPy's BLAS or a peer.

    `ratio` is the smallest over all shapes and forms; `odd_sizes_ratio` the geometric
    mean over the products of 65, 127 and 1000 in all combinations. With dtype
    bfloat16 ours are products of rounded numbers, weights packed beforehand as in
    training; PyTorch's are autocast products (inputs float32, the weight's cast kept),
    NumPy's float32.
    """
    rows: list[dict[str, Any]] = []
    with WorkerPool(1):
        roofline = SGEMM_FLOPS / min(alternate([sgemm(1)], rounds)[0])
        for M, K, N in MATMUL_SHAPES:
            for form, (a, b) in _forms(M, K, N).items():
                name, kept = f"{M}×{K}×{N} {form}", form != "d weight"
                rows.append(_one_product(name, a, b, kept, against, dtype, rounds))
        odd = [
            _one_product("", *_turned(i, *sizes), True, against, dtype, 3)["ratio"]
            for i, sizes in enumerate(itertools.product(ODD_SIZES, repeat=3))
        ]
    for row in rows:
        row["roofline_share"] = round(row["gflops"] * 1e9 / roofline, 3)
    result = {
        "benchmark": "matmul",
        "device": device(),
        "threads": 1,
        "dtype": dtype,
        "roofline_share": min(row["roofline_share"] for row in rows),
        "against": against or "OpenBLAS",
        "ratio": min(row["ratio"] for row in rows),
        "odd_sizes_ratio": round(float(np.exp(np.mean(np.log(odd)))), 3),
        "shapes": rows,
    }
    return result


def _forms(M: int, K: int, N: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The three products of a linear layer: (M, K) @ (K, N), and its backward's."""
    inp, weight, dout = _normal(M, K), _normal(K, N), _normal(M, N)
    return {
        "forward": (inp, weight),
        "d input": (dout, weight.T),
        "d weight": (inp.T, dout),
    }


def _turned(i: int, M: int, K: int, N: int) -> tuple[np.ndarray, np.ndarray]:
    """One of the three forms, each in its turn."""
    return list(_forms(M, K, N).values())[i % 3]


def _one_product(
    name: str, a: np.ndarray, b: np.ndarray, kept: bool,
    against: str | None, dtype: str, rounds: int,
) -> dict[str, Any]:  # fmt: skip
    """kept: b is a weight, whose rounded form is kept from product to product."""
    out = np.empty((a.shape[0], b.shape[1]), np.float32)
    rounded = dtype == "bfloat16"
    sides: list[Callable[[], Any]] = [lambda: multiply(out, a, b, bfloat16=rounded)]
    if rounded and kept:
        packed = kernels.Packed(b, dtype).pack()
        sides = [lambda: multiply(out, a, packed)]
    if against == "torch":
        torch = _torch(threads=1)
        ta, tb, tout = (torch.from_numpy(x) for x in (a, b, out))
        if rounded:
            cast = tb.bfloat16() if kept else tb
            sides.append(lambda: torch.mm(ta.bfloat16(), cast.bfloat16()))
        else:
            sides.append(lambda: torch.mm(ta, tb, out=tout))
    else:
        sides.append(lambda: np.matmul(a, b, out=out))
    times = alternate(sides, rounds, burst=0.1)
    flops = 2 * a.shape[0] * a.shape[1] * b.shape[1]
    return {
        "shape": name,
        "gflops": round(flops / median(times[0]) / 1e9, 1),
        "peer_gflops": round(flops / median(times[1]) / 1e9, 1),
        "ratio": round(ratio(*times), 3),
    }


def _torch(threads: int) -> Any:
    from gptlite.bench.torch_gpt import torch

    torch.set_num_threads(threads)
    return torch


def bench_attention(against: str | None = None, rounds: int = 7) -> dict[str, Any]:
    """Forward and backward of causal attention on all cores."""
    rows = []
    with WorkerPool(available_cores()) as pool:
        for shape in ATTENTION_SHAPES:
            sides = [_attention(pool, *shape)]
            if against:
                sides.append(_torch_attention(*shape))
            times = alternate(sides, rounds)
            row: dict[str, Any] = {"shape": f"B,H,T,D = {shape}"}
            row["milliseconds"] = round(1e3 * median(times[0]) / REPEAT, 3)
            if against:
                row["peer_milliseconds"] = round(1e3 * median(times[1]) / REPEAT, 3)
                row["ratio"] = round(ratio(*times), 3)
            rows.append(row)
    result = {"benchmark": "attention", "device": device(), "shapes": rows}
    if against:
        result |= {"against": against, "ratio": min(row["ratio"] for row in rows)}
    return result


def _attention(pool: WorkerPool, B: int, H: int, T: int, D: int) -> Callable[[], Any]:
    qkv, dout = _normal(B, T, 3, H, D), _normal(B, T, H, D)  # as in the model: views
    dqkv, out, lse = np.empty_like(qkv), np.empty_like(dout), _normal(B, H, T)

    def work(comm: SharedMemory) -> None:
        mine = slice(B * comm.rank // comm.size, B * (comm.rank + 1) // comm.size)
        q, k, v = np.moveaxis(qkv[mine], 2, 0)
        dq, dk, dv = np.moveaxis(dqkv[mine], 2, 0)
        for _ in range(REPEAT):
            kernels.attention_forward(out[mine], lse[mine], q, k, v)
            kernels.attention_backward(
                dq, dk, dv, dout[mine], out[mine], lse[mine], q, k, v
            )

    return lambda: pool.run(work)


def _torch_attention(B: int, H: int, T: int, D: int) -> Callable[[], Any]:
    torch = _torch(available_cores())
    # also views on one (B, T, 3, H, D) array, as in a model
    qkv = torch.from_numpy(_normal(B, T, 3, H, D)).requires_grad_()
    dout = torch.from_numpy(_normal(B, T, H, D)).transpose(1, 2)

    def work() -> None:
        for _ in range(REPEAT):
            q, k, v = (x.transpose(1, 2) for x in qkv.unbind(2))
            out = torch.nn.functional.scaled_dot_product_attention(
                q, k, v, is_causal=True
            )
            torch.autograd.grad(out, (q, k, v), dout)

    return work


def bench_layernorm(against: str | None = None, rounds: int = 7) -> dict[str, Any]:
    """Forward and backward of layer norm over (4096, 384), on all cores."""
    N, C = 4096, 384
    inp, dout, weight, bias = _normal(N, C), _normal(N, C), _normal(C), _normal(C)
    out, dinp = np.empty_like(inp), np.zeros_like(inp)
    mean, rstd = np.empty((2, N), np.float32)
    cores = available_cores()
    dweight, dbias = np.zeros((2, cores, C), np.float32)

    def work(comm: SharedMemory) -> None:
        s = slice(N * comm.rank // comm.size, N * (comm.rank + 1) // comm.size)
        for _ in range(REPEAT):
            kernels.layernorm_forward(out[s], mean[s], rstd[s], inp[s], weight, bias)
            kernels.layernorm_backward(
                dinp[s], dweight[comm.rank], dbias[comm.rank],
                dout[s], inp[s], weight, mean[s], rstd[s],
            )  # fmt: skip

    with WorkerPool(cores) as pool:
        sides: list[Callable[[], Any]] = [lambda: pool.run(work)]
        if against:
            torch = _torch(cores)
            tx, tw, tb, td = (torch.from_numpy(x) for x in (inp, weight, bias, dout))
            leaves = [x.requires_grad_() for x in (tx, tw, tb)]

            def peer() -> None:
                for _ in range(REPEAT):
                    y = torch.nn.functional.layer_norm(tx, (C,), tw, tb)
                    torch.autograd.grad(y, leaves, td)

            sides.append(peer)
        times = alternate(sides, rounds)
    # forward reads 1 and writes 1 row; backward reads 3 (inp, dout, dinp), writes 1
    gigabytes = 6 * N * C * 4 * REPEAT / 1e9
    result: dict[str, Any] = {"benchmark": "layernorm", "device": device()}
    result["shape"] = f"{N}×{C}"
    result["milliseconds"] = round(1e3 * median(times[0]) / REPEAT, 3)
    result["gigabytes_per_s"] = round(gigabytes / median(times[0]), 1)
    if against:
        result |= {"against": against, "ratio": round(ratio(*times), 3)}
    return result
