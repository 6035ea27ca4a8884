"""Ceilings of some GPUs, for the cost model of `sscn_triton.bench.cost_model.cost`.

Rates are the vendor's peaks for dense matrices; a device reaches less, and `make gpu` measures how much. A gather rate
is the bandwidth of the last cache that all multiprocessors share, from which rows that several outputs need are read.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Device:
    """Ceilings of a GPU: bytes and operations per second."""

    name: str
    bandwidth: float
    """Bytes read and written per second in device memory."""
    gather: float
    """Bytes per second of rows that are read again from the common cache."""
    matrix: dict[str, float]
    """Floating-point operations per second by precision: bf16 and tf32 on matrix units, fp32 on plain units."""
    source: str


DEVICES = {
    "a100": Device(
        "A100 SXM 80 GB", 2.039e12, 7.2e12, {"bf16": 312e12, "tf32": 156e12, "fp32": 19.5e12},
        "NVIDIA A100 datasheet (2021); cache: 5120 bytes per clock (A100 architecture whitepaper) at 1.41 GHz",
    ),
    "h100": Device(
        "H100 SXM", 3.35e12, 9.37e12, {"bf16": 989e12, "tf32": 494e12, "fp32": 67e12},
        "NVIDIA H100 datasheet, without sparsity; cache: the A100's 5120 bytes per clock assumed, at 1.83 GHz,"
        " the clock at which 132 multiprocessors reach 989 TFLOP/s with 4096 operations per clock each",
    ),
    "h200": Device(
        "H200 SXM", 4.8e12, 9.37e12, {"bf16": 989e12, "tf32": 494e12, "fp32": 67e12},
        "NVIDIA H200 datasheet, without sparsity (4.3 TB/s and 790 TFLOP/s have been measured); cache as the H100's",
    ),
    "b200": Device(
        "B200 (HGX, 1000 W)", 8.0e12, 18.7e12, {"bf16": 2250e12, "tf32": 1100e12, "fp32": 80e12},
        "NVIDIA Blackwell datasheet, without sparsity; cache: twice the H100's assumed, for two dies",
    ),
    "mi300x": Device(
        "MI300X", 5.3e12, 17.2e12, {"bf16": 1307e12, "tf32": 654e12, "fp32": 163e12},
        "AMD Instinct MI300X datasheet and CDNA 3 whitepaper, without sparsity; cache: Infinity Cache, 17.2 TB/s",
    ),
}  # fmt: skip


def device_named(name: str) -> Device:
    """The device with this name, in upper or lower case. Raises ValueError for unknown names."""
    if name.lower() not in DEVICES:
        raise ValueError(f"model must be one of {', '.join(DEVICES)}, got {name}")
    return DEVICES[name.lower()]
