"""MinkowskiEngine's API on this library: ``import sscn_triton.compat.minkowski as ME``.

Arguments, parameter names and shapes, initial weights and conventions are those of MinkowskiEngine 0.5.4. Missing names
raise AttributeError or ImportError, with the alternative if there is one.
"""

from __future__ import annotations

import sys

from sscn_triton.compat.minkowski import features as _features
from sscn_triton.compat.minkowski import functional as MinkowskiFunctional
from sscn_triton.compat.minkowski import modules, utils
from sscn_triton.compat.minkowski.convolution import (
    MinkowskiChannelwiseConvolution,
    MinkowskiConvolution,
    MinkowskiConvolutionTranspose,
    MinkowskiGenerativeConvolutionTranspose,
)
from sscn_triton.compat.minkowski.events import (
    MinkowskiBroadcast,
    MinkowskiBroadcastAddition,
    MinkowskiBroadcastConcatenation,
    MinkowskiBroadcastMultiplication,
    MinkowskiGlobalAvgPooling,
    MinkowskiGlobalMaxPooling,
    MinkowskiGlobalPooling,
    MinkowskiGlobalSumPooling,
)
from sscn_triton.compat.minkowski.features import MinkowskiLinear, MinkowskiSinusoidal
from sscn_triton.compat.minkowski.functions import *  # noqa: F403
from sscn_triton.compat.minkowski.functions import __all__ as _functions
from sscn_triton.compat.minkowski.layers import MinkowskiModuleBase, MinkowskiNetwork
from sscn_triton.compat.minkowski.maps.kernels import KernelGenerator, get_kernel_volume
from sscn_triton.compat.minkowski.maps.keys import CoordinateMapKey, convert_to_int_tensor
from sscn_triton.compat.minkowski.maps.manager import CoordinateManager, CoordsManager
from sscn_triton.compat.minkowski.modules import resnet_block as _resnet_block  # noqa: F401
from sscn_triton.compat.minkowski.modules import senet_block as _senet_block  # noqa: F401
from sscn_triton.compat.minkowski.names import flat_modules, make_modules  # noqa: F401
from sscn_triton.compat.minkowski.normalization import (
    MinkowskiBatchNorm,
    MinkowskiInstanceNorm,
    MinkowskiStableInstanceNorm,
    MinkowskiSyncBatchNorm,
)
from sscn_triton.compat.minkowski.operators import (
    MinkowskiStackCat,
    MinkowskiStackMean,
    MinkowskiStackSum,
    MinkowskiStackVar,
    MinkowskiToDenseTensor,
    MinkowskiToFeature,
    MinkowskiToSparseTensor,
    cat,
    dense_coordinates,
    mean,
    to_sparse,
    to_sparse_all,
    var,
)
from sscn_triton.compat.minkowski.operators import _sum as sum
from sscn_triton.compat.minkowski.pooling import (
    MinkowskiAvgPooling,
    MinkowskiMaxPooling,
    MinkowskiPoolingTranspose,
    MinkowskiSumPooling,
)
from sscn_triton.compat.minkowski.products import MinkowskiSPMMAverageFunction, MinkowskiSPMMFunction, spmm
from sscn_triton.compat.minkowski.settings import (
    BroadcastMode,
    ConvolutionMode,
    CoordinateMapType,
    GPUMemoryAllocatorType,
    MinkowskiAlgorithm,
    PoolingMode,
    RegionType,
    SparseTensorOperationMode,
    SparseTensorQuantizationMode,
    clear_global_coordinate_manager,
    cuda_version,
    cudart_version,
    get_gpu_memory_info,
    global_coordinate_manager,
    is_cuda_available,
    set_global_coordinate_manager,
    set_gpu_allocator,
    set_memory_manager_backend,
    set_sparse_tensor_operation_mode,
    sparse_tensor_operation_mode,
)
from sscn_triton.compat.minkowski.sites import MinkowskiInterpolation, MinkowskiPruning, MinkowskiUnion
from sscn_triton.compat.minkowski.sparse_tensor import SparseTensor
from sscn_triton.compat.minkowski.tensor_field import TensorField
from sscn_triton.compat.minkowski.utils import coords as _coords  # noqa: F401
from sscn_triton.compat.minkowski.utils import gradcheck as _gradcheck  # noqa: F401
from sscn_triton.compat.missing import names

__version__ = "0.5.4"  # of the API

sys.modules[f"{__name__}.MinkowskiFunctional"] = MinkowskiFunctional
MinkowskiOps = make_modules()["MinkowskiOps"]
globals().update(_features.LAYERS)

__getattr__ = names(
    __name__,
    {
        "KernelRegion": "KernelGenerator",
        "convert_region_type": "KernelGenerator, whose region_offsets are the taps",
        "diagnostics": "python -m torch.utils.collect_env",
        "print_diagnostics": "python -m torch.utils.collect_env",
        "set_coordinate_map_type": "coordinates on the device that is wanted",
    },
)

__all__ = [
    "BroadcastMode",
    "ConvolutionMode",
    "CoordinateManager",
    "CoordinateMapKey",
    "CoordinateMapType",
    "CoordsManager",
    "GPUMemoryAllocatorType",
    "KernelGenerator",
    "MinkowskiAlgorithm",
    "MinkowskiAvgPooling",
    "MinkowskiBatchNorm",
    "MinkowskiBroadcast",
    "MinkowskiBroadcastAddition",
    "MinkowskiBroadcastConcatenation",
    "MinkowskiBroadcastMultiplication",
    "MinkowskiChannelwiseConvolution",
    "MinkowskiConvolution",
    "MinkowskiConvolutionTranspose",
    "MinkowskiFunctional",
    "MinkowskiGenerativeConvolutionTranspose",
    "MinkowskiGlobalAvgPooling",
    "MinkowskiGlobalMaxPooling",
    "MinkowskiGlobalPooling",
    "MinkowskiGlobalSumPooling",
    "MinkowskiInstanceNorm",
    "MinkowskiInterpolation",
    "MinkowskiLinear",
    "MinkowskiMaxPooling",
    "MinkowskiModuleBase",
    "MinkowskiNetwork",
    "MinkowskiOps",
    "MinkowskiPoolingTranspose",
    "MinkowskiPruning",
    "MinkowskiSPMMAverageFunction",
    "MinkowskiSPMMFunction",
    "MinkowskiSinusoidal",
    "MinkowskiStableInstanceNorm",
    "MinkowskiStackCat",
    "MinkowskiStackMean",
    "MinkowskiStackSum",
    "MinkowskiStackVar",
    "MinkowskiSumPooling",
    "MinkowskiSyncBatchNorm",
    "MinkowskiToDenseTensor",
    "MinkowskiToFeature",
    "MinkowskiToSparseTensor",
    "MinkowskiUnion",
    "PoolingMode",
    "RegionType",
    "SparseTensor",
    "SparseTensorOperationMode",
    "SparseTensorQuantizationMode",
    "TensorField",
    "cat",
    "clear_global_coordinate_manager",
    "convert_to_int_tensor",
    "cuda_version",
    "cudart_version",
    "dense_coordinates",
    "get_gpu_memory_info",
    "get_kernel_volume",
    "global_coordinate_manager",
    "is_cuda_available",
    "mean",
    "modules",
    "set_global_coordinate_manager",
    "set_gpu_allocator",
    "set_memory_manager_backend",
    "set_sparse_tensor_operation_mode",
    "sparse_tensor_operation_mode",
    "spmm",
    "sum",
    "to_sparse",
    "to_sparse_all",
    "utils",
    "var",
    *_functions,
    *_features.LAYERS,
]
