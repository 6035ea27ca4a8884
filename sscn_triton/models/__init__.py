"""Networks."""

from sscn_triton.models.dense_uresnet import DenseUResNet
from sscn_triton.models.uresnet import SparseUResNet

__all__ = ["DenseUResNet", "SparseUResNet"]
