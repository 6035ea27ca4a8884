"""Ceilings of some GPUs, for the cost model of `sscn_triton.bench.cost_model.cost`.

Rates are the vendor's peaks for dense matrices; what a device reaches is less, and `make gpu` measures it. A gather
rate is what the last cache common to all multiprocessors can deliver: rows that several outputs need are read there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Device:
    """Ceilings of a GPU: bytes and operations per second."""

    name: str
    bandwidth: float
    """Device memory, bytes read and written."""
    gather: float
    """Rows read again from the common cache, bytes."""
    matrix: dict[str, float]
    """Floating-point operations of matrix units, by precision: bf16, tf32; fp32 on plain units."""
    source: str


DEVICES = {
    "a100": Device(
        "A100 SXM 80 GB", 2.039e12, 7.2e12, {"bf16": 312e12, "tf32": 156e12, "fp32": 19.5e12},
        "NVIDIA A100 datasheet (2021); cache: 5120 bytes per clock (A100 architecture whitepaper) at 1.41 GHz",
    ),
    "h100": Device(
        "H100 SXM", 3.35e12, 9.0e12, {"bf16": 989e12, "tf32": 494e12, "fp32": 67e12},
        "NVIDIA H100 datasheet, without sparsity; cache: the A100's 5120 bytes per clock assumed, at 1.755 GHz",
    ),
    "h200": Device(
        "H200 SXM", 4.8e12, 9.0e12, {"bf16": 989e12, "tf32": 494e12, "fp32": 67e12},
        "NVIDIA H200 datasheet, without sparsity (4.3 TB/s and 790 TFLOP/s have been measured); cache as the H100's",
    ),
    "b200": Device(
        "B200 (HGX, 1000 W)", 8.0e12, 18.0e12, {"bf16": 2250e12, "tf32": 1100e12, "fp32": 80e12},
        "NVIDIA Blackwell datasheet, without sparsity; cache: twice the H100's assumed, for two dies",
    ),
    "mi300x": Device(
        "MI300X", 5.3e12, 17.2e12, {"bf16": 1307e12, "tf32": 654e12, "fp32": 163e12},
        "AMD Instinct MI300X datasheet and CDNA 3 whitepaper, without sparsity; cache: Infinity Cache, 17.2 TB/s",
    ),
}  # fmt: skip


def device_named(name: str) -> Device:
    """The device of a name, in any case; ValueError for others."""
    if name.lower() not in DEVICES:
        raise ValueError(f"model must be one of {', '.join(DEVICES)}, got {name}")
    return DEVICES[name.lower()]
