"""What ZeRO's stages hold and send, as formulas: derived in docs/parallel/zero.md.

Ψ parameters, N workers. Source: S. Rajbhandari et al. 2019, arXiv:1910.02054.
"""

from __future__ import annotations

from typing import NamedTuple

from gptlite.errors import ConfigError
from gptlite.parallel.channel import check_size

WHOLE_UP_TO = {"parameters": 2, "gradients": 1, "moments": 0}  # the last such stage


class Precision(NamedTuple):
    """Bytes of each parameter. moments: the optimizer's whole state."""

    parameters: int
    gradients: int
    moments: int


FLOAT32 = Precision(4, 4, 8)  # here: AdamW's two moments
FLOAT64 = Precision(8, 8, 16)  # in tests
MIXED = Precision(2, 2, 12)  # the paper: float16, and a float32 copy with two moments


def zero_memory(
    stage: int, n_params: float, size: int, precision: Precision = FLOAT32
) -> dict[str, float]:
    """Bytes that each worker holds, on average: exact if N divides each stretch.

    Without what is whole only while it is needed (in stages 2 and 3), and without
    activations.

    >>> {k: int(v) for k, v in zero_memory(1, 1000, 4).items()}
    {'parameters': 4000, 'gradients': 4000, 'moments': 2000}
    >>> float(sum(zero_memory(3, 7_500_000_000, 64, MIXED).values())) / 1e9  # Figure 1
    1.875
    """
    _check(stage, size)
    whole = zip(WHOLE_UP_TO.items(), precision, strict=True)
    return {
        kind: n_params * nbytes / (size if stage > last else 1)
        for (kind, last), nbytes in whole
    }


def zero_traffic(
    stage: int, n_params: int, size: int, itemsize: int = 4
) -> dict[str, float]:
    """Bytes that each worker sends in a step of one batch, on average, by collective.

    (If gradients of several batches are summed, stages 2 and 3 send for each of them.)

    >>> {k: int(v) for k, v in zero_traffic(3, 1000, 4).items()}
    {'ring reduce-scatter': 3000, 'ring all-gather': 6000}
    """
    _check(stage, size)
    once = (size - 1) * n_params * itemsize / size
    return {
        "ring reduce-scatter": once,
        "ring all-gather": once * (2 if stage == 3 else 1),
    }


def _check(stage: int, size: int) -> None:
    check_size(size)
    if stage not in (0, 1, 2, 3):
        raise ConfigError(f"wanted a ZeRO stage of 0 … 3, got {stage}")
