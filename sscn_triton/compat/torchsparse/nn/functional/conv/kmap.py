"""Kernel maps by the rules of torchsparse 2.1.

Coordinates are in units of the tensor's stride, as in the library, so a tap joins ``input = stride * output + tap -
padding``. What differs between the modes is the padding, and which outputs exist.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sscn_triton.compat.torchsparse.nn.functional.conv.conv_mode import DOWNSAMPLE_MODES
from sscn_triton.compat.torchsparse.tensor import SparseTensor, get_allow_negative_coordinates, same_rows
from sscn_triton.compat.torchsparse.utils.utils import check_sites, three
from sscn_triton.core import rulebook
from sscn_triton.core.arguments import checked_grid, duplicate_message
from sscn_triton.core.grid import Grid
from sscn_triton.core.rulebook import Rulebook
from sscn_triton.relation import Axes, output_shape, taps, volume

ONE, ZERO = (1, 1, 1), (0, 0, 0)
Range = tuple[int, ...] | None
"""Batch size and extents of a tensor's space, if they are known."""


class Sites(NamedTuple):
    """A tensor's coordinates, their version when they were read, and a grid with a copy of them."""

    coords: Tensor
    version: int
    grid: Grid

    def are(self, coords: Tensor) -> bool:
        """Whether these are the coordinates."""
        known = coords is self.coords and _version(coords) == self.version
        return known or same_rows(self.grid.coordinates, coords)

    def unchanged(self) -> Tensor:
        """The coordinates, or a copy of what they were if they have been written to."""
        written = _version(self.coords) != self.version
        return self.grid.coordinates.clone() if written else self.coords


