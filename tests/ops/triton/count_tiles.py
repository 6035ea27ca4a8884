"""Count what the forward kernel compiles to with many tiles, for chapter 17:

python -m tests.ops.triton.count_tiles > tutorial/tiles.json
"""

from __future__ import annotations

import itertools
import json
from datetime import datetime, timezone
from typing import Any

import torch
import triton

from sscn_triton.ops.triton import convolution
from sscn_triton.ops.triton.candidates import MOST_SUMS
from tests.ops.triton import compile_kernels

TARGET = "cuda90"
LAYERS = "16>16", "64>64"
NORMS = "16>16", "32>32", "64>64 small"
ROWS, WARPS = (32, 64, 128, 256), (1, 2, 4, 8)


def counted(layer: str, tile: convolution.Tile | None = None, fused: bool = False) -> dict[str, Any]:
    """A bfloat16 layer of `compile_kernels.LAYERS` with a tile, by default the untuned one."""
    _, channels_in, channels_out, rows = compile_kernels.LAYERS[layer]
    x = torch.zeros(rows, channels_in, dtype=torch.bfloat16)
    w = torch.zeros(27, 1, channels_in, channels_out, dtype=torch.bfloat16)
    norm = compile_kernels.a_norm(torch.bfloat16, channels_in) if fused else None
    with compile_kernels.compiling(compile_kernels.TARGETS[TARGET]) as met:
        convolution.convolve(x, w, compile_kernels.rules_of(27, rows, rows), rows, tile=tile, norm=norm)
    (one,) = met
    shape = {name: one.arguments[key] for name, key in (("rows", "ROWS"), ("depth", "DEPTH"), ("width", "WIDTH"))}
    shape |= {"warps": one.arguments["num_warps"], "stages": one.arguments["num_stages"]}
    return {"layer": layer, "normalised": fused, **shape, **compile_kernels.measure(one)}


def tiles(layer: str) -> list[convolution.Tile]:
    """The tiles that `tune` would try for a layer, with the untuned depth, width and stages."""
    default = counted(layer)
    rest = default["depth"], default["width"]
    return [
        convolution.Tile(rows, *rest, warps, default["stages"])
        for rows, warps in itertools.product(ROWS, WARPS)
        if rows * default["width"] <= min(128 * 128, MOST_SUMS * warps)
    ]


if __name__ == "__main__":
    found = [counted(layer, tile) for layer in LAYERS for tile in tiles(layer)]
    norms = [counted(layer, fused=fused) for layer in NORMS for fused in (False, True)]
    about = {"date": datetime.now(timezone.utc).date().isoformat(), "target": TARGET, "triton": triton.__version__}
    print(json.dumps(about | {"tiles": found, "norms": norms}, indent=1))
