"""Devices and links, by their makers' figures; bytes and FLOPs are counted a second.

Bandwidths of links are of one direction: data sheets add both, so that NVLink's
"600 GB/s" is 300 here. Peaks are of dense matrices ("with sparsity" doubles them).
"""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from typing import TypeVar

from gptlite.errors import ConfigError

GIB = 2.0**30  # bytes
GIGABIT = 1e9 / 8  # bytes

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Link:
    """What one GPU can send over it while it receives as much, in bytes a second."""

    name: str
    bandwidth: float


LINKS = {
    link.name: link
    for link in (
        Link("nvlink2", 150e9),  # NVIDIA, V100 data sheet (2020): 300 GB/s both ways
        Link("nvlink3", 300e9),  # NVIDIA, A100 data sheet (2021): 600 GB/s both ways
        Link("nvlink4", 450e9),  # NVIDIA, H100 data sheet (2022): 900 GB/s both ways
        # one port for eight GPUs: Microsoft, Build 2020, "400 gigabits per second of
        # network connectivity for each GPU server"
        Link("infiniband-shared", 400 * GIGABIT / 8),
        # a port a GPU: DGX A100 has 8 × 200 Gb/s (Narayanan et al. 2021, section 5)
        Link("infiniband-hdr", 200 * GIGABIT),
        # Azure ND H100 v5, DGX H100: 8 × 400 Gb/s
        Link("infiniband-ndr", 400 * GIGABIT),
        # BLOOM's Jean Zay: 4 × 100 Gb/s for 8 GPUs (Le Scao et al. 2022)
        Link("omnipath", 400 * GIGABIT / 8),
        Link("ethernet", 10 * GIGABIT),  # 10 Gb/s a device
        Link("memory", 33e9),  # between the cores of this machine: measured
    )
}


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, or a machine with a CPU, with its place in a server.

    peak: FLOP/s of matrix products of 16-bit factors; peak_float32: of 32-bit ones.
    server: devices that `inside` joins; `between` joins servers. watts: drawn from the
    wall by one device with its share of the server. dollars: rent of an hour.
    """

    name: str
    memory_gib: float
    peak: float
    peak_float32: float
    bandwidth: float
    server: int
    inside: Link
    between: Link
    watts: float
    dollars: float

    def with_link(self, name: str) -> Device:
        """The same with another link between servers; empty: as it is.

        >>> DEVICES["a100"].with_link("ethernet").between.bandwidth
        1250000000.0
        """
        return (
            dataclasses.replace(self, between=find(name, LINKS, "link"))
            if name
            else self
        )


DEVICES = {
    device.name: device
    for device in (
        # NVIDIA, V100 SXM2 32 GB data sheet. Watts: measured while GPT-3 was trained
        # (Patterson et al. 2021, arXiv:2104.10350, Table 4). $1.50: Lambda's estimate
        # of GPT-3's cost (C. Li 2020, "Demystifying GPT-3")
        Device("v100", 32, 125e12, 15.7e12, 900e9, 8, LINKS["nvlink2"],
               LINKS["infiniband-shared"], 330, 1.50),
        # NVIDIA, A100 SXM 80 GB data sheet. Watts: DGX A100 at most, 6.5 kW for 8.
        # $1.00: what SemiAnalysis' estimate of ChatGPT comes to (docs/cluster/figures)
        Device("a100", 80, 312e12, 19.5e12, 2.039e12, 8, LINKS["nvlink3"],
               LINKS["infiniband-hdr"], 6500 / 8, 1.00),
        # NVIDIA, H100 SXM data sheet. Watts: DGX H100 at most, 10.2 kW for 8. $2.00:
        # DeepSeek-AI 2024, arXiv:2412.19437, Table 1 (of its sister, the H800)
        Device("h100", 80, 989e12, 67e12, 3.35e12, 8, LINKS["nvlink4"],
               LINKS["infiniband-ndr"], 10200 / 8, 2.00),
        # two cores with AVX-512: NumPy's best product and the stream from memory, as
        # measured for docs/benchmarks.md; watts and rent are assumptions
        Device("cpu", 8, 203e9, 203e9, 33e9, 1, LINKS["memory"], LINKS["ethernet"],
               60, 0.10),
    )
}  # fmt: skip


def find(name: str, among: dict[str, T], what: str) -> T:
    """`among[name]`, or an error that lists the names and the one that was meant."""
    if name not in among:
        close = difflib.get_close_matches(name, among, 1) or list(among)[:1]
        raise ConfigError(
            f"wanted a {what} among {', '.join(among)}, got {name!r}; "
            f"did you mean {close[0]!r}?"
        )
    return among[name]


def device(name: str, link: str = "") -> Device:
    """The device of this name, its servers joined by `link`.

    >>> device("h100").peak / device("v100").peak
    7.912
    """
    return find(name, DEVICES, "device").with_link(link)
