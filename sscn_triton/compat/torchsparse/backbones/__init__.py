"""torchsparse's networks, with its names of parameters and its initial weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from sscn_triton.compat.missing import names
from sscn_triton.compat.torchsparse.backbones.modules import SparseConvBlock, SparseConvTransposeBlock, SparseResBlock
from sscn_triton.compat.torchsparse.operators import cat
from sscn_triton.compat.torchsparse.tensor import SparseTensor

__getattr__ = names(__name__, {})
__all__ = ["SparseResNet21D", "SparseResUNet42"]


class SparseResNet(torch.nn.ModuleList):
    """Stages of one convolution block and further residual blocks.

    Args:
        blocks: for each stage its number of blocks, channels, kernel size and stride.
        in_channels: channels of the input.
        width_multiplier: factor of all channels.
    """

    def __init__(
        self, blocks: Sequence[tuple[int, int, Any, Any]], *, in_channels: int = 4, width_multiplier: float = 1.0
    ) -> None:
        super().__init__()
        self.blocks, self.in_channels, self.width_multiplier = blocks, in_channels, width_multiplier
        for count, planes, kernel_size, stride in blocks:
            channels = int(planes * width_multiplier)
            stage: list[torch.nn.Module] = [SparseConvBlock(in_channels, channels, kernel_size, stride)]
            stage += [SparseResBlock(channels, channels, kernel_size) for _ in range(count - 1)]
            self.append(torch.nn.Sequential(*stage))
            in_channels = channels

    def forward(self, x: SparseTensor) -> list[SparseTensor]:
        """The output of every stage."""
        outputs = []
        for stage in self:
            x = stage(x)
            outputs.append(x)
        return outputs


class SparseResNet21D(SparseResNet):
    """Five stages of 16 to 128 channels; the last one compresses the second axis. Arguments: `SparseResNet`."""

    def __init__(self, **kwargs: Any) -> None:
        stages = [(3, 16, 3, 1), (3, 32, 3, 2), (3, 64, 3, 2), (3, 128, 3, 2), (1, 128, (1, 3, 1), (1, 2, 1))]
        super().__init__(stages, **kwargs)


class SparseResUNet(torch.nn.Module):
    """A residual UNet of four resolutions below the input's.

    Args:
        stem_channels: channels at the input's resolution.
        encoder_channels, decoder_channels: four numbers each, from the first to the last stage.
        in_channels: channels of the input.
        width_multiplier: factor of all channels.
    """

    def __init__(
        self,
        stem_channels: int,
        encoder_channels: Sequence[int],
        decoder_channels: Sequence[int],
        *,
        in_channels: int = 4,
        width_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        self.stem_channels, self.in_channels, self.width_multiplier = stem_channels, in_channels, width_multiplier
        self.encoder_channels, self.decoder_channels = encoder_channels, decoder_channels
        planes = [int(width_multiplier * n) for n in (stem_channels, *encoder_channels, *decoder_channels)]
        self.stem = torch.nn.Sequential(
            *SparseConvBlock(in_channels, planes[0], 3), *SparseConvBlock(planes[0], planes[0], 3)
        )
        self.encoders = torch.nn.ModuleList(
            torch.nn.Sequential(
                SparseConvBlock(planes[k], planes[k], 2, 2),
                SparseResBlock(planes[k], planes[k + 1], 3),
                SparseResBlock(planes[k + 1], planes[k + 1], 3),
            )
            for k in range(4)
        )
        self.decoders = torch.nn.ModuleList(
            torch.nn.ModuleDict(
                {
                    "upsample": SparseConvTransposeBlock(planes[k + 4], planes[k + 5], 2, 2),
                    "fuse": torch.nn.Sequential(
                        SparseResBlock(planes[k + 5] + planes[3 - k], planes[k + 5], 3),
                        SparseResBlock(planes[k + 5], planes[k + 5], 3),
                    ),
                }
            )
            for k in range(4)
        )

    def forward(self, x: SparseTensor) -> list[SparseTensor]:
        """The output of the stem, of every encoder and of every decoder."""
        outputs = [self.stem(x)]
        for encoder in self.encoders:
            outputs.append(encoder(outputs[-1]))
        for level, decoder in enumerate(self.decoders):
            parts: Any = decoder
            finer = outputs[len(self.encoders) - 1 - level]
            outputs.append(parts["fuse"](cat([parts["upsample"](outputs[-1]), finer])))
        return outputs


class SparseResUNet42(SparseResUNet):
    """The UNet of 32 to 256 channels. Arguments: `in_channels` and `width_multiplier` of `SparseResUNet`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(32, [32, 64, 128, 256], [256, 128, 96, 96], **kwargs)
