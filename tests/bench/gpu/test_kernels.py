"""A profile lists kernels with their calls, times and floors; on a GPU, each under the name that tells what it does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from torch.autograd import DeviceType

from sscn_triton.bench.cost_model.cost import Operation, Work
from sscn_triton.bench.cost_model.devices import device_named
from sscn_triton.bench.gpu import kernels
from sscn_triton.bench.gpu.cells import TOY, Cell
from sscn_triton.bench.gpu.kernels import MAIN, floors, on_device, profile
from sscn_triton.bench.gpu.report import profile_lines
from sscn_triton.bench.gpu.subjects import Subject
from sscn_triton.bench.gpu.timing import Stopwatch
from sscn_triton.ops.triton.interpreted import interpreted
from sscn_triton.ops.triton.launch import Launch, count_launches
from tests.bench.gpu.toys import toy_batch

H200 = device_named("h200")


def event(name: str, us: float = 0, on_cpu: bool = False, asks: tuple[str, ...] = (), note: bool = False) -> Any:
    return SimpleNamespace(
        name=name, device_type=DeviceType.CPU if on_cpu else DeviceType.CUDA, is_user_annotation=note,
        time_range=SimpleNamespace(elapsed_us=lambda: us), kernels=[SimpleNamespace(name=kernel) for kernel in asks],
    )  # fmt: skip


def test_own_kernels_have_their_names_and_others_those_of_the_operators() -> None:
    events = [
        event("sscn::convolution", on_cpu=True, asks=("convolution_kernel",)),
        event("aten::add_", on_cpu=True, asks=("void at::native::vectorized_elementwise_kernel<4>",)),
        event("convolution_kernel", 5),
        event("void at::native::vectorized_elementwise_kernel<4>", 2),
        event("Memset (Device)", 1),
        event("Optimizer.step#Adam.step", 100, note=True),
    ]
    shown = on_device(events, {"convolution_kernel"})
    assert shown == [("convolution_kernel", 5), ("add_", 2), ("Memset (Device)", 1)]


def test_a_kernels_floor_is_its_operators_or_its_bytes() -> None:
    operations = [Operation("fused_convolution", "", Work(memory=int(4.8e6))), Operation("add", "", Work(int(9.6e6)))]
    launched = [Launch("convolution_kernel", 10**12), Launch("moments_kernel", int(4.8e6))]
    least = floors(operations, launched, H200, "bf16")
    assert {name: round(us, 6) for name, us in least.items()} == {
        "convolution_kernel": 1.0, "fused_convolution": 1.0, "add": 2.0, "moments_kernel": 1.0
    }  # fmt: skip


def test_the_kernels_with_an_operators_floor_are_launched_by_a_step() -> None:
    """If one is renamed, its floor would stand beside no time."""
    cell = Cell("uresnet2", "step", "fp32", 8, "real", 1, "eager", "out")
    with interpreted():
        one = Subject(cell, toy_batch(), "cpu")
        with count_launches(skip=True) as launched:
            one.once(update=False)
    assert set(MAIN.values()) <= {launch.kernel for launch in launched}


def test_a_profile_has_calls_times_and_floors_the_slowest_first() -> None:
    record = profile(TOY[0], toy_batch(), "cpu", Stopwatch("cpu", 1), H200)
    rows = {row["name"]: row for row in record["profile"]}
    assert rows["convolution"]["calls"] == 2  # forward and input gradient
    assert rows["weight_gradient"]["calls"] == 1
    assert rows["convolution"]["floor_us"] > 0
    assert [row["us"] for row in record["profile"]] == sorted((row["us"] for row in record["profile"]), reverse=True)
    shown = "\n".join(profile_lines(record, most=2))
    assert "others" in shown
    assert f"busy {record['busy ms']:.3f} ms" in shown


def test_times_are_means_over_the_profiled_passes() -> None:
    one = Subject(TOY[0], toy_batch(), "cpu")
    found = kernels.recorded(one, set(), Stopwatch("cpu", 1), 3)
    assert found["convolution"][0] == 2
