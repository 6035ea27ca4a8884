"""Ten million voxels, and numbers that do not fit in int32."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sscn_triton import SparseTensor, functional
from sscn_triton.ops.convolution import convolution, weight_gradient
from sscn_triton.ops.cpu import sites
from sscn_triton.ops.cpu.keys import ranked, unique_sites

FAR = 2**31  # the first number that does not fit into int32
GIB = 2**30

TEN_MILLION = """
import resource, sys
import numpy as np, torch
from sscn_triton import SparseTensor, functional

size, count = 256, 10_000_000
chosen = np.random.default_rng(0).permutation(size**3)[:count]
image = np.zeros((size + 2,) * 3, np.int8)
x, y, z = np.unravel_index(chosen, (size,) * 3)
image[x + 1, y + 1, z + 1] = 1
around = sum(image[i : i + size, j : j + size, k : k + size] for i in range(3) for j in range(3) for k in range(3))
sites = torch.from_numpy(np.stack([np.zeros_like(x), x, y, z], 1).astype(np.int32))
del chosen
features = torch.ones(count, 1, requires_grad=True)
tensor = SparseTensor(features, sites, size)

weight = torch.ones(27, 1, 2, requires_grad=True)
output = functional.submanifold_conv(tensor, weight, kernel_size=3).features
neighbours = torch.from_numpy(around[x, y, z].astype(np.float32))
assert torch.equal(output.detach(), neighbours[:, None].expand(count, 2))
output.sum().backward()
assert torch.equal(features.grad[:, 0], 2 * neighbours)
assert tensor.grid.submanifold((3,) * 3, (1,) * 3).rule_count == int(neighbours.double().sum())
rules = torch.tensor([len(rows) for rows, _ in tensor.grid.submanifold((3,) * 3, (1,) * 3).pairs()])
assert torch.equal(weight.grad, rules.float()[:, None, None].expand(27, 1, 2))
del output

