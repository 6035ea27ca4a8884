"""A backend of SPINE on this library: ``SPINE_SPARSE_BACKEND=sscn`` after `sscn_triton.compat.install("spine")`.

It fulfils the contract of ``spine.model.sparse.backend``, whose reference is MinkowskiEngine 0.5: its coordinates
(multiples of the tensor stride, of any sign), windows, initial weights and parameter names, so that SPINE's weights
load. SPINE itself is not needed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sscn_triton.compat import minkowski as me
from sscn_triton.compat.minkowski import ConvolutionMode, CoordinateManager, CoordinateMapKey, PoolingMode
from sscn_triton.compat.minkowski.features import LAYERS
from sscn_triton.compat.spine.tensor import BackendTensor

__all__ = [
    "OPERATIONS",
    "BackendTensor",
    "ConvolutionMode",
    "CoordinateManager",
    "CoordinateMapKey",
    "PoolingMode",
    "concatenate",
    "coordinate_manager",
    "coordinate_map_key",
    "coordinates",
    "create_tensor",
    "features",
    "features_at_coordinates",
    "inverse_mapping",
    "module",
    "tensor_stride",
    "unique_index",
]


class Network(torch.nn.Module):
    """A network in ``D`` dimensions."""

    def __init__(self, D: int) -> None:
        super().__init__()
        self.D = D


NAMES = (
    "Convolution", "ConvolutionTranspose", "ChannelwiseConvolution", "Linear", "BatchNorm", "InstanceNorm",
    "MaxPooling", "AvgPooling", "SumPooling", "PoolingTranspose", "GlobalPooling", "GlobalAvgPooling",
    "GlobalSumPooling", "GlobalMaxPooling", "Pruning", "Broadcast", "BroadcastMultiplication",
)  # fmt: skip
ACTIVATIONS = ("Dropout", "ReLU", "PReLU", "SELU", "CELU", "LeakyReLU", "ELU", "Tanh", "Sigmoid", "Softplus")
OPERATIONS: dict[str, type[torch.nn.Module]] = {
    "Network": Network,
    **{name: getattr(me, f"Minkowski{name}") for name in NAMES},
    **{name: LAYERS[f"Minkowski{name}"] for name in ACTIVATIONS},
}


def module(operation: str) -> type[torch.nn.Module]:
    """The class of one of SPINE's operations.

    Raises ValueError for a name that is not in `OPERATIONS`.
    """
    if operation not in OPERATIONS:
        raise ValueError(f"sscn_triton does not implement {operation!r}; it has {', '.join(OPERATIONS)}")
    return OPERATIONS[operation]


def create_tensor(duplicate_reduction: str | None = None, **kwargs: Any) -> BackendTensor:
    """A tensor of features on coordinates, or on an existing map: arguments of `BackendTensor`."""
    return BackendTensor(**kwargs, duplicate_reduction=duplicate_reduction)


def concatenate(*tensors: BackendTensor) -> BackendTensor:
    """Concatenate the channels of tensors on one coordinate map; also takes one list of tensors."""
    given = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], list | tuple) else list(tensors)
    if not given:
        raise ValueError("concatenate takes at least one tensor")
    first = given[0]
    for other in given:
        same = other.coordinate_manager is first.coordinate_manager
        if not same or other.coordinate_map_key != first.coordinate_map_key:
            raise ValueError(
                f"tensors to concatenate must be on one coordinate map, got {first.coordinate_map_key} and "
                f"{other.coordinate_map_key}{'' if same else ' of another manager'}; a sum can join different sites"
            )
    return first.on(torch.cat([x.F for x in given], 1))


def coordinates(tensor: BackendTensor) -> Tensor:
    """``[N, 1 + D]`` int32, batch index first, multiples of the tensor stride."""
    return tensor.C


def features(tensor: BackendTensor) -> Tensor:
    """``[N, C]``."""
    return tensor.F


def tensor_stride(tensor: BackendTensor) -> tuple[int, ...]:
    """One number per axis."""
    return tuple(tensor.tensor_stride)


def coordinate_map_key(tensor: BackendTensor) -> CoordinateMapKey:
    """The name of the tensor's map."""
    return tensor.coordinate_map_key


def coordinate_manager(tensor: BackendTensor) -> CoordinateManager:
    """The manager that keeps the tensor's map."""
    return tensor.coordinate_manager


def unique_index(tensor: BackendTensor) -> Tensor | None:
    """``[N]``: the first given row of each site; None for a tensor that was not made from rows."""
    return tensor.unique_index


def inverse_mapping(tensor: BackendTensor) -> Tensor | None:
    """The site of each given row; None for a tensor that was not made from rows."""
    return tensor.inverse_mapping


def features_at_coordinates(tensor: BackendTensor, queries: Tensor) -> Tensor:
    """Features ``[M, C]`` at points ``[M, 1 + D]``, interpolated between sites."""
    return tensor.features_at_coordinates(queries)
