"""Networks: UResNets, sparse and dense, with their weights as files, and a sparse encoder."""

from sscn_triton.models.dense_uresnet import DenseUResNet
from sscn_triton.models.encoder import SparseEncoder
from sscn_triton.models.pretrained import Pretrained, packaged
from sscn_triton.models.uresnet import SparseUResNet

__all__ = ["DenseUResNet", "Pretrained", "SparseEncoder", "SparseUResNet", "packaged"]
