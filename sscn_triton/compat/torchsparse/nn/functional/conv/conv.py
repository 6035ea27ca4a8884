"""torchsparse's convolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sscn_triton.compat.torchsparse.nn.functional.conv.conv_config import checked_config
from sscn_triton.compat.torchsparse.nn.functional.conv.kmap import (
    ONE,
    KernelMap,
    Shape,
    generative_map,
    kernel_map,
    padded,
)
from sscn_triton.compat.torchsparse.nn.utils.apply import expect
from sscn_triton.compat.torchsparse.nn.utils.kernel import in_library_order
from sscn_triton.compat.torchsparse.tensor import SparseTensor
from sscn_triton.compat.torchsparse.utils.utils import three
from sscn_triton.functional import convolve
from sscn_triton.relation import Axes, volume


def checked_shape(kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> Shape:
    """The geometry of a layer. Raises TypeError or ValueError for one that is not possible, and for a dilation."""
    kernel, steps = three(kernel_size, "kernel_size", 1), three(stride, "stride", 1)
    if three(dilation, "dilation", 1) != ONE:
        raise ValueError(f"dilation must be 1, got {dilation}: torchsparse 2.1 ignores it")
    return Shape(kernel, steps, padded(kernel, steps, three(padding, "padding", 0)))


def conv3d(
    input: SparseTensor,
    weight: Tensor,
    kernel_size: Any,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    config: Any = None,
    transposed: bool = False,
    generative: bool = False,
    training: bool = False,
) -> SparseTensor:
    """Convolve a tensor.

    Args:
        input: features ``[N, in]``.
        weight: ``[V, in, out]`` in torchsparse's order (`get_kernel_offsets`), or ``[in, out]`` for one tap without a
            stride.
        kernel_size, stride, padding: one number or three. On an axis with an odd kernel and no stride, the kernel is
            centred, whatever the padding is.
        bias: ``[out]`` or None.
        dilation: must be 1.
        config: settings (`conv_config`); by default the global ones.
        transposed: read the kernel map of the layer with the same kernel and stride backwards, from its outputs to its
            inputs.
        generative: with ``transposed`` and ``kmap_mode="hashmap"``: lead to all sites at a tap, inside the range
            that torchsparse computes; forget all kernel maps.
        training: has no effect.
    """
    x, shape, settings = (
        expect(input, "conv3d"),
        checked_shape(kernel_size, stride, padding, dilation),
        checked_config(config),
    )
    flat = shape.kernel == ONE and shape.stride == ONE
    lead = [] if flat else [volume(shape.kernel)]
    if x.feats.ndim != 2 or list(weight.shape[:-1]) != [*lead, x.feats.shape[1]]:
        raise ValueError(
            f"weight must be {[*lead, 'in', 'out']} for kernel_size {shape.kernel} and stride {shape.stride}, with "
            f"feats [N, in], got {list(weight.shape)} and {list(x.feats.shape)}"
        )
    if bias is not None and bias.shape != weight.shape[-1:]:
        raise ValueError(f"bias must be {list(weight.shape[-1:])}, got {list(bias.shape)}")
    if generative and not transposed:
        raise ValueError("generative needs transposed=True")
    x._caches.cmaps.setdefault(x.stride, (x.coords, x.spatial_range))
    feats, kernel = _of_one_type(x.feats, weight)
    if flat:
        output = x.on(_biased(feats @ kernel, bias))
    elif not transposed:
        found = kernel_map(x, shape, settings)
        steps = tuple(t * s for t, s in zip(x.stride, shape.stride, strict=True))
        coords = x.coords if shape.keeps_sites else found.target.unchanged()
        output = _made(x, _convolved(feats, kernel, bias, found, shape), coords, steps, found.spatial_range)
    else:
        steps = _finer(x.stride, shape.stride)
        if generative:
            output = _generated(x, feats, kernel, bias, shape, steps, settings)
        else:
            found = _map_back(x, shape, steps)
            coords, spatial_range = x._caches.cmaps[steps]
            output = _made(x, _convolved(feats, kernel, bias, found, shape), coords, steps, spatial_range)
    x._caches.cmaps.setdefault(output.stride, (output.coords, output.spatial_range))
    return output


def _finer(tensor_stride: Axes, stride: Axes) -> Axes:
    if any(t % s for t, s in zip(tensor_stride, stride, strict=True)):
        raise ValueError(
            f"a transposed layer of stride {stride} needs a tensor stride divisible by it: {tensor_stride}"
        )
    return tuple(t // s for t, s in zip(tensor_stride, stride, strict=True))


def _map_back(x: SparseTensor, shape: Shape, steps: Axes) -> KernelMap:
    """The map of the layer that a transposed one reverses, read backwards."""
    found = x._caches.kmaps.get((steps, shape.kernel, shape.stride, ONE))
    if found is None:
        raise ValueError(
            f"a transposed layer of kernel_size {shape.kernel} and stride {shape.stride} reverses a layer with both "
            f"from tensor stride {steps} to {x.stride}, but the caches have none"
        )
    if not found.target.are(x.coords):
        raise ValueError(
            "the tensor has other coordinates than the output of the layer that a transposed layer reverses"
        )
    if not found.source.are(x._caches.cmaps[steps][0]):
        raise ValueError(f"_caches.cmaps at stride {steps} has other coordinates than the layer that is reversed")
    return found._replace(rules=found.rules.transposed())


def _generated(
    x: SparseTensor, feats: Tensor, kernel: Tensor, bias: Tensor | None, shape: Shape, steps: Axes, settings: Any
) -> SparseTensor:
    if settings.kmap_mode != "hashmap":
        raise ValueError(f'a generative layer needs kmap_mode="hashmap" in its conv_config, got {settings.kmap_mode!r}')
    found = generative_map(x, shape)
    coords = found.target.coords
    x._caches.cmaps[steps] = (coords, found.spatial_range)
    x._caches.kmaps, x._caches.hashmaps = {}, {}
    return _made(x, _convolved(feats, kernel, bias, found, shape), coords, steps, found.spatial_range)


def _convolved(feats: Tensor, kernel: Tensor, bias: Tensor | None, found: KernelMap, shape: Shape) -> Tensor:
    return _biased(convolve(feats, in_library_order(kernel, shape.kernel)[:, None], None, found.rules), bias)


def _biased(feats: Tensor, bias: Tensor | None) -> Tensor:
    return feats if bias is None else feats + bias.to(feats.dtype)


def _of_one_type(feats: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float16 if one of them is, as in torchsparse."""
    if feats.dtype != weight.dtype and torch.float16 in (feats.dtype, weight.dtype):
        return feats.half(), weight.half()
    return feats, weight


def _made(x: SparseTensor, feats: Tensor, coords: Tensor, stride: Axes, spatial_range: Any) -> SparseTensor:
    output = SparseTensor(feats, coords, stride, spatial_range)
    output._caches = x._caches
    return output
