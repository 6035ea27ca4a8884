"""What scripts read from SparseConvNet's compiled part, which does not exist here."""

from __future__ import annotations

import torch


def is_cuda_build() -> bool:
    """Whether this PyTorch was built for GPUs, NVIDIA's or AMD's: the kernels here then run on them."""
    return torch.version.cuda is not None or torch.version.hip is not None
