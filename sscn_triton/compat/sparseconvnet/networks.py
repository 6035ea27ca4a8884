"""SparseConvNet's network builders: the same layers with the same names, so that checkpoints load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sscn_triton.compat.sparseconvnet.convolutions import Convolution, Deconvolution, SubmanifoldConvolution
from sscn_triton.compat.sparseconvnet.features import NetworkInNetwork
from sscn_triton.compat.sparseconvnet.normalization import BatchNormLeakyReLU, BatchNormReLU
from sscn_triton.compat.sparseconvnet.pooling import MaxPooling, UnPooling
from sscn_triton.compat.sparseconvnet.tables import AddTable, ConcatTable, Identity, JoinTable, Sequential

Norm = Callable[[int], BatchNormLeakyReLU | BatchNormReLU]


def SparseVggNet(dimension: int, nInputPlanes: int, layers: Sequence[Any]) -> Sequential:
    """A VGG-style network of submanifold convolutions.

    Args:
        dimension: number of spatial axes.
        nInputPlanes: feature planes of the input.
        layers: each ``'MP'`` or ``['MP', size, stride]``, a max pooling (3/2 by default); ``'C3/2'`` or
            ``['C3/2', n]``, a strided convolution; ``['C', n]``, a submanifold convolution to n planes; or
            ``['C', n, a, ...]`` with up to three parallel branches that go down one, two and three scales and back.
    """
    planes, net = nInputPlanes, Sequential()
    for layer in layers:
        kind, *sizes = (layer,) if isinstance(layer, str) else layer
        if kind == "MP" and len(sizes) in (0, 2):
            net.add(MaxPooling(dimension, *(sizes or (3, 2))))
            continue
        if kind == "C3/2" and len(sizes) < 2:
            width = sizes[0] if sizes else planes
            net.add(Convolution(dimension, planes, width, 3, 2, False))
        elif kind == "C" and 1 <= len(sizes) <= 4:
            width = sum(sizes)
            net = _widen(net, dimension, planes, sizes)
        else:
            raise ValueError(f"layers may contain 'MP', 'C3/2', ['C', n] and their longer forms, got {layer!r}")
        planes = width
        net.add(BatchNormReLU(planes))
    return net


def _widen(net: Sequential, dimension: int, planes: int, sizes: Sequence[int]) -> Sequential:
    """Append a submanifold convolution, with parallel branches through coarser scales if there are more sizes."""
    plain = SubmanifoldConvolution(dimension, planes, sizes[0], 3, False)
    if len(sizes) == 1:
        return net.add(plain)
    table = ConcatTable().add(plain)
    for depth, width in enumerate(sizes[1:], 1):
        table.add(_through_scales(dimension, planes, width, depth))
    return net.add(table).add(JoinTable())


def _through_scales(dimension: int, planes: int, width: int, depth: int) -> Sequential:
    """``depth`` scales down and up again."""

    def settle() -> None:
        branch.add(BatchNormReLU(width)).add(SubmanifoldConvolution(dimension, width, width, 3, False))
        branch.add(BatchNormReLU(width))

    branch = Sequential()
    for level in range(depth):
        branch.add(Convolution(dimension, width if level else planes, width, 3, 2, False))
        settle()
    for level in range(depth):
        branch.add(Deconvolution(dimension, width, width, 3, 2, False))
        if level < depth - 1:
            settle()
    return branch


def SparseResNet(dimension: int, nInputPlanes: int, layers: Sequence[Sequence[Any]]) -> Sequential:
    """A pre-activated ResNet.

    Args:
        dimension, nInputPlanes: as in `SparseVggNet`.
        layers: each ``['basic', planes, repetitions, stride]``.
    """
    planes, net = nInputPlanes, Sequential()
    for kind, width, repetitions, stride in layers:
        if kind not in ("basic", "b"):
            raise ValueError(f"layers may contain ['basic', planes, repetitions, stride], got kind {kind!r}")
        for repetition in range(repetitions):
            body = Sequential()
            (net if repetition == 0 else body).add(BatchNormReLU(planes))
            step = stride if repetition == 0 else 1
            body.add(_three_wide(dimension, planes, width, step)).add(BatchNormReLU(width))
            body.add(SubmanifoldConvolution(dimension, width, width, 3, False))
            table = ConcatTable().add(body)
            if step > 1:
                table.add(Convolution(dimension, planes, width, 3, step, False))
            else:
                table.add(Identity() if planes == width else NetworkInNetwork(planes, width, False))
            net.add(table).add(AddTable())
            planes = width
    return net.add(BatchNormReLU(planes))


def _three_wide(dimension: int, planes: int, width: int, stride: int) -> SubmanifoldConvolution | Convolution:
    if stride == 1:
        return SubmanifoldConvolution(dimension, planes, width, 3, False)
    return Convolution(dimension, planes, width, 3, stride, False)


def _block(net: Sequential, dimension: int, a: int, b: int, residual: bool, norm: Norm) -> None:
    """Append a block from ``a`` to ``b`` planes: of two convolutions with a shortcut, or of one."""
    shortcut = NetworkInNetwork(a, b, False) if residual and a != b else Identity()
    body = Sequential().add(norm(a)).add(SubmanifoldConvolution(dimension, a, b, 3, False))
    if not residual:
        net.add(body)
        return
    body.add(norm(b)).add(SubmanifoldConvolution(dimension, b, b, 3, False))
    net.add(ConcatTable().add(shortcut).add(body)).add(AddTable())


def UNet(
    dimension: int,
    reps: int,
    nPlanes: Sequence[int],
    residual_blocks: bool = False,
    downsample: Sequence[Any] = (2, 2),
    leakiness: float = 0,
    n_input_planes: int = -1,
) -> Sequential:
    """A U-Net: blocks, down to the next level and back, concatenation with the skip, blocks again.

    Args:
        dimension: number of spatial axes.
        reps: blocks on either side of every level.
        nPlanes: feature planes of each level.
        residual_blocks: blocks of two convolutions with a shortcut, or of one.
        downsample: filter size and stride between levels.
        leakiness: leakiness of the batch norms.
        n_input_planes: feature planes of the input; ``nPlanes[0]`` by default.
    """

    def norm(planes: int) -> BatchNormLeakyReLU:
        return BatchNormLeakyReLU(planes, leakiness=leakiness)

    def level(planes: Sequence[int], given: int) -> Sequential:
        net = Sequential()
        for rep in range(reps):
            _block(net, dimension, given if rep == 0 else planes[0], planes[0], residual_blocks, norm)
        if len(planes) == 1:
            return net
        below = Sequential().add(norm(planes[0]))
        below.add(Convolution(dimension, planes[0], planes[1], downsample[0], downsample[1], False))
        below.add(level(planes[1:], planes[1])).add(norm(planes[1]))
        below.add(Deconvolution(dimension, planes[1], planes[0], downsample[0], downsample[1], False))
        net.add(ConcatTable().add(Identity()).add(below)).add(JoinTable())
        for rep in range(reps):
            _block(net, dimension, planes[0] * (2 if rep == 0 else 1), planes[0], residual_blocks, norm)
        return net

    return level(nPlanes, nPlanes[0] if n_input_planes == -1 else n_input_planes)


def FullyConvolutionalNet(
    dimension: int,
    reps: int,
    nPlanes: Sequence[int],
    residual_blocks: bool = False,
    downsample: Sequence[Any] = (2, 2),
) -> Sequential:
    """Blocks on every level, unpooled to the first and joined there: ``sum(nPlanes)`` feature planes.

    Arguments as in `UNet`.
    """
    net = Sequential()
    for _ in range(reps):
        _block(net, dimension, nPlanes[0], nPlanes[0], residual_blocks, BatchNormReLU)
    if len(nPlanes) == 1:
        return net
    below = Sequential().add(BatchNormReLU(nPlanes[0]))
    below.add(Convolution(dimension, nPlanes[0], nPlanes[1], downsample[0], downsample[1], False))
    below.add(FullyConvolutionalNet(dimension, reps, nPlanes[1:], residual_blocks, downsample))
    below.add(UnPooling(dimension, downsample[0], downsample[1]))
    return net.add(ConcatTable().add(Identity()).add(below)).add(JoinTable())
