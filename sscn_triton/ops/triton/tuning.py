"""Tiles that were measured to be fast, kept across processes.

A kernel's launcher calls `tile_for` before it falls back to the untuned tile. The result depends on taps, groups,
channels, precision and a coarse size, never on the exact number of rows. Tiles come from the package (`tuned/*.json`)
and from a file in the user's cache, which `tune` writes and which takes precedence. The names of both files contain
the device and the versions of Triton and this library, so another version starts without tiles.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from sscn_triton.common.files import Lock, write_whole
from sscn_triton.ops.precision import float32_precision
from sscn_triton.ops.rules import Rules

SHIPPED = Path(__file__).with_name("tuned")
Numbers = tuple[int, ...]


class Key(NamedTuple):
    """What a tile is chosen by.

    The kernel is "convolution" or "weight_gradient", with "fused_" before it where rows are normalised on their way.
    Channels are those of a group; ``precision`` is float16, bfloat16, or how products of float32 are taken.
    """

    kernel: str
    taps: int
    groups: int
    channels_in: int
    channels_out: int
    precision: str
    bucket: int

    def __str__(self) -> str:
        return " ".join(map(str, self))


class Call(NamedTuple):
    """What is needed to repeat a call: its rulebook, and its numbers of input and output rows."""

    rules: Rules
    input_count: int
    output_count: int
    dtype: torch.dtype


def bucket(rows: int) -> int:
    """A coarse size: 0 up to 4096 rows, one more for every fourfold."""
    return max(0, (max(rows - 1, 1).bit_length() - 11) // 2)


_tables: dict[torch.device, dict[Key, Numbers]] = {}
_met: dict[Key, Call] | None = None


def tile_for(kernel: str, like: Tensor, rules: Rules, counts: tuple[int, int], shape: Sequence[int]) -> Numbers | None:
    """The tile that was measured to be fast for a kernel, or None.

    ``like`` has the type and the device of the products, ``counts`` are the numbers of input and output rows of the
    rules, and ``shape`` is that of the weight, ``[V, groups, in, out]``.
    """
    table = _tables.get(like.device)
    if table is None:
        table = _tables[like.device] = load(like.device)
    if not table and _met is None:
        return None
    taps, groups, width_in, width_out = shape
    size = bucket(counts[1] if kernel.endswith("convolution") else rules.input_rows.shape[0])
    key = Key(kernel, taps, groups, width_in, width_out, product_precision(like), size)
    if _met is not None and key not in _met:
        _met[key] = Call(rules, *counts, like.dtype)
    return table.get(key)


def product_precision(like: Tensor) -> str:
    """The precision of products of a tensor: its type or, for float32, PyTorch's setting."""
    return float32_precision() if like.dtype == torch.float32 else str(like.dtype)[6:]


@contextlib.contextmanager
def meeting() -> Iterator[dict[Key, Call]]:
    """Record one call of each key inside the context."""
    global _met
    _met = {}
    try:
        yield _met
    finally:
        _met = None


def device_name(device: torch.device) -> str:
    """The device's name, as a part of a file name."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "interpreter"
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


def file_name(device: torch.device) -> str:
    """The name of the file with a device's tiles; it contains the versions of Triton and this library."""
    from sscn_triton import __version__

    return f"{device_name(device)}-triton-{triton.__version__}-sscn-{__version__}.json"


def cache_folder() -> Path:
    """The folder of this user's tiles. Raises FileNotFoundError for a user without a home directory."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sscn" / "tiles"
    except RuntimeError as error:
        raise FileNotFoundError("this user has no home folder; XDG_CACHE_HOME can name another place") from error


def load(device: torch.device) -> dict[Key, Numbers]:
    """The tiles known for a device: the package's, overridden by the user's."""
    name = file_name(device)
    tiles = read(SHIPPED / name)
    with contextlib.suppress(FileNotFoundError):
        tiles |= read(cache_folder() / name)
    return tiles


def use(device: torch.device, found: dict[Key, Numbers]) -> None:
    """Use tiles for a device until this process ends; they override the known ones."""
    _tables[device] = {**load(device), **found}


def read(path: Path) -> dict[Key, Numbers]:
    """The tiles in a file; warns and returns none if the file is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return {}
    try:
        return {_key(name): _numbers(tile) for name, tile in json.loads(text)["tiles"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        warnings.warn(f"{path} holds no tiles and is left aside: {error}", stacklevel=2)
        return {}


def _key(name: str) -> Key:
    kernel, taps, groups, channels_in, channels_out, precision, size = name.split()
    return Key(kernel, int(taps), int(groups), int(channels_in), int(channels_out), precision, int(size))


def _numbers(tile: Any) -> Numbers:
    if not isinstance(tile, list) or len(tile) != 5 or not all(type(n) is int and n > 0 for n in tile):
        raise ValueError(f"{tile} is no tile of five positive integers")
    return tuple(tile)


def keep(device: torch.device, found: dict[Key, Numbers]) -> Path:
    """Add tiles to the user's file. The file is complete at every moment, and concurrent processes lose no tiles."""
    path = cache_folder() / file_name(device)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Lock(path.with_suffix(".lock"), path, wait=True):
        tiles = {**read(path), **found}
        record = {"tiles": {str(key): list(tile) for key, tile in sorted(tiles.items())}}
        write_whole(path, json.dumps(record, indent=1) + "\n", overwrite=True)
    _tables[device] = load(device)
    return path
