"""UResNets on dense images: the control for the sparse network, and the dense network of the 2018 study.

Both read every voxel of the image, including the empty ones. They differ in their layers:

- `matched` is `SparseUResNet` layer by layer with ordinary convolutions: the same parameters in the same order, so that
  the two networks differ only in sparsity.
- `study` is the network that the 2018 study called dense (Dominé and Terao, arXiv:1903.05663; it is defined in
  Temigo/uresnet_pytorch): eighteen times as many parameters, other residual blocks, other widths.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sscn_triton.models.pretrained import Pretrained, check_depth

if TYPE_CHECKING:
    from sscn_triton.models.uresnet import SparseUResNet

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}

Architecture = Literal["matched", "study"]


class DenseUResNet(Pretrained):
    """A UResNet on dense images: [B, in_channels, *S] -> logits [B, num_classes, *S].

    architecture="matched": stem convolution of 3, then `depth` resolutions with widths `filters * (1, 2, .. depth)`; at
    each, `repetitions` pre-activation residual blocks, BN-ReLU-convolution 2/2 down, the levels below,
    BN-ReLU-transposed convolution 2/2 up, concatenation, `repetitions` blocks; finally BN-ReLU and a linear layer. No
    convolution has a bias; batch norm has eps 1e-4 and momentum 0.01. At the defaults 2,741,477 parameters, as in
    `SparseUResNet`. Batch norm counts every voxel here, and only the active ones there.

    architecture="study": stem convolution of 3, then `depth` halvings that double the width each, with `repetitions`
    post-activation residual blocks per stage, transposed convolutions 3/2 up, and finally two convolutions of 3, the
    last one followed by batch norm. Padding repeats the border voxel; convolutions have biases; batch norm uses the
    statistics of the current batch, in evaluation too. At the defaults 50,320,383 parameters, 440,944 of which the
    original never uses: every residual block has a 1x1 shortcut, even if it uses the identity instead. They are
    kept but take part in nothing, so that the count equals the original's. The study predicted a background class in
    addition to the five: use `num_classes=6`.

    Every size in S must be divisible by `2 ** (depth - 1)` (matched) or `2 ** depth` (study).
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 5,
        filters: int = 16,
        depth: int = 5,
        repetitions: int = 2,
        ndim: int = 3,
        architecture: Architecture = "matched",
    ) -> None:
        counts = {"in_channels": in_channels, "num_classes": num_classes, "filters": filters, "depth": depth}
        counts |= {"repetitions": repetitions}
        for name, value in counts.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        check_depth(depth)
        super().__init__(**counts, ndim=ndim, architecture=architecture)
        if ndim not in _CONV:
            raise ValueError(f"ndim must be 1, 2 or 3, got {ndim}")
        if architecture not in ("matched", "study"):
            raise ValueError(f"architecture must be 'matched' or 'study', got {architecture!r}")
        self.ndim, self.in_channels, self.architecture = ndim, in_channels, architecture
        self.divisor = 2 ** (depth - 1 if architecture == "matched" else depth)
        network = _Matched if architecture == "matched" else _Study
        self.network = network(in_channels, num_classes, filters, depth, repetitions, ndim)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, in_channels, *S] -> logits [B, num_classes, *S]."""
        if x.ndim != self.ndim + 2 or x.shape[1] != self.in_channels:
            raise ValueError(f"x must be [B, {self.in_channels}, {self.ndim} sizes], got {list(x.shape)}")
        if any(size % self.divisor for size in x.shape[2:]):
            raise ValueError(f"every image size must be divisible by {self.divisor}, got {list(x.shape[2:])}")
        return self.network(x)

    def load_sparse_weights(self, sparse: SparseUResNet) -> None:
        """Copy weights and running statistics from a `SparseUResNet` with the same arguments.

        On an image whose voxels are all active, both networks then give the same output. Taps are ordered with the last
        axis fastest, so a sparse weight [taps, in, out] is the dense one [out, in, k, k, k] (transposed convolution:
        [in, out, k, k, k]) with its axes moved, none reversed. Raises ValueError if the networks differ in shape.
        """
        if self.architecture != "matched":
            raise ValueError(f"only the 'matched' architecture has a sparse twin, not {self.architecture!r}")
        mine, theirs = _layers(self), _layers(sparse)
        states = [_as_dense(layer, other) for layer, other in zip(mine, theirs, strict=False)]
        if len(mine) != len(theirs) or any(
            _shapes(layer.state_dict()) != _shapes(state) for layer, state in zip(mine, states, strict=True)
        ):
            raise ValueError("the sparse network has different layers: create both with the same arguments")
        for layer, state in zip(mine, states, strict=True):
            layer.load_state_dict(state)


def _shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


def _layers(network: nn.Module) -> list[nn.Module]:
    """The modules that own parameters, in the order of the data flow."""
    return [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]


def _as_dense(dense: nn.Module, sparse: nn.Module) -> dict[str, Tensor]:
    """The sparse layer's state with the axes of the dense layer."""
    state = dict(sparse.state_dict())
    target = getattr(dense, "weight", None)
    if not isinstance(target, Tensor) or target.ndim < 3:
        return state
    kernel, weight = target.shape[2:], state["weight"]
    if weight.ndim == 2:  # a linear layer, [out, in]
        return state | {"weight": weight.reshape(*weight.shape, *(1 for _ in kernel))}
    if weight.shape[0] != kernel.numel():
        return state
    weight = weight.reshape(*kernel, *weight.shape[-2:]).movedim((-2, -1), (0, 1))  # [in, out, *kernel]
    transposed = isinstance(dense, tuple(_TRANSPOSED.values()))
    return state | {"weight": weight if transposed else weight.transpose(0, 1)}


