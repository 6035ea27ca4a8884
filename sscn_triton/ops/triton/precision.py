"""How float32 products are taken, as PyTorch was told."""

from __future__ import annotations

import torch


def float32_precision() -> str:
    """Triton's ``input_precision`` for float32 operands on matrix units.

    ``torch.set_float32_matmul_precision``: "highest" (the default) multiplies in IEEE float32, "high" takes three
    products of split operands, "medium" one in TF32. ``torch.backends.cuda.matmul.fp32_precision``: "ieee" or "tf32".
    """
    # The old way writes the new setting too, but raises when read after the new one was set by itself.
    if torch.backends.cuda.matmul.fp32_precision != "tf32":
        return "ieee"
    try:
        split = torch.get_float32_matmul_precision() == "high"
    except RuntimeError:
        split = False
    if not split:
        return "tf32"
    return "tf32x3" if torch.version.hip is None else "bf16x3"
