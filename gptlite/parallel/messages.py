"""Messages: a header of 48 bytes, then raw numbers; each checked by the receiver.

The header says what the sender is doing, so that workers who disagree are told so, and
carries checksums (CRC-32), so that a damaged message is never used. Nothing in a
message is ever executed: no pickle.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from gptlite.errors import DataError, WorkerError
from gptlite.parallel.channel import Channel
from gptlite.parallel.ledger import COLLECTIVES, Ledger

MAGIC = b"glm1"
# magic, collective, source, destination, spare, dtype, number of the call, step, items
# of the whole array, bytes of this message, their checksum; then the header's own
FIELDS = struct.Struct("<4sHHHH4sIIQQI")
CHECKSUM = struct.Struct("<I")
HEADER_BYTES = FIELDS.size + CHECKSUM.size
NOTHING = memoryview(b"")


@dataclass(frozen=True, slots=True)
class Header:
    """What a message says of itself."""

    collective: int  # index into COLLECTIVES
    source: int
    to: int
    dtype: str  # as NumPy writes it: "<f4"
    number: int  # of the call: 1 is this worker's first collective
    step: int  # when it was sent, counted from the beginning of the collective
    count: int  # numbers in the whole array of which this is a part
    nbytes: int  # of the payload that follows
    checksum: int  # CRC-32 of the payload

    def packed(self) -> bytes:
        fields = FIELDS.pack(
            MAGIC, self.collective, self.source, self.to, 0, self.dtype.encode(),
            self.number, self.step, self.count, self.nbytes, self.checksum,
        )  # fmt: skip
        return fields + CHECKSUM.pack(zlib.crc32(fields))

    @classmethod
    def unpacked(cls, data: bytes) -> Header | None:
        """The header in these 48 bytes, or `None` if they are damaged."""
        fields, [checksum] = data[: FIELDS.size], CHECKSUM.unpack(data[FIELDS.size :])
        if zlib.crc32(fields) != checksum or fields[:4] != MAGIC:
            return None
        _, collective, source, to, _, dtype, *rest = FIELDS.unpack(fields)
        if collective >= len(COLLECTIVES):
            return None
        return cls(collective, source, to, dtype.rstrip(b"\0").decode("latin-1"), *rest)

    def __str__(self) -> str:
        dtype = np.dtype(self.dtype).name
        return (
            f"{self.nbytes} bytes of an array of {self.count} {dtype}, "
            f"in call {self.number}, {COLLECTIVES[self.collective]}"
        )


def as_bytes(values: np.ndarray) -> memoryview:
    """The bytes of a contiguous array, without a copy."""
    return values.reshape(-1).view(np.uint8).data


class Post:
    """Sends and receives arrays, checks them, and enters them into the ledger.

    Time is counted in steps: in one step a worker may send one message and receive
    one. A message carries the step in which it was sent, and nobody has it earlier
    (Lamport's clock): so the ledger knows the length of the longest chain of messages
    that had to wait for one another, whatever the machine's real speed.
    """

    def __init__(self, channel: Channel, ledger: Ledger) -> None:
        self._channel, self._ledger = channel, ledger
        self.rank, self.size = channel.rank, channel.size
        self._header = Header(0, self.rank, 0, "|u1", 0, 0, 0, 0, 0)

    @contextmanager
    def collective(self, name: str, dtype: np.dtype, count: int) -> Iterator[None]:
        """What is sent inside belongs to `name`, on an array of `count` numbers."""
        if dtype.kind not in "iufc":
            raise DataError(
                f"wanted numbers for {name}, got dtype {dtype}; "
                "convert the array, for example with .astype(np.float32)"
            )
        self._header = replace(
            self._header, collective=COLLECTIVES.index(name), dtype=dtype.str,
            number=(self._header.number + 1) % 2**32, step=0, count=count,
        )  # fmt: skip
        yield
        self._ledger.add(self.rank, name, calls=1, steps=self._header.step)

    def send(self, to: int, values: np.ndarray) -> None:
        self._exchange(to, values, None, 0)

    def receive(self, source: int, count: int) -> np.ndarray:
        return self._exchange(None, np.empty(0), source, count)

    def exchange(
        self, to: int, values: np.ndarray, source: int, count: int
    ) -> np.ndarray:
        """Send `values`, (n,), and return the (count,) numbers that `source` sends."""
        return self._exchange(to, values, source, count)

    def _exchange(
        self, to: int | None, values: np.ndarray, source: int | None, count: int
    ) -> np.ndarray:
        now = self._header.step + 1
        data, head = NOTHING, NOTHING
        if to is not None:
            data = as_bytes(np.ascontiguousarray(values))
            head = memoryview(
                replace(
                    self._header, to=to, step=now, nbytes=len(data),
                    checksum=zlib.crc32(data),
                ).packed()
            )  # fmt: skip
        came = bytearray(HEADER_BYTES if source is not None else 0)
        self._channel.exchange(to, head, source, memoryview(came))
        arrived = np.empty(count, self._header.dtype)
        if source is not None:
            header = self._checked(bytes(came), source, arrived.nbytes)
            now = max(now, header.step)  # nobody has a message before it was sent
        self._channel.exchange(to, data, source, as_bytes(arrived))
        if source is not None and zlib.crc32(as_bytes(arrived)) != header.checksum:
            raise WorkerError(self._damaged(source))
        if to is not None:
            name = COLLECTIVES[self._header.collective]
            self._ledger.add(self.rank, name, messages=1, payload=len(data))
        self._header = replace(self._header, step=now)
        return arrived

    def _checked(self, data: bytes, source: int, nbytes: int) -> Header:
        """The header, if it announces what this worker wants."""
        got = Header.unpacked(data)
        if got is None or (got.source, got.to) != (source, self.rank):
            raise WorkerError(self._damaged(source))
        wanted = replace(
            self._header, source=source, to=self.rank, nbytes=nbytes,
            step=got.step, checksum=got.checksum,  # these two only the sender knows
        )  # fmt: skip
        if got != wanted:
            raise WorkerError(
                f"worker {self.rank} wanted {wanted}; worker {source} sent {got}; "
                "every worker must make the same calls with arrays alike"
            )
        return got

    def _damaged(self, source: int) -> str:
        h = self._header
        return (
            f"a message from worker {source} to worker {self.rank} arrived damaged "
            f"(call {h.number}, {COLLECTIVES[h.collective]}, after step {h.step}): its "
            "checksum is wrong, and it was not used; go on from the last checkpoint"
        )
