"""torchsparse's tensors: features on sites, and features at points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sscn_triton.compat.missing import Hinted
from sscn_triton.compat.torchsparse.utils.tensor_cache import new_cache
from sscn_triton.compat.torchsparse.utils.to_dense import to_dense
from sscn_triton.compat.torchsparse.utils.utils import three
from sscn_triton.core.arguments import kind
from sscn_triton.core.value import value
from sscn_triton.relation import as_int_or_tuple, per_axis

OLD = "_caches; in torchsparse 1 and 2.0 the batch index was the last column of coords, in 2.1 it is the first"
INSTEAD = {
    **dict.fromkeys(("cmaps", "kmaps"), OLD),
    **dict.fromkeys(("features", "feature"), "F"),
    **dict.fromkeys(("coordinates", "indices"), "C"),
    **dict.fromkeys(("spatial_shape",), "spatial_range"),
    "tensor_stride": "stride",
    "float": "fapply of torchsparse.nn.utils",
    "grad": "F.grad",
}

_allow_negative_coordinates = False


def get_allow_negative_coordinates() -> bool:
    """Whether layers accept coordinates below 0 with ``kmap_mode="hashmap_on_the_fly"``."""
    return _allow_negative_coordinates


def set_allow_negative_coordinates(allow_negative_coordinates: bool) -> None:
    """Let layers accept coordinates below 0 with ``kmap_mode="hashmap_on_the_fly"``, or not."""
    global _allow_negative_coordinates
    if not isinstance(allow_negative_coordinates, bool):
        raise TypeError(f"allow_negative_coordinates must be a bool, got {allow_negative_coordinates!r}")
    _allow_negative_coordinates = allow_negative_coordinates


@value("feats", "coords", "stride", "spatial_range", features="feats")
class SparseTensor(Hinted):
    """Features on sites.

    Args:
        feats: ``[N, C]``; a tensor, an array until it is collated, or None until they are set. Labels may have any
            shape ``[N, ...]``.
        coords: ``[N, 4]`` integers, batch index first, in units of ``stride``; ``[N, 3]`` until they are collated.
            Convolutions need integers that fit in int32, each site once.
        stride: size of a site in voxels, one number or three.
        spatial_range: batch size and extent of every axis, four numbers in units of ``stride``; a fifth, the number of
            channels, is checked and left out. If omitted, a strided convolution takes the largest coordinates of the
            batch for the ends of the axes.
    """

    INSTEAD: ClassVar = INSTEAD

    def __init__(
        self,
        feats: Any,
        coords: Any,
        stride: int | Sequence[int] = 1,
        spatial_range: Sequence[int] | None = None,
    ) -> None:
        for name, rows in (("feats", feats), ("coords", coords)):
            if not isinstance(rows, Tensor | np.ndarray) and not (name == "feats" and rows is None):
                raise TypeError(f"{name} must be a tensor or an array [N, ...], got {kind(rows)}")
        if coords.ndim != 2 or coords.shape[1] not in (3, 4):
            raise ValueError(
                f"coords must be [N, 4], batch index first, or [N, 3] without it, got {tuple(coords.shape)}"
            )
        if feats is not None and (feats.ndim < 1 or len(feats) != len(coords)):
            raise ValueError(f"feats must have one row per coordinate, {len(coords)}, got {tuple(feats.shape)}")
        self.feats, self.coords = feats, coords
        self.stride = three(stride, "stride", 1)
        self.spatial_range = None if spatial_range is None else _checked_range(spatial_range, feats)
        self._caches: Any = new_cache()

    @property
    def F(self) -> Any:
        """``[N, C]``."""
        return self.feats

    @F.setter
    def F(self, feats: Any) -> None:
        self.feats = feats

    @property
    def C(self) -> Any:
        """``[N, 4]``, batch index first, in units of the stride."""
        return self.coords

    @C.setter
    def C(self, coords: Any) -> None:
        self.coords = coords

    @property
    def s(self) -> tuple[int, ...]:
        """`stride`."""
        return self.stride

    @s.setter
    def s(self, stride: int | Sequence[int]) -> None:
        self.stride = three(stride, "stride", 1)

    def on(self, feats: Tensor) -> SparseTensor:
        """A new tensor of other features on the same sites, which shares the caches."""
        if len(feats) != len(self.coords):
            raise ValueError(f"feats must have one row per site, {len(self.coords)}, got {tuple(feats.shape)}")
        other = SparseTensor(feats, self.coords, self.stride, self.spatial_range)
        other._caches = self._caches
        return other

    def to(self, device: Any, non_blocking: bool = True) -> SparseTensor:
        """This tensor, whose features and coordinates are moved to ``device``; moved coordinates get a new cache."""
        _check_device(device)
        coords = self.coords.to(device, non_blocking=non_blocking)
        self.feats = self.feats.to(device, non_blocking=non_blocking)
        if coords is not self.coords:
            self._caches = new_cache()
        self.coords = coords
        return self

    def cpu(self) -> SparseTensor:
        """This tensor, moved to the CPU."""
        return self.to("cpu", non_blocking=False)

    def cuda(self) -> SparseTensor:
        """This tensor, moved to the GPU."""
        return self.to("cuda", non_blocking=False)

    def half(self) -> SparseTensor:
        """This tensor, whose features become float16."""
        self.feats = self.feats.half()
        return self

    def detach(self) -> SparseTensor:
        """This tensor, whose features lose their gradient."""
        self.feats = self.feats.detach()
        return self

    def dense(self) -> Tensor:
        """The image ``[*spatial_range, C]``. Raises ValueError without a spatial range."""
        if self.spatial_range is None:
            raise ValueError("dense() needs the spatial_range of the tensor: pass it to SparseTensor")
        return to_dense(self.feats, self.coords, self.spatial_range)

    def __add__(self, other: Any) -> SparseTensor:
        check_same([self, other])
        return self.on(self.feats + other.feats)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.coords)} sites, feats {kind(self.feats)} "
            f"{list(getattr(self.feats, 'shape', ()))}, stride={self.stride}, "
            f"spatial_range={self.spatial_range})"
        )


class PointTensor(Hinted):
    """Features at points.

    Args:
        feats: ``[N, C]``.
        coords: ``[N, 4]``, batch index first, of real numbers.
        idx_query, weights: what programs keep about the sites around the points, by stride.
    """

    def __init__(self, feats: Tensor, coords: Tensor, idx_query: Any = None, weights: Any = None) -> None:
        if len(feats) != len(coords):
            raise ValueError(f"feats must have one row per point, {len(coords)}, got {tuple(feats.shape)}")
        self.F, self.C = feats, coords
        self.idx_query = {} if idx_query is None else idx_query
        self.weights = {} if weights is None else weights
        self.additional_features: dict[str, Any] = {"idx_query": {}, "counts": {}}

    def to(self, device: Any, non_blocking: bool = True) -> PointTensor:
        """This tensor, moved to ``device``."""
        _check_device(device)
        self.F, self.C = (x.to(device, non_blocking=non_blocking) for x in (self.F, self.C))
        return self

    def cuda(self) -> PointTensor:
        """This tensor, moved to the GPU."""
        return self.to("cuda", non_blocking=False)

    def detach(self) -> PointTensor:
        """This tensor, whose features and coordinates lose their gradient."""
        self.F, self.C = self.F.detach(), self.C.detach()
        return self

    def __add__(self, other: Any) -> PointTensor:
        if not isinstance(other, PointTensor):
            raise TypeError(f"a PointTensor can only be added to another one, got {kind(other)}")
        if not same_rows(self.C, other.C):
            raise ValueError("the points of two PointTensors to add must be the same")
        result = PointTensor(self.F + other.F, self.C, self.idx_query, self.weights)
        result.additional_features = self.additional_features
        return result


def _check_device(device: Any) -> None:
    if not isinstance(device, str | int | torch.device):
        raise TypeError(f"device must be a device, got {device!r}; half() changes the type of features")


def _checked_range(spatial_range: Sequence[int], feats: Any) -> tuple[int, ...]:
    """Four numbers; a fifth must be the number of channels."""
    numbers = as_int_or_tuple(spatial_range.tolist() if isinstance(spatial_range, Tensor) else spatial_range)
    if not isinstance(numbers, tuple) or len(numbers) not in (4, 5):
        raise ValueError(f"spatial_range must be four numbers, batch size and extents, got {spatial_range!r}")
    if len(numbers) == 5 and feats is not None and tuple(feats.shape[1:]) != numbers[4:]:
        raise ValueError(f"spatial_range {numbers} says {numbers[4]} channels, got feats {tuple(feats.shape)}")
    return per_axis(numbers[:4], 4, "spatial_range", 1)


def check_same(inputs: Sequence[Any]) -> None:
    """Raise unless all are sparse tensors with the same coordinates and stride."""
    for x in inputs:
        if not isinstance(x, SparseTensor):
            raise TypeError(f"a SparseTensor can only be joined to another one, got {kind(x)}")
    for x in inputs[1:]:
        if x.stride != inputs[0].stride or not same_rows(x.coords, inputs[0].coords):
            raise ValueError(
                f"tensors to join must have the same sites in the same order, got {inputs[0]} and {x}; generative_add "
                "joins different sites"
            )


def same_rows(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of coordinates are equal."""
    return one is other or (one.device == other.device and one.shape == other.shape and torch.equal(one, other))
