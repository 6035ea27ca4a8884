"""The CPU engine's own guarantees: order of the rules, long sums, forked processes, sorting."""

from __future__ import annotations

import multiprocessing
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
import torch
from numba.core import event

from sscn_triton import SparseTensor, nn
from sscn_triton.functional import batch_norm
from sscn_triton.functional.steps import strided_step
from sscn_triton.nn import fusion
from sscn_triton.ops import normalization
from sscn_triton.ops.checks import HEAD
from sscn_triton.ops.convolution import convolution, weight_gradient
from sscn_triton.ops.cpu import convolution as cpu_convolution
from sscn_triton.ops.cpu import jobs, microkernel, products, sites
from sscn_triton.ops.cpu.keys import sort_keys
from sscn_triton.ops.cpu.normalization import TILE
from sscn_triton.ops.sites import transposed_rules
from tests.support.clouds import random_cloud, random_sites


@pytest.mark.parametrize("kernel", [(3, 3, 3), (2, 3, 3), (1, 1, 1)])
def test_both_readings_of_a_rulebook_write_rows_in_ascending_order(kernel: tuple[int, int, int]) -> None:
    x = random_cloud(200)
    strided, _ = x.grid.step(strided_step(3, kernel, 2, 0, 1))
    for book in (x.grid.submanifold(kernel, (1, 1, 1)), strided):
        for _, output_rows, spans, *_ in (book.rules, book.rules.read_backwards()):
            for start, stop in spans.tolist():
                assert all(a < b for a, b in pairwise(output_rows[start:stop].tolist()))


