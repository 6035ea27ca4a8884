"""What layers have in common: their input, their kernel, the map they lead to; and the base of networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor as Values

from sscn_triton.compat.minkowski.maps.kernels import KernelGenerator
from sscn_triton.compat.minkowski.maps.keys import CoordinateMapKey, StrideType, checked_dimension, integers
from sscn_triton.compat.minkowski.settings import expect_choice
from sscn_triton.compat.minkowski.sparse_tensor import SparseTensor
from sscn_triton.compat.minkowski.tensor import Tensor, check_features
from sscn_triton.relation import Axes


class MinkowskiModuleBase(torch.nn.Module):
    """The base of the layers."""


class MinkowskiNetwork(torch.nn.Module, ABC):
    """A network in ``D`` dimensions, with a forward pass of its own."""

    def __init__(self, D: int) -> None:
        super().__init__()
        self.D = D

    @abstractmethod
    def forward(self, x: Any) -> Any:
        """Compute the output."""


def expect(
    layer: torch.nn.Module, x: Any, channels: int | None = None, dimension: int | None = None, floats: bool = True
) -> Any:
    """Return ``x``; raise unless it is a sparse tensor, of floating-point features if ``floats``, with these numbers of
    channels and axes, if they are given."""
    name = type(layer).__name__
    if not isinstance(x, SparseTensor):
        raise TypeError(f"{name} takes a SparseTensor, got {type(x).__name__}")
    if dimension is not None and dimension != x.D:
        raise ValueError(f"{name} has dimension {dimension}, but the tensor has {x.D}")
    if channels is not None and x.F.shape[1] != channels:
        raise ValueError(f"{name} takes {channels} channels, but the tensor has {x.F.shape[1]}")
    if floats:
        check_features(x.F)
    return x


def expect_any(layer: torch.nn.Module, x: Any, floats: bool = True) -> Any:
    """Return ``x``; raise TypeError unless it is a sparse tensor or a field, of floating-point features if
    ``floats``."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{type(layer).__name__} takes a SparseTensor or a TensorField, got {type(x).__name__}")
    if floats:
        check_features(x.F)
    return x


class Windowed(MinkowskiModuleBase):
    """A layer with a kernel.

    Args:
        kernel_size, stride, dilation: one number or one per axis. An odd kernel is centred on its site; an even one
            starts there.
        kernel_generator: a kernel of another shape; sizes given beside it must be its own.
        expand_coordinates: whether the output consists of every site reached.
        dimension: number of spatial axes; by default the length of ``kernel_size`` if that is a sequence.
    """

    def __init__(
        self,
        kernel_size: StrideType,
        stride: StrideType,
        dilation: StrideType,
        kernel_generator: KernelGenerator | None,
        expand_coordinates: bool,
        dimension: int | None,
    ) -> None:
        super().__init__()
        expect_choice("kernel_generator", kernel_generator, KernelGenerator, True)
        if kernel_generator is None:
            self.dimension = checked_dimension(dimension, kernel_size)
            kernel_generator = KernelGenerator(
                kernel_size, stride, dilation, expand_coordinates=expand_coordinates, dimension=self.dimension
            )
        else:
            own = kernel_generator.dimension
            self.dimension = checked_dimension(own if dimension is None else dimension)
            if self.dimension != own:
                raise ValueError(f"dimension is {dimension}, but that of the kernel_generator is {own}")
            _check_own("kernel_size", kernel_size, -1, kernel_generator.kernel_size)
            _check_own("stride", stride, 1, kernel_generator.kernel_stride)
            _check_own("dilation", dilation, 1, kernel_generator.kernel_dilation)
        self.kernel_generator = kernel_generator
        self.expand_coordinates = bool(expand_coordinates) or kernel_generator.expand_coordinates

    @property
    def kernel_size(self) -> Axes:
        """One number per axis."""
        return tuple(self.kernel_generator.kernel_size)

    @property
    def stride(self) -> Axes:
        """One number per axis."""
        return self.kernel_generator.stride

    @property
    def dilation(self) -> Axes:
        """One number per axis."""
        return tuple(self.kernel_generator.kernel_dilation)

    def extra_repr(self) -> str:
        shape = self.kernel_generator
        region = "" if shape.region_type == 0 else f", region_type={shape.region_type.name}"
        return f"kernel_size={self.kernel_size}, stride={self.stride}, dilation={self.dilation}{region}"


def _check_own(name: str, given: Any, default: int, own: list[int]) -> None:
    """Raise ValueError unless a size is the default or that of the generator."""
    if isinstance(given, int) and given == default:
        return
    if integers(given, len(own), name, -1) != tuple(own):
        raise ValueError(f"{name} is {given}, but that of the kernel_generator is {own}")


def key_of(x: SparseTensor, coordinates: Any, stride: Axes) -> CoordinateMapKey | None:
    """The map of a layer's output that the caller gave: a key, a tensor's map, or a new one of the distinct sites
    among ``[N, 1 + D]`` integers, of tensor stride ``stride``."""
    if coordinates is None or isinstance(coordinates, CoordinateMapKey):
        if coordinates is not None:
            x.coordinate_manager.map(coordinates)
        return coordinates
    if isinstance(coordinates, SparseTensor):
        if coordinates.coordinate_manager is not x.coordinate_manager:
            raise ValueError("the tensor given as coordinates must have the input's coordinate manager")
        return coordinates.coordinate_map_key
    if not isinstance(coordinates, Values):
        given = type(coordinates).__name__
        raise TypeError(f"coordinates must be a tensor [N, 1 + D], a CoordinateMapKey or a SparseTensor, got {given}")
    return x.coordinate_manager.insert_and_map(coordinates, stride)[0]
