"""spconv's PyTorch API on this library: ``import sscn_triton.compat.spconv.pytorch as spconv``.

Arguments, parameter names and shapes, initial weights and conventions are those of spconv 2.3. Missing names raise
AttributeError or ImportError, with the alternative if there is one.
"""

from __future__ import annotations

from torch import Tensor

from sscn_triton.compat.missing import names
from sscn_triton.compat.spconv.pytorch import (
    constants,
    conv,
    core,
    cppcore,
    functional,
    hash,
    identity,
    modules,
    ops,
    pool,
    tables,
    utils,
)
from sscn_triton.compat.spconv.pytorch.conv import (
    SparseConv1d,
    SparseConv2d,
    SparseConv3d,
    SparseConv4d,
    SparseConvTranspose1d,
    SparseConvTranspose2d,
    SparseConvTranspose3d,
    SparseConvTranspose4d,
    SparseInverseConv1d,
    SparseInverseConv2d,
    SparseInverseConv3d,
    SparseInverseConv4d,
    SubMConv1d,
    SubMConv2d,
    SubMConv3d,
    SubMConv4d,
)
from sscn_triton.compat.spconv.pytorch.core import SparseConvTensor
from sscn_triton.compat.spconv.pytorch.identity import Identity
from sscn_triton.compat.spconv.pytorch.modules import (
    SparseBatchNorm,
    SparseIdentity,
    SparseModule,
    SparseReLU,
    SparseSequential,
    SparseSyncBatchNorm,
    assign_name_for_sparse_modules,
)
from sscn_triton.compat.spconv.pytorch.ops import ConvAlgo
from sscn_triton.compat.spconv.pytorch.pool import (
    SparseAvgPool,
    SparseAvgPool1d,
    SparseAvgPool2d,
    SparseAvgPool3d,
    SparseAvgPool4d,
    SparseGlobalAvgPool,
    SparseGlobalMaxPool,
    SparseMaxPool,
    SparseMaxPool1d,
    SparseMaxPool2d,
    SparseMaxPool3d,
    SparseMaxPool4d,
)
from sscn_triton.compat.spconv.pytorch.tables import AddTable, AddTableMisaligned, ConcatTable, JoinTable


class ToDense(SparseModule):
    """``[B, C, *spatial_shape]``, zero at inactive sites."""

    def forward(self, x: SparseConvTensor) -> Tensor:
        return x.dense()


class RemoveGrid(SparseModule):
    """Forget the tensor's ``grid``."""

    def forward(self, x: SparseConvTensor) -> SparseConvTensor:
        x.grid = None
        return x


__getattr__ = names(
    __name__,
    {
        "interpreter": "torch.fx for the layers after the sparse ones",
        "quantization": "PyTorch's quantisation of the layers after the sparse ones",
        "spatial": "sscn_triton.SparseTensor.from_points, which merges duplicates",
    },
)


__all__ = [
    "AddTable",
    "AddTableMisaligned",
    "ConcatTable",
    "ConvAlgo",
    "Identity",
    "JoinTable",
    "RemoveGrid",
    "SparseAvgPool",
    "SparseAvgPool1d",
    "SparseAvgPool2d",
    "SparseAvgPool3d",
    "SparseAvgPool4d",
    "SparseBatchNorm",
    "SparseConv1d",
    "SparseConv2d",
    "SparseConv3d",
    "SparseConv4d",
    "SparseConvTensor",
    "SparseConvTranspose1d",
    "SparseConvTranspose2d",
    "SparseConvTranspose3d",
    "SparseConvTranspose4d",
    "SparseGlobalAvgPool",
    "SparseGlobalMaxPool",
    "SparseIdentity",
    "SparseInverseConv1d",
    "SparseInverseConv2d",
    "SparseInverseConv3d",
    "SparseInverseConv4d",
    "SparseMaxPool",
    "SparseMaxPool1d",
    "SparseMaxPool2d",
    "SparseMaxPool3d",
    "SparseMaxPool4d",
    "SparseModule",
    "SparseReLU",
    "SparseSequential",
    "SparseSyncBatchNorm",
    "SubMConv1d",
    "SubMConv2d",
    "SubMConv3d",
    "SubMConv4d",
    "ToDense",
    "assign_name_for_sparse_modules",
    "constants",
    "conv",
    "core",
    "cppcore",
    "functional",
    "hash",
    "identity",
    "modules",
    "ops",
    "pool",
    "tables",
    "utils",
]
