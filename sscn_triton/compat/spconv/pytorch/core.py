"""spconv's tensor, and the data that it stores under an ``indice_key``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, NoReturn

import torch
from torch import Tensor

from sscn_triton import Grid, SparseTensor
from sscn_triton.compat.missing import Hinted, names
from sscn_triton.compat.spconv.core import ConvAlgo
from sscn_triton.compat.spconv.tools import CUDAKernelTimer
from sscn_triton.core.rulebook import Rulebook
from sscn_triton.core.value import value
from sscn_triton.relation import MAX_NDIM, Axes, one_integer, per_axis


class _Known(NamedTuple):
    """The grid of an ``indices`` tensor at a version of its values; keeps the tensor alive, so its id is unique."""

    identity: int
    version: int
    grid: Grid
    indices: Tensor


@value("features", "indices", "spatial_shape", "batch_size", "grid", "voxel_num", "indice_dict", features="_features")
class SparseConvTensor(Hinted):
    """Features on sites, with the rulebooks that layers stored under their keys.

    Sites are checked when a layer first needs them, so that ``features`` and ``indices`` may be replaced one after
    the other. They must then be distinct, within ``spatial_shape``, and one per row.

    Args:
        features: ``[N, C]``, floating point.
        indices: ``[N, 1 + D]`` int32, batch index first, D from 1 to 4.
        spatial_shape: extent of each of the D axes.
        batch_size: number of events, at least 1.
        grid, voxel_num: stored and passed on; spconv's own buffers, without effect on results.
        indice_dict: the data that layers stored under their keys.
        benchmark, enable_timer: must be False; PyTorch's profiler measures layers.
        permanent_thrust_allocator: has no effect; memory is PyTorch's.
        force_algo: has no effect; there is one algorithm.

    The members that code copies from one tensor to the next exist and are passed on: ``benchmark_record`` (empty),
    ``_timer`` (off), ``thrust_allocator`` and ``int8_scale`` (None).
    """

    INSTEAD: ClassVar = {
        **dict.fromkeys(("F", "feats"), "features"),
        **dict.fromkeys(("C", "coordinates", "coords"), "indices, batch index first"),
        **dict.fromkeys(("shape", "size"), "features.shape, spatial_shape and batch_size"),
        **dict.fromkeys(("device", "dtype"), "features.device and features.dtype"),
        **dict.fromkeys(
            ("to", "cpu", "cuda", "float", "half", "double", "detach"),
            "replace_feature(features...), and indices on the same device",
        ),
        **dict.fromkeys(("sparity", "sparsity"), "len(indices) / spatial_size / batch_size"),
        "update_grid": "nothing: there is no grid to keep",
    }

    def __init__(
        self,
        features: Tensor,
        indices: Tensor,
        spatial_shape: Sequence[int],
        batch_size: int,
        grid: Tensor | None = None,
        voxel_num: Tensor | None = None,
        indice_dict: dict[str, Any] | None = None,
        benchmark: bool = False,
        permanent_thrust_allocator: bool = False,
        enable_timer: bool = False,
        force_algo: ConvAlgo | None = None,
    ) -> None:
        _check_rows(features)
        if not isinstance(indices, Tensor) or indices.dtype != torch.int32:
            raise TypeError(f"indices must be an int32 tensor, got {getattr(indices, 'dtype', type(indices).__name__)}")
        if indices.ndim != 2 or not 2 <= indices.shape[1] <= 1 + MAX_NDIM:
            raise ValueError(
                f"indices must be [N, 1 + D], batch index first, D from 1 to {MAX_NDIM}, got {tuple(indices.shape)}"
            )
        if enable_timer:
            raise ValueError("enable_timer must be False: measure with torch.profiler")
        if not isinstance(permanent_thrust_allocator, bool):
            raise TypeError(f"permanent_thrust_allocator must be True or False, got {permanent_thrust_allocator!r}")
        self._features = features
        self.indices = indices
        sizes = [int(size) for size in spatial_shape]
        self.spatial_shape = list(per_axis(sizes, indices.shape[1] - 1, "spatial_shape", 1))
        self.batch_size = one_integer(int(batch_size), "batch_size", 1)
        self.grid: Tensor | None = torch.Tensor() if grid is None else grid
        self.voxel_num = voxel_num
        self.indice_dict: dict[str, Any] = {} if indice_dict is None else indice_dict
        self.benchmark = benchmark
        self.benchmark_record: dict[str, Any] = {}
        self.thrust_allocator: Any = None
        self._timer = _OFF
        self.force_algo = check_algo(force_algo)
        self.int8_scale: Any = None
        self._known: _Known | None = None

    @property
    def features(self) -> Tensor:
        """``[N, C]``."""
        return self._features

    @features.setter
    def features(self, value: Any) -> NoReturn:
        raise ValueError("features cannot be set: use x = x.replace_feature(features)")

    @property
    def benchmark(self) -> bool:
        """False: use PyTorch's profiler to measure layers. Nothing else can be set."""
        return False

    @benchmark.setter
    def benchmark(self, value: bool) -> None:
        if value:
            raise ValueError("benchmark must be False: measure with torch.profiler")

    @property
    def is_quantized(self) -> bool:
        """False: there are no 8-bit layers here."""
        return False

    def q_scale(self) -> NoReturn:
        """Raises ValueError, as spconv does for features that are not 8-bit, because there are none here."""
        raise ValueError("sparse tensor must be quantized, and sscn_triton has no 8-bit features")

    def dequantize(self) -> SparseConvTensor:
        """The same sites with the features as float32."""
        return self.replace_feature(self.features.dequantize())

    @property
    def spatial_size(self) -> int:
        """Number of sites of an event if all were active."""
        return math.prod(self.spatial_shape)

    def replace_feature(self, feature: Tensor) -> SparseConvTensor:
        """The same sites with new features ``[N, C']``; data stored under keys is shared."""
        _check_rows(feature)
        other = self.shadow_copy()
        other._features = feature
        return other

    def shadow_copy(self) -> SparseConvTensor:
        """A tensor with the same members."""
        other = SparseConvTensor.__new__(SparseConvTensor)
        other.__dict__.update(self.__dict__)
        return other

    def select_by_index(self, valid_indices: Tensor) -> SparseConvTensor:
        """The rows that ``valid_indices`` selects, without the data stored under keys."""
        other = self.replace_feature(self.features[valid_indices])
        other.indices, other.indice_dict = self.indices[valid_indices], {}
        return other

    def minus(self) -> SparseConvTensor:
        """The same sites with negated features."""
        return self.replace_feature(-self.features)

    @classmethod
    def from_dense(cls, x: Tensor) -> SparseConvTensor:
        """The sites of ``x`` ``[B, *spatial_shape, C]``, channels last, where any channel is nonzero."""
        y = SparseTensor.from_dense(x.movedim(-1, 1))
        return cls(y.features, y.coordinates.clone(), x.shape[1:-1], x.shape[0])

    def find_indice_pair(self, key: str | None) -> IndiceData | None:
        """The data that a layer stored under ``key``, or None."""
        return None if key is None else self.indice_dict.get(key)

    def dense(self, channels_first: bool = True) -> Tensor:
        """``[B, C, *spatial_shape]``, or ``[B, *spatial_shape, C]``; zero at inactive sites."""
        image = SparseTensor.on(self.features, self.sites()).dense()
        return image.contiguous() if channels_first else image.movedim(1, -1).contiguous()

    def sites(self) -> Grid:
        """The library's grid of these sites, on the features' device; layers share it.

        Raises ValueError if sites are repeated, outside ``spatial_shape``, or differ in number from the rows.
        """
        indices, features = self.indices, self._features
        place = (tuple(self.spatial_shape), self.batch_size)
        version = _version(indices)
        known = self._known
        if known is None or known[:2] != (id(indices), version) or _place(known.grid) != place:
            if len(features) != len(indices):
                raise ValueError(
                    f"features have {len(features)} rows, but indices have {len(indices)}: the numbers must be equal"
                )
            rows = indices.new_zeros((len(indices), 0), dtype=torch.float32)
            known = _Known(id(indices), version, SparseTensor(rows, indices, *place).grid, indices)
        if known.grid.coordinates.device != features.device and not features.is_meta:
            known = known._replace(grid=known.grid.to(features.device))
        self._known = known
        if len(features) != len(known.grid):
            raise ValueError(f"features have {len(features)} rows, but the tensor has {len(known.grid)} sites")
        return known.grid

    def __add__(self, other: SparseConvTensor | Tensor) -> SparseConvTensor:
        return self.replace_feature(self.features + _summand(self, other))

    def __radd__(self, other: SparseConvTensor | Tensor) -> SparseConvTensor:
        return self + other

    def __iadd__(self, other: SparseConvTensor | Tensor) -> SparseConvTensor:
        self._features = self.features + _summand(self, other)
        return self

    def __repr__(self) -> str:
        return f"SparseConvTensor[shape={self._features.shape}]"


