"""How fast a device reads rows that were read before: 27 rows for each that is written, all of them near it."""

from __future__ import annotations

from typing import Any

import torch

TAPS, WIDTH, NEAR = 27, 64, 2000


def gather_rate(device: str, count: int, watch: Any) -> float:
    """Bytes of bfloat16 rows of 64 channels (128 bytes) that are read in a second; ``count`` rows are written."""
    from sscn_triton.bench.gpu.gather_kernel import sum_rows

    generator = torch.Generator().manual_seed(0)
    near = torch.randint(-NEAR, NEAR, (TAPS, count), generator=generator)
    table = ((torch.arange(count) + near) % count).int().to(device)
    rows = torch.randn(count, WIDTH, generator=generator).to(device, torch.bfloat16)
    output = torch.empty_like(rows)
    times = watch(lambda: sum_rows(rows, table, output))
    right = torch.zeros(count, WIDTH, device=device)
    for line in table.long():
        right += rows[line].float()
    if not torch.allclose(output.float(), right, rtol=2e-2, atol=2e-1):
        raise ArithmeticError("the kernel that measures the gather rate computes something else than it should")
    return 2.0 * TAPS * count * WIDTH / (times["ms"] / 1e3)
