"""The public benchmark's encoder has its size and shape."""

from __future__ import annotations

import pytest
import torch

from sscn_triton import SparseTensor
from sscn_triton.models import SparseEncoder
from tests.support.cases import block


@pytest.mark.parametrize(("channels", "blocks", "millions"), [(16, 1, 1.5), (32, 2, 10.6), (64, 3, 61.1)])
def test_small_medium_and_large_have_the_published_numbers_of_parameters(
    channels: int, blocks: int, millions: float
) -> None:
    with torch.device("meta"):
        network = SparseEncoder(channels, blocks)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == millions


def test_three_halvings_reach_the_output_and_every_parameter_has_a_gradient() -> None:
    torch.manual_seed(0)
    sites = torch.from_numpy(block(16, 16, 16, batches=2)[::7])
    x = SparseTensor(torch.randn(len(sites), 1), sites, spatial_shape=16)
    network = SparseEncoder(4, 2)
    y = network(x)
    assert y.features.shape == (len(y), 32)
    assert y.spatial_shape == (2, 2, 2)
    assert (y.features >= 0).all()
    y.features.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert sum(int((p.grad != 0).any()) for p in network.parameters() if p.grad is not None) > 30


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"channels must be at least 1 and at most .*, got 0"):
        SparseEncoder(0)
    with pytest.raises(TypeError, match="blocks must be an integer"):
        SparseEncoder(16, 1.5)  # type: ignore[arg-type]
