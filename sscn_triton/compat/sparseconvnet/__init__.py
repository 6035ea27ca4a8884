"""SparseConvNet's public API on this library: ``import sscn_triton.compat.sparseconvnet as scn``.

Arguments, parameter names and shapes, initial weights and conventions are SparseConvNet's. Missing names raise
AttributeError or ImportError with the alternative.
"""

from __future__ import annotations

import sys

from sscn_triton.compat.missing import names
from sscn_triton.compat.sparseconvnet import (
    SCN,
    convolutions,
    features,
    io_layers,
    networks,
    normalization,
    pooling,
    tables,
    tensor,
    training,
)
from sscn_triton.compat.sparseconvnet.convolutions import (
    Convolution,
    Deconvolution,
    FullConvolution,
    SubmanifoldConvolution,
    TransposeConvolution,
    ValidConvolution,
)
from sscn_triton.compat.sparseconvnet.features import (
    ELU,
    SELU,
    BatchNormELU,
    BatchwiseDropout,
    Dropout,
    LeakyReLU,
    NetworkInNetwork,
    ReLU,
    Sigmoid,
    SparseToDense,
    Tanh,
)
from sscn_triton.compat.sparseconvnet.io_layers import (
    BLInputLayer,
    BLOutputLayer,
    InputLayer,
    InputLayerInput,
    OutputLayer,
)
from sscn_triton.compat.sparseconvnet.metadata import Metadata
from sscn_triton.compat.sparseconvnet.networks import FullyConvolutionalNet, SparseResNet, SparseVggNet, UNet
from sscn_triton.compat.sparseconvnet.normalization import BatchNormalization, BatchNormLeakyReLU, BatchNormReLU
from sscn_triton.compat.sparseconvnet.pooling import AveragePooling, MaxPooling, UnPooling
from sscn_triton.compat.sparseconvnet.tables import (
    AddTable,
    ConcatTable,
    Identity,
    JoinTable,
    Sequential,
    add_feature_planes,
    concatenate_feature_planes,
)
from sscn_triton.compat.sparseconvnet.tensor import SparseConvNetTensor
from sscn_triton.compat.sparseconvnet.training import ClassificationTrainValidate
from sscn_triton.compat.sparseconvnet.utils import (
    batch_location_tensors,
    checkpoint_restore,
    checkpoint_save,
    has_only_one_nonzero_digit,
    is_power2,
    is_square,
    pad_with_batch_idx,
    prepare_BLInput,
    toLongTensor,
)

forward_pass_multiplyAdd_count = 0
forward_pass_hidden_states = 0

_INSTEAD = {
    "CheckpointedSequential": "torch.utils.checkpoint.checkpoint around a part of the model",
    "DenseToSparse": "sscn_triton.SparseTensor.from_dense, or an InputLayer on the coordinates of x.nonzero()",
    "FullConvolutionalNetIntegratedLinear": "FullyConvolutionalNet and a linear layer; SparseConvNet's own fails",
    "InputBatch": "InputLayer or BLInputLayer",
    "MeanOnlyBNLeakyReLU": "BatchNormLeakyReLU; SparseConvNet's own fails",
    "MultiscaleShapeContext": "strided convolutions",
    "PermutohedralSubmanifoldConvolution": "SubmanifoldConvolution on a cubic lattice",
    "RandomizedStrideConvolution": "Convolution",
    "RandomizedStrideMaxPooling": "MaxPooling",
    "ShapeContext": "SubmanifoldConvolution",
    "SparseGroupNorm": "sscn_triton.nn.GroupNorm on a SparseTensor",
    "Sparsify": "sscn_triton.nn.Prune on a SparseTensor",
    "SparsifyFCS": "sscn_triton.nn.Prune on a SparseTensor",
    "append_tensors": "one InputLayer with a batch column",
    "compare_sparse": "the features at equal get_spatial_locations()",
    "spectral_norm": "torch.nn.utils.parametrizations.spectral_norm",
}


_AT_HOME = {  # modules of SparseConvNet, and the modules here that contain their names
    **dict.fromkeys(("activations", "dropout", "networkInNetwork", "sparseToDense"), features),
    **dict.fromkeys(("averagePooling", "maxPooling", "unPooling"), pooling),
    **dict.fromkeys(("convolution", "deconvolution", "fullConvolution", "submanifoldConvolution"), convolutions),
    **dict.fromkeys(("identity", "sequential"), tables),
    "batchNormalization": normalization,
    "classificationTrainValidate": training,
    "ioLayers": io_layers,
    "networkArchitectures": networks,
    "sparseConvNetTensor": tensor,
}
for _name, _module in _AT_HOME.items():
    sys.modules[f"{__name__}.{_name}"] = globals()[_name] = _module

__getattr__ = names(
    __name__,
    {
        **_INSTEAD,
        "denseToSparse": _INSTEAD["DenseToSparse"],
        "globalFusion": "JoinTable",
        "inputBatch": _INSTEAD["InputBatch"],
        "permutohedralSubmanifoldConvolution": _INSTEAD["PermutohedralSubmanifoldConvolution"],
        "randomizedStrideConvolution": _INSTEAD["RandomizedStrideConvolution"],
        "randomizedStrideMaxPooling": _INSTEAD["RandomizedStrideMaxPooling"],
        "shapeContext": _INSTEAD["ShapeContext"],
        "sparsify": _INSTEAD["Sparsify"],
    },
)


__all__ = [
    "ELU",
    "SCN",
    "SELU",
    "AddTable",
    "AveragePooling",
    "BLInputLayer",
    "BLOutputLayer",
    "BatchNormELU",
    "BatchNormLeakyReLU",
    "BatchNormReLU",
    "BatchNormalization",
    "BatchwiseDropout",
    "ClassificationTrainValidate",
    "ConcatTable",
    "Convolution",
    "Deconvolution",
    "Dropout",
    "FullConvolution",
    "FullyConvolutionalNet",
    "Identity",
    "InputLayer",
    "InputLayerInput",
    "JoinTable",
    "LeakyReLU",
    "MaxPooling",
    "Metadata",
    "NetworkInNetwork",
    "OutputLayer",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "SparseConvNetTensor",
    "SparseResNet",
    "SparseToDense",
    "SparseVggNet",
    "SubmanifoldConvolution",
    "Tanh",
    "TransposeConvolution",
    "UNet",
    "UnPooling",
    "ValidConvolution",
    "add_feature_planes",
    "batch_location_tensors",
    "checkpoint_restore",
    "checkpoint_save",
    "concatenate_feature_planes",
    "has_only_one_nonzero_digit",
    "is_power2",
    "is_square",
    "pad_with_batch_idx",
    "prepare_BLInput",
    "toLongTensor",
]
