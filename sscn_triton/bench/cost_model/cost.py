"""The minimum cost of a pass: bytes, gathered rows and products of every operator, counted while it runs.

The floor of an operator is the longest of three times:

    memory    each argument and result once, including tables of the rulebook / bandwidth of the memory
    gather    a row of channels for every rule / rate of the common cache
    products  2 x rows x input channels x output channels, over tiles of TILE rows with every tap that any of their rows
              has, channels padded to a matrix instruction / rate of the matrix units

The model counts operators as they run, so it does not count what a fused operator does not write. A pass that is bound
by the host's launches takes longer than any floor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sscn_triton.bench.cost_model.devices import Device
from sscn_triton.ops.fused import empty_gradients
from sscn_triton.ops.rules import as_rules, read_backwards

TILE, STEP, UNIT, WORD = 64, 16, 16, 63
"""The Triton engine's rows per tile, channels per matrix instruction, rows that share a mask, and taps per word of a
mask."""


@dataclass(frozen=True)
class Work:
    """The work of an operator.

    Attributes:
        memory: bytes of all its arguments and results.
        gathered: bytes of the rows that its rules name.
        products: floating-point operations on matrix units, including padding.
        useful: floating-point operations without padding.
        rules: number of rules that it applies.
    """

    memory: int = 0
    gathered: int = 0
    products: int = 0
    useful: int = 0
    rules: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(*(a + b for a, b in zip(_numbers(self), _numbers(other), strict=True)))

    def seconds(self, device: Device, precision: str) -> dict[str, float]:
        """The three times on a device; ``precision`` is bf16, tf32 or fp32."""
        return {
            "memory": self.memory / device.bandwidth,
            "gather": self.gathered / device.gather,
            "products": self.products / device.matrix[precision],
        }

    def floor(self, device: Device, precision: str) -> float:
        """The longest of the three, in seconds."""
        return max(self.seconds(device, precision).values())


def _numbers(work: Work) -> tuple[int, ...]:
    return work.memory, work.gathered, work.products, work.useful, work.rules


@dataclass(frozen=True)
class Operation:
    """One operator that ran: its name, what distinguishes it from others with this name, and its work."""

    name: str
    shape: str
    work: Work


def tile_taps(output_rows: Tensor, spans: Tensor, count: int, tile: int = TILE) -> int:
    """Active taps summed over tiles of ``tile`` positions, with rows in the order of `sscn_triton.ops.triton.layout`.

    ``output_rows`` ``[R]`` are sorted by tap, those of tap v at ``spans[v, 0]:spans[v, 1]``; ``count`` is the total
    number of rows.
    """
    taps = spans.shape[0]
    masks = torch.zeros(-(-taps // WORD), count, dtype=torch.int64, device=output_rows.device)
    for tap, (start, stop) in enumerate(spans.tolist()):
        masks[tap // WORD, output_rows[start:stop].long()] |= 1 << tap % WORD
    rank = masks[len(masks) // 2].clone()
    for power in range(6):
        rank ^= rank >> (1 << power)
    ranked = masks[:, torch.sort(rank, stable=True).indices]
    tiles = torch.nn.functional.pad(ranked, (0, -count % tile)).view(len(masks), -1, tile)
    return sum(int((tiles >> bit & 1).amax(2).sum()) for bit in range(min(WORD, taps)))


def table_bytes(taps: int, rows: int) -> int:
    """Bytes of one reading of a rulebook: its table, order and masks."""
    return 4 * taps * rows + 4 * rows + 8 * -(-taps // WORD) * -(-rows // UNIT)


def _padded(channels: int) -> int:
    """The number of channels that are multiplied. Very few are not padded, because the kernels take them one by one."""
    return channels if channels <= 4 else -(-channels // STEP) * STEP


def _convolution(features: Tensor, weight: Tensor, rules: Sequence[Tensor], output_count: int) -> Work:
    taps, groups, width_in, width_out = weight.shape
    kept = as_rules(rules)
    count = kept.input_rows.shape[0]
    size = features.element_size()
    rows = tile_taps(kept.output_rows, kept.spans, output_count) * TILE
    padded = rows * _padded(width_in) * _padded(width_out) * groups
    return Work(
        size * (features.numel() + output_count * groups * width_out)
        + weight.element_size() * weight.numel()
        + table_bytes(taps, output_count),
        size * count * groups * width_in,
        2 * padded,
        2 * count * groups * width_in * width_out,
        count,
    )


def _weight_gradient(features: Tensor, gradient: Tensor, rules: Sequence[Tensor], groups: int) -> Work:
    kept = as_rules(rules)
    spans, count = kept.spans, kept.input_rows.shape[0]
    width_in, width_out = features.shape[1] // groups, gradient.shape[1] // groups
    rows = int((-((spans[:, 0] - spans[:, 1]) // TILE)).sum()) * TILE
    weight = spans.shape[0] * groups * width_in * width_out
    size = features.element_size()
    return Work(
        size * (features.numel() + gradient.numel()) + 4 * weight + 8 * count + 16 * spans.shape[0],
        size * count * groups * (width_in + width_out),
        2 * rows * groups * _padded(width_in) * _padded(width_out),
        2 * count * groups * width_in * width_out,
        count,
    )


def _zeros(name: str, args: Any) -> Any:
    """Zeros in the shape of the result of an operator that applies rules."""
    if name == BACKWARD:
        return tuple(map(torch.zeros_like, empty_gradients(*args)))
    features, other, rules, size = args[:4]
    if name in GRADIENTS:
        shape = len(as_rules(rules).spans), size, features.shape[1] // size, other.shape[1] // size
        return other.new_zeros(shape, dtype=args[4] if len(args) > 4 else None)
    kind = features.dtype if name == "convolution" else args[14] if len(args) > 14 else other.dtype
    y = other.new_zeros(size, other.shape[1] * other.shape[3], dtype=kind)
    if name == "convolution":
        return y
    from sscn_triton.ops.checks import moments_size

    wide = torch.float64 if y.dtype == torch.float64 else torch.float32
    line = y.new_zeros(moments_size(*y.shape) if args[13] else 0, dtype=wide)
    line[:1] = 1 << size.bit_length()  # all rows in one tile
    return y, line


CONVOLUTIONS = ("convolution", "fused_convolution", "norm_input_gradient")
GRADIENTS = ("weight_gradient", "norm_weight_gradient")
BACKWARD = "fused_gradients"
"""The library's operators that apply rules. The last is counted as the parts that it runs one after the other, two of
them named above."""


def _parts(args: Any, results: Any) -> list[tuple[str, tuple[Any, ...], tuple[Tensor, ...]]]:
    """Name, arguments and results of each part of an operator `BACKWARD`."""
    gradient, features, weight, rules, *norm = args
    by_features, by_weight, by_norm = norm[-3:]
    terms, rising = norm[:4], torch.empty_like(features, dtype=gradient.dtype, device="meta")
    parts: list[Any] = []
    if by_weight:
        parts.append(("norm_weight_gradient", (features, gradient, rules, weight.shape[1], *terms), results[1:2]))
    if by_features or by_norm:
        backwards = weight.transpose(2, 3), read_backwards(rules), len(features)
        parts.append(("norm_input_gradient", (gradient, *backwards, features, *terms), (rising, results[2])))
    if by_features:
        parts.append(("slope", (rising, features, *terms[:3], results[2]), results[:1]))
    return parts


class Counter(TorchDispatchMode):
    """Records every operator that moves data in ``operations``; operators that only make views are not recorded.

    ``dry``: convolutions and their weight gradients are counted but not computed; they return zeros.
    """

    def __init__(self, dry: bool = False) -> None:
        super().__init__()
        self.dry, self.operations = dry, list[Operation]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        space, name = func._schema.name.split("::")
        ruled = space == "sscn" and name in (*CONVOLUTIONS, *GRADIENTS, BACKWARD)
        results = _zeros(name, args) if ruled and self.dry else func(*args, **(kwargs or {}))
        if ruled and name == BACKWARD:
            for part, given, made in _parts(args, results):
                self._note(part, part != "slope", (given, None), made)
        elif not func.is_view and not name.startswith(("empty", "detach")):
            self._note(name, ruled, (args, kwargs), results)
        return results

    def _note(self, name: str, ruled: bool, given: Any, results: Any) -> None:
        taken, made = ([leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)] for tree in (given, results))
        if ruled:
            args = given[0]
            work = (_convolution if name in CONVOLUTIONS else _weight_gradient)(*args[:4])
            beside = [leaf for leaf in (*args[4:], *made[1:]) if isinstance(leaf, Tensor)]
            work += Work(sum(leaf.numel() * leaf.element_size() for leaf in beside))
            taps, ends = (
                len(args[2][2]),
                (args[1].shape[2:] if name in CONVOLUTIONS else (args[0].shape[1], args[1].shape[1])),
            )
            what = f"{taps} taps, {ends[0]} {'>' if name in CONVOLUTIONS else 'x'} {ends[1]}; "
        else:
            work, what = _generic(name, [*taken, *made]), ""
        if work.memory:
            shape = "x".join(str(n) for n in made[0].shape) if made else ""
            self.operations.append(Operation(name, what + shape, work))


def _generic(name: str, tensors: list[Tensor]) -> Work:
    memory = sum({(t.data_ptr(), t.numel()): t.numel() * t.element_size() for t in tensors}.values())
    if name not in ("mm", "addmm"):
        return Work(memory)
    a, b = tensors[-3:-1]
    products = 2 * a.shape[0] * a.shape[1] * b.shape[1]
    padded = 2 * a.shape[0] * _padded(a.shape[1]) * _padded(b.shape[1])
    return Work(memory, 0, padded, products)


def count_work(run: Callable[[], Any], dry: bool = False) -> list[Operation]:
    """Every operator that ``run`` calls, in order, including gradients; build the rulebooks before.

    ``dry``: see `Counter`.
    """
    with Counter(dry) as counter:
        run()
    return counter.operations


def total(operations: Sequence[Operation]) -> Work:
    """The total work of the operations."""
    return sum((operation.work for operation in operations), Work())


def floor(operations: Sequence[Operation], device: Device, precision: str) -> float:
    """The sum of the operations' floors, in seconds."""
    return sum(operation.work.floor(device, precision) for operation in operations)
