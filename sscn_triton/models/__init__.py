"""Networks."""

from sscn_triton.models.uresnet import SparseUResNet

__all__ = ["SparseUResNet"]