class Shape(NamedTuple):
    """The geometry of a layer with a kernel, one number per axis; its padding is that of `padded`."""

    kernel: Axes
    stride: Axes
    padding: Axes

    @property
    def centre(self) -> Axes:
        """The padding that centres a kernel; an even one has its extra tap on the far side."""
        return tuple((k - 1) // 2 for k in self.kernel)

    @property
    def keeps_sites(self) -> bool:
        """Whether outputs are the inputs."""
        return self.stride == ONE

    @property
    def is_even(self) -> bool:
        """Whether the number of taps is even."""
        return volume(self.kernel) % 2 == 0


class KernelMap(NamedTuple):
    """The rules of a layer, with taps in the library's order, where they lead, and what they were made from."""

    rules: Rulebook
    source: Sites
    target: Sites
    spatial_range: Range
    made_by: tuple[Any, ...]


def padded(kernel: Axes, stride: Axes, padding: Axes) -> Axes:
    """The padding that torchsparse uses: an odd kernel is centred on every axis without a stride."""
    axes = zip(kernel, stride, padding, strict=True)
    return tuple((k - 1) // 2 if k % 2 and s == 1 else p for k, s, p in axes)


def sites_of(x: SparseTensor) -> Sites:
    """The sites of a tensor, from its caches or checked and stored there.

    Raises ValueError for coordinates that are not sites, or that differ from those of a tensor with which it shares the
    caches.
    """
    known = x._caches.hashmaps.get(x.stride)
    if known is None:
        size, *extents = x.spatial_range or (None,)
        grid = checked_grid(x.feats, x.coords, tuple(extents) or None, size)
        if grid.ndim != 3:
            raise ValueError(f"coords must be [N, 4], batch index first, got {tuple(x.coords.shape)}")
        first, inverse = rulebook.unique(grid.coordinates)
        if len(first) != len(inverse):
            raise ValueError(duplicate_message(grid.coordinates, first, inverse).partition(";")[0])
        known = x._caches.hashmaps[x.stride] = sites(x.coords, grid.batch_size)
    elif not known.are(x.coords):
        raise ValueError(
            f"the tensor shares _caches with a tensor of the same stride {x.stride} and other coordinates, for which "
            "torchsparse would use wrong kernel maps: make a new SparseTensor, which has caches of its own"
        )
    return known


def sites(coords: Tensor, batch_size: int) -> Sites:
    """Checked coordinates with a grid of their own."""
    return Sites(coords, _version(coords), Grid(coords.to(torch.int32, copy=True), None, batch_size))


def _version(coords: Tensor) -> int:
    return -1 if coords.is_inference() else coords._version


def kernel_map(x: SparseTensor, shape: Shape, config: Any) -> KernelMap:
    """The kernel map of a layer from ``x``, from its caches or made and stored there.

    Raises ValueError where torchsparse 2.1 would compute from wrong maps: for another padding, mode or spatial range
    than that of the map in the caches, for coordinates below 0, and for an even kernel without a stride in a spatial
    range.
    """
    source, on_the_fly = sites_of(x), config.kmap_mode == "hashmap_on_the_fly"
    made_by: tuple[Any, ...] = (shape.padding, config.kmap_mode, config.downsample_mode, x.spatial_range)
    if shape.keeps_sites:
        made_by = (config.kmap_mode,) if shape.is_even else ()
    key = (x.stride, shape.kernel, shape.stride, ONE)
    known = x._caches.kmaps.get(key)
    if known is None:
        _check(source.grid.coordinates, x.spatial_range, shape, on_the_fly)
        spatial_range = range_after(x.spatial_range, shape)
        if shape.keeps_sites:
            rules, target = _rules_to_itself(source.grid, shape, on_the_fly), source
        else:
            rules, coords = _rules_down(source.grid, shape, x.spatial_range, on_the_fly, config.downsample_mode)
            target = sites(coords, source.grid.batch_size)
            steps = tuple(t * s for t, s in zip(x.stride, shape.stride, strict=True))
            x._caches.hashmaps.setdefault(steps, target)
        known = x._caches.kmaps[key] = KernelMap(rules, source, target, spatial_range, made_by)
    elif known.made_by != made_by:
        raise ValueError(
            f"a layer with kernel_size {shape.kernel} and stride {shape.stride} has left a kernel map for padding, "
            f"kmap_mode, downsample_mode and spatial_range {known.made_by}, which torchsparse would use here too, with "
            f"{made_by}"
        )
    return known


def _check(inputs: Tensor, spatial_range: Range, shape: Shape, on_the_fly: bool) -> None:
    even = shape.keeps_sites and shape.is_even
    if even and spatial_range is not None:
        raise ValueError(
            f"kernel_size {shape.kernel} without a stride needs a tensor without spatial_range: torchsparse 2.1 would "
            "cut the range and lose sites"
        )
    wanted = "" if even else "torchsparse.tensor.set_allow_negative_coordinates(True) or "
    refused = on_the_fly and (even or not get_allow_negative_coordinates())
    if refused and len(inputs) and int(inputs[:, 1:].min()) < 0:
        raise ValueError(
            f"coords run down to {inputs.amin(0).tolist()}; below 0, kernel_size {shape.kernel} and stride "
            f'{shape.stride} need {wanted}kmap_mode="hashmap" in their conv_config'
        )
    if on_the_fly and spatial_range is not None and len(inputs):
        highest = inputs.amax(0).tolist()
        if any(c >= n for c, n in zip(highest, spatial_range, strict=True)):
            raise ValueError(f"coords run up to {highest}, outside of spatial_range {spatial_range}")


def range_after(spatial_range: Range, shape: Shape, origin: str = "") -> Range:
    """The range of the output, that of a dense convolution, which torchsparse takes for generative layers too.

    Raises ValueError if it is empty; the message says the ``origin`` of a range that nobody gave.
    """
    if spatial_range is None:
        return None
    try:
        return spatial_range[0], *output_shape(spatial_range[1:], *shape, ONE)
    except ValueError as error:
        raise ValueError(f"spatial_range {spatial_range}{origin}: {error}") from None


def _rules_to_itself(grid: Grid, shape: Shape, on_the_fly: bool) -> Rulebook:
    if not shape.is_even:
        return grid.submanifold(shape.kernel, ONE)
    return _between(grid.coordinates, grid.coordinates, shape.kernel, ZERO if on_the_fly else shape.centre)


def _rules_down(
    grid: Grid, shape: Shape, spatial_range: Range, on_the_fly: bool, downsample_mode: str
) -> tuple[Rulebook, Tensor]:
    """The rules of a strided layer, and its output sites in lexicographic order."""
    inputs, (kernel, stride, padding) = grid.coordinates, shape
    if not len(inputs) or (on_the_fly and not get_allow_negative_coordinates()):
        if spatial_range is None and len(inputs):
            spatial_range = grid.batch_size, *(inputs[:, 1:].amax(0) + 1).tolist()
            range_after(spatial_range, shape, ", from the largest coordinates")
        bounds = None if spatial_range is None else spatial_range[1:]
        rules, reached, _ = rulebook.strided(inputs, bounds, kernel, stride, padding, ONE)
        return rules, reached
    after = range_after(spatial_range, shape)
    if on_the_fly:
        outputs = _windows(inputs, shape, after)
    else:
        from sscn_triton.compat.torchsparse.nn import functional  # where programs put their own function, as there

        steps, sizes, borders = (torch.tensor(axes).int().to(inputs.device) for axes in (stride, kernel, padding))
        outputs = functional.spdownsample(inputs, steps, sizes, borders, after, downsample_mode=downsample_mode)
    factors = torch.tensor([1, *stride], dtype=torch.int32, device=inputs.device)
    return _between(inputs, outputs * factors, kernel, padding if on_the_fly else shape.centre), outputs


def _between(inputs: Tensor, outputs: Tensor, kernel: Axes, padding: Axes) -> Rulebook:
    """The rules by which ``output + tap - padding`` is the input."""
    offsets = [tuple(n - p for n, p in zip(tap, padding, strict=True)) for tap in taps(kernel)]
    return rulebook.between(inputs, outputs.contiguous(), offsets)


def _windows(inputs: Tensor, shape: Shape, after: Range) -> Tensor:
    """The sites in whose window an input lies, within torchsparse's bounds, which depend on the flag too."""
    _, reached, _ = rulebook.strided(inputs, None, *shape, ONE)
    if not len(reached):
        return reached
    kernel, stride, padding = (torch.tensor(axes, device=inputs.device) for axes in shape)
    high = (inputs[:, 1:].amax(0) + 2 * padding - (kernel - 1)).div(stride, rounding_mode="floor")
    if after is not None:
        high = torch.tensor(after[1:], device=inputs.device) - 1
    low = torch.zeros_like(high)
    if get_allow_negative_coordinates():
        low = (inputs[:, 1:].amin(0) - 2 * padding + (kernel - 1)).div(stride, rounding_mode="trunc")
    return reached[((reached[:, 1:] >= low) & (reached[:, 1:] <= high)).all(1)]


def spdownsample(
    _coords: Tensor,
    stride: Any = 2,
    kernel_size: Any = 2,
    padding: Any = 0,
    spatial_range: Range = None,
    downsample_mode: str = "spconv",
) -> Tensor:
    """The output sites of a strided layer with ``kmap_mode="hashmap"``, in lexicographic order.

    They are ``floor(coordinate / stride)`` if the stride is that of the kernel or 1 on every axis, or with
    "minkowski"; else the sites in whose window ``stride * site - padding + tap`` an input lies, from 0 to the end of
    ``spatial_range``, or to ``(largest coordinate + 2 padding - kernel_size + 1) // stride``. If negative coordinates
    are allowed, they begin at ``(least coordinate - 2 padding + kernel_size - 1) / stride``, rounded towards 0.

    Args:
        _coords: ``[N, 4]`` integers, batch index first.
        stride, kernel_size, padding: one number or three.
        spatial_range: batch size and extents of the output, four numbers.
        downsample_mode: "spconv" or "minkowski".
    """
    kernel, steps = three(kernel_size, "kernel_size", 1), three(stride, "stride", 1)
    shape = Shape(kernel, steps, three(padding, "padding", 0))
    check_sites(_coords, "spdownsample")
    if downsample_mode not in DOWNSAMPLE_MODES:
        raise ValueError(f"downsample_mode must be {' or '.join(DOWNSAMPLE_MODES)}, got {downsample_mode!r}")
    if downsample_mode == "spconv" and any(s not in (1, k) for k, s in zip(kernel, steps, strict=True)):
        return _windows(_coords.int().contiguous(), shape, spatial_range)
    if any(p not in (0, c) for p, c in zip(shape.padding, shape.centre, strict=True)):
        raise ValueError(
            f"padding must be 0 or {shape.centre}, got {shape.padding}: here torchsparse 2.1 centres the kernel, "
            "whatever the padding is"
        )
    divisors = torch.tensor([1, *steps], dtype=_coords.dtype, device=_coords.device)
    return _coords.div(divisors, rounding_mode="floor").int().unique(dim=0)


def spupsample_generative(
    _coords: Tensor, stride: Any = 2, kernel_size: Any = 2, padding: Any = 0, spatial_range: Range = None
) -> Tensor:
    """The output sites of a generative layer: those at all offsets of a centred kernel from ``stride * coordinate``,
    moved into ``spatial_range``, in lexicographic order.

    Args:
        _coords: ``[N, 4]`` integers, batch index first.
        stride, kernel_size: one number or three.
        padding: has no effect; it counts in the range of a layer.
        spatial_range: batch size and extents of the output, four numbers; required.
    """
    if spatial_range is None:
        raise ValueError("a generative layer needs a tensor with spatial_range")
    kernel, steps = three(kernel_size, "kernel_size", 1), three(stride, "stride", 1)
    check_sites(_coords, "spupsample_generative")
    _coords = _coords.int()
    offsets = torch.tensor([[n - (k - 1) // 2 for n, k in zip(tap, kernel, strict=True)] for tap in taps(kernel)])
    sites = (_coords[:, 1:] * torch.tensor(steps).to(_coords))[:, None] + offsets.to(_coords)
    sites = torch.minimum(sites.clamp(min=0), torch.tensor(spatial_range[1:]).to(_coords) - 1)
    batch = _coords[:, :1, None].expand(-1, len(offsets), 1)
    return torch.cat([batch, sites], 2).flatten(0, 1).unique(dim=0)


def generative_map(x: SparseTensor, shape: Shape) -> KernelMap:
    """The kernel map of a generative layer; it is not stored."""
    source, after = sites_of(x), range_after(x.spatial_range, shape)
    inputs = source.grid.coordinates
    outputs = spupsample_generative(inputs, shape.stride, shape.kernel, shape.padding, after)
    steps = torch.tensor([1, *shape.stride], dtype=torch.int32, device=inputs.device)
    rules = _between(inputs * steps, outputs, shape.kernel, shape.centre)
    return KernelMap(rules, source, sites(outputs, source.grid.batch_size), after, ())
