"""Sites inside a box."""

from __future__ import annotations

from collections.abc import Sequence

from sscn_triton.compat.torchsparse.nn.utils.apply import expect
from sscn_triton.compat.torchsparse.tensor import SparseTensor


def spcrop(
    input: SparseTensor, coords_min: Sequence[int] | None = None, coords_max: Sequence[int] | None = None
) -> SparseTensor:
    """The sites with ``coords_min <= (x, y, z) < coords_max``, three numbers each, in units of the tensor's stride; a
    tensor without spatial range and with a cache of its own."""
    sites = expect(input, "spcrop").coords[:, -3:]
    inside = sites[:, 0] == sites[:, 0]
    for name, bound in (("coords_min", coords_min), ("coords_max", coords_max)):
        if bound is None:
            continue
        if len(bound) != 3:
            raise ValueError(f"{name} must be three numbers, got {bound!r}")
        limit = sites.new_tensor([int(n) for n in bound])
        inside = inside & ((sites >= limit) if name == "coords_min" else (sites < limit)).all(1)
    return SparseTensor(input.feats[inside], input.coords[inside], input.stride)
