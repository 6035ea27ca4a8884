"""Helpers for scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from sscn_triton.common.tensors import save_tensors
from sscn_triton.compat.sparseconvnet.sizes import toLongTensor
from sscn_triton.compat.sparseconvnet.tables import add_feature_planes, concatenate_feature_planes

__all__ = [
    "add_feature_planes",
    "batch_location_tensors",
    "checkpoint_restore",
    "checkpoint_save",
    "concatenate_feature_planes",
    "has_only_one_nonzero_digit",
    "is_power2",
    "is_square",
    "pad_with_batch_idx",
    "prepare_BLInput",
    "toLongTensor",
]


def pad_with_batch_idx(x: Tensor, idx: int) -> Tensor:
    """Coordinates ``[N, D]`` with a batch index as their last column."""
    return torch.nn.functional.pad(x, (0, 1), value=idx)


def batch_location_tensors(location_tensors: Sequence[Tensor]) -> Tensor:
    """Coordinates of events, each ``[N, D]``, as one ``[total, D + 1]`` with the batch index last."""
    if not location_tensors:
        raise ValueError("batch_location_tensors needs at least one event")
    return torch.cat(
        [pad_with_batch_idx(x, event) for event, x in enumerate(location_tensors) if x.ndim > 1 or len(x)], 0
    )


def prepare_BLInput(batch: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Events, each coordinates ``[N, D]`` and features ``[N, C]``, as the pair that a `BLInputLayer` takes.

    Shorter events are padded with coordinates of -1 and features of 0.
    """
    if not batch:
        raise ValueError("prepare_BLInput needs at least one event")
    length = max(len(locations) for locations, _ in batch)
    with torch.no_grad():
        filled = [
            (_filled(locations.long(), length, -1), _filled(features.float(), length, 0))
            for locations, features in batch
        ]
    return [torch.stack(part) for part in zip(*filled, strict=True)]


def _filled(rows: Tensor, length: int, value: int) -> Tensor:
    return torch.nn.functional.pad(rows, (0, 0, 0, length - len(rows)), value=value)


def is_power2(num: int) -> bool:
    """Whether a number is 1, 2, 4, 8, ..."""
    return num > 0 and num & (num - 1) == 0


def is_square(num: float) -> bool:
    """Whether a number is 0, 1, 4, 9, ..."""
    return int(num**0.5 + 0.5) ** 2 == num


def has_only_one_nonzero_digit(num: int) -> bool:
    """Whether a number is 1 to 9, 10, 20, ... 90, 100, ..."""
    return num > 0 and (num / 10 ** math.floor(math.log10(num))).is_integer()


def _checkpoint(exp_name: str, name2: str, epoch: int) -> Path:
    return Path(f"{exp_name}-{epoch:09d}-{name2}.pth")


def checkpoint_save(model: torch.nn.Module, exp_name: str, name2: str, epoch: int, use_cuda: bool = True) -> None:
    """Write the parameters to ``<exp_name>-<epoch>-<name2>.pth``; remove the last epoch's unless it is a power of 2.

    With ``use_cuda`` the model is on the GPU afterwards, otherwise on the CPU.
    """
    path = _checkpoint(exp_name, name2, epoch)
    model.cpu()
    save_tensors(model.state_dict(), path, overwrite=True)
    if use_cuda:
        model.cuda()
    if not is_power2(epoch - 1):
        _checkpoint(exp_name, name2, epoch - 1).unlink(missing_ok=True)


def checkpoint_restore(model: torch.nn.Module, exp_name: str, name2: str, use_cuda: bool = True, epoch: int = 0) -> int:
    """Load the parameters of an epoch, by default the latest; return the number of the next epoch.

    If there is no checkpoint at all, the model does not change, and the next epoch is 1.

    Raises FileNotFoundError if the given epoch was not kept.
    """
    if use_cuda:
        model.cpu()
    path = _checkpoint(exp_name, name2, epoch)
    if epoch == 0:
        saved = sorted(path.parent.glob(f"{Path(exp_name).name}-{'[0-9]' * 9}-{name2}.pth"))
        path = saved[-1] if saved else path
        epoch = int(path.name[len(Path(exp_name).name) + 1 :][:9]) if saved else 0
    if epoch:
        print(f"Restore from {path}")
        model.load_state_dict(torch.load(path, map_location="cpu"))
    if use_cuda:
        model.cuda()
    return epoch + 1