class IndiceData:
    """The data stored under an ``indice_key``: a layer's geometry, its sites before and after, and its rules.

    Layers store a `LayerData`, and read nothing else.

    Args:
        out_indices, indices: ``[N, 1 + D]`` int32, after and before the layer.
        indice_pairs: ``[2, V, N]`` int32: for every tap its input rows and its output rows, padded with -1.
        indice_pair_num: ``[V]`` int32: the number of rules of every tap.
        spatial_shape, out_spatial_shape: extents before and after.
        is_subm: whether the sites are the same.
        algo: the layer's name of an algorithm.
        ksize, stride, dilation, padding: the layer's, one number per axis.
        voxel_num: stored; spconv's own, without effect on results.
    """

    indice_pairs: Tensor
    indice_pair_num: Tensor

    def __init__(
        self,
        out_indices: Tensor,
        indices: Tensor,
        indice_pairs: Tensor,
        indice_pair_num: Tensor,
        spatial_shape: list[int],
        out_spatial_shape: list[int],
        is_subm: bool,
        algo: ConvAlgo,
        ksize: list[int],
        stride: list[int],
        dilation: list[int],
        padding: list[int],
        voxel_num: Any = None,
    ) -> None:
        self._set(
            out_indices, indices, spatial_shape, out_spatial_shape, is_subm, algo, ksize, stride, dilation, padding
        )
        self.indice_pairs, self.indice_pair_num, self.voxel_num = indice_pairs, indice_pair_num, voxel_num

    def _set(
        self,
        out_indices: Tensor,
        indices: Tensor,
        spatial_shape: list[int],
        out_spatial_shape: list[int],
        is_subm: bool,
        algo: ConvAlgo,
        ksize: list[int],
        stride: list[int],
        dilation: list[int],
        padding: list[int],
    ) -> None:
        self.out_indices, self.indices = out_indices, indices
        self.spatial_shape, self.out_spatial_shape = spatial_shape, out_spatial_shape
        self.is_subm, self.algo = is_subm, algo
        self.ksize, self.stride, self.dilation, self.padding = ksize, stride, dilation, padding

    @property
    def pair_fwd(self) -> Tensor:
        """``[V, N_out]`` int32: the input row of every tap and output row, -1 where there is none."""
        return self._table(0, len(self.out_indices))

    @property
    def pair_bwd(self) -> Tensor:
        """``[V, N_in]`` int32: the output row of every tap and input row, -1 where there is none."""
        return self._table(1, len(self.indices))

    def _table(self, side: int, rows: int) -> Tensor:
        read, written = self.indice_pairs[side], self.indice_pairs[1 - side]
        tap, place = (read >= 0).nonzero().unbind(1)
        table = read.new_full((len(read), rows), -1)
        table[tap, written[tap, place].long()] = read[tap, place]
        return table


