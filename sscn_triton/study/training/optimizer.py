"""The optimiser of every training."""

from __future__ import annotations

import torch


def adam(network: torch.nn.Module, learning_rate: float = 1e-3) -> torch.optim.Adam:
    """Adam (Kingma and Ba, arXiv:1412.6980) that updates all parameters in one call, where PyTorch's default loops over
    them on a CPU.

    Both compute the same formula; their last bits differ. A state that is loaded keeps the way in which it was made, so
    a training that began with the loop continues with the same bits.
    """
    return torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
