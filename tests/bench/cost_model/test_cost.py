"""The cost model counts what the reference counts and what the Triton engine's tables hold."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor

import sscn_ref
from sscn_triton import SparseTensor, functional, nn, prepare
from sscn_triton.bench.cost_model import cost
from sscn_triton.bench.cost_model import report as report_module
from sscn_triton.bench.cost_model.cost import Work, count_work, floor, table_bytes, tile_taps, total
from sscn_triton.bench.cost_model.devices import DEVICES, Device
from sscn_triton.bench.cost_model.report import report, rulebook_bytes
from sscn_triton.bench.cpu.command import Bench
from sscn_triton.bench.events import BenchBatch
from sscn_triton.core import rulebook
from sscn_triton.models import SparseUResNet
from sscn_triton.ops.rules import read_forward
from sscn_triton.ops.triton.interpreted import interpreted
from sscn_triton.ops.triton.layout import UNIT
from tests.support.cases import NAMED, Case, block
from tests.support.clouds import random_cloud, random_sites
from tests.support.engines import ENGINES


def operations_of(case: Case, groups: int, width_in: int, width_out: int) -> tuple[Work, Work, int]:
    """Work of the forward pass and of both gradients, and the number of multiply-adds that the reference counts for one
    of them."""
    book, _, _ = ENGINES["cpu"].rulebook(case)
    x = torch.randn(book.input_count, groups * width_in, requires_grad=True)
    w = torch.randn(len(book.rules.spans), groups, width_in, width_out, requires_grad=True)
    y: list[Tensor] = []
    forward = count_work(lambda: y.append(torch.ops.sscn.convolution(x, w, book.rules, book.output_count)))
    backward = count_work(lambda: y[0].backward(torch.ones_like(y[0])))
    rules = ENGINES["numpy"].build(case).handle
    counted = sscn_ref.count_operations(rules, groups * width_in, groups * width_out, groups)
    assert forward[0].work.rules == counted.rules
    return total(forward), total(backward), counted.multiply_adds


@pytest.mark.parametrize("shape", [(1, 16, 32), (2, 3, 5), (4, 1, 2)], ids=str)
@pytest.mark.parametrize("name", ["submanifold-odd", "strided-overlap", "inverse-overlap", "transposed-line"])
def test_the_backward_pass_has_twice_the_products_that_the_reference_counts(
    name: str, shape: tuple[int, int, int]
) -> None:
    forward, backward, counted = operations_of(NAMED[name], *shape)
    assert forward.useful == 2 * counted
    assert backward.useful == 4 * counted
    assert forward.products >= forward.useful


def books() -> Iterator[rulebook.Rulebook]:
    sites = torch.from_numpy(np.random.default_rng(0).permutation(block(8, 7, 6)[::2]))
    with interpreted():
        yield rulebook.submanifold(sites, (3, 3, 3), (1, 1, 1))
        yield rulebook.submanifold(sites[:50], (5, 5, 5), (1, 1, 1))  # two words of taps
        yield rulebook.strided(sites, None, (3, 3, 3), (2, 2, 2), (1, 1, 1), (1, 1, 1))[0]


def test_tiles_and_bytes_equal_those_of_the_engines_tables() -> None:
    for book in books():
        reading = read_forward(book.rules)
        tables = sum(tensor.numel() * tensor.element_size() for tensor in reading[:3])
        assert table_bytes(len(book.rules.spans), book.output_count) == tables
        for tile in (16, 64):
            units = torch.nn.functional.pad(reading.masks, (0, -reading.masks.shape[1] % (tile // UNIT)))
            tiles = units.view(len(units), -1, tile // UNIT).tolist()
            active = sum(bin(int(np.bitwise_or.reduce(tile))).count("1") for word in tiles for tile in word)
            assert tile_taps(book.rules.output_rows, book.rules.spans, book.output_count, tile) == active


def test_a_convolution_moves_rows_weight_and_table_once_and_gathers_one_row_per_rule() -> None:
    forward, _, _ = operations_of(NAMED["submanifold-odd"], 1, 16, 32)
    sites, rules = 9, 25  # a diagonal: each site except the ends has neighbours on both sides
    assert forward.rules == rules
    assert forward.memory == 4 * (sites * 16 + 27 * 16 * 32 + sites * 32) + table_bytes(27, sites)
    assert forward.gathered == 4 * rules * 16


def test_other_operators_move_what_they_take_and_make() -> None:
    x = torch.randn(100, 8)
    (relu,) = count_work(lambda: torch.relu(x))
    assert relu.work == Work(memory=2 * 100 * 8 * 4)
    (product,) = count_work(lambda: x @ torch.randn(8, 16).T.contiguous().T)[-1:]
    assert product.work.useful == 2 * 100 * 8 * 16
    assert count_work(lambda: x.view(8, 100).transpose(0, 1)) == []


@pytest.mark.parametrize("autocast", [False, True])
def test_a_dry_count_equals_the_count_of_a_real_step(autocast: bool) -> None:
    network = SparseUResNet(filters=4, depth=2, repetitions=1)
    x = prepare(network, random_cloud(80, 1, dtype=torch.float32))

    def step() -> None:
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            network(x).features.sum().backward()

    fused = count_work(step, dry=True)
    assert fused == count_work(step)
    with mock.patch("sscn_triton.nn.fusion.can_join", return_value=False):
        apart = count_work(step, dry=True)
        assert apart == count_work(step)
    assert total(fused).memory < total(apart).memory
    assert total(fused).useful == total(apart).useful
    assert total(fused).rules == total(apart).rules
    with cost.Counter(dry=True):
        assert not nn.SubmanifoldConv(1, 2, 3, bias=False)(x).features.any()


def test_the_floor_is_the_longest_of_three_times_and_adds_up() -> None:
    device = DEVICES["a100"]
    work = Work(memory=2039, gathered=7200, products=312)
    assert work.seconds(device, "bf16") == pytest.approx({"memory": 1e-9, "gather": 1e-9, "products": 1e-12})
    assert (work + work).floor(device, "bf16") == pytest.approx(2e-9)
    assert Work(products=312_000_000).floor(device, "bf16") == pytest.approx(1e-6)
    assert Work(products=312_000_000).floor(device, "tf32") == pytest.approx(2e-6)
    twice = [cost.Operation("a", "", work)] * 2
    assert floor(twice, device, "bf16") == pytest.approx(2e-9)


def small_batch() -> BenchBatch:
    x = SparseTensor(torch.rand(300, 1), random_sites(300, size=16), 16, 2)
    return BenchBatch(x.coordinates, x.features, torch.zeros(300, dtype=torch.long), (16,) * 3, 2)


def test_rulebooks_take_eight_bytes_a_rule_and_the_tables_of_both_directions() -> None:
    batch = small_batch()
    sites, expected = batch.coordinates.numpy(), 0
    for level in range(5):
        expected += 8 * sscn_ref.submanifold_rulebook(sites, 3).number_of_rules + table_bytes(27, len(sites))
        if level < 4:
            halving = sscn_ref.strided_rulebook(sites, 2, 2)
            coarse = halving.output_coordinates
            expected += 8 * len(sites) + table_bytes(8, len(sites)) + table_bytes(8, len(coarse))
            sites = coarse
    assert rulebook_bytes(batch) == expected


def test_the_report_puts_the_published_times_beside_the_floors() -> None:
    batch = small_batch()
    text = report("H200", batch, {16: batch})
    assert "H200 SXM" in text
    assert "_gradient 27 taps, 64 x 64; 27x1x64x64 | 7 |" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| encoder-large | 16")]
    assert line.endswith("87.0 | 237.0 | 35.0 | 72.0 |")
    assert float(line.split("|")[5]) > 0


def test_the_encoder_is_counted_on_events_of_its_benchmarks_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []
    monkeypatch.setattr(report_module, "kept_events", lambda: "folder")
    monkeypatch.setattr(report_module, "events", lambda *given: asked.append(given) or "made")
    monkeypatch.setattr(report_module, "batch_of", lambda *given: given)
    monkeypatch.setattr(report_module, "report", lambda *given: given)
    batch = small_batch()
    report_module.print_model("h100", batch)
    assert asked == [(768, 16, "folder")]
    batches = {images: ("made", images, 768, "pilarnet", "cpu") for images in (1, 16)}
    assert capsys.readouterr().out == f"{('h100', batch, batches)}\n"


def test_a_device_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="model must be one of a100, h100, h200, b200, mi300x, got v100"):
        Bench(model="v100")
    assert all(device.source and device.matrix.keys() == {"bf16", "tf32", "fp32"} for device in DEVICES.values())


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_a_matrix_unit_multiplies_numbers_of_half_the_bytes_twice_as_fast(device: Device) -> None:
    assert device.matrix["bf16"] == pytest.approx(2 * device.matrix["tf32"], rel=0.03)
    assert device.matrix["tf32"] > 2 * device.matrix["fp32"]


def test_the_functional_layer_is_counted_once() -> None:
    """A layer is one operator. If it has a bias, another operator adds it."""
    x = random_cloud(40, 3, dtype=torch.float32)
    layer = nn.SubmanifoldConv(3, 4, 3, bias=False)
    prepare(layer, x)
    run = [one.name for one in count_work(lambda: functional.submanifold_conv(x, layer.weight, kernel_size=3))]
    assert run == ["convolution"]