class LayerData(IndiceData):
    """The data that a layer stored under its ``indice_key``. The pairs are computed when they are read.

    Attributes:
        grid, out_grid, rules: the library's.
        taps: the taps of ``rules`` that the kernel has; None for all.
    """

    voxel_num = None

    def __init__(
        self,
        layer: Any,
        indices: Tensor,
        out_indices: Tensor,
        grid: Grid,
        out_grid: Grid,
        rules: Rulebook,
        taps: list[int] | None = None,
    ) -> None:
        assert grid.spatial_shape is not None
        assert out_grid.spatial_shape is not None
        shapes = list(grid.spatial_shape), list(out_grid.spatial_shape)
        sizes = layer.kernel_size, layer.stride, layer.dilation, layer.padding
        self._set(out_indices, indices, *shapes, layer.subm, layer.algo, *sizes)
        self.grid, self.out_grid, self.rules, self.taps = grid, out_grid, rules, taps

    def pairs(self) -> list[tuple[Tensor, Tensor]]:
        """For each tap, its (input rows, output rows), int64."""
        return rules_by_tap(self.rules, self.taps)

    @property
    def indice_pair_num(self) -> Tensor:  # type: ignore[override]
        """``[V]`` int32: the number of rules of every tap."""
        return rule_counts(self.pairs(), self.indices)

    @property
    def indice_pairs(self) -> Tensor:  # type: ignore[override]
        """``[2, V, N]`` int32: for every tap its input rows and its output rows, padded with -1."""
        return pair_table(self.pairs(), self.indices)


