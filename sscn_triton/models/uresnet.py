"""The UResNet of the 2018 study: a U-Net whose blocks are residual.

Laura Domine and Kazuhiro Terao, arXiv:1903.05663; the residual block is He et al., arXiv:1603.05027, the U-Net
Ronneberger et al., arXiv:1505.04597.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import Identity, Module

from sscn_triton import nn
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.functional import concatenate
from sscn_triton.models.pretrained import Pretrained, check_depth
from sscn_triton.nn.fusion import PreNorm, run, takes_moments
from sscn_triton.nn.own_forward import own_forward, runs_own_forward
from sscn_triton.relation import one_integer

EPS, MOMENTUM = 1e-4, 0.01  # as in the study's engine, where momentum 0.99 is 1 minus PyTorch's


class ResidualBlock(PreNorm):
    """``shortcut(x) + conv(relu(bn(conv(relu(bn(x))))))``; the shortcut is a 1 x 1 layer if the channels change."""

    def __init__(self, in_channels: int, out_channels: int, ndim: int) -> None:
        super().__init__()
        self.shortcut = Identity() if in_channels == out_channels else nn.Linear(in_channels, out_channels, bias=False)
        self.branch = nn.Sequential(
            nn.BatchNormReLU(in_channels, EPS, MOMENTUM),
            nn.SubmanifoldConv(in_channels, out_channels, 3, bias=False, ndim=ndim),
            nn.BatchNormReLU(out_channels, EPS, MOMENTUM),
            nn.SubmanifoldConv(out_channels, out_channels, 3, bias=False, ndim=ndim),
        )

    def first(self) -> Module:
        """The branch, because the shortcut does not begin with a norm."""
        return self.branch

    @own_forward
    def forward(
        self, x: SparseTensor, moments: Tensor | None = None, found: list[Tensor] | None = None
    ) -> SparseTensor:
        if not runs_own_forward(self.shortcut):
            moments = None  # the shortcut may change its input
        return run([self.branch], x, moments, self.shortcut(x), found)


class Level(PreNorm):
    """One resolution of the U: blocks, a visit to the coarser levels, concatenation with its result, blocks.

    ``widths`` lists the channels of this level and of all coarser ones.
    """

    def __init__(self, widths: list[int], repetitions: int, ndim: int) -> None:
        super().__init__()
        width, *coarser = widths
        self.encoder = nn.Sequential(*(ResidualBlock(width, width, ndim) for _ in range(repetitions)))
        self.has_coarser = bool(coarser)
        if coarser:
            self.visit = nn.Sequential(
                nn.BatchNormReLU(width, EPS, MOMENTUM),
                nn.SparseConv(width, coarser[0], 2, stride=2, bias=False, ndim=ndim),
                Level(coarser, repetitions, ndim),
                nn.BatchNormReLU(coarser[0], EPS, MOMENTUM),
                nn.InverseConv(coarser[0], width, 2, stride=2, bias=False, ndim=ndim),
            )
            self.decoder = nn.Sequential(
                *(ResidualBlock(width if i else 2 * width, width, ndim) for i in range(repetitions))
            )

    def first(self) -> Module:
        """The encoder."""
        return self.encoder

    @own_forward
    def forward(
        self, x: SparseTensor, moments: Tensor | None = None, found: list[Tensor] | None = None
    ) -> SparseTensor:
        if not self.has_coarser:
            return run([self.encoder], x, moments, found=found)
        between: list[Tensor] | None = [] if takes_moments(self.visit) else None
        x = run([self.encoder], x, moments, found=between)
        back = run([self.visit], x, between[0] if between else None)
        return run([self.decoder], concatenate([x, back]), found=found)


class SparseUResNet(Pretrained):
    """Semantic segmentation of sparse images: a class score for every active site.

    At its defaults it is the study's network, with 2,741,477 parameters.

    Args:
        in_channels: channels of the input (the study: 1, the energy of a voxel).
        num_classes: channels of the output.
        filters: channels of the finest level; level ``l`` has ``(l + 1) * filters``.
        depth: number of levels; each halves the resolution of the previous one.
        repetitions: residual blocks on each side of a level.
        ndim: number of spatial axes, 1 to 4.

    Input ``[N, in_channels]``, output ``[N, num_classes]`` on the same grid, rows in the same order.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 5,
        filters: int = 16,
        depth: int = 5,
        repetitions: int = 2,
        ndim: int = 3,
    ) -> None:
        counts = {"num_classes": num_classes, "filters": filters, "depth": depth, "repetitions": repetitions}
        for name, value in counts.items():
            one_integer(value, name, 1)
        check_depth(depth)
        super().__init__(in_channels=in_channels, **counts, ndim=ndim)
        self.stem = nn.SubmanifoldConv(in_channels, filters, 3, bias=False, ndim=ndim)
        self.levels = Level([filters * (level + 1) for level in range(depth)], repetitions, ndim)
        self.head = nn.Sequential(nn.BatchNormReLU(filters, EPS, MOMENTUM), nn.Linear(filters, num_classes))

    def forward(self, x: SparseTensor) -> SparseTensor:
        return run([self.stem, self.levels, self.head], x)