@pytest.mark.parametrize("kernel", [(3, 3, 3), (2, 3, 3), (3, 4), (1, 1), (5,), (3, 2, 1, 3)])
@pytest.mark.parametrize("table", [1, 700])
def test_taps_searched_in_slabs_give_the_same_rules(
    kernel: tuple[int, ...], table: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = random_sites(90, ndim=len(kernel), size=6 if len(kernel) > 1 else 200).numpy()
    whole = sites.submanifold_rules(places, kernel, (1,) * len(kernel))
    monkeypatch.setattr(sites, "TABLE", table)
    slabs = sites.submanifold_rules(places, kernel, (1,) * len(kernel))
    assert all(np.array_equal(a, b) for a, b in zip(whole, slabs, strict=True))
    for count in (0, 1):
        assert len(sites.submanifold_rules(places[:count], kernel, (1,) * len(kernel))[0]) == count


def test_geometry_is_kept_per_layer_unless_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    places = random_sites(50, size=5).numpy()
    builds = {
        sites._offsets: lambda: sites.submanifold_rules(places, (3, 3, 3), (1, 1, 1)),
        sites._strided: lambda: sites.strided_rules(places, (2, 2, 2), (2, 2, 2), (0, 0, 0), (1, 1, 1), ()),
        sites._transposed: lambda: sites.transposed_rules(places, (2, 2, 2), (2, 2, 2), (0, 0, 0), (1, 1, 1), ()),
    }
    for kept, build in builds.items():
        kept.cache_clear()
        first, again = build(), build()
        assert (kept.cache_info().hits, kept.cache_info().misses) == (1, 1)
        assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
        monkeypatch.setattr(sites, "KEPT", 7)
        large = build()
        assert (kept.cache_info().hits, kept.cache_info().misses) == (1, 1)
        assert all(torch.equal(one, two) for one, two in zip(first, large, strict=True))
        monkeypatch.undo()


@pytest.mark.parametrize("kernel", [(3, 3, 3), (2, 3, 4), (3, 3, 2)])
def test_threads_share_the_search_of_rules_and_find_the_same(
    kernel: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    places = random_sites(3000, size=20).numpy()
    together = mock.Mock(side_effect=jobs._run_together)
    monkeypatch.setattr(jobs, "_run_together", together)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(sites.submanifold_rules(places, kernel, (1, 1, 1)))
        assert together.call_count == (0 if threads == 1 else 2)
    torch.set_num_threads(before)
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


class _Arguments(NamedTuple):
    """In an order and of kinds that no kernel has."""

    scale: float
    missing: torch.Tensor | None
    length: int
    values: torch.Tensor
    totals: np.ndarray


@cache
def adding_kernel() -> Any:
    arguments = jobs.layout(_Arguments)

    @jobs.cfunc(jobs.JOB)
    def kernel(words: Any, part: int, parts: int) -> None:
        a = jobs.array_at(words, (1,), arguments)[0]
        values = jobs.array_at(a.values, (2, a.length), np.float32)
        totals = jobs.array_at(a.totals, (2,), np.float64)
        for column in range(values.shape[1]):
            totals[0] += values[1, column] * a.scale
        totals[1] = a.missing
        a.failed = a.length + part

    return kernel


def test_a_kernel_reads_every_argument_by_its_name() -> None:
    adding_kernel.cache_clear()
    with event.install_recorder("numba:compile") as others:
        kernel = adding_kernel()
    assert not others.buffer, "an array costs no function of its own: 18 took 0.6 s of the first step"
    totals, values = np.array([0.0, -1.0]), torch.tensor([[8.0, 8.0, 8.0], [1.0, 2.0, 4.0]])
    assert jobs.run((kernel, 0, _Arguments(0.5, None, 3, values, totals))) == 3
    assert totals.tolist() == [3.5, 0.0]


class _Sizes(NamedTuple):
    size: int
    places: np.ndarray


def test_a_kernel_claims_memory_of_its_own_and_stops_without_it() -> None:
    arguments, none = jobs.layout(_Sizes), jobs.NO_MEMORY

    @jobs.cfunc(jobs.JOB, **jobs._options)  # not cached: what is kept on disk outlives a change of `jobs`
    def kernel(words: Any, part: int, parts: int) -> None:
        a = jobs.array_at(words, (1,), arguments)[0]
        memory = jobs.claim(a.size)
        if jobs.is_missing(memory):
            a.failed = none
            return
        first, last = (
            jobs.array_at(memory, (1,), np.int64),
            jobs.array_at(jobs.beyond(memory, a.size - 8), (1,), np.int64),
        )
        first[0], last[0] = 3, 4
        places = jobs.array_at(a.places, (2,), np.int64)
        places[0], places[1] = first[0] + last[0], first.ctypes.data % 64
        jobs.release(memory)

    places = np.zeros(2, np.int64)
    for size in (*range(16, 1000, 8), 1 << 22):
        places[:] = -1
        assert jobs.run((kernel, 0, _Sizes(size, places))) == 0
        assert places.tolist() == [7, 0]
    with pytest.raises(MemoryError, match="CPU engine"):
        jobs.run((kernel, 0, _Sizes(1 << 60, places)))


class _Marks(NamedTuple):
    marks: np.ndarray
    step: int
    failing: bool


@pytest.mark.parametrize("threads", [1, 2])
def test_steps_run_in_their_order_until_one_fails(threads: int) -> None:
    """Each step has its own arguments, and its own number of parts by its number of operations."""
    arguments = jobs.layout(_Marks)

    @jobs.cfunc(jobs.JOB)
    def kernel(words: Any, part: int, parts: int) -> None:
        a = jobs.array_at(words, (1,), arguments)[0]
        marks = jobs.array_at(a.marks, (4, 2), np.int64)
        if part == 0:
            marks[a.step, 0] = marks[a.step - 1, 0] + 1
            marks[a.step, 1] = parts
            if a.failing:
                a.failed = 7

    marks = np.zeros((4, 2), np.int64)
    work = (0.0, jobs.MIN_OPERATIONS, 0.0)
    steps = [(kernel, work[i], _Marks(marks, i + 1, i == 1)) for i in range(3)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert jobs.run(*steps) == 7
        assert marks.tolist() == [[0, 0], [1, 1], [2, threads], [0, 0]]
        assert jobs.run(steps[0], steps[2]) == 0
    finally:
        torch.set_num_threads(before)
    assert marks[3].tolist() == [3, 1]


def test_a_layer_enters_compiled_code_once_forward_and_once_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the statistics of its norm, which the next layer's norm has not asked for yet."""
    x = random_cloud(40, channels=4, size=4, dtype=torch.float32)
    moments = normalization.moments(x.features)
    network = nn.Sequential(nn.BatchNormReLU(4), nn.SubmanifoldConv(4, 4, 3))
    run = mock.Mock(side_effect=jobs._run_alone)
    monkeypatch.setattr(jobs, "_run_alone", run)
    x.grid.submanifold((3, 3, 3), (1, 1, 1))
    run.reset_mock()
    y = fusion.run(network, x, moments, found=[])
    assert run.call_count == 2
    y.features.sum().backward()
    assert run.call_count == 3


def test_a_transposed_weight_is_read_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The input gradient needs the weight transposed; a copy would be as large as all weights in every step."""
    book = random_cloud(300, size=9).grid.submanifold((3, 3, 3), (1, 1, 1))
    x, w = torch.randn(300, 20), torch.randn(27, 2, 7, 10)
    right = convolution(x, w.transpose(2, 3).contiguous(), book.rules, 300)
    run = mock.Mock(side_effect=jobs.run)
    monkeypatch.setattr(cpu_convolution, "run", run)
    assert torch.equal(convolution(x, w.transpose(2, 3), book.rules, 300), right)
    ((_, _, arguments),) = run.call_args.args
    assert arguments.weight.data_ptr() == w.data_ptr()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("segment", [1, 1 << 17])
def test_a_weight_gradient_writes_the_taps_without_rules_too(
    segment: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory that PyTorch fills with nan when it is asked for results that never vary."""
    monkeypatch.setattr(cpu_convolution, "SEGMENT", segment)
    monkeypatch.setattr(jobs, "MIN_OPERATIONS", 0)
    sites = torch.tensor([[0, 5 * i, 0, 0] for i in range(40)], dtype=torch.int32)
    x, g = torch.randn(40, 20), torch.randn(40, 6)
    rules = SparseTensor(x, sites).grid.submanifold((3, 3, 3), (1, 1, 1)).rules
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(3).isnan().all()
        found = weight_gradient(x, g, rules, 1)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(before)
    wanted = torch.zeros(27, 1, 20, 6)
    wanted[13, 0] = x.T @ g
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("channels", [(1, 16), (3, 5), (16, 37), (33, 96), (20, 160)])
def test_every_shape_of_tile_is_right(channels: tuple[int, int]) -> None:
    book = random_cloud(700, size=9).grid.submanifold((3, 3, 3), (1, 1, 1))
    x, g = torch.randn(700, channels[0]), torch.randn(700, channels[1])
    w = torch.randn(27, 1, *channels)
    y, by_weight = convolution(x, w, book.rules, 700), weight_gradient(x, g, book.rules, 1)
    right, right_weight = torch.zeros(700, channels[1], dtype=torch.float64), torch.zeros(w.shape, dtype=torch.float64)
    for tap, (i, o) in enumerate(book.pairs()):
        right[o] += x[i].double() @ w[tap, 0].double()
        right_weight[tap, 0] = x[i].double().T @ g[o].double()
    torch.testing.assert_close(y.double(), right, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(by_weight.double(), right_weight, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 3), (512, 1), (1025, 48), (1500, 16), (600, 700)], ids=str)
@pytest.mark.parametrize("residual", [False, True])
def test_norms_over_many_tiles_are_right_and_the_same_with_two_threads(shape: tuple[int, int], residual: bool) -> None:
    """Compared with the definition in float64: results, running statistics, and gradients by PyTorch's operators."""
    torch.manual_seed(0)  # a value within rounding of zero may lie on the other side of the rectifier in float64
    x, g, r = (torch.randn(shape) + shift for shift in (2, 0, 0))
    weight, bias = torch.rand(shape[1]) + 0.5, torch.randn(shape[1])

    def run(wide: bool) -> list[torch.Tensor]:
        running = [torch.zeros(shape[1]), torch.ones(shape[1])]
        leaves = [t.to(torch.float64 if wide else torch.float32).requires_grad_() for t in (x, weight, bias, r)]
        if wide:
            variance, mean = torch.var_mean(leaves[0], 0, correction=0)
            y = (leaves[0] - mean) / (variance + 1e-3).sqrt() * leaves[1] + leaves[2] + leaves[3] * residual
            y = torch.nn.functional.leaky_relu(y, 0.1)
            unbiased = variance * shape[0] / max(shape[0] - 1, 1)
            running = [(0.1 * mean).detach(), (0.9 + 0.1 * unbiased).detach()]
        else:
            y = batch_norm(
                leaves[0], *running, *leaves[1:3], True, 0.1, 1e-3, 0.1, residual=leaves[3] if residual else None
            )
        found = torch.autograd.grad(y, leaves if residual else leaves[:3], g.to(y.dtype))
        return [y.detach(), *running, *found]

    threads = torch.get_num_threads()
    results = []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(run(False))
    torch.set_num_threads(threads)
    for one, two, right in zip(*results, run(True), strict=True):
        assert torch.equal(one, two)
        torch.testing.assert_close(one.double(), right.double(), rtol=2e-4, atol=2e-4 * float(right.abs().max()))


def test_moments_begin_with_the_rows_of_a_tile_and_then_list_tiles() -> None:
    x = torch.sin(torch.arange(2.0 * (TILE + 3))).reshape(-1, 2)
    found = normalization.moments(x)
    assert found[0] == TILE
    for tile, rows in enumerate(x.split(TILE)):
        mean, squares = found[HEAD + 4 * tile :][:4].view(2, 2)
        torch.testing.assert_close(mean, rows.mean(0))
        torch.testing.assert_close(squares, (rows - rows.mean(0)).square().sum(0))


def test_tiles_fit_the_registers() -> None:
    for vectors in range(1, microkernel.MAX_VECTORS + 1):
        rows = microkernel.product_rows(vectors)
        assert rows >= 1
        assert (rows + 1) * vectors + 1 <= microkernel.REGISTERS
        assert (microkernel.outer_rows(vectors) + 1) * vectors + 1 <= microkernel.REGISTERS


@pytest.mark.parametrize("write", [microkernel.write_product_strips, microkernel.write_outer_strips])
def test_strips_that_are_the_same_are_compiled_once(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on machines whose vectors are no wider than the narrow ones."""
    monkeypatch.setattr(microkernel, "STRIPS", ((1, 0), (1, 16), (1, 16), (2, 16)))

    @jobs.cfunc(jobs.JOB)
    def kernel(words: Any, part: int, parts: int) -> None:
        both = jobs.array_at(words, (2, 4), np.int64)
        write(both[0], np.float32)
        write(both[1], np.float64)

    addresses = np.zeros(8, np.int64)
    kernel.ctypes(addresses.ctypes.data, 0, 1)
    assert addresses.all()
    for some in (addresses[:4], addresses[4:]):
        assert [address == some[1] for address in some] == [False, True, True, False]
    assert len(set(addresses)) == 6, "each type has its own"


@pytest.mark.parametrize("itemsize", [4, 8])
def test_a_strip_that_is_chosen_is_compiled_and_as_wide_as_its_tile(itemsize: int) -> None:
    for channels in range(1, 200):
        place, width = products._strip.py_func(channels, itemsize)
        vectors, nbytes = microkernel.STRIPS[place]
        assert 1 <= width <= channels
        assert width == max(1, vectors * nbytes // itemsize)


def test_a_weight_gradient_summed_in_segments_keeps_its_precision() -> None:
    rows = torch.arange(400_000, dtype=torch.int32)
    rules = [rows, rows.clone(), torch.tensor([[0, len(rows)]])]
    x, g = torch.rand(len(rows), 3) + 0.5, torch.rand(len(rows), 2) + 0.5
    right = x.double().T @ g.double()
    results = []
    for threads in (1, 2):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        results.append(weight_gradient(x, g, rules, 1)[0, 0])
        torch.set_num_threads(before)
    assert torch.equal(*results)
    torch.testing.assert_close(results[0].double(), right, rtol=3e-6, atol=0)


def _in_child(arguments: tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]], queue: multiprocessing.Queue) -> None:
    queue.put(convolution(*arguments, len(arguments[0])).numpy())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork")
def test_a_process_forked_from_one_with_threads_computes_the_same() -> None:
    x = random_cloud(3000, channels=16, size=20, dtype=torch.float32)
    arguments = x.features, torch.randn(27, 1, 16, 16), x.grid.submanifold((3, 3, 3), (1, 1, 1)).rules
    here = convolution(*arguments, 3000)  # this starts the threads
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    child = fork.Process(target=_in_child, args=(arguments, queue))
    child.start()
    there = queue.get(timeout=120)
    child.join()
    assert (here.numpy() == there).all()


def test_radix_sort_is_ascending_and_keeps_the_order_of_equal_keys() -> None:
    keys = np.random.default_rng(0).integers(0, 2**62, 3000)
    keys[1000:2000] = keys[:1000]
    ascending, rows = sort_keys(keys)
    order = np.argsort(keys, kind="stable")
    assert (rows == order).all()
    assert (ascending == keys[order]).all()
    assert [len(part) for part in sort_keys(keys[:0])] == [0, 0]


def test_sites_that_leave_int32_are_refused() -> None:
    sites = random_sites(5, ndim=2).int()
    sites[0, 2] = 2**30
    with pytest.raises(ValueError, match=r"axis 1 would run from \d+ to 2147483649; allowed is -2147483648 to"):
        transposed_rules(sites, (2, 2), (2, 2), (0, 0), (1, 1), ())
