"""The UResNet of the 2018 study: a U-Net whose blocks are residual.

Laura Domine and Kazuhiro Terao, arXiv:1903.05663; the residual block is He et al., arXiv:1603.05027, the U-Net
Ronneberger et al., arXiv:1505.04597.
"""

from __future__ import annotations

from torch.nn import Identity, Module

from sscn_triton import nn
from sscn_triton.functional import concatenate
from sscn_triton.nn.fusion import add_to, before_norm
from sscn_triton.relation import one_integer
from sscn_triton.tensor import SparseTensor

EPS, MOMENTUM = 1e-4, 0.01  # those of the study's engine, whose momentum 0.99 counts the other way


class ResidualBlock(Module):
    """``shortcut(x) + conv(relu(bn(conv(relu(bn(x))))))``; the shortcut is a 1 x 1 layer where channels change."""

    begins_with_norm = True

    def __init__(self, in_channels: int, out_channels: int, ndim: int) -> None:
        super().__init__()
        self.shortcut = Identity() if in_channels == out_channels else nn.Linear(in_channels, out_channels, bias=False)
        self.branch = nn.Sequential(
            nn.BatchNormReLU(in_channels, EPS, MOMENTUM),
            nn.SubmanifoldConv(in_channels, out_channels, 3, bias=False, ndim=ndim),
            nn.BatchNormReLU(out_channels, EPS, MOMENTUM),
            nn.SubmanifoldConv(out_channels, out_channels, 3, bias=False, ndim=ndim),
        )

    def forward(self, x: SparseTensor) -> SparseTensor:
        return add_to(self.branch, x, self.shortcut(x))


class Level(Module):
    """One resolution of the U: blocks, a visit to the coarser levels, their return joined to the skip, blocks.

    ``widths`` lists the channels of this level and of all coarser ones.
    """

    begins_with_norm = True

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

    def forward(self, x: SparseTensor) -> SparseTensor:
        x = self.encoder(x)
        return self.decoder(concatenate([x, self.visit(x)])) if self.has_coarser else x


class SparseUResNet(Module):
    """Semantic segmentation of sparse images: a class score for every active site.

    At its defaults it is the study's network, with 2,741,477 parameters.

    Args:
        in_channels: channels of the input (the study: 1, the energy of a voxel).
        num_classes: channels of the output.
        filters: channels of the finest level; level ``l`` has ``(l + 1) * filters``.
        depth: number of levels; each halves the resolution of the one above.
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
        super().__init__()
        one_integer(num_classes, "num_classes", 1)
        one_integer(filters, "filters", 1)
        one_integer(depth, "depth", 1)
        one_integer(repetitions, "repetitions", 1)
        self.stem = nn.SubmanifoldConv(in_channels, filters, 3, bias=False, ndim=ndim)
        self.levels = Level([filters * (level + 1) for level in range(depth)], repetitions, ndim)
        self.head = nn.Sequential(nn.BatchNormReLU(filters, EPS, MOMENTUM), nn.Linear(filters, num_classes))

    def forward(self, x: SparseTensor) -> SparseTensor:
        return self.head(self.levels(before_norm(self.stem, x) if self.training else self.stem(x)))
