"""How float32 products are taken, as PyTorch was told: the only place where its settings are read."""

from __future__ import annotations

import torch


def float32_precision() -> str:
    """Triton's ``input_precision`` for float32 operands on matrix units: "ieee", "tf32x3" ("bf16x3" on AMD) or "tf32".

    ``torch.set_float32_matmul_precision``: "highest" (the default) multiplies in IEEE float32, "high" takes three
    products of split operands, "medium" one in TF32. ``torch.backends.cuda.matmul.fp32_precision``: "ieee" or "tf32";
    while it is not set, ``torch.backends.fp32_precision`` holds. What was set last counts, with one exception that
    PyTorch's own state does not tell: "high", followed by the new setting "tf32", stays "high", the more exact.

    On the CPU none of this is asked: there float32 is always multiplied in IEEE float32.
    """
    # The old way writes the new setting too, and reading the old one raises where the two differ.
    if torch.backends.cuda.matmul.fp32_precision != "tf32":
        return "ieee"
    try:
        split = torch.get_float32_matmul_precision() == "high"
    except RuntimeError:
        split = False
    if not split:
        return "tf32"
    return "tf32x3" if torch.version.hip is None else "bf16x3"
