"""What scripts read about PyTorch."""

from __future__ import annotations

import re

import torch

from sscn_triton.compat.missing import names

PYTORCH_VERSION = [int(number) for number in re.findall(r"\d+", torch.__version__.partition("+")[0])[:3]]
TORCH_HAS_AMP = True


def is_amp_enabled() -> bool:
    """Whether autocast is on for GPUs."""
    return torch.is_autocast_enabled("cuda")


__getattr__ = names(__name__, {"remove_dotdev": "PYTORCH_VERSION", "remove_plus": "PYTORCH_VERSION"})