def rules_by_tap(rules: Rulebook, taps: list[int] | None) -> list[tuple[Tensor, Tensor]]:
    """For each tap, or each of the chosen ones, its (input rows, output rows), int64."""
    pairs = rules.pairs()
    return pairs if taps is None else [pairs[tap] for tap in taps]


def rule_counts(pairs: list[tuple[Tensor, Tensor]], indices: Tensor) -> Tensor:
    """``[V]`` int32, on the device of ``indices``: the number of rules of every tap."""
    return torch.tensor([len(inputs) for inputs, _ in pairs], dtype=torch.int32, device=indices.device)


def pair_table(pairs: list[tuple[Tensor, Tensor]], indices: Tensor) -> Tensor:
    """``[2, V, N]`` int32: for every tap its input rows and its output rows, padded with -1."""
    result = indices.new_full((2, len(pairs), len(indices)), -1)
    for tap, rows in enumerate(pairs):
        for side in (0, 1):
            result[side, tap, : len(rows[side])] = rows[side].int()
    return result


def known_under(x: SparseConvTensor, key: str | None) -> LayerData | None:
    """The data that a layer stored under ``key``, or None.

    Raises TypeError if the key stores something else.
    """
    known = x.find_indice_pair(key)
    if known is not None and not isinstance(known, LayerData):
        raise TypeError(
            f"indice_key {key!r} stores {type(known).__name__}, which no layer of sscn_triton made, so none can use it"
        )
    return known


def on_grid(x: SparseConvTensor, grid: Grid, indices: Tensor) -> SparseConvTensor:
    """``x`` with its features on ``grid``; ``indices`` is a copy of the grid's sites."""
    assert grid.spatial_shape is not None
    result = x.shadow_copy()
    result.indices, result.spatial_shape, result.batch_size = indices, list(grid.spatial_shape), grid.batch_size
    result._known = _Known(id(indices), _version(indices), grid, indices)
    return result


def same_sites(one: Grid, other: Grid) -> bool:
    """Whether two grids contain the same sites in the same order."""
    if one is other:
        return True
    return _place(one) == _place(other) and torch.equal(one.coordinates, other.coordinates.to(one.coordinates.device))


def check_algo(algo: ConvAlgo | None) -> ConvAlgo | None:
    """Return ``algo`` if it is one of spconv's names or None."""
    if algo is not None and not isinstance(algo, ConvAlgo):
        raise TypeError(f"algo must be a ConvAlgo or None, got {algo!r}")
    return algo


def expand_nd(ndim: int, val: int | Sequence[int]) -> list[int]:
    """One number per axis."""
    return list(per_axis(val if isinstance(val, int) else [int(v) for v in val], ndim, "sizes", 0))


def _place(grid: Grid) -> tuple[Axes | None, int]:
    return grid.spatial_shape, grid.batch_size


def _version(indices: Tensor) -> int:
    return -1 if indices.is_inference() else indices._version


def _summand(x: SparseConvTensor, other: Any) -> Tensor:
    if isinstance(other, Tensor):
        return other
    if not isinstance(other, SparseConvTensor):
        raise TypeError(f"only a SparseConvTensor or a tensor can be added, got {type(other).__name__}")
    if not same_sites(x.sites(), other.sites()):
        raise ValueError("tensors to add must have the same sites in the same order; functional.sparse_add adds others")
    return other.features


def _check_rows(features: Any) -> None:
    if not isinstance(features, Tensor) or not features.is_floating_point() or features.ndim != 2:
        given = f"{features.dtype} {tuple(features.shape)}" if isinstance(features, Tensor) else type(features).__name__
        raise TypeError(f"features must be a floating-point tensor [N, C], got {given}")


_OFF = CUDAKernelTimer(False)

__getattr__ = names(
    __name__,
    {
        "ImplicitGemmIndiceData": "IndiceData, which has pair_fwd and pair_bwd",
        "ThrustSortAllocator": "PyTorch's memory: thrust_allocator is None",
        "scatter_nd": "SparseConvTensor.dense",
        "PYTORCH_VERSION": "spconv.pytorch.constants.PYTORCH_VERSION",
    },
    again=(
        "sscn_triton.compat.spconv.constants",
        "sscn_triton.compat.spconv.core",
        "sscn_triton.compat.spconv.tools",
        "sscn_triton.compat.spconv.pytorch.constants",
    ),
)
