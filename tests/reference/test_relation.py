"""Taps, paddings and output shapes follow the relation and equal torch's."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sscn_ref import output_shape, per_axis, submanifold_padding, taps, transposed_output_shape
from tests.support import oracle


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_taps_have_the_last_axis_fastest(kernel_size: list[int]) -> None:
    assert [tuple(tap) for tap in taps(kernel_size).tolist()] == oracle.all_taps(kernel_size)


@pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel")
@pytest.mark.parametrize(("kernel", "dilation"), list(itertools.product(range(1, 7), range(1, 4))))
def test_submanifold_padding_equals_torchs_same(kernel: int, dilation: int) -> None:
    """An impulse at 10 comes out at 10 - dilation * tap + padding, tap by tap."""
    impulse, weight = torch.zeros(1, 1, 21), torch.arange(1.0, kernel + 1).reshape(1, 1, -1)
    impulse[0, 0, 10] = 1
    y = torch.nn.functional.conv1d(impulse, weight, padding="same", dilation=dilation)[0, 0]
    (padding,) = submanifold_padding((kernel,), (dilation,))
    for tap in range(kernel):
        assert y[10 - dilation * tap + padding] == tap + 1


setting = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(0, 4), st.integers(1, 3))


@given(st.integers(1, 12), setting)
def test_output_shape_counts_windows_and_refuses_an_empty_output(size: int, window: tuple[int, int, int, int]) -> None:
    kernel, *rest = window
    right = oracle.size_after(size, *window)
    if right:
        assert output_shape((size,), (kernel,), *rest) == (right,)
    else:
        with pytest.raises(ValueError, match="is too small for kernel_size"):
            output_shape((size,), (kernel,), *rest)


@given(st.integers(1, 12), setting, st.integers(0, 4))
def test_transposed_output_shape_undoes_output_shape(size: int, window: tuple[int, int, int, int], extra: int) -> None:
    kernel, stride, padding, dilation = window
    right = oracle.size_before(size, *window, extra)
    arguments = (size,), (kernel,), stride, padding, dilation, extra
    if extra >= max(stride, dilation) or right < 1:
        with pytest.raises(ValueError, match=r"must be smaller than stride|is too small for kernel_size"):
            transposed_output_shape(*arguments)
    else:
        assert transposed_output_shape(*arguments) == (right,)
        if extra < stride:
            assert output_shape((right,), (kernel,), stride, padding, dilation) == (size,)


def test_one_number_applies_to_all_axes_and_numpy_integers_are_accepted() -> None:
    assert per_axis(3, 2, "stride") == (3, 3)
    assert per_axis([1, np.int64(2)], 2, "stride") == (1, 2)
    assert per_axis(np.array([4, 5]), 2, "stride") == (4, 5)
