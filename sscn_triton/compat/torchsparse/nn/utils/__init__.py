"""Helpers of torchsparse's layers."""

from sscn_triton.compat.missing import names
from sscn_triton.compat.torchsparse.nn.utils.apply import fapply
from sscn_triton.compat.torchsparse.nn.utils.kernel import get_kernel_offsets

__getattr__ = names(__name__, {})

__all__ = ["fapply", "get_kernel_offsets"]
