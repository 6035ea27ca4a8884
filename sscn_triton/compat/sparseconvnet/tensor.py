"""SparseConvNet's tensor: features, and a metadata that contains the sites of each spatial size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from sscn_triton import Grid, SparseTensor
from sscn_triton.compat.missing import Hinted
from sscn_triton.compat.sparseconvnet.metadata import Metadata, same_sites
from sscn_triton.compat.sparseconvnet.sizes import SizeError, axes
from sscn_triton.core.value import value


@value("features", "metadata", "spatial_size", features="features")
class SparseConvNetTensor(Hinted):
    """Features ``[N, C]`` on the active sites of one spatial size.

    Attributes:
        features: one row per site.
        metadata: `Metadata` that contains the sites.
        spatial_size: int64 ``[dimension]``.
    """

    INSTEAD: ClassVar = {
        **dict.fromkeys(("F", "feats"), "features"),
        **dict.fromkeys(("C", "coordinates", "coords", "indices"), "get_spatial_locations(), batch index last"),
        **dict.fromkeys(("shape", "size"), "features.shape, spatial_size and batch_size()"),
        **dict.fromkeys(("device", "dtype"), "features.device and features.dtype"),
        **dict.fromkeys(("float", "double", "half"), "type(...)"),
        "dense": "SparseToDense(dimension, nPlanes)",
        "replace_feature": "with_features(features)",
        "set_": "a new tensor: memory is freed when the last one is gone",
        "spatialSize": "spatial_size",
        "to_variable": "features, which takes part in gradients as it is",
    }

    def __init__(self, features: Any = None, metadata: Any = None, spatial_size: Any = None) -> None:
        self.features: Any = features
        self.metadata: Any = metadata
        self.spatial_size: Any = spatial_size

    def get_spatial_locations(self, spatial_size: Tensor | None = None) -> Tensor:
        """``[N, dimension + 1]`` int64 on the CPU, batch index last; of another size of the network if it is given."""
        size = self.spatial_size if spatial_size is None else spatial_size
        return self.metadata.getSpatialLocations(size)

    def batch_size(self) -> int:
        """Number of events, empty ones included."""
        return self.metadata.getBatchSize(self.spatial_size)

    def to(self, device: Any) -> SparseConvNetTensor:
        """Move the features, in place; the sites follow when they are used."""
        self.features = self.features.to(device)
        return self

    def type(self, t: Any = None) -> Any:
        """Convert the features to a type, in place; without an argument, return the name of their type."""
        if t is None:
            return self.features.type()
        self.features = self.features.type(t)
        return self

    def cuda(self) -> SparseConvNetTensor:
        """``to("cuda")``."""
        return self.to("cuda")

    def cpu(self) -> SparseConvNetTensor:
        """``to("cpu")``."""
        return self.to("cpu")

    def detach(self) -> SparseConvNetTensor:
        """The same tensor without gradient."""
        return self.with_features(self.features.detach())

    @property
    def requires_grad(self) -> bool:
        """Whether the features require a gradient."""
        return self.features.requires_grad

    def with_features(self, features: Tensor) -> SparseConvNetTensor:
        """New features on the same sites."""
        return SparseConvNetTensor(features, self.metadata, self.spatial_size)

    def __repr__(self) -> str:
        known = self.metadata is not None and self.features is not None
        places = self.get_spatial_locations() if known else None
        return (
            f"SparseConvNetTensor<<features={self.features!r},"
            f"features.shape={self.features.shape if known else None},"
            f"batch_locations={places},"
            f"batch_locations.shape={None if places is None else places.shape},"
            f"spatial size={self.spatial_size!r}>>"
        )


def sparse(layer: torch.nn.Module, x: SparseConvNetTensor, planes: int | None = None) -> SparseTensor:
    """The library's tensor for ``x``, whose dimension and planes must match ``layer``."""
    name = type(layer).__name__
    if not isinstance(x, SparseConvNetTensor):
        raise TypeError(f"{name} takes a SparseConvNetTensor, got {type(x).__name__}")
    if not isinstance(x.metadata, Metadata) or not isinstance(x.features, Tensor):
        raise ValueError(f"{name} takes a tensor with features and Metadata; an InputLayer makes one")
    dimension = getattr(layer, "dimension", x.metadata.dimension)
    if dimension != x.metadata.dimension:
        raise ValueError(f"{name} has dimension {dimension}, but the tensor has {x.metadata.dimension}")
    grid = x.metadata.grid(x.spatial_size, x.features.device)
    if len(x.features) != len(grid):
        raise SizeError(
            f"{len(grid)} sites of spatial size {axes(x.spatial_size)} need {len(grid)} rows, got {len(x.features)}"
        )
    if planes is not None and x.features.shape[1] != planes:
        raise SizeError(f"{name} takes {planes} feature planes, but the tensor has {x.features.shape[1]}")
    return SparseTensor.on(x.features, grid)


def follow(x: SparseConvNetTensor, result: SparseTensor) -> SparseConvNetTensor:
    """The result of a layer on ``x``; adds its sites to the metadata of ``x``."""
    x.metadata.add(result.grid)
    return SparseConvNetTensor(result.features, x.metadata, torch.tensor(result.spatial_shape))


def same_place(tensors: Sequence[SparseConvNetTensor]) -> None:
    """Raise unless the tensors, at least one, are on the same sites."""
    if not tensors:
        raise ValueError("at least one tensor is needed")
    grids: list[Grid] = [x.metadata.grid(x.spatial_size) for x in tensors]
    for grid in grids[1:]:
        if grid.spatial_shape != grids[0].spatial_shape or not same_sites(grid, grids[0]):
            raise SizeError(f"tensors are on different sites: {grids[0]!r} and {grid!r}")
