"""The dense convolution equals torch's, the sparse one agrees with it on sparse data, and the active set grows under
it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sscn_ref
from tests.support.cases import Case, block, line
from tests.support.engines import every_reference
from tests.support.strategies import cases, seeds, values


@every_reference
@given(data=st.data(), seed=seeds, groups=st.integers(1, 3), ndim=st.integers(1, 3))
def test_dense_convolution_equals_torchs(reference, data, seed: int, groups: int, ndim: int) -> None:
    def axes(low: int, high: int) -> tuple[int, ...]:
        return data.draw(st.tuples(*[st.integers(low, high)] * ndim))

    kernel, stride, padding, dilation = axes(1, 4), axes(1, 3), axes(0, 3), axes(1, 2)
    shape = tuple(d * (k - 1) + 1 + e for k, d, e in zip(kernel, dilation, axes(0, 3), strict=True))
    x, w = values(seed, 2, *shape, 2 * groups), values(seed + 1, *kernel, groups, 2, 3)
    b = values(seed + 2, 3 * groups)
    conv = getattr(torch.nn.functional, f"conv{ndim}d")
    kernels = torch.tensor(w).movedim((-3, -1, -2), (0, 1, 2)).reshape(groups * 3, 2, *kernel)
    image = torch.tensor(x).movedim(-1, 1)
    right = conv(image, kernels, torch.tensor(b), stride, padding, dilation, groups).movedim(1, -1)
    mine = reference.dense_convolution(x, w, stride, padding, dilation, b)
    np.testing.assert_allclose(mine, right.numpy(), rtol=1e-10, atol=1e-10)


def with_shape(case: Case) -> bool:
    return case.spatial_shape is not None and np.prod(case.spatial_shape) <= 3000


@every_reference
@given(case=cases(kind="strided", at_most=8).filter(with_shape), seed=seeds)
def test_a_strided_convolution_equals_the_dense_one_at_its_sites_and_is_zero_elsewhere(
    reference, case, seed: int
) -> None:
    """In up to four axes; the dense result is zero wherever no input reaches."""
    book = reference.strided_rulebook(case.coordinates, *case.window, case.spatial_shape)
    x, w = values(seed, len(case.coordinates), 2), values(seed + 1, *case.kernel_size, 2, 3)
    image = sscn_ref.to_dense(x, case.coordinates, case.spatial_shape, batch_size=2)
    dense = reference.dense_convolution(image, w, case.stride, case.padding, case.dilation)
    y = reference.convolve(x, w.reshape(-1, 2, 3), book)
    sparse = sscn_ref.to_dense(y, book.output_coordinates, dense.shape[1:-1], batch_size=2)
    np.testing.assert_allclose(sparse, dense, rtol=1e-10, atol=1e-10)


@every_reference
@pytest.mark.parametrize("batch", [0, 1])
def test_a_dense_convolution_of_four_axes_and_of_no_images(reference, batch: int) -> None:
    x, w = values(0, batch, 3, 2, 4, 2, 2), values(1, 2, 1, 3, 2, 2, 3)
    y = reference.dense_convolution(x, w, padding=(1, 0, 1, 0))
    assert y.shape == (batch, 4, 2, 4, 1, 3)
    if batch:
        right = sum(x[0, 1 + i, 1, 1 + k, m] @ w[i, 0, k, m] for i in (0, 1) for k in (0, 1, 2) for m in (0, 1))
        np.testing.assert_allclose(y[0, 2, 1, 2, 0], right)


def test_to_dense_puts_every_row_at_its_site() -> None:
    dense = sscn_ref.to_dense([[1.0], [2.0]], [[1, 0, 2], [0, 1, 1]], (2, 3))
    assert dense.shape == (2, 2, 3, 1)
    assert dense[1, 0, 2, 0] == 1
    assert dense[0, 1, 1, 0] == 2
    assert dense.sum() == 3
    assert sscn_ref.to_dense(np.zeros((0, 4)), np.zeros((0, 3), int), 5).shape == (0, 5, 5, 4)


@every_reference
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_a_site_grows_to_a_cube(reference, ndim: int) -> None:
    site = [[0] + [-5] * ndim]
    assert reference.active_growth(site, 3) == [(1 + 2 * n) ** ndim for n in range(4)]
    assert reference.active_growth(site, 2, kernel_size=4) == [(1 + 3 * n) ** ndim for n in range(3)]


@every_reference
def test_a_line_grows_and_a_full_plane_grows_only_outwards(reference) -> None:
    track = line(10, ndim=2)
    assert reference.active_growth(track, 1) == [10, 12 + 2 * 11 + 2 * 10]  # five diagonals of ones
    assert reference.active_growth(block(6, 6), 2) == [36, 64, 100]
    assert reference.active_growth(np.zeros((0, 4), int), 2) == [0, 0, 0]


@every_reference
def test_growth_counts_a_repeated_site_once(reference) -> None:
    assert reference.active_growth([[0, 4, 4], [0, 4, 4]], 1) == [1, 9]


@every_reference
@given(case=cases(kind="submanifold", at_most=8))
def test_grown_sites_are_those_where_a_dense_convolution_of_ones_is_not_zero(reference, case: Case) -> None:
    grown = reference.grow(case.coordinates, case.kernel_size, case.dilation)
    padding = sscn_ref.submanifold_padding(case.kernel_size, case.dilation)
    book = sscn_ref.strided_rulebook(case.coordinates, case.kernel_size, 1, padding, case.dilation)
    np.testing.assert_array_equal(grown, book.output_coordinates)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not \[2, 3\] and \[3, 2, 2\]"):
        sscn_ref.dense_convolution(np.ones((2, 3)), np.ones((3, 2, 2)))
    with pytest.raises(ValueError, match=r"x has 3 channels \(its last axis\), but weight takes 2"):
        sscn_ref.dense_convolution(np.ones((1, 5, 3)), np.ones((3, 2, 2)))
    with pytest.raises(ValueError, match="is too small for kernel_size"):
        sscn_ref.dense_convolution(np.ones((1, 2, 3)), np.ones((3, 3, 2)))
    with pytest.raises(ValueError, match=r"site \[0, 5\] \(batch first\) lies outside spatial_shape \(5,\)"):
        sscn_ref.to_dense([[1.0]], [[0, 5]], 5)
    with pytest.raises(ValueError, match="batch_size 2 is too small for batch index 2"):
        sscn_ref.to_dense([[1.0]], [[2, 0]], 5, batch_size=2)
    with pytest.raises(ValueError, match="steps must not be negative: -1"):
        sscn_ref.active_growth([[0, 0]], -1)
