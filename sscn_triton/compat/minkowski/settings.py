"""MinkowskiEngine's enumerations, and its global settings."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import torch

from sscn_triton import functional

if TYPE_CHECKING:
    from sscn_triton.compat.minkowski.maps.manager import CoordinateManager


class RegionType(IntEnum):
    """The shape of a kernel: a box, a cross of lines along the axes, or a list of offsets."""

    HYPER_CUBE = 0
    HYPER_CROSS = 1
    CUSTOM = 2


class PoolingMode(IntEnum):
    """The reduction of a pooling: SUM, AVG or MAX. The names of global ones also include MinkowskiEngine's algorithm,
    which has no effect here."""

    LOCAL_SUM_POOLING = 0
    LOCAL_AVG_POOLING = 1
    LOCAL_MAX_POOLING = 2
    GLOBAL_SUM_POOLING_DEFAULT = 3
    GLOBAL_AVG_POOLING_DEFAULT = 4
    GLOBAL_MAX_POOLING_DEFAULT = 5
    GLOBAL_SUM_POOLING_KERNEL = 6
    GLOBAL_AVG_POOLING_KERNEL = 7
    GLOBAL_MAX_POOLING_KERNEL = 8
    GLOBAL_SUM_POOLING_PYTORCH_INDEX = 9
    GLOBAL_AVG_POOLING_PYTORCH_INDEX = 10
    GLOBAL_MAX_POOLING_PYTORCH_INDEX = 11

    @property
    def reduction(self) -> functional.Reduction:
        """The library's name of the reduction."""
        words: dict[str, functional.Reduction] = {"SUM": "sum", "AVG": "mean", "MAX": "max"}
        return words[self.name.split("_")[1]]


class BroadcastMode(IntEnum):
    """How an event's row is joined to the event's sites."""

    ELEMENTWISE_ADDITON = 0
    ELEMENTWISE_MULTIPLICATION = 1


class ConvolutionMode(IntEnum):
    """Algorithms of a convolution in MinkowskiEngine; there is only one here."""

    DEFAULT = 0
    DIRECT_GEMM = 1
    COPY_GEMM = 2


class MinkowskiAlgorithm(IntEnum):
    """Trade of memory for speed in MinkowskiEngine's coordinate maps; there is only one kind here."""

    DEFAULT = 0
    MEMORY_EFFICIENT = 1
    SPEED_OPTIMIZED = 2


class CoordinateMapType(IntEnum):
    """The device of a manager's coordinates."""

    CPU = 0
    CUDA = 1


class GPUMemoryAllocatorType(IntEnum):
    """The allocator of MinkowskiEngine's GPU memory; here it is always PyTorch's."""

    PYTORCH = 0
    CUDA = 1


class SparseTensorOperationMode(IntEnum):
    """Whether each new tensor gets its own manager, or all share one."""

    SEPARATE_COORDINATE_MANAGER = 0
    SHARE_COORDINATE_MANAGER = 1


class SparseTensorQuantizationMode(IntEnum):
    """How rows that share a site are merged."""

    RANDOM_SUBSAMPLE = 0
    UNWEIGHTED_AVERAGE = 1
    UNWEIGHTED_SUM = 2
    NO_QUANTIZATION = 3
    MAX_POOL = 4
    SPLAT_LINEAR_INTERPOLATION = 5


MERGES = {
    SparseTensorQuantizationMode.RANDOM_SUBSAMPLE: "first",
    SparseTensorQuantizationMode.UNWEIGHTED_AVERAGE: "mean",
    SparseTensorQuantizationMode.UNWEIGHTED_SUM: "sum",
    SparseTensorQuantizationMode.MAX_POOL: "max",
}
"""The library's names of the ways to merge rows."""


class _Shared:
    mode = SparseTensorOperationMode.SEPARATE_COORDINATE_MANAGER
    manager: CoordinateManager | None = None


def set_sparse_tensor_operation_mode(operation_mode: SparseTensorOperationMode) -> None:
    """Choose whether tensors that are made later share one manager."""
    _Shared.mode = expect_choice("operation_mode", operation_mode, SparseTensorOperationMode)


def sparse_tensor_operation_mode() -> SparseTensorOperationMode:
    """The current mode."""
    return _Shared.mode


def global_coordinate_manager() -> CoordinateManager | None:
    """The manager that tensors share, or None."""
    return _Shared.manager


def set_global_coordinate_manager(coordinate_manager: CoordinateManager | None) -> None:
    """Set the manager that tensors share."""
    _Shared.manager = coordinate_manager


def clear_global_coordinate_manager() -> None:
    """Forget the manager that tensors share; the next tensor makes a new one."""
    _Shared.manager = None


def expect_choice(name: str, value: Any, kind: type[Any], optional: bool = False) -> Any:
    """Return ``value``; raise TypeError unless it is a ``kind``, or None if that is allowed."""
    if not isinstance(value, kind) and not (optional and value is None):
        raise TypeError(f"{name} must be a {kind.__name__}{' or None' if optional else ''}, got {value!r}")
    return value


def set_gpu_allocator(backend: GPUMemoryAllocatorType) -> None:
    """Has no effect: memory is PyTorch's."""
    expect_choice("backend", backend, GPUMemoryAllocatorType)


set_memory_manager_backend = set_gpu_allocator


def is_cuda_available() -> bool:
    """Whether PyTorch finds a GPU."""
    return torch.cuda.is_available()


def cuda_version() -> int:
    """The version of CUDA that PyTorch was built for, such as 12080 for 12.8; -1 without CUDA."""
    if torch.version.cuda is None:
        return -1
    major, minor = (int(part) for part in torch.version.cuda.split(".")[:2])
    return 1000 * major + 10 * minor


cudart_version = cuda_version


def get_gpu_memory_info() -> tuple[int, int]:
    """Free bytes and all bytes of the current GPU's memory. Raises RuntimeError without a GPU."""
    if not torch.cuda.is_available():
        raise RuntimeError("get_gpu_memory_info needs a GPU, and PyTorch finds none")
    return torch.cuda.mem_get_info()
