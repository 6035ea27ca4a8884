"""The precision of float32 products that the user set in PyTorch. Only this module reads these settings."""

from __future__ import annotations

import torch


def float32_precision() -> str:
    """Triton's ``input_precision`` for float32 operands on matrix units: "ieee", "tf32x3" ("bf16x3" on AMD) or "tf32".

    ``torch.set_float32_matmul_precision``: "highest" (the default) multiplies in IEEE float32, "high" takes three
    products of split operands, "medium" one in TF32. ``torch.backends.cuda.matmul.fp32_precision``: "ieee" or "tf32";
    if it is not set, ``torch.backends.fp32_precision`` applies. The last setting wins, with one exception that
    PyTorch's own state does not reveal: "high", followed by the new setting "tf32", stays "high", the more exact one.

    The CPU engine ignores these settings and always multiplies float32 in IEEE float32.
    """
    # Setting the old option also writes the new one, and reading the old one raises if the two differ.
    if torch.backends.cuda.matmul.fp32_precision != "tf32":
        return "ieee"
    try:
        split = torch.get_float32_matmul_precision() == "high"
    except RuntimeError:
        split = False
    if not split:
        return "tf32"
    return "tf32x3" if torch.version.hip is None else "bf16x3"
