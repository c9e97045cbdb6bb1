"""What each collective costs: bytes and steps as formulas, derived in docs/parallel.

N workers, an array of n numbers; m = ⌈n/N⌉, one worker's chunk of it (a ring
all-reduce pads the array to N·m numbers); K = ⌈log₂ N⌉.
"""

from __future__ import annotations

from gptlite.errors import DataError
from gptlite.parallel.channel import check_size
from gptlite.parallel.ledger import COLLECTIVES


def _rounds(size: int) -> int:
    """⌈log₂ N⌉, the rounds in which what one knows can reach all."""
    return (size - 1).bit_length()


def steps(name: str, size: int) -> int:
    """Messages that must wait for one another: the length of the longest chain.

    >>> steps("ring all-reduce", 8), steps("tree all-reduce", 8)
    (14, 6)
    """
    check_size(size)
    if name == "barrier":
        return _rounds(size)
    if name not in COLLECTIVES:
        raise DataError(f"wanted a collective among {COLLECTIVES}, got {name!r}")
    algorithm, what = name.split()
    one_way = _rounds(size) if algorithm == "tree" else size - 1
    return 2 * one_way if what == "all-reduce" else one_way


def message_items(name: str, size: int, count: int) -> int:
    """Numbers in one message; `count` in the whole array (0 for a barrier).

    >>> message_items("ring all-reduce", 4, 10), message_items("tree all-reduce", 4, 10)
    (3, 10)
    """
    check_size(size)
    if name == "barrier":
        return 0
    return -(-count // size) if name.startswith("ring") else count


def messages(name: str, size: int, rank: int = 0) -> int:
    """Messages that worker `rank` sends, where worker 0 is the root.

    >>> [messages("tree broadcast", 8, rank) for rank in range(8)]
    [3, 2, 1, 1, 0, 0, 0, 0]
    """
    if name == "barrier" or name.startswith("ring"):
        return steps(name, size)
    algorithm, what = name.split()
    up = int(rank > 0)  # towards the root everyone sends once
    if algorithm == "naive":
        down = size - 1 if rank == 0 else 0
    else:  # to rank + 2^k, for each 2^k above its own rank
        down = sum(rank < 2**k < size - rank for k in range(_rounds(size)))
    return {"reduce": up, "broadcast": down, "all-reduce": up + down}[what]


def bytes_sent(
    name: str, size: int, count: int, itemsize: int, rank: int = 0
) -> int:  # fmt: skip
    """Bytes of payload that worker `rank` sends, where worker 0 is the root.

    Of reduce-scatter and all-gather: for shards of equal size.

    >>> bytes_sent("ring all-reduce", 4, 1000, 4)  # 2 · 3/4 · 4000 bytes
    6000
    """
    return messages(name, size, rank) * message_items(name, size, count) * itemsize


def seconds(
    name: str, size: int, nbytes: int, latency: float, bandwidth: float
) -> float:  # fmt: skip
    """How long it takes if a step costs `latency` s, and a byte 1/`bandwidth` s.

    The model of Hockney 1994: along the longest chain each step moves one message.
    Adding the numbers up is not counted.

    >>> seconds("ring all-reduce", 8, 4_000_000, 5e-6, 1e9)
    0.00707
    """
    moved = message_items(name, size, nbytes) / bandwidth
    return steps(name, size) * (latency + moved)
