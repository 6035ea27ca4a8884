"""One row per event."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton.compat.minkowski.events import reduced
from sscn_triton.compat.torchsparse.nn.utils.apply import expect_events
from sscn_triton.compat.torchsparse.tensor import SparseTensor


def global_avg_pool(inputs: SparseTensor) -> Tensor:
    """``[B, C]``: the mean over the sites of each event, NaN for an event without sites before the last one."""
    x = expect_events(inputs, "global_avg_pool")
    means, events = reduced(x.feats, x.coords[:, 0].long(), "mean")
    count = int(events[-1]) + 1 if len(events) else 0
    return means.new_full((count, means.shape[1]), torch.nan).index_copy(0, events, means)


def global_max_pool(inputs: SparseTensor) -> Tensor:
    """``[B, C]``: the largest value over the sites of each event. Raises ValueError if an event before the last one has
    no sites."""
    x = expect_events(inputs, "global_max_pool")
    largest, events = reduced(x.feats, x.coords[:, 0].long(), "max")
    if len(events) and int(events[-1]) + 1 != len(events):
        raise ValueError(f"only events {events.tolist()} have sites: a maximum needs at least one")
    return largest
