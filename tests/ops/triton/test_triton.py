"""The Triton kernels, interpreted on the CPU: every type, sizes on both sides of tile edges, every shape of tile."""

from __future__ import annotations

from collections.abc import Sequence
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sscn_triton.core import rulebook
from sscn_triton.ops.convolution import convolution
from sscn_triton.ops.events import largest_of_events, sort_events, sum_events
from sscn_triton.ops.norm import Norm
from sscn_triton.ops.pooling import pool_max, pool_return, pool_sum, pool_take
from sscn_triton.ops.triton import convolution as forward
from sscn_triton.ops.triton import events as reductions
from sscn_triton.ops.triton import launch, statistics
from sscn_triton.ops.triton import weight_gradient as backward
from sscn_triton.ops.triton.interpreted import interpreted
from tests.conftest import FEWER
from tests.support.cases import NAMED, Case, block
from tests.support.engines import ENGINES
from tests.support.strategies import cases, values

TYPES = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3, torch.float64: 1e-14}
every_type = pytest.mark.parametrize("dtype", TYPES, ids=str)
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are compiled here, not interpreted")


def relative_error(mine: Tensor, right: Tensor) -> float:
    """Root mean square of the difference divided by that of the right answer; 0 for empty arrays."""
    assert mine.shape == right.shape
    scale = right.norm()
    return float((mine.double() - right).norm() / scale) if scale > 0 else float(mine.double().norm())