def _norm(ndim: int, channels: int) -> nn.Module:
    return _NORM[ndim](channels, eps=1e-4, momentum=0.01)


def _norm_relu(ndim: int, channels: int) -> tuple[nn.Module, nn.Module]:
    return _norm(ndim, channels), nn.ReLU()


class _MatchedBlock(nn.Module):
    """x -> shortcut(x) + conv(relu(bn(conv(relu(bn(x)))))), the shortcut an identity or, for other widths, 1x1."""

    def __init__(self, ndim: int, inputs: int, outputs: int) -> None:
        super().__init__()
        conv = _CONV[ndim]
        self.shortcut = nn.Identity() if inputs == outputs else conv(inputs, outputs, 1, bias=False)
        self.residual = nn.Sequential(
            *_norm_relu(ndim, inputs),
            conv(inputs, outputs, 3, padding=1, bias=False),
            *_norm_relu(ndim, outputs),
            conv(outputs, outputs, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.residual(x)


class _MatchedLevel(nn.Module):
    """One resolution of width n and, inside it, all coarser ones."""

    def __init__(self, ndim: int, widths: list[int], repetitions: int) -> None:
        super().__init__()
        n = widths[0]
        self.before = nn.Sequential(*(_MatchedBlock(ndim, n, n) for _ in range(repetitions)))
        self.below: nn.Module | None = None
        if len(widths) == 1:
            return
        self.below = nn.Sequential(
            *_norm_relu(ndim, n),
            _CONV[ndim](n, widths[1], 2, stride=2, bias=False),
            _MatchedLevel(ndim, widths[1:], repetitions),
            *_norm_relu(ndim, widths[1]),
            _TRANSPOSED[ndim](widths[1], n, 2, stride=2, bias=False),
        )
        self.after = nn.Sequential(*(_MatchedBlock(ndim, n if i else 2 * n, n) for i in range(repetitions)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        if self.below is None:
            return x
        return self.after(torch.cat([x, self.below(x)], dim=1))


class _Matched(nn.Sequential):
    def __init__(self, inputs: int, classes: int, filters: int, depth: int, repetitions: int, ndim: int) -> None:
        conv = _CONV[ndim]
        super().__init__(
            conv(inputs, filters, 3, padding=1, bias=False),
            _MatchedLevel(ndim, [filters * (i + 1) for i in range(depth)], repetitions),
            *_norm_relu(ndim, filters),
            conv(filters, classes, 1),
        )


class _BorderConv(nn.Module):
    """Convolution by a kernel of 3 on an image whose border voxels are repeated outwards.

    Stride 1 pads one voxel on either side; stride 2, on an even size, one voxel on the far side only.
    """

    def __init__(self, ndim: int, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.padding = (1 if stride == 1 else 0, 1) * ndim
        self.conv = _CONV[ndim](inputs, outputs, 3, stride=stride)
        self.norm = _NORM[ndim](outputs, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(F.pad(x, self.padding, mode="replicate")))


class _StudyBlock(nn.Module):
    """relu(shortcut(x) + two convolutions with batch norm); as in the original, no ReLU between the two."""

    def __init__(self, ndim: int, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.takes_identity = inputs == outputs and stride == 1
        self.shortcut = nn.Sequential(  # unused if the block takes the identity: see DenseUResNet
            _CONV[ndim](inputs, outputs, 1, stride=stride),
            _NORM[ndim](outputs, track_running_stats=False),
        )
        self.residual = nn.Sequential(_BorderConv(ndim, inputs, outputs, stride), _BorderConv(ndim, outputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu((x if self.takes_identity else self.shortcut(x)) + self.residual(x))


def _study_stage(ndim: int, inputs: int, outputs: int, repetitions: int, stride: int = 1) -> nn.Sequential:
    first = _StudyBlock(ndim, inputs, outputs, stride)
    return nn.Sequential(first, *(_StudyBlock(ndim, outputs, outputs) for _ in range(repetitions - 1)))


class _Study(nn.Module):
    def __init__(self, inputs: int, classes: int, filters: int, depth: int, repetitions: int, ndim: int) -> None:
        super().__init__()
        widths = [filters * 2**i for i in range(depth + 1)]
        steps = list(pairwise(widths))
        self.stem = nn.Sequential(_BorderConv(ndim, inputs, filters), nn.ReLU())
        self.down = nn.ModuleList(_study_stage(ndim, n, wide, repetitions, stride=2) for n, wide in steps)
        self.up = nn.ModuleList(self._up(ndim, wide, n) for n, wide in reversed(steps))
        self.merge = nn.ModuleList(_study_stage(ndim, wide, n, repetitions) for n, wide in reversed(steps))
        self.head = nn.Sequential(_BorderConv(ndim, filters, filters), nn.ReLU(), _BorderConv(ndim, filters, classes))

    @staticmethod
    def _up(ndim: int, inputs: int, outputs: int) -> nn.Sequential:
        conv = _TRANSPOSED[ndim](inputs, outputs, 3, stride=2, padding=1, output_padding=1)
        return nn.Sequential(conv, _NORM[ndim](outputs, track_running_stats=False), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        passed = [self.stem(x)]
        for stage in self.down:
            passed.append(stage(passed[-1]))
        x = passed.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([up(x), passed.pop()], dim=1))
        return self.head(x)
