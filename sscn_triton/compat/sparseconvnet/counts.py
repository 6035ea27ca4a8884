"""The two counters of the module, which scripts read and reset."""

from __future__ import annotations

import sys
from typing import Any

from torch import Tensor

from sscn_triton.core.rulebook import Rulebook


def count(multiply_adds: int, output: Tensor) -> None:
    """Add to ``forward_pass_multiplyAdd_count``, and the elements of ``output`` to ``forward_pass_hidden_states``."""
    module: Any = sys.modules[__package__]
    module.forward_pass_multiplyAdd_count += multiply_adds
    module.forward_pass_hidden_states += output.numel()


def multiply_adds(rules: Rulebook, weight: Tensor) -> int:
    """Products of a convolution: its rules times the products of each, with weight ``[V, groups, in, out]``."""
    return rules.rule_count * weight[0].numel()
