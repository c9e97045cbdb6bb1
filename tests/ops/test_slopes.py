"""Every reference backward is the slope of its forward, in float64, to 1e-6."""

from __future__ import annotations

import numpy as np
import pytest

from gptlite.ops import reference as ops
from tests.helpers import assert_is_slope

RNG = np.random.default_rng


def arrays(seed: int, **shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = RNG(seed)
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("stack", [(), (2,)])
@pytest.mark.parametrize("transposed", [False, True])
def test_matmul_backward_products_are_slopes(stack: tuple, transposed: bool) -> None:
    M, K, N = 3, 4, 5
    b_shape = (N, K) if transposed else (K, N)
    x = arrays(0, a=(*stack, M, K), b=(*stack, *b_shape), dout=(*stack, M, N))
    b = x["b"].swapaxes(-1, -2) if transposed else x["b"]

    def loss() -> float:
        out = np.empty_like(x["dout"])
        ops.matmul(out, x["a"], b)
        return (out * x["dout"]).sum()

    da, db = np.zeros_like(x["a"]), np.zeros_like(x["b"])
    ops.matmul(da, x["dout"], b.swapaxes(-1, -2))
    db_view = db.swapaxes(-1, -2) if transposed else db
    ops.matmul(db_view, x["a"].swapaxes(-1, -2), x["dout"], accumulate=True)
    assert_is_slope(loss, {"a": x["a"], "b": x["b"]}, {"a": da, "b": db})


@pytest.mark.parametrize("bias", [True, False])
def test_linear_backward_is_the_slope(bias: bool) -> None:
    x = arrays(1, inp=(2, 3, 4), weight=(4, 5), bias=(5,), dout=(2, 3, 5))
    b = x["bias"] if bias else None

    def loss() -> float:
        out = np.empty_like(x["dout"])
        ops.linear_forward(out, x["inp"], x["weight"], b)
        return (out * x["dout"]).sum()

    params = {name: x[name] for name in ("inp", "weight", *(["bias"] if bias else []))}
    d = {name: np.zeros_like(param) for name, param in params.items()}
    ops.linear_backward(
        d["inp"], d["weight"], d.get("bias"), x["dout"], x["inp"], x["weight"]
    )
    assert_is_slope(loss, params, d)


def test_lora_backward_is_the_slope() -> None:
    x = arrays(13, inp=(2, 3, 4), a=(4, 2), b=(2, 5), dout=(2, 3, 5))
    low, scale = np.empty((2, 3, 2)), 0.7

    def loss() -> float:
        out = np.ones_like(x["dout"])  # something is there already
        ops.lora_forward(out, low, x["inp"], x["a"], x["b"], scale)
        return (out * x["dout"]).sum()

    loss()
    params = {name: x[name] for name in ("inp", "a", "b")}
    d = {name: np.zeros_like(param) for name, param in params.items()}
    dlow = np.full_like(low, np.nan)  # overwritten
    ops.lora_backward(*d.values(), dlow, x["dout"], low, *params.values(), scale)
    assert_is_slope(loss, params, d)


def test_embedding_backward_is_the_slope() -> None:
    ids = np.array([[0, 2, 2], [4, 0, 2]])  # rows read once, twice, three times, never
    positions = np.array([[0, 1, 2], [3, 4, 5]])
    x = arrays(2, token=(5, 3), position=(7, 3), dout=(2, 3, 3))

    def loss() -> float:
        out = np.empty_like(x["dout"])
        ops.embedding_forward(out, ids, positions, x["token"], x["position"])
        return (out * x["dout"]).sum()

    d = {name: np.zeros_like(x[name]) for name in ("token", "position")}
    ops.embedding_backward(d["token"], d["position"], x["dout"], ids, positions)
    assert_is_slope(loss, {name: x[name] for name in d}, d)


@pytest.mark.parametrize("bias", [True, False])
def test_layernorm_backward_is_the_slope(bias: bool) -> None:
    x = arrays(3, inp=(2, 3, 5), weight=(5,), bias=(5,), dout=(2, 3, 5))
    b = x["bias"] if bias else None
    out, mean, rstd = np.empty((2, 3, 5)), np.empty((2, 3)), np.empty((2, 3))

    def loss() -> float:
        ops.layernorm_forward(out, mean, rstd, x["inp"], x["weight"], b)
        return (out * x["dout"]).sum()

    loss()
    params = {name: x[name] for name in ("inp", "weight", *(["bias"] if bias else []))}
    d = {name: np.zeros_like(param) for name, param in params.items()}
    ops.layernorm_backward(
        d["inp"], d["weight"], d.get("bias"),
        x["dout"], x["inp"], x["weight"], mean, rstd,
    )  # fmt: skip
    assert_is_slope(loss, params, d)


ATTENTION = {
    "plain": {},
    "offsets": {"Tk": 9, "offsets": np.array([2, 4])},
    "segments": {"segments": True},
    "prefix": {"prefix": np.array([3, 0])},
    "grouped heads": {"Hkv": 2},
    "one key head": {"Hkv": 1},
    "all together": {
        "Tk": 9, "Hkv": 2, "offsets": np.array([1, 4]), "prefix": np.array([0, 7]),
        "segments": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("case", ATTENTION)
def test_attention_backward_is_the_slope(case: str) -> None:
    options = dict(ATTENTION[case])
    B, Tq, H, D = 2, 5, 4, 3
    Tk, Hkv = options.pop("Tk", Tq), options.pop("Hkv", H)
    if options.pop("segments", False):
        options["q_segments"] = RNG(5).integers(0, 2, (B, Tq))
        options["k_segments"] = RNG(6).integers(0, 2, (B, Tk))
        options["k_segments"][:, :Tq] = options["q_segments"]
    x = arrays(
        7, q=(B, Tq, H, D), k=(B, Tk, Hkv, D), v=(B, Tk, Hkv, D), dout=(B, Tq, H, D)
    )
    out, lse = np.empty_like(x["q"]), np.empty((B, H, Tq))

    def loss() -> float:
        ops.attention_forward(out, lse, x["q"], x["k"], x["v"], **options)
        return (out * x["dout"]).sum()

    loss()
    params = {name: x[name] for name in "qkv"}
    d = {name: np.full_like(x[name], np.nan) for name in "qkv"}  # overwritten
    ops.attention_backward(
        d["q"], d["k"], d["v"], x["dout"], out, lse, *params.values(), **options
    )
    assert_is_slope(loss, params, d)


@pytest.mark.parametrize("form", ["gelu", "gelu_exact"])
def test_gelu_backward_is_the_slope(form: str) -> None:
    forward = getattr(ops, f"{form}_forward")
    backward = getattr(ops, f"{form}_backward")
    x = arrays(8, inp=(3, 7), dout=(3, 7))
    x["inp"] *= 3

    def loss() -> float:
        out = np.empty_like(x["inp"])
        forward(out, x["inp"])
        return (out * x["dout"]).sum()

    d = np.full_like(x["inp"], np.nan)
    backward(d, x["dout"], x["inp"])
    assert_is_slope(loss, {"inp": x["inp"]}, {"inp": d})


@pytest.mark.parametrize("masked", [False, True])
def test_cross_entropy_gradient_is_the_slope(masked: bool) -> None:
    logits, targets = RNG(9).normal(size=(6, 5)), np.array([0, 4, 2, 2, 1, 3])
    mask = np.array([1, 0, 1, 1, 0, 1], bool) if masked else np.ones(6, bool)
    losses, d = np.empty(6), np.empty_like(logits)

    def loss() -> float:
        ops.cross_entropy_forward(losses, logits, targets, mask)
        return losses.sum()

    expected = loss()
    ops.cross_entropy_forward_backward(losses, d, logits, targets, mask)
    assert losses.sum() == expected
    assert_is_slope(loss, {"logits": logits}, {"logits": d})


@pytest.mark.parametrize("masked", [False, True])
def test_linear_cross_entropy_gradients_are_the_slopes(masked: bool) -> None:
    x = arrays(11, inp=(6, 4), weight=(4, 5))
    targets, losses, room = np.array([0, 4, 2, 2, 1, 3]), np.empty(6), np.empty((2, 5))
    mask = np.array([1, 0, 1, 1, 0, 1], bool) if masked else np.ones(6, bool)

    def loss() -> float:
        ops.linear_cross_entropy_forward(
            losses, room, x["inp"], x["weight"], targets, mask
        )
        return losses.sum()

    expected = loss()
    d = {"inp": np.full((6, 4), np.nan), "weight": np.zeros((4, 5))}
    ops.linear_cross_entropy_forward_backward(
        losses, d["inp"], d["weight"], room, x["inp"], x["weight"], targets, mask
    )
    assert losses.sum() == pytest.approx(expected, rel=1e-12)
    assert_is_slope(loss, x, d)


def test_log_probability_and_entropy_gradients_are_the_slopes() -> None:
    x = arrays(12, inp=(6, 4), weight=(4, 5), dlogp=(6,), dentropy=(6,))
    targets, room = np.array([0, 4, 2, 2, 1, 3]), np.empty((2, 5))
    logp, entropy = np.empty(6), np.empty(6)

    def loss() -> float:
        ops.linear_log_probability_forward(
            logp, entropy, room, x["inp"], x["weight"], targets
        )
        return logp @ x["dlogp"] + entropy @ x["dentropy"]

    loss()
    d = {"inp": np.full((6, 4), np.nan), "weight": np.zeros((4, 5)),
         "dlogp": logp.copy(), "dentropy": entropy.copy()}  # fmt: skip
    ops.linear_log_probability_backward(
        d["inp"], d["weight"], room, x["dlogp"], x["dentropy"],
        x["inp"], x["weight"], targets,
    )  # fmt: skip
    assert_is_slope(loss, x, d)
    losses = np.empty(6)
    mask = np.ones(6, bool)
    ops.linear_cross_entropy_forward(losses, room, x["inp"], x["weight"], targets, mask)
    np.testing.assert_allclose(-losses, logp, rtol=1e-12)


def test_adamw_is_the_textbook_update_number_by_number() -> None:
    rng = RNG(10)
    params, m, v = rng.normal(size=4), np.zeros(4), np.zeros(4)
    by_hand = [[p, 0.0, 0.0] for p in params]
    lr, beta1, beta2, eps, decay, scale = 0.1, 0.9, 0.99, 1e-8, 0.3, 0.5
    for step in range(1, 6):
        grads = rng.normal(size=4)
        ops.adamw(params, grads, m, v, lr, beta1, beta2, eps, decay, step, scale)
        for state, grad in zip(by_hand, grads * scale, strict=True):
            state[1] = beta1 * state[1] + (1 - beta1) * grad
            state[2] = beta2 * state[2] + (1 - beta2) * grad * grad
            m_hat = state[1] / (1 - beta1**step)
            v_hat = state[2] / (1 - beta2**step)
            decayed = state[0] * (1 - lr * decay)
            state[0] = decayed - lr * m_hat / (v_hat**0.5 + eps)
    np.testing.assert_allclose(np.stack([params, m, v], axis=1), by_hand, rtol=1e-12)


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (1, 6)])
def test_orthogonalize_moves_singular_values_and_no_singular_vector(
    shape: tuple,
) -> None:
    matrix = RNG(11).normal(size=shape)
    U, s, Vt = np.linalg.svd(matrix, full_matrices=False)
    s = s / np.linalg.norm(matrix)
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    np.testing.assert_allclose(ops.orthogonalize(matrix), U * s @ Vt, atol=1e-6)


def test_muon_is_nesterov_momentum_made_orthogonal() -> None:
    rng = RNG(12)
    weight, buffer = rng.normal(size=(3, 6)), rng.normal(size=(3, 6))
    grad, start, before = rng.normal(size=(3, 6)), weight.copy(), buffer.copy()
    ops.muon(weight, grad, buffer, 0.1, 0.9, 0.2, 0.5)
    g = 0.5 * grad
    average = 0.9 * before + 0.1 * g
    np.testing.assert_allclose(buffer, average)
    update = ops.orthogonalize(0.9 * average + 0.1 * g)
    wanted = start * (1 - 0.1 * 0.2) - 0.1 * np.sqrt(6 / 3) * update
    np.testing.assert_allclose(weight, wanted)