halved = functional.sparse_conv(tensor, torch.ones(8, 1, 1), kernel_size=2, stride=2)
blocks = image[1:-1, 1:-1, 1:-1].reshape(128, 2, 128, 2, 128, 2).sum((1, 3, 5))
_, *place = halved.coordinates.long().numpy().T
assert len(halved) == (blocks > 0).sum()
assert np.array_equal(halved.features.detach()[:, 0].numpy(), blocks[tuple(place)])
back = functional.inverse_conv(halved, torch.ones(8, 1, 1), kernel_size=2, stride=2)
assert np.array_equal(back.features.detach()[:, 0].numpy(), blocks[x // 2, y // 2, z // 2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def memory() -> int:
    """Free memory of this machine in bytes."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.deep
def test_ten_million_voxels_are_convolved_halved_and_brought_back_in_ten_gigabytes() -> None:
    """All values are one, so that outputs and gradients count neighbours and are exact."""
    if memory() < 10 * GIB:
        pytest.skip(f"needs 10 GiB of free memory, there are {memory() / GIB:.1f}")
    done = subprocess.run([sys.executable, "-c", TEN_MILLION], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 10 * GIB


def far_rules() -> list[Tensor]:
    """More than 2^31 rules, of which the span contains the last three; the others are not touched and use no memory."""
    inputs, outputs = torch.empty(FAR + 4, dtype=torch.int32), torch.empty(FAR + 4, dtype=torch.int32)
    inputs[-3:], outputs[-3:] = torch.tensor([0, 1, 2]), torch.tensor([0, 2, 5])
    return [inputs, outputs, torch.tensor([[FAR + 1, FAR + 4]])]


@pytest.mark.deep
def test_rules_beyond_two_to_the_31_are_followed() -> None:
    rules = far_rules()
    x, g, w = torch.rand(3, 2), torch.rand(6, 3), torch.rand(1, 1, 2, 3)
    right = torch.zeros(6, 3).index_copy(0, torch.tensor([0, 2, 5]), x @ w[0, 0])
    torch.testing.assert_close(convolution(x, w, rules, 6), right)
    torch.testing.assert_close(weight_gradient(x, g, rules, 1)[0, 0], x.T @ g[[0, 2, 5]])


@pytest.mark.deep
def test_rules_beyond_two_to_the_31_are_written() -> None:
    spans = sites._spans(np.array([FAR + 1, 2]))
    assert spans.tolist() == [[0, FAR + 1], [FAR + 1, FAR + 3]]
    inputs, outputs = np.empty(FAR + 3, np.int32), np.empty(FAR + 3, np.int32)
    found = np.array([[2, -1, 0, -1]], np.int32)
    sites._write(found, spans[1:], inputs, outputs)
    assert inputs[-2:].tolist() == [2, 0]
    assert outputs[-2:].tolist() == [0, 2]
    by_input, others = sites._sorted_by(inputs, outputs, spans[1:], 3)
    assert by_input[-2:].tolist() == [0, 2]
    assert others[-2:].tolist() == [2, 0]


@pytest.mark.deep
def test_rows_that_begin_beyond_two_to_the_31_elements_are_read() -> None:
    width = 2**12
    rows = FAR // width + 3
    x, g = torch.empty(rows, width), torch.empty(rows, width)  # only the last of these rows is touched
    x[-1], g[-1] = 2, 3
    w = torch.ones(1, 1, width, 2)
    last, first = torch.tensor([rows - 1], dtype=torch.int32), torch.tensor([0], dtype=torch.int32)
    span = torch.tensor([[0, 1]])
    assert convolution(x, w, [last, first, span], 1).tolist() == [[2 * width] * 2]
    y = torch.ones(1, 2)
    assert (weight_gradient(x, y, [last, first, span], 1) == 2).all()
    assert (weight_gradient(y, g, [first, last, span], 1) == 3).all()


class Many:
    """More sites than fit into memory: only their number may be used."""

    def __len__(self) -> int:
        return FAR


@pytest.mark.parametrize("function", [lambda many: ranked(many, [0] * 4), unique_sites])
def test_more_sites_than_int32_can_number_are_refused(function: Callable[[Many], object]) -> None:
    with pytest.raises(ValueError, match="2147483648 sites: rows are numbered by int32, so at most 2147483647"):
        function(Many())


def corners(height: int) -> SparseTensor:
    """Two sites at opposite corners of a box of 2^32 x height positions, the last corner first."""
    far = torch.tensor([[0, FAR - 1, height - 1], [0, -FAR, 0]])
    return SparseTensor(torch.tensor([[1.0], [2.0]]), far)


def test_a_box_of_just_under_two_to_the_63_positions_is_packed_and_unpacked() -> None:
    x = corners(FAR - 1)
    y = functional.sparse_conv(x, torch.ones(1, 1, 1), kernel_size=1)
    assert torch.equal(y.coordinates, x.coordinates.flip(0))
    assert torch.equal(functional.inverse_conv(y, torch.ones(1, 1, 1), kernel_size=1).features, x.features)


def test_a_box_of_two_to_the_63_positions_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"span 0\.\.0, -2147483648\.\.2147483647, 0\.\.2147483647 .* more than 2\*\*63"
    ):
        corners(FAR)


@pytest.mark.parametrize(
    ("site", "padding", "end"),
    [(FAR - 2, 0, FAR - 1), (FAR - 1, 0, FAR), (-FAR + 1, 1, -FAR), (-FAR, 1, -FAR - 1)],
)
@pytest.mark.parametrize("kind", ["strided", "transposed"])
def test_sites_reach_to_both_ends_of_int32_and_no_further(kind: str, site: int, padding: int, end: int) -> None:
    """A kernel of two from a single site whose outermost output is `end`."""
    build = {"strided": sites.strided_rules, "transposed": sites.transposed_rules}[kind]
    padding = padding if kind == "transposed" else 1 - padding  # one reaches left where the other reaches right
    arguments = np.array([[0, site]], np.int32), (2,), (1,), (padding,), (1,), ()
    if -FAR <= end < FAR:
        reached, *_ = build(*arguments)
        assert end in reached[:, 1]
    else:
        with pytest.raises(ValueError, match=rf"coordinates of axis 0 would run from .*{end}.*; allowed is"):
            build(*arguments)
