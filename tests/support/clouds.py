"""Small random sparse tensors for the library's tests."""

from __future__ import annotations

import torch

from sscn_triton import SparseTensor


def random_sites(count: int, ndim: int = 3, size: int = 8, batch_size: int = 2, seed: int = 0) -> torch.Tensor:
    """``count`` distinct sites ``[count, 1 + ndim]`` in random order, batch first, inside a cube of ``size``."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch_size, *[size] * ndim)
    chosen = torch.randperm(torch.Size(shape).numel(), generator=generator)[:count]
    return torch.stack(torch.unravel_index(chosen, shape), 1)


def random_cloud(
    count: int,
    channels: int = 3,
    ndim: int = 3,
    size: int = 8,
    batch_size: int = 2,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> SparseTensor:
    """A sparse tensor of normal features on `random_sites`."""
    generator = torch.Generator().manual_seed(seed + 1)
    features = torch.randn(count, channels, generator=generator, dtype=torch.float64).to(dtype)
    return SparseTensor(features, random_sites(count, ndim, size, batch_size, seed), size, batch_size)
