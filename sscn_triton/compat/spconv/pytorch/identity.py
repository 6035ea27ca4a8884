"""The module that does nothing."""

from __future__ import annotations

from typing import TypeVar

import torch

from sscn_triton.compat.missing import names

_Given = TypeVar("_Given")


class Identity(torch.nn.Identity):
    """The input itself."""

    def input_spatial_size(self, out_size: _Given) -> _Given:
        """The spatial size that leads to ``out_size``: the same size."""
        return out_size


__getattr__ = names(__name__, {})