def check(rules: Sequence[Tensor], inputs: int, outputs: int, shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    """Compare forward pass and both gradients of a layer with PyTorch's float64 on the same rounded numbers, rule by
    rule."""
    groups, width_in, width_out = shape
    taps = rules[2].shape[0]
    x, w, g = (
        torch.tensor(values(seed, *size)).to(dtype)
        for seed, size in enumerate(
            [(inputs, groups * width_in), (taps, groups, width_in, width_out), (outputs, groups * width_out)]
        )
    )
    with interpreted():
        leaves = x.clone().requires_grad_(), w.clone().requires_grad_()
        y = convolution(*leaves, rules, outputs)
        found = y.detach(), *torch.autograd.grad(y, leaves, g)
    right = y64, *_ = by_rule(rules, x.double(), w.double(), g.double())
    assert y.dtype == dtype
    assert y64.shape == y.shape
    errors = [relative_error(mine, theirs) for mine, theirs in zip(found, right, strict=True)]
    assert max(errors) < TYPES[dtype], f"forward, input gradient, weight gradient are off by {errors}"


def by_rule(rules: Sequence[Tensor], x: Tensor, w: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The definition, tap by tap."""
    groups, width_in, width_out = w.shape[1:]
    y, dx, dw = torch.zeros_like(g), torch.zeros_like(x), torch.zeros_like(w)
    for tap, (start, stop) in enumerate(rules[2].tolist()):
        i, o = rules[0][start:stop].long(), rules[1][start:stop].long()
        x_tap, g_tap = x[i].view(-1, groups, width_in), g[o].view(-1, groups, width_out)
        y[o] += torch.einsum("rgi,gio->rgo", x_tap, w[tap]).flatten(1)
        dx[i] += torch.einsum("rgo,gio->rgi", g_tap, w[tap]).flatten(1)
        dw[tap] = torch.einsum("rgi,rgo->gio", x_tap, g_tap)
    return y, dx, dw


def built(case: Case, engine: str = "triton") -> tuple[list[Tensor], int, int]:
    """The rules of a case, and the numbers of input and output rows."""
    book, _, _ = ENGINES[engine].rulebook(case)
    return book.rules, book.input_count, book.output_count


def submanifold(sites: np.ndarray, kernel: int = 3) -> rulebook.Rulebook:
    with interpreted():
        ndim = sites.shape[1] - 1
        return rulebook.submanifold(torch.from_numpy(sites), (kernel,) * ndim, (1,) * ndim)


def test_the_interpreter_replaces_the_language_once() -> None:
    """Otherwise these tests take about twice as long; see `tests.support.interpreter`."""
    submanifold(block(2, 2))
    with mock.patch("triton.runtime.interpreter._patch_builtin") as again:
        submanifold(block(2, 2))
    again.assert_not_called()


@every_type
@pytest.mark.parametrize("name", ["submanifold-line", "strided-overlap", "inverse-gaps", "transposed-block"])
def test_chosen_cases_are_right_in_every_type(name: str, dtype: torch.dtype) -> None:
    check(*built(NAMED[name]), (2, 3, 5), dtype)


USUAL = settings.default.max_examples
drawn: list[int] = []


@pytest.mark.interpreted
@given(number=st.integers())
def test_hypothesis_draws_fewer_cases_for_interpreted_kernels(number: int) -> None:
    drawn.append(number)
    assert len(drawn) <= USUAL // FEWER


@pytest.mark.interpreted
@given(
    case=cases(at_most=10),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    groups=st.sampled_from([1, 1, 2, 5]),
    widths=st.tuples(*[st.sampled_from([1, 2, 5, 16, 20])] * 2),
)
def test_drawn_cases_are_right(case: Case, dtype: torch.dtype, groups: int, widths: tuple[int, int]) -> None:
    check(*built(case), (groups, *widths), dtype)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 255, 256, 257])
@pytest.mark.parametrize("apart", [1, 3], ids=["all-active", "all-isolated"])
def test_sizes_on_both_sides_of_a_tile_are_right(count: int, apart: int) -> None:
    sites = block(7, 7, 6)[:count]
    sites[:, 1:] *= apart
    book = submanifold(sites)
    if apart > 1:
        assert book.rule_count == count
    check(book.rules, count, count, (1, 16, 16), torch.float32)


@pytest.mark.parametrize(("kernel", "extent"), [(3, (3, 3, 3, 3)), (13, (5, 5))], ids=["two words", "three words"])
def test_masks_of_more_than_one_word_are_right(kernel: int, extent: tuple[int, ...]) -> None:
    sites = np.random.default_rng(0).permutation(block(*extent))[:40]
    check(submanifold(sites, kernel).rules, len(sites), len(sites), (1, 4, 6), torch.float32)


PLANE = block(8, 10)
"""80 sites, of which the last tile of 32 or 64 is not full; 9 taps, so that tiles have a third of the steps of 27."""

TILES = [forward.Tile(rows, depth, width, 4, 3) for rows, depth, width in [(16, 16, 16), (64, 32, 64), (128, 64, 128)]]


@pytest.mark.parametrize("tile", TILES, ids=str)
@pytest.mark.parametrize("shape", [(1, 40, 70), (2, 1, 16), (3, 17, 1), (6, 1, 2)], ids=str)
def test_every_shape_of_a_tile_gives_the_same(tile: forward.Tile, shape: tuple[int, int, int]) -> None:
    book, (groups, width_in, width_out) = submanifold(PLANE), shape
    x, w = torch.tensor(values(0, 80, groups * width_in)).float(), torch.tensor(values(1, 9, *shape)).float()
    bias = torch.tensor(values(2, groups * width_out)).float()
    y, _, _ = by_rule(book.rules, x.double(), w.double(), x.new_zeros(80, groups * width_out).double())
    assert relative_error(forward.convolve(x, w, book.rules, 80, bias, tile), y + bias) < 1e-6


@pytest.mark.parametrize("shape", [(1, 20, 70), (3, 17, 20), (6, 1, 5)], ids=str)
def test_moments_cover_every_block_of_channels_of_every_tile(shape: tuple[int, int, int]) -> None:
    """Programs of one tile have successive numbers; each writes the moments of its own channels."""
    book, (groups, width_in, width_out) = submanifold(PLANE), shape
    x, w = torch.tensor(values(0, 80, groups * width_in)).float(), torch.tensor(values(1, 9, *shape)).float()
    line = statistics.line(x, groups * width_out).fill_(torch.nan)
    y = forward.convolve(x, w, book.rules, 80, tile=forward.Tile(32, 16, 16, 4, 1), moments=line)
    mean, variance = statistics.statistics(line, 80, groups * width_out)
    torch.testing.assert_close(mean, y.mean(0))
    torch.testing.assert_close(variance, y.var(0, unbiased=False))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_many_rows_are_normalised_once_and_few_while_they_are_gathered(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, (x, g) = submanifold(PLANE), (torch.tensor(values(n, 80, 16)).to(dtype) for n in (0, 1))
    w = torch.tensor(values(2, 9, 1, 16, 16)).to(dtype)
    norm = Norm(*torch.tensor(values(3, 4, 16)).float().abs().add(0.5).unbind(), eps=1e-5, leakiness=0.25)
    found: list[tuple[Tensor, Tensor]] = []
    for most, first in (80 * 16, []), (80 * 16 - 1, ["normalize_kernel"]):
        for module, kernels in (
            (forward, ["convolution_kernel"]),
            (backward, ["weight_gradient_kernel", "reduce_kernel"]),
        ):
            monkeypatch.setattr(module, "MOST_GATHERED", most)
            with launch.count_launches(skip=True) as listed:
                if module is forward:
                    forward.convolve(x, w, book.rules, 80, norm=norm)
                else:
                    backward.weight_gradient(x, g, book.rules, 1, norm=norm)
            assert [one.kernel for one in listed] == first + kernels
        y = forward.convolve(x, w, book.rules, 80, norm=norm)
        found.append((y, backward.weight_gradient(x, g, book.rules, 1, norm=norm)))
    for one, other in zip(*found, strict=True):
        assert relative_error(one, other.double()) < TYPES[dtype]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_many_tiles_are_added_in_parts_to_the_same(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last tile is not full, and the last parts have no tile."""
    assert [statistics.choose_parts(rows) for rows in (0, 1 << 16, (1 << 16) + 1, 10**7)] == [1, 1, 8, 64]
    x = torch.tensor(values(0, 4500, 17)).to(dtype) + 1000
    running = [(torch.zeros(17), torch.ones(17), torch.tensor(3)) for _ in range(2)]
    line = statistics.moments(x)
    alone = *statistics.statistics(line, 4500, 17, *running[0], 0.3), statistics.add(line, 4500, 17)
    monkeypatch.setattr(statistics, "PART_ROWS", 300)
    assert statistics.choose_parts(4500) == 16
    parts = *statistics.statistics(line, 4500, 17, *running[1], 0.3), statistics.add(line, 4500, 17)
    for one, other in zip((*alone, *running[0]), (*parts, *running[1]), strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(parts[0], x.mean(0))
    torch.testing.assert_close(parts[1], x.var(0, unbiased=False))


def test_steps_are_few_where_padding_costs_less() -> None:
    channels = (3, 4, 5, 16, 20, 32, 48, 64, 80, 96, 112, 160)
    assert [forward._depth(n, 64) for n in channels] == [1, 1, 16, 16, 32, 32, 64, 64, 64, 64, 64, 64]
    assert [forward._depth(n, 16) for n in (5, 48, 80)] == [16, 16, 16]


@pytest.mark.parametrize("segment", [7, 32, 1024])
@pytest.mark.parametrize("shape", [(1, 20, 70), (2, 17, 1), (6, 1, 2)], ids=str)
def test_weight_gradients_are_right_for_every_segment_length(segment: int, shape: tuple[int, int, int]) -> None:
    book, (groups, width_in, width_out) = submanifold(PLANE), shape
    x, g = (torch.tensor(values(0, 80, groups * n)).float() for n in (width_in, width_out))
    _, _, right = by_rule(book.rules, x.double(), x.new_zeros(9, *shape).double(), g.double())
    tile = backward.Tile(32, 16, 64, 4, 3)
    assert relative_error(backward.weight_gradient(x, g, book.rules, groups, tile, segment), right) < 1e-6


def test_the_bits_of_a_row_do_not_depend_on_other_rows_of_its_tile() -> None:
    """Taps that other rows bring into a tile add exactly nothing. The numbers are small integers, whose sums the
    interpreter's matrix products, which depend on the rows around, cannot round."""
    sites = np.random.default_rng(1).permutation(block(5, 5, 5, batches=2))
    x, w = (torch.tensor(values(*size)).mul(9).round().float() for size in ((0, len(sites), 16), (1, 27, 1, 16, 16)))
    alone = sites[:, 0] == 1
    with interpreted():
        together = convolution(x, w, submanifold(sites).rules, len(sites))
        mine = convolution(x[alone], w, submanifold(sites[alone]).rules, int(alone.sum()))
    assert torch.equal(together[alone], mine)


def test_units_of_ordered_rows_need_fewer_taps_than_unordered_rows() -> None:
    """Sites inside a block need 27 taps, isolated sites one; in a good order, few units contain both kinds."""
    sites = np.random.default_rng(2).permutation(block(8, 8, 8, batches=2))
    sites[sites[:, 0] == 1, 1:] *= 3
    _, _, _, table, order, masks, *_ = submanifold(sites).rules
    assert sorted(order.tolist()) == list(range(len(sites)))
    needed = sum(bin(mask).count("1") for mask in masks[0].tolist())
    unordered = torch.empty_like(table).index_copy(1, order.long(), table) >= 0
    padded = torch.nn.functional.pad(unordered, (0, -len(sites) % 16))
    assert needed < 0.55 * int(padded.view(27, -1, 16).any(2).sum())


def test_coordinates_that_do_not_fit_into_a_key_are_refused() -> None:
    wide = torch.tensor([[0, -(2**31), -(2**31)], [1, 2**31 - 1, 2**31 - 1]], dtype=torch.int32)
    with interpreted(), pytest.raises(ValueError, match=r"span 0\.\.1, -2147483648\.\.2147483647, .*more than 2\*\*63"):
        rulebook.submanifold(wide, (3, 3), (1, 1))
    far = torch.tensor([[0, 2 * 10**9]], dtype=torch.int32)
    with interpreted(), pytest.raises(ValueError, match="axis 0 would run from 4000000000 to 4000000000; allowed is"):
        rulebook.transposed(far, None, (1,), (2,), (0,), (1,), (0,))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["strided-overlap", "inverse-overlap", "transposed-block", "strided-no-sites"])
def test_pooling_on_the_gpu_equals_the_cpu(name: str, dtype: torch.dtype) -> None:
    """Few values, so that many are equal, and some NaN; the CPU engine gives the same sums in the same order."""
    rules, inputs, outputs = built(NAMED[name])
    x = torch.from_numpy(values(0, inputs, 5)).round().to(dtype)
    g = torch.from_numpy(values(1, outputs, 5)).round().to(dtype)
    x[::3, 1] = torch.nan
    same = {"rtol": 0, "atol": 0, "equal_nan": True}

    def reduced(rules: Sequence[Tensor]) -> tuple[Tensor, ...]:
        y, winners = pool_max(x, rules, outputs)
        return (
            pool_sum(x, rules, outputs),
            y,
            winners,
            pool_take(x, winners, rules),
            pool_return(g, winners, rules, inputs),
        )

    cpu, _, _ = built(NAMED[name], "cpu")
    with interpreted():
        mine = reduced(rules)
    for one, right in zip(mine, reduced(cpu), strict=True):
        assert one.dtype == right.dtype
        torch.testing.assert_close(one, right, **same)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_reductions_of_events_on_the_gpu_equal_the_cpu(dtype: torch.dtype) -> None:
    """Events of 0, 1 and up to 70 rows, in random order."""
    event = torch.randint(0, 8, (200,), generator=torch.Generator().manual_seed(0)).clamp(max=4) + 1
    event[7] = 6
    events = sort_events(event, 8)
    x = torch.from_numpy(values(0, 200, 17)).round().to(dtype)
    right = largest_of_events(x, events), sum_events(x, events)
    x_nan = x.clone()
    x_nan[50:60, 3] = torch.nan
    right_nan = largest_of_events(x_nan, events)
    with interpreted():
        assert torch.equal(largest_of_events(x, events), right[0])
        assert torch.equal(sum_events(x, events), right[1])
        assert torch.equal(largest_of_events(x_nan, events), right_nan)


@pytest.mark.parametrize("parts", [1, 2, 8])
def test_long_events_are_reduced_in_parts_to_the_same(parts: int) -> None:
    """Events of 0, 1 and 300 rows; equal values and several NaN, in one part and in many."""
    event = torch.zeros(301, dtype=torch.int64)
    event[17] = 2
    events = sort_events(event, 3)
    x = torch.from_numpy(values(0, 301, 5)).mul(3).round().float()
    x[40:290:60, 1] = x[5, 2] = torch.nan
    assert torch.equal(reductions.largest_of_events(x, events, parts), largest_of_events(x, events))
    torch.testing.assert_close(reductions.sum_events(x, events, parts), sum_events(x, events), equal_nan=True)
    assert [reductions.choose_parts(rows, 4) for rows in (0, 8192, 8193, 10**7)] == [1, 1, 2, 64]
