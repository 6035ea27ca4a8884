"""Convert rows of coordinates and features to sites, and back to rows in the input's order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sscn_triton import SparseTensor
from sscn_triton.compat.sparseconvnet.metadata import InputRows, Metadata
from sscn_triton.compat.sparseconvnet.sizes import Size, axes, toLongTensor
from sscn_triton.compat.sparseconvnet.tensor import SparseConvNetTensor, sparse
from sscn_triton.core import rulebook

# How points that share a site are treated, by mode. Modes 1 and 2 are swapped between the two layers, and InputLayer's
# documentation promises the behaviour that only BLInputLayer has.
INPUT_MODES = ("error", "first", "last", "sum", "mean")
BL_INPUT_MODES = ("error", "last", "first", "sum", "mean")


class _Input(torch.nn.Module):
    def __init__(self, dimension: int, spatial_size: Size, mode: int = 3) -> None:
        super().__init__()
        self.dimension = Metadata(dimension).dimension
        self.spatial_size = toLongTensor(dimension, spatial_size)
        if mode not in range(5):
            raise ValueError(f"mode must be 0 (no duplicates), 1, 2, 3 (sum) or 4 (average), got {mode!r}")
        self.mode = mode
        self.device: Any = None

    def to(self, device: Any) -> _Input:  # type: ignore[override]
        """Move features to this device before anything else."""
        self.device = device
        return self

    def _sites(
        self, sites: Tensor, features: Tensor, kept: Tensor, shape: tuple[int, ...], how: str, batch: int
    ) -> SparseConvNetTensor:
        """The tensor of the rows ``kept`` of an input of ``shape``; ``sites`` are those of these rows, batch first."""
        x = SparseTensor.from_points(features, sites, axes(self.spatial_size), batch, how)
        metadata = Metadata(self.dimension)
        metadata.add(x.grid)
        metadata.input = InputRows(shape, *_rows_of_sites(sites, kept, x, how))
        return SparseConvNetTensor(x.features, metadata, self.spatial_size.clone())

    def input_spatial_size(self, out_size: Tensor) -> Tensor:
        """The size itself."""
        return out_size


class InputLayer(_Input):
    """``(coords, features)`` or ``(coords, features, batch_size)`` to a tensor.

    ``coords`` is ``[N, dimension]`` for one event, or ``[N, dimension + 1]`` with the batch index last; numbers of any
    type, truncated to integers. ``features`` is ``[N, C]``. ``batch_size`` is the least number of events.

    Args:
        dimension: number of spatial axes.
        spatial_size: extent, one number or one per axis.
        mode: points that share a site: 0 refuses them, 1 keeps the first, 2 the last, 3 adds, 4 averages.
    """

    def forward(self, input: Any) -> SparseConvNetTensor:
        if len(input) not in (2, 3):
            raise ValueError(
                f"input must be (coords, features) or (coords, features, batch_size), got {len(input)} items"
            )
        features = input[1] if self.device is None else input[1].to(self.device)
        coords = input[0].long().to(features.device)
        if coords.ndim != 2 or coords.shape[1] not in (self.dimension, self.dimension + 1):
            raise ValueError(
                f"coords must be [N, {self.dimension}] or, with the batch index last, [N, {self.dimension + 1}], "
                f"got shape {tuple(coords.shape)}"
            )
        if coords.shape[1] == self.dimension:
            coords = torch.nn.functional.pad(coords, (0, 1))
            least = 1
        else:
            least = 0
        events = int(coords[:, -1].max()) + 1 if len(coords) else 0
        batch = max(least, events, int(input[2]) if len(input) == 3 else 0)
        rows = torch.arange(len(coords), device=coords.device)
        return self._sites(coords.roll(1, 1), features, rows, (len(coords),), INPUT_MODES[self.mode], batch)


class BLInputLayer(_Input):
    """``(coords, features)``, ``[batch, length, dimension]`` and ``[batch, length, C]``, to a tensor.

    A coordinate of -1 marks absent rows; `prepare_BLInput` makes such a pair.

    Args:
        dimension, spatial_size: as in `InputLayer`.
        mode: points that share a site: 0 refuses them, and absent rows; 1 keeps the last, 2 the first, 3
            adds, 4 averages. Modes 1 and 2 are swapped in `InputLayer`.
    """

    def forward(self, input: Any) -> SparseConvNetTensor:
        if len(input) != 2:
            raise ValueError(f"input must be (coords, features), got {len(input)} items")
        features = input[1] if self.device is None else input[1].to(self.device)
        coords = input[0].long().to(features.device)
        if (
            coords.ndim != 3
            or coords.shape[2] != self.dimension
            or features.ndim != 3
            or coords.shape[:2] != features.shape[:2]
        ):
            raise ValueError(
                f"coords must be [batch, length, {self.dimension}] and features [batch, length, C], "
                f"got shapes {tuple(coords.shape)} and {tuple(features.shape)}"
            )
        batch, length = coords.shape[:2]
        events = torch.arange(batch, device=coords.device)[:, None, None].expand(batch, length, 1)
        sites = torch.cat([events, coords], 2).flatten(0, 1)
        there = torch.ones_like(sites[:, 1], dtype=torch.bool) if self.mode == 0 else sites[:, 1] >= 0
        kept = there.nonzero()[:, 0]
        rows = features.flatten(0, 1)[kept]
        return self._sites(sites[kept], rows, kept, (batch, length), BL_INPUT_MODES[self.mode], batch)


class OutputLayer(torch.nn.Module):
    """Features ``[N, C]`` in the order of the rows given to the `InputLayer`.

    In modes 3 and 4 every row gets the features of its site; in modes 1 and 2 only the kept row does, others get zeros.
    """

    given = 1

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = Metadata(dimension).dimension

    def forward(self, input: SparseConvNetTensor) -> Tensor:
        x = sparse(self, input)
        known = input.metadata.input
        if known is None or len(known.shape) != self.given or not self._at_input(input):
            raise ValueError(
                f"{type(self).__name__} takes a tensor on the sites of the {'BL' * (self.given - 1)}InputLayer "
                "at the start of its network"
            )
        total = torch.Size(known.shape).numel()
        features = x.features
        rows, sites = known.rows.to(features.device), known.sites.to(features.device)
        output = features.new_zeros(total, features.shape[1]).index_copy(0, rows, features.index_select(0, sites))
        return output.reshape(*known.shape, features.shape[1])

    def _at_input(self, input: SparseConvNetTensor) -> bool:
        return axes(input.spatial_size) == next(iter(input.metadata.sizes()))

    def input_spatial_size(self, out_size: Tensor) -> Tensor:
        """The size itself."""
        return out_size


class BLOutputLayer(OutputLayer):
    """Features ``[batch, length, C]`` in the places of the rows given to the `BLInputLayer`, zeros at absent rows."""

    given = 2


class InputLayerInput:
    """Coordinates and features as one object for a data loader."""

    def __init__(self, coords: Tensor, features: Tensor) -> None:
        self.x = [coords, features]

    def __getitem__(self, n: int) -> Tensor:
        return self.x[n]

    def __len__(self) -> int:
        return 2

    def cuda(self) -> InputLayerInput:
        """Move the features to the GPU, in place."""
        self.x[1] = self.x[1].cuda()
        return self


def _rows_of_sites(sites: Tensor, kept: Tensor, x: SparseTensor, how: str) -> tuple[Tensor, Tensor]:
    """(rows, sites): which of the rows ``kept`` get the features of which site."""
    first, site = rulebook.unique(sites.int().contiguous())
    if how in ("error", "sum", "mean"):
        return kept, site
    numbers = torch.arange(len(x), device=site.device)
    if how == "first":
        return kept[first], numbers
    last = torch.zeros_like(first).scatter_reduce(0, site, torch.arange(len(site), device=site.device), "amax")
    return kept[last], numbers
