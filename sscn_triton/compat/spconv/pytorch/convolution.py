"""Convolutions with spconv's arguments, initial weights and parameter names."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sscn_triton import Grid
from sscn_triton.compat.spconv.core import ConvAlgo
from sscn_triton.compat.spconv.pytorch.core import (
    LayerData,
    SparseConvTensor,
    check_algo,
    known_under,
    on_grid,
    same_sites,
)
from sscn_triton.compat.spconv.pytorch.modules import SparseModule
from sscn_triton.compat.spconv.pytorch.weights import as_krsc, matrix, odd_window
from sscn_triton.core.grid import Step
from sscn_triton.core.rulebook import Rulebook
from sscn_triton.functional import Size, convolve
from sscn_triton.relation import MAX_NDIM, one_integer, per_axis, volume

MOST_VOXELS = "max_num_voxels_during_training"


class SparseConvolution(SparseModule):
    """The common part of all convolutions.

    The weight is ``[out_channels, *kernel_size, in_channels / groups]``, uniform within ``1 / sqrt(fan_in)``, as is the
    bias. A layer of one tap that keeps the sites reads it as ``[in_channels, out_channels]``, as spconv does.

    A ``state_dict`` may contain spconv 1's ``[*kernel_size, in_channels, out_channels]`` instead, which is recognised
    by its shape; the layout named by the environment variable SPCONV_SAVED_WEIGHT_LAYOUT loads too, as in spconv. Code
    that replaces ``_load_from_state_dict`` handles layouts itself: weights are then converted only if the variable
    names a layout.

    Args:
        ndim: number of spatial axes.
        in_channels, out_channels: positive multiples of ``groups``.
        kernel_size, stride, padding, dilation, output_padding: one number or one per axis.
        groups: groups of channels that do not mix (spconv has 1 only).
        bias: whether a learnt constant is added.
        subm: whether the output sites are the input's. ``stride`` must then be 1; ``padding`` is ignored,
            because the window is centred: ``(kernel_size // 2) * dilation``.
        transposed, inverse: whether the relation is read backwards, onto all sites reached or onto the input sites of
            the layer with this ``indice_key``.
        indice_key: name under which sites and rules are stored. Submanifold layers with one key share them and must
            have the same geometry; any other layer must be the first with its key.
        algo, large_kernel_fast_algo: have no effect; there is one algorithm.
        fp32_accum: None or True: sums are always float32, or float64.
        record_voxel_count: whether the buffer ``max_num_voxels_during_training`` keeps the largest number of output
            sites seen.
        act_type, act_alpha, act_beta: must be None, 0 and 0: use a separate layer for the activation.
        name: a label.
    """

    __constants__ = (
        "stride",
        "padding",
        "dilation",
        "groups",
        "bias",
        "subm",
        "inverse",
        "transposed",
        "output_padding",
    )
    bias: Tensor | None

    def __init__(
        self,
        ndim: int,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = 3,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        subm: bool = False,
        output_padding: Size = 0,
        transposed: bool = False,
        inverse: bool = False,
        indice_key: str | None = None,
        algo: ConvAlgo | None = None,
        fp32_accum: bool | None = None,
        record_voxel_count: bool = False,
        act_type: Any = None,
        act_alpha: float = 0,
        act_beta: float = 0,
        large_kernel_fast_algo: bool = False,
        name: str | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(name)
        self.ndim = one_integer(ndim, "ndim", 1)
        if self.ndim > MAX_NDIM:
            raise ValueError(f"ndim must be 1 to {MAX_NDIM}, got {ndim}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.groups = one_integer(groups, "groups", 1)
        if min(in_channels, out_channels) < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"in_channels and out_channels must be positive multiples of groups = {groups}, "
                f"got {in_channels} and {out_channels}"
            )
        self.kernel_size = _per_axis(kernel_size, ndim, "kernel_size", 1)
        self.stride = _per_axis(stride, ndim, "stride", 1)
        self.padding = _per_axis(padding, ndim, "padding", 0)
        self.dilation = _per_axis(dilation, ndim, "dilation", 1)
        self.output_padding = _per_axis(output_padding, ndim, "output_padding", 0)
        self.subm, self.transposed, self.inverse = subm, transposed, inverse
        self._check_kind(indice_key)
        self.indice_key = indice_key
        self.algo = check_algo(algo) or ConvAlgo.Native
        if fp32_accum not in (None, True):
            raise ValueError(f"fp32_accum must be None or True, got {fp32_accum!r}: sums are always float32 or float64")
        if not isinstance(large_kernel_fast_algo, bool):
            raise TypeError(f"large_kernel_fast_algo must be True or False, got {large_kernel_fast_algo!r}")
        _check_act(act_type, act_alpha, act_beta)
        self.act_type, self.act_alpha, self.act_beta = None, 0, 0
        self.fp32_accum = fp32_accum
        self.record_voxel_count = record_voxel_count and not subm and not inverse
        if self.record_voxel_count:
            self.register_buffer(MOST_VOXELS, torch.zeros(1, dtype=torch.int32, device=device))
        self.weight_shape = [out_channels, *self.kernel_size, in_channels // groups]
        self.weight = torch.nn.Parameter(torch.zeros(self.weight_shape, device=device, dtype=dtype))
        self.bias = torch.nn.Parameter(torch.zeros(out_channels, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()
        self.register_load_state_dict_pre_hook(_turn_saved_weight)

    def _check_kind(self, indice_key: str | None) -> None:
        if self.subm + self.transposed + self.inverse > 1:
            raise ValueError("only one of subm, transposed and inverse can be True")
        if self.subm and set(self.stride) != {1}:
            raise ValueError(f"a submanifold convolution has stride 1, got {self.stride}; SparseConv takes others")
        if any(self.output_padding) and not self.transposed:
            raise ValueError(f"output_padding is for transposed convolutions, got {self.output_padding}")
        if self.inverse and indice_key is None:
            raise ValueError("an inverse convolution needs the indice_key of the layer that it inverts")

    @property
    def conv1x1(self) -> bool:
        """Whether the layer is a matrix on every site, which stores nothing under its key."""
        if self.subm or self.inverse:
            return self.subm and volume(tuple(self.kernel_size)) == 1
        return set(self.kernel_size) == set(self.stride) == {1} and not any(self.padding)

    def is_inverseable(self) -> bool:
        """Whether an inverse convolution can have this layer's key."""
        return self.indice_key is not None and not self.subm

    def reset_parameters(self) -> None:
        """Draw new initial weights."""
        self._custom_kaiming_uniform_(self.weight, math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self._calculate_correct_fan("fan_in"))
            torch.nn.init.uniform_(self.bias, -bound, bound)

    def _calculate_fan_in_and_fan_out(self) -> tuple[int, int]:
        taps = volume(tuple(self.kernel_size))
        return self.in_channels // self.groups * taps, self.out_channels // self.groups * taps

    def _calculate_correct_fan(self, mode: str) -> int:
        fans = dict(zip(("fan_in", "fan_out"), self._calculate_fan_in_and_fan_out(), strict=True))
        if mode.lower() not in fans:
            raise ValueError(f"mode must be fan_in or fan_out, got {mode!r}")
        return fans[mode.lower()]

    def _custom_kaiming_uniform_(
        self, tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: Any = "leaky_relu"
    ) -> Tensor:
        """`torch.nn.init.kaiming_uniform_` with the fans of this layer, whose weight has its input channels last."""
        fan = self._calculate_correct_fan(mode)
        bound = math.sqrt(3) * (torch.nn.init.calculate_gain(nonlinearity, a) / math.sqrt(fan))
        return torch.nn.init.uniform_(tensor, -bound, bound)

    def get_max_num_voxels(self) -> Tensor | None:
        """``[1]`` int32: the largest number of output sites seen, if ``record_voxel_count``."""
        return getattr(self, MOST_VOXELS, None)

    def forward(self, input: SparseConvTensor, add_input: SparseConvTensor | None = None) -> SparseConvTensor:
        """Apply the layer to ``input`` and add the features of ``add_input`` on its output sites."""
        return self._conv_forward(self.training, input, self.weight, self.bias, add_input)

    def _conv_forward(
        self,
        training: bool,
        input: SparseConvTensor,
        weight: Tensor,
        bias: Tensor | None,
        add_input: SparseConvTensor | None = None,
        channel_scale: Tensor | None = None,
        output_scale: float | None = None,
        name: str | None = None,
        sparse_unique_name: str = "",
        act_type: Any = None,
        act_alpha: float = 0,
        act_beta: float = 0,
    ) -> SparseConvTensor:
        """`forward` with another weight and bias, for subclasses.

        ``training`` and both names have no effect: in spconv they choose kernels and label timings. ``channel_scale``
        and ``output_scale``, of 8-bit layers, must be None.
        """
        if channel_scale is not None or output_scale is not None:
            raise ValueError("channel_scale and output_scale must be None: sscn_triton has no 8-bit layers")
        _check_act(act_type, act_alpha, act_beta)
        grid = expect(self, input, self.in_channels)
        if self.conv1x1:
            output = input.replace_feature(matrix(input.features, weight, bias, self.groups))
        else:
            data = self._sites_and_rules(input, grid)
            features = convolve(input.features, self._by_tap(weight), bias, data.rules)
            same = input.replace_feature(features)
            output = same if self.subm else on_grid(same, data.out_grid, data.out_indices)
            if self.indice_key is not None and not self.inverse:
                output.indice_dict = {**input.indice_dict, self.indice_key: data}
        record_voxels(self, output)
        return output if add_input is None else output + add_input

    def _sites_and_rules(self, input: SparseConvTensor, grid: Grid) -> LayerData:
        if self.inverse:
            return self._backwards(input, grid)
        known = known_under(input, self.indice_key)
        if self.subm:
            if known is not None:
                self._check_shared(known, grid)
                return known
            rules, taps = centred_rules(grid, self.kernel_size, self.dilation)
            return LayerData(self, input.indices, input.indices, grid, grid, rules, taps)
        if known is not None:
            raise ValueError(f"indice_key {self.indice_key!r} already exists in this tensor")
        rules, reached = grid.step(self._step())
        return LayerData(self, input.indices, reached.coordinates.clone(), grid, reached, rules)

    def _step(self) -> Step:
        sizes = (self.kernel_size, self.stride, self.padding, self.dilation, self.output_padding)
        return step_of(self.transposed, *sizes)

    def _check_shared(self, known: LayerData, grid: Grid) -> None:
        """Raise unless a submanifold layer stored ``known``, with this geometry and on these sites."""
        key = f"indice_key {self.indice_key!r}"
        if not known.is_subm:
            raise ValueError(
                f"{key} belongs to a layer that changes the sites; use another key for a submanifold layer"
            )
        for name, own, theirs in (
            ("kernel_size", self.kernel_size, known.ksize),
            ("dilation", self.dilation, known.dilation),
        ):
            if own != theirs:
                raise ValueError(
                    f"submanifold layers with {key} must have the same {name}: {theirs}, but this one has {own}"
                )
        if not same_sites(known.grid, grid):
            raise ValueError(f"submanifold layers with {key} must have the same sites: {known.grid!r}, not {grid!r}")

    def _backwards(self, input: SparseConvTensor, grid: Grid) -> LayerData:
        """The data that the layer with this key stored, with input and output exchanged."""
        known = known_under(input, self.indice_key)
        if known is None or known.is_subm:
            held = "a submanifold layer stored it" if known else f"known are {sorted(map(str, input.indice_dict))}"
            raise ValueError(f"indice_key {self.indice_key!r} belongs to no layer that can be inverted: {held}")
        if known.ksize != self.kernel_size:
            raise ValueError(
                f"an inverse convolution has the kernel_size of the layer it inverts, {known.ksize}, "
                f"got {self.kernel_size}"
            )
        if not same_sites(known.out_grid, grid):
            raise ValueError(
                f"indice_key {self.indice_key!r} leads back from other sites, {known.out_grid!r}, not {grid!r}"
            )
        rules = known.rules.transposed()
        return LayerData(self, input.indices, known.grid.coordinates.clone(), grid, known.grid, rules)

    def _by_tap(self, weight: Tensor) -> Tensor:
        """A weight in the library's layout, ``[V, groups, in / groups, out / groups]``."""
        if self.subm and any(size % 2 == 0 for size in self.kernel_size):
            ends = [n for size in reversed(self.kernel_size) for n in (0, 1 - size % 2)]
            weight = torch.nn.functional.pad(weight, (0, 0, *ends))
        weight = weight.reshape(self.groups, self.out_channels // self.groups, -1, self.in_channels // self.groups)
        return weight.permute(2, 0, 3, 1).contiguous()

    def extra_repr(self) -> str:
        shown = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        defaults = {"padding": [0], "dilation": [1], "output_padding": [0]}
        set_here = (name for name, usual in defaults.items() if getattr(self, name) != usual * self.ndim)
        shown += [f"{name}={getattr(self, name)}" for name in set_here]
        shown += [f"groups={self.groups}"] if self.groups != 1 else []
        shown += ["bias=False"] if self.bias is None else []
        return ", ".join(shown)


def centred_rules(grid: Grid, kernel_size: list[int], dilation: list[int]) -> tuple[Rulebook, list[int] | None]:
    """The rules of a submanifold layer, and the taps of them that an even kernel has (None for all)."""
    window, taps = odd_window(kernel_size)
    return grid.submanifold(window, tuple(dilation)), taps


def step_of(
    transposed: bool,
    kernel_size: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    output_padding: list[int],
) -> Step:
    """The step of a strided or transposed layer; spconv's extent of a transposed one ignores dilation."""
    kernel, strides, pads, spread = (tuple(size) for size in (kernel_size, stride, padding, dilation))
    if not transposed:
        return Step("strided", kernel, strides, pads, spread, (0,) * len(kernel))
    extra = tuple(o - (k - 1) * (d - 1) for o, k, d in zip(output_padding, kernel_size, dilation, strict=True))
    return Step("transposed", kernel, strides, pads, spread, extra)


def _turn_saved_weight(layer: torch.nn.Module, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Before a layer is loaded, convert its weight to ``[out, *kernel, in]`` and add the count if it is missing."""
    assert isinstance(layer, SparseConvolution)
    name = f"{prefix}weight"
    loads = getattr(layer._load_from_state_dict, "__func__", None)
    untouched = loads is torch.nn.Module._load_from_state_dict
    if name in state_dict:
        state_dict[name] = as_krsc(state_dict[name], layer.weight.shape, layer.conv1x1, by_shape=untouched)
    if layer.record_voxel_count:
        state_dict.setdefault(f"{prefix}{MOST_VOXELS}", torch.zeros(1, dtype=torch.int32))


def _check_act(act_type: Any, act_alpha: float, act_beta: float) -> None:
    """Raise unless there is no activation; spconv's name for that is ``Activation.None_``."""
    if getattr(act_type, "name", act_type) not in (None, "None_") or act_alpha or act_beta:
        raise ValueError(
            "act_type, act_alpha and act_beta must be None, 0 and 0: put the activation after the layer, "
            f"got {act_type!r}, {act_alpha!r} and {act_beta!r}"
        )


def expect(layer: Any, x: SparseConvTensor, channels: int | None = None) -> Grid:
    """The sites of ``x``; raise unless it has as many axes as ``layer``, and as many channels as given."""
    name = type(layer).__name__
    if not isinstance(x, SparseConvTensor):
        raise TypeError(f"{name} takes a SparseConvTensor, got {type(x).__name__}")
    if len(x.spatial_shape) != layer.ndim:
        raise ValueError(f"{name} has {layer.ndim} spatial axes, but the tensor has {len(x.spatial_shape)}")
    if channels is not None and x.features.shape[1] != channels:
        raise ValueError(f"{name} takes {channels} channels, but the tensor has {x.features.shape[1]}")
    return x.sites()


def record_voxels(layer: torch.nn.Module, output: SparseConvTensor) -> None:
    """Record the number of output sites in the layer's buffer, if it has one."""
    most = getattr(layer, MOST_VOXELS, None)
    if most is not None:
        most.clamp_(min=len(output.indices))


def _per_axis(size: Size, ndim: int, name: str, minimum: int) -> list[int]:
    return list(per_axis(tuple(int(n) for n in size) if hasattr(size, "__iter__") else size, ndim, name, minimum))
